import { env } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sweep } from '../../src/jobs/sweep.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { callWith } from '../support/direct.ts';
import { letIn } from '../support/interleave.ts';
import { makeTestAmbient } from '../support/network-world.ts';
import { consume, recordQueues } from '../support/queues.ts';
import { type Answer, mintToken, TestTenant } from '../support/world.ts';

/** Invoices, the provider's day, and what careless or hostile hands do to money; the properties are in payments.test.ts. */

const START = '2026-11-01T03:00:00Z';

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: Date.parse(START) }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const body = (answer: Answer) => [answer.status, answer.error?.code, Object.keys(answer.error?.details ?? {})];

async function goTo(tenant: TestTenant, date: string): Promise<void> {
  vi.setSystemTime(Date.parse(date.length === 10 ? `${date}T03:00:00Z` : date));
  tenant.admin.token = await mintToken(tenant.id, tenant.admin.id, 'admin');
}

const liveDay = async (tenant: TestTenant) =>
  expect(await consume('rukun-jobs', [{ tenant_id: tenant.id, kind: 'daily' }])).toEqual(['ack']);

async function query<T = any>(tenant: TestTenant, sql: string, ...values: unknown[]): Promise<T[]> {
  const d1 = await tenant.database();
  return (await d1.prepare(sql).bind(...values).all<T>()).results; // prettier-ignore
}

/** A priced plan with somebody on it, active since the first of the month. */
async function makeSubscriber(fields: Record<string, unknown> = {}) {
  const tenant = await TestTenant.signUp();
  const plan = await tenant.addPlan();
  const customer = await tenant.addCustomer(plan.id, fields);
  await tenant.post(`/customers/${customer.id}/activate`, { date: '2026-11-01' });
  return { tenant, plan, id: customer.id as string };
}

const pay = (tenant: TestTenant, id: string, amount: number, key: string = crypto.randomUUID()) =>
  tenant.call('POST', `/customers/${id}/payments`, {
    headers: { 'idempotency-key': key },
    body: { amount, payment_method: 'cash' },
  });

async function run(tenant: TestTenant, period: string, more: object = {}): Promise<any> {
  const { id } = await tenant.post('/billing/run', { period, ...more });
  for (;;) {
    const job = await tenant.get(`/jobs/${id}`);
    if (job.finished_at) return job;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

describe('what an invoice says', () => {
  test('the plan at its price, the discount down to the fee, tax by the setting, and its own number', async () => {
    const { tenant, id } = await makeSubscriber({ monthly_fee: 100_000 });
    const { tax_presets } = await tenant.get('/settings');
    expect(await tenant.get('/settings')).toMatchObject({ tax_rate_bp: 0, grace_days: 3, invoice_days_before_due: 7 });
    await tenant.put('/settings', { tax_rate_bp: tax_presets[0].tax_rate_bp, invoice_number_pattern: 'F-{year}-{number:3}' }); // prettier-ignore
    const invoice = await tenant.post('/invoices', { customer_id: id, period: '2026-11', discount: 1000, discount_reason: 'Maaf' }); // prettier-ignore
    expect(invoice).toMatchObject({
      number: 'F-2026-001',
      due_date: '2026-11-15',
      status: 'pending',
      subtotal: 99_000,
      tax: 10_890,
      total: 109_890,
    });
    expect(invoice.lines.map((line: { amount: number }) => line.amount)).toEqual([150_000, -50_000, -1000]);
    expect(invoice.lines[2].description).toBe('Maaf');
    expect(await tenant.get('/payments', { customer_id: id })).toMatchObject([{ amount: 109_890, invoice_id: invoice.id }]); // prettier-ignore
  });

  test('a fee of nothing is an invoice of nothing, and paid', async () => {
    const { tenant, id } = await makeSubscriber({ monthly_fee: 0 });
    expect(await tenant.post('/invoices', { customer_id: id, period: '2026-11' })).toMatchObject({ total: 0, status: 'paid' }); // prettier-ignore
    expect(await tenant.get('/payments')).toEqual([]);
  });

  test('what was recorded for the month before is taken into its invoice', async () => {
    const { tenant, id } = await makeSubscriber();
    const of_month = { customer_id: id, period_year: 2026, period_month: 11 };
    const paid = await tenant.post('/payments', { ...of_month, amount: 60_000, payment_date: '2026-11-01' });
    const open = await tenant.post('/payments', { ...of_month, amount: 50_000 });
    const other = await tenant.post('/payments', { customer_id: id, amount: 5, payment_for: 'installation' });
    const invoice = await tenant.post('/invoices', { customer_id: id, period: '2026-11' });
    const dues = await tenant.get('/payments', { customer_id: id, sort: 'amount' });
    expect(dues.map(({ amount, status, invoice_id }: any) => [amount, status, invoice_id])).toEqual([
      [5, 'pending', null],
      [40_000, 'pending', invoice.id],
      [50_000, 'pending', invoice.id],
      [60_000, 'paid', invoice.id],
    ]);
    expect([paid, open, other].map(each => each.invoice_id)).toEqual([null, null, null]);
    const told = await query(tenant, "SELECT type, changes FROM events WHERE entity_id = ? ORDER BY seq", open.id); // prettier-ignore
    expect(told.map(({ type }) => type)).toEqual(['payment.created', 'payment.updated']);
    expect(JSON.parse(told[1]!.changes)).toEqual({ invoice_id: [null, invoice.id] });
    await pay(tenant, id, 90_005);
    expect((await tenant.get(`/invoices/${invoice.id}`)).status).toBe('paid');
  });

  test('a price that was raised since is not that of the months before', async () => {
    const { tenant, plan, id } = await makeSubscriber({ billing_type: 'postpaid' });
    const agreed = await tenant.addCustomer(plan.id, { billing_type: 'postpaid', monthly_fee: 120_000 });
    await tenant.post(`/customers/${agreed.id}/activate`, { date: '2026-11-01' });
    await goTo(tenant, '2026-12-01');
    await tenant.put(`/service-plans/${plan.id}`, { price: 200_000 });
    await goTo(tenant, '2026-12-08');
    await liveDay(tenant);
    const amounts = async (customer_id: string) =>
      (await tenant.get('/invoices', { customer_id, sort: 'issue_date' })).map(({ lines }: any) =>
        lines.map(({ amount }: { amount: number }) => amount),
      );
    expect(await amounts(id)).toEqual([[150_000]]);
    expect(await amounts(agreed.id)).toEqual([[150_000, -30_000]]);
    await goTo(tenant, '2027-01-08');
    await liveDay(tenant);
    expect(await amounts(id)).toEqual([[150_000], [200_000]]);
  });

  test('credit is left to older dues that are open', async () => {
    const { tenant, id } = await makeSubscriber();
    await pay(tenant, id, 5000);
    const old = await tenant.post('/payments', { customer_id: id, amount: 7000, due_date: '2026-10-20' });
    await run(tenant, '2026-11');
    expect(await tenant.get(`/customers/${id}`)).toMatchObject({ credit_balance: 5000, outstanding_balance: 157_000 });
    await liveDay(tenant);
    expect(await tenant.get(`/payments/${old.id}`)).toMatchObject({ amount: 2000, status: 'overdue' });
  });

  test('on paper, and a receipt as paper or data as it is asked for', async () => {
    const { tenant, id } = await makeSubscriber();
    const invoice = await tenant.post('/invoices', { customer_id: id, period: '2026-11' });
    const { data: receipt } = await pay(tenant, id, 150_000);
    const [due] = await tenant.get('/payments', { customer_id: id });
    const ask = (path: string, accept?: string) =>
      tenant.call('GET', path, { headers: accept === undefined ? {} : { accept } });
    const kinds: [string, string | undefined, 'pdf' | 'json'][] = [
      [`/invoices/${invoice.id}/pdf`, undefined, 'pdf'],
      [`/receipts/${receipt.id}`, undefined, 'json'],
      [`/receipts/${receipt.id}`, 'application/pdf', 'pdf'],
      [`/payments/${due.id}/receipt`, undefined, 'pdf'],
      [`/payments/${due.id}/receipt`, 'application/json', 'json'],
    ];
    for (const [path, accept, kind] of kinds) {
      const answer = await ask(path, accept);
      expect(answer.status, path).toBe(200);
      expect(answer.headers.get('content-type'), path).toBe(`application/${kind}`);
      if (kind === 'pdf') expect(answer.text.startsWith('%PDF-')).toBe(true);
      else expect(answer.data).toEqual(receipt);
    }
    const nobodys = crypto.randomUUID();
    for (const path of [`/invoices/${nobodys}/pdf`, `/receipts/${nobodys}`, `/payments/${nobodys}/receipt`])
      expect((await ask(path, 'application/pdf')).status, path).toBe(404);
  });
});

describe('billing runs', () => {
  /** Straight into the table: the API would take minutes. */
  async function addMany(tenant: TestTenant, plan_id: string, count: number): Promise<void> {
    const d1 = await tenant.database();
    const numbers = JSON.stringify(Array.from({ length: count }, (_, at) => at));
    const rows = `SELECT printf('%08x-0000-7000-8000-000000000000', value), printf('X%05d', value), 'Budi', '081', 'active',
      ?1, 150000, '2026-01-01', 'budi', ?2, ?2 FROM json_each(?3)`;
    const columns = `id, customer_code, full_name, phone, status, service_plan_id, monthly_fee, activation_date, search_text, created_at, updated_at`; // prettier-ignore
    await d1.prepare(`INSERT INTO customers (${columns}) ${rows}`).bind(plan_id, Date.parse('2026-01-01'), numbers).run(); // prettier-ignore
  }

  test('P22c a run that stops halfway goes on where it was: each has one invoice, and no number is missing', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    await addMany(tenant, plan.id, 2600);
    const d1 = await tenant.database();
    await d1
      .prepare("INSERT INTO jobs (id, kind, status, result, created_at, updated_at) VALUES (?1, 'billing_run', 'queued', ?2, 1, 1)")
      .bind('00000000-0000-7000-8000-000000000000', JSON.stringify({ period: '2026-11', reissue_void: false, import_id: null, cursor: '', skipped: 0, passes: 0 }))
      .run(); // prettier-ignore
    const message = { tenant_id: tenant.id, kind: 'billing_run', job_id: '00000000-0000-7000-8000-000000000000' };
    // the second part of it can't be stored
    await d1.prepare("CREATE TRIGGER stops BEFORE INSERT ON invoices WHEN NEW.customer_id > '000009c5' BEGIN SELECT RAISE(ABORT, 'stopped'); END").run(); // prettier-ignore
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(await consume('rukun-jobs', [message])).toEqual(['retry']);
    const halfway = await tenant.get(`/jobs/${message.job_id}`);
    expect([halfway.status, halfway.succeeded, halfway.total]).toEqual(['running', 2500, 2600]);
    await d1.prepare('DROP TRIGGER stops').run();
    expect(await consume('rukun-jobs', [message])).toEqual(['ack']);
    expect(await tenant.get(`/jobs/${message.job_id}`)).toMatchObject({ status: 'completed', succeeded: 2600, progress: 100 }); // prettier-ignore
    const [{ invoices, customers, last }] = (await query(tenant, 'SELECT count(*) AS invoices, count(DISTINCT customer_id) AS customers, max(number) AS last FROM invoices')) as [any]; // prettier-ignore
    expect([invoices, customers, last]).toEqual([2600, 2600, 'INV/2026/11/2600']);
    const [{ told }] = (await query(tenant, "SELECT count(*) AS told FROM events WHERE type = 'invoice.created'")) as [any]; // prettier-ignore
    expect(told).toBe(2600);
  });

  test('P45 P22c of an invoice that a run skips, since another was faster, nothing is told twice', async () => {
    const { tenant, id } = await makeSubscriber();
    const of_month = { customer_id: id, period_year: 2026, period_month: 11 };
    const due = await tenant.post('/payments', { ...of_month, amount: 60_000 });
    const d1 = await tenant.database();
    const job_id = '00000000-0000-7000-8000-000000000001';
    await d1
      .prepare("INSERT INTO jobs (id, kind, status, result, created_at, updated_at) VALUES (?1, 'billing_run', 'queued', ?2, 1, 1)")
      .bind(job_id, JSON.stringify({ period: '2026-11', reissue_void: false, import_id: null, cursor: '', skipped: 0, passes: 0 }))
      .run(); // prettier-ignore
    const invoice = () =>
      callWith({}, 'POST', '/api/v1/invoices', { token: tenant.admin.token, body: { customer_id: id, period: '2026-11' } }); // prettier-ignore
    // job, count, start, job, customers, facts: between those and the writing
    const between = letIn(d1, 6, invoice);
    expect(await consume('rukun-jobs', [{ tenant_id: tenant.id, kind: 'billing_run', job_id }])).toEqual(['ack']);
    between.stop();
    expect(between.happened).toBe(true);
    expect(await tenant.get(`/jobs/${job_id}`)).toMatchObject({ status: 'completed', succeeded: 0 });
    expect(await tenant.get('/invoices')).toHaveLength(1);
    const told = await query(tenant, 'SELECT type FROM events WHERE entity_id = ? ORDER BY seq', due.id);
    expect(told.map(({ type }) => type)).toEqual(['payment.created', 'payment.updated']);
  });

  test('P22c the months of a newcomer, billed in the wrong order: each has one invoice, and each day is charged once', async () => {
    const { tenant, plan } = await makeSubscriber();
    await goTo(tenant, '2026-11-16');
    const { id } = await tenant.addCustomer(plan.id);
    await tenant.post(`/customers/${id}/activate`);
    for (const period of ['2026-12', '2026-11', '2026-12', '2026-11']) await run(tenant, period);
    const standing = async () =>
      (await tenant.get('/invoices', { customer_id: id }))
        .filter(({ status }: any) => status !== 'void')
        .map(({ period_month, total, status }: any) => [period_month, total, status])
        .sort();
    expect(await standing()).toEqual([[11, 0, 'paid'], [12, 225_000, 'pending']]); // prettier-ignore
    const [december] = await tenant.get('/invoices', { customer_id: id, period: '2026-12' });
    await tenant.post(`/invoices/${december.id}/void`, { reason: 'salah' });
    await run(tenant, '2026-12', { reissue_void: true });
    expect(await standing()).toEqual([[11, 0, 'paid'], [12, 225_000, 'pending']]); // prettier-ignore
  });

  test('who has no price is reported, not billed; a voided month only when told to', async () => {
    const { tenant, plan, id } = await makeSubscriber();
    await query(tenant, 'UPDATE service_plans SET price = NULL WHERE id = ?', plan.id);
    await query(tenant, 'UPDATE customers SET monthly_fee = NULL');
    const job = await run(tenant, '2026-11');
    expect([job.succeeded, job.failed, job.errors]).toEqual([0, 1, [expect.stringContaining('CUST00001')]]);
    await tenant.put(`/service-plans/${plan.id}`, { price: 99_000 });
    expect((await run(tenant, '2026-11')).succeeded).toBe(1);
    const [invoice] = await tenant.get('/invoices', { customer_id: id });
    expect(invoice.total).toBe(99_000);
    await tenant.post(`/invoices/${invoice.id}/void`, { reason: 'salah' });
    expect((await run(tenant, '2026-11')).succeeded).toBe(0);
    expect((await run(tenant, '2026-11', { reissue_void: true })).succeeded).toBe(1);
    expect((await tenant.get('/invoices', { status: 'pending' })).map((each: any) => each.number)).toEqual(['INV/2026/11/0002']); // prettier-ignore
  });

  test('a month that is far off is a slip of the hand', async () => {
    const tenant = await TestTenant.signUp();
    for (const period of ['2025-10', '2027-12', '2099-12', '2026-13', '2026-1', ''])
      expect(body(await tenant.call('POST', '/billing/run', { body: { period } })), period).toEqual([400, 'VALIDATION_ERROR', ['period']]); // prettier-ignore
    for (const period of ['2025-11', '2027-11'])
      expect((await tenant.call('POST', '/billing/run', { body: { period } })).status).toBe(202);
  });
});

describe('the day of a provider', () => {
  test('one message to each whose own midnight has passed, once; also half hours and changing clocks', async () => {
    const zones = ['Asia/Jakarta', 'Asia/Kathmandu', 'America/New_York', 'Pacific/Apia'];
    const tenants: TestTenant[] = [];
    for (const timezone of zones) tenants.push(await TestTenant.signUp({ timezone }));
    /** A cron tick; whose day it is lives it. */
    const tick = async (at: string) => {
      vi.setSystemTime(Date.parse(at));
      const queues = recordQueues();
      await sweep(makeTestAmbient({ env: queues.env }));
      const daily = queues.jobs.map(({ body: message }) => message).filter(({ kind }) => kind === 'daily');
      for (const message of daily) expect(await consume('rukun-jobs', [message])).toEqual(['ack']);
      return zones.filter((_, at) => daily.some(({ tenant_id }) => tenant_id === tenants[at]!.id));
    };
    expect(await tick('2026-11-01T03:00:00Z')).toEqual(zones);
    expect(await tick('2026-11-01T03:05:00Z')).toEqual([]);
    // New York: the night in which clocks go back; its midnight is at 04:00 UTC that day and at 05:00 UTC the next
    expect(await tick('2026-11-01T04:00:00Z')).toEqual(['America/New_York']);
    expect(await tick('2026-11-01T10:55:00Z')).toEqual([]);
    expect(await tick('2026-11-01T11:00:00Z')).toEqual(['Pacific/Apia']);
    expect(await tick('2026-11-01T16:55:00Z')).toEqual([]);
    expect(await tick('2026-11-01T17:00:00Z')).toEqual(['Asia/Jakarta']);
    expect(await tick('2026-11-01T18:10:00Z')).toEqual([]);
    expect(await tick('2026-11-01T18:15:00Z')).toEqual(['Asia/Kathmandu']);
    expect(await tick('2026-11-02T04:00:00Z')).toEqual([]);
    expect(await tick('2026-11-02T05:00:00Z')).toEqual(['America/New_York']);
    // ticks that were missed: the day comes with the next one
    expect(await tick('2026-11-04T05:03:00Z')).toEqual(zones);
  });

  test('invoices come before their due date; whoever begins on it or later gets the rest with the next one', async () => {
    const { tenant, plan, id } = await makeSubscriber();
    await goTo(tenant, '2026-11-07');
    await liveDay(tenant);
    expect(await tenant.get('/invoices')).toEqual([]);
    await goTo(tenant, '2026-11-08');
    await liveDay(tenant);
    expect((await tenant.get('/invoices')).map((each: any) => [each.customer_id, each.due_date])).toEqual([[id, '2026-11-15']]); // prettier-ignore
    await goTo(tenant, '2026-11-16');
    const late = await tenant.addCustomer(plan.id);
    await tenant.post(`/customers/${late.id}/activate`);
    await liveDay(tenant);
    expect(await tenant.get('/invoices', { customer_id: late.id })).toEqual([]);
    await goTo(tenant, '2026-12-08');
    await liveDay(tenant);
    const [invoice] = await tenant.get('/invoices', { customer_id: late.id });
    expect([invoice.total, invoice.service_from, invoice.due_date]).toEqual([75_000 + 150_000, '2026-11-16', '2026-12-15']); // prettier-ignore
  });

  test('an invoice that comes late gives notice; grace begins when a due is recorded or opened again', async () => {
    const { tenant, id } = await makeSubscriber();
    await goTo(tenant, '2026-11-02');
    await tenant.post(`/customers/${id}/suspend`);
    await goTo(tenant, '2026-11-20');
    await tenant.post(`/customers/${id}/resume`);
    await liveDay(tenant);
    const [invoice] = await tenant.get('/invoices');
    // the 1st, and from the 20th on
    expect([invoice.total, invoice.due_date]).toEqual([5000 + 55_000, '2026-11-27']);
    const { data: receipt } = await pay(tenant, id, 60_000);
    await goTo(tenant, '2026-12-05');
    await tenant.post(`/receipts/${receipt.id}/void`, { reason: 'transfer kembali' });
    const statusOn = async (date: string) => {
      await goTo(tenant, date);
      await liveDay(tenant);
      return (await tenant.get(`/customers/${id}`)).status;
    };
    expect(await statusOn('2026-12-05')).toBe('active');
    expect(await statusOn('2026-12-08')).toBe('active');
    expect(await statusOn('2026-12-09')).toBe('suspended');
  });

  test('a step that fails is told of and tried again, and keeps the others from nothing', async () => {
    const { tenant, id } = await makeSubscriber();
    const due = await tenant.post('/payments', { customer_id: id, amount: 5, due_date: '2026-11-02' });
    await goTo(tenant, '2026-11-10');
    const d1 = await tenant.database();
    await d1.prepare("CREATE TRIGGER stops BEFORE INSERT ON invoices BEGIN SELECT RAISE(ABORT, 'stopped'); END").run();
    const errors = vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(await consume('rukun-jobs', [{ tenant_id: tenant.id, kind: 'daily' }])).toEqual(['retry']);
    expect(errors.mock.calls.flat().join()).toContain('issueDue');
    expect((await tenant.get(`/payments/${due.id}`)).status).toBe('overdue');
    expect((await tenant.get(`/customers/${id}`)).status).toBe('suspended');
    const done = () =>
      env.DIRECTORY_DB.prepare('SELECT daily_done_on FROM tenants WHERE id = ?').bind(tenant.id).first();
    expect(await done()).toEqual({ daily_done_on: null });
    await d1.prepare('DROP TRIGGER stops').run();
    await liveDay(tenant);
    expect(await done()).toEqual({ daily_done_on: '2026-11-10' });
  });

  test('balances that differ from their rows are reported where people look, and nothing is changed', async () => {
    const { tenant, id } = await makeSubscriber();
    await tenant.post('/invoices', { customer_id: id, period: '2026-11' });
    await liveDay(tenant);
    expect(await tenant.get('/jobs', { kind: 'balance_check' })).toEqual([]);
    await query(tenant, 'UPDATE customers SET outstanding_balance = 7, credit_balance = 8');
    await query(tenant, "UPDATE invoices SET status = 'paid'");
    vi.spyOn(console, 'error').mockImplementation(() => {});
    await liveDay(tenant);
    const [job] = await tenant.get('/jobs', { kind: 'balance_check' });
    expect([job.status, job.failed]).toEqual(['failed', 3]);
    expect(job.errors.join()).toMatch(/CUST00001: outstanding_balance is 7.*150000.*credit_balance is 8.*INV.2026.11.0001/s); // prettier-ignore
    expect((await tenant.get(`/customers/${id}`)).outstanding_balance).toBe(7);
    forgetTenants();
  });
});

describe('careless and hostile hands', () => {
  test('a customer with open dues or credit isn’t deleted', async () => {
    const { tenant, id } = await makeSubscriber();
    const due = await tenant.post('/payments', { customer_id: id, amount: 5 });
    await tenant.post(`/customers/${id}/terminate`);
    expect(body(await tenant.call('DELETE', `/customers/${id}`))).toEqual([409, 'IN_USE', []]);
    await tenant.put(`/payments/${due.id}/status`, { status: 'void' });
    const { data: receipt } = await pay(tenant, id, 9);
    expect(body(await tenant.call('DELETE', `/customers/${id}`))).toEqual([409, 'IN_USE', []]);
    await tenant.post(`/receipts/${receipt.id}/void`, { reason: 'x' });
    expect((await tenant.call('DELETE', `/customers/${id}`)).status).toBe(200);
  });

  test('dates and months that no calendar of money has are refused, and named', async () => {
    const { tenant, id } = await makeSubscriber({ billing_type: 'postpaid' });
    const sent: [string, object][] = [
      ['payment_date', { payment_date: '0001-01-01' }],
      ['payment_date', { payment_date: '2026-11-02' }],
      ['due_date', { due_date: '2100-01-01' }],
      ['period_year', { period_month: 12, period_year: 9999 }],
      ['period_month', { period_year: 2026 }],
      ['period_year', { period_month: 12 }],
      ['payment_method', { payment_method: 'cash' }],
      ['payment_method', { payment_method: 'credit', payment_date: '2026-11-01' }],
    ];
    for (const [field, more] of sent) {
      const answer = await tenant.call('POST', '/payments', { body: { customer_id: id, amount: 1, ...more } });
      expect(body(answer), JSON.stringify(more)).toEqual([400, 'VALIDATION_ERROR', [field]]);
    }
    expect(await tenant.get('/payments')).toEqual([]);
    expect((await tenant.call('POST', '/payments', { body: { customer_id: id, amount: 1, period_month: 12, period_year: 2099 } })).data.due_date).toBe('2100-01-15'); // prettier-ignore
  });

  test('If-Match speaks of the due that is named, whatever else follows', async () => {
    const { tenant, id } = await makeSubscriber();
    await tenant.post(`/customers/${id}/suspend`, { reason: 'overdue' });
    const due = await tenant.post('/payments', { customer_id: id, amount: 5, due_date: '2026-10-01' });
    const read = await tenant.call('GET', `/payments/${due.id}`);
    const etag = read.headers.get('etag')!;
    const settle = (amount: number, tag: string) =>
      tenant.call('POST', `/payments/${due.id}/settle`, { headers: { 'if-match': tag }, body: { amount, payment_method: 'cash' } }); // prettier-ignore
    vi.setSystemTime(Date.now() + 1000);
    expect((await settle(2, etag)).status).toBe(200);
    expect(body(await settle(3, etag))).toEqual([409, 'CONFLICT', []]);
    const fresh = (await tenant.call('GET', `/payments/${due.id}`)).headers.get('etag')!;
    expect((await settle(3, fresh)).status).toBe(200);
    expect((await tenant.get(`/customers/${id}`)).status).toBe('active');
  });

  test('a promise to pay brings back who was cut for dues, until its day is over; and nobody who was cut by hand', async () => {
    const { tenant, id } = await makeSubscriber();
    await tenant.post('/payments', { customer_id: id, amount: 5, due_date: '2026-10-01' });
    const statusOn = async (date: string) => {
      await goTo(tenant, date);
      await liveDay(tenant);
      return (await tenant.get(`/customers/${id}`)).status;
    };
    expect(await statusOn('2026-11-05')).toBe('suspended');
    expect((await tenant.post(`/customers/${id}/hold`, { until: '2026-11-07' })).status).toBe('active');
    expect(await statusOn('2026-11-07')).toBe('active');
    expect(await statusOn('2026-11-08')).toBe('suspended');
    await tenant.post(`/customers/${id}/resume`);
    await tenant.post(`/customers/${id}/suspend`, { reason: 'abuse' });
    expect((await tenant.post(`/customers/${id}/hold`, { until: '2026-12-07' })).status).toBe('suspended');
  });

  test('a due that is only recorded brings nobody back', async () => {
    const { tenant, id } = await makeSubscriber();
    await tenant.post(`/customers/${id}/suspend`, { reason: 'overdue' });
    await tenant.post('/payments', { customer_id: id, amount: 5 });
    expect((await tenant.get(`/customers/${id}`)).status).toBe('suspended');
  });

  test('an answer that was lost is made anew: a receipt, a settled due, one settled by credit, an invoice', async () => {
    const { tenant, id } = await makeSubscriber();
    const due = await tenant.post('/payments', { customer_id: id, amount: 50 });
    const other = await tenant.post('/payments', { customer_id: id, amount: 50 });
    const asked: [string, object][] = [
      [`/payments/${due.id}/settle`, { amount: 20, payment_method: 'transfer', reference_number: 'A1' }],
      [`/customers/${id}/payments`, { amount: 100, payment_method: 'cash' }],
      ['/payments', { customer_id: id, amount: 10 }],
      [`/payments/PAID/settle`, { amount: 10, payment_method: 'credit' }],
      ['/invoices', { customer_id: id, period: '2026-12' }],
    ];
    let last = other.id as string;
    for (const [path, sent] of asked) {
      const key = crypto.randomUUID();
      const send = () => tenant.call('POST', path.replace('PAID', last), { headers: { 'idempotency-key': key }, body: sent }); // prettier-ignore
      const first = await send();
      expect(first.status, first.text).toBeLessThan(300);
      last = first.data.id;
      await expect.poll(async () => (await query(tenant, 'SELECT response FROM idempotency_keys WHERE key = ?', key))[0]?.response).toBeTruthy(); // prettier-ignore
      expect((await send()).data).toEqual(first.data);
      await query(tenant, 'UPDATE idempotency_keys SET response = NULL');
      const again = await send();
      expect(again.headers.get('idempotent-replayed')).toBe('true');
      expect(again.data).toEqual(first.data);
    }
  });

  test('an invoice that lost a race is drafted anew, and its key is not spent by the one that was skipped', async () => {
    const { tenant, id } = await makeSubscriber();
    const send = () =>
      callWith({}, 'POST', '/api/v1/invoices', {
        token: tenant.admin.token,
        headers: { 'idempotency-key': 'x1' },
        body: { customer_id: id, period: '2026-11' },
      });
    // between the reading and the writing money comes in
    const between = letIn(await tenant.database(), 1, () => pay(tenant, id, 5000));
    const answer = await send();
    between.stop();
    expect(between.happened).toBe(true);
    expect([answer.status, answer.data.total]).toEqual([201, 150_000]);
    expect((await send()).data).toEqual(answer.data);
    expect(await tenant.get('/payments', { customer_id: id, sort: 'amount' })).toMatchObject([
      { amount: 5000, payment_method: 'credit' },
      { amount: 145_000, status: 'pending' },
    ]);
  });

  test('number patterns that could give a number twice are refused', async () => {
    const { tenant, id } = await makeSubscriber();
    const put = (invoice_number_pattern: string) =>
      tenant.call('PUT', '/settings', { body: { invoice_number_pattern } });
    for (const pattern of [
      'INV',
      'INV1{number}',
      '{year}{number}',
      '{number}{month}',
      '{number}-{number}',
      '{number:0}',
      '{day}-{number}',
      'A{number}9',
    ])
      // prettier-ignore
      expect(body(await put(pattern)), pattern).toEqual([400, 'VALIDATION_ERROR', ['invoice_number_pattern']]);
    await tenant.post('/invoices', { customer_id: id, period: '2026-11' });
    // those numbers stand already
    expect(body(await put('INV/2026/{month}/{number:4}'))).toEqual([200, undefined, []]);
    expect((await tenant.post('/invoices', { customer_id: id, period: '2026-12' })).number).toBe('INV/2026/11/0002');
    expect(body(await put('INV/{year}/{number}'))).toEqual([400, 'VALIDATION_ERROR', ['invoice_number_pattern']]);
  });

  test('voiding the last due of an invoice voids the invoice, and says so', async () => {
    const { tenant, id } = await makeSubscriber();
    const invoice = await tenant.post('/invoices', { customer_id: id, period: '2026-11' });
    const [due] = await tenant.get('/payments', { customer_id: id });
    await pay(tenant, id, 50_000);
    await tenant.call('DELETE', `/payments/${due.id}`, { query: { reason: 'separuh' } });
    expect((await tenant.get(`/invoices/${invoice.id}`)).status).toBe('paid');
    const [part] = await tenant.get('/payments', { status: 'paid' });
    await tenant.call('DELETE', `/payments/${part.id}`, { query: { reason: 'semua' } });
    expect(await tenant.get(`/invoices/${invoice.id}`)).toMatchObject({ status: 'void', void_reason: 'semua' });
    expect((await query(tenant, "SELECT 1 FROM events WHERE type = 'invoice.voided'")).length).toBe(1);
    expect(await tenant.get(`/customers/${id}`)).toMatchObject({ credit_balance: 50_000, outstanding_balance: 0 });
  });
});
