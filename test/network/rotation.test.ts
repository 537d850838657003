import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { seal, unseal } from '../../src/auth/sealing.ts';
import { NONCE_HEADER, SIGNATURE_HEADER, signAnswer, signRequest, TIME_HEADER } from '../../src/protocol/signature.ts';
import type { TestBridgeAccess } from '../support/network.ts';
import {
  dropConnections,
  enrolBridge,
  makeTestContext,
  NetworkTenant,
  withBridgeCalls,
} from '../support/network-world.ts';
import { rotateKeys } from '../../src/resources/bridges/rotate.ts';
import { call, makePublicKey, TestBridge, TestTenant } from '../support/world.ts';

/** A bridge’s keys renewed between the Worker and a real bridge, whatever is lost, repeated or done at the same time. */

afterEach(() => vi.restoreAllMocks());

interface BridgeColumns {
  signing_secret: string;
  next_signing_secret: string | null;
  public_key: string;
  rotation_begun_at: number | null;
  status: string;
}

async function control<T>(method: string, path: string): Promise<T> {
  const response = await fetch(`${env.TEST_ROTATION}/bridges/${path}`, { method });
  expect(response.status).toBe(200);
  return response.json();
}

/** A tenant with a bridge of its own, whose keys no other test needs. */
class World {
  readonly network: NetworkTenant;
  readonly access: TestBridgeAccess;
  readonly reporter: TestBridge;

  constructor(network: NetworkTenant, access: TestBridgeAccess) {
    [this.network, this.access] = [network, access];
    this.reporter = new TestBridge(network.tenant.id, network.bridge_id, access.signing_secret);
  }

  static async make(): Promise<World> {
    // RouterOS takes 20 connections; those of earlier tests' bridges still idle
    await dropConnections();
    const access = await control<TestBridgeAccess>('POST', '');
    const tenant = await TestTenant.signUp();
    const bridge_id = await enrolBridge(tenant, access.url, access);
    const { host, port, username, password } = env.TEST_NETWORK.router;
    const router = await tenant.post('/routers', { name: 'Pusat', host, port, username, password });
    return new World(new NetworkTenant(tenant, bridge_id, router.id), access);
  }

  get id(): string {
    return this.network.bridge_id;
  }

  rotate() {
    return this.network.tenant.call('POST', `/bridges/${this.id}/rotate`);
  }

  restart = () => control('POST', `${this.access.id}/restart`);
  readDisk = () => control<{ signing_secret: string; next?: { signing_secret: string } }>('GET', this.access.id);
  readLog = () => control<string[]>('GET', `${this.access.id}/log`);

  async row(): Promise<BridgeColumns> {
    const [row] = await this.network.query<BridgeColumns>('SELECT * FROM bridges WHERE id = ?', this.id);
    return row!;
  }

  async secret(column: 'signing_secret' | 'next_signing_secret' = 'signing_secret'): Promise<string> {
    return unseal(env, { row_id: this.id, column }, (await this.row())[column]!);
  }

  /** What the bridge says to a question that is signed with this. */
  async statusFor(secret: string): Promise<number> {
    const [time_ms, nonce, method, path] = [Date.now(), crypto.randomUUID(), 'GET', '/v1/health'];
    const signature = await signRequest(secret, { time_ms, nonce, method, path, body: '' });
    const headers = { [TIME_HEADER]: String(time_ms), [NONCE_HEADER]: nonce, [SIGNATURE_HEADER]: signature };
    const response = await fetch(`${this.access.url}${path}`, { headers });
    await response.text();
    return response.status;
  }

  /** What the Worker says to a report that is signed with this. */
  async reportWith(secret: string): Promise<number> {
    const { tenant_id, id } = this.reporter;
    const body = JSON.stringify({ version: '1.0.0', watched_tag: null, batch: null, batches_waiting: 0 });
    const headers = await new TestBridge(tenant_id, id, secret).sign(body, { time_ms: this.reporter.takeTime() });
    return (await call('POST', '/bridges/report', { body, headers })).status;
  }

  /** As the bridge does it: with the present secret, and where that is refused with the next one. */
  async report(): Promise<void> {
    const { signing_secret } = await this.readDisk();
    const status = await this.reportWith(signing_secret);
    if (status === 200) return;
    expect(status).toBe(401);
    // what the report before set off may have come to its end meanwhile: the bridge itself would know
    const { signing_secret: present, next } = await this.readDisk();
    expect(await this.reportWith(next?.signing_secret ?? present)).toBe(200);
  }

  /** The Worker’s question, sealed part and all, is answered by the router. */
  async mustWork(): Promise<void> {
    const answer = await this.network.tenant.call('POST', `/routers/${this.network.router_id}/test`);
    expect([answer.status, answer.data?.status ?? answer.text]).toEqual([200, expect.anything()]);
    expect((await this.row()).status).toBe('online');
  }

  /** Both are at the same pair, and no other one is good any more. */
  async mustBeOver(...old: string[]): Promise<void> {
    await this.mustWork();
    const secret = await this.secret();
    expect((await this.row()).next_signing_secret).toBeNull();
    const disk = await this.readDisk();
    expect([disk.signing_secret === secret, disk.next]).toEqual([true, undefined]);
    expect([await this.statusFor(secret), await this.reportWith(secret)]).toEqual([200, 200]);
    for (const each of old) {
      expect(each).not.toBe(secret);
      expect([await this.statusFor(each), await this.reportWith(each)]).toEqual([401, 401]);
    }
  }

  async waitForEnd(): Promise<void> {
    await expect.poll(async () => (await this.row()).rotation_begun_at).toBeNull();
  }

  async types(): Promise<string[]> {
    const rows = await this.network.query<{ type: string }>(
      "SELECT type FROM events WHERE type LIKE 'bridge.%' AND type <> 'bridge.status' ORDER BY seq",
    );
    return rows.map(({ type }) => type);
  }
}

/** What of the Worker’s call to the bridge is lost. */
interface Loss {
  path: '/v1/rotate' | '/v1/health';
  what: 'request' | 'answer';
}

/** While `run` runs, calls of this kind are lost. */
async function losing(loss: Loss | null, run: () => Promise<unknown>): Promise<void> {
  const lose = (what: Loss['what']) => {
    if (loss?.what === what) throw new TypeError(`the ${what} is lost`);
  };
  const paths = new RegExp(`^${loss?.path}$`);
  const after = (response: Response) => (new URL(response.url).pathname === loss?.path ? lose('answer') : undefined);
  await withBridgeCalls(async () => void (await run()), { paths, before: () => lose('request'), after });
}

const NOT_DELIVERED: Loss = { path: '/v1/rotate', what: 'request' };
const ANSWER_LOST: Loss = { path: '/v1/rotate', what: 'answer' };

async function mustBeBegun(world: World): Promise<void> {
  const answer = await world.rotate();
  expect([answer.status, answer.error?.code]).toEqual([503, 'BRIDGE_OFFLINE']);
  expect(answer.error.message).toContain('stays begun');
  expect((await world.row()).rotation_begun_at).not.toBeNull();
}

describe('POST /bridges/:id/rotate', () => {
  test('both get other keys, the old ones are refused, and nobody is told a secret', async () => {
    const world = await World.make();
    const { tenant } = world.network;
    const first_key = (await world.row()).public_key;
    const answer = await world.rotate();
    expect(answer.status, answer.text).toBe(200);
    expect(answer.data).toMatchObject({ id: world.id, status: 'online', rotation_begun_at: null });
    expect(Date.now() - Date.parse(answer.data.keys_rotated_at)).toBeLessThan(60_000);
    const second = await world.secret();
    await world.mustBeOver(world.access.signing_secret);
    expect((await world.row()).public_key).not.toBe(first_key);
    await world.restart();
    await world.mustBeOver(world.access.signing_secret);
    expect((await world.rotate()).status).toBe(200);
    await world.mustBeOver(world.access.signing_secret, second);
    expect(await world.types()).toEqual(['bridge.created', ...['bridge.rotation_begun', 'bridge.keys_rotated', 'bridge.rotation_begun', 'bridge.keys_rotated']]); // prettier-ignore
    const log = await tenant.call('GET', '/audit-logs', { query: { entity_type: 'bridge', per_page: 100 } });
    const [rotated] = log.data.filter(({ type }: { type: string }) => type === 'bridge.keys_rotated');
    const mask = ['••••••••', '••••••••'];
    expect(rotated.changes).toMatchObject({ signing_secret: mask, public_key: mask });
    const list = await tenant.call('GET', '/bridges');
    const said = [answer, log, list].map(({ text }) => text).join() + (await world.readLog()).join();
    const stored = JSON.stringify(await world.network.query('SELECT * FROM bridges'));
    for (const secret of [world.access.signing_secret, second, await world.secret()])
      expect([said.includes(secret), stored.includes(secret)]).toEqual([false, false]);
    expect(said).not.toContain(JSON.parse((await world.row()).public_key).x);
  });

  test('what is watched is told anew: it was sealed to the key before', async () => {
    const world = await World.make();
    const tag = (await world.reporter.report()).data.watched.tag;
    expect((await world.reporter.report({ watched_tag: tag })).data.watched).toBeNull();
    await world.rotate();
    const after = new TestBridge(world.network.tenant.id, world.id, await world.secret());
    await new Promise(resolve => setTimeout(resolve, 5));
    expect((await after.report({ watched_tag: tag })).data.watched.tag).not.toBe(tag);
  });

  test('a bridge that never enrolled, one that is gone, and nobody’s', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await tenant.post('/bridges', { name: 'Baru' });
    const answer = await tenant.call('POST', `/bridges/${id}/rotate`);
    expect([answer.status, answer.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    expect(answer.error.message).toContain('has not enrolled yet');
    expect(await tenant.get(`/bridges/${id}`)).toMatchObject({ rotation_begun_at: null, keys_rotated_at: null });
    expect((await tenant.call('POST', `/bridges/${crypto.randomUUID()}/rotate`)).status).toBe(404);
  });

  test.each([
    ['is too old to know how', 404, { error: { code: 'NOT_FOUND', message: 'x' } }, 409, 'INVALID_TRANSITION'],
    ['names no point of the curve', 200, { public_key: { kty: 'EC', crv: 'P-256', x: 'x'.repeat(43), y: 'y'.repeat(43) } }, 503, 'BRIDGE_OFFLINE'], // prettier-ignore
    ['can’t keep it', 500, { error: { code: 'INTERNAL_ERROR', message: 'its log says more' } }, 503, 'BRIDGE_OFFLINE'],
  ])('a bridge that %s keeps its keys', async (_, status, content, answered, code) => {
    const world = await World.make();
    const before = await world.row();
    const real = globalThis.fetch;
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
      const text = JSON.stringify(content);
      const nonce = (init!.headers as Record<string, string>)[NONCE_HEADER]!;
      const headers = { [SIGNATURE_HEADER]: await signAnswer(world.access.signing_secret, nonce, status, text) };
      return String(input).endsWith('/v1/rotate') ? new Response(text, { status, headers }) : real(input, init);
    });
    const answer = await world.rotate();
    expect([answer.status, answer.error.code]).toEqual([answered, code]);
    const { signing_secret, public_key } = await world.row();
    expect({ signing_secret, public_key }).toEqual({ signing_secret: before.signing_secret, public_key: before.public_key }); // prettier-ignore
    await world.mustWork();
    vi.restoreAllMocks();
    expect((await world.rotate()).status).toBe(200);
    await world.mustBeOver(world.access.signing_secret);
  });
});

describe('what is lost', () => {
  const ways: [string, Loss][] = [
    ['the offer didn’t arrive', NOT_DELIVERED],
    ['the bridge’s answer didn’t arrive', ANSWER_LOST],
  ];

  test.each(ways)('%s: all goes on with the old keys, and the next report ends it', async (_, loss) => {
    const world = await World.make();
    await losing(loss, () => mustBeBegun(world));
    await world.mustWork();
    expect(await world.statusFor(world.access.signing_secret)).toBe(200);
    await world.report();
    await world.waitForEnd();
    await world.mustBeOver(world.access.signing_secret);
    expect(await world.types()).toEqual(['bridge.created', 'bridge.rotation_begun', 'bridge.keys_rotated']);
  });

  test.each(ways)('%s, and the bridge is killed: asking again ends it, with the same secret', async (_, loss) => {
    const world = await World.make();
    await losing(loss, () => mustBeBegun(world));
    const next = await world.secret('next_signing_secret');
    await world.restart();
    await world.mustWork();
    expect((await world.rotate()).status).toBe(200);
    expect(await world.secret()).toBe(next);
    await world.mustBeOver(world.access.signing_secret);
  });

  test('again and again, and then not: still the same secret', async () => {
    const world = await World.make();
    for (const loss of [NOT_DELIVERED, ANSWER_LOST, NOT_DELIVERED, ANSWER_LOST])
      await losing(loss, async () => {
        await mustBeBegun(world);
        await world.report();
      });
    await world.mustWork();
    const next = await world.secret('next_signing_secret');
    await world.report();
    await world.waitForEnd();
    expect(await world.secret()).toBe(next);
    await world.mustBeOver(world.access.signing_secret);
  });

  test.each(['request', 'answer'] as const)(
    'the first use of the new keys (%s): the next contact ends it',
    async what => {
      for (const contact of ['call', 'report', 'restart and report'] as const) {
        const world = await World.make();
        await losing({ path: '/v1/health', what }, async () => expect((await world.rotate()).status).toBe(200));
        // the Worker takes the old one no more, whatever the bridge knows
        expect(await world.reportWith(world.access.signing_secret)).toBe(401);
        if (contact === 'call') await world.mustWork();
        else if (contact === 'report') await world.report();
        else await world.restart().then(() => world.report());
        await world.mustBeOver(world.access.signing_secret);
      }
    },
  );

  test('what the Worker learnt is lost before it is stored: nothing happened there, and the next report ends it', async () => {
    const world = await World.make();
    const database = await world.network.tenant.database();
    const blocked = `CREATE TRIGGER blocked BEFORE UPDATE OF keys_rotated_at ON bridges BEGIN SELECT RAISE(ABORT, 'x'); END`;
    await database.prepare(blocked).run();
    const error = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    expect((await world.rotate()).status).toBe(500);
    await world.report();
    await expect.poll(() => error.mock.calls.flat().join()).toContain('"job":"rotation"');
    expect(error.mock.calls.flat().join()).not.toContain(await world.secret('next_signing_secret'));
    await world.mustWork();
    await database.prepare('DROP TRIGGER blocked').run();
    await world.report();
    await world.waitForEnd();
    await world.mustBeOver(world.access.signing_secret);
  });

  test('a bridge that uses the next keys before the Worker knows that it has them', async () => {
    for (const way of ['report', 'rotate'] as const) {
      const world = await World.make();
      await losing(ANSWER_LOST, () => mustBeBegun(world));
      const next = await world.secret('next_signing_secret');
      expect(await world.statusFor(next)).toBe(200);
      expect(await world.statusFor(world.access.signing_secret)).toBe(401);
      if (way === 'report') expect(await world.reportWith(next)).toBe(200);
      else expect((await world.rotate()).status).toBe(200);
      await world.waitForEnd();
      await world.mustBeOver(world.access.signing_secret);
    }
  });
});

describe('at the same time', () => {
  test('several rotations at once: all are answered, and one pair is good in the end', async () => {
    const world = await World.make();
    const answers = await Promise.all(Array.from({ length: 4 }, () => world.rotate()));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    await world.mustBeOver(world.access.signing_secret);
  });

  test('a call that was signed before the keys changed is made again with the new ones', async () => {
    const world = await World.make();
    let is_first = true;
    await withBridgeCalls(
      async calls => {
        await world.mustWork();
        expect(calls.map(({ path, status }) => `${path} ${status}`)).toEqual(['/v1/rotate 200', '/v1/health 200', '/v1/probe 401', '/v1/probe 200']); // prettier-ignore
      },
      {
        paths: /probe/,
        before: async () => {
          if (!is_first) return;
          is_first = false;
          expect((await world.rotate()).status).toBe(200);
        },
      },
    );
    const alerts = await world.network.tenant.get('/monitoring/alerts');
    expect(alerts).toEqual([]);
    await world.mustBeOver(world.access.signing_secret);
  });

  test('an enrolment meanwhile is what counts', async () => {
    const world = await World.make();
    const { tenant } = world.network;
    let enrolled = '';
    const enrol = async () => {
      const { token } = await tenant.post(`/bridges/${world.id}/enroll`);
      const body = { token, public_key: await makePublicKey(), version: '1.0.0' };
      enrolled = (await call('POST', '/bridges/enroll', { body })).data.signing_secret;
    };
    await withBridgeCalls(
      async () => {
        const answer = await world.rotate();
        expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
      },
      { paths: /rotate/, before: enrol },
    );
    const { next_signing_secret, rotation_begun_at } = await world.row();
    expect({ next_signing_secret, rotation_begun_at }).toEqual({ next_signing_secret: null, rotation_begun_at: null });
    expect(await world.secret()).toBe(enrolled);
    const next = (await world.readDisk()).next!.signing_secret;
    const statuses = [world.access.signing_secret, next, enrolled].map(secret => world.reportWith(secret));
    expect(await Promise.all(statuses)).toEqual([401, 401, 200]);
  });

  test('an enrolment after a rotation that wasn’t finished is the end of that', async () => {
    const world = await World.make();
    await losing(NOT_DELIVERED, () => mustBeBegun(world));
    const next = await world.secret('next_signing_secret');
    const { token } = await world.network.tenant.post(`/bridges/${world.id}/enroll`);
    const body = { token, public_key: await makePublicKey(), version: '1.0.0' };
    const { data } = await call('POST', '/bridges/enroll', { body });
    for (const [secret, status] of [
      [next, 401],
      [world.access.signing_secret, 401],
      [data.signing_secret, 200],
    ] as const)
      // prettier-ignore
      expect(await world.reportWith(secret)).toBe(status);
    expect((await world.row()).next_signing_secret).toBeNull();
  });

  test('the next secret is sealed anew meanwhile, the bridge renamed, or deleted', async () => {
    const during = async (world: World, before: () => Promise<unknown>, expected: [number, string | undefined]) =>
      withBridgeCalls(
        async () => {
          const answer = await world.rotate();
          expect([answer.status, answer.error?.code]).toEqual(expected);
        },
        { paths: /rotate/, before: async () => void (await before()) },
      );
    const resealed = await World.make();
    await during(resealed, async () => {
      const place = { row_id: resealed.id, column: 'next_signing_secret' };
      const sealed = await seal({ env, now: Date.now() }, place, await resealed.secret('next_signing_secret'));
      await resealed.network.query('UPDATE bridges SET next_signing_secret = ?', sealed);
    }, [200, undefined]);
    await resealed.mustBeOver(resealed.access.signing_secret);
    const renamed = await World.make();
    const rename = () => renamed.network.tenant.put(`/bridges/${renamed.id}`, { name: 'Gudang' });
    await during(renamed, rename, [200, undefined]);
    await renamed.mustBeOver(renamed.access.signing_secret);
    expect(await renamed.network.tenant.get(`/bridges/${renamed.id}`)).toMatchObject({ name: 'Gudang' });
    const deleted = await World.make();
    const remove = async () => {
      await deleted.network.query('UPDATE routers SET bridge_id = NULL');
      await deleted.network.tenant.call('DELETE', `/bridges/${deleted.id}`);
    };
    await during(deleted, remove, [404, 'NOT_FOUND']);
  });

  test('whatever is lost, in whatever order: the two always understand each other', async () => {
    const step = fc.constantFrom('rotate', 'report', 'call', 'restart');
    const loss = fc.option(
      fc.record<Loss>({
        path: fc.constantFrom('/v1/rotate', '/v1/health'),
        what: fc.constantFrom('request', 'answer'),
      }),
    );
    const world = await World.make();
    const used = new Set([world.access.signing_secret]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(step, loss), { minLength: 1, maxLength: 6 }), async steps => {
        for (const [what, lost] of steps) {
          if (what === 'rotate') await losing(lost, async () => expect([200, 503]).toContain((await world.rotate()).status)); // prettier-ignore
          if (what === 'report') await losing(lost, () => world.report());
          if (what === 'restart') await world.restart();
          if (what === 'call') await world.mustWork();
        }
        await world.mustWork();
        await world.report();
        await world.waitForEnd();
        const secret = await world.secret();
        used.add(secret);
        await world.mustBeOver(...[...used].filter(each => each !== secret));
      }),
      { numRuns: 25, endOnFailure: true },
    );
    expect(used.size).toBeGreaterThan(2);
  });
});

test('a job may renew keys as well, and says so', async () => {
  const world = await World.make();
  const ctx = await makeTestContext(world.network.tenant);
  await rotateKeys(ctx, world.id);
  const [event] = await world.network.query("SELECT actor, actor_name FROM events WHERE type = 'bridge.keys_rotated'");
  expect(event).toEqual({ actor: 'job', actor_name: 'test' });
  await world.mustBeOver(world.access.signing_secret);
});
