import { chargesOf, type Charged, isBuiltOn, isChargedByNext, type PlanChange, type Suspension } from './charges.ts';
import {
  dueDateOf,
  monthsAfter,
  type Period,
  periodsDueBetween,
  tellPeriod,
  plusDays,
  samePeriod,
} from './calendar.ts';

/**
 * What a customer's account must be, written from the specification and simple enough to be believed: plain data, one
 * function for each thing that can happen. It knows no clock, no database and nothing of the product's code.
 */

export interface Plan {
  id: string;
  price: number;
}

export interface Receipt {
  id: string | null;
  amount: number;
  left: number;
  received_on: string;
  /** Of two on one day the one that came first. */
  received_ms: number;
  is_void: boolean;
}

export interface Invoice {
  id: string | null;
  period: Period;
  due_date: string;
  issue_date: string;
  is_void: boolean;
  charged: Charged;
  /** The one that deducted what this one could not. */
  carried_to: Invoice | null;
  /** How many things had happened before it. */
  after: number;
}

export interface Due {
  id: string | null;
  invoice: Invoice | null;
  amount: number;
  status: 'pending' | 'overdue' | 'paid' | 'void';
  due_date: string;
  /** When it was recorded, or opened again. */
  owed_since: string;
  payment_date: string | null;
  payment_method: string | null;
  /** With whose money it was paid. */
  receipt: Receipt | null;
}

export interface Terms {
  plan: Plan;
  monthly_fee: number;
  due_day: number;
  billing_type: 'prepaid' | 'postpaid';
  auto_isolir: boolean;
}

export interface Settings {
  grace_days: number;
  invoice_days_before_due: number;
  tax_rate_bp: number;
  bill_suspended_periods: boolean;
}

export interface Account {
  settings: Settings;
  terms: Terms;
  created_on: string;
  activated_on: string;
  status: 'active' | 'suspended';
  suspension_reason: string | null;
  suspensions: Suspension[];
  plan_changes: PlanChange[];
  happened: number;
  hold_until: string | null;
  plan_to_come: { plan: Plan; from: string } | null;
  dues: Due[];
  receipts: Receipt[];
  invoices: Invoice[];
}

/** It can't be done, and nothing happens. */
export class Refused extends Error {}

export const isOpen = ({ status }: Due): boolean => status === 'pending' || status === 'overdue';
const sum = (amounts: number[]): number => amounts.reduce((all, each) => all + each, 0);

export const outstandingOf = ({ dues }: Account): number => sum(dues.filter(isOpen).map(due => due.amount));
export const creditOf = ({ receipts }: Account): number => sum(receipts.map(receipt => receipt.left));

/** The oldest due date first; of one date, which was there first. Ids rise. */
const inOrder = (dues: Due[]): Due[] =>
  dues.toSorted((a, b) => (a.due_date === b.due_date ? ((a.id ?? '~') < (b.id ?? '~') ? -1 : 1) : a.due_date < b.due_date ? -1 : 1)); // prettier-ignore

export const openDues = ({ dues }: Account): Due[] => inOrder(dues.filter(isOpen));

const withMoney = ({ receipts }: Account): Receipt[] =>
  receipts
    .filter(receipt => receipt.left > 0)
    .sort((a, b) => a.received_ms - b.received_ms || ((a.id ?? '~') < (b.id ?? '~') ? -1 : 1));

/** Takes what a receipt has for a due: the open part stays, what is paid of it is a due of its own. */
function settle(account: Account, due: Due, receipt: Receipt, most: number, how: Partial<Due>): number {
  const amount = Math.min(due.amount, receipt.left, most);
  if (amount === 0) return 0;
  receipt.left -= amount;
  const paid = { ...how, status: 'paid' as const, receipt };
  if (amount === due.amount) Object.assign(due, paid);
  else {
    due.amount -= amount;
    account.dues.push({ ...due, ...paid, id: null, amount });
  }
  return amount;
}

/** Who was cut off for dues comes back once none is left that is past its date. */
function resumeIfPaid(account: Account, today: string): void {
  if (account.status !== 'suspended' || account.suspension_reason !== 'overdue') return;
  if (account.dues.some(due => isOpen(due) && due.due_date < today)) return;
  setActive(account, today);
}

function setSuspended(account: Account, today: string, reason: string): void {
  Object.assign(account, { status: 'suspended', suspension_reason: reason });
  account.suspensions.push({ from: today, until: null });
}

function setActive(account: Account, today: string): void {
  Object.assign(account, { status: 'active', suspension_reason: null });
  account.suspensions.at(-1)!.until = today;
}

// ---------------------------------------------------------------- money

export interface Money {
  amount: number;
  payment_method: string;
  payment_date: string;
  received_ms: number;
}

function addReceipt(account: Account, { amount, payment_date, received_ms }: Money): Receipt {
  const receipt = { id: null, amount, left: amount, received_on: payment_date, received_ms, is_void: false };
  account.receipts.push(receipt);
  return receipt;
}

const paidBy = ({ payment_date, payment_method }: Money) => ({ payment_date, payment_method });

/** Money at the counter: the oldest dues first, the rest is credit. */
export function pay(account: Account, money: Money, today: string): void {
  const receipt = addReceipt(account, money);
  for (const due of openDues(account)) settle(account, due, receipt, Infinity, paidBy(money));
  resumeIfPaid(account, today);
}

export function settleDue(account: Account, due: Due, money: Money, today: string): void {
  if (!isOpen(due) || money.amount > due.amount) throw new Refused();
  settle(account, due, addReceipt(account, money), Infinity, paidBy(money));
  resumeIfPaid(account, today);
}

export function settleWithCredit(
  account: Account,
  due: Due,
  amount: number,
  payment_date: string,
  today: string,
): void {
  if (!isOpen(due) || amount > due.amount || amount > creditOf(account)) throw new Refused();
  spendCredit(account, [due], amount, payment_date);
  resumeIfPaid(account, today);
}

function spendCredit(account: Account, dues: Due[], most: number, payment_date: string): void {
  let left = most;
  for (const due of dues)
    for (const receipt of withMoney(account)) {
      if (!isOpen(due)) break;
      left -= settle(account, due, receipt, left, { payment_date, payment_method: 'credit' });
    }
}

export function owe(account: Account, amount: number, due_date: string, today: string): void {
  account.dues.push({ id: null, invoice: null, amount, status: 'pending', due_date, owed_since: today, payment_date: null, payment_method: null, receipt: null }); // prettier-ignore
}

export function recordPaid(account: Account, money: Money, due_date: string, today: string): void {
  owe(account, money.amount, due_date, today);
  settle(account, account.dues.at(-1)!, addReceipt(account, money), Infinity, paidBy(money));
  resumeIfPaid(account, today);
}

function voidDue(due: Due): void {
  if (due.receipt) due.receipt.left += due.amount;
  Object.assign(due, { status: 'void', receipt: null });
}

export function voidPayment(account: Account, due: Due, today: string): void {
  if (due.status === 'void') throw new Refused();
  const others = account.dues.filter(other => other !== due && other.invoice === due.invoice);
  // its last one takes the invoice with it
  if (due.invoice && others.every(({ status }) => status === 'void')) return voidInvoice(account, due.invoice, today);
  voidDue(due);
  resumeIfPaid(account, today);
}

/** What it had paid is owed again, each part by itself. */
export function voidReceipt(account: Account, receipt: Receipt, today: string): void {
  if (receipt.is_void) throw new Refused();
  Object.assign(receipt, { is_void: true, left: 0 });
  for (const due of account.dues.filter(due => due.receipt === receipt))
    Object.assign(due, {
      status: due.due_date < today ? 'overdue' : 'pending',
      owed_since: today,
      payment_date: null,
      payment_method: null,
      receipt: null,
    });
  resumeIfPaid(account, today);
}

// ---------------------------------------------------------------- invoices

export function statusOf(account: Account, invoice: Invoice): Due['status'] {
  if (invoice.is_void) return 'void';
  const said = account.dues.filter(due => due.invoice === invoice).map(due => due.status);
  if (said.length === 0) return 'paid';
  return (['overdue', 'pending', 'paid'] as const).find(status => said.includes(status)) ?? 'void';
}

const standingOf = (account: Account): Invoice[] =>
  account.invoices.filter(invoice => statusOf(account, invoice) !== 'void');

export interface Billing {
  discount?: number;
  /** Of the daily job: one that comes on its due date or later is due that many days after. */
  notice_days?: number;
}

export function bill(
  account: Account,
  period: Period,
  today: string,
  { discount = 0, notice_days }: Billing = {},
): void {
  const standing = standingOf(account);
  if (standing.some(invoice => samePeriod(invoice.period, period))) throw new Refused();
  const found = chargesOf(account, period, today, standing, discount);
  // a discount takes off what there is
  if (!found || (discount > 0 && found.charged.carried_over < 0)) throw new Refused();
  const { charged, changes, carried } = found;
  const its_date = dueDateOf(period, account.terms);
  const due_date = notice_days !== undefined && its_date <= today ? plusDays(today, notice_days) : its_date;
  const after = account.happened++;
  const invoice: Invoice = { id: null, period, due_date, issue_date: today, is_void: false, charged, carried_to: null, after }; // prettier-ignore
  account.invoices.push(invoice);
  for (const change of changes) change.charged_by = invoice;
  for (const other of carried) other.carried_to = invoice;
  if (charged.total === 0) return;
  // what was owed before comes first: the daily job sees to it
  const is_first = outstandingOf(account) === 0;
  const due: Due = { id: null, invoice, amount: charged.total, status: 'pending', due_date, owed_since: today, payment_date: null, payment_method: null, receipt: null }; // prettier-ignore
  account.dues.push(due);
  if (is_first) spendCredit(account, [due], due.amount, today);
}

/** Where a later one deducts, or charges the difference, for it: that one must be taken back first. */
export function voidInvoice(account: Account, invoice: Invoice, today: string): void {
  const standing = standingOf(account);
  if (!standing.includes(invoice)) throw new Refused();
  if (isBuiltOn(invoice, account, standing)) throw new Refused();
  for (const due of account.dues) if (due.invoice === invoice && due.status !== 'void') voidDue(due);
  invoice.is_void = true;
  resumeIfPaid(account, today);
}

/** A run leaves alone what has an invoice of the period, also one that was voided. */
export function runBilling(account: Account, period: Period, today: string, options: Billing = {}): void {
  if (account.invoices.some(invoice => samePeriod(invoice.period, period))) return;
  if (options.notice_days === undefined && isChargedByNext(period, standingOf(account))) {
    const service_from = `${tellPeriod(monthsAfter(period, 1))}-01`;
    const charged = { subtotal: 0, tax: 0, total: 0, service_from, carried_over: 0 };
    const due_date = dueDateOf(period, account.terms);
    account.invoices.push({ id: null, period, due_date, issue_date: today, is_void: false, charged, carried_to: null, after: account.happened++ }); // prettier-ignore
    return;
  }
  try {
    bill(account, period, today, options);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

// ---------------------------------------------------------------- the line

export function suspend(account: Account, today: string): void {
  if (account.status !== 'active') throw new Refused();
  setSuspended(account, today, 'manual');
}

export function resume(account: Account, today: string): void {
  if (account.status !== 'suspended') throw new Refused();
  setActive(account, today);
}

/** A promise to pay brings back who was cut off for dues. */
export function hold(account: Account, until: string, today: string): void {
  account.hold_until = until;
  if (account.suspension_reason === 'overdue') setActive(account, today);
}

/** The fee follows the plan, unless another one was agreed on. */
export function changePlan(account: Account, plan: Plan, from: string, today: string): void {
  if (plan.id === account.terms.plan.id) throw new Refused();
  account.plan_to_come = null;
  if (from > today) account.plan_to_come = { plan, from };
  else applyPlan(account, plan, from);
}

function applyPlan(account: Account, plan: Plan, from: string): void {
  const { terms } = account;
  const from_fee = terms.monthly_fee;
  const follows = from_fee === terms.plan.price;
  account.plan_changes.push({ from, from_plan: terms.plan, from_fee, to_fee: follows ? plan.price : from_fee, after: account.happened++, charged_by: null }); // prettier-ignore
  Object.assign(terms, { plan, ...(follows && { monthly_fee: plan.price }) });
}

// ---------------------------------------------------------------- a day

/** What nobody invoiced for longer than that is left to people. */
const LOOK_BACK_DAYS = 31;

export function daily(account: Account, today: string): void {
  const { plan_to_come, settings } = account;
  if (plan_to_come && plan_to_come.from <= today) {
    account.plan_to_come = null;
    applyPlan(account, plan_to_come.plan, plan_to_come.from);
  }
  spendCredit(account, openDues(account), Infinity, today);
  resumeIfPaid(account, today);
  const until = plusDays(today, settings.invoice_days_before_due);
  const from = [plusDays(account.activated_on, 1), plusDays(today, -LOOK_BACK_DAYS)].sort()[1]!;
  const options = { notice_days: settings.invoice_days_before_due };
  for (const period of periodsDueBetween(from, until, account.terms)) runBilling(account, period, today, options);
  markOverdue(account, today);
  if (mustSuspend(account, today)) setSuspended(account, today, 'overdue');
}

function markOverdue({ dues }: Account, today: string): void {
  for (const due of dues) if (due.status === 'pending' && due.due_date < today) due.status = 'overdue';
}

/** The days of grace count from the due date, or from the day on which it was recorded or opened again, if that was later. */
function mustSuspend(account: Account, today: string): boolean {
  const { status, terms, hold_until, settings, dues } = account;
  if (status !== 'active' || !terms.auto_isolir || creditOf(account) > 0) return false;
  if (hold_until !== null && hold_until >= today) return false;
  return dues.some(({ status, due_date, owed_since }) => {
    const from = owed_since > due_date ? owed_since : due_date;
    return status === 'overdue' && plusDays(from, settings.grace_days) < today;
  });
}
