import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { READ_KINDS, type ReadKind } from '../../src/protocol/messages.ts';
import { RouterQueue } from '../apply/router-queue.ts';
import { AnswerMemory } from '../read/answers.ts';
import { RouterReader } from '../read/read.ts';
import { takeTurn } from '../read/turn.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { makeItem, makeProfile, passwordOf, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { closeRouters, startRouter } from './canned-router.ts';
import { RouterProxy } from './router-proxy.ts';

const ROUTER = `/ip pool add name=rumah ranges=10.10.0.10-10.10.0.250 comment="pool rumah"
/ip pool add name=cadangan ranges=10.11.0.2-10.11.0.9
/ppp profile add name=paket-10m local-address=10.10.0.1 remote-address=rumah rate-limit=5M/10M on-up=":log info naik"
/ppp secret add name=budi password=${passwordOf('budi')} profile=paket-10m service=pppoe comment="rumah pojok = biru"
/ppp secret add name=sari password=${passwordOf('sari')} profile=paket-10m remote-address=10.10.0.77 disabled=yes
/queue simple add name=kantor target=10.20.0.0/24 max-limit=5M/20M
`;

let bridge: TestBridge;
let simulator: Simulator;
let proxy: RouterProxy;

beforeEach(async () => {
  simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD, identity: 'Menara' });
  simulator.router.load(ROUTER);
  proxy = await RouterProxy.start(simulator.port);
  bridge = await TestBridge.make();
  bridge.router_port = proxy.port;
  await bridge.start();
});

afterEach(async () => {
  await bridge.end();
  await proxy.stop();
  await simulator.stop();
  await closeRouters();
  expect(bridge.listToldSecrets()).toEqual([]);
});

const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

describe('each kind', () => {
  test('secrets: all that an import needs but the password', async () => {
    const [budi, sari] = await bridge.readRows('secrets');
    expect(budi).toMatchObject({
      name: 'budi',
      service: 'pppoe',
      profile: 'paket-10m',
      disabled: 'false',
      comment: 'rumah pojok = biru',
      'limit-bytes-in': '0',
    });
    expect(budi).not.toHaveProperty('remote-address');
    expect(sari).toMatchObject({ 'remote-address': '10.10.0.77', disabled: 'true' });
  });

  test('one by its name, filtered on the router', async () => {
    expect(await bridge.readRows('secrets', { name: 'sari' })).toMatchObject([{ name: 'sari' }]);
    expect(await bridge.readRows('secrets', { name: 'nobody' })).toEqual([]);
    const prints = proxy.asked.filter(words => words[0] === '/ppp/secret/print');
    expect(prints.map(words => words.filter(word => word.startsWith('?')))).toEqual([['?name=sari'], ['?name=nobody']]);
  });

  test('profiles, without their scripts', async () => {
    const profiles = await bridge.readRows('profiles');
    expect(profiles.map(({ name }) => name)).toEqual(['default', 'default-encryption', 'paket-10m']);
    expect(profiles[0]).toMatchObject({ default: 'true', 'change-tcp-mss': 'yes' });
    expect(profiles[2]).toMatchObject({ 'remote-address': 'rumah', 'rate-limit': '5M/10M', default: 'false' });
    expect(JSON.stringify(profiles)).not.toContain('naik');
  });

  test('pools, with how many of their addresses are used, which the router counts', async () => {
    ['budi', 'budi'].forEach(name => simulator.router.dial(name));
    expect(await bridge.readRows('pools')).toEqual([
      { name: 'rumah', ranges: '10.10.0.10-10.10.0.250', 'next-pool': 'none', used: '2', comment: 'pool rumah' },
      { name: 'cadangan', ranges: '10.11.0.2-10.11.0.9', 'next-pool': 'none', used: '0' },
    ]);
    const counts = proxy.asked.filter(words => words[0] === '/ip/pool/used/print');
    expect(counts.every(words => words.includes('=count-only='))).toBe(true);
  });

  test('many pools: the used addresses are printed once', async () => {
    simulator.router.dial('budi');
    simulator.router.load(
      Array.from({ length: 60 }, (_, at) => `/ip pool add name=p${at} ranges=10.12.${at}.2-10.12.${at}.9`).join('\n'),
    );
    const pools = await bridge.readRows('pools');
    expect(pools).toHaveLength(62);
    expect(pools.slice(0, 2).map(({ used }) => used)).toEqual(['1', '0']);
    expect(proxy.commands).toEqual(['/ip/pool/print', '/ip/pool/used/print']);
  });

  test('queues, the dynamic ones marked', async () => {
    simulator.router.dial('budi');
    const queues = await bridge.readRows('queues');
    expect(queues.find(({ name }) => name === 'kantor')).toMatchObject({
      'max-limit': '5000000/20000000',
      dynamic: 'false',
      target: '10.20.0.0/24',
    });
    expect(queues.find(({ name }) => name === '<pppoe-budi>')).toMatchObject({ dynamic: 'true' });
  });

  test('active', async () => {
    simulator.router.dial('budi', { caller_id: '02:00:00:AA:BB:CC' });
    const [session] = await bridge.readRows('active');
    expect(session).toMatchObject({
      name: 'budi',
      service: 'pppoe',
      'caller-id': '02:00:00:AA:BB:CC',
      radius: 'false',
    });
    expect(session?.uptime).toMatch(/s$/);
  });

  test('resource: one row, also where a part of it is refused', async () => {
    const [row] = await bridge.readRows('resource');
    expect(row).toMatchObject({ name: 'Menara', 'cpu-count': '4', 'time-zone-name': 'UTC' });
    expect(Object.keys(row ?? {})).toEqual(
      expect.arrayContaining(['version', 'uptime', 'free-memory', 'date', 'time']),
    );
    const canned = await startRouter((words, peer) => {
      if (words[0] === '/system/clock/print') peer.reply('!trap', '=message=not enough permissions (9)');
      else if (words[0] === '/system/resource/print') peer.reply('!re', '=version=7.20', '=new-thing=1');
      peer.reply('!done');
    });
    const router = { id: randomUUID(), port: canned.options.port };
    expect(await bridge.readRows('resource', { router })).toEqual([{ version: '7.20' }]);
  });

  test.each(READ_KINDS.filter(what => what !== 'traffic'))('%s: the same columns from 6.48', async what => {
    const old = await startSimulator({
      port: 0,
      username: 'rukun',
      password: ROUTER_PASSWORD,
      version: '6.48',
      old_login: true,
      faults: { chunk_bytes: 7 },
    });
    try {
      old.router.load(ROUTER);
      const { properties, rows } = await bridge.read(what, { router: { id: randomUUID(), port: old.port } });
      expect(properties).toEqual((await bridge.read(what)).properties);
      expect(rows.every(row => row.length === properties.length)).toBe(true);
    } finally {
      await old.stop();
    }
  });

  test('an unknown kind and a name that is missing or too long are refused', async () => {
    expect(await bridge.failRead('export' as ReadKind)).toMatchObject({ status: 400, code: 'INVALID_MESSAGE' });
    expect(await bridge.failRead('traffic')).toMatchObject({ status: 400, code: 'INVALID_MESSAGE' });
    const name = 'x'.repeat(1001);
    expect(await bridge.failRead('secrets', { name })).toMatchObject({ status: 400, code: 'INVALID_MESSAGE' });
    expect(proxy.connections).toBe(0);
  });
});

test('every print names what it wants, and never a password or a script', async () => {
  simulator.router.dial('budi');
  for (const what of READ_KINDS)
    await bridge.read(what, { name: what === 'resource' ? null : 'budi' }).catch(() => null);
  const prints = proxy.asked.filter(words => words[0]?.endsWith('/print'));
  expect(prints.length).toBeGreaterThan(8);
  for (const words of prints) {
    const proplist = words.find(word => word.startsWith('=.proplist='));
    expect(proplist !== undefined || words.includes('=count-only='), words.join(' ')).toBe(true);
    expect(proplist ?? '').not.toMatch(/password|on-up|on-down|secret/);
  }
});

describe('one reading for many', () => {
  const countPrints = () => proxy.commands.filter(command => command === '/ppp/secret/print').length;

  test('ten at once cost one read, and so does who comes within the age that is borne with', async () => {
    const options = { most_age_ms: 60_000 };
    const answers = await Promise.all(Array.from({ length: 10 }, () => bridge.read('secrets', options)));
    for (const { rows } of answers) expect(rows).toEqual(answers[0]?.rows);
    await wait(30);
    const kept = await bridge.read('secrets', options);
    expect(kept.rows).toEqual(answers[0]?.rows);
    expect(kept.age_ms).toBeGreaterThanOrEqual(30);
    expect(countPrints()).toBe(1);
  });

  test('who wants it now gets it now; another name or kind is another read', async () => {
    await bridge.read('secrets', { most_age_ms: 10_000 });
    simulator.router.load('/ppp secret add name=baru password=x');
    expect((await bridge.readRows('secrets')).map(({ name }) => name)).toContain('baru');
    expect(await bridge.readRows('secrets', { name: 'budi', most_age_ms: 10_000 })).toHaveLength(1);
    expect(countPrints()).toBe(3);
  });

  test('of ten who want it now, none gets what was read before it asked', async () => {
    const prints: ((name: string) => void)[] = [];
    const canned = await startRouter((_words, peer) => {
      const answer = (name: string) => [peer.reply('!re', `=name=${name}`), peer.reply('!done')];
      // the first is held until all the others have asked
      if (prints.push(answer) > 1) answer('baru');
    });
    const tools = await bridge.makeTools();
    let asked = 0;
    const openSealed: typeof tools.openSealed = sealed => tools.openSealed(sealed).finally(() => asked++);
    const reader = new RouterReader({ ...tools, openSealed }, { limit_ms: 60_000 });
    const router = bridge.describeRouter({ port: canned.options.port });
    const sealed = await bridge.seal({ router_password: ROUTER_PASSWORD, item_passwords: {} });
    const read = () => reader.read({ router, sealed, what: 'secrets', name: null, most_age_ms: 0 });
    const first = read();
    while (prints.length === 0) await wait(1);
    const others = Promise.all(Array.from({ length: 10 }, read));
    while (asked < 11) await wait(1);
    await wait(1);
    prints[0]!('lama');
    expect((await first).rows[0]).toContain('lama');
    for (const { rows } of await others) expect(rows[0]).toContain('baru');
    expect(prints).toHaveLength(2);
    await tools.pool.close();
  });

  test('other credentials get nothing of it', async () => {
    await bridge.read('secrets', { most_age_ms: 10_000 });
    const wrong = { most_age_ms: 10_000, router_password: 'secret-of-nobody' };
    expect(await bridge.failRead('secrets', wrong)).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
    const renamed = { most_age_ms: 10_000, router: { username: 'tamu' } };
    expect(await bridge.failRead('secrets', renamed)).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
  });

  test('an apply and a disconnect end what was kept, also where they fail', async () => {
    const options = { most_age_ms: 60_000 };
    const namesOf = async () => (await bridge.readRows('secrets', options)).map(({ name }) => name);
    expect(await namesOf()).not.toContain('tono');
    await bridge.apply({
      profiles: [makeProfile({ adopt: true })],
      items: [makeItem('tono')],
      passwords: passwordsOf('tono'),
    });
    expect(await namesOf()).toContain('tono');
    simulator.router.dial('tono');
    expect(await bridge.readRows('active', options)).toHaveLength(1);
    expect(await bridge.disconnect('tono')).toBe(1);
    expect(await bridge.readRows('active', options)).toEqual([]);
    simulator.router.dial('tono');
    simulator.setFaults({ read_only_user: true });
    expect(await bridge.failDisconnect('tono')).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
    expect(await bridge.readRows('active', options)).toHaveLength(1);
  });

  test('a read that failed is an error, is not kept, and disturbs no later one', async () => {
    simulator.setFaults({ refuse: true });
    const options = { most_age_ms: 60_000 };
    expect(await bridge.failRead('secrets', options)).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
    simulator.setFaults({ refuse: false });
    expect(await bridge.readRows('secrets', options)).toHaveLength(2);
  });
});

describe('when a router does not answer', () => {
  test('an idle connection that died is opened again', async () => {
    await bridge.read('secrets');
    simulator.dropConnections();
    expect(await bridge.readRows('secrets')).toHaveLength(2);
  });

  test('a line that is cut in the middle of the rows gives all of them or an error', async () => {
    for (let cut = 10; cut < 600; cut += 53) {
      await bridge.read('resource');
      proxy.bytes_to_cut = cut;
      expect(await bridge.readRows('secrets')).toHaveLength(2);
      expect(proxy.bytes_to_cut ?? 0).toBeLessThan(600);
    }
  });

  test('a router that refuses to be read says so in its own words', async () => {
    const canned = await startRouter((_words, peer) => peer.reply('!trap', '=message=not enough permissions (9)'));
    const failure = await bridge.failRead('secrets', { router: { id: randomUUID(), port: canned.options.port } });
    expect(failure).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
    expect(failure.message).toContain('not enough permissions (9)');
  });

  test('a read is given up in time, frees the router, and is told in words', async () => {
    const held: (() => void)[] = [];
    const canned = await startRouter((_words, peer) => held.push(() => peer.reply('!done')));
    const tools = await bridge.makeTools();
    const [patient, hasty] = [60_000, 100].map(limit_ms => new RouterReader(tools, { limit_ms }));
    const router = bridge.describeRouter({ port: canned.options.port });
    const sealed = await bridge.seal({ router_password: ROUTER_PASSWORD, item_passwords: {} });
    const request = { router, sealed, what: 'active', name: null, most_age_ms: 0 } as const;
    const first = patient!.read(request);
    while (held.length === 0) await wait(1);
    await expect(hasty!.read({ ...request, what: 'secrets' })).rejects.toMatchObject({
      code: 'ROUTER_BUSY',
      message: expect.stringContaining('is busy'),
    });
    // one that has the router for itself
    const other = { ...router, id: randomUUID() };
    await expect(hasty!.read({ ...request, router: other })).rejects.toMatchObject({
      code: 'ROUTER_UNREACHABLE',
      message: expect.stringContaining('did not answer within'),
    });
    const again = patient!.read({ ...request, router: { ...other, port: proxy.port } });
    expect((await again).rows).toEqual([]);
    held[0]!();
    expect((await first).rows).toEqual([]);
    await tools.queue.stop();
    // the one whose turn came too late never began
    expect(canned.received.flat()).not.toContain('/ppp/secret/print');
    await tools.pool.close();
  });

  test('reads leave places in the row for others', async () => {
    const held: (() => void)[] = [];
    let is_open = false;
    const canned = await startRouter((_words, peer) => {
      if (is_open) peer.reply('!done');
      else held.push(() => peer.reply('!done'));
    });
    bridge.router_port = canned.options.port;
    const names = Array.from({ length: 14 }, (_, at) => `user-${at}`);
    const bodies = await Promise.all(names.map(name => bridge.writeRead('secrets', { name })));
    const statuses: number[] = [];
    const sent = bodies.map(body => bridge.send('POST', '/v1/read', body).then(({ status }) => statuses.push(status)));
    // those for whom there is no place hear it at once
    while (statuses.length < 4 || held.length === 0) await wait(5);
    expect(statuses).toEqual([503, 503, 503, 503]);
    const disconnected = bridge.disconnect('budi');
    await wait(20);
    is_open = true;
    for (const answer of held) answer();
    await Promise.all(sent);
    expect(statuses.slice(4)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(await disconnected).toBe(0);
  });
});

describe('disconnect', () => {
  test('ends all sessions of one name and no other', async () => {
    simulator.router.load('/ppp secret add name=budi-2 password=x');
    ['budi', 'budi', 'budi-2'].forEach(name => simulator.router.dial(name));
    expect(await bridge.disconnect('budi')).toBe(2);
    expect((await bridge.readRows('active')).map(({ name }) => name)).toEqual(['budi-2']);
    expect(await bridge.disconnect('budi')).toBe(0);
    const looks = proxy.asked.filter(words => words.includes('=.proplist=.id,name'));
    expect(looks.every(words => words.includes('?name=budi'))).toBe(true);
  });

  test('counts each once, also when the answer is lost', async () => {
    ['budi', 'budi', 'budi'].forEach(name => simulator.router.dial(name));
    simulator.setFaults({ close_after_write: 2 });
    expect(await bridge.disconnect('budi')).toBe(3);
    expect(await bridge.readRows('active')).toEqual([]);
  });

  test('who hung up in between is no failure', async () => {
    ['budi', 'budi'].forEach(name => simulator.router.dial(name));
    const remove = simulator.router.remove.bind(simulator.router);
    simulator.router.remove = (...args) => {
      simulator.router.remove = remove;
      simulator.router.hangUp('budi');
      remove(...args);
    };
    expect(await bridge.disconnect('budi')).toBe(0);
  });

  test('the words of the router where it refuses; no empty name', async () => {
    simulator.router.dial('budi');
    simulator.setFaults({ read_only_user: true });
    const failure = await bridge.failDisconnect('budi');
    expect(failure).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
    expect(failure.message).toMatch(/"budi".*not enough permissions/);
    expect(await bridge.failDisconnect('')).toMatchObject({ status: 400, code: 'INVALID_MESSAGE' });
    simulator.setFaults({ read_only_user: false, refuse: true });
    simulator.dropConnections();
    expect(await bridge.failDisconnect('budi')).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
  });
});

describe('over TLS', () => {
  const startTls = async (tls: 'self-signed' | 'anonymous') => {
    const router = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD, tls });
    onTestFinished(() => router.stop());
    const port = router.port;
    return { access: { id: randomUUID(), port, use_tls: true }, fingerprint: router.tls_fingerprint, router };
  };

  test('with the certificate that was pinned, and with no other', async () => {
    const { access, fingerprint, router } = await startTls('self-signed');
    const pinned = { router: { ...access, tls_fingerprint: fingerprint } };
    expect(await bridge.readRows('active', pinned)).toEqual([]);
    const wrong = { router: { ...access, tls_fingerprint: '00'.repeat(32) } };
    const failure = await bridge.failRead('active', wrong);
    expect(failure).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
    expect(failure.message).toContain('not the one that was trusted');
    const log_ins = router.router.rows('/log').filter(({ message }) => message?.includes('logged in'));
    expect(log_ins).toHaveLength(1);
  });

  test('without any certificate only where an admin asked for that', async () => {
    const { access } = await startTls('anonymous');
    expect((await bridge.failRead('active', { router: access })).code).toBe('ROUTER_UNREACHABLE');
    expect(await bridge.readRows('active', { router: { ...access, tls_anonymous_dh: true } })).toEqual([]);
    // to a router with a certificate it is no way in
    const signed = await startTls('self-signed');
    const failure = await bridge.failRead('active', { router: { ...signed.access, tls_anonymous_dh: true } });
    expect(failure.code).toBe('ROUTER_UNREACHABLE');
  });
});

describe('what is kept', () => {
  const table = (text: string) => ({ properties: ['name'], rows: [[text]] });

  test('has a bound in all, the oldest go first, and no entry is larger', () => {
    const memory = new AnswerMemory({ now_ms: () => 0, most_chars: 1000 });
    for (let at = 0; at < 100; at++) memory.keep(`key-${at}`, 'r', 0, table('x'.repeat(100)));
    expect(memory.chars).toBeLessThanOrEqual(1000);
    expect(memory.size).toBeGreaterThan(4);
    expect(memory.find('key-0', 1000)).toBeNull();
    expect(memory.find('key-99', 1000)?.table.rows).toEqual([['x'.repeat(100)]]);
    memory.keep('key-99', 'r', 0, table('x'.repeat(2000)));
    expect(memory.find('key-99', 1000)).toBeNull();
    memory.forget('r');
    expect([memory.size, memory.chars]).toEqual([0, 0]);
  });

  test('is dropped when it is old, also when nobody asks', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const memory = new AnswerMemory({ now_ms: () => performance.now(), keep_ms: 50 });
      memory.keep('a', 'r', performance.now(), table('a'));
      vi.advanceTimersByTime(30);
      memory.keep('b', 'r', performance.now(), table('b'));
      expect(memory.size).toBe(2);
      vi.advanceTimersByTime(30);
      expect(memory.find('a', 60_000)).toBeNull();
      expect(memory.size).toBe(1);
      vi.advanceTimersByTime(40);
      expect(memory.size).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

test('what gave up waiting never begins, and what has begun may finish', async () => {
  const queue = new RouterQueue();
  const router = bridge.describeRouter();
  const tools = { queue } as never;
  const limits = { limit_ms: 50, is_finished: true };
  const done: string[] = [];
  const held = Promise.withResolvers<void>();
  const slow = takeTurn(tools, router, limits, () => held.promise.then(() => done.push('slow')));
  const late = takeTurn(tools, router, limits, async () => done.push('late'));
  await expect(late).rejects.toMatchObject({ code: 'ROUTER_BUSY', message: expect.stringContaining('busy') });
  held.resolve();
  await slow;
  await queue.stop();
  expect(done).toEqual(['slow']);
});
