import type { InvoiceLine } from '../resources/invoices/table.ts';
import { addMonths, dayOf, daysIn, divideRounded, dueDateOf, firstDay, formatPeriod, lastDay, parsePeriod, type BillingTerms, type Period } from './periods.ts'; // prettier-ignore
import { wordsOf, type LineWords } from './words.ts';

/** What a customer is charged for a month: pure. Dates are the tenant's, amounts whole units of its currency. */

interface PricedPlan {
  name: string;
  /** Null: nobody has priced it yet. */
  price: number | null;
}

/** A plan change that has happened. */
export interface FeeChange {
  id: string;
  effective_date: string;
  /** What was paid a month before and after it; null for changes from before there was money here. */
  from_fee: number | null;
  to_fee: number | null;
  from_plan: PricedPlan;
  to_plan: PricedPlan;
  is_billed: boolean;
  /** Months from its own on whose standing invoice is from before it happened: `2026-11`. */
  invoiced_months: readonly string[];
}

export interface Suspension {
  started_on: string;
  ended_on: string | null;
}

/** What an earlier invoice could not deduct. */
export interface Carried {
  invoice_id: string;
  number: string;
  /** Below zero. */
  amount: number;
}

export interface Subscription extends BillingTerms {
  status: string;
  fee: number;
  plan: PricedPlan;
  activation_date: string | null;
  termination_date: string | null;
  /** The day on which the customer was entered here. */
  known_since: string;
  /** Came from a router, and was served before. */
  is_imported: boolean;
  /** In the order in which they happened. */
  changes: readonly FeeChange[];
  suspensions: readonly Suspension[];
  carried: readonly Carried[];
  /** The month before had an invoice of its own, be it void. */
  month_before_invoiced: boolean;
}

export interface ChargeTerms {
  tax_rate_bp: number;
  bill_suspended_periods: boolean;
  locale: string;
  today: string;
  /** Of the daily job: an invoice that it makes on its due day or later is due that many days after it is made. */
  notice_days?: number;
  /** Given for this invoice alone. */
  discount?: { amount: number; reason: string | null };
}

export interface Charges {
  lines: InvoiceLine[];
  service_from: string;
  subtotal: number;
  tax: number;
  total: number;
  /** What could not be deducted: 0 or below. */
  carried_over: number;
  billed_changes: string[];
  carried_from: string[];
}

const line = (description: string, amount: number): InvoiceLine => ({
  description,
  quantity: 1,
  unit_price: amount,
  amount,
});

/** From the day on which it was cut up to the day before it came back; of who ended so, that last day too. */
const isSuspended = ({ suspensions, status, termination_date }: Subscription, day: string): boolean =>
  suspensions.some(
    ({ started_on, ended_on }) =>
      started_on <= day &&
      (ended_on === null || day < ended_on || (status === 'terminated' && ended_on === termination_date)),
  );

function isServed(subscription: Subscription, terms: ChargeTerms, day: string): boolean {
  const { activation_date, termination_date, status } = subscription;
  if (activation_date === null || day < activation_date) return false;
  if (status === 'terminated' && (termination_date === null || day > termination_date)) return false;
  return terms.bill_suspended_periods || !isSuspended(subscription, day);
}

/** What was agreed for that day: before a change, what was before it. */
function agreedOn({ changes, fee, plan }: Subscription, day: string): { fee: number; plan: PricedPlan } {
  const next = changes.find(change => change.effective_date > day && change.from_fee !== null);
  return next ? { fee: next.from_fee!, plan: next.from_plan } : { fee, plan };
}

interface Segment {
  from: string;
  to: string;
  days: number;
  fee: number;
  plan: PricedPlan;
}

/** Days in a row that were served on the same terms. */
function segmentsOf(subscription: Subscription, terms: ChargeTerms, period: Period): Segment[] {
  const segments: Segment[] = [];
  let is_open = false;
  for (let at = 1; at <= daysIn(period); at++) {
    const day = dayOf(period, at);
    const served = isServed(subscription, terms, day);
    const { fee, plan } = agreedOn(subscription, day);
    const last = segments.at(-1);
    if (served && is_open && last!.fee === fee && last!.plan.name === plan.name) {
      last!.to = day;
      last!.days += 1;
    } else if (served) segments.push({ from: day, to: day, days: 1, fee, plan });
    is_open = served;
  }
  return segments;
}

/** The plan at its price, and what less was agreed as a discount. */
function linesOf(segment: Segment, period: Period, words: LineWords): InvoiceLine[] {
  const { from, to, days, fee, plan } = segment;
  const of_days = daysIn(period);
  const amount = divideRounded(fee * days, of_days);
  const full = divideRounded(Math.max(fee, plan.price ?? fee) * days, of_days);
  const description =
    days === of_days ? words.month(plan.name, period) : words.span(plan.name, { from, to, days, of_days });
  return [line(description, full), ...(full > amount ? [line(words.discount, amount - full)] : [])];
}

/**
 * A change after months were invoiced at the former fee (its own, and the next one where that is invoiced early): the
 * difference for the days that were left of them.
 */
function adjust(change: FeeChange, { activation_date }: Subscription, period: Period, words: LineWords): InvoiceLine[] {
  const { from_fee, to_fee, effective_date, from_plan, to_plan } = change;
  if (from_fee === null || to_fee === null) return [];
  return change.invoiced_months
    .filter(text => text !== formatPeriod(period))
    .flatMap(text => {
      const month = parsePeriod(text);
      const [to, of_days] = [lastDay(month), daysIn(month)];
      const from = [firstDay(month), effective_date, activation_date ?? ''].sort().at(-1)!;
      const days = from > to ? 0 : of_days - Number(from.slice(8)) + 1;
      const amount = divideRounded((to_fee - from_fee) * days, of_days);
      if (amount === 0) return [];
      return [line(words.change(from_plan.name, to_plan.name, { from, to, days, of_days }), amount)];
    });
}

/** Begun, or entered here, on the due date of its first month or later: that rest is on the next invoice. */
function firstMonthBefore(subscription: Subscription, period: Period): Period | null {
  const { activation_date, billing_type, month_before_invoiced, known_since } = subscription;
  const before = addMonths(period, -1);
  const is_new = billing_type === 'prepaid' && !subscription.is_imported && !month_before_invoiced;
  if (!is_new || activation_date === null) return null;
  const began = [activation_date, known_since].sort().at(-1)!;
  const is_first = activation_date.startsWith(formatPeriod(before)) && began.startsWith(formatPeriod(before));
  return is_first && dueDateOf(before, subscription) <= began ? before : null;
}

/**
 * Suspended now: how many days of a month that isn't over it will be served isn't known yet, and who pays ahead isn't
 * asked for more before the line is back.
 */
const mustWait = (
  subscription: Subscription,
  { bill_suspended_periods, today }: ChargeTerms,
  period: Period,
): boolean =>
  subscription.status === 'suspended' &&
  !bill_suspended_periods &&
  (subscription.billing_type === 'prepaid' || lastDay(period) >= today);

/** Null where there is no day to charge. */
export function chargePeriod(subscription: Subscription, period: Period, terms: ChargeTerms): Charges | null {
  if (mustWait(subscription, terms, period)) return null;
  const words = wordsOf(terms.locale);
  const segments = segmentsOf(subscription, terms, period);
  if (segments.length === 0) return null;
  const before = firstMonthBefore(subscription, period);
  const first = before ? segmentsOf(subscription, terms, before) : [];
  const happened = subscription.changes.filter(change => !change.is_billed && change.effective_date <= lastDay(period));
  const lines = [
    ...first.flatMap(segment => linesOf(segment, before!, words)),
    ...segments.flatMap(segment => linesOf(segment, period, words)),
    ...happened.flatMap(change => adjust(change, subscription, period, words)),
    ...subscription.carried.map(({ number, amount }) => line(words.carried(number), amount)),
    ...(terms.discount ? [line(terms.discount.reason ?? words.discount, -terms.discount.amount)] : []),
  ];
  const sum = lines.reduce((total, { amount }) => total + amount, 0);
  const carried_over = Math.min(0, sum);
  if (carried_over < 0) lines.push(line(words.carries, -carried_over));
  const subtotal = sum - carried_over;
  const tax = divideRounded(subtotal * terms.tax_rate_bp, 10_000);
  return {
    lines,
    service_from: (first[0] ?? segments[0])!.from,
    subtotal,
    tax,
    total: subtotal + tax,
    carried_over,
    billed_changes: happened.map(({ id }) => id),
    carried_from: subscription.carried.map(({ invoice_id }) => invoice_id),
  };
}

/** Nothing: the days of this month are on the next one's invoice, as its first ones. */
export function chargeNothing(next: { number: string }, period: Period, { locale }: ChargeTerms): Charges {
  return {
    lines: [line(wordsOf(locale).chargedWith(next.number), 0)],
    service_from: firstDay(addMonths(period, 1)),
    subtotal: 0,
    tax: 0,
    total: 0,
    carried_over: 0,
    billed_changes: [],
    carried_from: [],
  };
}
