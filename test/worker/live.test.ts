import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { roleMay, ROLES, type Role } from '../../src/auth/permissions.ts';
import { commit } from '../../src/db/commit.ts';
import { addDays, startOfMonth } from '../../src/lib/time.ts';
import type { Changes } from '../../src/events/event.ts';
import { ALL_EVENTS, EVENT_NAMES, LIVE_EVENTS } from '../../src/events/realtime/catalogue.ts';
import { LiveMessage } from '../../src/events/realtime/messages.ts';
import { nameOf } from '../../src/events/realtime/translate.ts';
import { sweep, sweepTenant } from '../../src/jobs/sweep.ts';
import { loseBridge, observeBridge, observeRouters } from '../../src/provisioning/observe.ts';
import { storeApplied } from '../../src/provisioning/settle.ts';
import type { JobMessage } from '../../src/queues/jobs.ts';
import type { BridgeRow } from '../../src/resources/bridges/table.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { dayFromNow, thisMonth } from '../support/calendar.ts';
import { eventually } from '../support/eventually.ts';
import { SILENT_HUB } from '../support/hub.ts';
import { holdAfter } from '../support/interleave.ts';
import { hubOf, knock, Listener, refusalOf } from '../support/listener.ts';
import { makeTestAmbient, makeTestContext, recordQueue } from '../support/network-world.ts';
import { addEntry, call, mintToken, PASSWORD, TestBridge, TestTenant, type TestUser } from '../support/world.ts';

/** The socket: from the commit to whoever may see it, and to nobody else. */

declare global {
  interface ImportMeta {
    /** Vite's: what the files hold whose paths fit. */
    glob(pattern: string, options: { eager: true; query: '?raw'; import: 'default' }): Record<string, string>;
  }
}

afterEach(async () => {
  vi.restoreAllMocks();
  await Listener.closeAll();
});

/** A token that ends in that many milliseconds. */
const mintShort = (tenant: TestTenant, { id, role }: TestUser, lives_ms: number) =>
  mintToken(tenant.id, id, role, Date.now() - 15 * 60_000 + lives_ms);

const asStranger = (token: string) => ({ 'sec-websocket-protocol': `rukun.v1, bearer.${token}` });

/** It sleeps, sockets and all; or it ends, and they with it. One that sleeps already can't be sent to sleep. */
async function evict(tenant: TestTenant, options?: { webSockets: 'close' }): Promise<void> {
  await hubOf(tenant.id).wake(tenant.id);
  await evictDurableObject(hubOf(tenant.id), options);
}

const storedIn = (tenant: TestTenant) =>
  runInDurableObject(hubOf(tenant.id), async (_, state) => ({
    sockets: state.getWebSockets().length,
    alarm: await state.storage.getAlarm(),
    keys: [...(await state.storage.list()).keys()].sort(),
  }));

/** The log as the database has it. */
async function readLog(tenant: TestTenant, after = 0) {
  const d1 = await tenant.database();
  const { results } = await d1.prepare('SELECT * FROM events WHERE seq > ? ORDER BY seq').bind(after).all<any>();
  return results.map(row => ({ ...row, changes: JSON.parse(row.changes) }));
}

const EVERYONE = 'admin operator technician viewer';
const MONEY = 'admin operator viewer';

/** Who is told of what, by roles.md, written out: the catalogue can name the wrong permission. */
const TOLD: Record<string, string> = {
  'customer:created': EVERYONE,
  'customer:updated': EVERYONE,
  'customer:status': EVERYONE,
  'payment:created': MONEY,
  'payment:updated': MONEY,
  'invoice:created': MONEY,
  'invoice:updated': MONEY,
  'receipt:created': MONEY,
  'receipt:updated': MONEY,
  'ticket:created': EVERYONE,
  'ticket:updated': EVERYONE,
  'device:status': EVERYONE,
  'router:status': EVERYONE,
  'bridge:status': EVERYONE,
  'provisioning:status': EVERYONE,
  'alert:opened': EVERYONE,
  'alert:acknowledged': EVERYONE,
  'alert:resolved': EVERYONE,
  'monitoring:update': EVERYONE,
  'job:progress': 'admin operator technician',
};

const isToldOf = (role: Role, event: string) => TOLD[event]!.split(' ').includes(role);

const CUSTOMER = 'customer:status or customer:updated';

/**
 * Under which name each type of the log is told, written out: the translation can lack one. By api.md, which names neither
 * receipts, bridges, changes of invoices nor who looks after an alert: those are told beyond it. `or`: the first where the event
 * brings another status, else the second.
 */
const NAMED: Record<string, string> = {
  'customer.created': 'customer:created',
  'customer.updated': CUSTOMER,
  'customer.activated': CUSTOMER,
  'customer.suspended': CUSTOMER,
  'customer.resumed': CUSTOMER,
  'customer.terminated': CUSTOMER,
  'customer.reactivated': CUSTOMER,
  'customer.held': CUSTOMER,
  'customer.plan_changed': CUSTOMER,
  'customer.plan_change_planned': CUSTOMER,
  'customer.plan_change_dropped': CUSTOMER,
  'customer.fee_followed_plan': CUSTOMER,
  'customer.photo_stored': CUSTOMER,
  'customer.deleted': 'customer:updated',
  'payment.created': 'payment:created',
  'payment.updated': 'payment:updated',
  'payment.paid': 'payment:updated',
  'payment.overdue': 'payment:updated',
  'payment.voided': 'payment:updated',
  'payment.reopened': 'payment:updated',
  'invoice.created': 'invoice:created',
  'invoice.voided': 'invoice:updated',
  'receipt.created': 'receipt:created',
  'receipt.voided': 'receipt:updated',
  'ticket.created': 'ticket:created',
  'ticket.updated': 'ticket:updated',
  'device.created': 'device:status or none',
  'device.updated': 'device:status or none',
  'device.status': 'device:status or none',
  'device.deleted': 'device:status or none',
  'router.created': 'router:status or none',
  'router.updated': 'router:status or none',
  'router.status': 'router:status or none',
  'router.deleted': 'router:status or none',
  'router.set_up': 'router:status or none',
  'router.setup_taken_back': 'router:status or none',
  'router.session_disconnected': 'router:status or none',
  'router.repair_started': 'router:status or none',
  'bridge.created': 'bridge:status or none',
  'bridge.updated': 'bridge:status or none',
  'bridge.status': 'bridge:status or none',
  'bridge.deleted': 'bridge:status or none',
  'bridge.enrolment_opened': 'bridge:status or none',
  'bridge.enrolled': 'bridge:status or none',
  'bridge.rotation_begun': 'bridge:status or none',
  'bridge.keys_rotated': 'bridge:status or none',
  'provisioning.applied': 'provisioning:status or none',
  'provisioning.looked': 'provisioning:status or none',
  'provisioning.stopped': 'provisioning:status or none',
  'provisioning.retried': 'provisioning:status or none',
  'provisioning.adopted': 'provisioning:status or none',
  'alert.opened': 'alert:opened',
  'alert.acknowledged': 'alert:acknowledged',
  'alert.resolved': 'alert:resolved',
  ...Object.fromEntries(
    [
      'plan.created plan.updated plan.settings_updated plan.deleted',
      'zone.created zone.updated zone.deleted',
      'ip_pool.created ip_pool.updated ip_pool.deleted',
      'user.created user.updated user.deleted user.logged_in user.logged_out',
      'user.password_changed user.signed_out_everywhere session.ended',
      'settings.updated block.created block.deleted secrets.resealed secrets.not_opened',
      'import.created import.completed import.failed import.undone import.undo_completed import.undo_failed',
      'billing.run_started billing.run_completed billing.run_failed billing.balances_differ',
    ].flatMap(types => types.split(' ').map(type => [type, 'none'])),
  ),
};
const TYPES = Object.keys(NAMED);

/** The name by the table; null: it is for the log alone. */
function nameByTable({ type, changes }: { type: string; changes: object }): string | null {
  const names = NAMED[type]?.split(' or ');
  if (!names) throw new Error(`${type} isn’t in the table of names`);
  const name = 'status' in changes ? names[0]! : names.at(-1)!;
  return name === 'none' ? null : name;
}

/** Types that the source writes. Most stand there as they are; of those that are put together the words are read from the calls. */
function typesInSource(): string[] {
  const source = Object.values(
    import.meta.glob('../../src/**/*.ts', { eager: true, query: '?raw', import: 'default' }),
  ).join('\n');
  const all = (pattern: RegExp, text = source) => [...text.matchAll(pattern)].map(found => found[1]!);
  // what is put together in yet another way would be passed by
  expect(new Set(all(/\btype: (`[^`]+`),/g))).toEqual(
    new Set(['`customer.${happened}`', '`payment.${happened}`', '`${entity}.status`', '`${what}.deleted`']),
  );
  const ours = new Set(TYPES.map(type => type.split('.')[0]));
  const literals = all(/(?<!\bid: )'([a-z_]+\.[a-z_]+)'/g).filter(type => ours.has(type.split('.')[0]));
  const of_customer = all(/\b(?:changeLine|prepareLine|changeStatus|customerChanged)\([^\n']*'([a-z_]+)'/g);
  const of_payment = all(/\bpaymentChanged\((.+)/g).flatMap(call => all(/[,?:] '([a-z_]+)'/g, call));
  const of_crud = all(/\bcrud\(\{\s*name: '(\w+)'/g);
  expect([of_customer.length, of_payment.length, of_crud.length].every(count => count > 2)).toBe(true);
  return [
    ...all(/\btype: '([a-z_]+\.[a-z_]+)'/g),
    ...literals,
    ...of_customer.map(happened => `customer.${happened}`),
    ...of_payment.map(happened => `payment.${happened}`),
    ...of_crud.flatMap(entity => ['created', 'updated', 'deleted'].map(happened => `${entity}.${happened}`)),
    ...['router.status', 'device.status', 'bridge.status', 'plan.deleted', 'ip_pool.deleted'],
  ];
}

/** What a role is to be told of the log. */
const dueOf = (log: Awaited<ReturnType<typeof readLog>>, role: Role): { seq: number; event: string }[] =>
  log.flatMap(row => {
    const event = nameByTable(row);
    return event && isToldOf(role, event) ? [{ seq: row.seq as number, event }] : [];
  });

const expected = async (tenant: TestTenant, role: Role, after: number) => dueOf(await readLog(tenant, after), role);

const headOf = async (tenant: TestTenant): Promise<number> => (await readLog(tenant)).at(-1)!.seq;

/** Things that people and bridges do, of every kind that the socket tells of. */
async function makeOffice() {
  const tenant = await TestTenant.signUp();
  const plan = await tenant.addPlan();
  const bridge = await TestBridge.enrol(tenant);
  const device = await tenant.post('/devices', { device_name: 'OLT', device_type: 'olt', ip_address: '10.0.0.9', bridge_id: bridge.id }); // prettier-ignore
  const customers: string[] = [(await tenant.addCustomer(plan.id)).id];
  const invoices: string[] = [];
  let round = 0;
  /** A router, and what it must hold: made when the first deed needs it. */
  let made: Promise<{ router_id: string; entry_id: string }> | null = null;
  const makeNetwork = async () => {
    const { id: router_id } = await tenant.post('/routers', { name: 'Gerbang', host: 'r.example', username: 'x', password: 'geheim-1', bridge_id: bridge.id, is_default: false }); // prettier-ignore
    return { router_id, entry_id: await addEntry(tenant, router_id) };
  };
  const network = () => (made ??= makeNetwork());
  const pick = (seed: number) => customers[seed % customers.length]!;
  const deeds: Record<string, (seed: number) => Promise<unknown>> = {
    'enters a customer': async () => customers.push((await tenant.addCustomer(plan.id)).id),
    'changes a customer': seed => tenant.put(`/customers/${pick(seed)}`, { notes: `catatan ${++round}` }),
    'activates a customer': seed => tenant.call('POST', `/customers/${pick(seed)}/activate`, { body: {} }),
    'suspends a customer': seed => tenant.call('POST', `/customers/${pick(seed)}/suspend`, { body: {} }),
    'resumes a customer': seed => tenant.call('POST', `/customers/${pick(seed)}/resume`, { body: {} }),
    'records a due': seed => tenant.post('/payments', { customer_id: pick(seed), amount: 1000 + seed, payment_for: 'other' }), // prettier-ignore
    'takes money': seed =>
      tenant.call('POST', `/customers/${pick(seed)}/payments`, {
        body: { amount: 1000 + seed, payment_method: 'cash' },
        headers: { 'idempotency-key': crypto.randomUUID() },
      }),
    'invoices a month': async seed => {
      const customer_id = pick(seed);
      await tenant.call('POST', `/customers/${customer_id}/activate`, { body: {} });
      const period = addDays(startOfMonth(dayFromNow(0)), 15 + 30 * (++round % 11)).slice(0, 7);
      const { status, data } = await tenant.call('POST', '/invoices', { body: { customer_id, period } });
      if (status === 201) invoices.push(data.id);
    },
    'voids an invoice': async () => {
      const id = invoices.pop();
      if (id) await tenant.post(`/invoices/${id}/void`, { reason: 'salah' });
    },
    'sees a device': seed =>
      bridge.report({
        batch: {
          spool_id: bridge.id,
          number: ++round + 1000,
          measured_at_ms: Date.now(),
          routers: [],
          devices: [{ device_id: device.id, host: '10.0.0.9', port: null, status: seed % 2 ? 'online' : 'offline', latency_ms: 1 }], // prettier-ignore
        },
      }),
    'sees a router': async seed => {
      const [ctx, { router_id }] = [await makeTestContext(tenant), await network()];
      const status = seed % 2 ? 'online' : 'offline';
      await commit(ctx, observeRouters(ctx, [{ router_id, status, error: null, at_ms: ctx.now }]));
    },
    'loses a bridge, and has it back': async () => {
      const [ctx, lost] = [await makeTestContext(tenant), { id: bridge.id, name: 'Jembatan' } as BridgeRow];
      await commit(ctx, loseBridge(ctx, lost, 'no answer'));
      await commit(ctx, observeBridge(ctx, lost));
    },
    'hears what a router says of an entry': async seed => {
      const [ctx, { entry_id }] = [await makeTestContext(tenant), await network()];
      const said = {
        outcome: 'unchanged' as const,
        error: null,
        observed: null,
        attempts: 0,
        next_attempt_ms: null,
        secret_hash: null,
      };
      const status = seed % 2 ? 'in_sync' : 'conflict';
      await commit(ctx, storeApplied(ctx, [{ row_id: entry_id, generation: 1, status, ...said }]));
    },
    'changes a plan, of which nobody is told': seed => tenant.put(`/service-plans/${plan.id}`, { price: 1000 + seed }),
  };
  return { tenant, plan, bridge, device, customers, deeds };
}

const deedsOf = (names: string[]) => fc.array(fc.tuple(fc.constantFrom(...names), fc.nat({ max: 50 })), { minLength: 1, maxLength: 4 }); // prettier-ignore

describe('P57 who is told', () => {
  test('P57 each event of the catalogue is for whom roles.md says', () => {
    const by_catalogue = EVENT_NAMES.map(event => [
      event,
      ROLES.filter(role => roleMay(role, ALL_EVENTS[event].needs)).join(' '),
    ]);
    expect(Object.fromEntries(by_catalogue)).toEqual(TOLD);
  });

  test('P57 each type of event is told under the name that api.md gives it, and each that the source writes is in the table', () => {
    const nameBy = (type: string, changes: Changes) =>
      nameOf({ type, entity_type: type.split('.')[0]!, changes }) ?? 'none';
    const by_code = TYPES.map(type => {
      const names = new Set([nameBy(type, { status: ['a', 'b'] }), nameBy(type, { notes: ['a', 'b'] })]);
      return [type, [...names].join(' or ')];
    });
    expect(Object.fromEntries(by_code)).toEqual(NAMED);
    expect(new Set(TYPES.flatMap(type => NAMED[type]!.split(' or ')))).toEqual(
      new Set([...Object.keys(LIVE_EVENTS), 'none']),
    );
    const written = typesInSource();
    expect(written.filter(type => !TYPES.includes(type))).toEqual([]);
    // nothing opens a ticket yet
    expect(TYPES.filter(type => !written.includes(type))).toEqual(['ticket.created', 'ticket.updated']);
  });

  test('P57 an event of each type reaches who may see it, under its name', async () => {
    const { tenant, customers } = await makeOffice();
    const users: TestUser[] = [tenant.admin];
    for (const role of ['operator', 'technician', 'viewer'] as const) users.push(await tenant.addUser(role));
    const ears = await Promise.all(users.map(user => Listener.open(user)));
    const from = await headOf(tenant);
    const d1 = await tenant.database();
    const insert = d1.prepare(
      `INSERT INTO events (type, action, actor, entity_type, entity_id, customer_id, changes, created_at)
       VALUES (?1, 'update', 'job', ?2, ?3, ?4, ?5, 1)`,
    );
    const now: Record<string, string> = { customer: 'active', payment: 'paid', invoice: 'void', ticket: 'open', provisioning: 'failed', alert: 'open' }; // prettier-ignore
    const rows = TYPES.flatMap(type => {
      const entity = type.split('.')[0]!;
      const customer_id = 'customer payment invoice receipt ticket'.includes(entity) ? customers[0]! : null;
      return [{ notes: [null, 'x'] }, { status: [null, now[entity] ?? 'online'] }].map(changes =>
        insert.bind(type, entity, crypto.randomUUID(), customer_id, JSON.stringify(changes)),
      );
    });
    await d1.batch(rows);
    await hubOf(tenant.id).wake(tenant.id);
    for (const [at, { role }] of users.entries()) {
      const due = await expected(tenant, role, from);
      await ears[at]!.untilSeq(due.at(-1)!.seq);
      expect(ears[at]!.got.map(({ seq, event }) => ({ seq, event }))).toEqual(due);
    }
    expect(new Set(ears[0]!.got.map(({ event }) => event))).toEqual(new Set(Object.keys(LIVE_EVENTS)));
  });

  test('P57 every change reaches every client that may see it, once and in order, and nobody else', async () => {
    const office = await makeOffice();
    const { tenant, deeds } = office;
    const other = await TestTenant.signUp();
    const users: TestUser[] = [tenant.admin];
    for (const role of ['operator', 'technician', 'viewer'] as const) users.push(await tenant.addUser(role));
    const listeners = await Promise.all(
      [...users, ...users].map(async user => ({ user, from: await headOf(tenant), ear: await Listener.open(user) })),
    );
    const stranger = await Listener.open(other.admin);
    // all that is told is told at least once, whatever chance brings
    for (const seed of [0, 1]) for (const deed of Object.values(deeds)) await deed(seed);
    await fc.assert(
      fc.asyncProperty(deedsOf(Object.keys(deeds)), async todo => {
        for (const [name, seed] of todo) await deeds[name]!(seed);
        const log = await readLog(tenant);
        for (const { user, from, ear } of listeners) {
          const due = dueOf(log, user.role).filter(({ seq }) => seq > from);
          if (due.length > 0) await ear.untilSeq(due.at(-1)!.seq);
          expect(ear.got.filter(({ seq }) => seq).map(({ seq, event }) => ({ seq, event }))).toEqual(due);
        }
      }),
      { numRuns: 100, endOnFailure: true },
    );
    expect(stranger.got).toEqual([]);
    const seen = new Set(listeners.flatMap(({ ear }) => ear.got.map(({ event }) => event)));
    for (const event of [
      'customer:created',
      'customer:updated',
      'customer:status',
      'payment:created',
      'payment:updated',
      'invoice:created',
      'invoice:updated',
      'receipt:created',
      'device:status',
      'router:status',
      'bridge:status',
      'provisioning:status',
      'alert:opened',
      'alert:resolved',
    ])
      // prettier-ignore
      expect([...seen], event).toContain(event);
  });

  test('P57 an alert is told with what it is about, when it is opened and when its cause is gone', async () => {
    const { tenant, deeds } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    await deeds['sees a device']!(0);
    await deeds['sees a device']!(1);
    const [opened, resolved] = [await ear.untilNamed('alert:opened'), await ear.untilNamed('alert:resolved')];
    expect(opened.data).toMatchObject({ type: 'device_offline', severity: 'warning', entity_type: 'device', status: 'open' }); // prettier-ignore
    expect(resolved.data).toMatchObject({ id: opened.data.id, entity_id: opened.data.entity_id, message: opened.data.message, status: 'resolved', opened_at: opened.data.opened_at, resolved_at: expect.any(String), previous: { status: 'open' } }); // prettier-ignore
  });

  test('P57 a ticket’s changes are told too', async () => {
    const { tenant, customers } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    const d1 = await tenant.database();
    const tell = (type: string, changes: object) =>
      d1
        .prepare(
          `INSERT INTO events (type, action, actor, entity_type, entity_id, customer_id, changes, created_at)
           VALUES (?1, 'update', 'job', 'ticket', ?2, ?3, ?4, 1)`,
        )
        .bind(type, crypto.randomUUID(), customers[0], JSON.stringify(changes))
        .run();
    await tell('ticket.created', { title: [null, 'Internet lambat'], status: [null, 'open'] });
    await tell('ticket.updated', { status: ['open', 'resolved'] });
    await hubOf(tenant.id).wake(tenant.id);
    expect((await ear.untilNamed('ticket:created')).data).toMatchObject({ title: 'Internet lambat', status: 'open' });
    expect((await ear.untilNamed('ticket:updated')).data).toMatchObject({ status: 'resolved', previous: { status: 'open' } }); // prettier-ignore
  });

  test('what a message holds: the new values, what they were, whose it is, and nothing that isn’t declared', async () => {
    const { tenant, customers } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    const [id] = customers as [string];
    await tenant.put(`/customers/${id}`, { full_name: 'Siti Aminah', pppoe_password: 'rahasia-sekali' });
    const { data, timestamp } = await ear.untilNamed('customer:updated');
    expect(data).toMatchObject({ id, customer_id: id, customer_name: 'Siti Aminah', full_name: 'Siti Aminah', happened: 'updated' }); // prettier-ignore
    expect(data.previous).toEqual({ full_name: 'Budi Santoso' });
    expect(Math.abs(Date.now() - Date.parse(timestamp))).toBeLessThan(60_000);
    await tenant.post(`/customers/${id}/activate`, {});
    const active = await ear.untilNamed('customer:status');
    expect(active.data).toMatchObject({ id, status: 'active', happened: 'activated', previous: { status: 'pending_activation' } }); // prettier-ignore
    expect(JSON.stringify(ear.got)).not.toMatch(/rahasia|photo_key|search_text|password_hash|account_version|•/);
  });

  test('what was added or removed is told by its name, as the catalogue says; a device that is looked for elsewhere once', async () => {
    const { tenant, deeds, device } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    await deeds['sees a device']!(1);
    expect((await ear.untilNamed('device:status')).data).toMatchObject({ status: 'online', device_name: 'OLT' });
    await tenant.put(`/devices/${device.id}`, { ip_address: '10.0.0.10' });
    const router = await tenant.post('/routers', {
      name: 'Atap',
      host: 'h.example',
      username: 'x',
      password: 'geheim-2',
    });
    const bridge = await tenant.post('/bridges', { name: 'Gudang' });
    const added = await tenant.post('/devices', { device_name: 'Sakelar', device_type: 'switch' });
    const gone = [`/devices/${device.id}`, `/routers/${router.id}`, `/bridges/${bridge.id}`];
    for (const path of gone) expect((await tenant.call('DELETE', path)).status).toBe(200);
    await ear.untilSeq(await headOf(tenant));
    for (const message of ear.got)
      expect(LiveMessage.safeParse(message).error, JSON.stringify(message)).toBeUndefined();
    const told = ear.got
      .filter(({ event, data }) => event.endsWith(':status') && data.happened !== 'status')
      .map(({ data }) => data);
    expect(told).toMatchObject([
      { id: device.id, status: 'unknown', device_name: 'OLT', previous: { status: 'online' } },
      { id: router.id, status: 'unknown', name: 'Atap', happened: 'created' },
      { id: bridge.id, status: 'unknown', name: 'Gudang', happened: 'created' },
      { id: added.id, status: 'unknown', device_name: 'Sakelar', device_type: 'switch', happened: 'created' },
      { id: device.id, status: null, device_name: 'OLT', device_type: 'olt', happened: 'deleted' },
      { id: router.id, status: null, name: 'Atap' },
      { id: bridge.id, status: null, name: 'Gudang' },
    ]);
  });

  test('the examples of the catalogue are what it says', () => {
    for (const [event, { example, data }] of Object.entries(ALL_EVENTS)) {
      const message = { ...(event in LIVE_EVENTS && { seq: 1 }), event, data: example, timestamp: '2026-12-03T02:15:00.000Z' }; // prettier-ignore
      expect(LiveMessage.safeParse(message).error, event).toBeUndefined();
      expect(data.strict().safeParse(example).error, event).toBeUndefined();
    }
  });

  test('jobs tell how far they are, and routers what they measured: to who is there, without a seq', async () => {
    const { tenant, bridge, plan } = await makeOffice();
    const [viewer, technician] = [await tenant.addUser('viewer'), await tenant.addUser('technician')];
    const ears = await Promise.all([tenant.admin, viewer, technician].map(user => Listener.open(user)));
    const { id } = await tenant.addCustomer(plan.id);
    await tenant.post(`/customers/${id}/activate`, { date: '2026-01-01' });
    const { id: router_id } = await tenant.post('/routers', { name: 'Gerbang', host: 'r.example', username: 'x', password: 'geheim-1', bridge_id: bridge.id, is_default: false }); // prettier-ignore
    const line = { name: 'siti', session_id: '1', address: null, uptime_seconds: 60, interval_seconds: 60, upload_bytes: 75_000, download_bytes: 750_000 }; // prettier-ignore
    const seen = { identity: 'G', board_name: 'RB', version: '7.18', uptime_seconds: 1, pools: null };
    const answer = await bridge.report({
      batch: {
        spool_id: bridge.id,
        number: 1,
        measured_at_ms: Date.now(),
        routers: [{ router_id, status: 'online', error: null, latency_ms: 3, ...seen, lines: [line, { ...line, name: 'budi' }] }], // prettier-ignore
        devices: [],
      },
    });
    expect(answer.status, answer.text).toBe(200);
    for (const ear of ears) {
      const { seq, data } = await ear.untilNamed('monitoring:update');
      expect(seq).toBeUndefined();
      expect(data).toMatchObject({ router_id, status: 'online', latency_ms: 3, lines_online: 2, download_kbps: 200, upload_kbps: 20 }); // prettier-ignore
    }
    const job = await tenant.post('/billing/run', { period: thisMonth() });
    const [admin_ear, viewer_ear, technician_ear] = ears as [Listener, Listener, Listener];
    const done = () => admin_ear.named('job:progress').some(({ data }) => data.status === 'completed');
    await admin_ear.until(done, 'the end of the run');
    const told = admin_ear.named('job:progress');
    expect(told[0]!.data).toMatchObject({ id: job.id, kind: 'billing_run', status: 'queued', progress: 0 });
    expect(told.at(-1)!.data).toMatchObject({ id: job.id, status: 'completed', progress: 100, succeeded: 1 });
    await technician_ear.until(() => technician_ear.named('job:progress').length === told.length, 'the same');
    await viewer_ear.settle();
    expect(viewer_ear.named('job:progress')).toEqual([]);
    // who comes back isn't told of what is over
    const late = await Listener.open({ ...tenant.admin, since: 0 });
    await late.untilSeq(await headOf(tenant).then(async () => (await expected(tenant, 'admin', 0)).at(-1)!.seq));
    expect(late.got.filter(({ seq }) => seq === undefined)).toEqual([]);
  });
});

describe('P58a coming back', () => {
  test('P58a with the last seq that it saw a client misses nothing and gets nothing twice, whatever happens meanwhile', async () => {
    const { tenant, deeds } = await makeOffice();
    const roles: TestUser[] = [tenant.admin, await tenant.addUser('technician')];
    const from = await headOf(tenant);
    const clients = roles.map(user => ({ user, seen: from, told: [] as number[], ear: null as Listener | null }));
    const act = fc.oneof(
      fc.record({ kind: fc.constant('deed' as const), name: fc.constantFrom(...Object.keys(deeds)), seed: fc.nat({ max: 50 }) }), // prettier-ignore
      fc.record({
        kind: fc.constantFrom('leave', 'come', 'evict', 'crash', 'abort', 'alarm'),
        who: fc.nat({ max: 1 }),
      }),
    );
    const leave = (client: (typeof clients)[number]) => {
      const { ear } = client;
      if (!ear) return;
      client.told.push(...ear.seqs);
      client.seen = ear.seqs.at(-1) ?? client.seen;
      ear.close();
      client.ear = null;
    };
    const come = async (client: (typeof clients)[number]) => {
      if (client.ear?.closed) leave(client);
      client.ear ??= await Listener.open({ ...client.user, since: client.seen });
    };
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 10 }), fc.boolean(), async (acts, at_once) => {
        const under_way: Promise<unknown>[] = [];
        for (const each of acts) {
          if (each.kind === 'deed') {
            const { name, seed } = each as { name: string; seed: number };
            const deed = deeds[name]!(seed);
            if (at_once) under_way.push(deed);
            else await deed;
            continue;
          }
          const client = clients[(each as { who: number }).who]!;
          if (each.kind === 'leave') leave(client);
          if (each.kind === 'come') await come(client);
          if (each.kind === 'evict') await evict(tenant);
          if (each.kind === 'crash') {
            await evict(tenant, { webSockets: 'close' });
            for (const { ear } of clients) await ear?.untilClosed();
          }
          if (each.kind === 'abort') {
            // in the middle of whatever it does
            await runInDurableObject(hubOf(tenant.id), (_, state) => state.abort('ended by the test')).catch(() => {});
            for (const { ear } of clients) await ear?.untilClosed();
          }
          if (each.kind === 'alarm') await runDurableObjectAlarm(hubOf(tenant.id));
        }
        await Promise.all(under_way);
        for (const client of clients) {
          await come(client);
          const due = (await expected(tenant, client.user.role, from)).map(({ seq }) => seq);
          const all = () => [...client.told, ...client.ear!.seqs];
          if (due.length > 0) await client.ear!.until(() => all().includes(due.at(-1)!), `${due.at(-1)}`);
          expect(all()).toEqual(due);
        }
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });

  test.each(['others listen', 'others listen, and leave', 'nobody listens'])(
    'P58a what is committed between a newcomer’s look and its joining is told to it, once, when %s',
    async who => {
      const { tenant, customers } = await makeOffice();
      const other = who === 'nobody listens' ? null : await Listener.open(tenant.admin);
      const join = holdAfter(await tenant.database(), 'AS head FROM events');
      const coming = Listener.open({ ...tenant.admin, since: await headOf(tenant) });
      await expect.poll(() => join.has_read, { interval: 5 }).toBe(true);
      await tenant.put(`/customers/${customers[0]}`, { notes: 'in between' });
      await hubOf(tenant.id).wake(tenant.id);
      await other?.untilNamed('customer:updated');
      if (who.endsWith('leave')) {
        other!.close();
        await other!.untilClosed();
      }
      join.may_go = true;
      const ear = await coming;
      await ear.untilNamed('customer:updated');
      await tenant.put(`/customers/${customers[0]}`, { notes: 'afterwards' });
      await ear.untilNamed('customer:updated', 2);
      expect(ear.named('customer:updated').map(({ data }) => data.notes)).toEqual(['in between', 'afterwards']);
    },
  );

  test('P58a many pages are replayed, and what happens meanwhile follows behind them', async () => {
    const { tenant, customers } = await makeOffice();
    const d1 = await tenant.database();
    const from = await headOf(tenant);
    await d1
      .prepare(
        `INSERT INTO events (type, action, actor, entity_type, entity_id, customer_id, changes, created_at)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
         SELECT 'customer.updated', 'update', 'job', 'customer', ?1, ?1, json_object('notes', json_array('c' || (i - 1), 'c' || i)), i FROM n`,
      )
      .bind(customers[0])
      .run();
    const early = await Listener.open(tenant.admin);
    const ears = await Promise.all([0, 0, from, from + 700].map(since => Listener.open({ ...tenant.admin, since })));
    for (let at = 0; at < 5; at++) await tenant.put(`/customers/${customers[0]}`, { notes: `sambil ${at}` });
    const head = await headOf(tenant);
    for (const [at, since] of [0, 0, from, from + 700].entries()) {
      await ears[at]!.untilSeq(head);
      expect(ears[at]!.seqs).toEqual((await expected(tenant, 'admin', since)).map(({ seq }) => seq));
    }
    await early.untilSeq(head);
    expect(early.seqs).toEqual([1, 2, 3, 4, 5].map(at => from + 1300 + at));
  });

  test('a log that ends before the cursors, as of a database that was put back, is told from its end on', async () => {
    const { tenant, customers } = await makeOffice();
    await hubOf(tenant.id).wake(tenant.id);
    await runInDurableObject(hubOf(tenant.id), (_, { storage }) => {
      for (const name of ['realtime', 'provisioning'])
        storage.kv.put(`cursor:${name}`, { last_seq: 1_000_000, attempts: 0, retry_at: 0 });
    });
    await evictDurableObject(hubOf(tenant.id));
    const head = await headOf(tenant);
    const ear = await Listener.open({ ...tenant.admin, since: 1_000_000 });
    await tenant.put(`/customers/${customers[0]}`, { notes: 'afterwards' });
    expect((await ear.untilNamed('customer:updated')).seq).toBe(head + 1);
    const stored = await runInDurableObject(hubOf(tenant.id), (_, { storage }) => storage.kv.get<{ last_seq: number }>('cursor:provisioning')); // prettier-ignore
    expect(stored!.last_seq).toBe(head);
  });

  test('a seq that hasn’t been yet is the end; one that is no number is refused by name', async () => {
    const { tenant, customers } = await makeOffice();
    const ear = await Listener.open({ ...tenant.admin, since: 10 ** 12 });
    await tenant.put(`/customers/${customers[0]}`, { notes: 'x' });
    await ear.untilNamed('customer:updated');
    for (const since of ['-1', 'x', '1.5', '', '9'.repeat(30)]) {
      const answer = await knock({ since }, asStranger(tenant.admin.token));
      expect(answer.status).toBe(400);
      expect((await refusalOf(answer))).toMatchObject({ code: 'VALIDATION_ERROR', details: { since: [expect.any(String)] } }); // prettier-ignore
    }
  });
});

describe('what goes wrong on the way', () => {
  /** A line on a router that nobody can reach: what it needs is put into the queue all the same. */
  async function makeLine() {
    const office = await makeOffice();
    const { tenant, bridge, plan } = office;
    const { id: router_id } = await tenant.post('/routers', { name: 'Gerbang', host: 'r.example', username: 'x', password: 'geheim-1', bridge_id: bridge.id, is_default: false }); // prettier-ignore
    const { id } = await tenant.addCustomer(plan.id, { router_id });
    const ear = await Listener.open(tenant.admin);
    return { ...office, router_id, id, ear };
  }

  test('a poke that is lost is made up for by the sweep', async () => {
    const { tenant, ear, id } = await makeLine();
    const batches = vi.spyOn(env.PROVISIONING_QUEUE, 'sendBatch').mockResolvedValue(undefined as never);
    await hubOf(tenant.id).wake(tenant.id);
    batches.mockClear();
    const away = vi.spyOn(env.TENANT_HUB, 'get').mockImplementation(SILENT_HUB.get as never);
    await tenant.post(`/customers/${id}/activate`, {});
    await ear.settle();
    expect(ear.named('customer:status')).toEqual([]);
    away.mockRestore();
    const ctx = await makeTestContext(tenant);
    await sweepTenant(ctx);
    await ear.untilNamed('customer:status');
    await eventually(() => expect(batches).toHaveBeenCalled());
  });

  test('a queue that fails is tried again by the alarm, and holds up nobody who listens', async () => {
    const { tenant, ear, id, router_id, customers } = await makeLine();
    await hubOf(tenant.id).wake(tenant.id);
    const batches = vi.spyOn(env.PROVISIONING_QUEUE, 'sendBatch').mockRejectedValue(new Error('the queue is away'));
    await tenant.post(`/customers/${id}/activate`, {});
    await ear.untilNamed('customer:status');
    await eventually(() => expect(batches).toHaveBeenCalled());
    // none stands while it is being followed
    await eventually(async () => expect((await storedIn(tenant)).alarm).not.toBeNull());
    // what happens meanwhile is told at once, and doesn't make the queue be asked sooner
    await tenant.put(`/customers/${customers[0]}`, { notes: 'meanwhile' });
    await ear.untilNamed('customer:updated');
    ear.close();
    await ear.untilClosed();
    await evict(tenant);
    await eventually(async () => expect((await storedIn(tenant)).alarm).not.toBeNull());
    batches.mockClear();
    batches.mockResolvedValue(undefined as never);
    // it comes by itself
    await eventually(() => expect(batches).toHaveBeenCalled());
    const woken = batches.mock.calls.flatMap(([messages]) => [...messages].map(({ body }) => body.router_id));
    expect(woken).toEqual([router_id]);
    await eventually(async () => expect((await storedIn(tenant)).alarm).toBeNull());
  });

  test('a retry that is under way and hangs is no reason to look again and again', async () => {
    const { tenant, id } = await makeLine();
    await hubOf(tenant.id).wake(tenant.id);
    const batches = vi.spyOn(env.PROVISIONING_QUEUE, 'sendBatch').mockRejectedValueOnce(new Error('the queue is away'));
    batches.mockImplementation(() => new Promise(() => {}));
    await tenant.post(`/customers/${id}/activate`, {});
    await eventually(() => expect(batches).toHaveBeenCalledTimes(2));
    const looks = vi.spyOn(await tenant.database(), 'withSession');
    await new Promise(resolve => setTimeout(resolve, 1000));
    expect(looks.mock.calls.length).toBeLessThan(5);
    expect(batches).toHaveBeenCalledTimes(2);
  });
});

describe('what a client says', () => {
  test('it subscribes: at the door, on the way, to nothing and to all; the answer says where it stands', async () => {
    const { tenant, customers, deeds } = await makeOffice();
    const technician = await tenant.addUser('technician');
    const ear = await Listener.open({ ...tenant.admin, events: ['payment:created', 'customer:status'] });
    const narrow = await Listener.open(technician);
    narrow.send({ type: 'subscribe', events: ['payment:created', 'customer:updated'] });
    const { seq, data } = await narrow.untilNamed('subscribed');
    // what one's role may not see can't be had by asking
    expect([seq, data]).toEqual([undefined, { events: ['customer:updated'], seq: await headOf(tenant) }]);
    await tenant.put(`/customers/${customers[0]}`, { notes: '1' });
    await deeds['records a due']!(1);
    await ear.untilNamed('payment:created');
    await narrow.untilNamed('customer:updated');
    expect(ear.named('customer:updated')).toEqual([]);
    ear.send({ type: 'subscribe', events: [] });
    await ear.untilNamed('subscribed');
    await deeds['records a due']!(2);
    await narrow.settle();
    ear.send({ type: 'subscribe' });
    const all = await ear.untilNamed('subscribed', 2);
    expect(all.data.events.toSorted()).toEqual(EVENT_NAMES.toSorted());
    await deeds['records a due']!(3);
    await ear.untilNamed('payment:created', 2);
    expect(ear.named('payment:created').map(each => each.data.amount)).toEqual([1001, 1003]);
    expect(narrow.named('payment:created')).toEqual([]);
  });

  test('what it isn’t understood is said to it, and nothing more happens', async () => {
    const { tenant } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    const nonsense = ['', 'hello', '[]', 'null', '{"type":"subscribe","events":["nothing:here"]}', '{"type":"auth"}', '{"type":"ping","more":1}', '{"type":"__proto__"}', '{"type":"subscribe","events":"customer:created"}']; // prettier-ignore
    for (const text of nonsense) ear.send(text);
    const errors = await ear.until(() => ear.named('error').length === nonsense.length && ear.named('error'), 'errors');
    for (const { data } of errors)
      expect(data).toMatchObject({ code: 'VALIDATION_ERROR', message: expect.any(String) });
    expect(errors[4]!.data.details).toEqual({ 'events.0': [expect.any(String)] });
    await ear.settle();
    expect(ear.closed).toBeNull();
  });

  test('a heartbeat is answered while the hub sleeps', async () => {
    const { tenant } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    await evict(tenant);
    ear.send('ping');
    await ear.until(() => ear.words.length === 1, 'pong');
    expect(ear.words).toEqual(['pong']);
    // fifty of them are no talk
    for (let at = 0; at < 50; at++) ear.send('ping');
    await ear.until(() => ear.words.length === 51, 'pongs');
    await ear.settle();
  });

  test('a list of events that is longer than there are is refused, at the door and behind it', async () => {
    const { tenant, customers } = await makeOffice();
    const many = Array<string>(900).fill('customer:updated');
    const refused = await knock({ events: many.join(',') }, asStranger(tenant.admin.token));
    expect([refused.status, (await refusalOf(refused)).details]).toEqual([400, { events: [expect.any(String)] }]); // prettier-ignore
    const ear = await Listener.open({ ...tenant.admin, events: many.slice(0, EVENT_NAMES.length) });
    ear.send({ type: 'subscribe', events: many.slice(0, 500) });
    expect((await ear.untilNamed('error')).data.code).toBe('VALIDATION_ERROR');
    await evict(tenant);
    await tenant.put(`/customers/${customers[0]}`, { notes: 'x' });
    await ear.untilNamed('customer:updated');
    expect((await storedIn(tenant)).sockets).toBe(1);
  });

  test('too much, too large or no text: the socket ends with a word why', async () => {
    const { tenant } = await makeOffice();
    const [much, large, bytes, still] = (await Promise.all([1, 2, 3, 4].map(() => Listener.open(tenant.admin)))) as [Listener, Listener, Listener, Listener]; // prettier-ignore
    for (let at = 0; at < 21; at++) much.send({ type: 'ping' });
    large.send(`{"type":"auth","token":"${'a'.repeat(17_000)}"}`);
    bytes.sendBytes(new Uint8Array(3));
    expect((await much.untilClosed()).code).toBe(4429);
    expect((await large.untilClosed()).code).toBe(1009);
    expect((await bytes.untilClosed()).code).toBe(1003);
    expect(much.named('pong').length).toBeLessThanOrEqual(20);
    await still.settle();
    expect((await storedIn(tenant)).sockets).toBe(1);
  });
});

describe('who may listen', () => {
  test('the token goes among the subprotocols or into the header; the answer names the protocol that was offered', async () => {
    const { tenant } = await makeOffice();
    const { token } = tenant.admin;
    const offered = await knock({}, { 'sec-websocket-protocol': `bearer.${token},rukun.v1` });
    expect([offered.status, offered.headers.get('sec-websocket-protocol')]).toEqual([101, 'rukun.v1']);
    const header = await knock({}, { authorization: `Bearer ${token}` });
    expect([header.status, header.headers.get('sec-websocket-protocol')]).toEqual([101, null]);
    for (const answer of [offered, header]) answer.webSocket!.accept();
    for (const headers of [
      {},
      { 'sec-websocket-protocol': 'rukun.v1' },
      { 'sec-websocket-protocol': 'rukun.v1, bearer.' },
      asStranger('x.y.z'),
      asStranger(`${token}x`),
      { ...asStranger(token), authorization: 'Basic x' },
    ])
      // prettier-ignore
      expect((await knock({}, headers as Record<string, string>)).status).toBe(401);
    // a token among subprotocols counts for sockets alone
    const plain = await SELF.fetch('http://rukun.test/api/v1/customers', { headers: asStranger(token) });
    expect(plain.status).toBe(401);
    const no_upgrade = await call('GET', '/ws', { token });
    expect([no_upgrade.status, no_upgrade.error.details]).toEqual([400, { Upgrade: [expect.any(String)] }]);
  });

  test('another provider’s name beside the token, and a provider that is suspended, are refused', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const refused = await knock({}, { ...asStranger(tenant.admin.token), 'x-tenant-id': other.slug });
    expect([refused.status, (await refusalOf(refused)).code]).toEqual([403, 'TENANT_MISMATCH']);
    const ear = await Listener.open(tenant.admin);
    await env.DIRECTORY_DB.prepare(`UPDATE tenants SET status = 'suspended' WHERE id = ?`).bind(tenant.id).run();
    forgetTenants();
    await hubOf(tenant.id).wake(tenant.id);
    expect((await ear.untilClosed()).code).toBe(4403);
    expect((await knock({}, asStranger(tenant.admin.token))).status).toBe(403);
  });

  test('the sockets of a provider that was suspended lately end at the next sweep, and no others', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const [ear, of_other] = [await Listener.open(tenant.admin), await Listener.open(other.admin)];
    const long_over = await TestTenant.signUp();
    const end = `UPDATE tenants SET status = 'suspended', updated_at = ? WHERE id = ?`;
    await env.DIRECTORY_DB.prepare(end).bind(Date.now(), tenant.id).run();
    await env.DIRECTORY_DB.prepare(end)
      .bind(Date.now() - 3_600_000, long_over.id)
      .run();
    forgetTenants();
    const woken: string[] = [];
    const { TENANT_HUB } = env;
    const idFromName = (name: string) => {
      woken.push(name);
      return TENANT_HUB.idFromName(name);
    };
    const hubs = { idFromName, get: (id: DurableObjectId) => TENANT_HUB.get(id) } as typeof TENANT_HUB;
    await sweep(makeTestAmbient({ env: { ...env, JOBS_QUEUE: recordQueue<JobMessage>().queue, TENANT_HUB: hubs } }));
    expect((await ear.untilClosed()).code).toBe(4403);
    expect(woken).toEqual([tenant.id]);
    await other.post('/zones', { name: 'Utara' });
    await other.addCustomer((await other.addPlan()).id);
    await of_other.untilNamed('customer:created');
  });

  test('a token that ends ends the socket, with a word before: by the alarm, and before anything more is told', async () => {
    const { tenant, customers } = await makeOffice();
    const openTwo = async (lives_ms: number) => {
      const token = await mintShort(tenant, tenant.admin, lives_ms);
      return Promise.all([1, 2].map(() => Listener.open({ token })));
    };
    // on a slow machine it may be over before the door is reached
    const [short, told] = await openTwo(1500).catch(() => openTwo(30_000));
    const long = await Listener.open(tenant.admin);
    // it comes by itself, when the first token ends
    expect(await short!.untilClosed()).toEqual({ code: 4401, reason: expect.any(String) });
    expect(short!.got.map(({ event }) => event)).toEqual(['session:expired']);
    await told!.untilClosed();
    await tenant.put(`/customers/${customers[0]}`, { notes: 'x' });
    await long.untilNamed('customer:updated');
    expect(told!.named('customer:updated')).toEqual([]);
    expect(long.closed).toBeNull();
  });

  test('nothing is told on a token that has ended, even when the alarm is late', async () => {
    const { tenant, customers } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 16 * 60_000);
    const fresh = await mintToken(tenant.id, tenant.admin.id, 'admin', Date.now());
    await tenant.call('PUT', `/customers/${customers[0]}`, { token: fresh, body: { notes: 'x' } });
    expect((await ear.untilClosed()).code).toBe(4401);
    expect(ear.named('customer:updated')).toEqual([]);
  });

  test('a fresh token keeps the socket; one of somebody else, of another provider or a stale one doesn’t', async () => {
    const { tenant, customers } = await makeOffice();
    const other = await TestTenant.signUp();
    const operator = await tenant.addUser('operator');
    const ear = await Listener.open({ token: await mintShort(tenant, tenant.admin, 60_000) });
    const bad = [operator.token, other.admin.token, 'x', await mintToken(tenant.id, tenant.admin.id, 'operator'), await mintShort(tenant, tenant.admin, -1), await mintToken(other.id, tenant.admin.id, 'admin')]; // prettier-ignore
    for (const token of bad) ear.send({ type: 'auth', token });
    const errors = await ear.until(() => ear.named('error').length === bad.length && ear.named('error'), 'refusals');
    for (const { data } of errors) expect(data.code).toBe('UNAUTHORIZED');
    ear.send({ type: 'auth', token: tenant.admin.token });
    const { data } = await ear.untilNamed('authenticated');
    expect(Date.parse(data.expires_at)).toBeGreaterThan(Date.now() + 13 * 60_000);
    // when the first one has ended
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 2 * 60_000);
    expect(await runDurableObjectAlarm(hubOf(tenant.id))).toBe(true);
    await evict(tenant);
    await tenant.put(`/customers/${customers[0]}`, { notes: 'x' });
    await ear.untilNamed('customer:updated');
    expect(ear.closed).toBeNull();
  });

  const ends: Record<string, (tenant: TestTenant, user: TestUser) => Promise<unknown>> = {
    deactivated: (tenant, { id }) => tenant.put(`/users/${id}`, { is_active: false }),
    'given another role': (tenant, { id }) => tenant.put(`/users/${id}`, { role: 'viewer' }),
    'given another password': (tenant, { id }) => tenant.put(`/users/${id}`, { password: `${PASSWORD}-2` }),
    deleted: (tenant, { id }) => tenant.call('DELETE', `/users/${id}`),
    'changing their own password': async (tenant, { token }) =>
      tenant.call('PUT', '/auth/password', { token, body: { current_password: PASSWORD, new_password: `${PASSWORD}-3` } }), // prettier-ignore
  };
  test.each(Object.keys(ends))('a user who is %s is sent away before anything more is told; others stay', async how => {
    const { tenant, customers } = await makeOffice();
    const [user, colleague] = [await tenant.addUser('operator'), await tenant.addUser('operator')];
    const [ear, second, theirs] = [
      await Listener.open(user),
      await Listener.open(user),
      await Listener.open(colleague),
    ];
    const slept = await Listener.open({ ...user, events: ['invoice:created'] });
    await evict(tenant);
    await tenant.put(`/users/${user.id}`, { name: 'Nama Baru' });
    await ends[how]!(tenant, user);
    await tenant.put(`/customers/${customers[0]}`, { notes: 'x' });
    for (const each of [ear, second, slept]) {
      expect((await each.untilClosed()).code).toBe(4401);
      expect(each.got.map(({ event }) => event)).toEqual(['session:expired']);
    }
    await theirs.untilNamed('customer:updated');
    expect(theirs.closed).toBeNull();
    expect((await knock({}, asStranger(user.token))).status).toBe(401);
  });

  test('one who is deactivated while they come in gets nothing that came after', async () => {
    const { tenant, customers } = await makeOffice();
    for (let at = 0; at < 10; at++) {
      const user = await tenant.addUser('operator');
      const coming = Listener.open({ ...user, since: 0 }).catch(() => null);
      await new Promise(resolve => setTimeout(resolve, at));
      await tenant.put(`/users/${user.id}`, { is_active: false });
      await tenant.put(`/customers/${customers[0]}`, { notes: `rahasia ${at}` });
      const ear = await coming;
      if (ear) await ear.untilClosed();
      expect(JSON.stringify(ear?.got ?? [])).not.toContain(`rahasia ${at}`);
    }
  });
});

describe('P58 what is left', () => {
  test('P58 after a disconnect nothing of the client is left: no socket, no alarm, nothing stored but cursors', async () => {
    const { tenant, deeds } = await makeOffice();
    const ways = fc.constantFrom('close', 'token', 'nonsense', 'evict');
    await fc.assert(
      fc.asyncProperty(fc.array(ways, { minLength: 1, maxLength: 4 }), async todo => {
        const ears = await Promise.all(todo.map(() => Listener.open({ ...tenant.admin, since: 0 })));
        expect((await storedIn(tenant)).sockets).toBe(todo.length);
        for (const [at, way] of todo.entries()) {
          const ear = ears[at]!;
          if (way === 'nonsense') ear.sendBytes(new Uint8Array(1));
          else if (way === 'token') ear.send('x'.repeat(17_000));
          else ear.close();
          if (way === 'evict') await evict(tenant);
          await ear.untilClosed();
        }
        await ears[0]!.until(() => true, '');
        await deeds['changes a customer']!(1);
        await eventually(async () => {
          const { sockets, alarm, keys } = await storedIn(tenant);
          expect({ sockets, alarm }).toEqual({ sockets: 0, alarm: null });
          expect(keys.filter(key => !key.startsWith('cursor:') && key !== 'tenant_id')).toEqual([]);
        });
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });

  test('with nobody there the log is read for the queue alone, and its cursor is stored only where a router was woken', async () => {
    const { tenant, deeds } = await makeOffice();
    const ear = await Listener.open(tenant.admin);
    const cursorOf = (name: string) =>
      runInDurableObject(hubOf(tenant.id), (_, state) => state.storage.kv.get<{ last_seq: number }>(`cursor:${name}`)?.last_seq); // prettier-ignore
    // what was before isn't read again for who comes first
    expect(await cursorOf('realtime')).toBe(await headOf(tenant));
    await deeds['changes a customer']!(1);
    await ear.untilNamed('customer:updated');
    const before = await cursorOf('realtime');
    expect(before).toBe(await headOf(tenant));
    ear.close();
    await ear.untilClosed();
    await deeds['changes a customer']!(1);
    await hubOf(tenant.id).wake(tenant.id);
    expect(await cursorOf('realtime')).toBe(before);
    expect(await cursorOf('provisioning')).toBeUndefined();
  });
});
