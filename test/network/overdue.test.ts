import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { dayFromNow } from '../support/calendar.ts';
import { checkBooks } from '../support/books.ts';
import { callWith } from '../support/direct.ts';
import { letIn } from '../support/interleave.ts';
import { clearFaults, dialIn, findSecret, isOnline, NetworkTenant, waitUntil } from '../support/network-world.ts';
import { consume } from '../support/queues.ts';
import { holdClock, plusDays, TimedTenant, ZONES } from '../support/timed-tenant.ts';
import { type Answer } from '../support/world.ts';

/** Whoever owes too long is cut off by the daily job; whoever pays is not, and comes back, whichever comes first. */

/** Each of these rules holds in other tests too: payments, the account's model, the simulation. */
const RUNS = { numRuns: 30, endOnFailure: true };
const ROUTER = { host: '10.20.0.1', username: 'api', password: 'rahasia-router' };
const TODAY = '2026-05-20';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function makeTenant() {
  holdClock('2019-12-31T20:00:00Z');
  const tenant = await TimedTenant.open();
  await tenant.put('/settings', { suspension_policy: 'disable' });
  await tenant.post('/routers', { name: 'r', ...ROUTER });
  return { tenant, plan: await tenant.addPlan(), d1: await tenant.database() };
}

async function addLine(tenant: TimedTenant, plan_id: string, fields: Record<string, unknown> = {}): Promise<string> {
  const { id } = await tenant.addCustomer(plan_id, fields);
  await tenant.post(`/customers/${id}/activate`, {});
  return id;
}

interface Recorded {
  due_date: string;
  /** Days of grace don't begin before it. */
  recorded: string;
  amount?: number;
}

/** Owes since long ago, and is active since today: nothing is invoiced in these tests but what they invoice. */
async function addOwing(tenant: TimedTenant, plan_id: string, owed: Recorded[], fields: Record<string, unknown> = {}) {
  tenant.setDay(plusDays(TODAY, -60));
  const { id } = await tenant.addCustomer(plan_id, fields);
  const dues: { id: string; amount: number }[] = [];
  for (const { due_date, recorded, amount = 1000 } of owed) {
    tenant.setDay(recorded);
    dues.push(await tenant.post('/payments', { customer_id: id, amount, due_date, payment_for: 'other' }));
  }
  tenant.setDay(TODAY);
  await tenant.post(`/customers/${id}/activate`, {});
  return { id: id as string, dues };
}

interface Line {
  status: string;
  suspension_reason: string | null;
  /** What the router must hold. */
  is_disabled: unknown;
}

async function lineOf(tenant: TimedTenant, id: string): Promise<Line> {
  const { status, suspension_reason } = await tenant.get(`/customers/${id}`);
  const { items } = await tenant.get(`/customers/${id}/provisioning`);
  const secret = items.find(({ kind }: { kind: string }) => kind === 'ppp_secret');
  return { status, suspension_reason, is_disabled: secret.desired.disabled };
}

const UP: Line = { status: 'active', suspension_reason: null, is_disabled: false };
const CUT: Line = { status: 'suspended', suspension_reason: 'overdue', is_disabled: true };

/** What settles, or takes away, all or a part of what is owed. */
const WAYS = ['pay all', 'pay more', 'settle each', 'void each', 'pay a part'] as const;
type Way = (typeof WAYS)[number];

/** Asked from the very databases that tests look into: SELF has its own. */
async function ask(tenant: TimedTenant, method: string, path: string, body?: object): Promise<Answer> {
  const headers = { 'Idempotency-Key': crypto.randomUUID() };
  const token = await tenant.tokenOf(tenant.admin);
  const answer = await callWith({}, method, `/api/v1${path}`, { token, body, headers });
  expect([200, 201], answer.text).toContain(answer.status);
  return answer;
}

async function settleBy(tenant: TimedTenant, way: Way, customer_id: string, dues: { id: string; amount: number }[]) {
  const owed = dues.reduce((sum, { amount }) => sum + amount, 0);
  const pay = (amount: number) =>
    ask(tenant, 'POST', `/customers/${customer_id}/payments`, { amount, payment_method: 'cash' });
  if (way === 'pay all') return pay(owed);
  if (way === 'pay more') return pay(owed + 5);
  if (way === 'pay a part') return pay(owed - 1);
  for (const { id, amount } of dues)
    if (way === 'void each') await ask(tenant, 'PUT', `/payments/${id}/status`, { status: 'void' });
    else await ask(tenant, 'POST', `/payments/${id}/settle`, { amount, payment_method: 'transfer' });
}

const cases = fc.record({
  way: fc.constantFrom(...WAYS),
  /** Which round trip the other one comes before; there are fewer, sometimes. */
  trip: fc.nat(14),
  dues: fc.integer({ min: 1, max: 2 }),
  /** The job has said before that it is overdue, and waited for the days of grace. */
  known: fc.boolean(),
  others: fc.integer({ min: 0, max: 1 }),
});

interface Owing {
  id: string;
  dues: { id: string; amount: number }[];
  others: string[];
}

async function makeOwing(
  tenant: TimedTenant,
  plan_id: string,
  { dues, known, others }: { dues: number; known: boolean; others: number },
): Promise<Owing> {
  const recorded = plusDays(TODAY, -35);
  const first = await addOwing(tenant, plan_id, Array.from({ length: dues }, (_, at) => ({ due_date: plusDays(TODAY, -20 - at), recorded }))); // prettier-ignore
  if (known) await tenant.rows("UPDATE payments SET status = 'overdue' WHERE customer_id = ?", first.id);
  const bystanders: string[] = [];
  for (let at = 0; at < others; at++)
    bystanders.push((await addOwing(tenant, plan_id, [{ due_date: plusDays(TODAY, -20), recorded }])).id);
  return { ...first, others: bystanders };
}

/** Out of the way of the next run. */
async function endAll(tenant: TimedTenant, { id, others }: Owing): Promise<void> {
  for (const each of [id, ...others]) {
    await tenant.post(`/customers/${each}/terminate`, {});
    await tenant.call('DELETE', `/customers/${each}`);
  }
}

async function checkEnd(tenant: TimedTenant, d1: D1Database, way: Way, { id, others }: Owing, ran: boolean) {
  // a part is owed still: until the job has had its turn it may be either
  if (way !== 'pay a part') expect(await lineOf(tenant, id), way).toEqual(UP);
  else expect([UP, CUT]).toContainEqual(await lineOf(tenant, id));
  await tenant.runDailyJob();
  expect(await lineOf(tenant, id), way).toEqual(way === 'pay a part' ? CUT : UP);
  for (const other of others) if (ran) expect(await lineOf(tenant, other)).toEqual(CUT);
  await checkBooks(d1, id, ...others);
}

describe('paying while the daily job is at work', () => {
  test('P22a a payment that lands between the job’s reading and its writing: nobody is cut off who has paid', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    tenant.setDay(TODAY);
    const landed = new Set<string>();
    await fc.assert(
      fc.asyncProperty(cases, async ({ way, trip, ...rest }) => {
        const owing = await makeOwing(tenant, plan.id, rest);
        const between = letIn(d1, trip, () => settleBy(tenant, way, owing.id, owing.dues));
        await tenant.runDailyJob();
        between.stop();
        // the job was over before: then it comes after
        if (!between.happened) await settleBy(tenant, way, owing.id, owing.dues);
        landed.add(`${between.happened ? trip : 'after'}`);
        await checkEnd(tenant, d1, way, owing, true);
        await endAll(tenant, owing);
      }),
      { ...RUNS, examples: [[{ way: 'pay all', trip: 99, dues: 1, known: false, others: 0 }]] },
    );
    // it did land in the midst of it, at several places, and after it
    expect(landed.size, [...landed].join(' ')).toBeGreaterThan(3);
    expect(landed).toContain('after');
  });

  test('P22a the job comes between a payment’s reading and its writing: the line is brought back at once', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    tenant.setDay(TODAY);
    let landed = 0;
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 0, max: 4 }), async ({ way, ...rest }, trip) => {
        const owing = await makeOwing(tenant, plan.id, rest);
        const between = letIn(d1, trip, () => tenant.runDailyJob());
        await settleBy(tenant, way, owing.id, owing.dues);
        between.stop();
        if (between.happened) landed += 1;
        await checkEnd(tenant, d1, way, owing, between.happened);
        await endAll(tenant, owing);
      }),
      RUNS,
    );
    expect(landed).toBeGreaterThan(3);
  });

  test('P22a both at the same moment, the job more than once', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    tenant.setDay(TODAY);
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 1, max: 2 }), fc.nat(40), async ({ way, ...rest }, jobs, after_ms) => {
        const owing = await makeOwing(tenant, plan.id, rest);
        const starting = Array.from({ length: jobs }, () => tenant.runDailyJob());
        const pay = async () => {
          // the job takes longer: somewhere in it
          await new Promise(resolve => setTimeout(resolve, after_ms));
          await settleBy(tenant, way, owing.id, owing.dues);
        };
        await Promise.all([...starting, pay()]);
        await checkEnd(tenant, d1, way, owing, true);
        const suspensions = await tenant.rows("SELECT 1 FROM events WHERE entity_id = ? AND type = 'customer.suspended'", owing.id); // prettier-ignore
        // cut off at most once for one debt; again only because a part of it was left
        expect(suspensions.length).toBeLessThanOrEqual(1);
        await endAll(tenant, owing);
      }),
      RUNS,
    );
  });
});

describe('who is cut off, and when', () => {
  const promises = fc.record({
    zone: fc.constantFrom(...ZONES),
    grace: fc.integer({ min: 0, max: 12 }),
    grace_of_plan: fc.option(fc.integer({ min: 0, max: 12 })),
    auto_isolir: fc.constantFrom(true, true, true, false),
    hold_days: fc.option(fc.integer({ min: 0, max: 20 })),
    due_days_ago: fc.integer({ min: -3, max: 25 }),
    recorded_days_ago: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constant(40)),
  });

  test('P20 nobody before the grace is over, nor with a promise to pay; everybody on the first day after', async () => {
    const { tenant } = await makeTenant();
    const [plan, other] = [await tenant.addPlan(), await tenant.addPlan()];
    await fc.assert(
      fc.asyncProperty(
        promises,
        async ({ zone, grace, grace_of_plan, auto_isolir, hold_days, due_days_ago, recorded_days_ago }) => {
          await tenant.moveTo(zone);
          tenant.setDay(TODAY);
          await tenant.put('/settings', { grace_days: grace });
          const own = grace_of_plan === null ? other : plan;
          await tenant.put(`/service-plans/${own.id}/advanced`, { grace_period_days: grace_of_plan });
          const [due_date, recorded] = [plusDays(TODAY, -due_days_ago), plusDays(TODAY, -recorded_days_ago)];
          const { id } = await addOwing(tenant, own.id, [{ due_date, recorded }], { auto_isolir });
          const until = hold_days === null ? null : plusDays(TODAY, hold_days);
          if (until !== null) await tenant.post(`/customers/${id}/hold`, { until });
          const graced = plusDays(due_date > recorded ? due_date : recorded, grace_of_plan ?? grace);
          const last_day_up = until !== null && until > graced ? until : graced;
          // both sides of the border, where it is yet to come
          const border = last_day_up < TODAY ? TODAY : last_day_up;
          for (const [date, at] of [
            [border, 1],
            [plusDays(border, 1), 0],
          ] as const) {
            // prettier-ignore
            tenant.setDay(date, at);
            await tenant.runDailyJob();
            const is_cut = auto_isolir && date > last_day_up;
            expect(await lineOf(tenant, id), `${date}, when ${last_day_up} is the last good one`).toEqual(is_cut ? CUT : UP); // prettier-ignore
          }
          await endAll(tenant, { id, dues: [], others: [] });
        },
      ),
      RUNS,
    );
  });

  test('an invoice that comes after its due date is given its grace from the day it came', async () => {
    const { tenant, plan } = await makeTenant();
    tenant.setDay('2026-04-01');
    const id = await addLine(tenant, plan.id, { due_day: 5 });
    tenant.setDay(TODAY);
    const { due_date } = await tenant.post('/invoices', { customer_id: id, period: '2026-05' });
    expect(due_date).toBe('2026-05-05');
    for (const [days, expected] of [
      [0, UP],
      [3, UP],
      [4, CUT],
    ] as const) {
      // prettier-ignore
      tenant.setDay(plusDays(TODAY, days));
      await tenant.runDailyJob();
      expect(await lineOf(tenant, id), `${days} days after`).toEqual(expected);
    }
  });

  test('money that was there before is used first: nobody with credit is cut off', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const long_ago = { due_date: plusDays(TODAY, -30), recorded: plusDays(TODAY, -40) };
    const enough = await addOwing(tenant, plan.id, [long_ago]);
    const too_little = await addOwing(tenant, plan.id, [long_ago, { ...long_ago, amount: 2000 }]);
    // credit beside what is owed is what a voided payment leaves
    for (const { id: customer_id } of [enough, too_little]) {
      const paid = await ask(tenant, 'POST', '/payments', { customer_id, amount: 1500, payment_date: TODAY });
      await ask(tenant, 'PUT', `/payments/${paid.data.id}/status`, { status: 'void' });
    }
    await tenant.runDailyJob();
    expect(await lineOf(tenant, enough.id)).toEqual(UP);
    const by_credit = { status: 'paid', payment_method: 'credit', payment_date: TODAY };
    expect(await tenant.get(`/payments/${enough.dues[0]!.id}`)).toMatchObject(by_credit);
    expect(await tenant.get(`/customers/${enough.id}`)).toMatchObject({ outstanding_balance: 0, credit_balance: 500 });
    // what it doesn't reach is owed
    expect(await lineOf(tenant, too_little.id)).toEqual(CUT);
    expect(await tenant.get(`/customers/${too_little.id}`)).toMatchObject({ outstanding_balance: 1500, credit_balance: 0 }); // prettier-ignore
    await checkBooks(d1, enough.id, too_little.id);
  });

  test('paying brings back who was cut off for dues, and no other; money that did not come in begins the grace anew', async () => {
    const { tenant, plan } = await makeTenant();
    const long_ago = { due_date: plusDays(TODAY, -30), recorded: plusDays(TODAY, -40) };
    const [{ id: by_hand }, { id: by_job }] = [
      await addOwing(tenant, plan.id, [long_ago]),
      await addOwing(tenant, plan.id, [long_ago]),
    ];
    await tenant.post(`/customers/${by_hand}/suspend`, {});
    await tenant.runDailyJob();
    const pay = (id: string) =>
      ask(tenant, 'POST', `/customers/${id}/payments`, { amount: 1000, payment_method: 'cash' });
    await pay(by_hand);
    expect(await lineOf(tenant, by_hand)).toEqual({ ...CUT, suspension_reason: 'manual' });
    expect(await lineOf(tenant, by_job)).toEqual(CUT);
    const { data: receipt } = await pay(by_job);
    expect(await lineOf(tenant, by_job)).toEqual(UP);
    await ask(tenant, 'POST', `/receipts/${receipt.id}/void`, { reason: 'salah' });
    for (const [days, expected] of [
      [0, UP],
      [3, UP],
      [4, CUT],
    ] as const) {
      // prettier-ignore
      tenant.setDay(plusDays(TODAY, days));
      await tenant.runDailyJob();
      expect(await lineOf(tenant, by_job), `${days} days after`).toEqual(expected);
    }
  });
});

describe('as the router has it', () => {
  afterEach(clearFaults);

  test('P27 cut off by the daily job the secret is disabled and the session ended; paid, it is enabled', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    await tenant.put('/settings', { suspension_policy: 'disable' });
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    expect(await dialIn(pppoe_username)).toBe(true);
    const long_ago = dayFromNow(-30);
    await tenant.post('/payments', { customer_id: id, amount: 1000, due_date: long_ago });
    // the clock is the bridge's as well: what is recorded now has its days of grace
    await world.query('UPDATE payments SET owed_since = ?', long_ago);
    expect(await consume('rukun-jobs', [{ tenant_id: tenant.id, kind: 'daily' }])).toEqual(['ack']);
    const isCut = async () => [(await findSecret(pppoe_username))?.disabled === 'true', await isOnline(pppoe_username)];
    const [cut, up] = [String([true, false]), String([false, true])];
    await waitUntil(isCut, seen => String(seen) === cut, 'the line is cut');
    expect(await dialIn(pppoe_username)).toBe(false);
    await world.waitFor(id);
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    const body = { amount: 1000, payment_method: 'cash' };
    expect((await tenant.call('POST', `/customers/${id}/payments`, { body, headers })).status).toBe(201);
    const isUp = async () => (await findSecret(pppoe_username))?.disabled === 'false';
    await waitUntil(isUp, Boolean, 'the line is back');
    // its last session is ended after that: who dials in before would be taken for it
    await world.waitFor(id);
    expect(await dialIn(pppoe_username)).toBe(true);
    expect(String(await isCut())).toBe(up);
  });
});
