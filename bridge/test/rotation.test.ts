import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PublicKey } from '../../src/protocol/messages.ts';
import { type BridgeConfig, CONFIG_FILE, readConfig, requireConfig, writeConfig } from '../config.ts';
import { examine } from '../doctor.ts';
import { DISK } from '../files.ts';
import { BridgeKeys } from '../keys.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { eventually } from '../../test/support/eventually.ts';
import { ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { TestCloud } from './cloud.ts';

/** Keys in the place of those before, whatever is lost on the way: the bridge’s side, over real sockets. */

const QUIET = { measure: false, report: false };
const FAST_REPORT = { interval_ms: 60, first_wait_ms: 20, most_wait_ms: 60 };
const FAST_WATCH = { tick_ms: 20, early_look_ms: 60, first_wait_ms: 30, most_wait_ms: 200, interval_ms: 100 };
const makeSecret = () => randomBytes(32).toString('base64url');

let bridge: TestBridge;
let cloud: TestCloud;
/** As it was enrolled. */
let before: BridgeConfig;
/** All secrets that there were: none is ever logged. */
let secrets: string[];
let simulators: Simulator[];

beforeEach(async () => {
  [bridge, cloud, simulators] = [await TestBridge.make(), new TestCloud(), []];
  await cloud.start();
  cloud.refuses_strangers = true;
  bridge.config.cloud_url = cloud.url;
  await writeConfig(bridge.state_dir, bridge.config);
  cloud.serve(bridge.config);
  before = structuredClone(bridge.config);
  secrets = [before.signing_secret, before.private_key.d];
});

afterEach(async () => {
  const kept = await readConfig(bridge.state_dir);
  await bridge.end();
  await cloud.stop();
  await Promise.all(simulators.map(simulator => simulator.stop()));
  const said = [...bridge.log_lines, ...bridge.answers].join('\n');
  expect(cloud.problems).toEqual([]);
  for (const secret of [...secrets, kept?.signing_secret, kept?.private_key.d, ROUTER_PASSWORD])
    expect(said).not.toContain(secret);
});

/** The cloud's offer, as it is signed with what the cloud holds for the present secret. */
async function offer(next: string): Promise<PublicKey> {
  secrets.push(next);
  const sealed = await bridge.seal({ signing_secret: next });
  const sent = await bridge.send('POST', '/v1/rotate', JSON.stringify({ sealed }));
  expect(sent, sent.text).toMatchObject({ status: 200, is_signed_right: true });
  return JSON.parse(sent.text).public_key;
}

/** From here on the cloud uses the next pair. */
function follow(next: string, { x, y }: PublicKey): void {
  // what is sealed needs no more than the public part
  Object.assign(bridge.config, { signing_secret: next, private_key: { ...bridge.config.private_key, x, y } });
}

const ask = (secret = bridge.config.signing_secret) => bridge.send('GET', '/v1/health', '', { secret });
const statusFor = async (secret: string) => (await ask(secret)).status;
const readFiles = async () => JSON.parse(await readFile(join(bridge.state_dir, CONFIG_FILE), 'utf8')) as BridgeConfig;

/** A message sealed to this key was opened: nobody listens at the router. */
async function isOpened(): Promise<boolean> {
  const sealed = await bridge.seal({ router_password: 'x', item_passwords: {} });
  const sent = await bridge.send('POST', '/v1/probe', JSON.stringify({ router: bridge.describeRouter({ port: 1 }), sealed })); // prettier-ignore
  expect([400, 502]).toContain(sent.status);
  return sent.status === 502;
}

/** As after a kill: what isn't on the disk is gone. */
async function restart(): Promise<void> {
  await bridge.running?.stop(0);
  await bridge.start(QUIET);
}

describe('a rotation', () => {
  beforeEach(() => bridge.start(QUIET));

  test('both pairs are good until the next one is used; then it alone is', async () => {
    const next = makeSecret();
    const public_key = await offer(next);
    expect(public_key).not.toMatchObject({ x: before.private_key.x });
    expect(await isOpened()).toBe(true);
    // an answer is signed as its question was, and the key told that goes with it
    const sent = await ask();
    expect(sent).toMatchObject({ status: 200, is_signed_right: true });
    expect(JSON.parse(sent.text).public_key.x).toBe(before.private_key.x);
    expect(await readFiles()).toMatchObject({ signing_secret: before.signing_secret, next: { signing_secret: next } });
    follow(next, public_key);
    const first = await ask();
    expect(first).toMatchObject({ status: 200, is_signed_right: true });
    expect(JSON.parse(first.text).public_key).toEqual(public_key);
    expect(await statusFor(before.signing_secret)).toBe(401);
    expect(await isOpened()).toBe(true);
    await restart();
    expect([await statusFor(before.signing_secret), await statusFor(next)]).toEqual([401, 200]);
    const kept = await readFile(join(bridge.state_dir, CONFIG_FILE), 'utf8');
    expect(JSON.parse(kept)).toMatchObject({ signing_secret: next, private_key: { x: public_key.x }, name: 'Gudang' });
    for (const old of [before.signing_secret, before.private_key.d]) expect(kept).not.toContain(old);
  });

  test('the same secret gets the same key, twice at once, again, after a kill, and once it is in use', async () => {
    const next = makeSecret();
    const [one, other] = await Promise.all([offer(next), offer(next)]);
    expect(other).toEqual(one);
    expect(await offer(next)).toEqual(one);
    await restart();
    expect(await offer(next)).toEqual(one);
    expect([await statusFor(before.signing_secret), await isOpened()]).toEqual([200, true]);
    follow(next, one);
    expect(await offer(next)).toEqual(one);
    expect(await statusFor(before.signing_secret)).toBe(401);
  });

  test('one after the other: each secret is refused as soon as the one after it is used', async () => {
    const used = [before.signing_secret];
    for (let i = 0; i < 3; i++) {
      const next = makeSecret();
      follow(next, await offer(next));
      expect(await isOpened()).toBe(true);
      for (const old of used) expect(await statusFor(old)).toBe(401);
      used.push(next);
    }
  });

  test('a cloud that has forgotten which secret it offered offers another', async () => {
    const forgotten = makeSecret();
    await offer(forgotten);
    const next = makeSecret();
    follow(next, await offer(next));
    expect(await statusFor(next)).toBe(200);
    expect([await statusFor(forgotten), await statusFor(before.signing_secret)]).toEqual([401, 401]);
  });

  test('what is no secret for this bridge is refused, and changes nothing', async () => {
    const stranger = await TestBridge.make();
    const seals = [
      ['another key', await stranger.seal({ signing_secret: makeSecret() })],
      ['too short', await bridge.seal({ signing_secret: 'short' })],
      ['no secret', await bridge.seal({ router_password: makeSecret() })],
      ['nothing', ''],
    ] as const;
    for (const [what, sealed] of seals) {
      const sent = await bridge.send('POST', '/v1/rotate', JSON.stringify({ sealed }));
      expect([sent.status, JSON.parse(sent.text).error.code, sent.is_signed_right], what).toEqual([400, 'INVALID_MESSAGE', true]); // prettier-ignore
    }
    const sealed = await bridge.seal({ signing_secret: makeSecret() });
    const secret = makeSecret();
    expect((await bridge.send('POST', '/v1/rotate', JSON.stringify({ sealed }), { secret })).status).toBe(401);
    expect(await readFiles()).toEqual(before);
    await stranger.end();
  });

  test('a disk that can’t keep the next pair: the offer fails, and the present one stays', async () => {
    const blocked = join(bridge.state_dir, `${CONFIG_FILE}.new`);
    await mkdir(join(blocked, 'full'), { recursive: true });
    const sealed = await bridge.seal({ signing_secret: makeSecret() });
    expect((await bridge.send('POST', '/v1/rotate', JSON.stringify({ sealed }))).status).toBe(500);
    expect([await statusFor(before.signing_secret), await isOpened()]).toEqual([200, true]);
    await rm(blocked, { recursive: true });
    const next = makeSecret();
    const public_key = await offer(next);
    // nor the change itself: the old secret is refused all the same, and after a restart both are known
    await mkdir(join(blocked, 'full'), { recursive: true });
    expect([await statusFor(next), await statusFor(before.signing_secret)]).toEqual([200, 401]);
    expect(bridge.log_lines.join()).toContain('keys_not_kept');
    await restart();
    expect(await readFiles()).toMatchObject({ signing_secret: before.signing_secret });
    follow(next, public_key);
    expect(await isOpened()).toBe(true);
    await rm(blocked, { recursive: true });
    expect(await statusFor(next)).toBe(200);
    expect(await readFiles()).toMatchObject({ signing_secret: next });
  });
});

test('what was sealed to the key before is opened for a minute more, and then no more', async () => {
  let elapsed_ms = 0;
  const { state_dir } = bridge;
  const config = await requireConfig(state_dir);
  const keys = new BridgeKeys({ state_dir, config, log: () => undefined, disk: DISK, elapsed_ms: () => elapsed_ms });
  const sealed = await bridge.seal('x');
  expect(await keys.open(sealed)).toEqual({ value: 'x', is_newest: true });
  const next = makeSecret();
  await keys.offer(next);
  expect(await keys.open(sealed)).toEqual({ value: 'x', is_newest: false });
  expect(await keys.open(await keys.seal('y'))).toEqual({ value: 'y', is_newest: true });
  await keys.noteUse(next);
  elapsed_ms = 60_000;
  expect(await keys.open(sealed)).toEqual({ value: 'x', is_newest: false });
  elapsed_ms = 60_001;
  expect(await keys.open(sealed)).toBeNull();
});

describe('beside the cloud', () => {
  /** The cloud names a router, and this bridge measures it. */
  async function watch(password = ROUTER_PASSWORD): Promise<Simulator> {
    const simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
    simulators.push(simulator);
    const access = bridge.describeRouter({ id: randomUUID(), port: simulator.port });
    const sealed_passwords = await bridge.seal({ [access.id]: password });
    cloud.watched = { tag: randomUUID(), routers: [access], devices: [], sealed_passwords };
    return simulator;
  }

  const countRounds = (status: string) =>
    [...cloud.batches.values()].filter(({ routers }) => routers[0]?.status === status).length;

  test('a cloud that has followed, and whose word of it was lost, gets reports as it wants them', async () => {
    await bridge.start({ measure: false, report: FAST_REPORT });
    await eventually(() => expect(cloud.reports.length).toBeGreaterThan(0));
    const next = makeSecret();
    const public_key = await offer(next);
    expect(cloud.refusals).toBe(0);
    follow(next, public_key);
    const { length } = cloud.reports;
    await eventually(() => expect(cloud.reports.length).toBeGreaterThan(length + 2));
    // one report was refused and sent again at once; since then the next secret is the only one
    expect(cloud.refusals).toBe(1);
    expect([await statusFor(before.signing_secret), await statusFor(next)]).toEqual([401, 200]);
    expect(bridge.log_lines.join()).not.toContain('report_failed');
  });

  test('a report that was on its way when the keys changed is signed anew', async () => {
    await bridge.start({ measure: false, report: FAST_REPORT });
    await eventually(() => expect(cloud.reports.length).toBeGreaterThan(0));
    const next = makeSecret();
    const public_key = await offer(next);
    // held back until the change is over
    let let_go: () => void = () => undefined;
    cloud.hold = new Promise(resolve => (let_go = resolve));
    await eventually(() => expect(cloud.held).toBe(1));
    follow(next, public_key);
    expect(await statusFor(next)).toBe(200);
    const { length } = cloud.reports;
    let_go();
    cloud.hold = null;
    await eventually(() => expect(cloud.reports.length).toBeGreaterThan(length));
    expect(cloud.refusals).toBe(1);
    expect(bridge.log_lines.join()).not.toContain('report_failed');
  });

  test('the routers are measured on, also where the cloud is away and the bridge is killed', async () => {
    await watch();
    await bridge.start({ measure: FAST_WATCH, report: FAST_REPORT });
    await eventually(() => expect(countRounds('online')).toBeGreaterThan(0));
    const next = makeSecret();
    const public_key = await offer(next);
    const doctored = await examine(bridge.state_dir, bridge.running?.port ?? 0);
    expect(doctored.filter(({ is_good }) => !is_good)).toEqual([]);
    cloud.answer = () => ({ status: 503 });
    follow(next, public_key);
    expect(await statusFor(next)).toBe(200);
    await bridge.running?.stop(0);
    await bridge.start({ measure: FAST_WATCH, report: FAST_REPORT });
    const rounds = countRounds('online');
    await eventually(() => expect(bridge.log_lines.join()).toContain('report_failed'));
    cloud.answer = null;
    await eventually(() => expect(countRounds('online')).toBeGreaterThan(rounds + 1));
    expect(bridge.log_lines.join()).not.toContain('watched_not_ours');
    const after = await examine(bridge.state_dir, bridge.running?.port ?? 0);
    expect(after.filter(({ is_good }) => !is_good)).toEqual([]);
    await bridge.stop();
    // alone, the doctor signs in to the router by itself
    const alone = await examine(bridge.state_dir, 1);
    expect(alone.map(({ text }) => text).join('\n')).toContain('can be signed in to');
  });

  test('what the cloud sealed to the key before arrives late, and lies sealed to the new one', async () => {
    await bridge.start({ measure: FAST_WATCH, report: FAST_REPORT });
    const next = makeSecret();
    const public_key = await offer(next);
    // named by a cloud that doesn't know of the new key yet
    await watch();
    await eventually(() => expect(countRounds('online')).toBeGreaterThan(0));
    follow(next, public_key);
    await eventually(async () => expect(await statusFor(before.signing_secret)).toBe(401));
    await bridge.running?.stop(0);
    await bridge.start({ measure: FAST_WATCH, report: false });
    expect(bridge.log_lines.join()).not.toContain('watched_not_ours');
  });

  test('a sign-in that a router refused is not tried again after a rotation', async () => {
    const simulator = await watch('wrong-Pa55word');
    let sign_ins = 0;
    simulator.router.watch('/log', () => sign_ins++);
    await bridge.start({ measure: FAST_WATCH, report: FAST_REPORT });
    await eventually(() => expect(countRounds('offline')).toBeGreaterThan(1));
    expect(sign_ins).toBe(1);
    for (let i = 0; i < 2; i++) {
      const next = makeSecret();
      follow(next, await offer(next));
      expect(await statusFor(next)).toBe(200);
      await bridge.running?.stop(0);
      await bridge.start({ measure: FAST_WATCH, report: FAST_REPORT });
      const rounds = countRounds('offline');
      await eventually(() => expect(countRounds('offline')).toBeGreaterThan(rounds + 1));
    }
    expect(sign_ins).toBe(1);
  });
});
