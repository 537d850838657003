import { env, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sweepTenant } from '../../src/jobs/sweep.ts';
import {
  BRIDGE_HEADER,
  REPORT_PATH,
  TENANT_HEADER,
  type MeasurementBatch,
  type ReportAnswer,
  type ReportRequest,
  type RouterMeasurement,
} from '../../src/protocol/messages.ts';
import { NONCE_HEADER, SIGNATURE_HEADER, signAnswer, signRequest, TIME_HEADER } from '../../src/protocol/signature.ts';
import { clearFaults, DEAD_PORT, makeTestContext, NetworkTenant, takeRouterAway } from '../support/network-world.ts';

/** What a bridge reports by itself: stored once, and the alerts that come of it. */

// the clock of reports goes on by itself: each must be newer than the last
let clock_ms = 0;

beforeEach(() => {
  clock_ms = Date.now() - 30_000;
});
afterEach(clearFaults);

interface Reported {
  status: number;
  data: ReportAnswer;
  is_signed: boolean;
}

async function report(
  world: NetworkTenant,
  parts: Partial<ReportRequest> = {},
  // rising, and no older than a bridge's clock may be, however long a test takes
  time_ms = (clock_ms = Math.max(clock_ms + 1, Date.now() - 30_000)),
): Promise<Reported> {
  const message: ReportRequest = { version: '0.1.0', watched_tag: null, batch: null, batches_waiting: 0, ...parts };
  const body = JSON.stringify(message);
  const { signing_secret } = env.TEST_NETWORK.bridge;
  const nonce = crypto.randomUUID();
  const signature = await signRequest(signing_secret, { time_ms, nonce, method: 'POST', path: REPORT_PATH, body });
  const response = await SELF.fetch(`http://rukun.test${REPORT_PATH}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      [TENANT_HEADER]: world.tenant.id,
      [BRIDGE_HEADER]: world.bridge_id,
      [TIME_HEADER]: String(time_ms),
      [NONCE_HEADER]: nonce,
      [SIGNATURE_HEADER]: signature,
    },
    body,
  });
  const text = await response.text();
  const expected = await signAnswer(signing_secret, nonce, response.status, text);
  const is_signed = response.headers.get(SIGNATURE_HEADER) === expected;
  return { status: response.status, data: (JSON.parse(text) as { data: ReportAnswer }).data, is_signed };
}

const SPOOL = crypto.randomUUID();

const measured = (router_id: string, parts: Partial<RouterMeasurement> = {}): RouterMeasurement => ({
  router_id,
  host: env.TEST_NETWORK.router.host,
  port: env.TEST_NETWORK.router.port,
  status: 'online',
  error: null,
  latency_ms: 3,
  identity: 'Menara',
  board_name: 'RB5009',
  version: '7.18.2 (stable)',
  uptime_seconds: 60,
  tls_fingerprint: null,
  pools: null,
  lines: [],
  ...parts,
});

const batchOf = (number: number, parts: Partial<MeasurementBatch> = {}): MeasurementBatch => ({
  spool_id: SPOOL,
  number,
  measured_at_ms: Date.now(),
  routers: [],
  devices: [],
  ...parts,
});

const line = (name: string, upload_bytes: number) => ({
  name,
  session_id: '0x81000001',
  address: '10.0.0.9',
  uptime_seconds: 300,
  interval_seconds: 300,
  upload_bytes,
  download_bytes: 10 * upload_bytes,
});

const openAlerts = (world: NetworkTenant) => world.tenant.get('/monitoring/alerts', { status: 'open' });
const routerOf = (world: NetworkTenant) => world.tenant.get(`/routers/${world.router_id}`);
const eventsOf = (world: NetworkTenant, type: string) =>
  world.query<{ entity_id: string; changes: string }>(
    'SELECT entity_id, changes FROM events WHERE type = ? ORDER BY seq',
    type,
  );

describe('a report', () => {
  test('keeps what the bridge says of itself and of its routers, and is answered with a signature', async () => {
    const world = await NetworkTenant.make();
    const batch = batchOf(1, { routers: [measured(world.router_id, { lines: [line('budi', 1000)] })] });
    const answer = await report(world, { batch });
    expect(answer).toMatchObject({ status: 200, is_signed: true, data: { batch_taken: true } });
    expect(await routerOf(world)).toMatchObject({
      status: 'online',
      identity: 'Menara',
      board_name: 'RB5009',
      version: '7.18.2 (stable)',
      last_error: null,
    });
    const [bridge] = await world.tenant.get('/bridges');
    expect(bridge).toMatchObject({ status: 'online', version: '0.1.0' });
    expect(Date.now() - Date.parse(bridge.last_heartbeat_at)).toBeLessThan(60_000);
    const [row] = await world.query<{ lines: string }>('SELECT lines FROM line_measurements');
    expect(JSON.parse(row!.lines)).toEqual([line('budi', 1000)]);
  });

  test('whatever is sent again, late or in whatever order: each batch is stored once', async () => {
    const world = await NetworkTenant.make();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 14 }), async numbers => {
        const spool_id = crypto.randomUUID();
        const router_id = await world.addRouter();
        const at = Date.now() - 60_000;
        const stored: number[] = [];
        for (const number of numbers) {
          const routers = [measured(router_id, { lines: [line('budi', number)] })];
          const batch = batchOf(number, { spool_id, measured_at_ms: at + number, routers });
          expect((await report(world, { batch })).data.batch_taken).toBe(true);
          if (number > (stored.at(-1) ?? 0)) stored.push(number);
        }
        const rows = await world.query<{ lines: string }>(
          'SELECT lines FROM line_measurements WHERE router_id = ? ORDER BY measured_at',
          router_id,
        );
        expect(rows.map(row => (JSON.parse(row.lines) as { upload_bytes: number }[])[0]!.upload_bytes)).toEqual(stored);
      }),
      { numRuns: 25 },
    );
  });

  test('the same batch twice at the same moment is stored once', async () => {
    const world = await NetworkTenant.make();
    const routers = [measured(world.router_id, { lines: [line('budi', 7)] })];
    const batches = [0, 1, 2].map(later => batchOf(1, { measured_at_ms: Date.now() - later, routers }));
    const answers = await Promise.all(batches.map(batch => report(world, { batch })));
    expect(answers.some(answer => answer.status === 200)).toBe(true);
    expect(await world.query('SELECT 1 FROM line_measurements')).toHaveLength(1);
  });

  test('a new spool counts from one again', async () => {
    const world = await NetworkTenant.make();
    const routers = [measured(world.router_id, { lines: [line('budi', 1)] })];
    await report(world, { batch: batchOf(9, { measured_at_ms: Date.now() - 5000, routers }) });
    await report(world, { batch: batchOf(1, { spool_id: crypto.randomUUID(), routers }) });
    expect(await world.query('SELECT 1 FROM line_measurements')).toHaveLength(2);
  });

  test('what isn’t newer than the last one is refused, and nothing of it is stored', async () => {
    const world = await NetworkTenant.make();
    const time_ms = ++clock_ms;
    expect((await report(world, {}, time_ms)).status).toBe(200);
    const batch = batchOf(1, { routers: [measured(world.router_id, { lines: [line('budi', 1)] })] });
    expect((await report(world, { batch }, time_ms)).status).toBe(401);
    expect((await report(world, { batch }, time_ms - 1)).status).toBe(401);
    expect(await world.query('SELECT 1 FROM line_measurements')).toHaveLength(0);
    expect((await report(world, { batch }, time_ms + 1)).status).toBe(200);
  });

  test('hands over what to watch, sealed, and only when it changed', async () => {
    const world = await NetworkTenant.make();
    const first = (await report(world)).data.watched!;
    expect(first.routers.map(router => router.id)).toEqual([world.router_id]);
    expect(JSON.stringify(first)).not.toContain(env.TEST_NETWORK.router.password);
    expect(first.sealed_passwords.split('.')).toHaveLength(5);
    expect((await report(world, { watched_tag: first.tag })).data.watched).toBeNull();
    await world.tenant.put(`/routers/${world.router_id}`, { password: 'rahasia-lain' });
    const second = (await report(world, { watched_tag: first.tag })).data.watched!;
    expect(second.tag).not.toBe(first.tag);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: false });
    expect((await report(world, { watched_tag: second.tag })).data.watched!.routers).toEqual([]);
  });

  test('how much of a pool is given out is kept, and of an old batch it isn’t', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    const pool = await tenant.post('/ip-pools', { router_id, name: 'pool-a', ranges: '10.9.0.2-20' });
    expect(pool).toMatchObject({ ranges: '10.9.0.2-10.9.0.20', size: 19, used: null, used_at: null });
    const say = async (number: number, used: number, measured_at_ms = Date.now()) => {
      const routers = [
        measured(router_id, {
          pools: [
            { name: 'pool-a', used },
            { name: 'none of ours', used: 1 },
          ],
        }),
      ];
      await report(world, { batch: batchOf(number, { measured_at_ms, routers }) });
      return tenant.get(`/ip-pools/${pool.id}`);
    };
    expect(await say(1, 7)).toMatchObject({ used: 7, used_at: expect.any(String) });
    expect(await say(2, 3, Date.now() - 600_000)).toMatchObject({ used: 7 });
    expect(await say(3, 8)).toMatchObject({ used: 8 });
  });

  test('a router of another bridge, or one that is gone, is left alone', async () => {
    const world = await NetworkTenant.make();
    const other = await world.addRouter({ bridge_id: null });
    const routers = [other, crypto.randomUUID()].map(id => measured(id, { status: 'offline', lines: [line('x', 1)] }));
    expect((await report(world, { batch: batchOf(1, { routers }) })).status).toBe(200);
    expect(await world.tenant.get(`/routers/${other}`)).toMatchObject({ status: 'unknown' });
    expect(await openAlerts(world)).toEqual([]);
  });
});

test('the first certificate that a router shows is the one from then on', async () => {
  const world = await NetworkTenant.make({ router: { use_tls: true } });
  const { tenant, router_id } = world;
  const [first, second] = ['a', 'b'].map(letter => letter.repeat(64)) as [string, string];
  const say = (number: number, tls_fingerprint: string) =>
    report(world, { batch: batchOf(number, { routers: [measured(router_id, { tls_fingerprint, lines: null })] }) });
  const before = await tenant.get(`/routers/${router_id}`);
  await say(1, first);
  const pinned = await tenant.get(`/routers/${router_id}`);
  expect(pinned.tls_fingerprint).toBe(first);
  expect(Date.parse(pinned.updated_at)).toBeGreaterThan(Date.parse(before.updated_at));
  await say(2, second);
  expect(await tenant.get(`/routers/${router_id}`)).toMatchObject({ tls_fingerprint: first });
  expect(await eventsOf(world, 'router.updated')).toHaveLength(1);
  // and it is what the bridge is told
  expect((await report(world)).data.watched!.routers).toMatchObject([{ tls_fingerprint: first }]);
});

test('a check is answered, and nothing is kept of it', async () => {
  const world = await NetworkTenant.make();
  const rows = () => world.query('SELECT * FROM bridges');
  const before = await rows();
  const answer = await report(world, { is_check: true });
  expect(answer).toMatchObject({ status: 200, is_signed: true, data: { batch_taken: false, watched: null } });
  expect(await rows()).toEqual(before);
});

describe('alerts', () => {
  test('P40 a router that goes offline opens one alert; it is resolved when the router is back', async () => {
    const world = await NetworkTenant.make();
    const say = (number: number, status: 'online' | 'offline') =>
      report(world, { batch: batchOf(number, { routers: [measured(world.router_id, { status, error: status === 'offline' ? 'no answer' : null, lines: null })] }) }); // prettier-ignore
    await say(1, 'online');
    await say(2, 'offline');
    await say(3, 'offline');
    const [alert, ...more] = await openAlerts(world);
    expect(more).toEqual([]);
    expect(alert).toMatchObject({ type: 'router_offline', entity_type: 'router', entity_id: world.router_id });
    expect(alert.message).toContain('no answer');
    expect(await routerOf(world)).toMatchObject({ status: 'offline', last_error: 'no answer' });
    await say(4, 'online');
    expect(await openAlerts(world)).toEqual([]);
    const [resolved] = await world.tenant.get('/monitoring/alerts');
    expect(resolved).toMatchObject({ id: alert.id, status: 'resolved' });
    expect(resolved.resolved_at).not.toBeNull();
    expect(await eventsOf(world, 'alert.opened')).toHaveLength(1);
    expect(await eventsOf(world, 'alert.resolved')).toHaveLength(1);
    const changes = (await eventsOf(world, 'router.status')).map(event => JSON.parse(event.changes).status);
    expect(changes).toEqual([
      ['unknown', 'online'],
      ['online', 'offline'],
      ['offline', 'online'],
    ]);
  });

  test('whatever observations come, in whatever order: the newest holds, and an alert is open just while it is offline', async () => {
    const observation = fc.record({
      age_ms: fc.integer({ min: 0, max: 5 }).map(step => step * 60_000),
      status: fc.constantFrom<'online' | 'offline'>('online', 'offline'),
    });
    const world = await NetworkTenant.make();
    await fc.assert(
      fc.asyncProperty(fc.array(observation, { minLength: 1, maxLength: 10 }), async observations => {
        const [router_id, spool_id, now] = [await world.addRouter(), crypto.randomUUID(), Date.now()];
        await world.query('UPDATE bridges SET last_measured_at = NULL');
        let newest = { at: 0, status: 'unknown' };
        for (const [index, { age_ms, status }] of observations.entries()) {
          const at = now - age_ms;
          const routers = [measured(router_id, { status, lines: null })];
          await report(world, { batch: batchOf(index + 1, { spool_id, measured_at_ms: at, routers }) });
          if (at >= newest.at) newest = { at, status };
          expect(await world.tenant.get(`/routers/${router_id}`)).toMatchObject({ status: newest.status });
          const open = await world.tenant.get('/monitoring/alerts', { status: 'open', entity_id: router_id });
          expect(open).toHaveLength(newest.status === 'offline' ? 1 : 0);
        }
        const all = await world.tenant.get('/monitoring/alerts', { entity_id: router_id, per_page: 100 });
        const told = async (type: string) =>
          (await eventsOf(world, type)).filter(event => all.some((row: { id: string }) => row.id === event.entity_id));
        expect(await told('alert.opened')).toHaveLength(all.length);
        expect(await told('alert.resolved')).toHaveLength(all.length - (newest.status === 'offline' ? 1 : 0));
      }),
      { numRuns: 25 },
    );
  });

  test('P29 P40 a test that fails and one that goes well open and resolve it, too', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    await tenant.post(`/routers/${router_id}/test`);
    await takeRouterAway();
    expect((await tenant.call('POST', `/routers/${router_id}/test`)).status).toBe(502);
    expect((await tenant.call('POST', `/routers/${router_id}/test`)).status).toBe(502);
    expect(await openAlerts(world)).toHaveLength(1);
    await clearFaults();
    await tenant.post(`/routers/${router_id}/test`);
    expect(await openAlerts(world)).toEqual([]);
  });

  test('a bridge that is away has an alert of its own, and says nothing of its routers', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id, bridge_id } = world;
    await tenant.post(`/routers/${router_id}/test`);
    await tenant.put(`/bridges/${bridge_id}`, { url: `http://127.0.0.1:${DEAD_PORT}` });
    expect((await tenant.call('POST', `/routers/${router_id}/test`)).status).toBe(503);
    expect(await openAlerts(world)).toMatchObject([{ type: 'bridge_offline', entity_id: bridge_id }]);
    // it was heard of a moment ago
    expect(await routerOf(world)).toMatchObject({ status: 'online' });
    // that it reaches us doesn't say that we reach it
    await report(world);
    expect(await openAlerts(world)).toHaveLength(1);
    await tenant.put(`/bridges/${bridge_id}`, { url: env.TEST_NETWORK.bridge.url });
    await report(world);
    expect(await openAlerts(world)).toEqual([]);
    expect(await eventsOf(world, 'alert.opened')).toHaveLength(1);
    expect((await tenant.get('/bridges'))[0]).toMatchObject({ status: 'online' });
  });

  test('a bridge that reports no more is noticed by the sweep, once', async () => {
    const world = await NetworkTenant.make();
    await report(world, { batch: batchOf(1, { routers: [measured(world.router_id)] }) });
    const { id } = await world.tenant.post('/devices', {
      device_name: 'OLT',
      device_type: 'olt',
      ip_address: '10.0.0.5',
    });
    const devices = [{ device_id: id, host: '10.0.0.5', port: null, status: 'online' as const, latency_ms: 1 }];
    await report(world, { batch: batchOf(2, { devices }) });
    const later = async (minutes: number) =>
      sweepTenant(await makeTestContext(world.tenant, { now: Date.now() + minutes * 60_000 }));
    await later(6);
    expect(await openAlerts(world)).toEqual([]);
    await later(13);
    await later(18);
    expect(await openAlerts(world)).toMatchObject([{ type: 'bridge_offline' }]);
    expect(await eventsOf(world, 'alert.opened')).toHaveLength(1);
    expect(await routerOf(world)).toMatchObject({ status: 'unknown' });
    expect(await world.tenant.get(`/devices/${id}/status`)).toMatchObject({ status: 'unknown' });
  });

  test('while only the tunnel is down the routers are as the bridge tells, and nothing flaps', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id, bridge_id } = world;
    await tenant.put(`/bridges/${bridge_id}`, { url: `http://127.0.0.1:${DEAD_PORT}` });
    for (let round = 1; round <= 4; round++) {
      await report(world, { batch: batchOf(round, { routers: [measured(router_id, { lines: null })] }) });
      expect((await tenant.call('POST', `/routers/${router_id}/test`)).status).toBe(503);
      expect(await routerOf(world)).toMatchObject({ status: 'online' });
    }
    expect(await eventsOf(world, 'router.status')).toHaveLength(1);
    expect(await eventsOf(world, 'alert.opened')).toHaveLength(1);
  });

  test('a bridge that nobody enrolled yet is no alert, nor is a password that we can’t open its fault', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id, bridge_id } = world;
    await tenant.put(`/bridges/${bridge_id}`, { url: `http://127.0.0.1:${DEAD_PORT}` });
    await tenant.call('POST', `/routers/${router_id}/test`);
    await world.query("UPDATE routers SET password = 'broken' WHERE id = ?", router_id);
    expect((await tenant.call('POST', `/routers/${router_id}/test`)).error.code).toBe('ROUTER_UNREACHABLE');
    const open = await openAlerts(world);
    expect(open.map((alert: { type: string }) => alert.type).sort()).toEqual(['bridge_offline', 'router_offline']);
    const fresh = await NetworkTenant.make();
    await fresh.query('UPDATE bridges SET signing_secret = NULL');
    const answer = await fresh.tenant.call('POST', `/routers/${fresh.router_id}/test`);
    expect([answer.status, answer.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    expect(await openAlerts(fresh)).toEqual([]);
  });

  test('what ticks writes next to nothing: an unchanged round is a row or two, whatever its size', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    const ids: string[] = [];
    for (let at = 0; at < 20; at++)
      ids.push((await tenant.post('/devices', { device_name: `ap-${at}`, device_type: 'access_point', ip_address: `10.1.0.${at + 1}` })).id); // prettier-ignore
    const round = async (number: number) => {
      const devices = ids.map((device_id, at) => ({ device_id, host: `10.1.0.${at + 1}`, port: null, status: 'online' as const, latency_ms: number })); // prettier-ignore
      await report(world, { batch: batchOf(number, { routers: [measured(router_id, { lines: null })], devices }) });
    };
    await round(1);
    const before = await world.query('SELECT id, status_at FROM devices ORDER BY id');
    const router_before = await world.query('SELECT * FROM routers');
    await round(2);
    await round(3);
    expect(await world.query('SELECT id, status_at FROM devices ORDER BY id')).toEqual(before);
    expect(await world.query('SELECT * FROM routers')).toEqual(router_before);
    expect(await eventsOf(world, 'device.status')).toHaveLength(20);
  });

  test('measurements are kept two days', async () => {
    const world = await NetworkTenant.make();
    await report(world, { batch: batchOf(1, { routers: [measured(world.router_id, { lines: [line('budi', 1)] })] }) });
    const sweepAt = async (hours: number) =>
      sweepTenant(await makeTestContext(world.tenant, { now: Date.now() + hours * 3_600_000 }));
    await sweepAt(47);
    expect(await world.query('SELECT 1 FROM line_measurements')).toHaveLength(1);
    await sweepAt(49);
    expect(await world.query('SELECT 1 FROM line_measurements')).toHaveLength(0);
  });

  test('somebody looks after it: acknowledged once, resolved by itself, and then nobody can', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    const say = (number: number, status: 'online' | 'offline') =>
      report(world, { batch: batchOf(number, { routers: [measured(router_id, { status, lines: null })] }) });
    await say(1, 'offline');
    const [alert] = await openAlerts(world);
    const acknowledge = () =>
      tenant.call('PUT', `/monitoring/alerts/${alert.id}`, { body: { status: 'acknowledged' } });
    expect((await acknowledge()).data).toMatchObject({ status: 'acknowledged', acknowledged_by: tenant.admin.id });
    expect((await acknowledge()).status).toBe(200);
    expect(await eventsOf(world, 'alert.acknowledged')).toHaveLength(1);
    // still the one alert of this outage
    await say(2, 'offline');
    expect(await tenant.get('/monitoring/alerts')).toHaveLength(1);
    await say(3, 'online');
    expect((await tenant.get('/monitoring/alerts'))[0]).toMatchObject({ status: 'resolved' });
    expect((await acknowledge()).error.code).toBe('INVALID_TRANSITION');
  });

  test('what was measured where it was before says nothing of where it is now', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    const offline = { status: 'offline' as const, lines: null };
    await report(world, { batch: batchOf(1, { routers: [measured(router_id, offline)] }) });
    expect(await openAlerts(world)).toHaveLength(1);
    await tenant.put(`/routers/${router_id}`, { host: '10.9.9.9' });
    expect(await openAlerts(world)).toEqual([]);
    await report(world, { batch: batchOf(2, { routers: [measured(router_id, offline)] }) });
    expect(await openAlerts(world)).toEqual([]);
    expect(await routerOf(world)).toMatchObject({ status: 'unknown' });
    await report(world, { batch: batchOf(3, { routers: [measured(router_id, { ...offline, host: '10.9.9.9' })] }) });
    expect(await openAlerts(world)).toHaveLength(1);
    await tenant.put(`/routers/${router_id}`, { bridge_id: null });
    expect(await openAlerts(world)).toEqual([]);
  });

  test('a router that is switched off or deleted is missed by nobody', async () => {
    const world = await NetworkTenant.make();
    const offline = (number: number) =>
      report(world, {
        batch: batchOf(number, { routers: [measured(world.router_id, { status: 'offline', lines: null })] }),
      });
    await offline(1);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: false });
    expect(await openAlerts(world)).toEqual([]);
    expect(await routerOf(world)).toMatchObject({ status: 'unknown', last_error: null });
    await takeRouterAway();
    expect((await world.tenant.call('POST', `/routers/${world.router_id}/test`)).status).toBe(502);
    expect(await openAlerts(world)).toEqual([]);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: true });
    await offline(2);
    expect(await openAlerts(world)).toHaveLength(1);
    expect((await world.tenant.call('DELETE', `/routers/${world.router_id}`)).status).toBe(200);
    expect(await openAlerts(world)).toEqual([]);
  });
});

/** Where the device is looked for. */
const PLACE = { host: '10.0.0.5', port: 80 };

describe('devices', () => {
  const device = { device_name: 'OLT Utara', device_type: 'olt', ip_address: '10.0.0.5', port: 80 };

  test('P24 one that fails its check is offline, with the time, and comes back by itself', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const { id } = await tenant.post('/devices', device);
    expect(await tenant.get(`/devices/${id}/status`)).toMatchObject({ status: 'unknown', age_seconds: null });
    const say = (number: number, status: 'online' | 'offline', measured_at_ms = Date.now()) =>
      report(world, { batch: batchOf(number, { measured_at_ms, devices: [{ ...PLACE, device_id: id, status, latency_ms: status === 'online' ? 2 : null }] }) }); // prettier-ignore
    await say(1, 'online', Date.now() - 600_000);
    const failed_at = Date.now() - 300_000;
    await say(2, 'offline', failed_at);
    const seen = await tenant.get(`/devices/${id}/status`);
    expect(seen).toMatchObject({ status: 'offline', status_at: new Date(failed_at).toISOString(), latency_ms: null });
    expect(Date.parse(seen.last_seen_at)).toBeLessThan(failed_at);
    expect(seen.age_seconds).toBeGreaterThanOrEqual(300);
    expect(await openAlerts(world)).toMatchObject([{ type: 'device_offline', entity_id: id }]);
    await say(3, 'online');
    expect(await tenant.get(`/devices/${id}/status`)).toMatchObject({ status: 'online', latency_ms: 2 });
    expect(await openAlerts(world)).toEqual([]);
  });

  test('one in maintenance isn’t watched, and ends its alert', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const { id } = await tenant.post('/devices', device);
    const offline = (number: number) =>
      report(world, {
        batch: batchOf(number, { devices: [{ ...PLACE, device_id: id, status: 'offline', latency_ms: null }] }),
      });
    expect((await report(world)).data.watched!.devices).toEqual([{ id, host: '10.0.0.5', port: 80 }]);
    await offline(1);
    await tenant.put(`/devices/${id}`, { status: 'maintenance' });
    expect(await openAlerts(world)).toEqual([]);
    await offline(2);
    expect(await tenant.get(`/devices/${id}/status`)).toMatchObject({ status: 'maintenance' });
    expect((await report(world)).data.watched!.devices).toEqual([]);
    await tenant.put(`/devices/${id}`, { status: 'unknown' });
    await offline(3);
    expect(await openAlerts(world)).toHaveLength(1);
    expect((await tenant.call('DELETE', `/devices/${id}`)).status).toBe(200);
    expect(await openAlerts(world)).toEqual([]);
  });

  test('nobody says that it is unknown but the end of a maintenance, or another place to look for it', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const { id } = await tenant.post('/devices', device);
    await report(world, {
      batch: batchOf(1, { devices: [{ ...PLACE, device_id: id, status: 'offline', latency_ms: null }] }),
    });
    await tenant.put(`/devices/${id}`, { status: 'unknown', notes: 'di menara' });
    expect(await tenant.get(`/devices/${id}`)).toMatchObject({ status: 'offline', notes: 'di menara' });
    expect(await openAlerts(world)).toHaveLength(1);
    await tenant.put(`/devices/${id}`, { ip_address: '10.0.0.6' });
    expect(await tenant.get(`/devices/${id}`)).toMatchObject({ status: 'unknown', status_at: null });
    expect(await openAlerts(world)).toEqual([]);
    // the bridge still looks at the old place until it has heard of the new one
    await report(world, {
      batch: batchOf(2, { devices: [{ ...PLACE, device_id: id, status: 'offline', latency_ms: null }] }),
    });
    expect(await openAlerts(world)).toEqual([]);
    await tenant.put(`/devices/${id}`, { status: 'maintenance' });
    await tenant.put(`/devices/${id}`, { ip_address: '10.0.0.7' });
    expect(await tenant.get(`/devices/${id}`)).toMatchObject({ status: 'maintenance' });
  });

  test('its password is sealed and never shown; what it refers to must be there', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const made = await tenant.call('POST', '/devices', { body: { ...device, password: 'rahasia-olt' } });
    expect(made.data).toMatchObject({ has_password: true });
    expect(made.text).not.toContain('rahasia-olt');
    const [row] = await world.query<{ password: string }>('SELECT password FROM devices');
    expect(row!.password).not.toContain('rahasia-olt');
    for (const field of ['bridge_id', 'customer_id', 'parent_device_id']) {
      const body = { ...device, device_name: field, [field]: crypto.randomUUID() };
      const { status, error } = await tenant.call('POST', '/devices', { body });
      expect([status, Object.keys(error?.details ?? {})], field).toEqual([400, [field]]);
    }
    const own = await tenant.call('PUT', `/devices/${made.data.id}`, { body: { parent_device_id: made.data.id } });
    expect(own.status).toBe(400);
  });
});
