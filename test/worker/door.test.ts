import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { TOLERATED, type Block } from '../../durable-objects/rate-limiter/suspicion.ts';
import { formatTenantSecret, makeSecret } from '../../src/auth/tokens.ts';
import type { Env } from '../../src/env.ts';
import { limiterOf } from '../../src/door/admission.ts';
import { reportBlocks } from '../../src/door/report-blocks.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { networkOf } from '../../src/lib/network.ts';
import { callWith } from '../support/direct.ts';
import { makeTestAmbient } from '../support/network-world.ts';
import { type Answer, makePublicKey, mintToken, newAddress, PASSWORD, TestTenant } from '../support/world.ts';

afterEach(() => void vi.useRealTimers());

type Options = Parameters<typeof callWith>[3];
const LIMITS = { LIMIT_USER_PER_MINUTE: '100', LIMIT_ADDRESS_PER_MINUTE: '1000', LIMIT_SIGNIN_PER_MINUTE: '5' };

/** A caller from one address, under these limits. */
const callerWith =
  (limits: Partial<Env>, address = newAddress()) =>
  (method: string, path: string, { headers, ...options }: Options = {}) =>
    callWith({ ...LIMITS, ...limits }, method, `/api/v1${path}`, {
      headers: { 'cf-connecting-ip': address, ...headers },
      ...options,
    });

const me = (token: string) => ({ token });
const signInBody = (tenant: TestTenant, password = PASSWORD, email = `ayu@${tenant.slug}.example`) => ({
  tenant: tenant.slug,
  body: { email, password },
});
const admittedOf = (answers: Answer[]) => answers.filter(({ status }) => status !== 429).length;

/** From now on it is so much later: everywhere, since a request hands its time on. */
function skip(ms: number): void {
  const at = Date.now() + ms;
  if (!vi.isFakeTimers()) vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(at);
}

describe('limits', () => {
  test('P50 of a user’s requests exactly as many as the limit are answered, whatever they ask and wherever from', async () => {
    const tenant = await TestTenant.signUp();
    const asks: [string, string, object?][] = [
      ['GET', '/auth/me'],
      ['GET', '/customers'],
      ['GET', `/customers/${crypto.randomUUID()}`],
      ['GET', '/customers/not-an-id'],
      ['POST', '/customers', {}],
      ['PUT', '/settings', { nonsense: 1 }],
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 12 }),
        async (most, picks) => {
          const role = most % 2 === 0 ? ('viewer' as const) : ('admin' as const);
          const user = role === 'viewer' ? await tenant.addUser('viewer') : await tenant.addUser('admin');
          const answers = await Promise.all(
            picks.map((pick, i) => {
              const [method, path, body] = asks[pick]!;
              // some in turn with the same address, some from others
              const from = callerWith({ LIMIT_USER_PER_MINUTE: String(most) }, i % 2 ? newAddress() : '10.1.1.1');
              return from(method, path, { token: user.token, body });
            }),
          );
          expect(admittedOf(answers)).toBe(Math.min(most, picks.length));
        },
      ),
      { numRuns: 100 },
    );
  });

  test('P50 at their defaults: the 101st of a user, and of an address the 1,001st, and no other', async () => {
    const tenant = await TestTenant.signUp();
    const [one, other] = [await tenant.addUser('viewer'), await tenant.addUser('viewer')];
    const from = callerWith({});
    // all in one minute
    skip(0);
    const answers = await Promise.all(Array.from({ length: 130 }, () => from('GET', '/auth/me', me(one.token))));
    expect(admittedOf(answers)).toBe(100);
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.error.code).toBe('RATE_LIMIT');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect((await from('GET', '/auth/me', me(other.token))).status).toBe(200);
    // 899 more of the address, by users of whom none is at the limit
    const limiter = limiterOf({ env }, `tenant:${tenant.id}`);
    const address = '10.77.0.1';
    const question = { caller: { address, user_id: null, session_id: null }, now: Date.now() };
    const counts = [{ policy: 'address', subject: address, limit: { most: 1000, window_ms: 60_000 } }];
    for (let i = 0; i < 999; i++) await limiter.ask({ ...question, counts });
    const last = await Promise.all(
      Array.from({ length: 20 }, () => callerWith({}, address)('GET', '/auth/me', me(other.token))),
    );
    expect(admittedOf(last)).toBe(1);
  });

  test('P50 a refused one is let in after Retry-After, and not before', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({ LIMIT_USER_PER_MINUTE: '2' });
    const ask = () => from('GET', '/auth/me', me(tenant.admin.token));
    skip(0);
    await ask();
    skip(20_000);
    await ask();
    const refused = await ask();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '40']);
    skip(39_000);
    expect((await ask()).status).toBe(429);
    skip(1000);
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(429);
  });

  test('what is left stands on every answer, also on refusals', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({});
    const token = tenant.admin.token;
    for (const answer of [
      await from('GET', '/auth/me', { token }),
      await from('POST', '/customers', { token, body: {} }),
      await from('GET', `/customers/${crypto.randomUUID()}`, { token }),
    ]) {
      expect(answer.headers.get('ratelimit-policy')).toBe('"user";q=100;w=60, "address";q=1000;w=60');
      expect(answer.headers.get('ratelimit')).toMatch(/^"user";r=\d+;t=\d+, "address";r=\d+;t=\d+$/);
    }
    const signing_in = await from('POST', '/auth/login', signInBody(tenant));
    expect(signing_in.headers.get('ratelimit-policy')).toBe('"address";q=1000;w=60, "sign-in";q=5;w=60');
    expect(signing_in.headers.get('ratelimit')).toContain('"sign-in";r=4;');
    expect((await from('GET', '/nowhere')).headers.get('ratelimit-policy')).toBe('"address";q=1000;w=60');
  });

  test('P50 five tries to sign in a minute from an address, and likewise for an account; right ones count too', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({});
    const emails = ['a@x.example', 'b@x.example', `ayu@${tenant.slug}.example`];
    const tries = await Promise.all(
      Array.from({ length: 12 }, (_, i) => from('POST', '/auth/login', signInBody(tenant, PASSWORD, emails[i % 3]))),
    );
    expect(admittedOf(tries)).toBe(5);
    const second = await TestTenant.signUp();
    const elsewhere = await Promise.all(
      Array.from({ length: 12 }, () => callerWith({})('POST', '/auth/login', signInBody(second))),
    );
    expect(elsewhere.map(({ status }) => status).sort()).toEqual([...Array(5).fill(200), ...Array(7).fill(429)]);
    // another spelling is the same account
    const loud = signInBody(second, PASSWORD, `AYU@${second.slug.toUpperCase()}.example`);
    expect((await callerWith({})('POST', '/auth/login', loud)).status).toBe(429);
    skip(61_000);
    expect((await callerWith({})('POST', '/auth/login', signInBody(second))).status).toBe(200);
  });

  test('a password is as hard to guess for who holds a token', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({});
    const body = { current_password: 'salah-sekali-ini', new_password: 'baru-dan-panjang-sekali' };
    const tries = await Promise.all(
      Array.from({ length: 8 }, () => from('PUT', '/auth/password', { token: tenant.admin.token, body })),
    );
    expect(tries.map(({ status }) => status).sort()).toEqual([...Array(5).fill(400), ...Array(3).fill(429)]);
  });

  test('renewals are counted with what else a user does', async () => {
    const tenant = await TestTenant.signUp();
    const { data } = await callerWith({})('POST', '/auth/login', signInBody(tenant));
    let { refresh_token } = data;
    const statuses = [];
    for (let i = 0; i < 5; i++) {
      const from = callerWith({ LIMIT_USER_PER_MINUTE: '3' });
      const renewed = await from('POST', '/auth/refresh', { body: { refresh_token } });
      statuses.push(renewed.status);
      refresh_token = renewed.data?.refresh_token ?? refresh_token;
    }
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    // what was refused was not spent
    expect((await callerWith({})('POST', '/auth/refresh', { body: { refresh_token } })).status).toBe(200);
  });

  test('a socket that is refused never reaches the hub', async () => {
    const tenant = await TestTenant.signUp();
    let reached = 0;
    const hub = {
      fetch: () => {
        reached += 1;
        return Promise.resolve(new Response('UNAUTHORIZED', { status: 401 }));
      },
    };
    const TENANT_HUB = { idFromName: () => ({}), get: () => hub } as unknown as Env['TENANT_HUB'];
    const from = callerWith({ LIMIT_USER_PER_MINUTE: '1', TENANT_HUB });
    const open = () => from('GET', '/ws', { token: tenant.admin.token, headers: { upgrade: 'websocket' } });
    expect([(await open()).status, reached]).toEqual([401, 1]);
    expect([(await open()).status, reached]).toEqual([429, 1]);
  });

  test('a socket of a provider that is suspended on the way to the hub is refused as such', async () => {
    const tenant = await TestTenant.signUp();
    const real = env.TENANT_HUB.get(env.TENANT_HUB.idFromName(tenant.id));
    const suspend = env.DIRECTORY_DB.prepare(`UPDATE tenants SET status = 'suspended' WHERE id = ?`).bind(tenant.id);
    const hub = {
      fetch: async (url: string, init: RequestInit) => {
        await suspend.run();
        forgetTenants();
        return real.fetch(url, init);
      },
    };
    const TENANT_HUB = { idFromName: () => ({}), get: () => hub } as unknown as Env['TENANT_HUB'];
    const from = callerWith({ TENANT_HUB });
    const answer = await from('GET', '/ws', { token: tenant.admin.token, headers: { upgrade: 'websocket' } });
    expect([answer.status, answer.error.code]).toEqual([403, 'TENANT_SUSPENDED']);
  });

  test('a write that is refused stores nothing', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({ LIMIT_USER_PER_MINUTE: '3' });
    const { token } = tenant.admin;
    const add = (at: number) => from('POST', '/zones', { token, body: { name: `Utara ${at}` } });
    const answers = await Promise.all(Array.from({ length: 8 }, (_, at) => add(at)));
    answers.push(await add(8));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(3).fill(201), ...Array(6).fill(429)]);
    expect(await tenant.get('/zones')).toHaveLength(3);
  });

  test('what is left tells nobody without a token which providers there are', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({});
    const left = [];
    for (const name of ['tidak-ada', tenant.slug, 'juga-tidak', tenant.slug]) {
      const answer = await from('GET', '/customers', { headers: { 'x-tenant-id': name } });
      expect(answer.status).toBe(401);
      left.push(/;r=(\d+)/.exec(answer.headers.get('ratelimit')!)![1]);
    }
    expect(left).toEqual(['999', '998', '997', '996']);
  });

  test('who guesses the token of the metrics is counted, and blocked', async () => {
    const address = newAddress();
    const ask = (token: string) =>
      callWith({ METRICS_TOKEN: 'rahasia' }, 'GET', '/metrics', { token, headers: { 'cf-connecting-ip': address } });
    for (let i = 0; i < TOLERATED.token.most + 2; i++)
      expect((await ask(`tebak-${i}`)).status, String(i)).toBe(i < TOLERATED.token.most ? 401 : 429);
    const limited = { METRICS_TOKEN: 'rahasia', LIMIT_ADDRESS_PER_MINUTE: '2' };
    const statuses = [];
    for (let i = 0; i < 3; i++)
      statuses.push((await callWith(limited, 'GET', '/metrics', { token: 'rahasia', headers: { 'cf-connecting-ip': '10.77.0.1' } })).status); // prettier-ignore
    expect(statuses).toEqual([200, 200, 429]);
  });

  test('routes without a provider are counted by their address alone', async () => {
    const from = callerWith({ LIMIT_ADDRESS_PER_MINUTE: '3' });
    const answers = [];
    for (const path of ['/nowhere', '/auth/me', '/customers', '/nowhere']) answers.push(await from('GET', path));
    expect(answers.map(({ status }) => status)).toEqual([404, 401, 401, 429]);
  });

  test('one IPv6 network is one address', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:db8:1:2::9')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:DB8::1')).toBe('2001:db8:0:0::/64');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
    expect(networkOf('2001:db8:1:2::/64')).toBe('2001:db8:1:2::/64');
    expect(networkOf('203.0.113.7')).toBe('203.0.113.7');
  });
});

describe('a limiter that fails', () => {
  const broken = (ask: () => Promise<never>): Partial<Env> => ({
    RATE_LIMITER: {
      idFromName: () => ({}),
      get: () => ({ ask, strike: ask, giveBack: ask, blocks: ask, end: ask, lift: ask, markReported: ask }),
    } as unknown as Env['RATE_LIMITER'],
    LIMITER_PATIENCE_MS: '100',
  });
  const cases = {
    fails: () => Promise.reject(new Error('limiter is broken')),
    hangs: () => new Promise<never>(() => {}),
  };

  for (const [how, ask] of Object.entries(cases))
    test(`or ${how}: who shows a token is let in, and nobody may sign in or up`, async () => {
      const tenant = await TestTenant.signUp();
      vi.spyOn(console, 'error').mockImplementation(() => {});
      const { refresh_token } = (await callerWith({})('POST', '/auth/login', signInBody(tenant))).data;
      const from = callerWith(broken(ask));
      const { token } = tenant.admin;
      expect((await from('GET', '/auth/me', { token })).status).toBe(200);
      expect((await from('GET', `/customers/${crypto.randomUUID()}`, { token })).status).toBe(404);
      expect((await from('PUT', '/settings', { token, body: { grace_days: 4 } })).status).toBe(200);
      expect((await from('POST', '/auth/refresh', { body: { refresh_token } })).status).toBe(200);
      const refused = await from('POST', '/auth/login', signInBody(tenant));
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
      const sign_up = {
        slug: 'baru-sekali',
        name: 'B',
        admin_name: 'B',
        admin_email: 'b@b.example',
        admin_password: PASSWORD,
      };
      expect((await from('POST', '/tenants', { body: sign_up })).status).toBe(429);
    });

  test('still lets nobody in whose tokens are over: the database is asked as well', async () => {
    const tenant = await TestTenant.signUp();
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const user = await tenant.addUser('operator');
    const from = callerWith(broken(cases.fails));
    expect((await from('GET', '/customers', me(user.token))).status).toBe(200);
    await from('PUT', `/users/${user.id}`, { token: tenant.admin.token, body: { is_active: false } });
    expect((await from('GET', '/customers', me(user.token))).status).toBe(401);
  });
});

describe('blocks', () => {
  const tryToSignIn = (from: ReturnType<typeof callerWith>, tenant: TestTenant) =>
    from('POST', '/auth/login', signInBody(tenant, 'salah-sekali-ini', `${crypto.randomUUID()}@x.example`));
  const OPEN = { LIMIT_SIGNIN_PER_MINUTE: '1000' };

  /** Fails to sign in until the address is blocked; how often that was answered. */
  async function fillUp(from: ReturnType<typeof callerWith>, tenant: TestTenant): Promise<number> {
    for (let tries = 0; tries < 100; tries++) if ((await tryToSignIn(from, tenant)).status === 429) return tries;
    throw new Error('never blocked');
  }

  test('P51 failed sign-ins block the address for an hour, which ends by itself', async () => {
    const tenant = await TestTenant.signUp();
    const address = newAddress();
    const from = callerWith(OPEN, address);
    skip(0);
    expect(await fillUp(from, tenant)).toBe(TOLERATED.sign_in.most);
    const refused = await from('POST', '/auth/login', signInBody(tenant));
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3600']);
    expect((await callerWith(OPEN)('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    skip(3_599_000);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(429);
    skip(1000);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
  });

  test('what is blocked uses up nothing of an account: nobody is locked out elsewhere by it', async () => {
    const tenant = await TestTenant.signUp();
    const address = newAddress();
    await fillUp(callerWith(OPEN, address), tenant);
    const from = callerWith({}, address);
    const tries = await Promise.all(Array.from({ length: 9 }, () => from('POST', '/auth/login', signInBody(tenant))));
    expect(new Set(tries.map(({ status }) => status))).toEqual(new Set([429]));
    const elsewhere = [];
    for (let i = 0; i < 6; i++)
      elsewhere.push((await callerWith({})('POST', '/auth/login', signInBody(tenant))).status);
    expect(elsewhere).toEqual([200, 200, 200, 200, 200, 429]);
  });

  test('who signs in there else may go on, ten times an hour; whoever guesses so keeps nobody out elsewhere', async () => {
    const tenant = await TestTenant.signUp();
    const address = newAddress();
    const from = callerWith(OPEN, address);
    skip(0);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    await fillUp(from, tenant);
    // that it is wrong isn't said there any more
    for (let i = 0; i < 9; i++)
      expect((await from('POST', '/auth/login', signInBody(tenant, 'salah-sekali-ini'))).status).toBe(429);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(429);
    expect((await callerWith({})('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    skip(3_600_000);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
  });

  test('who has signed in there is known for as long as anything is left of it, however much came after', async () => {
    const tenant = await TestTenant.signUp();
    const address = newAddress();
    expect((await callerWith(OPEN, address)('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    const d1 = await tenant.database();
    const at = Date.now() + 1000;
    const insert = d1.prepare(`
      INSERT INTO refresh_tokens (id, user_id, token_hash, family_id, signed_in_at, expires_at, ip_address, created_at, updated_at)
      VALUES (?1, ?2, ?1, ?1, ?3, ?3, '10.66.0.1', ?3, ?3)`);
    await d1.batch(Array.from({ length: 400 }, (_, i) => insert.bind(`renewal-${i}`, tenant.admin.id, at)));
    await fillUp(callerWith(OPEN, address), tenant);
    expect((await callerWith(OPEN, address)('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
  });

  test('P51 tries that are spread over time block nobody', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith(OPEN);
    skip(0);
    for (let i = 0; i < TOLERATED.sign_in.most * 2; i++) {
      expect((await tryToSignIn(from, tenant)).status).toBe(401);
      skip(Math.ceil(TOLERATED.sign_in.window_ms / (TOLERATED.sign_in.most - 1)));
    }
  });

  test('P51 tokens that are none of ours block; old ones of ours, and the same again, don’t', async () => {
    const tenant = await TestTenant.signUp();
    const [from, harmless] = [callerWith({}), callerWith({})];
    const expired = await mintToken(tenant.id, tenant.admin.id, 'admin', Date.now() - 3_600_000);
    for (let i = 0; i < TOLERATED.token.most + 5; i++) {
      const headers = { 'x-tenant-id': tenant.slug };
      expect((await harmless('GET', '/customers', { token: i % 2 ? expired : 'x.y.z', headers })).status).toBe(401);
      const answer = await from('GET', '/customers', { token: `x.y.${i}`, headers });
      expect(answer.status, String(i)).toBe(i < TOLERATED.token.most ? 401 : 429);
    }
    const { data } = await tenant.call('GET', '/security/blocks');
    expect(data).toMatchObject([{ reason: 'token', user_id: null }]);
    // the ways in are closed; a good token is none of them
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(429);
    expect((await from('GET', '/customers', me(tenant.admin.token))).status).toBe(200);
  });

  test('P51 enrolment tokens that open no bridge block; the same again, as a bridge that starts anew shows it, don’t', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await tenant.post('/bridges', { name: 'Jembatan' });
    const { token } = await tenant.post(`/bridges/${id}/enroll`);
    const public_key = await makePublicKey();
    const enrol = (from: ReturnType<typeof callerWith>, shown: string) =>
      from('POST', '/bridges/enroll', { body: { token: shown, public_key, version: '1.0.0' } });
    const [from, harmless] = [callerWith({}), callerWith({})];
    const guess = () => formatTenantSecret(tenant.id, makeSecret());
    const old = guess();
    for (let i = 0; i < TOLERATED.token.most + 3; i++) {
      expect((await enrol(harmless, old)).status).toBe(401);
      expect((await enrol(from, guess())).status, String(i)).toBe(i < TOLERATED.token.most ? 401 : 429);
    }
    // a block closes no door to what is good
    expect((await enrol(from, token)).status).toBe(200);
  });

  test('P51 names of providers that there aren’t block, also for signing in at one that there is', async () => {
    const tenant = await TestTenant.signUp();
    const from = callerWith({});
    const body = { email: 'a@b.example', password: PASSWORD };
    const ask = (name: string) => from('POST', '/auth/login', { tenant: name, body });
    for (let i = 0; i < TOLERATED.tenant.most + 3; i++)
      expect((await ask(`tebak-${i}`)).status, String(i)).toBe(i < TOLERATED.tenant.most ? 404 : 429);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(429);
    expect((await from('GET', '/customers', me(tenant.admin.token))).status).toBe(200);
    const events = () =>
      env.DIRECTORY_DB.prepare("SELECT changes FROM platform_events WHERE type = 'block.created'").all();
    const { results } = await events();
    expect(results).toHaveLength(1);
    // of several who see that it isn't told yet one tells
    const [, id] = JSON.parse(results[0]!.changes as string).id;
    const [, ends_at] = JSON.parse(results[0]!.changes as string).ends_at;
    const block = { id, address: 'x', reason: 'tenant', user_id: null, blocked_at: 0, ends_at: Date.parse(ends_at) };
    await reportBlocks(makeTestAmbient(), 'address:x', [block as Block, block as Block]);
    expect((await events()).results).toEqual(results);
  });

  test('P51 a user who asks for id after id is blocked there; another one at the same address is not', async () => {
    const tenant = await TestTenant.signUp();
    const [bad, good] = [await tenant.addUser('viewer'), await tenant.addUser('viewer')];
    const address = newAddress();
    const from = callerWith({ LIMIT_USER_PER_MINUTE: '1000' }, address);
    const gone = crypto.randomUUID();
    for (let i = 0; i < TOLERATED.id.most + 5; i++)
      expect((await from('GET', `/customers/${gone}`, me(bad.token))).status).toBe(404);
    let asked = 1;
    while ((await from('GET', `/customers/${crypto.randomUUID()}`, me(bad.token))).status === 404) asked += 1;
    expect(asked).toBe(TOLERATED.id.most);
    expect((await from('GET', '/customers', me(bad.token))).status).toBe(429);
    expect((await from('GET', '/customers', me(good.token))).status).toBe(200);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    const elsewhere = callerWith({ LIMIT_USER_PER_MINUTE: '1000' });
    expect((await elsewhere('GET', '/customers', me(bad.token))).status).toBe(200);
    expect((await tenant.get('/security/blocks'))[0]).toMatchObject({ address, reason: 'id', user_id: bad.id });
  });

  test('what rows lack is no guessing: pictures that nobody took, receipts of what is unpaid, sessions that are over', async () => {
    const tenant = await TestTenant.signUp();
    const { id: plan_id } = await tenant.addPlan();
    const d1 = await tenant.database();
    const { id } = await tenant.addCustomer(plan_id);
    const from = callerWith({ LIMIT_USER_PER_MINUTE: '1000' });
    // under other ids, as a list has them: the same again wouldn't be counted anyway
    const ids = Array.from({ length: TOLERATED.id.most + 2 }, () => crypto.randomUUID());
    for (const each of ids) {
      await d1.prepare('UPDATE customers SET id = ?').bind(each).run();
      const answer = await from('GET', `/customers/${each}/photos/photo`, me(tenant.admin.token));
      expect([answer.status, answer.error.message]).toEqual([404, 'There is no such picture.']);
    }
    await tenant.post('/payments', {
      customer_id: ids.at(-1),
      amount: 1000,
      payment_for: 'installation',
      due_date: '2090-01-01',
    });
    for (const each of ids) {
      await d1.prepare('UPDATE payments SET id = ?').bind(each).run();
      const answer = await from('GET', `/payments/${each}/receipt`, me(tenant.admin.token));
      expect([answer.status, answer.error.message]).toEqual([404, 'There is no such receipt.']);
    }
    for (const each of ids)
      expect((await from('DELETE', `/auth/sessions/${each}`, me(tenant.admin.token))).status).toBe(404);
    expect((await from('GET', `/customers/${id}`, me(tenant.admin.token))).status).toBe(404);
    expect(await tenant.get('/security/blocks')).toEqual([]);
  });

  test('one bad guest behind a shared address locks out nobody who works or lives there', async () => {
    const tenant = await TestTenant.signUp();
    const address = newAddress();
    const from = callerWith(OPEN, address);
    const at_home = callerWith(OPEN);
    // the cashier has signed in here before; the technician never
    const cashier = await from('POST', '/auth/login', signInBody(tenant));
    expect(cashier.status).toBe(200);
    const email = 'teknisi@x.example';
    await tenant.post('/users', { email, name: 'T', role: 'technician', password: PASSWORD });
    await fillUp(from, tenant);
    expect((await from('GET', '/customers', me(cashier.data.access_token))).status).toBe(200);
    const { refresh_token } = cashier.data;
    expect((await from('POST', '/auth/refresh', { body: { refresh_token } })).status).toBe(200);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    expect((await from('POST', '/auth/login', signInBody(tenant, PASSWORD, email))).status).toBe(429);
    expect((await at_home('POST', '/auth/login', signInBody(tenant, PASSWORD, email))).status).toBe(200);
    expect((await from('GET', `/isolir/${tenant.slug}`)).status).toBe(200);
    // what the limits say holds for everybody
    const strict = callerWith({}, address);
    const tries = [];
    for (let i = 0; i < 6; i++) tries.push((await strict('POST', '/auth/login', signInBody(tenant))).status);
    expect(tries.at(-1)).toBe(429);
  });

  test('are listed for admins alone, told in the log once, and lifted', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const address = '2001:db8:5:6:7::8';
    const from = callerWith(OPEN, address);
    await fillUp(from, tenant);
    // the log is written behind the answer: by who caused it, or who comes next
    for (let i = 0; i < 3; i++) await from('POST', '/auth/login', signInBody(tenant));
    const [block, ...more] = await tenant.get('/security/blocks');
    expect(more).toEqual([]);
    expect(block).toMatchObject({ address: '2001:db8:5:6::/64', reason: 'sign_in', user_id: null });
    expect(Date.parse(block.ends_at) - Date.parse(block.blocked_at)).toBe(3_600_000);
    expect(await other.get('/security/blocks')).toEqual([]);
    const told = await tenant.get('/audit-logs', { entity_id: block.id });
    expect(told).toMatchObject([{ type: 'block.created', actor: 'job', actor_name: 'door' }]);
    for (const role of ['operator', 'technician', 'viewer'] as const) {
      const { token } = await tenant.addUser(role);
      expect((await tenant.call('GET', '/security/blocks', { token })).status).toBe(403);
    }
    const lift = (who: TestTenant, what: string) => who.call('DELETE', `/security/blocks/${encodeURIComponent(what)}`);
    expect((await lift(other, address)).status).toBe(404);
    expect((await lift(tenant, '10.9.9.9')).status).toBe(404);
    expect((await lift(tenant, block.address)).data).toEqual({ address: block.address, lifted: 1 });
    expect(await tenant.get('/security/blocks')).toEqual([]);
    expect((await from('POST', '/auth/login', signInBody(tenant))).status).toBe(200);
    const events = await tenant.get('/audit-logs', { entity_id: block.id, sort: 'seq' });
    expect(events.map((event: { type: string }) => event.type)).toEqual(['block.created', 'block.deleted']);
    expect(events[1]).toMatchObject({ user_id: tenant.admin.id });
    // it begins anew from nothing
    expect(await fillUp(from, tenant)).toBe(TOLERATED.sign_in.most);
    // any address of the network does
    expect((await lift(tenant, '2001:db8:5:6::1')).data.lifted).toBe(1);
  });
});
