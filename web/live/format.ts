import { formatMoney } from '../../src/lib/money.ts';
import type { Language } from './language.ts';
import type { Tenant } from './session.ts';

/** Figures as people read them: in their language, the provider's currency and its time zone. */

export interface Format {
  count(value: number): string;
  /** `Rp1.500.000`. */
  money(amount: number): string;
  /** `14:03:27`, with the day before it where that isn't today. */
  time(instant: string): string;
  /** `84 Mbps`. */
  speed(bps: number): string;
}

// both write day, month, year, as dates are written in Indonesia
const LOCALES: Record<Language, string> = { id: 'id-ID', en: 'en-GB' };

const UNITS = [
  [1e9, 'Gbps'],
  [1e6, 'Mbps'],
  [1e3, 'kbps'],
] as const;

export function makeFormat(language: Language, tenant: Pick<Tenant, 'timezone' | 'currency'>): Format {
  const locale = LOCALES[language];
  const { timezone: timeZone, currency } = tenant;
  const counts = new Intl.NumberFormat(locale);
  const speeds = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
  const times = new Intl.DateTimeFormat(locale, { timeZone, timeStyle: 'medium', hourCycle: 'h23' });
  const days = new Intl.DateTimeFormat(locale, { timeZone, day: 'numeric', month: 'short' });
  return {
    count: value => counts.format(value),
    money: amount => formatMoney(amount, currency, locale).replace(/(?:IDR|Rp)\s/u, 'Rp'),
    time: instant => {
      const at = Date.parse(instant);
      const time = times.format(at);
      return dayOf(at, timeZone) === dayOf(Date.now(), timeZone) ? time : `${days.format(at)} ${time}`;
    },
    speed: bps => {
      const [size, unit] = UNITS.find(([least]) => bps >= least) ?? [1, 'bps'];
      // no line ends between them
      return `${speeds.format(bps / size)}\u00a0${unit}`;
    },
  };
}

/** `2026-11-20`: the provider's day. */
export const dayOf = (now: number, timeZone: string): string =>
  new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' }).format(now);
