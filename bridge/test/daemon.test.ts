import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RouterAccess, Watched } from '../../src/protocol/messages.ts';
import { writeConfig } from '../config.ts';
import { examine } from '../doctor.ts';
import { enrolBridge } from '../enroll.ts';
import { DISK } from '../files.ts';
import type { BridgeOptions } from '../run.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { Spool } from '../spool.ts';
import { eventually } from '../../test/support/eventually.ts';
import { makeItem, makeProfile, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { type CannedAnswer, TestCloud } from './cloud.ts';

const FAST_WATCH = { tick_ms: 20, early_look_ms: 60, first_wait_ms: 30, most_wait_ms: 200 };
const FAST_REPORT = { interval_ms: 300, first_wait_ms: 20, most_wait_ms: 100 };

let bridge: TestBridge;
let cloud: TestCloud;
let simulators: Simulator[] = [];

beforeEach(async () => {
  [bridge, cloud] = [await TestBridge.make(), new TestCloud()];
  await cloud.start();
  bridge.config.cloud_url = cloud.url;
  await writeConfig(bridge.state_dir, bridge.config);
  cloud.serve(bridge.config);
});

afterEach(async () => {
  await bridge.end();
  await cloud.stop().catch(() => undefined);
  await Promise.all(simulators.map(simulator => simulator.stop()));
  simulators = [];
  expect(cloud.problems).toEqual([]);
  expect(bridge.listToldSecrets()).toEqual([]);
});

const start = (options: Partial<BridgeOptions> = {}) =>
  bridge.start({ measure: { ...FAST_WATCH, interval_ms: 150 }, report: FAST_REPORT, ...options });

/** A bridge that was killed: what it has not on disk is gone. */
async function restart(options: Partial<BridgeOptions> = {}): Promise<void> {
  await bridge.running?.stop(0);
  await start(options);
}

async function addRouter(names: string[] = [], port = 0): Promise<{ simulator: Simulator; access: RouterAccess }> {
  const simulator = await startSimulator({ port, username: 'rukun', password: ROUTER_PASSWORD, identity: 'Menara' });
  simulators.push(simulator);
  simulator.router.load(`/ppp secret\n${names.map(name => `add name=${name} password=x\n`).join('')}`);
  for (const name of names) simulator.router.dial(name);
  return { simulator, access: bridge.describeRouter({ id: randomUUID(), port: simulator.port }) };
}

let tag = 0;
async function watch(routers: RouterAccess[], devices: Watched['devices'] = [], password = ROUTER_PASSWORD) {
  const sealed_passwords = await bridge.seal(Object.fromEntries(routers.map(({ id }) => [id, password])));
  cloud.watched = { tag: `tag-${tag++}`, routers, devices, sealed_passwords };
}

const sumBytes = (name: string) => {
  const lines = cloud.lines.filter(line => line.name === name);
  return lines.reduce((sum, line) => sum + line.download_bytes, 0);
};
const findDevice = (id: string, status: string) =>
  [...cloud.batches.values()].flatMap(({ devices }) => devices).find(each => each.device_id === id && each.status === status); // prettier-ignore
const countLog = (event: string) => bridge.log_lines.filter(line => line.includes(`"event":"${event}"`)).length;

describe('measuring', () => {
  test('learns from the cloud what to watch, keeps it sealed, and tells what it measured', async () => {
    const { simulator, access } = await addRouter(['budi', 'sari']);
    simulator.router.load(
      '/ip pool\nadd name=pool-a ranges=10.9.0.2-10.9.0.9\n/ppp secret\nadd name=tono remote-address=pool-a\n',
    );
    simulator.router.dial('tono');
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const port = (listener.address() as { port: number }).port;
    const [up, down] = [randomUUID(), randomUUID()];
    await watch(
      [access],
      [
        { id: up, host: '127.0.0.1', port },
        { id: down, host: 'no-such-host.invalid', port: 80 },
      ],
    );
    await start({ measure: { ...FAST_WATCH, interval_ms: 150, device_limit_ms: 50 } });
    await eventually(() => expect(cloud.lines.length).toBeGreaterThan(1));
    simulator.router.useTraffic('budi', { download_bytes: 5000, upload_bytes: 700 });
    await eventually(() => expect(sumBytes('budi')).toBe(5000));
    const line = cloud.lines.find(({ upload_bytes }) => upload_bytes > 0);
    expect(line).toMatchObject({ name: 'budi', upload_bytes: 700, download_bytes: 5000 });
    const batch = [...cloud.batches.values()].find(({ routers }) => routers[0]?.lines);
    expect(batch?.routers[0]).toMatchObject({
      router_id: access.id,
      status: 'online',
      identity: 'Menara',
      error: null,
      pools: [{ name: 'pool-a', used: 1 }],
    });
    await eventually(() => expect(findDevice(down, 'offline')).toBeDefined());
    await eventually(() => expect(findDevice(up, 'online')).toBeDefined());
    expect(findDevice(up, 'online')).toEqual({
      device_id: up,
      host: '127.0.0.1',
      port,
      status: 'online',
      latency_ms: expect.any(Number),
    });
    expect(findDevice(down, 'offline')).toMatchObject({ latency_ms: null });
    expect(findDevice(down, 'online')).toBeUndefined();
    expect([...cloud.batches.keys()]).toEqual([...cloud.batches.keys()].map((_, at) => at + 1));
    const path = join(bridge.state_dir, 'watched.json');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'utf8')).not.toContain(ROUTER_PASSWORD);
    listener.close();
  });

  test('a router that it is asked about and doesn’t watch yet is news: the cloud is asked at once', async () => {
    await watch([]);
    await start({ report: { ...FAST_REPORT, interval_ms: 3_600_000 } });
    await eventually(() => expect(countLog('watched_changed')).toBe(1));
    const { access } = await addRouter(['budi']);
    await watch([access]);
    await bridge.read('resource', { router: access });
    await eventually(() => expect(countLog('watched_changed')).toBe(2));
    await eventually(() => expect(cloud.lines.some(line => line.name === 'budi')).toBe(true));
  });

  test('starts and measures while the cloud is away; all comes later, once, across restarts', async () => {
    const { simulator, access } = await addRouter(['budi']);
    await watch([access]);
    await start();
    await eventually(() => expect(cloud.lines.length).toBeGreaterThan(0));
    const { port } = new URL(cloud.url);
    await cloud.stop();
    for (let i = 1; i <= 4; i++) {
      simulator.router.useTraffic('budi', { download_bytes: 1000 * i });
      await restart();
      await new Promise(resolve => setTimeout(resolve, 300));
    }
    const before = cloud;
    cloud = new TestCloud();
    cloud.serve(bridge.config);
    cloud.watched = before.watched;
    for (const [number, batch] of before.batches) cloud.batches.set(number, batch);
    // the answer to the first is lost: it comes again, and must not count again
    cloud.canned.push({ is_lost: true });
    await cloud.start(Number(port));
    await eventually(() => expect(sumBytes('budi')).toBe(10_000));
    await restart();
    await eventually(() => expect(cloud.reports.at(-1)?.batches_waiting).toBe(0));
    expect(sumBytes('budi')).toBe(10_000);
    expect(countLog('report_failed')).toBeLessThan(12);
  });

  test('a router that is lost is told of at once, and when it is back', async () => {
    const { simulator, access } = await addRouter(['budi']);
    await watch([access]);
    await start({ measure: { ...FAST_WATCH, interval_ms: 3_600_000 }, random: () => 0.9 });
    await eventually(() => expect(cloud.listStatuses(access.id)).toEqual(['online']));
    // one that is back before anybody looked was never away
    simulator.dropConnections();
    await new Promise(resolve => setTimeout(resolve, 300));
    simulator.setFaults({ refuse: true });
    simulator.dropConnections();
    await eventually(() => expect(cloud.listStatuses(access.id)).toEqual(['online', 'offline']));
    const { routers } = JSON.parse((await bridge.send('GET', '/v1/health')).text) as { routers: unknown[] };
    expect(routers).toEqual([{ id: access.id, state: expect.stringMatching('waiting'), revision: 0 }]);
    simulator.setFaults({ refuse: false });
    await eventually(() => expect(cloud.listStatuses(access.id)).toEqual(['online', 'offline', 'online']));
    const [last] = [...cloud.batches.values()].at(-1)?.routers ?? [];
    expect(last).toMatchObject({ status: 'online', lines: null });
  });

  test('a wrong password is tried once, until it changes', async () => {
    const { simulator, access } = await addRouter();
    let logins = 0;
    simulator.router.watch('/log', () => logins++);
    await watch([access], [], 'wrong-password');
    await start();
    await eventually(() => expect(cloud.listStatuses(access.id).length).toBeGreaterThan(3));
    expect(new Set(cloud.listStatuses(access.id))).toEqual(new Set(['offline']));
    const [first] = [...cloud.batches.values()].flatMap(({ routers }) => routers);
    expect(first?.error).toContain('refused the sign-in');
    expect(logins).toBeLessThan(2);
    await restart();
    const known = cloud.listStatuses(access.id).length;
    await eventually(() => expect(cloud.listStatuses(access.id).length).toBeGreaterThan(known));
    await bridge.failRead('resource', { router: access, router_password: 'wrong-password' });
    expect(logins).toBeLessThan(2);
    await watch([access]);
    await eventually(() => expect(cloud.listStatuses(access.id).at(-1)).toBe('online'));
  });

  test('what failed when the watched set changed is done again', async () => {
    const { access } = await addRouter();
    await watch([access]);
    const keep = vi.spyOn(Spool.prototype, 'keepCounters').mockRejectedValueOnce(new Error('no disk'));
    await start();
    await eventually(() => expect(cloud.listStatuses(access.id)).toContain('online'));
    expect(keep.mock.calls.length).toBeGreaterThan(1);
    keep.mockRestore();
  });

  test('a slow router holds up neither the others nor an apply there', async () => {
    const [slow, quick] = [await addRouter(['a']), await addRouter(['b'])];
    await watch([slow.access, quick.access]);
    slow.simulator.setFaults({ silent_after_accept: true });
    await start({ measure: { ...FAST_WATCH, interval_ms: 100, answer_limit_ms: 400 } });
    await eventually(() => expect(cloud.lines.filter(({ name }) => name === 'b').length).toBeGreaterThan(2));
    slow.simulator.setFaults({ silent_after_accept: false });
    await eventually(() => expect(cloud.lines.some(({ name }) => name === 'a')).toBe(true));
    bridge.router_port = slow.simulator.port;
    const answer = await bridge.apply({
      router: { id: slow.access.id },
      profiles: [makeProfile()],
      items: [makeItem('c')],
      passwords: passwordsOf('c'),
    });
    expect(answer.items[0]?.outcome).toBe('added');
  });

  test('a failed read is not "nobody is online"', async () => {
    const { simulator, access } = await addRouter(['budi']);
    await watch([access]);
    await start({ measure: { ...FAST_WATCH, interval_ms: 150, answer_limit_ms: 300, router_limit_ms: 5000 } });
    await eventually(() => expect(sumBytes('budi')).toBe(0));
    await eventually(() => expect(cloud.lines.length).toBeGreaterThan(0));
    const known = cloud.batches.size;
    simulator.setFaults({ silent_after_accept: true });
    simulator.dropConnections();
    await eventually(() => expect(cloud.batches.size).toBeGreaterThan(known + 1));
    const later = [...cloud.batches.values()].slice(known + 1).flatMap(({ routers }) => routers);
    for (const { lines } of later) expect(lines === null || lines.length === 1).toBe(true);
  });
});

describe('reporting', () => {
  test('a forged answer, an error and a lost one are no answers; the reason is said once', async () => {
    const { access } = await addRouter();
    await watch([access]);
    cloud.canned.push({ is_forged: true }, { status: 503 }, { status: 503 }, { status: 503 }, { is_lost: true });
    await start();
    await eventually(() => expect(cloud.batches.size).toBeGreaterThan(1));
    const reasons = bridge.log_lines
      .filter(line => line.includes('report_failed'))
      .map(line => JSON.parse(line).reason);
    expect(reasons.length).toBeLessThan(5);
    expect(reasons.join()).toMatch(/isn't Rukun.*status 503/);
    // said when all that waited is sent
    await eventually(() => expect(countLog('report_works_again')).toBe(1));
  });

  test('who is not enrolled any more is told so, and why', async () => {
    const refusals: CannedAnswer[] = [{ status: 404 }, { status: 401 }];
    cloud.answer = () => {
      const refusal = refusals.shift();
      return refusal && { ...refusal, date: new Date(Date.now() - 300_000).toUTCString() };
    };
    await start({ measure: false });
    await eventually(() => expect(countLog('report_works_again')).toBe(1));
    const said = bridge.log_lines.join('');
    expect(said).toContain('not enrolled any more (404)');
    const [, ahead_s] = /clock is (\d+) s ahead of the cloud's; set it by NTP/.exec(said) ?? [];
    expect(Number(ahead_s)).toBeGreaterThanOrEqual(300);
    expect(Number(ahead_s)).toBeLessThan(400);
  });

  test('a batch that the cloud refuses for good holds nothing up', async () => {
    const { access } = await addRouter();
    await watch([access]);
    await start({ report: { ...FAST_REPORT, interval_ms: 20 } });
    await eventually(() => expect(cloud.batches.size).toBeGreaterThan(0));
    const taken = cloud.batches.size;
    cloud.canned.push({ status: 422 });
    await eventually(() => expect(cloud.batches.size).toBeGreaterThan(taken + 1));
    // the refusal may have hit a heartbeat, which is merely sent again
    const [id = ''] = await readdir(join(bridge.state_dir, 'spool'));
    const files = await readdir(join(bridge.state_dir, 'spool', id));
    expect(files.filter(name => name.endsWith('.refused')).length).toBeLessThan(2);
  });

  test('a damaged watched.json is asked for anew', async () => {
    const { access } = await addRouter();
    await watch([access]);
    await writeFile(join(bridge.state_dir, 'watched.json'), '{"tag":"tag');
    await start();
    await eventually(() => expect(cloud.listStatuses(access.id).length).toBeGreaterThan(0));
    expect(countLog('watched_damaged')).toBe(1);
    expect(cloud.reports[0]?.watched_tag).toBeNull();
  });

  test('stops at once, whatever runs', async () => {
    const { simulator, access } = await addRouter();
    simulator.setFaults({ silent_after_accept: true });
    await watch([access]);
    await start();
    await eventually(() => expect(simulator.readInfo().connections).toBe(1));
    await bridge.stop();
    // the sign-in alone would have its time beyond that of the stopping
    expect(bridge.log_lines.at(-1)).toContain('"is_finished":true');
  });
});

describe('the doctor', () => {
  const complain = async (port = bridge.running?.port ?? 0) =>
    (await examine(bridge.state_dir, port)).filter(({ is_good }) => !is_good).map(({ text }) => text);

  test('is content with a bridge that works', async () => {
    const { access } = await addRouter();
    await watch([access]);
    await start();
    await eventually(() => expect(cloud.listStatuses(access.id).length).toBeGreaterThan(0));
    expect(await complain()).toEqual([]);
  });

  test('says what is wrong with clock, enrolment, tunnel, spool and routers', async () => {
    const [refusing, gone] = [await addRouter(), await addRouter()];
    await gone.simulator.stop();
    await watch([refusing.access, gone.access], [], 'wrong-password');
    await start({ tunnel: { token: 'x', command: join(bridge.state_dir, 'missing') }, random: () => 0.5 });
    await eventually(() => expect(countLog('router_offline')).toBe(2));
    cloud.answer = () => ({ status: 401, date: new Date().toUTCString() });
    const said = (await complain()).join('\n');
    expect(said).toContain('not enrolled any more (401)');
    expect(said).toMatch(/cloudflared ended or hangs|being started/);
    expect(said).toContain(`127.0.0.1:${refusing.access.port} refuses the sign-in`);
    expect(said).toContain(`127.0.0.1:${gone.access.port} can't be reached`);
    expect(said).not.toContain('wrong-password');
    // where run doesn't run it looks by itself, but not again where it was refused
    await bridge.running?.stop();
    const alone = (await complain(1)).join('\n');
    expect(alone).toContain("run doesn't answer");
    expect(alone).toContain('refused the sign-in, and is not tried again');
    expect(alone).toContain(`no connection to 127.0.0.1`);
    expect(alone).not.toContain('wrong-password');
    const failures = refusing.simulator.router.rows('/log').filter(row => row.message?.includes('login failure'));
    expect(failures).toHaveLength(1);
  });

  test('asks the cloud without a trace, tries no empty password, and tells of batches that were set aside', async () => {
    const { simulator, access } = await addRouter();
    await watch([access]);
    cloud.watched!.sealed_passwords = await bridge.seal({});
    await writeFile(join(bridge.state_dir, 'watched.json'), JSON.stringify(cloud.watched));
    const spool = new Spool({ state_dir: bridge.state_dir, log: () => undefined, now: Date.now });
    const number = await spool.add({ routers: [], devices: [], counters: new Map() });
    await spool.setRefusedAside(number);
    const said = (await complain(1)).join('\n');
    expect(said).toMatch(/1 batches of measurements were set aside, such as batch-000000000001-\d+\.refused/);
    expect(said).toContain('was not tried: Rukun gave no password');
    expect(simulator.router.rows('/log').filter(row => row.message?.includes('login'))).toEqual([]);
    expect(cloud.checks).toBe(1);
    expect(cloud.reports).toEqual([]);
  });

  test.runIf(process.platform === 'linux')('says when the state folder is full', async () => {
    const write = vi.spyOn(DISK, 'write').mockImplementation(async (_path, text) => {
      if (text.length > 4096) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    const said = (await complain(1)).join('\n');
    expect(said).toContain("can't be written to: ENOSPC");
    // nor is a token used up there
    const url = cloud.url;
    const enrolling = enrolBridge({ url, token: 't', state_dir: join(bridge.state_dir, 'new'), is_again: false });
    await expect(enrolling).rejects.toThrow('ENOSPC');
    write.mockRestore();
  });
});
