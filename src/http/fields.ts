import { z } from 'zod';
import { isTimeZone } from '../lib/time.ts';

/** The kinds of field that requests and answers are made of; each refuses what its column could not mean. */

/** Tabs and line breaks are text; other control characters are not (and would blur search and logs). */
const PLAIN = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$/u;

export const line = (max = 200) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(PLAIN, 'holds control characters')
    .refine(text => text.isWellFormed(), 'is not well-formed Unicode');

export const note = (max = 2000) => line(max);

export const Id = z.uuid();

export const Email = z.string().trim().toLowerCase().max(254).pipe(z.email());

/** A business date in the tenant's time zone. */
export const DateText = z.iso.date();

/** An instant as it goes out: ISO 8601, UTC. */
export const Instant = z.iso.datetime();

/** Whole units of the tenant's currency, above zero. */
export const Money = z.int().positive().max(1_000_000_000_000);

/** An amount that may be nothing. */
export const MoneyOrZero = z.int().min(0).max(1_000_000_000_000);

export const Kbps = z.int().positive().max(1_000_000_000).describe('kbit/s');

export const IpAddress = z.union([z.ipv4().meta({ format: 'ipv4' }), z.ipv6().meta({ format: 'ipv6' })]);

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
