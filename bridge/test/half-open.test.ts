import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RouterConnection } from '../routeros/connection.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { makeItem, makeProfile, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { catchError, closeRouters, type Handler, open, opened, startRouter } from './canned-router.ts';
import { RouterProxy } from './router-proxy.ts';

// Lines that look alive and carry nothing: a NAT that forgot them, a router that lost its power.

let simulator: Simulator;
let proxy: RouterProxy;

beforeEach(async () => {
  simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
  proxy = await RouterProxy.start(simulator.port);
});

afterEach(async () => {
  await closeRouters();
  await proxy.stop();
  await simulator.stop();
});

const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

async function connect(options: { keepalive_ms?: number; command_timeout_ms?: number }): Promise<RouterConnection> {
  const access = { host: '127.0.0.1', port: proxy.port, username: 'rukun', password: ROUTER_PASSWORD };
  const connection = await RouterConnection.open({ ...access, ...options });
  opened.push(connection);
  return connection;
}

/** How long until it was noticed; fails after twice the time that it may take. */
async function measureLoss(connection: RouterConnection, most_ms: number): Promise<number> {
  const started_ms = performance.now();
  while (!connection.closed && performance.now() - started_ms < 2 * most_ms) await wait(5);
  expect(connection.closed).toBe(true);
  return performance.now() - started_ms;
}

describe('an idle connection', () => {
  // a machine that is busy with something else may be late, not three times
  test.each([0, 130])('that went silent %i ms after its last answer is noticed in time', { retry: 2 }, async ms => {
    const connection = await connect({ keepalive_ms: 700 });
    await connection.print('/ppp/secret', { proplist: ['name'] });
    await wait(ms);
    proxy.is_silent = true;
    expect(await measureLoss(connection, 1500)).toBeLessThan(800);
    expect(await catchError(connection.print('/ppp/secret'))).toMatchObject({ kind: 'lost', outcome_unknown: false });
  });

  test('with a router that is there stays, asked now and then', { retry: 2 }, async () => {
    const connection = await connect({ keepalive_ms: 100 });
    await wait(450);
    expect(connection.closed).toBe(false);
    const pings = proxy.commands.length;
    expect(pings).toBeGreaterThan(3);
    expect(pings).toBeLessThan(12);
    expect(proxy.asked.at(-1)?.slice(0, 2)).toEqual(['/system/identity/print', '=.proplist=name']);
  });

  test('with a router that refuses even that stays: it has answered', { retry: 2 }, async () => {
    const refuse: Handler = (_words, peer) => peer.reply('!trap', '=message=not enough permissions (9)');
    const connection = await open(await startRouter(refuse), { keepalive_ms: 100 });
    await wait(300);
    expect(connection.closed).toBe(false);
  });

  test('that only listens is noticed too, and its reader is told', { retry: 2 }, async () => {
    const ends: unknown[] = [];
    const router = await startRouter((words, peer) => words[0]!.endsWith('/print') && peer.reply('!done'));
    const silent = await startRouter(() => undefined);
    for (const { options } of [router, silent]) {
      const connection = await RouterConnection.open({ ...options, keepalive_ms: 100 });
      opened.push(connection);
      await connection.listen('/ppp/active', () => undefined, { on_end: error => ends.push(error?.kind) });
    }
    await wait(250);
    expect(ends).toEqual(['lost']);
  });
});

describe('a command in flight', () => {
  test('has its whole time, also with a keepalive that is shorter', async () => {
    const slow: Handler = (_words, peer) => void setTimeout(() => peer.reply('!done'), 300);
    const connection = await open(await startRouter(slow), { keepalive_ms: 100, command_timeout_ms: 2000 });
    expect(await connection.print('/ppp/secret')).toEqual([]);
    expect(connection.closed).toBe(false);
  });

  test('fails when its time is over, and says whether its outcome is open', { retry: 2 }, async () => {
    const connection = await connect({ keepalive_ms: 100, command_timeout_ms: 250 });
    proxy.is_silent = true;
    const started_ms = performance.now();
    const asked = [connection.print('/ppp/secret'), connection.add('/ppp/secret', { name: 'x' })];
    const [read, write] = await Promise.all(asked.map(catchError));
    expect(performance.now() - started_ms).toBeLessThan(400);
    expect(read).toMatchObject({ kind: 'timeout', outcome_unknown: false });
    expect(write).toMatchObject({ kind: 'timeout', outcome_unknown: true });
    await measureLoss(connection, 1000);
  });
});

describe('the bridge', () => {
  let bridge: TestBridge;

  beforeEach(async () => {
    bridge = await TestBridge.make();
    bridge.router_port = proxy.port;
    await bridge.start({ pool: { command_timeout_ms: 250, connect_timeout_ms: 250 } });
  });

  afterEach(() => bridge.end());

  test('fails in words while the line is dead, and goes on when it is back', async () => {
    await bridge.read('active');
    proxy.is_silent = true;
    const failure = await bridge.failRead('active');
    expect(failure).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
    expect(failure.message).toContain('no answer');
    expect((await bridge.failDisconnect('budi')).code).toBe('ROUTER_UNREACHABLE');
    proxy.is_silent = false;
    expect(await bridge.readRows('active')).toEqual([]);
  });

  test('adds nothing twice when the answers were swallowed', async () => {
    const names = ['budi', 'sari', 'tono'];
    const desired = {
      profiles: [makeProfile()],
      items: names.map(name => makeItem(name)),
      passwords: passwordsOf(...names),
    };
    await bridge.apply({ profiles: desired.profiles });
    const add = simulator.router.add.bind(simulator.router);
    simulator.router.add = (...args) => {
      // carried out, and then nothing more is heard of it for a while
      proxy.is_silent = true;
      setTimeout(() => (proxy.is_silent = false), 300);
      return add(...args);
    };
    const answer = await bridge.apply(desired);
    expect(answer.items.map(({ outcome }) => outcome)).toEqual(['added', 'added', 'added']);
    expect(simulator.router.rows('/ppp/secret').map(({ name }) => name)).toEqual(names);
  });
});
