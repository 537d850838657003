import {
  daysOf,
  dueDateOf,
  lastDayOf,
  monthsAfter,
  type Period,
  periodOf,
  samePeriod,
  tellPeriod,
} from './calendar.ts';
import type { Account, Invoice, Plan } from './model.ts';

/** What a month costs: each day at what was agreed for it. */

export interface PlanChange {
  from: string;
  from_plan: Plan;
  from_fee: number;
  to_fee: number;
  /** How many things had happened before it. */
  after: number;
  charged_by: Invoice | null;
}

export interface Suspension {
  from: string;
  until: string | null;
}

export interface Charged {
  subtotal: number;
  tax: number;
  total: number;
  service_from: string;
  /** What could not be deducted: 0 or below. */
  carried_over: number;
}

/** Half away from zero. */
const round = (amount: number): number => Math.sign(amount) * Math.round(Math.abs(amount));
const sum = (amounts: number[]): number => amounts.reduce((all, each) => all + each, 0);

/** The day on which it came back is a day of service; that on which it was cut is none. */
function isServed({ activated_on, suspensions, settings }: Account, day: string): boolean {
  if (day < activated_on) return false;
  const isOff = ({ from, until }: Suspension) => from <= day && (until === null || day < until);
  return settings.bill_suspended_periods || !suspensions.some(isOff);
}

/** Each change says what was paid before it. */
function agreedFor({ plan_changes, terms }: Account, day: string): { plan: Plan; fee: number } {
  const next = plan_changes.find(change => change.from > day);
  return next ? { plan: next.from_plan, fee: next.from_fee } : { plan: terms.plan, fee: terms.monthly_fee };
}

/** Days in a row on the same terms are one amount, rounded by itself. */
function amountsOf(account: Account, period: Period): { amounts: number[]; from: string | null } {
  const rows: { fee: number; plan: Plan; days: number; until: number }[] = [];
  const served = daysOf(period).filter(day => isServed(account, day));
  for (const day of served) {
    const { fee, plan } = agreedFor(account, day);
    const [row, at] = [rows.at(-1), Number(day.slice(8))];
    if (row?.fee === fee && row.plan === plan && row.until === at - 1)
      Object.assign(row, { days: row.days + 1, until: at }); // prettier-ignore
    else rows.push({ fee, plan, days: 1, until: at });
  }
  return { amounts: rows.map(({ fee, days }) => round((fee * days) / lastDayOf(period))), from: served[0] ?? null };
}

/** Activated on the due date of that month or later: nobody invoiced it, and the next one does. */
function firstMonthBefore({ terms, activated_on, invoices }: Account, period: Period): Period | null {
  const before = monthsAfter(period, -1);
  if (terms.billing_type !== 'prepaid' || !samePeriod(periodOf(activated_on), before)) return null;
  // one that says that its days are on this one's charges none of them
  const isOfThen = ({ period: of, charged }: Invoice) => samePeriod(of, before) && charged.service_from <= daysOf(before).at(-1)!; // prettier-ignore
  if (invoices.some(isOfThen)) return null;
  return dueDateOf(before, terms) <= activated_on ? before : null;
}

/** Those that charged for days after the change what was paid before it; one that was made since charges the new fee. */
const chargedBefore = ({ from, after }: PlanChange, standing: Invoice[]): Invoice[] =>
  standing.filter(
    ({ period, after: made, charged }) =>
      tellPeriod(period) >= from.slice(0, 7) && made < after && charged.service_from <= daysOf(period).at(-1)!,
  );

/** The difference for the days that were left of what they charged: a month, or the rest of the one before as well. */
function adjustments(account: Account, change: PlanChange, invoices: Invoice[]): number[] {
  const { from, from_fee, to_fee } = change;
  return invoices.flatMap(({ period, charged }) => {
    const first = periodOf(charged.service_from);
    const months = samePeriod(first, period) ? [period] : [first, period];
    return months.map(month => {
      const days = daysOf(month).filter(day => day >= from && day >= account.activated_on).length;
      return round(((to_fee - from_fee) * days) / lastDayOf(month));
    });
  });
}

/** What follows from it was charged by another one, which stands. */
export const isBuiltOn = (invoice: Invoice, { plan_changes }: Account, standing: Invoice[]): boolean =>
  (invoice.carried_to !== null && standing.includes(invoice.carried_to)) ||
  plan_changes.some(
    change =>
      change.charged_by !== null &&
      change.charged_by !== invoice &&
      standing.includes(change.charged_by) &&
      chargedBefore(change, standing).includes(invoice),
  );

export interface Bill {
  charged: Charged;
  changes: PlanChange[];
  carried: Invoice[];
}

/** The month after has its days as its first ones. */
export const isChargedByNext = (period: Period, standing: Invoice[]): boolean =>
  standing.some(
    ({ period: of, charged }) =>
      samePeriod(of, monthsAfter(period, 1)) && charged.service_from <= daysOf(period).at(-1)!,
  );

/** Null where there is no day to charge, or it isn't known yet. `standing`: invoices that aren't void. */
export function chargesOf(
  account: Account,
  period: Period,
  today: string,
  standing: Invoice[],
  discount: number,
): Bill | null {
  const { status, settings, terms, plan_changes } = account;
  const last_day = daysOf(period).at(-1)!;
  // who pays ahead isn't asked before the line is back; of a month that isn't over the days aren't known
  const is_waiting = terms.billing_type === 'prepaid' || last_day >= today;
  if (status === 'suspended' && !settings.bill_suspended_periods && is_waiting) return null;
  if (isChargedByNext(period, standing)) return null;
  const own = amountsOf(account, period);
  if (own.from === null) return null;
  const before = firstMonthBefore(account, period);
  const first = before ? amountsOf(account, before) : { amounts: [], from: null };
  const isCharged = ({ charged_by }: PlanChange) => charged_by !== null && standing.includes(charged_by);
  const changes = plan_changes.filter(change => !isCharged(change) && change.from <= last_day);
  const isDeducted = ({ carried_to }: Invoice) => carried_to !== null && standing.includes(carried_to);
  const carried = standing.filter(invoice => invoice.charged.carried_over < 0 && !isDeducted(invoice));
  const all = sum([
    ...first.amounts,
    ...own.amounts,
    ...changes.flatMap(change => adjustments(account, change, chargedBefore(change, standing))),
    ...carried.map(invoice => invoice.charged.carried_over),
    -discount,
  ]);
  const subtotal = Math.max(0, all);
  const tax = round((subtotal * settings.tax_rate_bp) / 10_000);
  const service_from = first.from ?? own.from;
  return { charged: { subtotal, tax, total: subtotal + tax, service_from, carried_over: Math.min(0, all) }, changes, carried }; // prettier-ignore
}
