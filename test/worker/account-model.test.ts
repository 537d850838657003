import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silenceHub } from '../support/hub.ts';
import { daysOf, lastDayOf, monthsAfter, tellPeriod } from '../support/account-model/calendar.ts';
import { liveAccounts, liveThrough } from '../support/account-model/live.ts';
import type { Day, Step } from '../support/account-model/steps.ts';
import { daysBetween, holdClock, plusDays, TimedTenant } from '../support/timed-tenant.ts';

/** A customer's account against a model of it. An account costs about a second. */
const MOST_SECONDS_PER_ACCOUNT = 60;

beforeEach(() => {
  // nobody listens
  silenceHub();
  holdClock('2026-12-31T00:00:00Z');
});
afterEach(() => void vi.useRealTimers());

test(
  'P20 P22a P22c whatever people do and however days pass: dues, invoices, credit and line are as they must be',
  async () => {
    const told = await liveAccounts(env.TEST_ACCOUNTS);
    if (env.TEST_ACCOUNTS.is_told)
      await fetch(`${env.TEST_SIMULATION.control_url}/say`, { method: 'POST', body: told });
  },
  (env.TEST_ACCOUNTS.runs * MOST_SECONDS_PER_ACCOUNT + 60) * 1000,
);

/** Stories that chance seldom tells. */
const days = (count: number): Step => ({ do: 'let pass', days: Array<Day>(count).fill('once') });
const payMuch: Step = { do: 'pay', what: 'some', amount: 2_000_000, days_ago: 0 };
const changePlan: Step = { do: 'change plan', other: 1, in_days: 0 };

test('a plan change is charged once, also when an invoice of before is made anew after later ones', async () => {
  // changed on the 3rd, before the month is invoiced; July is invoiced at the new fee
  await liveThrough({}, payMuch, days(2), changePlan, days(40), { do: 'reissue', which: 0 });
});

test('a plan change is charged once, also when the month that it fell into is invoiced anew', async () => {
  // June is invoiced, then comes the change: July charges the difference for June; then June is made anew
  await liveThrough({}, payMuch, days(12), changePlan, days(30), { do: 'reissue', which: 0 });
});

test('what a cheaper plan gives back is deducted, and what is left of it goes from invoice to invoice', async () => {
  const dearest = { due_day: 5, billing_type: 'prepaid' as const, plan: 2, discount: 0 };
  const to_cheapest: Step = { do: 'change plan', other: 0, in_days: 0 };
  // July is charged for already: more than a month is given back
  await liveThrough(
    { terms: dearest, settings: { invoice_days_before_due: 28 } },
    payMuch,
    days(10),
    to_cheapest,
    days(75),
  );
});

/** What happens in three months; `on`: so many days after they begin. */
type Happening = { on: number } & (
  { do: 'invoice'; month: number } | { do: 'change plan' | 'make anew'; which: number }
);

const MONTHS = Array.from({ length: 4 }, (_, at) => monthsAfter({ year: 2027, month: 6 }, at));
const FIRST = '2027-06-01';

const happenings = (): fc.Arbitrary<Happening[]> => {
  const on = fc.nat(95);
  const change = fc.record({ do: fc.constant('change plan' as const), which: fc.nat(1), on });
  const anew = fc.record({ do: fc.constant('make anew' as const), which: fc.nat(5), on });
  // each month's invoice comes some time before it, in it or after it
  const invoices = MONTHS.slice(0, 3).map((month, at) =>
    fc.integer({ min: -30, max: 40 }).map(days => {
      const on = daysBetween(FIRST, `${tellPeriod(month)}-01`) + days;
      return { do: 'invoice' as const, month: at, on };
    }),
  );
  return fc
    .tuple(fc.tuple(...invoices), fc.array(fc.oneof(change, change, anew), { maxLength: 5 }))
    .map(([invoices, others]) => [...invoices, ...others].sort((a, b) => a.on - b.on));
};

interface Charged {
  id: string;
  status: string;
  subtotal: number;
  carried_over: number;
  carried_to: string | null;
  lines: unknown[];
}

/** Its months are all charged in the end, whatever came before. */
async function liveMonths(
  tenant: TimedTenant,
  plans: { id: string; price: number }[],
  activated: number,
  due_day: number,
  list: Happening[],
) {
  // prettier-ignore
  tenant.setDay(plusDays(FIRST, activated));
  const { id } = await tenant.addCustomer(plans[0]!.id, { due_day, auto_isolir: false });
  await tenant.post(`/customers/${id}/activate`, {});
  const agreed = [{ from: tenant.today, plan: plans[0]! }];
  const invoices = (): Promise<Charged[]> => tenant.get('/invoices', { customer_id: id, per_page: 100, sort: 'created_at' }); // prettier-ignore
  const invoice = async (month: number) => {
    const body = { customer_id: id, period: tellPeriod(MONTHS[month]!) };
    const { status, text } = await tenant.call('POST', '/invoices', { body });
    expect([201, 400, 409], text).toContain(status);
  };
  for (const [at, happening] of list.entries()) {
    // one after the other, also on one day
    tenant.setDay(plusDays(FIRST, Math.max(activated, happening.on)), 0.3 + at / 100);
    if (happening.do === 'invoice') await invoice(happening.month);
    else if (happening.do === 'change plan') {
      const plan = plans.filter(each => each !== agreed.at(-1)!.plan)[happening.which]!;
      await tenant.post(`/customers/${id}/change-plan`, { service_plan_id: plan.id });
      agreed.push({ from: tenant.today, plan });
    } else {
      const made = await invoices();
      const again = made[happening.which % Math.max(1, made.length)] as (Charged & { period_month: number }) | undefined; // prettier-ignore
      if (again) await tenant.call('POST', `/invoices/${again.id}/void`, { body: { reason: 'salah' } });
      if (again) await invoice(again.period_month - 6);
    }
  }
  tenant.setDay(plusDays(FIRST, 115));
  for (const month of MONTHS.keys()) await invoice(month);
  return { standing: (await invoices()).filter(({ status }) => status !== 'void'), agreed };
}

test('each day is charged once, at what was agreed for it, however plans change and invoices come and are made anew', async () => {
  const tenant = await TimedTenant.open();
  const plans: { id: string; price: number }[] = [];
  for (const price of [100_000, 155_555, 300_001]) plans.push({ id: (await tenant.addPlan({ price })).id, price });
  const due_days = fc.integer({ min: 1, max: 31 });
  await fc.assert(
    fc.asyncProperty(fc.nat(29), due_days, happenings(), async (activated, due_day, list) => {
      const { standing, agreed } = await liveMonths(tenant, plans, activated, due_day, list);
      const days = MONTHS.flatMap(month => daysOf(month).map(day => ({ day, of: lastDayOf(month) })));
      const cost = days
        .filter(({ day }) => day >= agreed[0]!.from)
        .map(({ day, of }) => agreed.findLast(({ from }) => from <= day)!.plan.price / of);
      const charged = standing.map(each => each.subtotal + (each.carried_to === null ? each.carried_over : 0));
      const sum = (list: number[]) => list.reduce((all, each) => all + each, 0);
      // each line is rounded by itself, to the half
      const rounding = standing.flatMap(({ lines }) => lines).length / 2;
      const told = standing.map(({ lines }) => JSON.stringify(lines)).join('\n');
      expect(Math.abs(sum(charged) - sum(cost)), told).toBeLessThanOrEqual(rounding + 0.01);
    }),
    { numRuns: 40, endOnFailure: true },
  );
});

test('a line that was cut until its end is not charged for the day on which it ended', async () => {
  const tenant = await TimedTenant.open();
  const plan = await tenant.addPlan();
  tenant.setDay('2027-06-01');
  const { id } = await tenant.addCustomer(plan.id, { billing_type: 'postpaid' });
  await tenant.post(`/customers/${id}/activate`, {});
  tenant.setDay('2027-06-10');
  await tenant.post(`/customers/${id}/suspend`, {});
  tenant.setDay('2027-07-20');
  await tenant.post(`/customers/${id}/terminate`, {});
  tenant.setDay('2027-08-05');
  const bill = (period: string) => tenant.call('POST', '/invoices', { body: { customer_id: id, period } });
  expect((await bill('2027-06')).data.lines).toMatchObject([{ amount: (150_000 * 9) / 30 }]);
  expect((await bill('2027-07')).status).toBe(400);
});

test('an invoice that the daily job makes too late is due some days after it', async () => {
  const skipped: Step = { do: 'let pass', days: Array<Day>(20).fill('skipped') };
  // and is overdue, and the line cut, so many days later
  await liveThrough({}, days(2), skipped, days(14));
});

test('who pays ahead and is cut gets no invoice before the line is back', async () => {
  await liveThrough({}, days(2), { do: 'suspend' }, days(45), { do: 'bill', months: -1 }, { do: 'resume' }, days(5));
});
