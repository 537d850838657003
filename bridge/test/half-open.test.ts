import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ConnectionOptions, RouterConnection } from '../routeros/connection.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { eventually } from '../../test/support/eventually.ts';
import { makeItem, makeProfile, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { catchError, closeRouters, type Handler, openWith, type Peer, startRouter } from './canned-router.ts';
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

function describeAccess(options: Partial<ConnectionOptions> = {}): ConnectionOptions {
  return { host: '127.0.0.1', port: proxy.port, username: 'rukun', password: ROUTER_PASSWORD, ...options };
}

/** The keepalive's clock goes only when it is told to, the rest of the world as ever: how late it is changes nothing. */
function holdKeepalive(): void {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
}

/** Of a router that answers whatever it is asked meanwhile. */
async function letIdle(connection: RouterConnection, time_ms: number): Promise<void> {
  for (let left_ms = time_ms; left_ms > 0; left_ms -= 10) {
    const [sent, received] = [connection.commands_sent, connection.bytes_received];
    vi.advanceTimersByTime(10);
    if (connection.commands_sent === sent) continue;
    while (connection.bytes_received === received && !connection.closed) await setImmediate();
  }
}

describe('an idle connection', () => {
  beforeEach(holdKeepalive);
  afterEach(() => void vi.useRealTimers());

  test.each([0, 130])('that went silent %i ms after its last answer is noticed in time', async ms => {
    const connection = await openWith(describeAccess({ keepalive_ms: 700 }));
    await connection.print('/ppp/secret', { proplist: ['name'] });
    vi.advanceTimersByTime(ms);
    proxy.is_silent = true;
    vi.advanceTimersByTime(700);
    expect(connection.closed).toBe(true);
    expect(await catchError(connection.print('/ppp/secret'))).toMatchObject({ kind: 'lost', outcome_unknown: false });
  });

  test('with a router that is there stays, asked now and then', async () => {
    const connection = await openWith(describeAccess({ keepalive_ms: 100 }));
    await letIdle(connection, 450);
    expect(connection.closed).toBe(false);
    const pings = proxy.commands.length;
    expect(pings).toBeGreaterThan(3);
    expect(pings).toBeLessThan(12);
    expect(proxy.asked.at(-1)?.slice(0, 2)).toEqual(['/system/identity/print', '=.proplist=name']);
  });

  test('with a router that refuses even that stays: it has answered', async () => {
    const refuse: Handler = (_words, peer) => peer.reply('!trap', '=message=not enough permissions (9)');
    const { options } = await startRouter(refuse);
    const connection = await openWith({ ...options, keepalive_ms: 100 });
    await letIdle(connection, 300);
    expect(connection.closed).toBe(false);
  });

  test('that only listens is noticed too, and its reader is told', async () => {
    const ends: unknown[] = [];
    const router = await startRouter((words, peer) => words[0]!.endsWith('/print') && peer.reply('!done'));
    const silent = await startRouter(() => undefined);
    const connections = [];
    for (const { options } of [silent, router]) {
      const connection = await openWith({ ...options, keepalive_ms: 100 });
      await connection.listen('/ppp/active', () => undefined, { on_end: error => ends.push(error?.kind) });
      connections.push(connection);
    }
    await letIdle(connections[1]!, 250);
    expect(connections.map(({ closed }) => closed)).toEqual([true, false]);
    expect(ends).toEqual(['lost']);
  });
});

describe('a command in flight', () => {
  test('has its whole time, also with a keepalive that is shorter', async () => {
    holdKeepalive();
    try {
      const asked = Promise.withResolvers<Peer>();
      const { options, received } = await startRouter((_words, peer) => asked.resolve(peer));
      const connection = await openWith({ ...options, keepalive_ms: 100 });
      const answer = connection.print('/ppp/secret');
      const peer = await asked.promise;
      vi.advanceTimersByTime(300);
      expect(connection.closed).toBe(false);
      peer.reply('!done');
      expect(await answer).toEqual([]);
      expect(received.map(([command]) => command)).toEqual(['/login', '/ppp/secret/print']);
    } finally {
      vi.useRealTimers();
    }
  });

  test('fails when its time is over, and says whether its outcome is open', async () => {
    const access = describeAccess({ keepalive_ms: 100 });
    const connection = await openWith(access);
    proxy.is_silent = true;
    access.command_timeout_ms = 250;
    const asked = [connection.print('/ppp/secret'), connection.add('/ppp/secret', { name: 'x' })];
    const [read, write] = await Promise.all(asked.map(catchError));
    expect(read).toMatchObject({ kind: 'timeout', outcome_unknown: false });
    expect(write).toMatchObject({ kind: 'timeout', outcome_unknown: true });
    await eventually(() => expect(connection.closed).toBe(true));
  });
});

describe('the bridge', () => {
  const [LONG_MS, SHORT_MS] = [60_000, 250];
  let bridge: TestBridge;
  /** For each command: short only where there will be no answer. */
  let limit_ms: number;
  let onOpen: () => void;

  beforeEach(async () => {
    [limit_ms, onOpen] = [LONG_MS, () => undefined];
    const { open } = RouterConnection;
    vi.spyOn(RouterConnection, 'open').mockImplementation((options, signal) => {
      onOpen();
      return open({ ...options, get command_timeout_ms() { return limit_ms; } }, signal); // prettier-ignore
    });
    bridge = await TestBridge.make();
    bridge.router_port = proxy.port;
    await bridge.start();
  });

  afterEach(async () => {
    await bridge.end();
    vi.restoreAllMocks();
  });

  test('fails in words while the line is dead, and goes on when it is back', async () => {
    await bridge.read('active');
    [proxy.is_silent, limit_ms] = [true, SHORT_MS];
    const failure = await bridge.failRead('active');
    expect(failure).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
    expect(failure.message).toContain('no answer');
    expect((await bridge.failDisconnect('budi')).code).toBe('ROUTER_UNREACHABLE');
    [proxy.is_silent, limit_ms] = [false, LONG_MS];
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
    const { router } = simulator;
    const [select, add] = [router.select.bind(router), router.add.bind(router)];
    router.select = (menu, ...args) => {
      // after this comes what has no answer
      if (menu.path === '/ppp/secret') limit_ms = SHORT_MS;
      return select(menu, ...args);
    };
    router.add = (...args) => {
      // carried out, and then nothing more is heard of it until it is tried on another connection
      proxy.is_silent = true;
      return add(...args);
    };
    onOpen = () => ([proxy.is_silent, limit_ms] = [false, LONG_MS]);
    const answer = await bridge.apply(desired);
    expect(answer.items.map(({ outcome }) => outcome)).toEqual(['added', 'added', 'added']);
    expect(simulator.router.rows('/ppp/secret').map(({ name }) => name)).toEqual(names);
    expect(proxy.connections).toBeGreaterThan(1);
  });
});
