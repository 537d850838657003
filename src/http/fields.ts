import { z } from 'zod';
import { canonicalIpv6 } from '../lib/network.ts';
import { isTimeZone } from '../lib/time.ts';

/** The kinds of field that requests and answers are made of; each refuses what its column could not mean. */

/** Of control characters only tabs and line breaks are text, and those not in a name: it goes into mails and routers. */
const NAME = /^[^\u0000-\u001f\u007f-\u009f]*$/;
const TEXT = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$/;

const text = (max: number, allowed: RegExp) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(allowed, 'holds control characters')
    .refine(value => value.isWellFormed(), 'is not well-formed Unicode');

/** One line: a name, a place, a reason. */
export const line = (max = 200) => text(max, NAME);

/** What stands in answers where a secret is. */
export const MASK = '••••••••';

/** The mask, or nothing. A union: of a literal that may be null the document would leave the null out. */
export const Masked = z.union([z.literal(MASK), z.null()]);

/** A secret that people choose: kept to the letter, and never what we show in its place. */
export const secretText = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(NAME, 'holds control characters')
    .refine(text => text.isWellFormed(), 'is not well-formed Unicode')
    .refine(text => text !== MASK, 'is what is shown in the place of the real one: leave it out to keep that');

/** Text of several lines. */
export const note = (max = 2000) => text(max, TEXT);

export const Id = z.uuid();

export const Email = z.string().trim().toLowerCase().max(254).pipe(z.email());

/** A business date in the tenant's time zone. */
export const DateText = z.iso.date();

/** A business date that money is of. */
export const MoneyDate = DateText.refine(
  date => date >= '2000-01-01' && date <= '2099-12-31',
  'is not between 2000 and 2099',
);

/** A month that is billed. */
export const PeriodText = z
  .string()
  .regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'is not a month like 2026-11')
  .describe('`2026-11`');

/** An instant as it goes out: ISO 8601, UTC. */
export const Instant = z.iso.datetime();

/** Whole units of the tenant's currency, above zero. */
export const Money = z.int().positive().max(1_000_000_000_000);

/** An amount that may be nothing. */
export const MoneyOrZero = z.int().min(0).max(1_000_000_000_000);

export const Kbps = z.int().positive().max(1_000_000_000).describe('kbit/s');

export const IpAddress = z.union([
  z.ipv4().meta({ format: 'ipv4' }),
  z.ipv6().overwrite(canonicalIpv6).meta({ format: 'ipv6' }),
]);

export const Phone = line(30)
  .regex(/^[+\d][\d\s().-]{4,}$/, 'is not a phone number')
  .describe('As people write it; kept as typed, and as E.164 in phone_e164 where that can be told.');

export const Latitude = z.number().min(-90).max(90);
export const Longitude = z.number().min(-180).max(180);

export const TimeZone = z.string().max(64).refine(isTimeZone, 'is not an IANA time zone');

/** In a query string: a whole number, written as one (`Number` alone takes '', `1e1` and `0x10` too). */
export const queryInt = ({ min = -(10 ** 15), max = 10 ** 15 } = {}) =>
  z.preprocess(
    text => (typeof text === 'string' && /^-?\d{1,16}$/.test(text) ? Number(text) : text),
    z.int().min(min).max(max),
  );

/** In a query string: `true` or `false`. */
export const QueryBoolean = z.enum(['true', 'false']).transform(text => text === 'true');
