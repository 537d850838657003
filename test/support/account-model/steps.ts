import fc from 'fast-check';
import { expect, vi } from 'vitest';
import { dawnOf, HOUR_MS, plusDays } from '../timed-tenant.ts';
import type { Answer } from '../world.ts';
import { monthsAfter, type Period, periodOf, tellPeriod } from './calendar.ts';
import * as model from './model.ts';
import { type Account, Refused } from './model.ts';
import type { Real } from './real.ts';

/** What happens to an account: the request that people send, and what the model makes of it. */

export type Day = 'once' | 'twice' | 'at once' | 'late' | 'skipped';

export type Step =
  | { do: 'bill'; months: number; discount?: number }
  | { do: 'run billing'; months: number; again: boolean }
  | { do: 'pay'; what: 'some' | 'oldest' | 'all' | 'more'; amount: number; days_ago: number }
  | { do: 'settle'; which: number; share: number; with: 'transfer' | 'credit' }
  | { do: 'owe'; amount: number; in_days: number }
  | { do: 'record'; amount: number; in_days: number }
  | { do: 'void payment' | 'void receipt' | 'void invoice'; which: number }
  | { do: 'reissue'; which: number }
  | { do: 'change plan'; other: number; in_days: number }
  | { do: 'change terms'; terms: { monthly_fee?: number; due_day?: number; billing_type?: 'prepaid' | 'postpaid' } }
  | { do: 'suspend' | 'resume' }
  | { do: 'hold'; days: number }
  | { do: 'let pass'; days: Day[] }
  | { do: 'at once'; steps: [Step, Step] };

type StepOf<T extends Step['do']> = Extract<Step, { do: T }>;

const which = fc.nat(12);
const amount = fc.integer({ min: 1, max: 250_000 });
const day = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Day>('once') },
  { weight: 1, arbitrary: fc.constantFrom<Day>('twice', 'at once', 'late', 'skipped') },
);
const step = <T extends Step['do']>(what: T, fields: Record<string, fc.Arbitrary<unknown>> = {}) =>
  fc.record({ do: fc.constant(what), ...fields }, { noNullPrototype: true }) as unknown as fc.Arbitrary<StepOf<T>>;

const pays = step('pay', {
  what: fc.constantFrom('some', 'oldest', 'all', 'all', 'more'),
  amount,
  days_ago: fc.constantFrom(0, 0, 0, 1, 5),
});
const settles = (with_credit: boolean) =>
  step('settle', {
    which,
    share: fc.constantFrom(0.3, 0.5, 1),
    with: with_credit ? fc.constantFrom('transfer', 'credit') : fc.constant('transfer'),
  });
const receives = fc.oneof(pays, settles(false));

const terms = fc.oneof(
  fc.record({ monthly_fee: fc.integer({ min: 0, max: 320_000 }) }, { noNullPrototype: true }),
  fc.record({ due_day: fc.integer({ min: 1, max: 31 }) }, { noNullPrototype: true }),
  fc.record({ billing_type: fc.constantFrom('prepaid', 'postpaid') }, { noNullPrototype: true }),
);
const passing = (minLength: number, maxLength: number) =>
  step('let pass', { days: fc.array(day, { minLength, maxLength, size: 'max' }) });

/** Each is as frequent as any other of the list. */
const STEPS: fc.Arbitrary<Step>[] = [
  step('bill', { months: fc.integer({ min: -1, max: 2 }) }),
  step('bill', { months: fc.integer({ min: 0, max: 1 }), discount: fc.integer({ min: 1, max: 120_000 }) }),
  step('run billing', { months: fc.integer({ min: -1, max: 1 }), again: fc.boolean() }),
  pays,
  pays,
  settles(true),
  settles(true),
  fc.oneof(
    step('owe', { amount, in_days: fc.integer({ min: -15, max: 15 }) }),
    step('record', { amount, in_days: fc.integer({ min: -5, max: 5 }) }),
  ),
  fc.oneof(step('void payment', { which }), step('void receipt', { which }), step('void invoice', { which })),
  step('reissue', { which }),
  step('change plan', { other: fc.nat(1), in_days: fc.constantFrom(0, 0, 0, 3, 12, 25) }),
  step('change plan', { other: fc.nat(1), in_days: fc.constantFrom(0, 0, 0, 3, 12, 25) }),
  fc.oneof({ weight: 1, arbitrary: step('change terms', { terms }) }, { weight: 2, arbitrary: passing(1, 12) }),
  fc.oneof(step('suspend'), step('resume'), step('resume'), step('hold', { days: fc.nat(20) })),
  fc.oneof({ weight: 2, arbitrary: passing(1, 3) }, { weight: 1, arbitrary: passing(10, 40) }),
  passing(1, 12),
  step('at once', { steps: fc.tuple(receives, receives) }),
];

/** A request, and what it does to the account. */
interface Deed {
  method: 'POST' | 'PUT';
  path: string;
  body: object;
  apply(): void;
}

function billing(account: Account, period: Period, { tenant, customer_id }: Real, discount?: number): Deed {
  const { today } = tenant;
  const body = { customer_id, period: tellPeriod(period), discount };
  return { method: 'POST', path: '/invoices', body, apply: () => model.bill(account, period, today, { discount }) };
}

/** Null: there is nothing to do it with. */
function plan(step: Step, account: Account, real: Real): Deed | null {
  const { tenant, customer_id, plans } = real;
  const { today } = tenant;
  const now = Date.now();
  const post = (path: string, body: object, apply: () => void): Deed => ({ method: 'POST', path, body, apply });
  const pick = <T>(list: T[], at: number): T | undefined => list[at % list.length];
  /** Of a day that is over only the date is known: its middle. */
  const moneyOf = (amount: number, payment_method: string, payment_date: string) => ({
    amount,
    payment_method,
    payment_date,
    received_ms: payment_date === today ? now : dawnOf(payment_date, tenant.zone) + 12 * HOUR_MS,
  });
  switch (step.do) {
    case 'bill':
      return billing(account, monthsAfter(periodOf(today), step.months), real, step.discount);
    case 'pay': {
      const amount = amountOf(step, account);
      const payment_date = plusDays(today, -step.days_ago);
      const money = moneyOf(amount, 'cash', payment_date);
      const body = { amount, payment_method: 'cash', ...(step.days_ago > 0 && { payment_date }) };
      return post(`/customers/${customer_id}/payments`, body, () => model.pay(account, money, today));
    }
    case 'settle': {
      // now and then one that is paid, or void
      const due = pick(step.which % 4 === 0 ? account.dues : model.openDues(account), step.which);
      if (!due) return null;
      const amount = Math.max(1, Math.floor(due.amount * step.share));
      const body = { amount, payment_method: step.with };
      const apply = () =>
        step.with === 'credit'
          ? model.settleWithCredit(account, due, amount, today, today)
          : model.settleDue(account, due, moneyOf(amount, step.with, today), today);
      return post(`/payments/${due.id}/settle`, body, apply);
    }
    case 'owe': {
      const due_date = plusDays(today, step.in_days);
      const body = { customer_id, amount: step.amount, due_date, payment_for: 'other' };
      return post('/payments', body, () => model.owe(account, step.amount, due_date, today));
    }
    case 'record': {
      const due_date = plusDays(today, step.in_days);
      const body = { customer_id, amount: step.amount, due_date, payment_date: today, payment_method: 'e-wallet' };
      return post('/payments', body, () => model.recordPaid(account, moneyOf(step.amount, 'e-wallet', today), due_date, today)); // prettier-ignore
    }
    case 'void payment': {
      const due = pick(account.dues, step.which);
      const apply = () => model.voidPayment(account, due!, today);
      return due ? { method: 'PUT', path: `/payments/${due.id}/status`, body: { status: 'void' }, apply } : null;
    }
    case 'void receipt': {
      const receipt = pick(account.receipts, step.which);
      if (!receipt) return null;
      return post(`/receipts/${receipt.id}/void`, { reason: 'salah' }, () => model.voidReceipt(account, receipt, today)); // prettier-ignore
    }
    case 'void invoice': {
      const invoice = pick(account.invoices, step.which);
      if (!invoice) return null;
      return post(`/invoices/${invoice.id}/void`, { reason: 'salah' }, () => model.voidInvoice(account, invoice, today)); // prettier-ignore
    }
    case 'change plan': {
      const to = plans.filter(({ id }) => id !== account.terms.plan.id)[step.other]!;
      const effective_date = plusDays(today, step.in_days);
      const body = { service_plan_id: to.id, effective_date };
      return post(`/customers/${customer_id}/change-plan`, body, () => model.changePlan(account, to, effective_date, today)); // prettier-ignore
    }
    case 'change terms':
      return {
        method: 'PUT',
        path: `/customers/${customer_id}`,
        body: step.terms,
        apply: () => void Object.assign(account.terms, step.terms),
      };
    case 'suspend':
    case 'resume':
      return post(`/customers/${customer_id}/${step.do}`, {}, () => model[step.do](account, today));
    case 'hold': {
      const until = plusDays(today, step.days);
      return post(`/customers/${customer_id}/hold`, { until }, () => model.hold(account, until, today));
    }
    default:
      return null;
  }
}

function amountOf({ what, amount }: StepOf<'pay'>, account: Account): number {
  const owed = model.outstandingOf(account);
  const [oldest] = model.openDues(account);
  if (what === 'some' || !oldest) return amount;
  if (what === 'oldest') return oldest.amount;
  return what === 'all' ? owed : owed + amount;
}

function isRefused(apply: () => void): boolean {
  try {
    apply();
    return false;
  } catch (error) {
    if (error instanceof Refused) return true;
    throw error;
  }
}

const send = ({ tenant }: Real, { method, path, body }: Deed): Promise<Answer> =>
  tenant.call(method, path, { body, headers: { 'Idempotency-Key': crypto.randomUUID() } });

function checkAnswer({ status, text }: Answer, deed: Deed, is_refused: boolean): void {
  const expected = is_refused ? [400, 409] : [200, 201];
  expect(expected, `${deed.method} ${deed.path} ${JSON.stringify(deed.body)}: ${text}`).toContain(status);
}

/** Each series of receipts rises as they are committed: its numbers tell who came first. */
const numberIn = ({ data }: Answer): string => (data?.receipt ?? data)?.number ?? '~';

async function takeAtOnce({ steps }: StepOf<'at once'>, account: Account, real: Real): Promise<void> {
  const deeds = steps.map(step => plan(step, account, real)).filter(deed => deed !== null);
  const answers = await Promise.all(deeds.map(deed => send(real, deed)));
  const done = deeds.map((deed, at) => ({ deed, answer: answers[at]! }));
  // who was refused came too late
  done.sort((a, b) => (numberIn(a.answer) < numberIn(b.answer) ? -1 : 1));
  for (const { deed, answer } of done) checkAnswer(answer, deed, isRefused(deed.apply));
  real.count('at once');
}

/** The daily job, whenever it comes on that day; after each of them all must be as the model says. */
async function letPass({ days }: StepOf<'let pass'>, account: Account, real: Real): Promise<void> {
  const { tenant } = real;
  for (const how of days) {
    tenant.setDay(plusDays(tenant.today, 1), how === 'late' ? 0.99 : 0.02);
    if (how === 'skipped') continue;
    const times = how === 'twice' || how === 'at once' ? 2 : 1;
    if (how === 'at once') await Promise.all([tenant.runDailyJob(), tenant.runDailyJob()]);
    else for (let at = 0; at < times; at++) await tenant.runDailyJob();
    const { status } = account;
    model.daily(account, tenant.today);
    real.count(status === account.status ? 'day' : `day: ${account.status}`);
    await real.compare(account);
  }
}

async function runBilling({ months, again }: StepOf<'run billing'>, account: Account, real: Real): Promise<void> {
  const { tenant } = real;
  const period = monthsAfter(periodOf(tenant.today), months);
  const run = async () => tenant.finishJob((await tenant.post('/billing/run', { period: tellPeriod(period) })).id);
  for (const job of await Promise.all(again ? [run(), run()] : [run()]))
    expect(job, JSON.stringify(job.errors)).toMatchObject({ status: 'completed', failed: 0 });
  model.runBilling(account, period, tenant.today);
}

async function request(what: string, deed: Deed, real: Real): Promise<boolean> {
  const answer = await send(real, deed);
  const is_refused = isRefused(deed.apply);
  checkAnswer(answer, deed, is_refused);
  real.count(is_refused ? `${what} refused` : what);
  return !is_refused;
}

/** Taken back, and made anew for the same month. */
async function reissue({ which }: StepOf<'reissue'>, account: Account, real: Real): Promise<void> {
  const invoice = account.invoices[which % account.invoices.length];
  const voiding = plan({ do: 'void invoice', which }, account, real);
  if (!invoice || !voiding || !(await request('void to reissue', voiding, real))) return;
  await real.compare(account);
  vi.setSystemTime(Date.now() + 1000);
  await request('reissue', billing(account, invoice.period, real), real);
}

export async function take(step: Step, account: Account, real: Real): Promise<void> {
  // no two things in one millisecond: what came first is older
  vi.setSystemTime(Date.now() + 1000);
  if (step.do === 'let pass') await letPass(step, account, real);
  else if (step.do === 'at once') await takeAtOnce(step, account, real);
  else if (step.do === 'run billing') await runBilling(step, account, real);
  else if (step.do === 'reissue') await reissue(step, account, real);
  else {
    const deed = plan(step, account, real);
    if (deed) await request(step.do, deed, real);
  }
  await real.compare(account);
}

class StepCommand implements fc.AsyncCommand<Account, Real> {
  readonly step: Step;

  constructor(step: Step) {
    this.step = step;
  }

  check(): boolean {
    return true;
  }

  run(account: Account, real: Real): Promise<void> {
    return take(this.step, account, real);
  }

  toString(): string {
    return JSON.stringify(this.step);
  }
}

export const commands = (maxCommands: number) =>
  fc.commands(
    STEPS.map(step => step.map(each => new StepCommand(each))),
    { maxCommands, size: 'max' },
  );
