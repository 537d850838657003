import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silenceHub } from '../support/hub.ts';
import { checkBooks, checkNothingLost, checkNumbers } from '../support/books.ts';
import { dumpDatabase } from '../support/direct.ts';
import {
  dateThere,
  dawnOf,
  daysBetween,
  HOUR_MS,
  holdClock,
  plusDays,
  TimedTenant,
  ZONES,
} from '../support/timed-tenant.ts';
import type { Answer } from '../support/world.ts';

/** Money: what is due and when, what is paid, twice or at the same moment, taken back, and what it comes to. */

// nobody listens
beforeEach(silenceHub);

/** The rows of one run are there in the next: a failure is shown as it came, not made smaller among other rows. */
const RUNS = { numRuns: 100, endOnFailure: true };

/** Long before any moment of a test: a session is never older than its user. */
const BEGINNING = '2019-12-31T20:00:00Z';

beforeEach(() => void holdClock(BEGINNING));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const METHODS = ['cash', 'transfer', 'e-wallet', 'credit_card', 'gateway'] as const;
const amounts = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 2_000_000 }));
const methods = fc.constantFrom(...METHODS);
const zones = fc.constantFrom(...ZONES);

/** A day of some years with two 29ths of February among them. */
const days = fc.integer({ min: 0, max: 2500 }).map(days => plusDays('2023-01-01', days));

async function makeTenant(zone?: string) {
  const tenant = await TimedTenant.open(zone);
  return { tenant, plan: await tenant.addPlan(), d1: await tenant.database() };
}

async function addActive(tenant: TimedTenant, plan_id: string, fields: Record<string, unknown> = {}) {
  const { id } = await tenant.addCustomer(plan_id, fields);
  return tenant.post(`/customers/${id}/activate`, {});
}

const pay = (tenant: TimedTenant, customer_id: string, body: object, key: string = crypto.randomUUID()) =>
  tenant.call('POST', `/customers/${customer_id}/payments`, { body, headers: { 'Idempotency-Key': key } });

/** As data: people get it as a PDF. */
const receiptOf = (tenant: TimedTenant, payment_id: string): Promise<Answer> =>
  tenant.call('GET', `/payments/${payment_id}/receipt`, { headers: { accept: 'application/json' } });

/** Every row but those of keys, which say what was asked and not what was done. */
async function dumpMoney(tenant: TimedTenant): Promise<unknown> {
  const { idempotency_keys: _keys, ...tables } = await dumpDatabase(await tenant.database());
  return tables;
}

/** As much of it as tells of any change of money, for what looks often. */
const sumUp = (tenant: TimedTenant): Promise<unknown> =>
  tenant.rows(`SELECT (SELECT max(seq) FROM events) AS seq, (SELECT sum(value) FROM sequences) AS numbers,
    (SELECT json_group_array(json_array(status, count, amount)) FROM payment_totals) AS dues,
    (SELECT json_group_array(json_array(date, revenue, cash)) FROM money_days) AS days,
    (SELECT json_array(count(*), sum(amount), sum(unallocated), max(updated_at)) FROM receipts) AS receipts,
    (SELECT json_array(count(*), sum(amount)) FROM receipt_allocations) AS allocations,
    (SELECT json_array(count(*), max(updated_at)) FROM payments) AS payments,
    (SELECT json_array(sum(outstanding_balance), sum(credit_balance), sum(account_version)) FROM customers) AS owed`);

async function changesNothing(tenant: TimedTenant, action: () => Promise<Answer>, look = sumUp): Promise<Answer> {
  const before = await look(tenant);
  const answer = await action();
  expect(await look(tenant)).toEqual(before);
  return answer;
}

describe('one payment', () => {
  test('P18 created with a payment_date it is paid, without it is pending', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    const sent = fc.record({
      amount: amounts,
      method: methods,
      paid_days_ago: fc.option(fc.nat(500)),
      due_in: fc.option(fc.integer({ min: -90, max: 90 })),
      payment_for: fc.constantFrom('monthly_subscription', 'installation', 'speed_boost', 'other'),
    });
    await fc.assert(
      fc.asyncProperty(sent, days, zones, async ({ amount, method, paid_days_ago, due_in, payment_for }, day, zone) => {
        await tenant.moveTo(zone);
        tenant.setDay(day);
        const payment_date = paid_days_ago === null ? undefined : plusDays(day, -paid_days_ago);
        const due_date = due_in === null ? undefined : plusDays(day, due_in);
        const paid = { payment_date, payment_method: method };
        const made = await tenant.post('/payments', {
          customer_id: customer.id,
          amount,
          payment_for,
          ...(due_date && { due_date }),
          ...(payment_date && paid),
        });
        const expected = {
          amount,
          payment_for,
          due_date: due_date ?? payment_date ?? day,
          status: payment_date ? 'paid' : 'pending',
          payment_date: payment_date ?? null,
          payment_method: payment_date ? method : null,
          parent_id: null,
          invoice_id: null,
        };
        expect(made).toMatchObject(expected);
        expect(await tenant.get(`/payments/${made.id}`)).toEqual(made);
        const receipt = await receiptOf(tenant, made.id);
        expect(receipt.status).toBe(payment_date ? 200 : 404);
        const allocations = [{ payment_id: made.id, amount }];
        const its_receipt = { amount, unallocated: 0, payment_method: method, received_on: payment_date, allocations };
        if (payment_date) expect(receipt.data).toMatchObject(its_receipt);
      }),
      RUNS,
    );
    await checkBooks(d1, customer.id);
    await checkNumbers(d1);
  });

  test('P18 money can’t have come in tomorrow, by the tenant’s own calendar', async () => {
    const { tenant, plan } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    await fc.assert(
      fc.asyncProperty(zones, days, fc.integer({ min: -3, max: 3 }), async (zone, day, minutes) => {
        await tenant.moveTo(zone);
        vi.setSystemTime(dawnOf(day, zone) + minutes * 60_000);
        const body = { customer_id: customer.id, amount: 5, payment_date: day };
        // before midnight that day is yet to come
        const expected = minutes < 0 ? 400 : 201;
        const answer = await tenant.call('POST', '/payments', { body });
        expect(answer.status, answer.text).toBe(expected);
        if (expected === 400) expect(Object.keys(answer.error.details!)).toEqual(['payment_date']);
      }),
      RUNS,
    );
  });

  test('P21 set paid without a payment_date, it was paid today', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    const part_of_day = fc.constantFrom(0, 0.01, 0.3, 0.5, 0.9, 1);
    await fc.assert(
      fc.asyncProperty(zones, days, part_of_day, amounts, fc.boolean(), async (zone, day, at, amount, by_settling) => {
        await tenant.moveTo(zone);
        tenant.setDay(day, at);
        const { id } = await tenant.post('/payments', { customer_id: customer.id, amount, due_date: plusDays(day, 3) });
        const paid = by_settling
          ? await tenant.post(`/payments/${id}/settle`, { amount, payment_method: 'transfer' })
          : await tenant.put(`/payments/${id}/status`, { status: 'paid' });
        const payment_method = by_settling ? 'transfer' : 'cash';
        expect(paid).toMatchObject({ id, status: 'paid', payment_date: day, payment_method });
        const receipt = await receiptOf(tenant, id);
        expect(receipt.data).toMatchObject({ received_on: day, received_at: new Date().toISOString(), amount });
      }),
      RUNS,
    );
    await checkBooks(d1, customer.id);
  });
});

/** By the calendar that children learn. */
function lastDayOf(year: number, month: number): number {
  const is_leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return [31, is_leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!;
}

const two = (number: number): string => String(number).padStart(2, '0');

/** P19 as it is said, and what data-model.md says of the two kinds of billing. */
function dueDate(year: number, month: number, billing_type: string, due_day: number): string {
  const [due_year, due_month] =
    billing_type === 'prepaid' ? [year, month] : month === 12 ? [year + 1, 1] : [year, month + 1];
  return `${due_year}-${two(due_month)}-${two(Math.min(due_day, lastDayOf(due_year, due_month)))}`;
}

describe('due dates', () => {
  const terms = fc.record({
    billing_type: fc.constantFrom('prepaid', 'postpaid'),
    due_day: fc.oneof(fc.integer({ min: 1, max: 31 }), fc.integer({ min: 28, max: 31 })),
    year: fc.integer({ min: 2023, max: 2033 }),
    month: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 2, 12)),
  });
  type Terms = typeof terms extends fc.Arbitrary<infer T> ? T : never;
  /** Each day with each kind once, in a February of a leap year or of another one, or due in it. */
  const each_day = Array.from({ length: 31 }, (_, at) => at + 1).flatMap(due_day =>
    (['prepaid', 'postpaid'] as const).map(billing_type => {
      const month = billing_type === 'prepaid' ? 2 : 1;
      return [{ billing_type, due_day, year: due_day % 2 === 0 ? 2024 : 2025, month }] as [Terms];
    }),
  );

  test('P19 a due of a month is due on the customer’s day of it, or on its last day', async () => {
    const { tenant, plan } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    await fc.assert(
      fc.asyncProperty(terms, async ({ billing_type, due_day, year, month }) => {
        await tenant.put(`/customers/${customer.id}`, { billing_type, due_day });
        const body = { customer_id: customer.id, amount: 1000, period_month: month, period_year: year };
        const made = await tenant.post('/payments', body);
        expect(made.due_date).toBe(dueDate(year, month, billing_type, due_day));
        expect(made).toMatchObject({ period_month: month, period_year: year });
      }),
      { ...RUNS, numRuns: 100 + each_day.length, examples: each_day },
    );
  });

  test('P19 and so is an invoice, prepaid and postpaid, in whatever zone', async () => {
    const { tenant, plan } = await makeTenant();
    await fc.assert(
      fc.asyncProperty(terms, zones, async ({ billing_type, due_day, year, month }, zone) => {
        await tenant.moveTo(zone);
        // on the very edge of the month that is billed: which month it is there is not asked
        tenant.setDay(`${year}-${two(month)}-01`, 0);
        const customer = await addActive(tenant, plan.id, { billing_type, due_day });
        const period = `${year}-${two(month)}`;
        const invoice = await tenant.post('/invoices', { customer_id: customer.id, period });
        const due_date = dueDate(year, month, billing_type, due_day);
        expect(invoice).toMatchObject({ due_date, issue_date: `${period}-01`, period_month: month, period_year: year });
        const dues = await tenant.get(`/customers/${customer.id}/payments`);
        expect(dues).toMatchObject([{ due_date, invoice_id: invoice.id, payment_for: 'monthly_subscription' }]);
      }),
      { ...RUNS, numRuns: 20 + each_day.length, examples: each_day.map(([each]) => [each, 'Asia/Jakarta']) },
    );
  });
});

describe('overdue', () => {
  const overdueEvents = (tenant: TimedTenant, id: string) =>
    tenant.rows(
      `SELECT actor, created_at FROM events WHERE entity_id = ? AND changes ->> '$.status[1]' = 'overdue' ORDER BY seq`,
      id,
    );

  /** Moments around the midnight that ends the due date, in milliseconds from it. */
  const around = fc.array(
    fc.oneof(
      fc.constantFrom(-24 * HOUR_MS, -2 * HOUR_MS, -HOUR_MS, -1000, -1, 0, 1, HOUR_MS, 2 * HOUR_MS, 23 * HOUR_MS),
      fc.integer({ min: -40 * HOUR_MS, max: 60 * HOUR_MS }),
    ),
    { minLength: 1, maxLength: 3 },
  );
  /** The nights in which clocks change in New York, and those around them. */
  const changes = ['2024-03-09', '2024-03-10', '2024-11-02', '2024-11-03', '2026-03-08', '2026-10-31', '2026-11-01'];
  const due_dates = fc.tuple(
    fc.oneof(
      fc.tuple(zones, days),
      fc.tuple(fc.constant<(typeof ZONES)[number]>('America/New_York'), fc.constantFrom(...changes)),
    ),
    around,
    fc.constantFrom(true, false, false),
  );

  test('P20 overdue by the daily job, never before midnight of the tenant’s day, and only once', async () => {
    const { tenant, plan } = await makeTenant();
    // nobody's line: a due by itself, which no other job touches
    const customer = await tenant.addCustomer(plan.id);
    await fc.assert(
      fc.asyncProperty(due_dates, async ([[zone, due_date], moments, twice]) => {
        await tenant.moveTo(zone);
        const midnight = dawnOf(plusDays(due_date, 1), zone);
        const in_order = [...moments].sort((a, b) => a - b);
        vi.setSystemTime(midnight + in_order[0]! - 1);
        const body = { customer_id: customer.id, amount: 1000, due_date };
        const { id } = await tenant.post('/payments', body);
        for (const moment of in_order) {
          vi.setSystemTime(midnight + moment);
          await (twice ? Promise.all([tenant.runDailyJob(), tenant.runDailyJob()]) : tenant.runDailyJob());
          const { status } = await tenant.get(`/payments/${id}`);
          expect(status, `${moment} ms from the midnight after ${due_date} in ${zone}`).toBe(
            moment < 0 ? 'pending' : 'overdue',
          );
        }
        expect(await overdueEvents(tenant, id)).toHaveLength(in_order.at(-1)! < 0 ? 0 : 1);
        // out of the way of the runs to come, which may be of earlier days
        await tenant.put(`/payments/${id}/status`, { status: 'void' });
      }),
      RUNS,
    );
    await checkBooks(await tenant.database(), customer.id);
  });

  test('P20 what is paid, void or due today is left alone, and a job that comes days late catches up', async () => {
    const { tenant, plan } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    tenant.setDay('2026-05-10');
    const due = (due_date: string) => tenant.post('/payments', { customer_id: customer.id, amount: 1000, due_date });
    const [paid, gone, yesterday, today, tomorrow] = [
      await due('2026-05-09'),
      await due('2026-05-09'),
      await due('2026-05-09'),
      await due('2026-05-10'),
      await due('2026-05-11'),
    ];
    await tenant.put(`/payments/${paid.id}/status`, { status: 'paid' });
    await tenant.put(`/payments/${gone.id}/status`, { status: 'void' });
    const statuses = async () =>
      Promise.all([paid, gone, yesterday, today, tomorrow].map(async ({ id }) => (await tenant.get(`/payments/${id}`)).status)); // prettier-ignore
    await tenant.runDailyJob();
    expect(await statuses()).toEqual(['paid', 'void', 'overdue', 'pending', 'pending']);
    tenant.setDay('2026-05-31');
    await tenant.runDailyJob();
    expect(await statuses()).toEqual(['paid', 'void', 'overdue', 'overdue', 'overdue']);
  });
});

describe('refused', () => {
  test('P16 zero, negative, fractional, not-a-number, infinite and over-large amounts are refused', async () => {
    const { tenant, plan } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    const due = await tenant.post('/payments', { customer_id: customer.id, amount: 1000 });
    await pay(tenant, customer.id, { amount: 5000, payment_method: 'cash' });
    const open = await tenant.post('/payments', { customer_id: customer.id, amount: 1000 });
    const places = {
      '/payments': { customer_id: customer.id },
      [`/payments/${open.id}/settle`]: { payment_method: 'cash' },
      [`/payments/${open.id}/settle?`]: { payment_method: 'credit' },
      [`/customers/${customer.id}/payments`]: { payment_method: 'cash' },
    };
    /** As JSON text, since JSON can say numbers that JavaScript can't hold. */
    const bad = fc.oneof(
      fc.integer({ max: 0 }).map(String),
      fc.double({ min: 0, max: 1e6, noNaN: true }).filter(n => !Number.isInteger(n)).map(String), // prettier-ignore
      fc.integer({ min: 1, max: 1_000_000_000 }).map(above => String(1e12 + above)),
      fc.constantFrom(
        '0',
        '-1',
        '1.5',
        '1e400',
        '-1e400',
        '1e308',
        '9007199254740993',
        '"NaN"',
        '"1000"',
        'true',
        '[1]',
        '{}',
        'null',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(places)), bad, async (path, text) => {
        const body = JSON.stringify({ ...places[path], amount: '#' }).replace('"#"', text);
        const headers = { 'Idempotency-Key': crypto.randomUUID() };
        const answer = await changesNothing(tenant, () =>
          tenant.call('POST', path.replace('?', ''), { body, headers }),
        );
        expect(answer.status, `${path} ${text}: ${answer.text}`).toBe(400);
        expect(Object.keys(answer.error.details!)).toEqual(['amount']);
      }),
      { ...RUNS, numRuns: 100 + Object.keys(places).length, examples: Object.keys(places).map(path => [path, '0']) },
    );
    // more than is owed, or than there is of credit
    for (const payment_method of ['cash', 'credit']) {
      const body = { amount: 1001, payment_method };
      const answer = await changesNothing(tenant, () => tenant.call('POST', `/payments/${open.id}/settle`, { body }));
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, ['amount']]);
    }
    // the ends of the range are good
    for (const amount of [1, 1e12]) await tenant.post('/payments', { customer_id: customer.id, amount });
    expect((await tenant.get(`/payments/${due.id}`)).status).toBe('paid');
  });

  test('P07 who may not void can’t, by any route, and nothing changes; who may not write can’t pay', async () => {
    const { tenant, plan } = await makeTenant();
    vi.setSystemTime(Date.parse('2026-05-10T03:00:00Z'));
    const customer = await addActive(tenant, plan.id);
    const invoice = await tenant.post('/invoices', { customer_id: customer.id, period: '2026-05' });
    const [due] = await tenant.get(`/customers/${customer.id}/payments`);
    const { data: receipt } = await pay(tenant, customer.id, { amount: 1000, payment_method: 'cash' });
    const users = {
      operator: await tenant.addUser('operator'),
      technician: await tenant.addUser('technician'),
      viewer: await tenant.addUser('viewer'),
    };
    const cash = { amount: 10, payment_method: 'cash' };
    const voiding: [string, string, object?][] = [
      ['DELETE', `/payments/${due.id}`],
      ['PUT', `/payments/${due.id}/status`, { status: 'void' }],
      ['PATCH', `/payments/${due.id}/status`, { status: 'void', void_reason: 'x' }],
      ['POST', `/receipts/${receipt.id}/void`, { reason: 'x' }],
      ['POST', `/invoices/${invoice.id}/void`, { reason: 'x' }],
    ];
    const writing: [string, string, object?][] = [
      ['POST', '/payments', { customer_id: customer.id, amount: 10 }],
      ['PUT', `/payments/${due.id}/status`, { status: 'paid' }],
      ['POST', `/payments/${due.id}/settle`, cash],
      ['POST', `/customers/${customer.id}/payments`, cash],
      ['POST', '/invoices', { customer_id: customer.id, period: '2026-06' }],
      ['POST', '/billing/run', { period: '2026-06' }],
    ];
    const attempts = [
      ...voiding.map(each => ['operator', ...each] as const),
      ...[...voiding, ...writing].flatMap(each => [['technician', ...each] as const, ['viewer', ...each] as const]),
    ];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...attempts), async ([role, method, path, body]) => {
        const headers = { 'Idempotency-Key': crypto.randomUUID() };
        const act = () => tenant.callAs(users[role], method, path, { body, headers });
        const answer = await changesNothing(tenant, act, dumpMoney);
        // a PATCH that isn't there is refused by not being there
        expect(answer.status === 404 && method === 'PATCH' ? 403 : answer.status, `${role} ${method} ${path}`).toBe(
          403,
        );
      }),
      { ...RUNS, numRuns: 2 * attempts.length, examples: attempts.map(each => [each]) },
    );
    // the operator may do the rest
    expect((await tenant.callAs(users.operator, 'POST', `/payments/${due.id}/settle`, { body: cash })).status).toBe(
      200,
    );
    expect((await tenant.call('DELETE', `/payments/${due.id}`)).status).toBe(200);
  });

  test('what is paid or void stays so, and nothing becomes pending or overdue by hand', async () => {
    const { tenant, plan } = await makeTenant();
    const customer = await tenant.addCustomer(plan.id);
    const paid = await tenant.post('/payments', { customer_id: customer.id, amount: 10, payment_date: '2019-12-31' });
    const gone = await tenant.post('/payments', { customer_id: customer.id, amount: 10 });
    const open = await tenant.post('/payments', { customer_id: customer.id, amount: 10 });
    await tenant.call('DELETE', `/payments/${gone.id}`);
    const { data: receipt } = await pay(tenant, customer.id, { amount: 3, payment_method: 'cash' });
    await tenant.post(`/receipts/${receipt.id}/void`, { reason: 'salah' });
    const status = (id: string, status: string) => ['PUT', `/payments/${id}/status`, { status }] as const;
    const settle = (id: string) => ['POST', `/payments/${id}/settle`, { amount: 1, payment_method: 'cash' }] as const;
    const attempts = [
      status(paid.id, 'paid'),
      status(gone.id, 'paid'),
      status(gone.id, 'void'),
      settle(paid.id),
      settle(gone.id),
      ['DELETE', `/payments/${gone.id}`, undefined] as const,
      ['POST', `/receipts/${receipt.id}/void`, { reason: 'lagi' }] as const,
      ...[paid, gone, open].flatMap(({ id }) => [status(id, 'pending'), status(id, 'overdue')]),
    ];
    for (const [method, path, body] of attempts) {
      const answer = await changesNothing(tenant, () => tenant.call(method, path, { body }), dumpMoney);
      expect([answer.status, answer.error.code], `${method} ${path}`).toEqual([409, 'INVALID_TRANSITION']);
    }
  });
});

/** Things that people do to an account; `which` chooses among what is there at that moment. */
type Deed =
  | { do: 'owe'; amount: number; due_in: number }
  | { do: 'record'; amount: number }
  | { do: 'pay'; amount: number }
  | { do: 'settle'; which: number; share: number; with: 'cash' | 'credit' }
  | { do: 'set-paid'; which: number }
  | { do: 'void' | 'void-receipt' | 'void-invoice'; which: number }
  | { do: 'invoice' | 'run-billing'; month: number }
  | { do: 'daily' };

const which = fc.nat(20);
const small = fc.integer({ min: 1, max: 300 });
const deeds: fc.Arbitrary<Deed> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('owe'), amount: small, due_in: fc.integer({ min: -9, max: 9 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('record'), amount: small }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pay'), amount: small }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('settle'),
      which,
      share: fc.constantFrom(0.3, 0.5, 1),
      with: fc.constantFrom('cash', 'credit'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set-paid'), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('void', 'void-receipt'), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('void-invoice'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('invoice', 'run-billing'), month: fc.integer({ min: 1, max: 3 }) }) }, // prettier-ignore
  { weight: 1, arbitrary: fc.record({ do: fc.constant('daily') }) },
) as fc.Arbitrary<Deed>;

interface Found {
  payments: { id: string; amount: number; status: string }[];
  receipts: { id: string; amount: number }[];
  invoices: { id: string }[];
}

/** One customer's account, and how much money its provider really has from it. */
class Counter {
  readonly tenant: TimedTenant;
  readonly id: string;
  money = 0;
  readonly owed = new Map<string, number>();

  constructor(tenant: TimedTenant, id: string) {
    this.tenant = tenant;
    this.id = id;
  }

  async look(): Promise<Found> {
    const d1 = await this.tenant.database();
    const tables = ['payments', 'receipts', 'invoices'];
    const statements = tables.map(table => d1.prepare(`SELECT * FROM ${table} WHERE customer_id = ? ORDER BY id`).bind(this.id)); // prettier-ignore
    const [payments, receipts, invoices] = (await d1.batch(statements)).map(({ results }) => results);
    return { payments, receipts, invoices } as unknown as Found;
  }

  async do(deed: Deed, found: Found): Promise<void> {
    if (deed.do === 'daily') return this.tenant.runDailyJob();
    const answer = await this.#call(deed, found);
    if (!answer) return;
    // whatever comes in at the same moment: done, or refused for what it is
    expect([200, 201, 202, 400, 409], `${JSON.stringify(deed)}: ${answer.text}`).toContain(answer.status);
    expect(answer.error?.code).not.toBe('CONFLICT');
    if (answer.status >= 400) return;
    if (deed.do === 'owe' || deed.do === 'record') this.owed.set(answer.data.id, answer.data.amount);
    if (deed.do === 'record' || deed.do === 'pay' || deed.do === 'set-paid') this.money += answer.data.amount;
    if (deed.do === 'settle') this.money += answer.data.receipt?.amount ?? 0;
    if (deed.do === 'void-receipt') this.money -= answer.data.amount;
    if (deed.do === 'run-billing') await this.tenant.finishJob(answer.data.id);
  }

  #call(deed: Deed, { payments, receipts, invoices }: Found): Promise<Answer> | null {
    const { tenant, id: customer_id } = this;
    const pick = <T>(list: T[], at: number): T | undefined => list[at % list.length];
    const post = (path: string, body: object) => tenant.call('POST', path, { body });
    const today = tenant.today;
    switch (deed.do) {
      case 'owe':
        return post('/payments', { customer_id, amount: deed.amount, due_date: plusDays(today, deed.due_in) });
      case 'record':
        return post('/payments', { customer_id, amount: deed.amount, payment_date: today });
      case 'pay':
        return pay(tenant, customer_id, { amount: deed.amount, payment_method: 'cash' });
      case 'settle': {
        const due = pick(payments.filter(({ status }) => status !== 'void' && status !== 'paid'), deed.which); // prettier-ignore
        const amount = due && Math.max(1, Math.floor(due.amount * deed.share));
        return due ? post(`/payments/${due.id}/settle`, { amount, payment_method: deed.with }) : null;
      }
      case 'set-paid':
      case 'void': {
        const due = pick(payments, deed.which);
        const status = deed.do === 'void' ? 'void' : 'paid';
        return due ? tenant.call('PUT', `/payments/${due.id}/status`, { body: { status } }) : null;
      }
      case 'void-receipt': {
        const receipt = pick(receipts, deed.which);
        return receipt ? post(`/receipts/${receipt.id}/void`, { reason: 'salah' }) : null;
      }
      case 'void-invoice': {
        const invoice = pick(invoices, deed.which);
        return invoice ? post(`/invoices/${invoice.id}/void`, { reason: 'salah' }) : null;
      }
      case 'invoice':
        return post('/invoices', { customer_id, period: `2026-0${deed.month}` });
      case 'run-billing':
        return post('/billing/run', { period: `2026-0${deed.month}` });
      default:
        return null;
    }
  }
}

describe('the books', () => {
  test('P22a whatever is done to an account, in whatever order and at the same moment, its books are right', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    tenant.setDay('2026-01-10');
    const moments = fc.array(fc.array(deeds, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(moments, fc.boolean(), async (moments, is_late) => {
        const customer = await addActive(tenant, plan.id, { monthly_fee: 200, due_day: 5 });
        const counter = new Counter(tenant, customer.id);
        // an invoice that is overdue: its due day was some days ago
        if (is_late) await counter.do({ do: 'invoice', month: 1 }, await counter.look());
        if (is_late) await counter.do({ do: 'daily' }, await counter.look());
        for (const at_once of moments) {
          const found = await counter.look();
          await Promise.all(at_once.map(deed => counter.do(deed, found)));
          await checkBooks(d1, customer.id);
        }
        await checkNothingLost(d1, customer.id, counter.owed);
        const [{ money }] = await tenant.rows(
          'SELECT coalesce(sum(amount), 0) AS money FROM receipts WHERE customer_id = ? AND voided_at IS NULL',
          customer.id,
        );
        expect(money).toBe(counter.money);
        // whoever is billed from now on is another one
        await tenant.post(`/customers/${customer.id}/terminate`, {});
      }),
      RUNS,
    );
    await checkNumbers(d1);
  });

  test('P22a money of many callers at the same moment is all there, and settles each due once', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const sums = (maxLength: number) => fc.array(small, { minLength: 1, maxLength });
    await fc.assert(
      fc.asyncProperty(sums(3), sums(4), async (dues, payments) => {
        const { id } = await tenant.addCustomer(plan.id);
        for (const amount of dues) await tenant.post('/payments', { customer_id: id, amount });
        const answers = await Promise.all(payments.map(amount => pay(tenant, id, { amount, payment_method: 'cash' })));
        expect(answers.map(({ status }) => status)).toEqual(payments.map(() => 201));
        await checkBooks(d1, id);
        const sum = (list: number[]) => list.reduce((all, each) => all + each, 0);
        const [owed, paid] = [sum(dues), sum(payments)];
        expect(await tenant.get(`/customers/${id}`)).toMatchObject({
          outstanding_balance: Math.max(0, owed - paid),
          credit_balance: Math.max(0, paid - owed),
        });
      }),
      RUNS,
    );
    await checkNumbers(d1);
  });
});

describe('twice', () => {
  /** The routes that take an Idempotency-Key; `makes`: how many receipts the first call makes. */
  const ROUTES = {
    counter: { makes: 1, path: (id: string) => `/customers/${id}/payments`, body: { payment_method: 'cash' } },
    paid: { makes: 1, path: () => '/payments', body: { payment_date: '2019-12-31' } },
    due: { makes: 0, path: () => '/payments', body: {} },
    settle: { makes: 1, path: (_id: string, due: string) => `/payments/${due}/settle`, body: { payment_method: 'cash' } }, // prettier-ignore
  };

  test('P22b the same key never records two receipts, whoever sends it, when and how often', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const operator = await tenant.addUser('operator');
    const names = fc.constantFrom(...(Object.keys(ROUTES) as (keyof typeof ROUTES)[]));
    const counts = async () => (await tenant.rows('SELECT (SELECT count(*) FROM receipts) AS receipts, (SELECT count(*) FROM payments) AS payments'))[0]; // prettier-ignore
    await fc.assert(
      fc.asyncProperty(names, amounts, fc.integer({ min: 2, max: 4 }), async (name, amount, callers) => {
        const { id } = await tenant.addCustomer(plan.id);
        const { makes, path, body } = ROUTES[name];
        vi.setSystemTime(Date.now() + HOUR_MS);
        // more is owed than is paid twice: what comes later finds as much open
        const due = await tenant.post('/payments', { customer_id: id, amount: 2 * amount + 5 });
        const key = crypto.randomUUID();
        const send = (sent: object, { user = tenant.admin, to = path(id, due.id) } = {}) =>
          tenant.callAs(user, 'POST', to, { body: sent, headers: { 'Idempotency-Key': key } });
        const of_new = name === 'paid' || name === 'due' ? { customer_id: id } : {};
        const sent = { amount, ...body, ...of_new };
        const before = await counts();
        const answers = await Promise.all(Array.from({ length: callers }, () => send(sent)));
        for (const { status, data } of answers)
          expect([status, data], name).toEqual([name === 'settle' ? 200 : 201, answers[0]!.data]);
        expect((await counts()).receipts - before.receipts).toBe(makes);
        const again = await changesNothing(tenant, () => send(sent));
        expect([again.status, again.data]).toEqual([answers[0]!.status, answers[0]!.data]);
        const other = name === 'counter' ? '/payments' : `/customers/${id}/payments`;
        const other_body = name === 'counter' ? { customer_id: id, amount } : { amount, payment_method: 'cash' };
        for (const attempt of [
          () => send({ ...sent, amount: amount + 1 }),
          () => send(sent, { user: operator }),
          () => send(other_body, { to: other }),
        ]) {
          const answer = await changesNothing(tenant, attempt);
          expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
        }
        vi.setSystemTime(Date.now() + 24 * HOUR_MS - 1);
        const late = await changesNothing(tenant, () => send(sent));
        expect([late.status, late.data]).toEqual([answers[0]!.status, answers[0]!.data]);
        vi.setSystemTime(Date.now() + 1);
        // forgotten as a key, but not as the key of a receipt
        if (makes === 1) expect((await changesNothing(tenant, () => send(sent))).status).toBe(409);
        else expect((await send(sent)).data.id).not.toBe(answers[0]!.data.id);
        await checkBooks(d1, id);
      }),
      RUNS,
    );
    await checkNumbers(d1);
  });

  test('P22b of two that send one key with other words at the same moment, one is refused', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const operator = await tenant.addUser('operator');
    const { id } = await tenant.addCustomer(plan.id);
    const sendings = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean()), {
      minLength: 2,
      maxLength: 5,
      selector: each => String(each),
    });
    await fc.assert(
      fc.asyncProperty(sendings, async list => {
        const headers = { 'Idempotency-Key': crypto.randomUUID() };
        const send = ([amount, by_operator]: [number, boolean]) =>
          tenant.callAs(by_operator ? operator : tenant.admin, 'POST', `/customers/${id}/payments`, {
            body: { amount, payment_method: 'cash' },
            headers,
          });
        const before = await tenant.get(`/customers/${id}`);
        const answers = await Promise.all(list.map(send));
        const done = answers.filter(({ status }) => status === 201);
        expect(done).toHaveLength(1);
        expect(answers.filter(({ status }) => status === 409)).toHaveLength(list.length - 1);
        const { credit_balance } = await tenant.get(`/customers/${id}`);
        expect(credit_balance - before.credit_balance).toBe(done[0]!.data.amount);
      }),
      RUNS,
    );
    await checkBooks(d1, id);
  });

  test('P22c however often the month is billed, each active customer has one invoice of it', async () => {
    const { tenant, plan, d1 } = await makeTenant();
    const active: string[] = [];
    for (const due_day of [1, 31])
      for (const billing_type of ['prepaid', 'postpaid'])
        // nobody pays in this test: a line that is cut isn't invoiced before it is known for which days
        active.push((await addActive(tenant, plan.id, { due_day, billing_type, auto_isolir: false })).id);
    const waiting = await tenant.addCustomer(plan.id);
    const operator = await tenant.addUser('operator');
    let [year, month] = [2020, 0];
    const rounds = fc.oneof(fc.constantFrom([1], [2], [3]), fc.constantFrom([1, 2], [2, 1]));
    await fc.assert(
      fc.asyncProperty(
        rounds,
        fc.constantFrom(true, false, false),
        fc.nat(3),
        async (rounds, with_daily_job, alone) => {
          // each run a month of its own, so that nothing is left of the last one
          [year, month] = month === 12 ? [year + 1, 1] : [year, month + 1];
          const period = `${year}-${two(month)}`;
          tenant.setDay(`${period}-05`);
          for (const times of rounds) {
            const starting = Array.from({ length: times }, async (_, at) => {
              const user = at % 2 === 0 ? tenant.admin : operator;
              const { status, data, text } = await tenant.callAs(user, 'POST', '/billing/run', { body: { period } });
              expect(status, text).toBe(202);
              return tenant.finishJob(data.id);
            });
            const by_hand = tenant.call('POST', '/invoices', { body: { customer_id: active[alone], period } });
            const daily = with_daily_job ? tenant.runDailyJob() : null;
            for (const job of await Promise.all(starting))
              expect(job).toMatchObject({ kind: 'billing_run', status: 'completed', failed: 0 });
            expect([201, 409]).toContain((await by_hand).status);
            await daily;
          }
          const found = await tenant.rows(
            `SELECT i.customer_id, count(*) AS n, count(p.id) AS dues FROM invoices i
          LEFT JOIN payments p ON p.invoice_id = i.id WHERE i.period = ? GROUP BY i.customer_id`,
            period,
          );
          expect(found).toHaveLength(active.length);
          for (const { customer_id, n, dues } of found) expect([active.includes(customer_id), n, dues]).toEqual([true, 1, 1]); // prettier-ignore
        },
      ),
      RUNS,
    );
    await checkBooks(d1, ...active, waiting.id);
    await checkNumbers(d1);
  });

  test('P22c a voided invoice is billed again only by a run that is told to, and by hand', async () => {
    const { tenant, plan } = await makeTenant();
    tenant.setDay('2026-05-05');
    const { id: customer_id } = await addActive(tenant, plan.id);
    const period = '2026-05';
    const bill = async (body: object = {}) => {
      const job = await tenant.finishJob((await tenant.post('/billing/run', { period, ...body })).id);
      return [job.status, job.succeeded];
    };
    const standing = async () => (await tenant.get('/invoices', { customer_id })).filter(({ status }: { status: string }) => status !== 'void'); // prettier-ignore
    expect(await bill()).toEqual(['completed', 1]);
    const [first] = await standing();
    await tenant.post(`/invoices/${first.id}/void`, { reason: 'salah' });
    expect(await bill()).toEqual(['completed', 0]);
    await tenant.runDailyJob();
    expect(await standing()).toEqual([]);
    expect(await bill({ reissue_void: true })).toEqual(['completed', 1]);
    const [second] = await standing();
    await tenant.post(`/invoices/${second.id}/void`, { reason: 'salah' });
    await tenant.post('/invoices', { customer_id, period });
    expect(await bill({ reissue_void: true })).toEqual(['completed', 0]);
    expect(await standing()).toHaveLength(1);
  });
});

describe('figures', () => {
  /** `2020-03`, so many months later. */
  const monthAfter = (months: number): string => {
    const at = new Date(Date.UTC(2020, 2 + months, 1));
    return at.toISOString().slice(0, 7);
  };
  const dayIn = (month: string, part: number): string =>
    `${month}-${two(1 + Math.floor(part * (lastDayOf(Number(month.slice(0, 4)), Number(month.slice(5))) - 1)))}`;

  const revenueOf = async (tenant: TimedTenant, month: string): Promise<number> =>
    (await tenant.rows("SELECT coalesce(sum(amount), 0) AS n FROM payments WHERE status = 'paid' AND substr(payment_date, 1, 7) = ?", month))[0].n; // prettier-ignore
  const cashOf = async (tenant: TimedTenant, month: string): Promise<number> =>
    (await tenant.rows('SELECT coalesce(sum(amount), 0) AS n FROM receipts WHERE voided_at IS NULL AND substr(received_on, 1, 7) = ?', month))[0].n; // prettier-ignore

  test('P41 P42 revenue of a month is what was paid in it; growth is against the month before, or null', async () => {
    const { tenant, plan } = await makeTenant();
    const { id: customer_id } = await tenant.addCustomer(plan.id);
    tenant.setDay('2070-01-01');
    const kinds = fc.constantFrom('paid', 'paid', 'voided', 'receipt voided', 'open', 'part');
    const part = fc.constantFrom(0, 0.2, 0.5, 1);
    const some = fc.array(fc.tuple(fc.constantFrom(0, 1), part, amounts, kinds), { maxLength: 5 });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(some, async list => {
        // months that no other run has
        const months = [monthAfter(3 * ++run), monthAfter(3 * run + 1)] as const;
        const expected = { revenue: [0, 0], cash: [0, 0] };
        for (const [month, at, amount, kind] of list) {
          const payment_date = dayIn(months[month]!, at);
          const paid = kind === 'open' || kind === 'part' ? {} : { payment_date };
          const made = await tenant.post('/payments', { customer_id, amount: amount + 1, ...paid });
          if (kind === 'part')
            await tenant.post(`/payments/${made.id}/settle`, { amount, payment_method: 'cash', payment_date });
          if (kind === 'voided') await tenant.put(`/payments/${made.id}/status`, { status: 'void' });
          if (kind === 'receipt voided') {
            const { data: receipt } = await receiptOf(tenant, made.id);
            await tenant.post(`/receipts/${receipt.id}/void`, { reason: 'salah' });
          }
          const money = kind === 'part' ? amount : amount + 1;
          if (kind === 'paid' || kind === 'part') expected.revenue[month]! += money;
          // voiding a payment gives nothing back: the money is there, as credit
          if (kind === 'paid' || kind === 'part' || kind === 'voided') expected.cash[month]! += money;
        }
        const stats = await tenant.get('/payments/stats', { month: months[1] });
        const [last_revenue, revenue] = expected.revenue as [number, number];
        expect(stats).toMatchObject({ month: months[1], revenue, last_revenue, cash: expected.cash[1], last_cash: expected.cash[0] }); // prettier-ignore
        expect([revenue, expected.cash[1]]).toEqual([await revenueOf(tenant, months[1]), await cashOf(tenant, months[1])]); // prettier-ignore
        if (last_revenue === 0) expect(stats.growth_percent).toBeNull();
        else expect(stats.growth_percent).toBeCloseTo(((revenue - last_revenue) / last_revenue) * 100, 1);
      }),
      RUNS,
    );
  });

  test('P41 around the midnight in which a month ends, the tenant’s calendar says which month it was', async () => {
    const { tenant, plan } = await makeTenant();
    const { id: customer_id } = await tenant.addCustomer(plan.id);
    const around = fc.oneof(fc.constantFrom(-1, 0, 1), fc.integer({ min: -20 * HOUR_MS, max: 20 * HOUR_MS }));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(zones, around, amounts, async (zone, from_midnight, amount) => {
        await tenant.moveTo(zone);
        const [before, after] = [monthAfter(2 * ++run), monthAfter(2 * run + 1)];
        vi.setSystemTime(dawnOf(`${after}-01`, zone) + from_midnight);
        const due = await tenant.post('/payments', { customer_id, amount });
        await tenant.put(`/payments/${due.id}/status`, { status: 'paid' });
        const figures = async (month?: string) => {
          const { revenue, cash } = await tenant.get('/payments/stats', { month });
          return [revenue, cash];
        };
        const [is, is_not] = from_midnight < 0 ? [before, after] : [after, before];
        expect(await figures(is)).toEqual([amount, amount]);
        expect(await figures(is_not)).toEqual([0, 0]);
        // the present month, and day, unless told
        expect(await figures()).toEqual([amount, amount]);
        const { today } = await tenant.get('/payments/stats');
        expect([today, is]).toEqual([{ revenue: amount, cash: amount }, dateThere(Date.now(), zone).slice(0, 7)]);
      }),
      RUNS,
    );
  });

  test('P15 the counts by status add up to the total, and to what the list finds', async () => {
    const { tenant, plan } = await makeTenant();
    const { id: customer_id } = await tenant.addCustomer(plan.id);
    tenant.setDay('2026-05-10');
    const kinds = fc.constantFrom('pending', 'overdue', 'paid', 'void', 'part');
    const made = { pending: [0, 0], overdue: [0, 0], paid: [0, 0], void: [0, 0] };
    const count = (status: keyof typeof made, amount: number) => {
      made[status][0]! += 1;
      made[status][1]! += amount;
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(kinds, amounts), { minLength: 1, maxLength: 4 }), async list => {
        for (const [kind, amount] of list) {
          const dated = kind === 'paid' ? { payment_date: '2026-05-10' } : { due_date: kind === 'overdue' ? '2026-05-09' : '2026-05-10' }; // prettier-ignore
          const { id } = await tenant.post('/payments', { customer_id, amount: amount + 1, ...dated });
          if (kind === 'void') await tenant.put(`/payments/${id}/status`, { status: 'void' });
          if (kind === 'part') {
            await tenant.post(`/payments/${id}/settle`, { amount, payment_method: 'cash' });
            count('paid', amount);
            count('pending', 1);
          } else count(kind, amount + 1);
        }
        await tenant.runDailyJob();
        const { total, by_status } = await tenant.get('/payments/stats');
        const counted = Object.entries(made).map(([status, [count, amount]]) => [status, { count, amount }]);
        expect(by_status).toEqual(Object.fromEntries(counted));
        expect(total).toBe(Object.values(made).reduce((sum, [count]) => sum + count!, 0));
        const { status } = fc.sample(fc.record({ status: fc.constantFrom(...(Object.keys(made) as (keyof typeof made)[])) }), 1)[0]!; // prettier-ignore
        const { meta } = await tenant.call('GET', '/payments', { query: { status, per_page: 1 } });
        expect(meta.total).toBe(made[status][0]);
      }),
      RUNS,
    );
    expect((await tenant.call('GET', '/payments', { query: { per_page: 1 } })).meta.total).toBe((await tenant.get('/payments/stats')).total); // prettier-ignore
  });
});

test('the calendar of these tests: a day begins at its midnight, also where clocks change or there is none', () => {
  for (const [date, zone, instant] of [
    ['2026-11-20', 'Asia/Jakarta', '2026-11-19T17:00:00.000Z'],
    ['2026-11-20', 'Asia/Kathmandu', '2026-11-19T18:15:00.000Z'],
    ['2026-11-02', 'America/New_York', '2026-11-02T05:00:00.000Z'],
    ['2026-11-01', 'America/New_York', '2026-11-01T04:00:00.000Z'],
    ['2026-11-20', 'Pacific/Apia', '2026-11-19T11:00:00.000Z'],
    ['2026-09-06', 'America/Santiago', '2026-09-06T04:00:00.000Z'],
  ] as const)
    expect([new Date(dawnOf(date, zone)).toISOString(), dateThere(dawnOf(date, zone), zone)]).toEqual([instant, date]);
  expect(daysBetween('2024-02-28', '2024-03-01')).toBe(2);
});
