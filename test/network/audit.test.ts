import { createExecutionContext, env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { routes } from '../../src/app.ts';
import { makeAmbient } from '../../src/context.ts';
import { applyDuePlanChanges } from '../../src/resources/customers/actions.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { makeContext } from '../../src/tenancy/enter.ts';
import { seal } from '../../src/auth/sealing.ts';
import type { TestBridgeAccess } from '../support/network.ts';
import { enrolBridge, loadOnRouter, uniqueName } from '../support/network-world.ts';
import {
  addEntry,
  type Answer,
  type CallOptions,
  makePublicKey,
  PASSWORD,
  TestBridge,
  TestTenant,
} from '../support/world.ts';

/** The log: no change without its event, no event without its change, in one batch; and nobody changes it afterwards. */

/** The rows of one run are there in the next: a failure is shown as it came, not made smaller among other rows. */
const RUNS = { numRuns: 100, endOnFailure: true };
type Row = Record<string, any>;

afterEach(() => vi.restoreAllMocks());

/** What people manage, and whose event tells of a row of it. */
const MANAGED: Record<string, { key: string; entity: (row: Row) => string; where?: string }> = {
  users: { key: 'id', entity: row => row.id },
  settings: { key: 'id', entity: row => row.id },
  zones: { key: 'id', entity: row => row.id },
  service_plans: { key: 'id', entity: row => row.id },
  service_plan_settings: { key: 'plan_id', entity: row => row.plan_id },
  customers: { key: 'id', entity: row => row.id },
  customer_plan_changes: { key: 'id', entity: row => row.customer_id },
  bridges: { key: 'id', entity: row => row.id },
  routers: { key: 'id', entity: row => row.id },
  imports: { key: 'id', entity: row => row.id },
  ip_pools: { key: 'id', entity: row => row.id },
  devices: { key: 'id', entity: row => row.id },
  alerts: { key: 'id', entity: row => row.id },
  payments: { key: 'id', entity: row => row.id },
  receipts: { key: 'id', entity: row => row.id },
  invoices: { key: 'id', entity: row => row.id },
  // what follows from a customer's line, or from a pool, is told with that: here the one of addEntry
  provisioning: { key: 'id', entity: row => row.id, where: "key = 'rumah'" },
};
/** Versions, what follows from other columns, and observations: not told of as changes. */
const UNTOLD = new Set(
  `id plan_id created_at updated_at search_text phone_e164 last_login_at totp_last_step last_heartbeat_at last_seen_at last_error revision
  identity board_name version status_at last_report_ms spool_id spool_number last_measured_at next_signing_secret rotation_begun_at latency_ms used used_at
  status:routers status:bridges opened_at:alerts resolved_at:alerts circuit generation attempts next_attempt_at
  account_version outstanding_balance credit_balance overdue_balance payment_status last_payment_date period unallocated idempotency_key
  invoice_id:customer_plan_changes carried_to:invoices lines:invoices`.split(/\s+/),
);
/** Whose status is observed: each change of it is told by `router.status` and its like, or with what people changed. */
const OBSERVED = { routers: 'router', bridges: 'bridge', devices: 'device' } as const;
/** What comes of observations: at any time, and whether or not the one who asked got what was asked for. */
const OBSERVATIONS = new Set([
  ...Object.values(OBSERVED).map(entity => `${entity}.status`),
  'alert.opened',
  'alert.resolved',
  'provisioning.applied',
  'provisioning.looked',
]);
const SECRET = new Set(['password_hash', 'pppoe_password', 'password', 'signing_secret', 'public_key']);
/** What the table itself puts into a new row. */
const DEFAULTED = ['billing_cycle', 'tls_anonymous_dh'];
const MASK = '••••••••';

interface Snapshot {
  rows: Record<string, Map<string, Row>>;
  events: Row[];
}

async function snapshot(tenant: TestTenant): Promise<Snapshot> {
  const d1 = await tenant.database();
  const tables = Object.keys(MANAGED);
  const results = await d1.batch<Row>(
    [...tables, 'events'].map(table => d1.prepare(`SELECT * FROM ${table} WHERE ${MANAGED[table]?.where ?? 1} ORDER BY 1`)), // prettier-ignore
  );
  const rows = tables.map((table, i) => [
    table,
    new Map(results[i]!.results.map(row => [row[MANAGED[table]!.key], row])),
  ]);
  return { rows: Object.fromEntries(rows), events: results.at(-1)!.results };
}

/** A column's value as the log tells it. */
function told(column: string, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (SECRET.has(column)) return MASK;
  if (/_at$|^tokens_valid_from$/.test(column)) return new Date(value as number).toISOString();
  if (/^(is_|use_tls|tls_anonymous_dh|auto_|dry_run|adopt$)/.test(column)) return value === 1;
  if (['features', 'custom_fields', 'options', 'dns_servers', 'area_coverage', 'addons', 'time_restrictions', 'plan_ids'].includes(column)) return JSON.parse(value as string); // prettier-ignore
  return value;
}

function differences(
  table: string,
  before: Row | undefined,
  after: Row | undefined,
): Record<string, [unknown, unknown]> {
  const columns = Object.keys(before ?? after!).filter(
    column => !UNTOLD.has(column) && !UNTOLD.has(`${column}:${table}`),
  );
  const changed = columns.filter(column => before?.[column] !== after?.[column] && (before?.[column] ?? after?.[column] ?? null) !== null); // prettier-ignore
  return Object.fromEntries(
    changed.map(column => [column, [told(column, before?.[column]), told(column, after?.[column])]]),
  );
}

/** Events that tell of something beside the rows above. */
const OTHERWISE = new Set([
  'user.logged_in',
  'user.logged_out',
  'bridge.enrolment_opened',
  'bridge.rotation_begun',
  'router.session_disconnected',
  'import.undo_completed',
  'billing.run_started',
  'billing.run_completed',
  ...Object.values(OBSERVED).map(entity => `${entity}.status`),
  // of rows that no person writes: the simulation holds them together
  'provisioning.applied',
  'provisioning.looked',
]);

/** The statuses of each row one after the other, as the log tells them, lead from what it was to what it is. */
function holdStatuses(before: Snapshot, after: Snapshot, fresh: Row[]): void {
  for (const [table, entity] of Object.entries(OBSERVED))
    for (const [key, row] of after.rows[table]!) {
      const own = fresh.filter(event => event.entity_id === key);
      const steps = own.filter(event => event.type === `${entity}.status`);
      // where people say otherwise, their own event tells
      const managed = own.some(event => [`${entity}.created`, `${entity}.updated`].includes(event.type));
      const told = steps.map(event => JSON.parse(event.changes).status as [string, string]);
      for (const [old, now] of told) expect(now, `${table} ${key}`).not.toBe(old);
      if (managed) continue;
      const start = before.rows[table]!.get(key)!.status;
      expect(
        told.reduce((at, [old, now]) => (old === at ? now : `${at}, but ${old} → ${now}`), start),
        `${table} ${key}`,
      ).toBe(row.status);
    }
}

/** What happened to the rows and what the log says must be the same, in both directions; gives what was done. */
function holdTogether(before: Snapshot, after: Snapshot): number {
  // whatever stood in the log stands there still
  expect(after.events.slice(0, before.events.length)).toEqual(before.events);
  const fresh = after.events.slice(before.events.length);
  const accounted = new Set<Row>(fresh.filter(event => OTHERWISE.has(event.type)));
  holdStatuses(before, after, fresh);
  let changed_rows = 0;
  for (const table of Object.keys(MANAGED)) {
    const [old_rows, new_rows] = [before.rows[table]!, after.rows[table]!];
    for (const key of new Set([...old_rows.keys(), ...new_rows.keys()])) {
      const [old_row, new_row] = [old_rows.get(key), new_rows.get(key)];
      const changes = differences(table, old_row, new_row);
      // a device's status is also set by people, with an event as for any column
      if (fresh.some(event => event.type === 'device.status' && event.entity_id === key)) delete changes.status;
      // an invoice's status follows its dues; being void is told by itself
      const is_voided = fresh.some(event => event.type === 'invoice.voided' && event.entity_id === key);
      if (table === 'invoices' && old_row && !is_voided) delete changes.status;
      if (Object.keys(changes).length === 0) continue;
      const owner = MANAGED[table]!.entity((new_row ?? old_row)!);
      const telling = fresh.filter(event => event.entity_id === owner && !OTHERWISE.has(event.type));
      expect(telling.length, `${table}: ${JSON.stringify(changes)}`).toBe(1);
      const [event] = telling as [Row];
      accounted.add(event);
      if (!OBSERVATIONS.has(event.type)) changed_rows++;
      if (table === 'customer_plan_changes') continue;
      const said = Object.fromEntries(
        Object.entries<[unknown, unknown]>(JSON.parse(event.changes)).filter(
          ([column]) => !UNTOLD.has(column) && !UNTOLD.has(`${column}:${table}`),
        ),
      );
      // settings of a plan come from their defaults, which stand in no row
      if (table === 'service_plan_settings' && !old_row) {
        for (const [column, [, value]] of Object.entries(said)) expect(told(column, new_row![column])).toEqual(value);
        continue;
      }
      if (!old_row) for (const column of DEFAULTED) if (!(column in said)) delete changes[column];
      expect(said).toEqual(changes);
      if (!old_row || !new_row) expect(event.action).toBe(old_row ? 'delete' : 'create');
    }
  }
  expect(fresh.filter(event => !accounted.has(event))).toEqual([]);
  return changed_rows + fresh.filter(event => !OBSERVATIONS.has(event.type)).length;
}

// ---------------------------------------------------------------- operations

interface World {
  tenant: TestTenant;
  plans: string[];
  ids: Record<
    'zones' | 'service-plans' | 'users' | 'bridges' | 'routers' | 'customers' | 'ip-pools' | 'devices',
    string[]
  >;
  /**
   * A bridge and a router that really answer, a device that it watches, and the imports made from that router; routers
   * that nobody speaks to, and an entry of one of them.
   */
  network: {
    bridge: TestBridge;
    router_id: string;
    device_id: string;
    entry_id: string;
    imports: string[];
    silent_routers: string[];
    /** A bridge whose keys may change. */
    rotating_id: string;
  };
  /** Served since 2020, on a priced plan: can be billed for any month since. */
  subscriber: string;
}

async function makeWorld(): Promise<World> {
  const tenant = await TestTenant.signUp();
  const plans = [(await tenant.addPlan()).id, (await tenant.addPlan()).id, (await tenant.addPlan()).id];
  const network = await makeNetwork(tenant);
  const { id: subscriber } = await tenant.addCustomer(plans[0]!);
  await tenant.post(`/customers/${subscriber}/activate`, { date: '2020-01-01' });
  const world: World = { tenant, plans, network, subscriber, ids: { zones: [], 'service-plans': [], users: [], bridges: [], routers: [], customers: [], 'ip-pools': [], devices: [] } }; // prettier-ignore
  for (const kind of Object.keys(CREATE) as Kind[])
    for (const seed of [1, 2]) {
      const answer = await CREATE[kind](world, seed);
      expect(answer.status, answer.text).toBe(201);
      world.ids[kind].push(answer.data.id);
    }
  return world;
}

async function makeNetwork(tenant: TestTenant): Promise<World['network']> {
  const { signing_secret, public_key, url } = env.TEST_NETWORK.bridge;
  const { host, port, username, password } = env.TEST_NETWORK.router;
  const { id } = await tenant.post('/bridges', { name: 'Jaringan', url });
  const sealed = await seal({ env, now: Date.now() }, { row_id: id, column: 'signing_secret' }, signing_secret);
  const d1 = await tenant.database();
  await d1.prepare('UPDATE bridges SET signing_secret = ?, public_key = ?, enrolled_at = 1 WHERE id = ?').bind(sealed, JSON.stringify(public_key), id).run(); // prettier-ignore
  const router = await tenant.post('/routers', { name: 'Pusat', host, port, username, password, bridge_id: id, is_default: false }); // prettier-ignore
  const device = await tenant.post('/devices', { device_name: 'OLT', device_type: 'olt', ip_address: '10.0.0.9', bridge_id: id }); // prettier-ignore
  const bridge = new TestBridge(tenant.id, id, signing_secret);
  // nobody speaks to these: what they must hold tells nothing behind the test's back
  const silent_routers: string[] = [];
  for (const name of ['Cabang', 'Gudang']) {
    const { id: router_id } = await tenant.post('/routers', {
      name,
      host,
      port,
      username,
      password,
      is_default: false,
    });
    await d1.prepare('UPDATE routers SET bridge_id = NULL WHERE id = ?').bind(router_id).run();
    silent_routers.push(router_id);
  }
  const made = await fetch(`${env.TEST_ROTATION}/bridges/`, { method: 'POST' });
  const access = await made.json<TestBridgeAccess>();
  const rotating_id = await enrolBridge(tenant, access.url, access);
  const entry_id = await addEntry(tenant, silent_routers[1]!);
  return { bridge, router_id: router.id, device_id: device.id, entry_id, imports: [], silent_routers, rotating_id };
}

let next_number = 0;

/** A round of measuring in which the router and the device are there or not. */
async function reportRound({ network }: World, seed: number): Promise<Answer> {
  const { bridge, router_id, device_id } = network;
  const [router, device] = [seed % 2 === 0, (seed >> 1) % 2 === 0].map(is_there => (is_there ? 'online' : 'offline'));
  const facts = {
    identity: `r${seed % 3}`,
    board_name: 'RB4011',
    version: `7.${seed % 5}`,
    uptime_seconds: 1,
    pools: null,
  };
  const batch = {
    spool_id: bridge.id,
    number: ++next_number,
    measured_at_ms: Date.now(),
    routers: [{ router_id, status: router, error: router === 'online' ? null : 'away', latency_ms: 1, ...facts, lines: null }], // prettier-ignore
    devices: [{ device_id, host: '10.0.0.9', port: null, status: device, latency_ms: seed % 9 }],
  };
  return bridge.report({ batch, version: `1.${seed % 3}` });
}

type Kind = keyof World['ids'];
type Operation = (world: World, seed: number, extra?: CallOptions) => Promise<Answer>;
const fresh = () => crypto.randomUUID().slice(0, 13);
const pick = <T>(list: readonly T[], seed: number): T => list[seed % list.length]!;
const send = ({ tenant }: World, method: string, path: string, body?: unknown, extra: CallOptions = {}) =>
  tenant.call(method, path, { body, ...extra });

const CREATE: Record<Kind, Operation> = {
  zones: (world, _seed, extra) => send(world, 'POST', '/zones', { name: fresh() }, extra),
  'service-plans': (world, seed, extra) => send(world, 'POST', '/service-plans', { name: fresh(), download_kbps: 1, upload_kbps: 1, price: 1 + seed, features: ['a'] }, extra), // prettier-ignore
  users: (world, seed, extra) => send(world, 'POST', '/users', { name: 'S', email: `${fresh()}@x.example`, role: pick(['viewer', 'operator', 'admin'], seed), password: PASSWORD }, extra), // prettier-ignore
  bridges: (world, _seed, extra) => send(world, 'POST', '/bridges', { name: fresh() }, extra),
  routers: (world, seed, extra) => send(world, 'POST', '/routers', { name: fresh(), host: 'h.example', username: 'x', password: fresh(), is_active: false, ...(seed % 3 === 0 && { is_default: true }) }, extra), // prettier-ignore
  customers: (world, seed, extra) => send(world, 'POST', '/customers', { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: pick(world.plans, seed), custom_fields: { blok: seed } }, extra), // prettier-ignore
  'ip-pools': (world, seed, extra) => send(world, 'POST', '/ip-pools', { router_id: world.network.silent_routers[0], name: fresh(), ranges: `10.${seed % 250}.0.0/24` }, extra), // prettier-ignore
  devices: (world, seed, extra) => send(world, 'POST', '/devices', { device_name: fresh(), device_type: 'onu', bridge_id: world.network.bridge.id, ...(seed % 2 === 0 && { status: 'maintenance', password: fresh(), latitude: -6.5 }) }, extra), // prettier-ignore
};

const CHANGE: Record<Kind, (seed: number, world: World) => object> = {
  zones: () => ({ name: fresh() }),
  'service-plans': seed => pick<object>([{ price: 1 + (seed % 5) }, { features: ['b'] }, { download_kbps: 1 + (seed % 9), description: 'x' }], seed), // prettier-ignore
  users: seed => pick<object>([{ name: fresh() }, { role: 'viewer' }, { is_active: false }, { is_active: true }, { password: `${fresh()}-x` }], seed), // prettier-ignore
  bridges: seed => pick<object>([{ name: fresh() }, { url: 'https://b.example' }, { url: null }], seed),
  routers: seed => pick<object>([{ name: fresh() }, { is_default: true }, { password: fresh() }, { port: 1 + (seed % 9) }, { is_default: false }], seed), // prettier-ignore
  customers: (seed, { plans, ids }) =>
    pick<object>([{ notes: fresh() }, { due_day: 1 + (seed % 31), custom_fields: { blok: seed % 4 } }, { service_plan_id: pick(plans, seed >> 3) }, { pppoe_password: fresh() }, { auto_isolir: seed % 2 === 0 }, { zone_id: pick(ids.zones, seed >> 3) }, { phone: '0899-11-22' }], seed), // prettier-ignore
  'ip-pools': (seed, { network }) => pick<object>([{ notes: fresh() }, { ranges: `10.${seed % 250}.0.5-10.${seed % 250}.0.9` }, { name: fresh() }, { next_pool: null }, { router_id: pick(network.silent_routers, seed) }], seed), // prettier-ignore
  devices: (seed, { ids }) => pick<object>([{ notes: fresh() }, { status: pick(['maintenance', 'unknown'], seed >> 3) }, { ip_address: pick(['10.0.0.1', '::1', null], seed >> 3), port: 80 }, { password: fresh() }, { customer_id: pick(ids.customers.slice(0, 1), seed) }, { purchase_price: seed % 9, longitude: 106.5 }], seed), // prettier-ignore
};

const KINDS = Object.keys(CREATE) as Kind[];
const onCustomer =
  (path: string, body?: (seed: number, world: World) => unknown): Operation =>
  (world, seed, extra) =>
    send(world, 'POST', `/customers/${pick(world.ids.customers.slice(0, 2), seed)}${path}`, body?.(seed, world), extra);

/** One row that this is so of, or an id of none. */
async function find({ tenant }: World, table: string, where: string): Promise<string> {
  const d1 = await tenant.database();
  const row = await d1.prepare(`SELECT id FROM ${table} WHERE ${where} ORDER BY id LIMIT 1`).first<{ id: string }>();
  return row?.id ?? crypto.randomUUID();
}

const OPEN = `status IN ('pending', 'overdue')`;
const keyed = (extra: CallOptions = {}): CallOptions => ({
  ...extra,
  headers: { 'idempotency-key': crypto.randomUUID(), ...extra.headers },
});
const monthOf = (seed: number) => new Date(Date.now() - (seed % 11) * 30 * 86_400_000).toISOString().slice(0, 7);

const MONEY: Record<string, Operation> = {
  'POST /payments': (world, seed, extra) => send(world, 'POST', '/payments', { customer_id: world.subscriber, amount: 1 + (seed % 9000), ...(seed % 3 === 1 && { payment_date: '2024-02-29', notes: 'x' }) }, keyed(extra)), // prettier-ignore
  'POST /payments/:id/settle': async (world, seed, extra) => {
    const id = await find(world, 'payments', OPEN);
    const { data } = await send(world, 'GET', `/payments/${id}`);
    const amount = Math.max(1, seed % 2 === 0 ? (data?.amount ?? 1) : Math.floor((data?.amount ?? 1) / 2));
    return send(world, 'POST', `/payments/${id}/settle`, { amount, payment_method: pick(['cash', 'credit'], seed >> 2) }, keyed(extra)); // prettier-ignore
  },
  'PUT /payments/:id/status': async (world, seed, extra) => send(world, 'PUT', `/payments/${await find(world, 'payments', OPEN)}/status`, pick<object>([{ status: 'paid' }, { status: 'void' }, { status: 'overdue' }], seed), extra), // prettier-ignore
  'DELETE /payments/:id': async (world, seed, extra) => send(world, 'DELETE', `/payments/${await find(world, 'payments', pick([`status = 'paid'`, OPEN], seed))}`, undefined, extra), // prettier-ignore
  'POST /customers/:id/payments': (world, seed, extra) => send(world, 'POST', `/customers/${world.subscriber}/payments`, { amount: 1 + (seed % 400_000), payment_method: 'transfer', reference_number: fresh() }, keyed(extra)), // prettier-ignore
  'POST /receipts/:id/void': async (world, _seed, extra) => send(world, 'POST', `/receipts/${await find(world, 'receipts', 'voided_at IS NULL')}/void`, { reason: 'x' }, extra), // prettier-ignore
  'POST /invoices': (world, seed, extra) => send(world, 'POST', '/invoices', { customer_id: world.subscriber, period: monthOf(seed) }, keyed(extra)), // prettier-ignore
  'POST /invoices/:id/void': async (world, _seed, extra) => send(world, 'POST', `/invoices/${await find(world, 'invoices', `status <> 'void'`)}/void`, { reason: 'x' }, extra), // prettier-ignore
  'POST /billing/run': async (world, seed, extra) => {
    const answer = await send(world, 'POST', '/billing/run', { period: monthOf(seed), reissue_void: seed % 2 === 0 }, extra); // prettier-ignore
    if (answer.status === 202) await expect.poll(async () => (await world.tenant.get(`/jobs/${answer.data.id}`)).status).toBe('completed'); // prettier-ignore
    return answer;
  },
};

const OPERATIONS: Record<string, Operation> = {
  ...Object.fromEntries(
    KINDS.flatMap((kind): [string, Operation][] => [
      [
        `POST /${kind}`,
        async (world, seed, extra) => {
          const answer = await CREATE[kind](world, seed, extra);
          if (answer.status === 201) world.ids[kind].push(answer.data.id);
          return answer;
        },
      ],
      [`PUT /${kind}/:id`, (world, seed, extra) => send(world, 'PUT', `/${kind}/${pick(world.ids[kind], seed)}`, CHANGE[kind](seed, world), extra)], // prettier-ignore
      [`DELETE /${kind}/:id`, // the newest, so that the first ones live to go through more
        async (world, _seed, extra) => {
          const answer = await send(world, 'DELETE', `/${kind}/${world.ids[kind].at(-1)}`, undefined, extra);
          if (answer.status === 200) world.ids[kind].pop();
          if (world.ids[kind].length === 0) await OPERATIONS[`POST /${kind}`]!(world, 1);
          return answer;
        }], // prettier-ignore
    ]),
  ),
  ...Object.fromEntries(
    ['activate', 'suspend', 'resume', 'terminate', 'reactivate'].map(verb => [`POST /customers/:id/${verb}`, onCustomer(`/${verb}`)]), // prettier-ignore
  ),
  'POST /customers/:id/change-plan': onCustomer('/change-plan', (seed, { plans }) => ({
    service_plan_id: pick(plans, seed >> 3),
    ...(seed % 2 === 0 && { effective_date: '2999-01-01' }),
  })),
  'POST /customers/:id/hold': onCustomer('/hold', seed => ({ until: `2999-01-${10 + (seed % 20)}` })),
  'POST /customers/:id/photos': (world, seed, extra) => {
    const form = new FormData();
    form.append('photo', new File([new Uint8Array([0xff, 0xd8, 0xff, seed % 256])], 'x.jpg'));
    return send(world, 'POST', `/customers/${pick(world.ids.customers, seed)}/photos`, form, extra);
  },
  'POST /service-plans/:id/toggle': (world, seed, extra) => send(world, 'POST', `/service-plans/${pick(world.ids['service-plans'], seed)}/toggle`, undefined, extra), // prettier-ignore
  'PUT /service-plans/:id/advanced': (world, seed, extra) => send(world, 'PUT', `/service-plans/${pick(world.plans, seed)}/advanced`, pick<object>([{ priority: 1 + (seed % 8) }, { dns_servers: ['1.1.1.1'] }, { vlan_id: 1 + (seed % 5), is_unlimited: seed % 2 === 0 }], seed), extra), // prettier-ignore
  'PUT /settings': (world, seed, extra) => send(world, 'PUT', '/settings', pick<object>([{ address: fresh() }, { suspension_policy: pick(['isolir', 'disable'], seed >> 2) }, { isolir_upload_kbps: 1 + (seed % 9) }], seed), extra), // prettier-ignore
  'POST /bridges/:id/enroll': (world, seed, extra) => send(world, 'POST', `/bridges/${pick(world.ids.bridges, seed)}/enroll`, undefined, extra), // prettier-ignore
  'POST /bridges/:id/rotate': (world, _seed, extra) => send(world, 'POST', `/bridges/${world.network.rotating_id}/rotate`, undefined, extra), // prettier-ignore
  'POST /bridges/enroll': async (world, seed, extra) => {
    const opened = await world.tenant.call('POST', `/bridges/${pick(world.ids.bridges, seed)}/enroll`);
    const public_key = await makePublicKey();
    return world.tenant.call('POST', '/bridges/enroll', { token: null, body: { token: opened.data?.token ?? 'x', public_key, version: `1.${seed % 3}`, url: pick(['https://a.example', 'https://c.example'], seed) }, ...extra }); // prettier-ignore
  },
  'POST /imports/file': (world, seed, extra) => send(world, 'POST', `/imports/file?dry_run=true`, `/ppp secret\nadd name=u${seed} password=x profile=default\n`, { ...extra, headers: { 'content-type': 'text/plain', ...extra?.headers } }), // prettier-ignore
  'POST /bridges/report': reportRound,
  'POST /routers/:id/sessions/:name/disconnect': (world, _seed, extra) => send(world, 'POST', `/routers/${world.network.router_id}/sessions/${fresh()}/disconnect`, undefined, extra), // prettier-ignore
  'PUT /monitoring/alerts/:id': async (world, seed, extra) => {
    const d1 = await world.tenant.database();
    const open = await d1.prepare("SELECT id FROM alerts WHERE status = 'open' LIMIT 1").first<{ id: string }>();
    const id = open?.id ?? crypto.randomUUID();
    const answer = await send(world, 'PUT', `/monitoring/alerts/${id}`, { status: 'acknowledged' }, extra);
    if (seed % 2 === 0) await send(world, 'PUT', `/monitoring/alerts/${id}`, { status: 'acknowledged' }, extra);
    return answer;
  },
  'POST /provisioning/:id/retry': (world, _seed, extra) => send(world, 'POST', `/provisioning/${world.network.entry_id}/retry`, undefined, extra), // prettier-ignore
  'POST /provisioning/:id/adopt': (world, _seed, extra) => send(world, 'POST', `/provisioning/${world.network.entry_id}/adopt`, undefined, extra), // prettier-ignore
  'POST /imports': async ({ network, tenant }, seed, extra) => {
    const body = { router_id: network.router_id, kind: 'pools', force: true, dry_run: seed % 2 === 1 };
    const answer = await tenant.call('POST', '/imports', { body, ...extra });
    if (answer.status === 202 && seed % 2 === 0) network.imports.push(answer.data.import_id);
    return answer;
  },
  'POST /imports/:id/undo': async ({ network, tenant }, seed, extra) => {
    const id = pick(network.imports, seed) ?? crypto.randomUUID();
    const answer = await tenant.call('POST', `/imports/${id}/undo`, extra);
    if (answer.status === 202) await expect.poll(async () => (await tenant.get(`/jobs/${answer.data.id}`)).status).toBe('completed'); // prettier-ignore
    return answer;
  },
  ...MONEY,
  'POST /auth/login': async (world, _seed, extra) => {
    const answer = await world.tenant.call('POST', '/auth/login', { token: null, tenant: world.tenant.slug, body: { email: `ayu@${world.tenant.slug}.example`, password: PASSWORD }, ...extra }); // prettier-ignore
    return answer;
  },
};

/** An entry of the router in whose place something stands that isn’t ours. */
const makeConflict = async ({ tenant, network }: World) =>
  (await tenant.database()).prepare(`UPDATE provisioning SET adopt = 0, status = 'conflict' WHERE id = ?`).bind(network.entry_id).run(); // prettier-ignore

/** What must be there first. */
const PREPARE: Record<string, (world: World) => Promise<unknown>> = {
  // an alert that nobody looks after yet: of the router that was there, and is there no more
  'PUT /monitoring/alerts/:id': async world => [await reportRound(world, 0), await reportRound(world, 3)],
  'POST /provisioning/:id/retry': makeConflict,
  'POST /provisioning/:id/adopt': makeConflict,
  'POST /payments/:id/settle': world => MONEY['POST /payments']!(world, 0),
  'PUT /payments/:id/status': world => MONEY['POST /payments']!(world, 0),
  'DELETE /payments/:id': world => MONEY['POST /payments']!(world, 1),
  'POST /receipts/:id/void': world => MONEY['POST /customers/:id/payments']!(world, 7),
  'POST /invoices/:id/void': world => MONEY['POST /invoices']!(world, 7),
};

/** They keep what they saw on the way, whatever becomes of the rest. */
const OBSERVING = ['POST /bridges/report', 'POST /routers/:id/sessions/:name/disconnect', 'POST /imports'];

/** They store a job, which is no row of these, and are done by it. */
const BY_JOB = ['POST /billing/run'];

const VERBS = ['activate', 'suspend', 'resume', 'terminate', 'reactivate'].map(verb => `POST /customers/:id/${verb}`);
const operation = fc.tuple(
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...Object.keys(OPERATIONS)) },
    { weight: 1, arbitrary: fc.constantFrom(...VERBS) },
  ),
  fc.nat(),
);

describe('P45 changes and events', () => {
  test('P45 every change has its event, and every event its change, whatever is done', async () => {
    const world = await makeWorld();
    await loadOnRouter(`/ip pool\nadd name=${uniqueName('audit')} ranges=10.77.0.2-10.77.0.9\n`);
    const done = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 4, maxLength: 7 }), async operations => {
        for (const [name, seed] of operations) {
          await PREPARE[name]?.(world);
          const before = await snapshot(world.tenant);
          const answer = await OPERATIONS[name]!(world, seed);
          expect(answer.status, `${name} ${answer.text}`).toBeLessThan(500);
          const happened = holdTogether(before, await snapshot(world.tenant));
          // an enrolment is preceded by the call that opens it
          if (answer.status >= 400 && name !== 'POST /bridges/enroll') expect(happened, name).toBe(0);
          if (answer.status < 300) done.set(name, (done.get(name) ?? 0) + 1);
        }
      }),
      // each of them once, on a customer who can go through it
      { ...RUNS, examples: [[Object.keys(OPERATIONS).map(name => [name, name.endsWith('change-plan') ? 9 : 0])]] },
    );
    // all of them were really done
    expect(Object.keys(OPERATIONS).filter(name => !done.has(name))).toEqual([]);
  });

  test('P45 side by side, too: the log replayed gives the rows', async () => {
    const world = await makeWorld();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { minLength: 2, maxLength: 4 }), async seeds => {
        const id = world.ids.customers[0]!;
        const paths = ['', '/hold', '/activate', '/suspend', '/resume', '/change-plan'];
        await Promise.all(
          seeds.map(seed => {
            const path = pick(paths, seed);
            const body = { '': { notes: fresh() }, '/hold': { until: `2999-01-${10 + (seed % 20)}` }, '/change-plan': { service_plan_id: pick(world.plans, seed >> 3) } }[path]; // prettier-ignore
            return send(world, path === '' ? 'PUT' : 'POST', `/customers/${id}${path}`, body);
          }),
        );
        const { rows, events } = await snapshot(world.tenant);
        const row = rows.customers!.get(id)!;
        const replayed: Row = {};
        for (const event of events.filter(each => each.entity_id === id))
          for (const [column, [old, now]] of Object.entries<[unknown, unknown]>(JSON.parse(event.changes))) {
            expect(old, `${event.type} ${column}`).toEqual(replayed[column] ?? null);
            replayed[column] = now;
          }
        for (const column of Object.keys(row).filter(name => !UNTOLD.has(name)))
          if (column in replayed) expect(told(column, row[column])).toEqual(replayed[column]);
      }),
      RUNS,
    );
  });

  test('P45 when the event can’t be stored nothing is; when the row can’t, no event is', async () => {
    const world = await makeWorld();
    const { tenant } = world;
    const d1 = await tenant.database();
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const block = (table: string) =>
      d1.batch(
        ['INSERT', 'UPDATE', 'DELETE'].map(verb =>
          d1.prepare(
            `CREATE TRIGGER blocked_${table}_${verb} BEFORE ${verb} ON ${table} BEGIN SELECT RAISE(ABORT, 'blocked'); END`,
          ),
        ),
      );
    const unblock = (table: string) =>
      d1.batch(['INSERT', 'UPDATE', 'DELETE'].map(verb => d1.prepare(`DROP TRIGGER blocked_${table}_${verb}`)));
    const everywhere = Object.keys(MANAGED);
    const blocked = new Set<string>();
    await fc.assert(
      fc.asyncProperty(operation, fc.constantFrom('events', 'rows', 'epoch', 'user'), async ([name, seed], how) => {
        await PREPARE[name]?.(world);
        const before = await snapshot(tenant);
        const tables = how === 'events' ? ['events'] : how === 'rows' ? everywhere : [];
        if ([...OBSERVING, ...BY_JOB].includes(name)) return;
        // signing in writes to a table of its own, an enrolment's opening to another
        if (how !== 'events' && /auth|enroll/.test(name)) return;
        for (const table of tables) await block(table);
        if (how === 'epoch') await d1.prepare('UPDATE tenant_state SET epoch = epoch + 1').run();
        const admin = tenant.admin.id;
        if (how === 'user') await d1.prepare('UPDATE users SET is_active = 0 WHERE id = ?').bind(admin).run();
        const answer = await OPERATIONS[name]!(world, seed);
        for (const table of tables) await unblock(table);
        if (how === 'epoch') await d1.prepare('UPDATE tenant_state SET epoch = epoch - 1').run();
        if (how === 'user') await d1.prepare('UPDATE users SET is_active = 1 WHERE id = ?').bind(admin).run();
        const after = await snapshot(tenant);
        expect(after, `${name} ${how}`).toEqual(before);
        if (answer.status >= 500) {
          blocked.add(how);
          expect(answer.error).toEqual({ code: 'INTERNAL_ERROR', message: 'Something went wrong on our side.', request_id: answer.error.request_id }); // prettier-ignore
        }
        if (how === 'user' && name !== 'POST /auth/login') expect(answer.status, answer.text).toBe(401);
        if (how === 'epoch') expect(answer.status === 200 || answer.status >= 400, answer.text).toBe(true);
      }),
      { ...RUNS, numRuns: 100 },
    );
    expect([...blocked].sort()).toEqual(['events', 'rows']);
    expect(error).toHaveBeenCalled();
  });

  test('P45 of a report whose events can’t be stored nothing is', async () => {
    const world = await makeWorld();
    const d1 = await world.tenant.database();
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect((await reportRound(world, 0)).status).toBe(200);
    const before = await snapshot(world.tenant);
    await d1.prepare("CREATE TRIGGER blocked BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'blocked'); END").run();
    expect((await reportRound(world, 3)).status).toBe(500);
    await d1.prepare('DROP TRIGGER blocked').run();
    expect(await snapshot(world.tenant)).toEqual(before);
    expect((await reportRound(world, 3)).status).toBe(200);
    const after = await snapshot(world.tenant);
    holdTogether(before, after);
    const told = after.events.slice(before.events.length).map(event => event.type);
    expect(told.sort()).toEqual(['alert.opened', 'alert.opened', 'device.status', 'router.status']);
    for (const event of after.events.slice(before.events.length)) expect(event).toMatchObject({ actor: 'bridge', actor_name: 'Jaringan', user_id: null }); // prettier-ignore
  });

  test('P45 a unique value that is taken leaves neither a row nor an event', async () => {
    const world = await makeWorld();
    const { tenant, ids } = world;
    const at = async (path: string) => tenant.get(path);
    const [zone, plan, user, router] = [await at(`/zones/${ids.zones[0]}`), await at(`/service-plans/${ids['service-plans'][0]}`), await at(`/users/${ids.users[0]}`), await at(`/routers/${ids.routers[0]}`)]; // prettier-ignore
    const customer = await at(`/customers/${ids.customers[0]}`);
    const attempts: [string, string, object][] = [
      ['POST', '/zones', { name: zone.name }],
      ['PUT', `/zones/${ids.zones[1]}`, { name: zone.name }],
      ['PUT', `/service-plans/${ids['service-plans'][1]}`, { name: plan.name, price: 9 }],
      ['PUT', `/users/${ids.users[1]}`, { email: user.email.toUpperCase(), role: 'technician' }],
      ['PUT', `/routers/${ids.routers[1]}`, { name: router.name, is_default: true }],
      ['PUT', `/customers/${ids.customers[1]}`, { pppoe_username: customer.pppoe_username, notes: 'x' }],
    ];
    for (const [method, path, body] of attempts) {
      const before = await snapshot(tenant);
      const answer = await tenant.call(method, path, { body });
      expect([answer.status, answer.error.code], path).toEqual([409, 'DUPLICATE_ENTRY']);
      expect(await snapshot(tenant)).toEqual(before);
    }
  });

  test('P45 a router that stops being the default because another one is, is told of as well', async () => {
    const world = await makeWorld();
    const [first, second] = world.ids.routers as [string, string];
    for (const [id, other] of [
      [second, first],
      [first, second],
    ] as const) {
      await world.tenant.put(`/routers/${other}`, { is_default: true });
      const before = await snapshot(world.tenant);
      await world.tenant.put(`/routers/${id}`, { is_default: true });
      const after = await snapshot(world.tenant);
      expect(holdTogether(before, after)).toBe(4);
    }
    const before = await snapshot(world.tenant);
    expect((await CREATE.routers(world, 3)).data.is_default).toBe(true);
    expect(holdTogether(before, await snapshot(world.tenant))).toBe(4);
  });

  test('P45 jobs write events too: planned plan changes, and each customer of an import', async () => {
    const { tenant, plans, ids } = await makeWorld();
    await tenant.post(`/customers/${ids.customers[0]}/change-plan`, { service_plan_id: plans[0], effective_date: '2999-01-01' }); // prettier-ignore
    const before = await snapshot(tenant);
    const ambient = { ...makeAmbient(env, createExecutionContext()), now: Date.parse('2999-01-02T00:00:00Z') };
    const found = (await findTenant(env, tenant.id, Date.now()))!;
    await applyDuePlanChanges(await makeContext(ambient, found, { kind: 'job', name: 'sweep' }));
    const after = await snapshot(tenant);
    expect(holdTogether(before, after)).toBeGreaterThan(0);
    expect(after.events.at(-1)).toMatchObject({ type: 'customer.plan_changed', actor: 'job', actor_name: 'sweep', user_id: null }); // prettier-ignore

    const file = `/ppp profile\nadd name=10M rate-limit=2M/10M\n/ppp secret\n${Array.from({ length: 30 }, (_, i) => `add name=user${i} password=p${i} profile=10M`).join('\n')}\n`;
    const job = await tenant.call('POST', '/imports/file', { body: file, headers: { 'content-type': 'text/plain' } });
    expect(job.status).toBe(202);
    await expect.poll(async () => (await tenant.get(`/jobs/${job.data.id}`)).status).toBe('completed'); // prettier-ignore
    const imported = await snapshot(tenant);
    const made = [...imported.rows.customers!.values()].filter(row => !after.rows.customers!.has(row.id));
    expect(made).toHaveLength(30);
    for (const row of [...made, ...[...imported.rows.service_plans!.values()].filter(plan => plan.name === '10M')]) {
      const telling = imported.events.filter(event => event.entity_id === row.id);
      expect(telling.map(event => event.action)).toEqual(['create']);
      expect(JSON.parse(telling[0]!.changes)).toEqual(differences('customers', undefined, row));
    }
  });
});

describe('P46 who, where and when', () => {
  test('P46 an event has the user, the address, the time and the request id', async () => {
    const world = await makeWorld();
    const { tenant } = world;
    const operator = await tenant.addUser('operator');
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    const request_id = fc.oneof(fc.stringMatching(/^[A-Za-z0-9_.-]{8,64}$/), fc.constant(undefined), fc.constantFrom('x', "a'b-c-d-e", 'a'.repeat(65))); // prettier-ignore
    const what = fc.constantFrom('POST /customers', 'PUT /customers/:id', 'POST /customers/:id/hold');
    await fc.assert(
      fc.asyncProperty(what, fc.nat(), fc.boolean(), address, request_id, async (name, seed, is_admin, ip, given) => {
        const who = is_admin ? tenant.admin : operator;
        const last = (await snapshot(tenant)).events.length;
        const headers = { 'cf-connecting-ip': ip, ...(given && { 'x-request-id': given }) };
        const from = Date.now();
        const answer = await OPERATIONS[name]!(world, seed, { token: who.token, headers });
        expect(answer.status, answer.text).toBeLessThan(300);
        const answered_id = answer.headers.get('x-request-id');
        if (given && /^[\w.-]{8,64}$/.test(given)) expect(answered_id).toBe(given);
        const email = (await tenant.get(`/users/${who.id}`)).email;
        for (const event of (await snapshot(tenant)).events.slice(last)) {
          expect(event).toMatchObject({ actor: 'user', actor_name: null, user_id: who.id, user_email: email, ip_address: ip, request_id: answered_id }); // prettier-ignore
          expect(event.created_at).toBeGreaterThanOrEqual(from);
          expect(event.created_at).toBeLessThanOrEqual(Date.now());
        }
        const [logged] = await tenant.get('/audit-logs', { user_id: who.id, ...(ip && { ip_address: ip }), per_page: 1 }); // prettier-ignore
        if (logged && last < logged.seq) expect(logged.request_id).toBe(answered_id);
      }),
      RUNS,
    );
  });

  test('P46 a bridge is told by its name, and a sign-up by the platform', async () => {
    const world = await makeWorld();
    await OPERATIONS['POST /bridges/enroll']!(world, 0, { headers: { 'cf-connecting-ip': '10.9.8.7' } });
    const { events } = await snapshot(world.tenant);
    const bridge = await world.tenant.get(`/bridges/${world.ids.bridges[0]}`);
    expect(events.at(-1)).toMatchObject({ type: 'bridge.enrolled', actor: 'bridge', actor_name: bridge.name, ip_address: '10.9.8.7' }); // prettier-ignore
    expect(events[0]).toMatchObject({ type: 'user.created', actor: 'job', actor_name: 'sign-up' });
    const { results } = await env.DIRECTORY_DB.prepare('SELECT * FROM platform_events ORDER BY seq').all();
    expect(results.map(event => event.type)).toEqual(['tenant.created', 'tenant.activated']);
    for (const event of results) expect(event).toMatchObject({ tenant_id: world.tenant.id, actor: 'platform', request_id: events[0]!.request_id }); // prettier-ignore
  });
});

describe('P47 nobody changes the log', () => {
  test('P47 the database refuses to change, replace or delete an event', async () => {
    const { tenant } = await makeWorld();
    const databases = { events: await tenant.database(), platform_events: env.DIRECTORY_DB };
    const columns = {
      events: 'seq, type, action, actor, entity_type, entity_id, created_at',
      platform_events: 'seq, type, action, actor, changes, tenant_id, created_at',
    };
    const values = (seq: string) => `${seq}, 'forged.event', 'update', 'user', '{}', 'x', 1`;
    const column = fc.constantFrom('seq', 'type', 'action', 'actor', 'changes', 'created_at', 'request_id', 'rowid');
    const statements = (table: 'events' | 'platform_events', seq: string, name: string): string[] => [
      `UPDATE ${table} SET ${name} = ${name === 'seq' || name === 'rowid' ? `${seq} + 1000` : name === 'created_at' ? 7 : "'x'"} WHERE seq = ${seq}`,
      `UPDATE OR IGNORE ${table} SET ${name} = 7`,
      `UPDATE OR REPLACE ${table} SET seq = ${seq} WHERE seq <> ${seq}`,
      `UPDATE ${table} SET ${name} = ${name}`,
      `DELETE FROM ${table} WHERE seq = ${seq}`,
      `DELETE FROM ${table}`,
      `INSERT OR REPLACE INTO ${table} (${columns[table]}) VALUES (${values(seq)})`,
      `REPLACE INTO ${table} (${columns[table]}) VALUES (${values(seq)})`,
      `REPLACE INTO ${table} (${columns[table].replace('seq', 'rowid')}) VALUES (${values(seq)})`,
      `INSERT INTO ${table} (${columns[table]}) VALUES (${values(seq)}) ON CONFLICT (seq) DO UPDATE SET type = 'forged'`,
      `INSERT INTO ${table} (${columns[table]}) VALUES (${values(seq)}) ON CONFLICT DO NOTHING`,
      `INSERT OR IGNORE INTO ${table} (${columns[table]}) VALUES (${values(seq)})`,
      `INSERT INTO ${table} (${columns[table]}) VALUES (${values(`'${seq}'`)})`,
      `REPLACE INTO ${table} (${columns[table]}) VALUES (${values(`${seq}.0`)})`,
      `REPLACE INTO ${table} (${columns[table]}) SELECT ${columns[table]} FROM ${table}`,
    ];
    const table = fc.constantFrom('events' as const, 'platform_events' as const);
    await fc.assert(
      fc.asyncProperty(table, fc.nat(), column, fc.nat({ max: 14 }), async (where, which, name, form) => {
        const d1 = databases[where];
        const all = () => d1.prepare(`SELECT * FROM ${where} ORDER BY seq`).all();
        const before = (await all()).results;
        const seq = String(before[which % before.length]!.seq);
        const statement = statements(where, seq, name)[form]!;
        await expect(d1.prepare(statement).run(), statement).rejects.toThrow(/append-only/);
        // nor with another write around it
        await expect(d1.batch([d1.prepare(statement), d1.prepare(`SELECT 1`)])).rejects.toThrow(/append-only/);
        expect((await all()).results).toEqual(before);
      }),
      { ...RUNS, numRuns: 100 },
    );
    expect(statements('events', '1', 'seq')).toHaveLength(15);
  });

  test('P47 no route changes an event, not even by calling it by its name', async () => {
    const { tenant } = await makeWorld();
    const { events } = await snapshot(tenant);
    const log_routes = routes.filter(route => /audit-logs|events/.test(route.path));
    expect(log_routes.map(route => route.method)).toEqual(log_routes.map(() => 'get'));
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
      for (const path of ['/audit-logs', `/audit-logs/${events[0]!.seq}`, `/audit-logs/${events[0]!.entity_id}`]) {
        const answer = await tenant.call(method, path, { body: { type: 'forged' } });
        expect(answer.status, `${method} ${path}`).toBe(404);
      }
    expect((await snapshot(tenant)).events).toEqual(events);
  });
});

describe('GET /audit-logs', () => {
  test('shows what happened, newest first, to admins alone; a customer’s log shows that customer’s', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const [one, other] = [await tenant.addCustomer(plan.id), await tenant.addCustomer(plan.id)];
    await tenant.post(`/customers/${one.id}/activate`);
    await tenant.put(`/customers/${other.id}`, { notes: 'x' });
    const log = await tenant.get('/audit-logs', { per_page: 100 });
    expect(log.map((entry: Row) => entry.type)).toEqual(['customer.updated', 'customer.activated', 'customer.created', 'customer.created', 'plan.created', 'user.created']); // prettier-ignore
    expect(log[0]).toMatchObject({ action: 'update', entity_type: 'customer', entity_id: other.id, customer_id: other.id, changes: { notes: [null, 'x'] }, user_email: `ayu@${tenant.slug}.example` }); // prettier-ignore
    const own = await tenant.call('GET', `/customers/${one.id}/audit-logs`);
    expect(own.data.map((entry: Row) => entry.type)).toEqual(['customer.activated', 'customer.created']);
    expect(own.meta.total).toBe(2);
    const both = await tenant.call('GET', `/customers/${one.id}/audit-logs`, { query: { customer_id: other.id } });
    expect([both.data, both.meta.total]).toEqual([[], 0]);
    expect((await tenant.call('GET', `/customers/${crypto.randomUUID()}/audit-logs`)).status).toBe(404);
    for (const role of ['operator', 'technician', 'viewer'] as const) {
      const { token } = await tenant.addUser(role);
      for (const path of ['/audit-logs', `/customers/${one.id}/audit-logs`])
        expect((await tenant.call('GET', path, { token })).status).toBe(403);
    }
    const csv = await tenant.call('GET', '/audit-logs', { query: { fields: 'seq,type' , entity_type: 'plan' } }); // prettier-ignore
    expect(csv.data).toEqual([{ seq: log[4].seq, type: 'plan.created' }]);
  });
});
