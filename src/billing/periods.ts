/** Months that are billed, and when their dues are due: pure. Dates are business dates of the tenant. */

export interface Period {
  year: number;
  /** 1 to 12. */
  month: number;
}

export const formatPeriod = ({ year, month }: Period): string => `${year}-${String(month).padStart(2, '0')}`;

/** Of `2026-11` or any date in it. */
export const parsePeriod = (text: string): Period => ({
  year: Number(text.slice(0, 4)),
  month: Number(text.slice(5, 7)),
});

export function addMonths({ year, month }: Period, months: number): Period {
  const at = year * 12 + (month - 1) + months;
  return { year: Math.floor(at / 12), month: (at % 12) + 1 };
}

export const daysIn = ({ year, month }: Period): number => new Date(Date.UTC(year, month, 0)).getUTCDate();

export const dayOf = (period: Period, day: number): string => `${formatPeriod(period)}-${String(day).padStart(2, '0')}`;

export const firstDay = (period: Period): string => dayOf(period, 1);

export const lastDay = (period: Period): string => dayOf(period, daysIn(period));

export interface BillingTerms {
  billing_type: 'prepaid' | 'postpaid';
  /** 1 to 31; in a shorter month its last day. */
  due_day: number;
}

/** Prepaid is due in the month that is billed, postpaid in the month after. */
export function dueDateOf(period: Period, { billing_type, due_day }: BillingTerms): string {
  const due_in = billing_type === 'prepaid' ? period : addMonths(period, 1);
  return dayOf(due_in, Math.min(due_day, daysIn(due_in)));
}

/** Rounds half away from zero: what goes up and down again ends where it began. */
export function divideRounded(dividend: number, divisor: number): number {
  return Math.sign(dividend) * Math.floor((2 * Math.abs(dividend) + divisor) / (2 * divisor));
}
