import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DeviceMeasurement, MeasurementBatch, type RouterMeasurement } from '../../src/protocol/messages.ts';
import { writeConfig } from '../config.ts';
import { examine } from '../doctor.ts';
import { makeLog } from '../log.ts';
import { Lanes } from '../measure/lanes.ts';
import { OpenBatch } from '../measure/open-batch.ts';
import { measureDevices } from '../measure/round.ts';
import type { BridgeOptions } from '../run.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { Spool } from '../spool.ts';
import { eventually } from '../../test/support/eventually.ts';
import { ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { closeRouters, type Handler, startRouter } from './canned-router.ts';
import { TestCloud } from './cloud.ts';

let state_dir = '';
let spool: Spool;
let log_lines: string[] = [];
let on_disk = 0;

beforeEach(async () => {
  state_dir = await mkdtemp(join(tmpdir(), 'rukun-measure-'));
  [log_lines, on_disk] = [[], 0];
  spool = new Spool({ state_dir, log: makeLog(line => log_lines.push(line)), now: Date.now });
});

afterEach(() => rm(state_dir, { recursive: true }));

const tools = () => ({ spool, log: makeLog(line => log_lines.push(line)), onBatch: () => on_disk++ });

const measured = (changes: Partial<RouterMeasurement> = {}): RouterMeasurement => ({
  router_id: randomUUID(),
  host: '10.0.0.1',
  port: 8728,
  tls_fingerprint: null,
  status: 'online',
  error: null,
  latency_ms: 1,
  identity: null,
  board_name: null,
  version: null,
  uptime_seconds: 1,
  pools: null,
  lines: null,
  ...changes,
});

async function takeBatches(): Promise<MeasurementBatch[]> {
  const batches: MeasurementBatch[] = [];
  for (let next = await spool.readOldest(); next; next = await spool.readOldest()) {
    batches.push(MeasurementBatch.parse(JSON.parse(next.text)));
    await spool.forget(next.number);
  }
  return batches;
}

describe('an open batch', () => {
  test('closes at 200 routers, at 2,000 devices, and after a while', async () => {
    const batch = new OpenBatch(tools(), 600_000);
    for (let i = 0; i < 450; i++) await batch.addRouter(measured(), null);
    expect(on_disk).toBe(2);
    const device: DeviceMeasurement = { device_id: randomUUID(), status: 'online', latency_ms: 1 };
    for (let i = 0; i < 4500; i++) await batch.addDevice({ ...device });
    expect(on_disk).toBe(4);
    await batch.finish();
    expect(on_disk).toBe(5);
    const quick = new OpenBatch(tools(), 50);
    await quick.addDevice({ ...device });
    await eventually(() => expect(on_disk).toBe(6));
    const batches = await takeBatches();
    expect(batches.flatMap(({ routers }) => routers)).toHaveLength(450);
    expect(batches.flatMap(({ devices }) => devices)).toHaveLength(4501);
  });

  test('leaves out what the cloud would not understand, and its counters stay where they are', async () => {
    const [good, bad] = [measured(), measured({ uptime_seconds: 1e20 })];
    const line = { name: 'a', session_id: '1', address: null, uptime_seconds: 1, interval_seconds: -1 };
    const odd = measured({ lines: [{ ...line, upload_bytes: 0, download_bytes: 0 }] });
    const long = measured({ identity: 'x'.repeat(3000), pools: Array(1200).fill({ name: 'p', used: 0 }) });
    const batch = new OpenBatch(tools(), 600_000);
    for (const router of [good, bad, odd, long]) await batch.addRouter(router, '"counted"');
    await batch.addDevice({ device_id: 'none', status: 'online', latency_ms: 1 });
    await batch.finish();
    const [only] = await takeBatches();
    expect(only?.routers.map(({ router_id }) => router_id)).toEqual([good.router_id, long.router_id]);
    expect(only?.routers[1]?.identity).toHaveLength(100);
    expect(only?.routers[1]?.pools).toHaveLength(1000);
    expect(await spool.readCounters(bad.router_id)).toBeNull();
    expect(await spool.readCounters(odd.router_id)).toBeNull();
    expect(await spool.readCounters(good.router_id)).toBe('"counted"');
    expect(log_lines.filter(text => text.includes('measurement_dropped'))).toHaveLength(3);
  });
});

test('who leaves a lane early makes room for the next', async () => {
  const lanes = new Lanes(1);
  const done = Promise.withResolvers<void>();
  const first = lanes.run(async leave => {
    leave();
    leave();
    await done.promise;
  });
  const order: number[] = [];
  await lanes.run(async () => order.push(1));
  let running = 0;
  const count = async () => {
    expect(++running).toBe(1);
    await new Promise(resolve => setTimeout(resolve, 5));
    running--;
  };
  done.resolve();
  await Promise.all([first, lanes.run(count), lanes.run(count)]);
});

test('devices: many at once, and those that are silent a second time at the end', async () => {
  const devices = Array.from({ length: 150 }, (_, at) => ({ id: randomUUID(), host: `10.0.0.${at}`, port: 81 }));
  const asked: string[] = [];
  let [running, most] = [0, 0];
  const reach = async (host: string, _port: number | null, limit_ms: number) => {
    asked.push(host);
    most = Math.max(most, ++running);
    const is_here = Number(host.split('.')[3]) >= 90;
    await new Promise(resolve => setTimeout(resolve, is_here ? 1 : limit_ms));
    running--;
    // one that lost a packet
    const is_back = host === '10.0.0.0' && asked.filter(each => each === host).length > 1;
    return is_here || is_back
      ? { status: 'online' as const, latency_ms: 1 }
      : { status: 'offline' as const, latency_ms: null };
  };
  const { signal } = new AbortController();
  await measureDevices({ ...tools(), devices, device_limit_ms: 50, signal, reach });
  expect(most).toBe(100);
  const told = (await takeBatches()).flatMap(batch => batch.devices);
  expect(told.slice(0, 60).every(({ host, status }) => status === 'online' && host !== '10.0.0.0')).toBe(true);
  expect(told.filter(({ status }) => status === 'offline')).toHaveLength(89);
  expect(asked.slice(0, 150)).toEqual(devices.map(({ host }) => host));
  expect(asked).toHaveLength(240);
});

describe('the watcher', () => {
  let bridge: TestBridge;
  let cloud: TestCloud;
  let simulator: Simulator;

  beforeEach(async () => {
    [bridge, cloud] = [await TestBridge.make(), new TestCloud()];
    await cloud.start();
    bridge.config.cloud_url = cloud.url;
    await writeConfig(bridge.state_dir, bridge.config);
    cloud.serve(bridge.config);
    simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
    simulator.router.load('/ppp secret\nadd name=budi password=x\n');
    simulator.router.dial('budi');
  });

  afterEach(async () => {
    await bridge.end();
    await Promise.all([cloud.stop(), simulator.stop(), closeRouters()]);
    expect(cloud.problems).toEqual([]);
  });

  async function watch(ports: number[], options: Partial<BridgeOptions> = {}): Promise<string[]> {
    const routers = ports.map(port => bridge.describeRouter({ id: randomUUID(), port }));
    const sealed_passwords = await bridge.seal(Object.fromEntries(routers.map(({ id }) => [id, ROUTER_PASSWORD])));
    cloud.watched = { tag: 't', routers, devices: [], sealed_passwords };
    await bridge.start({ report: { interval_ms: 100 }, ...options });
    return routers.map(({ id }) => id);
  }

  const listSeen = (id: string) =>
    [...cloud.batches.values()].flatMap(({ routers }) => routers).filter(({ router_id }) => router_id === id);
  const silent: Handler = () => undefined;

  // far beyond what this waits for: what comes at all wasn't held up by them
  const ENDLESS = 600_000;

  test('routers that sign in and fall silent hold nobody up', async () => {
    const ports = await Promise.all(
      [silent, silent, silent].map(async handler => (await startRouter(handler)).options.port),
    );
    const limits = { answer_limit_ms: ENDLESS, router_limit_ms: ENDLESS };
    const measure = { interval_ms: 700, early_look_ms: 100_000, tick_ms: 20, ...limits };
    const pool = { command_timeout_ms: ENDLESS };
    const [first = '', , , good = ''] = await watch([...ports, simulator.port], { measure, pool });
    await eventually(() => expect(listSeen(good).some(({ lines }) => lines?.length === 1)).toBe(true));
    expect(listSeen(first)).toEqual([]);
  });

  test('of a router that signs in and falls silent this is told, and the doctor says so', async () => {
    const router = await startRouter(silent);
    const measure = { interval_ms: 500, early_look_ms: 100_000, tick_ms: 20, answer_limit_ms: 1000 };
    const [id = ''] = await watch([router.options.port], { measure });
    const error = expect.stringContaining('did not answer all questions in time');
    const told = expect.objectContaining({ status: 'online', lines: null, error });
    await eventually(() => expect(listSeen(id)).toContainEqual(told));
    await eventually(async () => {
      const said = (await examine(bridge.state_dir, bridge.running?.port ?? 0)).filter(({ is_good }) => !is_good);
      expect(said.map(({ text }) => text).join()).toContain('did not answer all questions in time');
    });
  });

  test('a router that stops answering while its lines are read holds up no other', async () => {
    const answers: Handler = ([command], { reply }) => {
      if (command === '/ppp/active/print') return;
      reply('!re', '=name=x');
      reply('!done');
    };
    const ports = await Promise.all([answers, answers].map(async handler => (await startRouter(handler)).options.port));
    const measure = {
      interval_ms: 1000,
      early_look_ms: 100_000,
      tick_ms: 20,
      router_limit_ms: ENDLESS,
      silent_ms: 300,
    };
    const pool = { command_timeout_ms: ENDLESS };
    const ids = await watch([...ports, simulator.port], { measure, pool, random: () => 0.5 });
    await eventually(() => expect(listSeen(ids[2] ?? '').some(({ lines }) => lines?.length === 1)).toBe(true));
  });

  test('one whose connection is cut after each answer is left alone for longer and longer', async () => {
    const logins: number[] = [];
    const router = await startRouter(
      ([command], { reply, socket }) => {
        if (command === '/login') logins.push(performance.now());
        reply('!re', '=name=x');
        reply('!done');
        // the last that is asked in a look: whoever answers all of it is there
        if (command === '/system/routerboard/print') socket.end();
      },
      { is_login_ours: true },
    );
    const measure = { interval_ms: 100_000, early_look_ms: 10, tick_ms: 10, first_wait_ms: 100, most_wait_ms: 60_000 };
    await watch([router.options.port], { measure, random: () => 0.99 });
    await eventually(() => expect(logins.length).toBeGreaterThan(4));
    for (const [at, least_ms] of [99, 198, 396, 792].entries())
      expect(logins[at + 1]! - logins[at]!).toBeGreaterThanOrEqual(least_ms);
  });

  test('nonsense from a router is not known, and too long a name is cut', async () => {
    const router = await startRouter(([command], { reply }) => {
      const long = `=name=${'x'.repeat(100_000)}`;
      if (command === '/system/resource/print') reply('!re', '=uptime=99999999999999999999s', '=version=7.1');
      else if (command === '/ppp/active/print') {
        reply('!re', '=.id=*1', long, '=session-id=0x1', '=uptime=99999999999999999999s', '=service=pppoe');
      } else if (command === '/system/identity/print') reply('!re', long);
      reply('!done');
    });
    const measure = { interval_ms: 200, early_look_ms: 10, tick_ms: 10 };
    const [id = ''] = await watch([router.options.port], { measure });
    await eventually(() => expect(listSeen(id).some(({ lines }) => lines !== null)).toBe(true));
    const seen = listSeen(id).find(({ lines }) => lines !== null);
    expect(seen).toMatchObject({ uptime_seconds: null, version: '7.1', identity: 'x'.repeat(100) });
    expect(seen?.lines).toMatchObject([{ name: 'x'.repeat(255), uptime_seconds: 0 }]);
  });

  test('a router over TLS is told with the certificate that it showed', async () => {
    const secure = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD, tls: 'self-signed' });
    const router = bridge.describeRouter({ id: randomUUID(), port: secure.port, use_tls: true });
    const sealed_passwords = await bridge.seal({ [router.id]: ROUTER_PASSWORD });
    cloud.watched = { tag: 'tls', routers: [router], devices: [], sealed_passwords };
    await bridge.start({ measure: { early_look_ms: 10, tick_ms: 10 }, report: { interval_ms: 100 } });
    await eventually(() => expect(listSeen(router.id)[0]?.tls_fingerprint).toMatch(/^[0-9a-f]{64}$/));
    await secure.stop();
  });
});
