import { env } from 'cloudflare:test';
import { Secret, TOTP } from 'otpauth';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { TOLERATED } from '../../durable-objects/rate-limiter/suspicion.ts';
import { consequences } from '../../durable-objects/tenant-hub/subscribers.ts';
import { limiterOf } from '../../src/door/admission.ts';
import type { Env } from '../../src/env.ts';
import { Listener } from '../support/listener.ts';
import { callWith } from '../support/direct.ts';
import { makeTestContext } from '../support/network-world.ts';
import { call, PASSWORD, TestTenant } from '../support/world.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface Signed {
  access_token: string;
  refresh_token: string;
  must_set_up_second_factor: boolean;
  user: { id: string; has_second_factor: boolean };
}

const emailOf = (tenant: TestTenant) => `ayu@${tenant.slug}.example`;

const tryIn = (tenant: TestTenant, more: object = {}, headers: Record<string, string> = {}) =>
  call('POST', '/auth/login', {
    tenant: tenant.slug,
    body: { email: emailOf(tenant), password: PASSWORD, ...more },
    headers,
  });

async function signIn(tenant: TestTenant, more: object = {}, headers: Record<string, string> = {}): Promise<Signed> {
  const answer = await tryIn(tenant, more, headers);
  expect(answer.status, answer.text).toBe(200);
  return answer.data;
}

const refresh = (refresh_token: string) => call('POST', '/auth/refresh', { body: { refresh_token } });
const statusOf = async (token: string) => (await call('GET', '/auth/me', { token })).status;
const sessionsOf = async (token: string) => (await call('GET', '/auth/sessions', { token })).data;

/** A limiter that can't be told anything: what it should know then comes from the log. */
const deaf = (): Partial<Env> => {
  const real = env.RATE_LIMITER;
  return {
    RATE_LIMITER: {
      idFromName: (name: string) => real.idFromName(name),
      get: (id: DurableObjectId) => ({
        ask: (question: never) => real.get(id).ask(question),
        end: () => Promise.reject(new Error('deaf')),
      }),
    } as unknown as Env['RATE_LIMITER'],
  };
};

describe('sessions', () => {
  test('are listed with where they are and since when; each is one, however often it was renewed', async () => {
    const tenant = await TestTenant.signUp();
    const phone = await signIn(tenant, {}, { 'cf-connecting-ip': '203.0.113.9', 'user-agent': 'HP Ayu\u00e9/1' });
    const desk = await signIn(tenant, {}, { 'user-agent': `Meja ${'x'.repeat(400)}` });
    const renewed = await refresh((await refresh(phone.refresh_token)).data.refresh_token);
    const list = await sessionsOf(renewed.data.access_token);
    expect(list).toHaveLength(2);
    const [of_phone, of_desk] = [list.find((s: any) => s.is_current), list.find((s: any) => !s.is_current)];
    expect(of_phone).toMatchObject({ user_id: tenant.admin.id });
    expect(Date.parse(of_phone.last_renewed_at)).toBeGreaterThanOrEqual(Date.parse(of_phone.signed_in_at));
    expect(of_desk.user_agent).toBe(`Meja ${'x'.repeat(400)}`.slice(0, 200));
    expect(JSON.stringify(list)).not.toContain(desk.refresh_token.split('.')[1]);
    expect((await sessionsOf(desk.access_token)).map((s: any) => s.is_current).sort()).toEqual([false, true]);
  });

  test('P10 their pages add up to all of them, the newest first, with none twice', async () => {
    const tenant = await TestTenant.signUp();
    for (let i = 0; i < 12; i++) await signIn(tenant);
    const pages = [];
    for (let page = 1; page <= 4; page++) {
      const answer = await tenant.call('GET', '/auth/sessions', { query: { page, per_page: 5 } });
      expect(answer.meta).toEqual({ page, per_page: 5, total: 12, total_pages: 3 });
      pages.push(...answer.data);
    }
    expect(new Set(pages.map(session => session.id)).size).toBe(12);
    expect(pages).toHaveLength(12);
    const times = pages.map(session => session.last_renewed_at);
    expect(times).toEqual([...times].sort().reverse());
  });

  test('that are ended are over at once: token, renewal and socket, and no other', async () => {
    const tenant = await TestTenant.signUp();
    const [phone, desk] = [await signIn(tenant), await signIn(tenant)];
    const ear = await Listener.open({ token: phone.access_token });
    const lost = (await sessionsOf(phone.access_token)).find((s: any) => s.is_current);
    const ended = await call('DELETE', `/auth/sessions/${lost.id}`, { token: desk.access_token });
    expect(ended.data).toEqual({ id: lost.id });
    expect([await statusOf(phone.access_token), await statusOf(desk.access_token)]).toEqual([401, 200]);
    expect((await refresh(phone.refresh_token)).status).toBe(401);
    await ear.until(() => ear.closed, 'the socket to be closed');
    expect(ear.closed).toMatchObject({ code: 4401 });
    expect(await sessionsOf(desk.access_token)).toHaveLength(1);
    expect((await call('DELETE', `/auth/sessions/${lost.id}`, { token: desk.access_token })).status).toBe(404);
    const [event] = await tenant.get('/audit-logs', { entity_id: lost.id });
    expect(event).toMatchObject({ type: 'session.ended', user_id: tenant.admin.id });
  });

  test('of others are seen and ended by admins alone, and nobody ends those of another one as their own', async () => {
    const tenant = await TestTenant.signUp();
    const mine = await signIn(tenant);
    const operator = await tenant.addUser('operator');
    const [own] = await sessionsOf(mine.access_token);
    const path = `/users/${tenant.admin.id}/sessions`;
    for (const [method, which] of [
      ['GET', path],
      ['DELETE', path],
      ['DELETE', `${path}/${own.id}`],
    ] as const)
      expect((await call(method, which, { token: operator.token })).status).toBe(403);
    expect((await call('DELETE', `/auth/sessions/${own.id}`, { token: operator.token })).status).toBe(404);
    expect((await tenant.call('DELETE', `/users/${operator.id}/sessions/${own.id}`)).status).toBe(404);
    expect((await tenant.call('GET', `/users/${crypto.randomUUID()}/sessions`)).status).toBe(404);
    expect(await tenant.get(path)).toMatchObject([{ id: own.id, is_current: false }]);
    expect(await statusOf(mine.access_token)).toBe(200);
    expect((await tenant.call('DELETE', `${path}/${own.id}`)).status).toBe(200);
    expect(await statusOf(mine.access_token)).toBe(401);
  });

  test('signing out everywhere ends all of them, this one too; an admin does it for others', async () => {
    const tenant = await TestTenant.signUp();
    const [one, two] = [await signIn(tenant), await signIn(tenant)];
    expect((await call('DELETE', '/auth/sessions', { token: one.access_token })).data).toEqual({ signed_out: true });
    for (const each of [one, two]) {
      expect(await statusOf(each.access_token)).toBe(401);
      expect((await refresh(each.refresh_token)).status).toBe(401);
    }
    const again = await signIn(tenant);
    expect(await statusOf(again.access_token)).toBe(200);
    const second = await tenant.addUser('admin').catch(() => null);
    // the token that the test made for itself is from before
    expect(second).toBeNull();
  });

  test('signing out, or a refresh token that comes twice, ends the session’s access tokens too', async () => {
    const tenant = await TestTenant.signUp();
    const [left, stolen, other] = [await signIn(tenant), await signIn(tenant), await signIn(tenant)];
    await call('POST', '/auth/logout', { body: { refresh_token: left.refresh_token } });
    expect(await statusOf(left.access_token)).toBe(401);
    const thief = (await refresh(stolen.refresh_token)).data;
    expect((await refresh(stolen.refresh_token)).status).toBe(401);
    for (const { access_token } of [stolen, thief]) expect(await statusOf(access_token)).toBe(401);
    expect(await statusOf(other.access_token)).toBe(200);
    const [event] = await tenant.get('/audit-logs', { entity_type: 'session' });
    expect(event).toMatchObject({ type: 'session.ended' });
  });

  test('the limiter knows at once whose tokens are over, from whichever of them', async () => {
    const tenant = await TestTenant.signUp();
    const user = await tenant.addUser('operator');
    const limiter = limiterOf({ env }, `tenant:${tenant.id}`);
    const validFrom = async (user_id: string, session_id: string | null = null) =>
      (await limiter.ask({ caller: { address: 'x', user_id, session_id }, counts: [], now: Date.now() }))
        .tokens_valid_from;
    const changes = [{ role: 'viewer' }, { password: 'baru-dan-panjang-sekali' }, { is_active: false }];
    let before = await validFrom(user.id);
    expect(before).toBe(0);
    for (const change of changes) {
      await tenant.put(`/users/${user.id}`, change);
      const after = await validFrom(user.id);
      expect(after, JSON.stringify(change)).toBeGreaterThan(before);
      before = after;
    }
    await tenant.put(`/users/${user.id}`, { name: 'Lain' });
    expect(await validFrom(user.id)).toBe(before);
    const gone = await tenant.addUser('viewer');
    await tenant.call('DELETE', `/users/${gone.id}`);
    expect(await validFrom(gone.id)).toBeGreaterThan(Date.now());
    const session = await signIn(tenant);
    const [{ id }] = await sessionsOf(session.access_token);
    await call('POST', '/auth/logout', { body: { refresh_token: session.refresh_token } });
    expect(await validFrom(tenant.admin.id, id)).toBeGreaterThan(Date.now());
  });

  test('whose tokens are over for the limiter is let in nowhere, whatever the database says yet', async () => {
    const tenant = await TestTenant.signUp();
    const user = await tenant.addUser('operator');
    expect(await statusOf(user.token)).toBe(200);
    await limiterOf({ env }, `tenant:${tenant.id}`).end(user.id, Date.now() + 1000, Date.now());
    expect(await statusOf(user.token)).toBe(401);
    expect((await call('POST', '/zones', { token: user.token, body: { name: 'Utara' } })).status).toBe(401);
    expect(await tenant.get('/zones')).toEqual([]);
  });

  test('a limiter that couldn’t be told is told from the log', async () => {
    const tenant = await TestTenant.signUp();
    const user = await tenant.addUser('operator');
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const { token } = tenant.admin;
    const answer = await callWith(deaf(), 'PUT', `/api/v1/users/${user.id}`, { token, body: { role: 'viewer' } });
    expect(answer.status).toBe(200);
    const limiter = limiterOf({ env }, `tenant:${tenant.id}`);
    const caller = { address: 'x', user_id: user.id, session_id: null };
    const isTold = async () => (await limiter.ask({ caller, counts: [], now: Date.now() })).tokens_valid_from > 0;
    await expect.poll(isTold, { interval: 20 }).toBe(true);
  });

  test('what the limiter can’t be told of one thing holds up nothing of another', async () => {
    const tenant = await TestTenant.signUp();
    const ended: string[] = [];
    const limiter = {
      lift: () => Promise.reject(new Error('deaf')),
      end: async (subject: string) => void ended.push(subject),
    };
    const RATE_LIMITER = { idFromName: () => ({}), get: () => limiter } as unknown as Env['RATE_LIMITER'];
    const ctx = await makeTestContext(tenant, { env: { ...env, RATE_LIMITER } });
    const happened = (type: string, entity_id: string) =>
      ({ type, entity_id, entity_type: type.split('.')[0]!, seq: 1, customer_id: null, changes: {}, data: {}, facts: null, created_at: 0 }); // prettier-ignore
    const events = [happened('block.deleted', 'b'), happened('session.ended', 's'), happened('user.deleted', 'u')];
    await expect(consequences(async () => ctx).deliver(events)).rejects.toThrow('deaf');
    expect(ended.sort()).toEqual(['s', 'u']);
  });
});

describe('the second factor', () => {
  const codeOf = (secret: string, at = Date.now()) =>
    new TOTP({ secret: Secret.fromBase32(secret), algorithm: 'SHA1', digits: 6, period: 30 }).generate({
      timestamp: at,
    });

  interface SetUp extends Signed {
    /** What the app knows. */
    secret: string;
    recovery_codes: string[];
  }

  async function setUp(tenant: TestTenant, token: string): Promise<SetUp> {
    const begun = await call('POST', '/auth/totp', { token, body: { current_password: PASSWORD } });
    expect(begun.status, begun.text).toBe(201);
    const { secret } = begun.data;
    // the code before, so that the present one can be used; once more where it has become too old on its way
    for (let tries_left = 3; ; tries_left--) {
      const done = await call('POST', '/auth/totp/confirm', {
        token,
        body: { code: codeOf(secret, Date.now() - 30_000) },
      });
      if (done.status === 200) return { secret, ...done.data };
      if (tries_left === 0) expect.fail(done.text);
    }
  }

  test('codes are those of RFC 6238', async () => {
    const { findTotpStep } = await import('../../src/auth/second-factor.ts');
    const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
    // the last six of the RFC's eight digits
    const vectors: [number, string][] = [
      [59, '287082'],
      [1111111109, '081804'],
      [1111111111, '050471'],
      [1234567890, '005924'],
      [2000000000, '279037'],
      [20000000000, '353130'],
    ];
    for (const [seconds, code] of vectors) {
      const step = Math.floor(seconds / 30);
      expect(findTotpStep(secret, code, seconds * 1000)).toBe(step);
      expect(findTotpStep(secret, code, (step + 1) * 30_000)).toBe(step);
      expect(findTotpStep(secret, code, (step - 1) * 30_000)).toBe(step);
      expect(findTotpStep(secret, code, (step + 2) * 30_000)).toBeNull();
      expect(findTotpStep(secret, code, (step - 2) * 30_000 + 29_999)).toBeNull();
    }
  });

  test('is asked for from when it was confirmed; each code is good once, and so is each recovery code', async () => {
    const tenant = await TestTenant.signUp();
    const { token } = tenant.admin;
    const begun = await call('POST', '/auth/totp', { token, body: { current_password: PASSWORD } });
    expect(begun.data.uri).toMatch(/^otpauth:\/\/totp\//);
    expect(begun.data.uri).toContain(begun.data.secret);
    expect((await signIn(tenant)).user.has_second_factor).toBe(false);
    const wrong = await call('POST', '/auth/totp/confirm', { token, body: { code: '000000' } });
    expect([wrong.status, Object.keys(wrong.error.details!)]).toEqual([400, ['code']]);
    // begun anew: what was shown before is of no use
    const { secret, recovery_codes } = await setUp(tenant, token);
    expect(secret).not.toBe(begun.data.secret);
    expect(new Set(recovery_codes).size).toBe(10);
    const without = await tryIn(tenant);
    expect([without.status, without.error.code, without.error.details]).toEqual([
      401,
      'UNAUTHORIZED',
      { code: ['is required'] },
    ]);
    expect((await tryIn(tenant, { password: 'salah-sekali-ini' })).error.details).toBeUndefined();
    for (const code of [
      '000000',
      codeOf(begun.data.secret),
      codeOf(secret, Date.now() - 90_000),
      'AAAA-AAAA-AAAA-AAAA',
      "' OR 1=1",
    ])
      expect((await tryIn(tenant, { code })).error.details, code).toEqual({ code: ['is wrong'] });
    const code = codeOf(secret);
    const racers = await Promise.all(Array.from({ length: 4 }, () => tryIn(tenant, { code })));
    expect(racers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401]);
    expect((await tryIn(tenant, { code })).status).toBe(401);
    const spare = recovery_codes[3]!;
    const both = await Promise.all([tryIn(tenant, { code: spare.toLowerCase() }), tryIn(tenant, { code: spare })]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 401]);
    expect((await tryIn(tenant, { code: spare })).status).toBe(401);
    expect((await signIn(tenant, { code: recovery_codes[4] })).user.has_second_factor).toBe(true);
  });

  test('nothing of it is readable: not in the database, the log or any answer', async () => {
    const tenant = await TestTenant.signUp();
    const { secret, recovery_codes, access_token } = await setUp(tenant, tenant.admin.token);
    const d1 = await tenant.database();
    const rows = await d1.batch(
      ['users', 'recovery_codes', 'events'].map(table => d1.prepare(`SELECT * FROM ${table}`)),
    );
    const stored = JSON.stringify(rows.map(({ results }) => results));
    const asked = ['/users', '/audit-logs', '/auth/me'].map(path => call('GET', path, { token: access_token }));
    const seen = (await Promise.all(asked)).map(({ text }) => text).join('\n');
    for (const hidden of [secret, ...recovery_codes, ...recovery_codes.map(code => code.replaceAll('-', ''))]) {
      expect(stored).not.toContain(hidden);
      expect(seen).not.toContain(hidden);
    }
    expect(seen).toContain('"has_second_factor":true');
  });

  test('new recovery codes end the old ones; without password and code nothing is changed', async () => {
    const tenant = await TestTenant.signUp();
    const { recovery_codes, secret, access_token: token } = await setUp(tenant, tenant.admin.token);
    const wrong = { current_password: 'salah-sekali-ini' };
    for (const path of ['/auth/totp', '/auth/totp/recovery-codes', '/auth/totp/disable'])
      expect((await call('POST', path, { token, body: wrong })).error.details, path).toEqual({
        current_password: ['is wrong'],
      });
    const body = { current_password: PASSWORD };
    expect((await call('POST', '/auth/totp', { token, body })).error.code).toBe('IN_USE');
    // who knows the password alone is who a second factor is against
    for (const path of ['/auth/totp/recovery-codes', '/auth/totp/disable'])
      for (const [code, complaint] of [
        [undefined, 'is required'],
        ['000000', 'is wrong, over, or was used'],
      ]) {
        const refused = await call('POST', path, { token, body: { ...body, code } });
        expect([refused.status, refused.error.details], path).toEqual([400, { code: [complaint] }]);
      }
    const code = codeOf(secret);
    const renewed = await call('POST', '/auth/totp/recovery-codes', { token, body: { ...body, code } });
    expect((await tryIn(tenant, { code: recovery_codes[0] })).status).toBe(401);
    expect((await tryIn(tenant, { code: renewed.data.recovery_codes[0] })).status).toBe(200);
    expect((await call('POST', '/auth/totp/disable', { token, body: { ...body, code } })).status).toBe(400);
    const spare = { ...body, code: renewed.data.recovery_codes[1] };
    expect((await call('POST', '/auth/totp/disable', { token, body: spare })).data).toEqual({
      has_second_factor: false,
    });
    expect((await signIn(tenant)).user.has_second_factor).toBe(false);
    expect((await call('POST', '/auth/totp/recovery-codes', { token, body })).error.code).toBe('INVALID_TRANSITION');
    expect((await call('POST', '/auth/totp/confirm', { token, body: { code: '123456' } })).error.code).toBe(
      'INVALID_TRANSITION',
    );
  });

  test('where a role needs one, a session without does nothing but set it up', async () => {
    const tenant = await TestTenant.signUp();
    const operator = await tenant.addUser('operator');
    const before = await signIn(tenant);
    await tenant.put('/settings', { second_factor_roles: ['viewer', 'admin', 'admin'] });
    expect((await tenant.get('/settings')).second_factor_roles).toEqual(['admin', 'viewer']);
    // who is there goes on until the next renewal
    expect(before.must_set_up_second_factor).toBe(false);
    expect((await call('GET', '/customers', { token: before.access_token })).status).toBe(200);
    for (const { access_token, refresh_token, must_set_up_second_factor } of [
      (await refresh(before.refresh_token)).data as Signed,
      await signIn(tenant),
    ]) {
      expect(must_set_up_second_factor).toBe(true);
      for (const path of ['/customers', '/settings', '/auth/sessions', '/ws'])
        expect((await call('GET', path, { token: access_token })).status, path).toBe(403);
      const own = { current_password: PASSWORD, new_password: 'baru-dan-panjang-sekali' };
      expect((await call('PUT', '/auth/password', { token: access_token, body: own })).status).toBe(403);
      expect(await statusOf(access_token)).toBe(200);
      expect((await refresh(refresh_token)).data.must_set_up_second_factor).toBe(true);
    }
    const session = await signIn(tenant);
    const { secret, ...anew } = await setUp(tenant, session.access_token);
    expect(anew.must_set_up_second_factor).toBe(false);
    for (const { access_token, refresh_token } of [anew, (await refresh(anew.refresh_token)).data as Signed]) {
      expect(refresh_token).not.toBe(session.refresh_token);
      expect((await call('GET', '/customers', { token: access_token })).status).toBe(200);
    }
    expect((await signIn(tenant, { code: codeOf(secret) })).must_set_up_second_factor).toBe(false);
    // others have nothing to do
    expect((await call('GET', '/customers', { token: operator.token })).status).toBe(200);
  });

  test('no session that began without it goes on: it would be one that never showed a code', async () => {
    const tenant = await TestTenant.signUp();
    await tenant.put('/settings', { second_factor_roles: ['admin'] });
    // somebody who knows the password, and was there before
    const [thief, owner] = [await signIn(tenant), await signIn(tenant)];
    const anew = await setUp(tenant, owner.access_token);
    for (const session of [thief, owner]) {
      expect(await statusOf(session.access_token)).toBe(401);
      expect((await refresh(session.refresh_token)).status).toBe(401);
    }
    expect(await statusOf(anew.access_token)).toBe(200);
    expect(await sessionsOf(anew.access_token)).toMatchObject([{ is_current: true }]);
  });

  test('an admin takes it away from who has lost it, and nobody else does', async () => {
    const tenant = await TestTenant.signUp();
    const email = 'siti@x.example';
    const { id } = await tenant.post('/users', { email, name: 'Siti', role: 'admin', password: PASSWORD });
    const siti = await signIn(tenant, { email });
    const { access_token } = await setUp(tenant, siti.access_token);
    const operator = await tenant.addUser('operator');
    const path = `/users/${id}/totp`;
    expect((await call('DELETE', path, { token: operator.token })).status).toBe(403);
    expect((await call('DELETE', path, { token: access_token })).status).toBe(403);
    expect((await tryIn(tenant, { email })).status).toBe(401);
    expect((await tenant.call('DELETE', path)).data).toEqual({ has_second_factor: false });
    expect((await signIn(tenant, { email })).user.has_second_factor).toBe(false);
    const [event] = await tenant.get('/audit-logs', { entity_id: id, action: 'update' });
    expect(event).toMatchObject({ user_id: tenant.admin.id });
    expect((await tenant.call('DELETE', `/users/${crypto.randomUUID()}/totp`)).status).toBe(404);
  });

  test('wrong codes are failed tries to sign in: they block', async () => {
    const tenant = await TestTenant.signUp();
    const other = await tenant.addUser('operator');
    const { email } = await tenant.get(`/users/${other.id}`);
    await setUp(tenant, other.token);
    const { access_token } = await setUp(tenant, tenant.admin.token);
    const headers = { 'cf-connecting-ip': '203.0.113.77' };
    const codes = [...Array(8).fill({ code: '000000' }), ...Array(8).fill({ code: '000000', email })];
    const statuses = [];
    for (const each of codes) statuses.push((await tryIn(tenant, each, headers)).status);
    expect(statuses).toEqual([...Array(TOLERATED.sign_in.most).fill(401), 429]);
    const blocks = await call('GET', '/security/blocks', { token: access_token });
    expect(blocks.data).toMatchObject([{ reason: 'sign_in' }]);
  });

  test('ten wrong codes an hour are looked at, wherever they come from; right ones don’t count, recovery codes pass', async () => {
    const tenant = await TestTenant.signUp();
    vi.useFakeTimers({ toFake: ['Date'] });
    const { secret, recovery_codes } = await setUp(tenant, tenant.admin.token);
    const wait = (ms: number) => vi.setSystemTime(Date.now() + ms);
    const tryCode = async (code: string) => (await tryIn(tenant, { code })).status;
    for (let i = 0; i < 3; i++, wait(30_000)) expect(await tryCode(codeOf(secret))).toBe(200);
    for (let i = 0; i < 10; i++, wait(60_000)) expect(await tryCode('000000'), String(i)).toBe(401);
    expect(await tryCode('000000')).toBe(429);
    expect(await tryCode(codeOf(secret))).toBe(429);
    expect(await tryCode(recovery_codes[0]!)).toBe(200);
    wait(51 * 60_000);
    expect(await tryCode(codeOf(secret))).toBe(200);
  });
});
