import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { EntryResult, HealthAnswer } from '../../src/protocol/messages.ts';
import { RouterPool } from '../apply/router-pool.ts';
import type { Faults } from '../simulator/faults.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { eventually } from '../../test/support/eventually.ts';
import { makeItem, makeProfile, passwordOf, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { RouterProxy } from './router-proxy.ts';

const HEALTHY: Partial<Faults> = { refuse: false, delay_ms: 0, no_sensitive: false, read_only_user: false };

let bridge: TestBridge;
let simulator: Simulator;

beforeEach(async () => {
  simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
  bridge = await TestBridge.make();
  bridge.router_port = simulator.port;
  await bridge.start();
});

afterEach(async () => {
  await bridge.end();
  await simulator.stop();
  const said = [...bridge.answers, ...bridge.log_lines].join('\n');
  expect(said).not.toContain(ROUTER_PASSWORD);
  expect(said).not.toContain('secret-of-');
  expect(said).not.toContain(bridge.config.signing_secret);
});

const findSecrets = (name: string) => simulator.router.rows('/ppp/secret').filter(row => row.name === name);
const findSecret = (name: string) => findSecrets(name)[0];
const findProfile = (name: string) => simulator.router.rows('/ppp/profile').find(row => row.name === name);
const countActive = (name: string) => simulator.router.rows('/ppp/active').filter(row => row.name === name).length;

const isAtRouter = () => eventually(() => expect(simulator.readInfo().connections).toBe(1));

const BUDI = { profiles: [makeProfile()], items: [makeItem('budi')], passwords: passwordsOf('budi') };

test('makes a profile and a secret, each with its marker', async () => {
  const answer = await bridge.apply(BUDI);
  const added = { generation: 1, outcome: 'added', error: null, differences: [], password_in_place: true };
  expect(answer.profiles).toEqual([
    {
      ...added,
      ref: 'profile:paket-10m',
      observed: { 'rate-limit': '5M/10M', 'local-address': '10.10.0.1', comment: 'rukun:plan:0193a2b4' },
    },
  ]);
  const observed = { profile: 'paket-10m', disabled: 'no', comment: 'rukun:C-budi' };
  expect(answer.items).toEqual([{ ...added, ref: 'line-budi', observed }]);
  expect(answer).toMatchObject({ revision: 1, sessions_ended: 0 });
  expect(findProfile('paket-10m')).toMatchObject({ comment: 'rukun:plan:0193a2b4', 'local-address': '10.10.0.1' });
  expect(findSecret('budi')).toMatchObject({
    profile: 'paket-10m',
    password: passwordOf('budi'),
    service: 'pppoe',
    comment: 'rukun:C-budi',
    disabled: 'false',
  });
});

test('sends no write when all is right already, and only two reads', async () => {
  await bridge.apply(BUDI);
  const before = simulator.router.rows('/ppp/secret');
  const answer = await bridge.apply(BUDI);
  expect(answer.items[0]?.outcome).toBe('unchanged');
  expect(answer.profiles[0]?.outcome).toBe('unchanged');
  expect(answer.commands_sent).toBe(2);
  expect(simulator.router.rows('/ppp/secret')).toEqual(before);
});

test('suspends: disables, then ends the live session; resumes', async () => {
  await bridge.apply(BUDI);
  simulator.router.dial('budi');
  const suspended = await bridge.apply({ ...BUDI, items: [makeItem('budi', { desired: { disabled: true } })] });
  expect(suspended).toMatchObject({ sessions_ended: 1, items: [{ outcome: 'changed' }] });
  expect(findSecret('budi')?.disabled).toBe('true');
  expect(countActive('budi')).toBe(0);
  expect((await bridge.apply(BUDI)).items[0]?.outcome).toBe('changed');
  expect(findSecret('budi')?.disabled).toBe('false');
  simulator.router.dial('budi');
  expect(countActive('budi')).toBe(1);
});

test('changes the plan and ends the session that still has the old one, and no other', async () => {
  const names = ['budi', 'sari'];
  const items = names.map(name => makeItem(name));
  await bridge.apply({ ...BUDI, items, passwords: passwordsOf(...names) });
  names.forEach(name => simulator.router.dial(name));
  const faster = makeProfile({ key: 'paket-20m', marker: 'rukun:plan:0193a2b5', fields: { 'rate-limit': '10M/20M' } });
  const moved = makeItem('budi', { desired: { profile: 'paket-20m' } });
  const answer = await bridge.apply({ profiles: [faster], items: [moved, makeItem('sari')], passwords: {} });
  expect(answer.items.map(item => item.outcome)).toEqual(['changed', 'unchanged']);
  expect(answer.sessions_ended).toBe(1);
  expect([countActive('budi'), countActive('sari')]).toEqual([0, 1]);
  expect(findSecret('budi')?.profile).toBe('paket-20m');
});

test('removes a terminated customer, with the session; again it is absent', async () => {
  await bridge.apply(BUDI);
  simulator.router.dial('budi');
  const gone = { items: [makeItem('budi', { desired: null })] };
  expect(await bridge.apply(gone)).toMatchObject({ sessions_ended: 1, items: [{ outcome: 'removed' }] });
  expect(findSecret('budi')).toBeUndefined();
  expect(countActive('budi')).toBe(0);
  expect((await bridge.apply(gone)).items[0]?.outcome).toBe('absent');
});

describe('a look', () => {
  const LOOK = { dry_run: true, is_whole: true };

  test('writes nothing, and says what an apply would do and why', async () => {
    simulator.router.load(`/ppp profile
add name=paket-10m rate-limit=1M/1M local-address=10.10.0.1 comment="rukun:plan:0193a2b4"
/ppp secret
add name=budi password=lain profile=paket-10m service=pppoe disabled=yes comment="rukun:C-budi"
add name=asing password=x comment="dulu rukun:C-lama"
add name=tetangga password=x
`);
    const before = [findProfile('paket-10m'), findSecret('budi')];
    const items = [makeItem('budi'), makeItem('sari'), makeItem('asing', { marker: 'rukun:C-lama', desired: null })];
    const answer = await bridge.apply({ ...BUDI, ...LOOK, items, passwords: passwordsOf('budi', 'sari') });
    expect(answer.profiles).toMatchObject([
      { outcome: 'changed', differences: [{ property: 'rate-limit', desired: '5M/10M', observed: '1M/1M' }] },
    ]);
    expect(answer.items).toMatchObject([
      {
        outcome: 'changed',
        differences: [
          { property: 'disabled', desired: 'no', observed: 'true' },
          { property: 'password', desired: null, observed: null },
        ],
      },
      { outcome: 'added', differences: [] },
      { outcome: 'removed', differences: [] },
    ]);
    expect(answer).toMatchObject({ strays: [], sessions_ended: 0 });
    expect([findProfile('paket-10m'), findSecret('budi')]).toEqual(before);
    expect(findSecret('sari')).toBeUndefined();
    expect(findSecret('asing')).toBeDefined();
    expect(JSON.stringify(answer)).not.toContain('lain"');
    // what is marked and nobody spoke of
    const alone = await bridge.apply({ ...BUDI, ...LOOK });
    expect(alone.strays).toEqual([{ menu: '/ppp/secret', name: 'asing', marker: 'rukun:C-lama' }]);
    expect((await bridge.apply({ ...BUDI, dry_run: true })).strays).toEqual([]);
  });

  test('keeps no revision: an apply that was begun before is still taken', async () => {
    bridge.revision = 9;
    await bridge.apply({ ...BUDI, ...LOOK });
    bridge.revision = 3;
    expect((await bridge.apply(BUDI)).items[0]?.outcome).toBe('added');
    bridge.revision = 2;
    expect(await bridge.failApply({ ...BUDI, ...LOOK })).toMatchObject({ code: 'STALE_REVISION' });
  });
});

test('leaves unmarked things of the same name alone', async () => {
  simulator.router.load(`/ppp profile add name=paket-10m comment="by hand"
/ppp secret add name=budi password=old profile=default comment="by hand"
`);
  simulator.router.dial('budi');
  const before = [findProfile('paket-10m'), findSecret('budi')];
  const sari = makeItem('sari');
  const answer = await bridge.apply({
    ...BUDI,
    items: [makeItem('budi'), sari],
    passwords: passwordsOf('budi', 'sari'),
  });
  expect(answer.profiles[0]).toMatchObject({ outcome: 'conflict', error: expect.stringContaining('paket-10m') });
  expect(answer.items[0]).toMatchObject({ outcome: 'conflict', error: expect.stringContaining('"budi"') });
  // applied all the same, but not right while its profile isn't
  expect(answer.items[1]).toMatchObject({ outcome: 'conflict', error: expect.stringContaining('paket-10m') });
  expect(findSecret('sari')?.profile).toBe('paket-10m');
  expect([findProfile('paket-10m'), findSecret('budi')]).toEqual(before);
  const gone = await bridge.apply({ items: [makeItem('budi', { desired: null })] });
  expect(gone.items[0]?.outcome).toBe('absent');
  expect(findSecret('budi')).toEqual(before[1]);
  expect(countActive('budi')).toBe(1);
});

test('adopts by its comment alone, and keeps the session up', async () => {
  simulator.router.load(`/ppp profile add name=paket-10m rate-limit=5M/10M local-address=10.10.0.1
/ppp secret add name=budi password=${passwordOf('budi')} profile=paket-10m service=any comment="rumah pojok"
`);
  simulator.router.dial('budi');
  const before = findSecret('budi');
  const profiles = [makeProfile({ adopt: true })];
  const answer = await bridge.apply({ ...BUDI, profiles, items: [makeItem('budi', { adopt: true })] });
  expect(answer.items[0]?.outcome).toBe('changed');
  expect(findSecret('budi')).toEqual({ ...before, comment: 'rumah pojok rukun:C-budi' });
  expect(findProfile('paket-10m')?.comment).toBe('rukun:plan:0193a2b4');
  expect(countActive('budi')).toBe(1);
  expect(answer.sessions_ended).toBe(0);
});

test('removes an earlier holder of a name that was taken over and ended before the router heard of it', async () => {
  await bridge.apply(BUDI);
  const ended = makeItem('budi', { ref: 'line-2', marker: 'rukun:C-2', desired: null });
  expect((await bridge.apply({ items: [ended] })).items[0]?.outcome).toBe('removed');
  expect(findSecrets('budi')).toEqual([]);
});

test('does not remove a secret that is not ours', async () => {
  simulator.router.load('/ppp secret add name=budi password=x profile=default comment="milik orang lain"');
  const ended = makeItem('budi', { desired: null });
  expect((await bridge.apply({ items: [ended] })).items[0]?.outcome).toBe('absent');
  expect(findSecrets('budi')).toMatchObject([{ comment: 'milik orang lain' }]);
});

test('unsets an address that is no longer wanted', async () => {
  await bridge.apply({ ...BUDI, items: [makeItem('budi', { desired: { remote_address: '10.10.0.77' } })] });
  expect(findSecret('budi')?.['remote-address']).toBe('10.10.0.77');
  await bridge.apply({ ...BUDI, items: [makeItem('budi', { desired: { remote_address: '' } })] });
  expect(findSecret('budi')).not.toHaveProperty('remote-address');
  await bridge.apply({ profiles: [makeProfile({ fields: { 'rate-limit': '', 'address-list': '' } })] });
  expect(findProfile('paket-10m')).not.toHaveProperty('rate-limit');
});

test("reports the router's own words for one and goes on with the others", async () => {
  const items = [makeItem('ada', { desired: { remote_address: 'no such pool' } }), makeItem('budi'), makeItem('cici')];
  const answer = await bridge.apply({ ...BUDI, items, passwords: passwordsOf('ada', 'budi') });
  expect(answer.items.map(item => item.outcome)).toEqual(['failed', 'added', 'failed']);
  expect(answer.items[0]?.error).toMatch(/remote-address/);
  expect(answer.items[2]?.error).toMatch(/password/);
});

test('never sets a script', async () => {
  const answer = await bridge.apply({ profiles: [makeProfile({ fields: { 'on-up': '/system reboot' } })] });
  expect(answer.profiles[0]).toMatchObject({ outcome: 'failed', error: expect.stringContaining('on-up') });
  expect(findProfile('paket-10m')).toBeUndefined();
});

test('applies 1,000 items at once; the second time by two prints', async () => {
  const names = Array.from({ length: 1000 }, (_, number) => `user-${number}`);
  const desired = { ...BUDI, items: names.map(name => makeItem(name)), passwords: passwordsOf(...names) };
  const answer = await bridge.apply(desired);
  expect(answer.items.every(item => item.outcome === 'added')).toBe(true);
  expect(answer.items.map(item => item.ref)).toEqual(names.map(name => `line-${name}`));
  expect(simulator.router.rows('/ppp/secret')).toHaveLength(1000);
  const again = await bridge.apply(desired);
  expect(again.items.every(item => item.outcome === 'unchanged')).toBe(true);
  expect(again.commands_sent).toBe(2);
});

test('reads one customer of many by a filter', async () => {
  const rows = Array.from({ length: 3000 }, (_, at) => `add name=other-${at} password=x`).join('\n');
  simulator.router.load(`/ppp secret\n${rows}\n`);
  await bridge.apply(BUDI);
  const spy = simulator.router.select.bind(simulator.router);
  const counts: number[] = [];
  simulator.router.select = function* (...args) {
    const found = [...spy(...args)];
    counts.push(found.length);
    yield* found;
  };
  await bridge.apply(BUDI);
  expect(counts).toEqual([1, 1]);
});

test.each([1, 2])('after %i lost answers there is exactly one secret, and the outcome is right', async count => {
  await bridge.apply({ profiles: [makeProfile()] });
  simulator.setFaults({ close_after_write: count });
  const names = ['budi', 'sari', 'tono'];
  const items = names.map(name => makeItem(name));
  const answer = await bridge.apply({ ...BUDI, items, passwords: passwordsOf(...names) });
  expect(answer.items.map(item => item.outcome)).toEqual(['added', 'added', 'added']);
  for (const name of names) expect(findSecrets(name)).toHaveLength(1);
});

test('wherever the line is cut, nothing is doubled, lost or told wrongly', async () => {
  const proxy = await RouterProxy.start(simulator.port);
  onTestFinished(() => proxy.stop());
  const names = ['budi', 'sari', 'tono'];
  await bridge.apply({ profiles: [makeProfile()] });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 2 }), async cuts => {
      const removed = names.map(name => makeItem(name, { desired: null }));
      await bridge.apply({ items: removed });
      const router = { id: randomUUID(), port: proxy.port };
      const left = [...cuts];
      let timer: NodeJS.Timeout | null = null;
      // the next cut is armed as soon as the one before has happened
      const arm = () => {
        if (proxy.bytes_to_cut === null) proxy.bytes_to_cut = left.shift() ?? null;
        if (left.length > 0) timer = setTimeout(arm, 1);
      };
      arm();
      const items = names.map(name => makeItem(name));
      const desired = { ...BUDI, items, passwords: passwordsOf(...names), router };
      const outcomes: unknown[] = [];
      // an apply that fails as a whole, since the router wasn't even reached, is sent again
      for (let attempt = 0; attempt < 3 && outcomes.length === 0; attempt++) {
        const sent = await bridge.send('POST', '/v1/apply', await bridge.writeApply(desired));
        if (sent.status === 200)
          outcomes.push(
            ...JSON.parse(sent.text)
              .entries.slice(1)
              .map((entry: EntryResult) => entry.outcome),
          );
        else expect(sent.text).toContain('ROUTER_UNREACHABLE');
      }
      if (timer) clearTimeout(timer);
      proxy.bytes_to_cut = null;
      expect(outcomes).toEqual(['added', 'added', 'added']);
      for (const name of names) expect(findSecrets(name)).toHaveLength(1);
      const again = await bridge.apply(desired);
      expect(again.items.every(item => item.outcome === 'unchanged')).toBe(true);
    }),
    { numRuns: 15 },
  );
});

test('a lost answer to a suspension still ends the session and counts it', async () => {
  await bridge.apply(BUDI);
  simulator.router.dial('budi');
  // the set is lost, and then the removal of the session too
  simulator.setFaults({ close_after_write: 2 });
  const answer = await bridge.apply({ ...BUDI, items: [makeItem('budi', { desired: { disabled: true } })] });
  expect(answer).toMatchObject({ sessions_ended: 1, items: [{ outcome: 'changed' }] });
  expect(countActive('budi')).toBe(0);
});

test('a session left up by a failed apply is ended by the next one, also after a restart', async () => {
  await bridge.apply(BUDI);
  simulator.router.dial('budi');
  const suspended = { ...BUDI, items: [makeItem('budi', { desired: { disabled: true } })] };
  const dropAfterSet = simulator.router.set.bind(simulator.router);
  simulator.router.set = (...args) => {
    dropAfterSet(...args);
    simulator.setFaults({ refuse: true });
    simulator.dropConnections();
  };
  expect((await bridge.failApply(suspended)).code).toBe('ROUTER_UNREACHABLE');
  expect(findSecret('budi')?.disabled).toBe('true');
  expect(countActive('budi')).toBe(1);
  await bridge.stop();
  await bridge.start();
  simulator.setFaults(HEALTHY);
  expect(await bridge.apply(suspended)).toMatchObject({ sessions_ended: 1, items: [{ outcome: 'unchanged' }] });
  expect(countActive('budi')).toBe(0);
});

test('a router that loses every answer makes the whole apply fail, after two reconnects', async () => {
  await bridge.apply({ profiles: [makeProfile()] });
  simulator.setFaults({ close_after_write: 1000 });
  const names = Array.from({ length: 30 }, (_, number) => `user-${number}`);
  const desired = { ...BUDI, items: names.map(name => makeItem(name)), passwords: passwordsOf(...names) };
  expect(await bridge.failApply(desired)).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
  simulator.setFaults({ close_after_write: false });
  const answer = await bridge.apply(desired);
  expect(answer.items.every(({ outcome }) => outcome === 'added' || outcome === 'unchanged')).toBe(true);
  expect(simulator.router.rows('/ppp/secret')).toHaveLength(30);
});

test('a router away is 502, and later all is well', async () => {
  simulator.setFaults({ refuse: true });
  const failure = await bridge.failApply(BUDI);
  expect(failure).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
  expect(failure.message).toContain(String(simulator.port));
  simulator.setFaults(HEALTHY);
  expect((await bridge.apply(BUDI)).items[0]?.outcome).toBe('added');
});

test('a connection that died while idle is opened again', async () => {
  await bridge.apply(BUDI);
  simulator.dropConnections();
  expect((await bridge.apply(BUDI)).items[0]?.outcome).toBe('unchanged');
});

test('a wrong password is tried once and then not again; a new one at once', async () => {
  const wrong = { ...BUDI, router_password: 'secret-of-nobody' };
  expect(await bridge.failApply(wrong)).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
  expect(await bridge.failApply(wrong)).toMatchObject({ status: 502, code: 'ROUTER_REFUSED' });
  const failures = simulator.router.rows('/log').filter(row => row.message?.includes('login failure'));
  expect(failures).toHaveLength(1);
  expect((await bridge.apply(BUDI)).items[0]?.outcome).toBe('added');
});

test('a refused password is never tried again, also after a restart; a probe tries', async () => {
  const wrong = { ...BUDI, router_password: 'secret-of-nobody' };
  const countFailures = () =>
    simulator.router.rows('/log').filter(row => row.message?.includes('login failure')).length;
  await bridge.failApply(wrong);
  await bridge.stop();
  await bridge.start();
  expect((await bridge.failApply(wrong)).message).toContain('not tried again until the password changes');
  await bridge.failRead('resource', { router_password: 'secret-of-nobody' });
  expect(countFailures()).toBe(1);
  const kept = await readFile(join(bridge.state_dir, 'refusals.json'), 'utf8');
  expect(kept).not.toContain('secret-of-nobody');
  const sealed = await bridge.seal({ router_password: 'secret-of-nobody', item_passwords: {} });
  const probe = JSON.stringify({ router: bridge.describeRouter(), sealed });
  expect((await bridge.send('POST', '/v1/probe', probe)).status).toBe(502);
  expect(countFailures()).toBe(2);
  // the router's user has been given that password
  const right = JSON.stringify({
    router: bridge.describeRouter(),
    sealed: await bridge.seal({ router_password: ROUTER_PASSWORD, item_passwords: {} }),
  });
  expect((await bridge.send('POST', '/v1/probe', right)).status).toBe(200);
  await bridge.stop();
  expect(JSON.parse(await readFile(join(bridge.state_dir, 'refusals.json'), 'utf8'))).toEqual({});
});

test('of routers that are no longer watched nothing is remembered', async () => {
  const pool = new RouterPool();
  const router = bridge.describeRouter();
  const away = { ...router, id: randomUUID(), port: 1 };
  pool.keep(new Set([router.id, away.id]));
  await expect(pool.take(router, 'secret-of-nobody')).rejects.toThrow();
  await expect(pool.take(away, 'x')).rejects.toThrow();
  expect([pool.getState(router.id), pool.getState(away.id)]).toEqual(['refused', 'waiting']);
  pool.keep(new Set());
  expect([pool.getState(router.id), pool.getState(away.id)]).toEqual(['idle', 'idle']);
  await pool.close();
});

test('a read that the router refuses is not taken for "nothing there"', async () => {
  simulator.router.select = () => {
    simulator.dropConnections();
    throw new Error('the router fails');
  };
  expect(await bridge.failApply(BUDI)).toMatchObject({ status: 502, code: 'ROUTER_UNREACHABLE' });
  expect(findSecret('budi')).toBeUndefined();
});

test('a user who may only read gives failures in the words of the router', async () => {
  simulator.setFaults({ read_only_user: true });
  const answer = await bridge.apply(BUDI);
  expect(answer.profiles[0]).toMatchObject({ outcome: 'failed', error: 'not enough permissions (9)' });
  expect(answer.items[0]).toMatchObject({ outcome: 'failed', error: 'not enough permissions (9)' });
});

test('a refused change leaves the session alone, then and later', async () => {
  await bridge.apply(BUDI);
  simulator.router.dial('budi');
  simulator.setFaults({ read_only_user: true });
  const suspended = { ...BUDI, items: [makeItem('budi', { desired: { disabled: true } })] };
  expect((await bridge.apply(suspended)).items[0]?.outcome).toBe('failed');
  simulator.setFaults(HEALTHY);
  await bridge.apply(BUDI);
  expect(countActive('budi')).toBe(1);
});

test('hidden passwords: the last one written is believed', async () => {
  await bridge.apply(BUDI);
  simulator.setFaults({ no_sensitive: true });
  const written = { ...BUDI, items: [makeItem('budi', { password_written: true })] };
  expect((await bridge.apply(written)).items[0]?.outcome).toBe('unchanged');
  const changed = { ...BUDI, passwords: { 'line-budi': passwordOf('new') } };
  expect((await bridge.apply(changed)).items[0]?.outcome).toBe('changed');
  expect(findSecret('budi')?.password).toBe(passwordOf('new'));
});

test('an older revision is refused, also after a restart; an equal one is not', async () => {
  await bridge.apply({ ...BUDI, revision: 7 });
  expect(await bridge.failApply({ ...BUDI, revision: 6 })).toMatchObject({ status: 409, code: 'STALE_REVISION' });
  await bridge.stop();
  await bridge.start();
  expect(await bridge.failApply({ ...BUDI, revision: 6 })).toMatchObject({ status: 409, code: 'STALE_REVISION' });
  expect((await bridge.apply({ ...BUDI, revision: 7 })).revision).toBe(7);
  const other = await bridge.apply({ ...BUDI, revision: 1, router: { id: randomUUID() } });
  expect(other.revision).toBe(1);
});

test('revision and owed session are on disk before the router is touched', async () => {
  await bridge.apply(BUDI);
  const readRecord = () => JSON.parse(readFileSync(join(bridge.state_dir, 'revisions.json'), 'utf8'))[bridge.router_id];
  const { router } = simulator;
  const [select, set] = [router.select.bind(router), router.set.bind(router)];
  const seen: unknown[] = [];
  router.select = (...args) => {
    seen.push(readRecord().revision);
    return select(...args);
  };
  router.set = (...args) => {
    seen.push(readRecord().sessions_to_end);
    set(...args);
  };
  await bridge.apply({ revision: 9, items: [makeItem('budi', { desired: { disabled: true } })] });
  expect(seen).toEqual([9, ['budi'], 9]);
  expect(readRecord()).toEqual({ revision: 9, sessions_to_end: [] });
});

test('applies to one router wait for each other, and a newer one makes those that wait stale', async () => {
  const proxy = await RouterProxy.start(simulator.port);
  onTestFinished(() => proxy.stop());
  bridge.router_port = proxy.port;
  await bridge.read('secrets');
  const isSeen = async (revision: number) => {
    const { routers } = JSON.parse((await bridge.send('GET', '/v1/health')).text) as HealthAnswer;
    expect(routers).toMatchObject([{ revision }]);
  };
  // the first one is at the router until both of the others have come
  const letGo = proxy.holdAnswers();
  const running = bridge.apply({ ...BUDI, revision: 1 });
  await eventually(() => expect(proxy.commands.length).toBeGreaterThan(1));
  const older = bridge.failApply({ ...BUDI, revision: 2 });
  await eventually(() => isSeen(2));
  const newer = bridge.apply({ ...BUDI, revision: 3 });
  await eventually(() => isSeen(3));
  letGo();
  expect((await running).items[0]?.outcome).toBe('added');
  expect((await older).code).toBe('STALE_REVISION');
  expect((await newer).items[0]?.outcome).toBe('unchanged');
});

test('an old router answers the same', async () => {
  const old = await startSimulator({
    port: 0,
    username: 'rukun',
    password: ROUTER_PASSWORD,
    version: '6.48',
    old_login: true,
    faults: { chunk_bytes: 1 },
  });
  try {
    const router = { id: randomUUID(), port: old.port };
    expect((await bridge.apply({ ...BUDI, router })).items[0]?.outcome).toBe('added');
    expect((await bridge.apply({ ...BUDI, router })).items[0]?.outcome).toBe('unchanged');
  } finally {
    await old.stop();
  }
});

test('stopping finishes what runs', async () => {
  simulator.setFaults({ delay_ms: 100 });
  const running = bridge.apply(BUDI);
  await isAtRouter();
  await bridge.running?.stop(60_000);
  bridge.running = null;
  expect(bridge.log_lines.at(-1)).toContain('"is_finished":true');
  expect((await running).items[0]?.outcome).toBe('added');
});

test('stopping gives up on a router that does not answer', async () => {
  simulator.setFaults({ silent_after_accept: true });
  const running = bridge.failApply(BUDI);
  await isAtRouter();
  await bridge.running?.stop(200);
  expect((await running).code).toBe('ROUTER_UNREACHABLE');
});
