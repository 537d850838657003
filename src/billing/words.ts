import { formatPeriod, type Period } from './periods.ts';

/** What lines of an invoice say, in the provider's language: pure. */

interface Span {
  from: string;
  to: string;
  days: number;
  of_days: number;
}

const WORDS = {
  id: {
    locale: 'id-ID',
    days: 'hari',
    discount: 'Diskon',
    change: 'Ganti paket',
    carried: 'Sisa potongan dari',
    carries: 'Dipotong pada tagihan berikutnya',
    charged_with: 'Sudah ditagih dengan',
    purposes: {
      monthly_subscription: 'Langganan',
      installation: 'Pemasangan',
      speed_boost: 'Speed boost',
      other: 'Lain-lain',
    },
  },
  en: {
    locale: 'en-GB',
    days: 'days',
    discount: 'Discount',
    change: 'Change of plan',
    carried: 'Left to deduct from',
    carries: 'Deducted from the next invoice',
    charged_with: 'Charged with',
    purposes: {
      monthly_subscription: 'Subscription',
      installation: 'Installation',
      speed_boost: 'Speed boost',
      other: 'Other',
    },
  },
} as const;

export interface LineWords {
  discount: string;
  carries: string;
  purposes: Readonly<Record<'monthly_subscription' | 'installation' | 'speed_boost' | 'other', string>>;
  month(plan: string, period: Period): string;
  span(plan: string, span: Span): string;
  change(from: string, to: string, span: Span): string;
  carried(number: string): string;
  chargedWith(number: string): string;
}

export function wordsOf(locale: string): LineWords {
  const words = locale === 'id' ? WORDS.id : WORDS.en;
  const format = (options: Intl.DateTimeFormatOptions, date: string) =>
    new Intl.DateTimeFormat(words.locale, { ...options, timeZone: 'UTC' }).format(Date.parse(`${date}T00:00:00Z`));
  const month = (date: string) => format({ month: 'long', year: 'numeric' }, date);
  const span = ({ from, to, days, of_days }: Span) => {
    const [first, last] = [Number(from.slice(8)), Number(to.slice(8))];
    return `${first === last ? first : `${first}–${last}`} ${month(from)} (${days}/${of_days} ${words.days})`;
  };
  return {
    discount: words.discount,
    carries: words.carries,
    purposes: words.purposes,
    month: (plan, period) => `${plan}, ${month(`${formatPeriod(period)}-01`)}`,
    span: (plan, days) => `${plan}, ${span(days)}`,
    change: (from, to, days) => `${words.change} ${from} → ${to}, ${span(days)}`,
    carried: number => `${words.carried} ${number}`,
    chargedWith: number => `${words.charged_with} ${number}`,
  };
}
