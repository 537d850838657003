import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { routes } from '../../src/app.ts';
import { silenceHub } from '../support/hub.ts';
import { TestTenant } from '../support/world.ts';

/** Lists: pages, filters, ranges, sorting and search against plain models, and what they cost in the database. */

// nobody listens
beforeEach(silenceHub);

/** The rows of one run are there in the next: a failure is shown as it came, not made smaller among other rows. */
const RUNS = { numRuns: 100, endOnFailure: true };
/** Of each of many lists: some six hundred in all. */
const SOME_RUNS = { ...RUNS, numRuns: 30 };
type Row = Record<string, any>;

async function query(tenant: TestTenant, sql: string, ...params: unknown[]): Promise<Row[]> {
  const d1 = await tenant.database();
  const { results } = await d1.prepare(sql).bind(...params).all<Row>(); // prettier-ignore
  return results;
}

/** Straight into the table, as many as wanted in one statement. */
async function insertRows(tenant: TestTenant, table: string, rows: readonly Row[]): Promise<void> {
  const keys = Object.keys(rows[0]!);
  const values = keys.map((_, index) => `value ->> ${index}`).join(', ');
  const encoded = JSON.stringify(rows.map(row => keys.map(key => row[key] ?? null)));
  await query(tenant, `INSERT INTO ${table} (${keys.join(', ')}) SELECT ${values} FROM json_each(?)`, encoded);
}

/** All pages of a list, one after the other; each must say the same total and hold what it should. */
async function walk(tenant: TestTenant, path: string, params: Record<string, string | number>, per_page: number) {
  const rows: Row[] = [];
  for (let page = 1; ; page++) {
    const answer = await tenant.call('GET', path, { query: { ...params, per_page, page } });
    expect(answer.status, answer.text).toBe(200);
    const { total, total_pages } = answer.meta;
    rows.push(...answer.data);
    expect(answer.meta).toMatchObject({ page, per_page, total_pages: Math.ceil(total / per_page) });
    expect(answer.data).toHaveLength(Math.max(0, Math.min(per_page, total - (page - 1) * per_page)));
    if (page >= total_pages) {
      expect(rows).toHaveLength(total);
      return rows;
    }
  }
}

// ---------------------------------------------------------------- models

interface Condition {
  params: Record<string, string>;
  keeps: (row: Row) => boolean;
}

interface Model {
  path: string;
  /** Rows as they stand in the database, deleted ones left out. */
  rows: Row[];
  key: string;
  filters: fc.Arbitrary<Condition>[];
  /** Sortable columns → what is compared. */
  sorts: Record<string, (row: Row) => unknown>;
  default_sort: string;
  ties?: string[];
  /** What the list leaves out until it is asked for. */
  unless_asked?: { param: string; keeps: (row: Row) => boolean };
}

const exact = (name: string, values: readonly unknown[], toText: (value: any) => string = String): fc.Arbitrary<Condition> =>
  fc.constantFrom(...values).map(value => ({ params: { [name]: toText(value) }, keeps: row => row[name] === value })); // prettier-ignore

/** A search that looks at each row: letters of ASCII in either case, all others as they are. */
const lower = (text: string) => text.replace(/[A-Z]/g, letter => letter.toLowerCase());
const searched = (terms: readonly string[], ...names: string[]): fc.Arbitrary<Condition> =>
  fc.constantFrom(...terms).map(search => ({
    params: { search },
    keeps: row => names.some(name => row[name] !== null && lower(String(row[name])).includes(lower(search))),
  }));

/** `_from`, `_to`, or both. What is null is in no range. */
const range = (name: string, values: readonly (string | number)[]): fc.Arbitrary<Condition> =>
  fc.tuple(fc.option(fc.constantFrom(...values)), fc.option(fc.constantFrom(...values))).map(([from, to]) => ({
    params: {
      ...(from !== null && { [`${name}_from`]: String(from) }),
      ...(to !== null && { [`${name}_to`]: String(to) }),
    },
    keeps: row =>
      (from === null || (row[name] !== null && row[name] >= from)) &&
      (to === null || (row[name] !== null && row[name] <= to)),
  }));

/** Days in Jakarta, or instants. */
const instants = (name: string, around: readonly number[]): fc.Arbitrary<Condition> => {
  const end = fc.constantFrom(...around).chain(at =>
    fc.constantFrom(
      { text: new Date(at).toISOString(), from: at, to: at },
      ...[new Date(at + 7 * 3_600_000).toISOString().slice(0, 10)].map(day => ({
        text: day,
        from: Date.parse(`${day}T00:00:00+07:00`),
        to: Date.parse(`${day}T23:59:59.999+07:00`),
      })),
    ),
  );
  return fc.tuple(fc.option(end), fc.option(end)).map(([from, to]) => ({
    params: { ...(from && { [`${name}_from`]: from.text }), ...(to && { [`${name}_to`]: to.text }) },
    keeps: row => (!from || row[name] >= from.from) && (!to || row[name] <= to.to),
  }));
};

const utf8 = new TextEncoder();
/** As SQLite compares: nothing first, then numbers, then text by its bytes. */
function compare(a: unknown, b: unknown): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [utf8.encode(String(a)), utf8.encode(String(b))];
  const at = left.findIndex((byte, index) => byte !== right[index]);
  return at < 0 ? left.length - right.length : left[at]! - (right[at] ?? -1);
}

const column = (name: string) => (row: Row) => row[name];
const columns = (...names: string[]) => Object.fromEntries(names.map(name => [name, column(name)]));

async function holdsToModel(tenant: TestTenant, model: Model, runs: typeof RUNS): Promise<void> {
  const sort = fc.option(
    fc.tuple(fc.constantFrom('', '-'), fc.constantFrom(...Object.keys(model.sorts))).map(parts => parts.join('')),
    { nil: undefined },
  );
  const chosen = fc.tuple(...model.filters.map(filter => fc.option(filter, { freq: 3 })));
  // one filter by itself is asked as often as several together
  const alone: fc.Arbitrary<Condition> = fc.oneof(...(model.filters.length > 0 ? model.filters : [fc.constant({ params: {}, keeps: () => true })])); // prettier-ignore
  const conditions: fc.Arbitrary<Condition[]> = fc.oneof(
    fc.constant<Condition[]>([]),
    alone.map(one => [one]),
    chosen.map(list => list.filter(each => each !== null)),
  );
  const per_page = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 100 }));
  await fc.assert(
    fc.asyncProperty(conditions, sort, per_page, async (all, by, size) => {
      const params = Object.assign({}, ...all.map(condition => condition.params)) as Record<string, string>;
      const given = await walk(tenant, model.path, { ...params, ...(by && { sort: by }) }, size);
      const [, minus, name] = /^(-?)(.*)$/.exec(by ?? model.default_sort)!;
      const direction = minus ? -1 : 1;
      const { unless_asked } = model;
      const wanted = model.rows
        .filter(row => all.every(condition => condition.keeps(row)))
        .filter(row => !unless_asked || unless_asked.param in params || unless_asked.keeps(row))
        .sort(
          (a, b) =>
            direction *
            (compare(model.sorts[name!]!(a), model.sorts[name!]!(b)) ||
              (model.ties ?? [model.key]).map(tie => compare(a[tie], b[tie])).find(order => order !== 0) ||
              0),
        );
      expect(given.map(row => row[model.key])).toEqual(wanted.map(row => row[model.key]));
    }),
    runs,
  );
}

// ---------------------------------------------------------------- data

const pick = <T>(list: readonly T[], index: number): T => list[index % list.length]!;
const DAY = 86_400_000;
const START = Date.parse('2026-03-01T16:59:59.999Z');

interface Seeded {
  tenant: TestTenant;
  plans: string[];
  zones: string[];
  routers: string[];
}

/** Customers of every sort, with equal values enough that ties must be broken, some deleted. */
async function seedCustomers(count = 60): Promise<Seeded> {
  const tenant = await TestTenant.signUp();
  const plans: string[] = [];
  for (const name of ['Hemat', 'Keluarga', 'Bisnis']) plans.push((await tenant.addPlan({ name })).id);
  const zones = [(await tenant.post('/zones', { name: 'Utara' })).id, (await tenant.post('/zones', { name: 'Timur' })).id]; // prettier-ignore
  const routers: string[] = [];
  for (const name of ['a', 'b'])
    routers.push((await tenant.post('/routers', { name, host: '10.0.0.1', username: 'x', password: 'y' })).id);
  const names = ['Ana', 'ana', 'Budi', 'budi', 'Čech', 'Zaki', 'élan', '王', 'Ana B', 'ANA b', '𝔄'];
  const rows = Array.from({ length: count }, (_, i) => ({
    id: crypto.randomUUID(),
    customer_code: `CUST${String((i * 37) % 1000).padStart(5, '0')}`,
    full_name: pick(names, i * 3),
    phone: '0812',
    address: 'x',
    zone_id: pick([...zones, null], i),
    router_id: pick([...routers, null, null], i * 3 + (i >> 3)),
    status: pick(['active', 'active', 'suspended', 'terminated', 'pending_activation'], i * 7),
    service_plan_id: pick(plans, i * 5 + (i >> 2)),
    due_day: pick([1, 5, 15, 31], i + (i >> 1)),
    billing_type: pick(['prepaid', 'postpaid'], i >> 1),
    connection_type: pick(['pppoe', 'pppoe', 'hotspot', 'static'], i + (i >> 4)),
    pppoe_username: i % 11 === 10 ? null : `line-${i}`,
    installation_date: pick(['2026-01-01', '2026-01-31', '2026-02-01', null], i + (i >> 2)),
    last_payment_date: pick(['2025-12-31', '2026-02-28', null], i + (i >> 3)),
    outstanding_balance: pick([0, 0, 150_000, 300_000, -5], i * 3 + (i >> 2)),
    overdue_balance: pick([0, 150_000, 0], i + (i >> 2)),
    custom_fields: JSON.stringify(pick([{}, { blok: 'a' }, { blok: 'b', lantai: 2 }, { lantai: true }], i)),
    search_text: `budi ${i}`,
    created_at: START + pick([0, 1, 2, DAY, DAY + 1, -DAY, 12 * DAY], i * 5),
    updated_at: START + (i % 9),
    deleted_at: i % 9 === 8 ? START : null,
  }));
  await insertRows(tenant, 'customers', rows);
  const owned = rows.filter((_, i) => i % 4 < 2);
  await insertRows(tenant, 'devices', owned.map(({ id }, i) => ({ id: crypto.randomUUID(), device_name: `CPE ${i}`, device_type: pick(['onu', 'onu', 'router'], i), customer_id: i % 5 === 4 ? null : id, created_at: START, updated_at: START }))); // prettier-ignore
  await insertLines(tenant, routers as [string, string], count);
  return { tenant, plans, zones, routers };
}

/** The first router was measured just now, in two parts, and before with everybody; the second is away. */
async function insertLines(tenant: TestTenant, [near, away]: [string, string], count: number): Promise<void> {
  const now = Date.now();
  const rows = [
    { router_id: near, measured_at: now - 300_000, part: 0, keeps: () => true },
    { router_id: near, measured_at: now, part: 0, keeps: (i: number) => i % 4 === 0 },
    { router_id: near, measured_at: now, part: 1, keeps: (i: number) => i % 4 === 1 },
    { router_id: away, measured_at: now, part: 0, keeps: () => true },
  ].map(({ keeps, ...row }) => {
    const lines = Array.from({ length: count }, (_, i) => i).filter(keeps);
    return { ...row, spool_id: 'a', number: row.measured_at, lines: JSON.stringify(lines.map(i => ({ name: `line-${i}` }))) }; // prettier-ignore
  });
  await insertRows(tenant, 'line_measurements', rows);
  await query(tenant, `UPDATE routers SET status = CASE id WHEN ? THEN 'online' ELSE 'offline' END`, near);
}

/** Whether a line of `insertLines` was there; null where nobody knows. */
function wasOnline({ router_id, connection_type, status, pppoe_username }: Row, near: string): boolean | null {
  if (router_id !== near || connection_type !== 'pppoe') return null;
  return status !== 'terminated' && Number(pppoe_username?.slice(5) ?? 3) % 4 < 2;
}

const ascii = (text: string) => text.replace(/[A-Z]/g, letter => letter.toLowerCase());

const customerModel = (rows: Row[], { plans, zones, routers }: Seeded): Model => ({
  path: '/customers',
  rows,
  key: 'id',
  filters: [
    exact('status', ['pending_activation', 'active', 'suspended', 'terminated']),
    exact('service_plan_id', plans),
    exact('router_id', routers),
    exact('zone_id', zones),
    exact('connection_type', ['pppoe', 'hotspot', 'static']),
    exact('billing_type', ['prepaid', 'postpaid']),
    fc.oneof(exact('due_day', [1, 5, 15, 31, 2, 0, -1]), range('due_day', [1, 4, 5, 15, 31, 40])),
    fc.oneof(exact('installation_date', ['2026-01-31', '2026-02-02']), range('installation_date', ['2026-01-01', '2026-01-02', '2026-02-01', '0001-01-01', '9999-12-31'])), // prettier-ignore
    fc.oneof(exact('last_payment_date', ['2025-12-31']), range('last_payment_date', ['2025-12-31', '2026-01-01', '2026-02-28'])), // prettier-ignore
    exact('payment_status', ['paid', 'pending', 'overdue']),
    fc.boolean().map(online => ({
      params: { online: String(online) },
      keeps: row => wasOnline(row, routers[0]!) === online,
    })),
    fc.constantFrom('onu', 'router', 'olt').map(device_type => ({
      params: { device_type },
      keeps: row => row.device_types.split(',').includes(device_type),
    })),
    fc.oneof(exact('outstanding_balance', [0, 150_000]), range('outstanding_balance', [-5, -4, 0, 1, 150_000, 300_000])), // prettier-ignore
    instants('created_at', [START, START + 1, START + DAY, START - 3 * DAY, START + 30 * DAY]),
    fc.constantFrom('a', 'b', 'c').map(value => ({
      params: { 'custom_fields.blok': value },
      keeps: row => JSON.parse(row.custom_fields).blok === value,
    })),
    fc.constantFrom('2', 'true', 'x').map(value => ({
      params: { 'custom_fields.lantai': value },
      keeps: row => String(JSON.parse(row.custom_fields).lantai) === value,
    })),
    fc.constantFrom('budi 1', 'budi', '5', 'di 2').map(search => ({
      params: { search },
      keeps: row => row.search_text.includes(search),
    })),
  ],
  sorts: {
    ...columns('created_at', 'updated_at', 'customer_code', 'status', 'due_day', 'outstanding_balance', 'last_payment_date'), // prettier-ignore
    full_name: row => ascii(row.full_name),
  },
  default_sort: '-created_at',
  ties: ['created_at', 'id'],
});

const present = (tenant: TestTenant) =>
  query(
    tenant,
    `SELECT *, (SELECT coalesce(group_concat(device_type), '') FROM devices WHERE customer_id = customers.id) AS device_types
    FROM customers WHERE deleted_at IS NULL`,
  );

/** Every other list, each with rows of every sort. */
async function otherModels(): Promise<{ tenant: TestTenant; models: Model[] }> {
  const { tenant, plans, routers } = await seedCustomers(1);
  const at = (i: number) => START + pick([0, 0, 1, DAY, 2 * DAY], i * 3);
  const stamps = (i: number) => ({ id: crypto.randomUUID(), created_at: at(i), updated_at: at(i) });
  const times = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
  await insertRows(tenant, 'service_plans', times(30, i => ({ ...stamps(i), name: pick(['a', 'B', 'c', 'É'], i) + i, profile_name: `p${i}`, download_kbps: 1, upload_kbps: 1, price: pick([100, 200, 300, null], i), is_active: i % 3 === 0 ? 0 : 1, sort_order: i % 4 }))); // prettier-ignore
  await insertRows(tenant, 'users', times(30, i => ({ ...stamps(i), email: `u${i}@x.example`, name: pick(['a', 'B', 'c'], i), password_hash: 'x', role: pick(['admin', 'operator', 'technician', 'viewer'], i), is_active: i % 5 === 0 ? 0 : 1, last_login_at: pick([null, START], i) }))); // prettier-ignore
  const bridges = times(20, i => ({ ...stamps(i), name: pick(['a', 'B', 'c'], i) + i, status: 'unknown' }));
  await insertRows(tenant, 'bridges', bridges);
  await insertRows(tenant, 'routers', times(30, i => ({ ...stamps(i), name: `r${(i * 7) % 30}`, host: 'h.example', port: 1, username: 'x', password: 'x', bridge_id: pick([bridges[0]!.id, bridges[1]!.id, null], i), is_active: i % 4 === 0 ? 0 : 1, status: pick(['unknown', 'online', 'offline'], i) }))); // prettier-ignore
  await insertRows(
    tenant,
    'zones',
    times(25, i => ({ ...stamps(i), name: pick(['a', 'B', 'é'], i) + i })),
  );
  const jobs = times(30, i => ({ ...stamps(i), kind: pick(['import', 'backup'], i), status: pick(['queued', 'running', 'completed', 'failed', 'cancelled'], i * 3) })); // prettier-ignore
  await insertRows(tenant, 'jobs', jobs);
  const imports = times(24, i => ({ ...stamps(i), job_id: jobs[i]!.id, router_id: pick([...routers, null], i), kind: pick(['secrets', 'pools', 'profiles'], i >> 1), source: 'file' })); // prettier-ignore
  await insertRows(tenant, 'imports', imports);
  await insertRows(tenant, 'import_items', times(30, i => ({ import_id: imports[i % 2]!.id, line: i + 1, name: `n${i}`, outcome: pick(['create', 'created', 'skip', 'conflict', 'failed'], i) }))); // prettier-ignore
  await insertRows(tenant, 'ip_pools', times(30, i => ({ ...stamps(i), router_id: routers[i % 2], name: `${pick(['a', 'B', 'é'], i)}${i >> 1}`, ranges: '10.0.0.1', size: 1 }))); // prettier-ignore
  const [watched] = await present(tenant);
  await insertRows(tenant, 'devices', times(40, i => ({ ...stamps(i), device_name: `${pick(['a', 'B', 'é'], i)}${i}`, device_type: pick(['olt', 'onu', 'router', 'switch', 'access_point'], i), status: pick(['unknown', 'online', 'offline', 'maintenance'], i * 3), bridge_id: pick([bridges[0]!.id, bridges[1]!.id, null], i), customer_id: i % 3 === 0 ? watched!.id : null }))); // prettier-ignore
  const subjects = [crypto.randomUUID(), crypto.randomUUID()];
  // one that isn't resolved is the only one of its kind
  const alert_status = (i: number) => pick(['open', 'acknowledged', 'resolved', 'resolved'], i);
  await insertRows(tenant, 'alerts', times(40, i => ({ ...stamps(i), type: pick(['router_offline', 'device_offline', 'bridge_offline', 'quota'], i >> 1), severity: 'info', entity_type: 'router', entity_id: alert_status(i) === 'resolved' || i < 2 ? subjects[i % 2] : crypto.randomUUID(), message: 'x', status: alert_status(i), opened_at: at(i * 5) }))); // prettier-ignore
  await insertRows(tenant, 'service_plan_changes', times(20, i => ({ ...stamps(i), plan_id: plans[i % 2], changes: '{}', effective_at: START }))); // prettier-ignore
  const [customer] = await present(tenant);
  await insertRows(tenant, 'events', times(40, i => ({ type: 'customer.updated', action: pick(['create', 'update', 'delete', 'login'], i), actor: 'user', user_id: pick([tenant.admin.id, routers[0], null], i), entity_type: pick(['customer', 'plan'], i >> 1), entity_id: pick([customer!.id, plans[0]], i), customer_id: pick([customer!.id, null], i), ip_address: pick(['10.0.0.1', '::1', null], i), created_at: at(i) }))); // prettier-ignore
  await insertRows(tenant, 'provisioning', times(40, i => ({ ...stamps(i), updated_at: at(i * 7), customer_id: pick([customer!.id, null, null], i), router_id: routers[i % 2], kind: pick(['ppp_secret', 'simple_queue', 'ip_pool', 'nat_rule'], i >> 1), key: `k${i}`, setup: pick([null, 'isolir', null], i), status: pick(['pending', 'in_sync', 'drifted', 'conflict', 'failed'], i * 3), next_attempt_at: pick([null, START, START + 5, START - 5], i) }))); // prettier-ignore
  const PERIODS = [[2026, 10], [2026, 11], [2025, 11]] as const; // prettier-ignore
  const of_period = (i: number) => ({ period_year: pick(PERIODS, i)[0], period_month: pick(PERIODS, i)[1] });
  await tenant.addCustomer(plans[0]!);
  const owners = (await present(tenant)).slice(0, 2).map(row => row.id as string);
  const invoices = times(30, i => ({ ...stamps(i), ...of_period(i >> 1), number: `N${i}`, customer_id: owners[i % 2], issue_date: pick(['2026-11-01', '2026-11-02'], i >> 2), due_date: pick(['2026-11-05', '2026-11-06', '2026-12-01'], i), service_from: '2026-11-01', status: i < 6 ? pick(['pending', 'paid', 'overdue'], i) : 'void', subtotal: i % 7, tax_rate_bp: 0, tax: 0, total: i % 7, lines: '[]' })); // prettier-ignore
  await insertRows(tenant, 'invoices', invoices);
  await insertRows(tenant, 'payments', times(50, i => ({ ...stamps(i), ...(i % 4 === 0 ? { period_year: null, period_month: null } : of_period(i)), customer_id: owners[i % 2], amount: 1 + (i % 7), owed_since: '2026-11-01', status: pick(['pending', 'paid', 'overdue', 'void'], i * 3), due_date: pick(['2026-11-05', '2026-11-06', '2026-12-01'], i), payment_date: i * 3 % 4 === 1 ? pick(['2026-11-01', '2026-11-02'], i >> 1) : null, payment_method: pick(['cash', 'transfer', 'credit', null], i >> 1), payment_for: pick(['monthly_subscription', 'installation'], i >> 2) }))); // prettier-ignore
  await insertRows(tenant, 'receipts', times(30, i => ({ ...stamps(i), number: `K${i}`, customer_id: owners[i % 2], amount: 1 + (i % 7), unallocated: 0, payment_method: pick(['cash', 'transfer'], i >> 1), received_at: START, received_on: pick(['2026-11-01', '2026-11-02'], i), received_by: pick([tenant.admin.id, routers[0], null], i) }))); // prettier-ignore
  const rows = (table: string, where = '1') => query(tenant, `SELECT * FROM ${table} WHERE ${where}`);
  const flag = (name: string) =>
    fc
      .boolean()
      .map(value => ({ params: { [name]: String(value) }, keeps: (row: Row) => row[name] === Number(value) }));
  const when = instants('created_at', [START, START + 1, START + DAY]);
  const event_filters = [
    exact('user_id', [tenant.admin.id, routers[0]]),
    exact('action', ['create', 'update', 'delete', 'login', 'none']),
    exact('entity_type', ['customer', 'plan', 'user']),
    exact('entity_id', [customer!.id, plans[0]]),
    exact('ip_address', ['10.0.0.1', '::1']),
    when,
  ];
  const paid = ['cash', 'transfer', 'credit', 'gateway'];
  const models: Model[] = [
    {
      path: '/payments',
      rows: await rows('payments'),
      key: 'id',
      filters: [
        exact('customer_id', [...owners, plans[0]]),
        exact('status', ['pending', 'paid', 'overdue', 'void']),
        exact('payment_method', paid),
        exact('payment_for', ['monthly_subscription', 'installation', 'other']),
        exact('period', ['2026-11', '2026-10', '2024-01']),
        range('due_date', ['2026-11-05', '2026-11-06', '2026-11-30']),
        range('payment_date', ['2026-11-01', '2026-11-02']),
        range('amount', [1, 3, 7]),
      ],
      sorts: columns('due_date', 'amount', 'created_at'),
      default_sort: '-due_date',
    },
    {
      path: '/receipts',
      rows: await rows('receipts'),
      key: 'id',
      filters: [
        exact('customer_id', [...owners, plans[0]]),
        exact('payment_method', ['cash', 'transfer', 'gateway']),
        exact('received_by', [tenant.admin.id, routers[0]]),
        range('received_on', ['2026-11-01', '2026-11-02']),
        range('amount', [1, 3, 7]),
        when,
      ],
      sorts: columns('created_at', 'received_on', 'amount'),
      default_sort: '-created_at',
      ties: ['created_at', 'id'],
    },
    {
      path: '/invoices',
      rows: await rows('invoices'),
      key: 'id',
      filters: [
        exact('customer_id', [...owners, plans[0]]),
        exact('status', ['pending', 'paid', 'overdue', 'void']),
        exact('period', ['2026-11', '2026-10', '2024-01']),
        exact('number', ['N1', 'N2', 'x']),
        range('issue_date', ['2026-11-01', '2026-11-02']),
        range('due_date', ['2026-11-05', '2026-11-06', '2026-11-30']),
        range('total', [0, 3, 6]),
      ],
      sorts: columns('created_at', 'issue_date', 'due_date', 'total'),
      default_sort: '-created_at',
      ties: ['created_at', 'id'],
    },
    {
      path: '/service-plans',
      rows: await rows('service_plans'),
      key: 'id',
      ties: ['name'],
      filters: [
        fc.constantFrom('true', 'false', 'all').map(value => ({ params: { is_active: value }, keeps: (row: Row) => value === 'all' || row.is_active === Number(value === 'true') })), // prettier-ignore
        fc.oneof(exact('price', [100, 300]), range('price', [100, 150, 200, 300])),
        when,
        searched(['1', 'PLAN', 'nowhere', '%', '_'], 'name', 'profile_name', 'description'),
      ],
      sorts: columns('sort_order', 'name', 'price', 'created_at'),
      default_sort: 'sort_order',
      unless_asked: { param: 'is_active', keeps: row => row.is_active === 1 },
    },
    {
      path: '/users',
      rows: await rows('users'),
      key: 'id',
      filters: [exact('role', ['admin', 'operator', 'technician', 'viewer']), flag('is_active'), when, searched(['A', 'ayu', '@', '1', 'nowhere'], 'name', 'email')], // prettier-ignore
      sorts: columns('created_at', 'name', 'email', 'last_login_at'),
      default_sort: '-created_at',
    },
    {
      path: '/routers',
      rows: await rows('routers'),
      key: 'id',
      filters: [exact('status', ['unknown', 'online', 'offline']), flag('is_active'), exact('bridge_id', bridges.slice(0, 3).map(bridge => bridge.id)), when, searched(['R', '1', '10.0', 'nowhere'], 'name', 'host', 'location')], // prettier-ignore
      sorts: columns('name', 'created_at'),
      default_sort: 'name',
    },
    { path: '/bridges', rows: await rows('bridges'), key: 'id', filters: [when, searched(['B', '1', 'nowhere'], 'name')], sorts: columns('name', 'created_at'), default_sort: 'name' }, // prettier-ignore
    { path: '/zones', rows: await rows('zones'), key: 'id', filters: [when, searched(['Z', '1', 'nowhere'], 'name')], sorts: columns('name', 'created_at'), default_sort: 'name' }, // prettier-ignore
    {
      path: '/jobs',
      rows: await rows('jobs'),
      key: 'id',
      filters: [exact('status', ['queued', 'running', 'completed', 'failed', 'cancelled']), exact('kind', ['import', 'backup', 'x']), when], // prettier-ignore
      sorts: columns('created_at'),
      default_sort: '-created_at',
    },
    {
      path: '/imports',
      rows: await rows('imports'),
      key: 'id',
      filters: [exact('router_id', routers), exact('kind', ['secrets', 'profiles', 'pools'])],
      sorts: columns('created_at'),
      default_sort: '-created_at',
    },
    {
      path: '/ip-pools',
      rows: await rows('ip_pools'),
      key: 'id',
      filters: [
        exact('router_id', [...routers, plans[0]]),
        when,
        searched(['p', '1', '10.', 'nowhere'], 'name', 'ranges'),
      ],
      sorts: columns('name', 'created_at'),
      default_sort: 'name',
    },
    {
      path: '/devices',
      rows: await rows('devices'),
      key: 'id',
      filters: [
        exact('device_type', ['olt', 'onu', 'router', 'switch', 'access_point']),
        exact('status', ['unknown', 'online', 'offline', 'maintenance']),
        exact('bridge_id', bridges.slice(0, 3).map(bridge => bridge.id)), // prettier-ignore
        exact('customer_id', [watched!.id, plans[0]]),
      ],
      sorts: columns('device_name', 'created_at'),
      default_sort: 'device_name',
    },
    {
      path: '/provisioning',
      rows: await rows('provisioning'),
      key: 'id',
      filters: [
        exact('router_id', [...routers, plans[0]]),
        exact('customer_id', [customer!.id, plans[0]]),
        exact('kind', ['ppp_secret', 'simple_queue', 'hotspot_user', 'ip_pool', 'nat_rule']),
        exact('status', ['pending', 'in_sync', 'drifted', 'conflict', 'failed']),
        exact('setup', ['isolir', 'x']),
      ],
      sorts: columns('created_at'),
      default_sort: '-created_at',
    },
    {
      path: '/monitoring/alerts',
      rows: await rows('alerts'),
      key: 'id',
      filters: [
        exact('status', ['open', 'acknowledged', 'resolved']),
        exact('type', ['router_offline', 'device_offline', 'bridge_offline', 'quota', 'drift']),
        exact('entity_id', [...subjects, plans[0]]),
        instants('opened_at', [START, START + 1, START + DAY]),
      ],
      sorts: columns('opened_at'),
      default_sort: '-opened_at',
    },
    {
      path: `/imports/${imports[1]!.id}/items`,
      rows: await rows('import_items', `import_id = '${imports[1]!.id}'`),
      key: 'line',
      filters: [exact('outcome', ['create', 'created', 'skip', 'conflict', 'failed'])],
      sorts: columns('line'),
      default_sort: 'line',
    },
    {
      path: `/service-plans/${plans[1]}/changes`,
      rows: await rows('service_plan_changes', `plan_id = '${plans[1]}'`),
      key: 'id',
      filters: [],
      sorts: columns('created_at'),
      default_sort: '-created_at',
    },
    {
      path: '/audit-logs',
      rows: await rows('events'),
      key: 'seq',
      filters: [...event_filters, exact('customer_id', [customer!.id])],
      sorts: columns('seq'),
      default_sort: '-seq',
    },
    {
      path: `/customers/${customer!.id}/audit-logs`,
      rows: await rows('events', `customer_id = '${customer!.id}'`),
      key: 'seq',
      filters: event_filters,
      sorts: columns('seq'),
      default_sort: '-seq',
    },
  ];
  return { tenant, models };
}

// ---------------------------------------------------------------- tests

describe('pages, filters and order', () => {
  test('P10, P12 the pages of the customers list add up to exactly the rows that match, in order', async () => {
    const seeded = await seedCustomers();
    const rows = await present(seeded.tenant);
    expect(rows.length).toBeGreaterThan(40);
    await holdsToModel(seeded.tenant, customerModel(rows, seeded), RUNS);
  });

  test('P10, P12 the pages of every other list add up to exactly the rows that match, in order', async () => {
    const { tenant, models } = await otherModels();
    for (const model of models) {
      expect(model.rows.length, model.path).toBeGreaterThan(5);
      await holdsToModel(tenant, model, SOME_RUNS);
    }
    // whoever adds a list adds its model
    const modelled = ['/customers', ...models.map(model => model.path)].map(path =>
      path.replace(/[0-9a-f-]{36}/, ':id'),
    );
    const elsewhere = [
      ...['plan-changes', 'payments', 'tickets', 'usage'].map(name => `/customers/:id/${name}`),
      // no rows of the database, but of a router that is read through its bridge: test/network/live.test.ts
      ...['sessions', 'secrets', 'profiles', 'pools', 'queues'].map(name => `/routers/:id/${name}`),
      // few enough to be at hand as a whole: test/worker/sessions.test.ts, door.test.ts
      ...['/auth/sessions', '/users/:id/sessions', '/security/blocks'],
    ];
    const lists = routes.filter(({ endpoint }) => 'list' in endpoint.definition.returns);
    const known = [...modelled, ...elsewhere];
    expect(lists.map(route => route.path.replace('/api/v1', '')).filter(path => !known.includes(path))).toEqual([]);
  });

  test('P10 rows that come and go between pages leave the others in their order', async () => {
    const seeded = await seedCustomers();
    const ids = async () => (await walk(seeded.tenant, '/customers', {}, 100)).map(row => row.id as string);
    const before = await ids();
    const extra = await seeded.tenant.addCustomer(seeded.plans[0]!);
    expect(await ids()).toEqual([extra.id, ...before]);
    await seeded.tenant.call('DELETE', `/customers/${extra.id}`);
    expect(await ids()).toEqual(before);
  });

  test('a page beyond the last one is empty, and says the same total', async () => {
    const { tenant } = await seedCustomers();
    const total = (await present(tenant)).length;
    for (const page of [total + 1, 1_000_000]) {
      const answer = await tenant.call('GET', '/customers', { query: { page, per_page: 1 } });
      expect([answer.status, answer.data, answer.meta.total, answer.meta.page]).toEqual([200, [], total, page]);
    }
  });

  test('values that a query can’t mean are refused, and named', async () => {
    const { tenant } = await seedCustomers(1);
    const whole = ['', ' ', '1.5', 'abc', '1e1', '0x10', 'NaN', 'Infinity', '1,2', '+1', '١'];
    const day = ['', '2026-02-30', '2026-1-1', 'kemarin', '20260101', '2026-01-01T25:00:00Z'];
    const sort = ['', '-', 'id', 'full_name desc', '--created_at', 'search_text', 'pppoe_password', 'full_name,status', '1', 'CREATED_AT']; // prettier-ignore
    const bad: Record<string, Record<string, string[]>> = {
      '/customers': {
        page: ['0', '-1', '1000001', ...whole],
        per_page: ['0', '-1', '101', ...whole],
        sort,
        fields: ['', 'full_name,', 'nothing', 'search_text'],
        search: ['', ' ', 'x'.repeat(101), 'a\tb', 'a\0b', '\u007f'],
        status: ['', 'ACTIVE', 'active ', 'deleted'],
        service_plan_id: ['', '1', 'null'],
        router_id: ['x'],
        zone_id: ['x'],
        connection_type: ['PPPoE'],
        billing_type: ['x'],
        due_day: whole,
        due_day_from: whole,
        due_day_to: whole,
        outstanding_balance: whole,
        outstanding_balance_from: whole,
        installation_date: day,
        last_payment_date_from: day,
        created_at_from: day,
        created_at_to: day,
        created_at: ['2026-01-01'],
        'custom_fields.blok': ['', 'x'.repeat(201)],
        custom_fields: ['x'],
        status_from: ['active'],
        limit: ['10'],
      },
      '/service-plans': { is_active: ['1', 'yes', ''], price: whole, price_to: whole, sort },
      '/users': { role: ['owner', ''], is_active: ['all', '0'], sort: ['password_hash'] },
      '/routers': { status: ['up'], bridge_id: ['1'], sort: ['password'] },
      '/audit-logs': { user_id: ['x'], action: ['', 'x'.repeat(101)], created_at_from: day, sort: ['created_at'] },
      '/jobs': { status: ['done'], kind: [''], sort: ['kind'] },
      '/imports': { router_id: ['x', ''], kind: ['queues', ''], sort: ['kind'], job_id: ['x'] },
      '/ip-pools': { router_id: ['1'], sort: ['ranges'], name: ['x'] },
      '/devices': {
        device_type: ['modem', ''],
        status: ['up'],
        bridge_id: ['1'],
        customer_id: ['null'],
        sort: ['password'],
        fields: ['password,nothing'],
      },
      '/provisioning': { router_id: ['1'], customer_id: ['null'], kind: ['pool', ''], status: ['dead'], setup: [''], sort: ['key', 'secret_hash'], fields: ['secret_hash'] }, // prettier-ignore
      '/monitoring/alerts': { status: ['closed'], type: ['fire'], entity_id: ['1'], opened_at_from: day, opened_at_to: day, opened_at: ['2026-01-01'], sort: ['type'] }, // prettier-ignore
    };
    const cases = Object.entries(bad).flatMap(([path, params]) =>
      Object.entries(params).flatMap(([name, values]) => values.map(value => [path, name, value] as const)),
    );
    for (const [path, name, value] of cases) {
      const answer = await tenant.call('GET', path, { query: { [name]: value } });
      expect([answer.status, answer.error?.code], `${path}?${name}=${value}`).toEqual([400, 'VALIDATION_ERROR']);
      expect(Object.keys(answer.error.details!)[0], `${path}?${name}=${value}`).toMatch(
        new RegExp(`^${name.replace('.', '\\.')}`),
      );
    }
    // given twice is not given
    for (const twice of ['page=1&page=2', 'status=active&status=active', 'search=abc&search=def'])
      expect((await tenant.call('GET', `/customers?${twice}`)).status, twice).toBe(400);
  });
});

describe('search', () => {
  const fold = (text: string) => text.normalize('NFKC').toLowerCase();
  const FIELDS = ['full_name', 'customer_code', 'phone', 'phone_e164', 'email', 'pppoe_username', 'address'];
  const has = (row: Row, term: string) => FIELDS.some(field => row[field] !== null && fold(row[field]).includes(fold(term.trim()))); // prettier-ignore

  /** Letters that fold oddly, what FTS and LIKE read as more than letters, and what people type. */
  const unit = fc.oneof(
    fc.constantFrom(...'aAbBiIkKsS019 -.@'),
    fc.constantFrom(...'%_*"\'`\\^:(){}[]+-~|&;,<>=?!#$/'),
    fc.constantFrom('ＡＢ', 'ａ', '１', 'ﬁ', 'ﬀ', 'ß', 'ẞ', 'İ', 'ı', 'é', 'e\u0301', '\u0301', 'Å', 'Å', 'Σ', 'ς', 'K', '½', '²', '㎏', 'ｶﾞ', '한', '\u1112\u1161\u11ab', 'ไ', 'ก็', 'न्', '😀', '👩‍👧', '🇮🇩', '𝔘', '\u200d', '\u00a0', '\u3000'), // prettier-ignore
    fc.constantFrom(' AND ', ' OR ', ' NOT ', ' NEAR ', 'NEAR(', 'search_text:', '"a"', '--', '/*', 'budi'),
  );
  const text = (most: number) => fc.array(unit, { minLength: 1, maxLength: most }).map(parts => parts.join(''));
  const visible = (value: string) => value.trim() !== '';

  test('P11 every search hit contains the folded term, and every row that does is a hit', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const rows = new Map<string, Row>();
    const person = fc.record(
      {
        full_name: text(10).filter(value => visible(value) && [...value].length <= 60),
        address: text(14).filter(visible),
        phone: fc.constantFrom('0812-3456-7890', '+62 811 22', '021 (555) 01', '(', '62.877.1').filter(value => value !== '('), // prettier-ignore
        email: fc.option(fc.constantFrom('Budi@Contoh.example', 'a.b+c@d-e.example', "o'neil@x.example")),
        pppoe_username: fc.option(text(4).filter(visible), { nil: undefined }),
      },
      { noNullPrototype: true },
    );
    // cut out of what is there, or anything at all
    const cut = fc.record({ who: fc.nat(), field: fc.nat(), from: fc.nat(), length: fc.integer({ min: 1, max: 8 }), upper: fc.boolean() }); // prettier-ignore
    const term = fc.oneof({ weight: 2, arbitrary: cut }, text(3), text(1), fc.constantFrom('cust', '0001', '+62', '62', 'ex')); // prettier-ignore
    const spell = (wanted: typeof term extends fc.Arbitrary<infer T> ? T : never): string => {
      if (typeof wanted === 'string') return wanted;
      const row = [...rows.values()][wanted.who % rows.size]!;
      const letters = [...String(row[FIELDS[wanted.field % FIELDS.length]!] ?? 'budi')];
      const from = wanted.from % letters.length;
      const piece = letters.slice(from, from + wanted.length).join('');
      return wanted.upper ? piece.toUpperCase() : piece;
    };
    let longer = 0;
    let shorter = 0;
    await fc.assert(
      fc.asyncProperty(person, person, fc.array(term, { minLength: 3, maxLength: 5 }), async (first, second, terms) => {
        const unique = crypto.randomUUID().slice(0, 6);
        const named = (fields: typeof first) => ({ ...fields, ...(fields.pppoe_username && { pppoe_username: `${fields.pppoe_username}${unique}` }) }); // prettier-ignore
        const created = await tenant.addCustomer(plan.id, named(first));
        rows.set(created.id, created);
        // what search looks in follows each change, and forgets what was there before
        rows.set(created.id, await tenant.put(`/customers/${created.id}`, named(second)));
        for (const wanted of [...terms, first.full_name.slice(0, 40)]) {
          const search = spell(wanted);
          if (!visible(search) || search.trim().length > 100) continue;
          const found = (await walk(tenant, '/customers', { search, fields: 'id' }, 100)).map(row => row.id);
          const expected = [...rows.values()].filter(row => has(row, search)).map(row => row.id);
          expect(found.sort(), JSON.stringify(search)).toEqual(expected.sort());
          if (expected.length === 0) continue;
          if ([...fold(search.trim())].length >= 3) longer++;
          else shorter++;
        }
      }),
      RUNS,
    );
    // the runs must have found something by the index and by looking at each row
    expect(Math.min(longer, shorter)).toBeGreaterThan(20);
  });

  test('P11 no hit spans two fields, and a search works beside filters, order and pages', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id, { full_name: 'Satu Dua', email: 'tiga@x.example' });
    const hits = async (params: Record<string, string>) => (await walk(tenant, '/customers', params, 10)).map(row => row.id); // prettier-ignore
    expect(await hits({ search: 'duacust' })).toEqual([]);
    expect(await hits({ search: 'DUA', status: 'pending_activation', sort: 'full_name' })).toEqual([customer.id]);
    expect(await hits({ search: 'dua', status: 'active' })).toEqual([]);
  });
});

// ---------------------------------------------------------------- cost

/** What a request cost, from its own log line. */
async function costOf(tenant: TestTenant, path: string): Promise<{ round_trips: number; rows_read: number }> {
  const lines: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation(line => void lines.push(String(line)));
  env.LOG_REQUESTS = 'yes';
  try {
    const answer = await tenant.call('GET', path);
    expect(answer.status, answer.text).toBe(200);
  } finally {
    env.LOG_REQUESTS = 'no';
    log.mockRestore();
  }
  const { round_trips, rows_read } = JSON.parse(lines.at(-1)!);
  return { round_trips, rows_read };
}

const CUSTOMERS = 10_000;

/** An ISP of that size, and the log of its making. */
async function seedLarge() {
  const tenant = await TestTenant.signUp();
  const plans: string[] = [];
  for (let i = 0; i < 8; i++) plans.push((await tenant.addPlan()).id);
  const zones: string[] = [];
  for (let i = 0; i < 20; i++) zones.push((await tenant.post('/zones', { name: `z${i}` })).id);
  const routers: string[] = [];
  for (let i = 0; i < 4; i++)
    routers.push(
      (await tenant.post('/routers', { name: `r${i}`, host: 'h.example', username: 'x', password: 'y' })).id,
    );
  const first = Date.parse('2023-01-01T00:00:00Z');
  const people = ['Budi', 'Siti', 'Agus', 'Dewi', 'Wahyudi', 'Sri', 'Joko', 'Kurniawan', 'Nurhayati', 'Slamet'];
  const rows = Array.from({ length: CUSTOMERS }, (_, i) => {
    // scattered, but the same in each run
    const n = (i * 7919) % CUSTOMERS;
    const code = `CUST${String(i + 1).padStart(5, '0')}`;
    const full_name = `${pick(people, n)} ${pick(people, n >> 4)} ${n}`;
    return {
      id: `0195${String(i).padStart(4, '0')}-0000-7000-8000-${String(i).padStart(12, '0')}`,
      customer_code: code,
      full_name,
      phone: `0812${String(n).padStart(7, '0')}`,
      address: `Jl. Melati ${n % 300}`,
      zone_id: pick([...zones, ...zones, null], n >> 2),
      router_id: pick(routers, n >> 3),
      status: n % 100 < 88 ? 'active' : n % 100 < 94 ? 'suspended' : n % 100 < 98 ? 'terminated' : 'pending_activation',
      service_plan_id: pick(plans, n >> 1),
      due_day: 1 + (n % 28),
      billing_type: n % 10 === 0 ? 'postpaid' : 'prepaid',
      connection_type: n % 20 === 0 ? 'static' : 'pppoe',
      pppoe_username: code.toLowerCase(),
      installation_date: new Date(first + (n % 1000) * DAY).toISOString().slice(0, 10),
      last_payment_date: n % 7 === 0 ? null : new Date(first + (n % 900) * DAY).toISOString().slice(0, 10),
      outstanding_balance: n % 12 === 0 ? 150_000 : 0,
      custom_fields: n % 50 === 0 ? '{"blok":"a"}' : '{}',
      search_text: [full_name.toLowerCase(), code.toLowerCase(), `0812${String(n).padStart(7, '0')}`, `jl. melati ${n % 300}`].join('\u001f'), // prettier-ignore
      created_at: first + i * 9_000_000,
      updated_at: first + n * 9_000_000,
    };
  });
  for (let at = 0; at < rows.length; at += 1000) await insertRows(tenant, 'customers', rows.slice(at, at + 1000));
  const events = rows.map(row => ({ type: 'customer.created', action: 'create', actor: 'user', user_id: tenant.admin.id, entity_type: 'customer', entity_id: row.id, customer_id: row.id, ip_address: '10.0.0.1', created_at: row.created_at })); // prettier-ignore
  for (let at = 0; at < events.length; at += 2000) await insertRows(tenant, 'events', events.slice(at, at + 2000));
  const provisioning = rows.slice(0, 2000).map(row => ({ id: row.id, customer_id: row.id, router_id: row.router_id, kind: 'ppp_secret', key: row.customer_code, created_at: 1, updated_at: 1 })); // prettier-ignore
  await insertRows(tenant, 'provisioning', provisioning);
  const watched = await seedWatched(tenant, rows, routers);
  const money = await seedMoney(tenant, rows, plans);
  const online = await seedLines(tenant, rows, routers);
  return { tenant, rows: rows as Row[], plans, zones, routers, provisioning, online, ...watched, ...money };
}

/** What stands below one customer, and as much of others that it must not be read with it. */
async function seedMoney(tenant: TestTenant, customers: readonly Row[], plans: readonly string[]) {
  const first = Date.parse('2026-10-01T00:00:00Z');
  const make = (fields: (i: number) => Row): Row[] =>
    Array.from({ length: 1000 }, (_, i) => ({ id: crypto.randomUUID(), customer_id: customers[5000 + (i >> 1)]!.id, created_at: first + i, updated_at: 1, ...fields(i) })); // prettier-ignore
  const period = (i: number) => ({ period_year: 2026, period_month: 10 + (i % 2) });
  const invoices = make(i => ({ ...period(i), number: `N${i}`, issue_date: '2026-10-01', due_date: '2026-10-15', service_from: '2026-10-01', status: 'paid', subtotal: 1, tax_rate_bp: 0, tax: 0, total: 1, lines: '[]' })); // prettier-ignore
  const payments = make(i => ({ ...period(i), invoice_id: invoices[i]!.id, amount: 1, owed_since: '2026-10-01', status: 'paid', due_date: '2026-10-15', payment_date: '2026-10-02', payment_method: 'cash', payment_for: 'monthly_subscription' })); // prettier-ignore
  const receipts = make(i => ({ number: `K${i}`, amount: 1, unallocated: 1, payment_method: 'cash', received_at: first, received_on: '2026-10-02' })); // prettier-ignore
  const allocations = receipts.map((receipt, i) => ({
    receipt_id: receipt.id,
    payment_id: payments[i]!.id,
    amount: 1,
  }));
  const tickets = make(i => ({ ticket_number: `TKT${i}`, title: 'x', description: 'x', category: 'technical', priority: 'low', status: 'closed' })); // prettier-ignore
  const plan_changes = make(() => ({ from_plan_id: plans[0], to_plan_id: plans[1], effective_date: '2026-10-01', applied_at: first })); // prettier-ignore
  const speeds = { average_download_kbps: 1, average_upload_kbps: 1, most_download_kbps: 1, most_upload_kbps: 1 };
  const usage = customers.slice(5000, 5500).flatMap(({ id }) => ['10', '11'].map(day => ({ customer_id: id, date: `2026-10-${day}`, upload_bytes: 1, download_bytes: 1, ...speeds, online_seconds: 1 }))); // prettier-ignore
  const tables = { invoices, payments, receipts, receipt_allocations: allocations, tickets, customer_plan_changes: plan_changes, usage_daily: usage }; // prettier-ignore
  for (const [table, list] of Object.entries(tables)) await insertRows(tenant, table, list);
  return { invoices, payments, receipts };
}

/** Who is on the line: most of those who are served, as each router was just measured. */
async function seedLines(tenant: TestTenant, customers: readonly Row[], routers: readonly string[]): Promise<Row[]> {
  const online = customers.filter(
    row => row.connection_type === 'pppoe' && row.status === 'active' && row.due_day !== 7,
  );
  const measured = routers.map((router_id, part) => ({ router_id, part, measured_at: Date.now(), spool_id: 'a', number: 1, lines: JSON.stringify(online.filter(row => row.router_id === router_id).map(row => ({ name: row.pppoe_username }))) })); // prettier-ignore
  await insertRows(tenant, 'line_measurements', measured);
  await insertRows(tenant, 'line_measurements', measured.map(row => ({ ...row, measured_at: row.measured_at - 300_000 }))); // prettier-ignore
  await query(tenant, `UPDATE routers SET status = 'online'`);
  return online;
}

/** What goes with that many customers: their devices, alerts of years, pools, imports. */
async function seedWatched(tenant: TestTenant, rows: readonly Row[], routers: readonly string[]) {
  const first = Date.parse('2023-01-01T00:00:00Z');
  const bridges: string[] = [];
  for (const name of ['a', 'b']) bridges.push((await tenant.post('/bridges', { name })).id);
  const make = (count: number, fields: (i: number) => Row): Row[] =>
    Array.from({ length: count }, (_, i) => ({ id: crypto.randomUUID(), created_at: first + i * 60_000, updated_at: 1, ...fields(i) })); // prettier-ignore
  const devices = make(1500, i => ({ device_name: `d${(i * 7919) % 1500}`, device_type: pick(['onu', 'onu', 'onu', 'switch', 'olt'], i), status: pick([...Array<string>(40).fill('online'), 'offline', 'maintenance'], i), status_at: first, bridge_id: bridges[i % 2], customer_id: i % 2 === 0 ? rows[i]!.id : null })); // prettier-ignore
  const alerts = make(5000, i => ({ type: pick(['device_offline', 'device_offline', 'router_offline'], i), severity: 'warning', entity_type: 'device', entity_id: devices[i % 1500]!.id, message: 'x', status: i < 4950 ? 'resolved' : pick(['open', 'acknowledged'], i), opened_at: first + i * 18_000_000 })); // prettier-ignore
  const pools = make(40, i => ({ router_id: pick(routers, i), name: `p${i}`, ranges: '10.0.0.1', size: 1 }));
  const jobs = make(300, () => ({ kind: 'import', status: 'completed' }));
  const imports = make(300, i => ({ job_id: jobs[i]!.id, router_id: pick(routers, i), kind: pick(['secrets', 'profiles', 'pools'], i), source: 'router' })); // prettier-ignore
  const items = make(3000, i => ({ import_id: imports[i % 2]!.id, line: i, name: 'x', outcome: pick(['created', 'created', 'created', 'skip'], i >> 1) })).map(({ id: _id, created_at: _at, updated_at: _then, ...item }) => item); // prettier-ignore
  for (const [table, list] of Object.entries({ devices, alerts, ip_pools: pools, jobs, imports, import_items: items }))
    for (let at = 0; at < list.length; at += 1000) await insertRows(tenant, table, list.slice(at, at + 1000));
  return { bridges, devices, alerts, pools, imports, items, jobs };
}

describe('cost at 10,000 customers', () => {
  test('each list and detail is one round trip, and reads its page and its index range, not the table', async () => {
    const { tenant, rows, plans, zones, routers, bridges, devices, alerts, pools, imports, items, ...more } =
      await seedLarge();
    const { provisioning, online, payments, invoices, receipts, jobs } = more;
    const customer = rows[5000]!;
    const many = (list: readonly Row[], keeps: (row: Row) => boolean) => list.filter(keeps).length;
    const count = (keeps: (row: Row) => boolean) => many(rows, keeps);
    const PAGE = 10;
    /** The page, its counter, and whether the caller may still act. */
    const AROUND = PAGE + 4;
    /** Its range of the index twice: for the page (less, where the index has the order already) and for the total. */
    const filtered = (hits: number) => AROUND + 2 * hits;
    /** Another order than the index has: what is sorted counts once more. */
    const sorted = (hits: number) => AROUND + 3 * hits;
    /** Index, row and sort for the page; index and row for the total. */
    const searched = (hits: number) => AROUND + 5 * hits;
    const hit = (term: string) => count(row => row.search_text.includes(term));
    const day = (text: string) => Date.parse(`${text}T00:00:00+07:00`);
    const dated = (name: string, from: string, to: string) => count(row => row[name] !== null && row[name] >= from && row[name] <= to); // prettier-ignore
    const owing = count(row => row.outstanding_balance >= 1);
    const few_days = count(row => row.due_day >= 3 && row.due_day <= 4);
    /** path → rows it may read */
    const routes_and_bounds: [string, number][] = [
      ['/customers', 40],
      ['/customers?per_page=100', 130],
      ...['created_at', 'updated_at', 'full_name', 'customer_code', 'status', 'due_day', 'outstanding_balance', 'last_payment_date'].flatMap( // prettier-ignore
        sort => [[`/customers?sort=${sort}`, 40], [`/customers?sort=-${sort}`, 40]] as [string, number][],
      ), // prettier-ignore
      ['/customers?page=900', CUSTOMERS],
      ['/customers?page=900&sort=full_name', CUSTOMERS],
      ['/customers?status=suspended', filtered(count(row => row.status === 'suspended'))],
      ['/customers?status=active', filtered(count(row => row.status === 'active'))],
      ['/customers?status=active&page=800', filtered(count(row => row.status === 'active'))],
      ['/customers?status=suspended&sort=full_name', sorted(count(row => row.status === 'suspended'))],
      [`/customers?service_plan_id=${plans[0]}`, filtered(count(row => row.service_plan_id === plans[0]))],
      [`/customers?router_id=${routers[0]}`, filtered(count(row => row.router_id === routers[0]))],
      [`/customers?zone_id=${zones[0]}`, filtered(count(row => row.zone_id === zones[0]))],
      ['/customers?connection_type=static', filtered(count(row => row.connection_type === 'static'))],
      ['/customers?billing_type=postpaid', filtered(count(row => row.billing_type === 'postpaid'))],
      ['/customers?due_day=15', filtered(count(row => row.due_day === 15))],
      ['/customers?due_day_from=3&due_day_to=4', sorted(few_days)],
      ['/customers?outstanding_balance_from=1', filtered(owing)],
      ['/customers?outstanding_balance_from=1&sort=-outstanding_balance', filtered(owing)],
      ['/customers?installation_date=2023-05-05', filtered(dated('installation_date', '2023-05-05', '2023-05-05'))],
      ['/customers?installation_date_from=2023-05-01&installation_date_to=2023-05-31', sorted(dated('installation_date', '2023-05-01', '2023-05-31'))], // prettier-ignore
      ['/customers?last_payment_date_to=2023-01-31', filtered(dated('last_payment_date', '', '2023-01-31'))],
      ['/customers?created_at_from=2023-05-01&created_at_to=2023-05-31', filtered(count(row => row.created_at >= day('2023-05-01') && row.created_at < day('2023-06-01')))], // prettier-ignore
      ['/customers?payment_status=pending', filtered(owing)],
      ['/customers?payment_status=paid', filtered(CUSTOMERS - owing)],
      // who is on the line, and the customers of routers that were measured
      ['/customers?online=true', filtered(CUSTOMERS) + 4 * online.length],
      ['/customers?online=false', filtered(CUSTOMERS) + 4 * online.length],
      [`/customers?online=false&router_id=${routers[0]}`, filtered(CUSTOMERS) + 4 * online.length],
      ['/customers?device_type=olt', AROUND + 7 * many(devices, row => row.device_type === 'olt')],
      // a list of ids, made twice, looked up twice
      ['/customers?custom_fields.blok=a', AROUND + 7 * count(row => row.custom_fields !== '{}')],
      ['/customers?status=suspended&due_day=15', filtered(count(row => row.status === 'suspended'))],
      [`/customers?status=active&zone_id=${zones[0]}`, filtered(count(row => row.status === 'active'))],
      ['/customers?search=wahyudi', searched(hit('wahyudi'))],
      ['/customers?search=cust05001', searched(hit('cust05001'))],
      ['/customers?search=slamet%20nurhayati&sort=full_name', searched(hit('slamet nurhayati'))],
      ['/customers?search=tidak-ada', AROUND],
      ['/customers?search=dewi%20dewi&status=suspended', searched(hit('dewi dewi'))],
      // one and two letters: no index knows them, rows are looked at until the page is full, all of them for the total
      ['/customers?search=zx', AROUND + 2 * CUSTOMERS],
      [`/customers/${customer.id}`, 5],
      [`/customers/${customer.id}/audit-logs`, 8],
      [`/customers/${rows[100]!.id}/provisioning`, 8],
      ...['plan-changes', 'payments', 'tickets', 'usage'].map(name => [`/customers/${customer.id}/${name}`, 16] as [string, number]), // prettier-ignore
      ['/provisioning', 40],
      ['/provisioning?status=failed', AROUND],
      [`/provisioning?router_id=${routers[0]}`, filtered(many(provisioning, row => row.router_id === routers[0]))],
      ['/payments', 40],
      [`/payments/${payments[0]!.id}`, 5],
      ['/invoices', 40],
      [`/invoices/${invoices[0]!.id}`, 5],
      ['/receipts', 40],
      [`/receipts/${receipts[0]!.id}`, 8],
      ['/customers/stats', 60 + count(row => row.created_at >= Date.now() - 31 * DAY)],
      ['/audit-logs', 40],
      ['/audit-logs?page=900', CUSTOMERS],
      [`/audit-logs?entity_id=${customer.id}`, filtered(1)],
      [`/audit-logs?customer_id=${customer.id}`, filtered(1)],
      ['/audit-logs?entity_type=zone', filtered(zones.length)],
      ['/audit-logs?created_at_from=2023-05-01&created_at_to=2023-05-31', sorted(count(row => row.created_at >= day('2023-05-01') && row.created_at < day('2023-06-01')))], // prettier-ignore
      ['/service-plans', 40],
      [`/service-plans/${plans[0]}`, 5],
      [`/service-plans/${plans[0]}/advanced`, 5],
      [`/service-plans/${plans[0]}/changes`, 8],
      ['/zones', 60],
      [`/zones/${zones[0]}`, 5],
      ['/routers', 40],
      [`/routers/${routers[0]}`, 5],
      ['/bridges', 20],
      [`/bridges/${bridges[0]}`, 5],
      ['/users', 20],
      [`/users/${tenant.admin.id}`, 5],
      ['/auth/me', 5],
      ['/settings', 5],
      // without a counter the total is counted in an index
      ['/jobs', AROUND + 300],
      ['/jobs?status=completed', filtered(300)],
      [`/jobs/${jobs[0]!.id}`, 5],
      ['/imports', AROUND + imports.length],
      ['/imports?page=20', 2 * imports.length],
      [`/imports?router_id=${routers[0]}`, sorted(many(imports, row => row.router_id === routers[0]))],
      [`/imports?router_id=${routers[0]}&kind=pools`, filtered(many(imports, row => row.router_id === routers[0] && row.kind === 'pools'))], // prettier-ignore
      // by kind alone no index: there are as many as somebody made
      ['/imports?kind=pools', AROUND + 2 * imports.length],
      [`/imports/${imports[0]!.id}`, 5],
      [`/imports/${imports[0]!.id}/items`, filtered(items.length / 2)],
      [`/imports/${imports[0]!.id}/items?outcome=skip`, filtered(many(items, row => row.import_id === imports[0]!.id && row.outcome === 'skip'))], // prettier-ignore
      // by name, which is unique for each router only
      ['/ip-pools', AROUND + 3 * pools.length],
      ['/ip-pools?sort=-created_at', AROUND + pools.length],
      [`/ip-pools?router_id=${routers[0]}`, sorted(many(pools, row => row.router_id === routers[0]))],
      [`/ip-pools/${pools[0]!.id}`, 5],
      ['/devices', AROUND + devices.length],
      ['/devices?page=140', 2 * devices.length],
      ['/devices?sort=-created_at', AROUND + devices.length],
      ['/devices?status=offline', sorted(many(devices, row => row.status === 'offline'))],
      ['/devices?device_type=olt', sorted(many(devices, row => row.device_type === 'olt'))],
      ['/devices?device_type=olt&sort=created_at', filtered(many(devices, row => row.device_type === 'olt'))],
      [`/devices?bridge_id=${bridges[0]}`, sorted(many(devices, row => row.bridge_id === bridges[0]))],
      [`/devices?customer_id=${devices[0]!.customer_id}`, sorted(1)],
      [`/devices/${devices[0]!.id}`, 5],
      [`/devices/${devices[0]!.id}/status`, 5],
      ['/monitoring/alerts', AROUND + alerts.length],
      ['/monitoring/alerts?status=open', filtered(many(alerts, row => row.status === 'open'))],
      ['/monitoring/alerts?type=router_offline', filtered(many(alerts, row => row.type === 'router_offline'))],
      [`/monitoring/alerts?entity_id=${devices[0]!.id}`, filtered(many(alerts, row => row.entity_id === devices[0]!.id))], // prettier-ignore
      ['/monitoring/alerts?opened_at_from=2023-05-01&opened_at_to=2023-05-31', filtered(many(alerts, row => row.opened_at >= day('2023-05-01') && row.opened_at < day('2023-06-01')))], // prettier-ignore
    ];
    const table: string[] = [];
    const over: string[] = [];
    for (const [path, most] of routes_and_bounds) {
      const { round_trips, rows_read } = await costOf(tenant, path);
      const line = `${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ':id')} | ${round_trips} | ${rows_read} | ${most}`;
      table.push(line);
      if (round_trips !== 1 || rows_read > most) over.push(line);
    }
    expect(over, `route | round trips | rows read | at most\n${table.join('\n')}`).toEqual([]);
  });
});
