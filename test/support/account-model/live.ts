import fc from 'fast-check';
import { plusDays, ZONES } from '../timed-tenant.ts';
import type { AccountOptions } from './options.ts';
import { tellPeriod } from './calendar.ts';
import type { Account } from './model.ts';
import { type Beginning, Real } from './real.ts';
import { commands, type Step, take } from './steps.ts';

/** Many accounts from one seed, each lived through side by side with its model. */

const ORDINARY: Beginning = {
  zone: 'Asia/Jakarta',
  date: '2027-06-01',
  settings: {},
  terms: { due_day: 15, billing_type: 'prepaid', plan: 0, discount: 0 },
};

const beginnings: fc.Arbitrary<Beginning> = fc.record({
  zone: fc.constantFrom(...ZONES),
  // over the end of a year, and a 29th of February
  date: fc.integer({ min: 0, max: 500 }).map(days => plusDays('2027-06-01', days)),
  settings: fc.record({
    grace_days: fc.constantFrom(0, 1, 3, 10),
    invoice_days_before_due: fc.constantFrom(0, 7, 28),
    tax_rate_bp: fc.constantFrom(0, 1100, 1025),
    bill_suspended_periods: fc.boolean(),
  }),
  terms: fc.record({
    due_day: fc.oneof(fc.integer({ min: 1, max: 31 }), fc.constantFrom(1, 31)),
    billing_type: fc.constantFrom('prepaid', 'postpaid'),
    plan: fc.nat(2),
    discount: fc.constantFrom(0, 0, 7_777, 100_000),
  }),
});

/** What became of it, so that a run can be seen to have met what it is for. */
function tellOf({ invoices, dues, plan_changes }: Account, real: Real): void {
  real.count('invoices', invoices.length);
  real.count('invoices that carry over', invoices.filter(({ charged }) => charged.carried_over < 0).length);
  real.count('invoices of two months', invoices.filter(({ charged, period }) => charged.service_from < `${tellPeriod(period)}-01`).length); // prettier-ignore
  real.count('dues', dues.length);
  real.count('dues paid with credit', dues.filter(({ payment_method }) => payment_method === 'credit').length);
  real.count('plan changes', plan_changes.length);
}

/** One account of which each step is given. */
export async function liveThrough(beginning: Partial<Beginning>, ...steps: Step[]): Promise<void> {
  const real = await Real.make();
  const account = await real.begin({ ...ORDINARY, ...beginning });
  for (const step of steps) await take(step, account, real);
}

export async function liveAccounts({ seed, runs, path, steps }: AccountOptions): Promise<string> {
  const real = await Real.make();
  await fc.assert(
    fc.asyncProperty(beginnings, commands(steps), async (beginning, commands) => {
      const account = await real.begin(beginning);
      await fc.asyncModelRun(() => ({ model: account, real }), commands);
      await real.end();
      real.count('account');
      tellOf(account, real);
    }),
    // made shorter by hand: each try would cost a second
    { seed, numRuns: runs, ...(path && { path }), endOnFailure: true },
  );
  await real.checkNumbers();
  return [...real.counts]
    .map(([what, times]) => `${what}: ${times}`)
    .sort()
    .join('\n');
}
