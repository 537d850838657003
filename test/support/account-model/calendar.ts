/** Months and days, as the specification speaks of them. */

export interface Period {
  year: number;
  /** 1 to 12. */
  month: number;
}

const two = (number: number): string => String(number).padStart(2, '0');

export const tellPeriod = ({ year, month }: Period): string => `${year}-${two(month)}`;
export const periodOf = (date: string): Period => ({ year: Number(date.slice(0, 4)), month: Number(date.slice(5, 7)) });
export const samePeriod = (a: Period, b: Period): boolean => a.year === b.year && a.month === b.month;

export function monthsAfter({ year, month }: Period, months: number): Period {
  const at = new Date(Date.UTC(year, month - 1 + months, 1));
  return { year: at.getUTCFullYear(), month: at.getUTCMonth() + 1 };
}

export function lastDayOf({ year, month }: Period): number {
  const is_leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return [31, is_leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!;
}

const DAY_MS = 24 * 60 * 60_000;
export const plusDays = (date: string, days: number): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

/** All days of a month. */
export const daysOf = (period: Period): string[] =>
  Array.from({ length: lastDayOf(period) }, (_, at) => `${tellPeriod(period)}-${two(at + 1)}`);

/** P19; postpaid is due in the month after. */
export function dueDateOf(period: Period, terms: { billing_type: string; due_day: number }): string {
  const due_in = terms.billing_type === 'prepaid' ? period : monthsAfter(period, 1);
  return `${tellPeriod(due_in)}-${two(Math.min(terms.due_day, lastDayOf(due_in)))}`;
}

/** Those whose due date lies between the two, both included. */
export function periodsDueBetween(
  from: string,
  until: string,
  terms: { billing_type: string; due_day: number },
): Period[] {
  const found: Period[] = [];
  for (
    let period = monthsAfter(periodOf(from), -1);
    tellPeriod(period) <= until.slice(0, 7);
    period = monthsAfter(period, 1)
  ) {
    // prettier-ignore
    const due_date = dueDateOf(period, terms);
    if (due_date >= from && due_date <= until) found.push(period);
  }
  return found;
}
