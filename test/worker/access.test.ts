import { env } from 'cloudflare:test';
import bcrypt from 'bcryptjs';
import fc from 'fast-check';
import { exportJWK, exportSPKI, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { checkPassword, findPasswordFault, hashPassword } from '../../src/auth/passwords.ts';
import { ROLES, type Role } from '../../src/auth/permissions.ts';
import { formatKeyName, parseKeyName, pickKey, sortKeys } from '../../src/auth/key-names.ts';
import { seal } from '../../src/auth/sealing.ts';
import { signAccessToken, verifyAccessToken } from '../../src/auth/tokens.ts';
import type { Env } from '../../src/env.ts';
import { callIn, callWith, dumpDatabase } from '../support/direct.ts';
import { envWith, kidOf, makeTokenKey, MINUTE_MS, ownJwk, ownKey } from '../support/keys.ts';
import { type Answer, call, mintToken, newAddress, PASSWORD, TestTenant } from '../support/world.ts';

afterEach(() => void vi.restoreAllMocks());

/** Each from an address of its own: how often one may fail is another test's subject. */
const signIn = (tenant: TestTenant, email: string, password = PASSWORD) =>
  call('POST', '/auth/login', {
    tenant: tenant.slug,
    body: { email, password },
    headers: { 'cf-connecting-ip': newAddress() },
  });
const refresh = (refresh_token: string) => call('POST', '/auth/refresh', { body: { refresh_token } });
const logOut = (refresh_token: string) => call('POST', '/auth/logout', { body: { refresh_token } });
const me = (token: string) => call('GET', '/auth/me', { token });
const adminEmail = (tenant: TestTenant) => `ayu@${tenant.slug}.example`;

async function signInWell(tenant: TestTenant, email = adminEmail(tenant), password = PASSWORD) {
  const answer = await signIn(tenant, email, password);
  expect(answer.status, answer.text).toBe(200);
  return answer.data as { access_token: string; refresh_token: string; user: { id: string } };
}

async function addPerson(tenant: TestTenant, role: Role = 'operator') {
  const email = `${crypto.randomUUID()}@orang.example`;
  const user = await tenant.post('/users', { email, name: 'Siti', role, password: PASSWORD });
  return { id: user.id as string, email, ...(await signInWell(tenant, email)) };
}

const claimsOf = (token: string) => JSON.parse(atob(token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/')));
const headOf = (token: string) => JSON.parse(atob(token.split('.')[0]!));

const fits = (password: string, email: string) => password.length <= 200 && !findPasswordFault(password, email);
const emails = fc
  .tuple(fc.stringMatching(/^[a-z][a-z0-9._]{0,15}[a-z0-9]$/), fc.stringMatching(/^[a-z]{2,10}$/))
  .filter(([name]) => !name.includes('..'))
  .map(([name, host]) => `${name}@${host}.example`);
const passwords = fc.string({ unit: 'grapheme', minLength: 10, maxLength: 60 }).filter(text => text.isWellFormed());

describe('signing in', () => {
  test('P03 valid credentials give an access token and a refresh token', async () => {
    const tenant = await TestTenant.signUp();
    await fc.assert(
      fc.asyncProperty(emails, passwords, fc.constantFrom(...ROLES), async (email, password, role) => {
        fc.pre(fits(password, email));
        const { id } = await tenant.post('/users', { email, name: 'Siti', role, password });
        const session = await signInWell(tenant, email.toUpperCase(), password);
        expect(session).toMatchObject({ token_type: 'Bearer', expires_in: 900, user: { id, email, role } });
        const claims = claimsOf(session.access_token);
        expect(claims).toMatchObject({ sub: id, tenant_id: tenant.id, role, iss: 'rukun', aud: 'rukun-api' });
        expect(claims.exp - Math.floor(claims.iat)).toBe(900);
        expect(claims.jti).toMatch(/^[0-9a-f-]{36}$/);
        expect(headOf(session.access_token)).toMatchObject({ alg: 'RS256', kid: ownJwk().kid });
        expect((await me(session.access_token)).data).toMatchObject({ id, email, role });
        expect((await refresh(session.refresh_token)).status).toBe(200);
        const last = [...password].length > 1 ? password.slice(0, -1) : 'x';
        expect((await signIn(tenant, email, last)).status).toBe(401);
        await tenant.call('DELETE', `/users/${id}`);
      }),
      { numRuns: 100 },
    );
  });

  test('wrong passwords, unknown addresses and inactive users get the same 401, and no session', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant);
    await tenant.put(`/users/${person.id}`, { is_active: false });
    const events = await tenant.get('/audit-logs', { action: 'login' });
    const answers = [
      await signIn(tenant, adminEmail(tenant), 'salah-sekali-ini'),
      await signIn(tenant, 'tidak@ada.example'),
      await signIn(tenant, person.email),
      await signIn(tenant, "' OR 1=1 --"),
    ];
    expect(new Set(answers.map(each => `${each.status} ${each.error.code} ${each.error.message}`)).size).toBe(1);
    expect(answers[0]!.status).toBe(401);
    expect(await tenant.get('/audit-logs', { action: 'login' })).toEqual(events);
  });

  test('a user of one tenant can’t sign in at another', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    expect((await signIn(other, adminEmail(one))).status).toBe(401);
  });

  test('many sign-ins of one user at the same moment all succeed', async () => {
    const tenant = await TestTenant.signUp();
    const answers = await Promise.all(Array.from({ length: 12 }, () => signIn(tenant, adminEmail(tenant))));
    expect(answers.map(answer => answer.status)).toEqual(Array(12).fill(200));
    expect(new Set(answers.map(answer => answer.data.refresh_token)).size).toBe(12);
    expect(await tenant.get('/audit-logs', { action: 'login', per_page: 100 })).toHaveLength(12);
  });

  test('signing in is recorded, and is no change of the user that an If-Match would trip over', async () => {
    const tenant = await TestTenant.signUp();
    const before = await tenant.get(`/users/${tenant.admin.id}`);
    expect(before.last_login_at).toBeNull();
    await signInWell(tenant);
    const after = await tenant.get(`/users/${tenant.admin.id}`);
    expect(after).toEqual({ ...before, last_login_at: expect.any(String) });
    const [event] = await tenant.get('/audit-logs', { action: 'login' });
    expect(event).toMatchObject({ type: 'user.logged_in', user_id: tenant.admin.id, entity_id: tenant.admin.id });
  });

  test('sign-in without a tenant’s name is a 400, with an unknown one a 404', async () => {
    const body = { email: 'a@b.example', password: PASSWORD };
    const nameless = await call('POST', '/auth/login', { body });
    expect([nameless.status, Object.keys(nameless.error.details!)]).toEqual([400, ['X-Tenant-ID']]);
    expect((await call('POST', '/auth/login', { body, tenant: 'tidak-ada' })).status).toBe(404);
    expect((await call('POST', '/auth/login', { body, tenant: crypto.randomUUID() })).status).toBe(404);
    expect((await call('POST', '/auth/login', { body, host: 'tidak-ada.rukun.test' })).status).toBe(404);
  });
});

describe('access tokens', () => {
  /** Everything right, unless told. */
  async function forge(
    tenant: TestTenant,
    options: { key?: CryptoKey | Uint8Array; head?: object; claims?: object; iat?: number } = {},
  ) {
    const jwk = ownJwk();
    const iat = options.iat ?? Math.floor(Date.now() / 1000) - 10;
    const claims = { sub: tenant.admin.id, tenant_id: tenant.id, role: 'admin', iss: 'rukun', aud: 'rukun-api' };
    const sid = crypto.randomUUID();
    return new SignJWT({ ...claims, sid, iat, exp: iat + 900, jti: crypto.randomUUID(), ...options.claims })
      .setProtectedHeader({ alg: 'RS256', kid: jwk.kid, ...options.head } as never)
      .sign(options.key ?? ((await importJWK(jwk, 'RS256')) as CryptoKey));
  }

  const base64url = (value: unknown) =>
    btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

  test('P04 another key, algorithm, audience, issuer or key id gets 401', async () => {
    const tenant = await TestTenant.signUp();
    expect((await me(await forge(tenant))).status).toBe(200);
    const jwk = ownJwk();
    const { kid, kty, n, e } = jwk;
    const public_jwk = { kty, n, e, kid, alg: 'RS256', use: 'sig' };
    const spki = await exportSPKI((await importJWK({ kty, n, e }, 'RS256', { extractable: true })) as CryptoKey);
    const stranger = (await generateKeyPair('RS256')).privateKey;
    const bytes = (text: string) => new TextEncoder().encode(text);
    const claims = claimsOf(await forge(tenant));
    const unsigned = (head: object) => `${base64url(head)}.${base64url(claims)}.`;
    const own_key = (await importJWK(jwk, 'RS256')) as CryptoKey;
    const rs512 = (await importJWK({ ...jwk, alg: 'RS512' }, 'RS512')) as CryptoKey;
    const bad: Record<string, string> = {
      'another key': await forge(tenant, { key: stranger }),
      'another key that is sent along': await forge(tenant, {
        key: stranger,
        head: { jwk: await exportJWK((await generateKeyPair('RS256', { extractable: true })).publicKey) },
      }),
      'a key url': await forge(tenant, { key: stranger, head: { jku: 'http://127.0.0.1/keys' } }),
      'alg none': unsigned({ alg: 'none', typ: 'JWT' }),
      'alg None': unsigned({ alg: 'None', kid }),
      'alg none with the kid': unsigned({ alg: 'none', kid }),
      'RS256 without a signature': unsigned({ alg: 'RS256', kid }),
      'HS256 with the PEM': await forge(tenant, { key: bytes(spki), head: { alg: 'HS256' } }),
      'HS256 with the trimmed PEM': await forge(tenant, { key: bytes(spki.trim()), head: { alg: 'HS256' } }),
      'HS256 with the JWK': await forge(tenant, { key: bytes(JSON.stringify(public_jwk)), head: { alg: 'HS256' } }),
      'HS256 with the modulus': await forge(tenant, { key: bytes(n!), head: { alg: 'HS256' } }),
      'another algorithm with the own key': await forge(tenant, { key: rs512, head: { alg: 'RS512' } }),
      'no kid': await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(own_key),
      'unknown kid': await forge(tenant, { head: { kid: 'no-such-key' } }),
      'wrong audience': await forge(tenant, { claims: { aud: 'rukun-platform' } }),
      'no audience': await forge(tenant, { claims: { aud: undefined } }),
      'wrong issuer': await forge(tenant, { claims: { iss: 'rukun2' } }),
      'no issuer': await forge(tenant, { claims: { iss: undefined } }),
      'no subject': await forge(tenant, { claims: { sub: undefined } }),
      'no expiry': await forge(tenant, { claims: { exp: undefined } }),
      'no time of issue': await forge(tenant, { claims: { iat: undefined } }),
      'no jti': await forge(tenant, { claims: { jti: undefined } }),
      'no session': await forge(tenant, { claims: { sid: undefined } }),
      'no tenant': await forge(tenant, { claims: { tenant_id: undefined } }),
      'a tenant that is none': await forge(tenant, { claims: { tenant_id: crypto.randomUUID() } }),
      'a role that is none': await forge(tenant, { claims: { role: 'owner' } }),
      'another role than the user has': await forge(tenant, { claims: { role: 'viewer' } }),
      'not valid yet': await forge(tenant, { claims: { nbf: Math.floor(Date.now() / 1000) + 600 } }),
      'a user that is none': await forge(tenant, { claims: { sub: crypto.randomUUID() } }),
    };
    for (const [what, token] of Object.entries(bad)) {
      const answer = await me(token);
      expect([answer.status, answer.error?.code], what).toEqual([401, 'UNAUTHORIZED']);
    }
  });

  test('P04 an access token is good for 15 minutes from its issue, and no longer', async () => {
    const user_id = crypto.randomUUID();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1_600_000_000_000, max: 2_000_000_000_000 }),
        fc.integer({ min: -5_000, max: 5_000 }),
        async (issued, around) => {
          const token = await mintToken('t', user_id, 'viewer', issued);
          const now = issued + 900_000 + around;
          const is_good = Math.floor(now / 1000) < Math.floor(issued / 1000) + 900;
          const verdict = await verifyAccessToken(env, token, now).then(
            claims => claims.actor.token_issued_at,
            error => error.code,
          );
          // the time of issue keeps its milliseconds
          expect(verdict).toBe(is_good ? issued : 'UNAUTHORIZED');
        },
      ),
      { numRuns: 100 },
    );
  });

  test('P04 an access token of any age gets 401 once it is expired, and not before', async () => {
    const tenant = await TestTenant.signUp();
    vi.spyOn(Date, 'now').mockReturnValue(Date.now());
    const around = fc.oneof(fc.integer({ min: 0, max: 3600 }), fc.integer({ min: 890, max: 910 }));
    await fc.assert(
      fc.asyncProperty(
        around.filter(age_s => Math.abs(age_s - 900) > 2),
        async age_s => {
          const token = await mintToken(tenant.id, tenant.admin.id, 'admin', Date.now() - age_s * 1000);
          expect((await me(token)).status).toBe(age_s < 900 ? 200 : 401);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('P04 an access token of which anything was changed gets 401', async () => {
    const tenant = await TestTenant.signUp();
    const good = (await forge(tenant)).split('.');
    expect((await me(good.join('.'))).status).toBe(200);
    const letter = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');
    await fc.assert(
      fc.asyncProperty(
        fc.nat(2),
        fc.nat(),
        letter,
        fc.constantFrom('change', 'cut', 'add'),
        async (of, at, by, how) => {
          const part = good[of]!;
          // bits of the last letter may stand for nothing
          const place = at % (part.length - 1);
          const rest = how === 'add' ? part.slice(place) : how === 'cut' ? '' : part.slice(place + 1);
          const changed = good.with(of, part.slice(0, place) + (how === 'cut' ? '' : by) + rest).join('.');
          fc.pre(changed !== good.join('.'));
          expect((await me(changed)).status, changed).toBe(401);
        },
      ),
      { numRuns: 200 },
    );
  });

  describe('keys in turn', () => {
    const signInWith = async (settings: Env, tenant: TestTenant): Promise<string> => {
      const body = { email: adminEmail(tenant), password: PASSWORD };
      const session = await callIn(settings, 'POST', '/api/v1/auth/login', { tenant: tenant.slug, body });
      expect(session.status, session.text).toBe(200);
      return session.data.access_token;
    };
    const ask = async (settings: Env, token: string) =>
      (await callIn(settings, 'GET', '/api/v1/auth/me', { token })).status;

    test('P04 a new key verifies at once and signs ten minutes later; tokens of both are good until one is taken away', async () => {
      const tenant = await TestTenant.signUp();
      const [young, grown] = await Promise.all([9, 11].map(age => makeTokenKey(Date.now() - age * MINUTE_MS)));
      const only_own = envWith('token', ownKey('token'));
      for (const [newer, is_signing] of [
        [young!, false],
        [grown!, true],
      ] as const) {
        const both = envWith('token', newer, ownKey('token'));
        const token = await signInWith(both, tenant);
        expect(headOf(token).kid).toBe(is_signing ? kidOf('token', newer) : ownJwk().kid);
        // by the new key alone, as it will sign
        const of_new = await signInWith(envWith('token', newer), tenant);
        expect(headOf(of_new).kid).toBe(kidOf('token', newer));
        for (const each of [tenant.admin.token, token, of_new]) expect(await ask(both, each)).toBe(200);
        expect(await ask(envWith('token', newer), tenant.admin.token)).toBe(401);
        expect(await ask(only_own, of_new)).toBe(401);
        expect(await ask(only_own, tenant.admin.token)).toBe(200);
        // isolates remember the keys that they had
        for (const each of [tenant.admin.token, token, of_new]) expect(await ask(both, each)).toBe(200);
      }
    });

    test('P04 the JWKS shows every key from its first moment, and nothing private of it', async () => {
      const newer = await makeTokenKey(Date.now());
      const { text } = await callIn(envWith('token', newer, ownKey('token')), 'GET', '/.well-known/jwks.json');
      const { keys } = JSON.parse(text) as { keys: JWK[] };
      expect(keys.map(key => key.kid)).toEqual([ownJwk().kid, kidOf('token', newer)]);
      for (const key of keys) expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
      const added = JSON.parse(Object.values(newer)[0]!) as JWK;
      for (const part of [added.d, added.p, ownJwk().d, ownJwk().q]) expect(text).not.toContain(part);
    });

    test('of any keys the newest that is ten minutes old is taken, and of younger ones the oldest', () => {
      const now = Date.parse('2026-11-29T14:15:00Z');
      const ages = fc.uniqueArray(fc.integer({ min: 0, max: 60 * 60 }), { minLength: 1, maxLength: 6 });
      fc.assert(
        fc.property(ages, list => {
          const made = list.map((age_s, at) => formatKeyName('token', now - age_s * 1000, `000${at}`));
          const keys = sortKeys(made.map(name => parseKeyName('token', name)!));
          const old = list.filter(age_s => age_s >= 600);
          const expected = old.length > 0 ? Math.min(...old) : Math.max(...list);
          expect(pickKey(keys, now).made_at_ms).toBe(now - expected * 1000);
        }),
        { numRuns: 300 },
      );
    });

    test('a key whose name tells no time is older than all others; other names are no keys', () => {
      const names = ['TOKEN_KEY_20261129T141500Z_1F3A', 'TOKEN_KEY_0A1B2C3D4E5F', 'TOKEN_KEY_99999999T999999Z_AAAA'];
      const keys = sortKeys(names.map(name => parseKeyName('token', name)!));
      expect(keys.map(({ kid }) => kid)).toEqual(['0a1b2c3d4e5f', '99999999t999999z_aaaa', '20261129t141500z_1f3a']);
      expect(keys.at(-1)!.made_at_ms).toBe(Date.parse('2026-11-29T14:15:00Z'));
      for (const name of [
        'TOKEN_KEY_',
        'TOKEN_KEYS',
        'TOKEN_KEY_A.B',
        'SEALING_KEY_A',
        'TOKEN_ISSUER',
        'MY_TOKEN_KEY_A',
      ])
        expect(parseKeyName('token', name)).toBeNull();
    });

    test('a key that is none, or the lack of any, is an error that names it, and shows nothing of it', async () => {
      const make = (settings: Env) =>
        signAccessToken(settings, { id: 't' }, { id: 'u', role: 'viewer', session_id: 's' }, Date.now(), 'j');
      const { n, e, kty } = ownJwk();
      for (const value of [
        'rahasia-sekali',
        '{"kty":"RSA","d":"rahasia-sekali"}',
        JSON.stringify({ kty, n, e }),
        '7',
        'null',
      ]) {
        const error = await make(envWith('token', { TOKEN_KEY_BAD: value })).catch((thrown: Error) => thrown);
        expect(String(error)).toBe('Error: TOKEN_KEY_BAD holds no private RSA key as a JWK');
      }
      await expect(make(envWith('token'))).rejects.toThrow('no TOKEN_KEY_… is set');
      const sealer = { env: envWith('sealing', { SEALING_KEY_BAD: 'cmFoYXNpYQ==' }), now: Date.now() };
      await expect(seal(sealer, { row_id: 'r', column: 'c' }, 'x')).rejects.toThrow('SEALING_KEY_BAD is not 32 bytes');
    });
  });
});

describe('refresh tokens', () => {
  test('P05 P06 after any sequence of sign-ins, refreshes, reuses and sign-outs each token does what the rules say', async () => {
    const tenant = await TestTenant.signUp();
    type Token = { text: string; is_spent: boolean; family: { is_over: boolean } };
    const acts = fc.array(
      fc.tuple(fc.constantFrom('sign in', 'refresh', 'refresh', 'refresh newest', 'log out'), fc.nat({ max: 50 })),
      { minLength: 2, maxLength: 9 },
    );
    const add = (tokens: Token[], answer: Answer, family: Token['family']) => {
      expect(answer.status, answer.text).toBe(200);
      expect(tokens.map(token => token.text)).not.toContain(answer.data.refresh_token);
      tokens.push({ text: answer.data.refresh_token, is_spent: false, family });
    };
    await fc.assert(
      fc.asyncProperty(acts, async list => {
        const tokens: Token[] = [];
        add(tokens, await signIn(tenant, adminEmail(tenant)), { is_over: false });
        for (const [act, pick] of list) {
          const token = act === 'refresh newest' ? tokens.at(-1)! : tokens[pick % tokens.length]!;
          if (act === 'sign in') add(tokens, await signIn(tenant, adminEmail(tenant)), { is_over: false });
          else if (act === 'log out') {
            expect((await logOut(token.text)).status).toBe(token.family.is_over ? 401 : 200);
            token.family.is_over = true;
          } else {
            const answer = await refresh(token.text);
            if (!token.is_spent && !token.family.is_over) add(tokens, answer, token.family);
            else expect(answer.status).toBe(401);
            if (token.is_spent) token.family.is_over = true;
            token.is_spent ||= answer.status === 200;
          }
        }
        // whatever is left alive is what the model says, and nothing else
        for (const token of [...tokens]) {
          if (token.is_spent) continue;
          expect((await refresh(token.text)).status).toBe(token.family.is_over ? 401 : 200);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('P05 of two refreshes with the same token at once exactly one wins, and the family ends', async () => {
    const tenant = await TestTenant.signUp();
    for (let round = 0; round < 20; round++) {
      const session = await signInWell(tenant);
      const other = await signInWell(tenant);
      const answers = await Promise.all([refresh(session.refresh_token), refresh(session.refresh_token)]);
      expect(answers.map(answer => answer.status).sort()).toEqual([200, 401]);
      const winner = answers.find(answer => answer.status === 200)!;
      // the same token came twice: it may have been stolen
      expect((await refresh(winner.data.refresh_token)).status).toBe(401);
      expect((await refresh(other.refresh_token)).status).toBe(200);
    }
  });

  test('P05 of ten at once exactly one wins', async () => {
    const tenant = await TestTenant.signUp();
    const { refresh_token } = await signInWell(tenant);
    const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(refresh_token)));
    expect(answers.filter(answer => answer.status === 200)).toHaveLength(1);
    expect(answers.filter(answer => answer.status === 401)).toHaveLength(9);
  });

  test('a refresh gives a pair that works, for the role that the user has by now', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant, 'operator');
    const next = await refresh(person.refresh_token);
    expect(next.data).toMatchObject({ token_type: 'Bearer', expires_in: 900, user: { id: person.id } });
    expect(claimsOf(next.data.access_token)).toMatchObject({ sub: person.id, role: 'operator', tenant_id: tenant.id });
    expect((await me(next.data.access_token)).status).toBe(200);
  });

  test('a refresh token ends after seven days', async () => {
    const tenant = await TestTenant.signUp();
    const [young, old] = [await signInWell(tenant), await signInWell(tenant)];
    const d1 = await tenant.database();
    const rows = await d1.prepare('SELECT expires_at - created_at AS lives_ms FROM refresh_tokens').all();
    expect(rows.results).toEqual(Array(2).fill({ lives_ms: 7 * 24 * 3_600_000 }));
    await d1
      .prepare('UPDATE refresh_tokens SET expires_at = ? WHERE family_id = (SELECT max(family_id) FROM refresh_tokens)')
      .bind(Date.now())
      .run();
    expect((await refresh(old.refresh_token)).status).toBe(401);
    expect((await refresh(young.refresh_token)).status).toBe(200);
  });

  test('a token of another form, or of nobody, is a 401 with or without a tenant’s name', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const { refresh_token } = await signInWell(tenant);
    const [id, secret] = refresh_token.split('.') as [string, string];
    const bad = [
      'x',
      secret,
      `${id}.`,
      `${id}.${'A'.repeat(43)}`,
      `${other.id.replaceAll('-', '')}.${secret}`,
      `${crypto.randomUUID().replaceAll('-', '')}.${secret}`,
      tenant.admin.token.slice(0, 200),
    ];
    for (const path of ['/auth/refresh', '/auth/logout'])
      for (const token of bad)
        for (const name of [null, tenant.slug]) {
          const answer = await call('POST', path, { tenant: name, body: { refresh_token: token } });
          // a token that names the other tenant disagrees with the header
          expect([401, 403], `${path} ${token}`).toContain(answer.status);
          if (name === null) expect(answer.status, `${path} ${token}`).toBe(401);
        }
    expect((await refresh(refresh_token)).status).toBe(200);
  });

  test('only hashes of refresh tokens are stored', async () => {
    const tenant = await TestTenant.signUp();
    const { refresh_token, access_token } = await signInWell(tenant);
    const text = JSON.stringify(await dumpDatabase(await tenant.database()));
    for (const secret of [refresh_token, refresh_token.split('.')[1]!, access_token, PASSWORD])
      expect(text).not.toContain(secret);
  });

  test('P06 after signing out the refresh token no longer works; it is recorded who did', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant);
    expect((await logOut(person.refresh_token)).data).toEqual({ logged_out: true });
    expect((await refresh(person.refresh_token)).status).toBe(401);
    const [event] = await tenant.get('/audit-logs', { action: 'logout' });
    expect(event).toMatchObject({ type: 'user.logged_out', user_id: person.id, user_email: person.email });
  });
});

describe('one’s own account', () => {
  test('/auth/me is the signed-in user, of any role', async () => {
    const tenant = await TestTenant.signUp();
    for (const role of ROLES) {
      const person = await addPerson(tenant, role);
      const answer = await me(person.access_token);
      expect(answer.data).toMatchObject({ id: person.id, email: person.email, role, is_active: true });
      expect(answer.text).not.toMatch(/hash|valid_from/);
    }
  });

  test('changing the password ends the other sessions, and gives a new one', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant, 'viewer');
    const other = await signInWell(tenant, person.email);
    const new_password = 'sandi-yang-baru-sekali';
    const answer = await call('PUT', '/auth/password', {
      token: person.access_token,
      body: { current_password: PASSWORD, new_password },
    });
    expect(answer.status, answer.text).toBe(200);
    for (const old of [person, other]) {
      expect((await me(old.access_token)).status).toBe(401);
      expect((await refresh(old.refresh_token)).status).toBe(401);
    }
    expect((await me(answer.data.access_token)).status).toBe(200);
    expect((await refresh(answer.data.refresh_token)).status).toBe(200);
    expect((await signIn(tenant, person.email)).status).toBe(401);
    await signInWell(tenant, person.email, new_password);
    expect((await me(tenant.admin.token)).status).toBe(200);
    const [event] = await tenant.get('/audit-logs', { entity_id: person.id, action: 'update' });
    expect(event).toMatchObject({ type: 'user.password_changed', user_id: person.id });
    expect(event.changes).toEqual({
      password_hash: ['••••••••', '••••••••'],
      tokens_valid_from: [expect.any(String), expect.any(String)],
    });
  });

  test('a wrong current password, or a bad new one, is a 400 that names it, and changes nothing', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant);
    const local = person.email.split('@')[0]!;
    const before = await dumpDatabase(await tenant.database());
    const attempts: [string, object][] = [
      ['current_password', { current_password: 'salah-sekali-ini', new_password: 'sandi-yang-baru-sekali' }],
      ['current_password', { new_password: 'sandi-yang-baru-sekali' }],
      ['new_password', { current_password: PASSWORD, new_password: 'pendek-9c' }],
      ['new_password', { current_password: PASSWORD, new_password: 'x'.repeat(201) }],
      ['new_password', { current_password: PASSWORD, new_password: 'password123' }],
      ['new_password', { current_password: PASSWORD, new_password: 'RAHASIA123' }],
      ['new_password', { current_password: PASSWORD, new_password: person.email.toUpperCase() }],
      ['new_password', { current_password: PASSWORD, new_password: local }],
      ['new_password', { current_password: PASSWORD, new_password: 'zzzzzzzzzzzz' }],
    ];
    for (const [field, body] of attempts) {
      const answer = await call('PUT', '/auth/password', { token: person.access_token, body });
      expect([answer.status, Object.keys(answer.error?.details ?? {})], JSON.stringify(body)).toEqual([400, [field]]);
    }
    expect(await dumpDatabase(await tenant.database())).toEqual(before);
    expect((await me(person.access_token)).status).toBe(200);
  });
});

describe('users', () => {
  test('are made, listed, changed and deleted by an admin', async () => {
    const tenant = await TestTenant.signUp();
    const body = { email: ' Siti@Contoh.Example ', name: 'Siti', role: 'viewer', password: PASSWORD };
    const user = await tenant.post('/users', body);
    expect(user).toMatchObject({ email: 'siti@contoh.example', role: 'viewer', is_active: true, last_login_at: null });
    expect(await tenant.get(`/users/${user.id}`)).toEqual(user);
    expect(await tenant.get('/users', { role: 'viewer' })).toEqual([user]);
    expect(await tenant.get('/users', { sort: 'name', fields: 'name' })).toEqual([{ name: 'Ayu' }, { name: 'Siti' }]);
    const twice = await tenant.call('POST', '/users', { body: { ...body, email: 'SITI@contoh.example' } });
    expect([twice.status, twice.error.code, twice.error.details]).toEqual([
      409,
      'DUPLICATE_ENTRY',
      { email: ['is taken'] },
    ]);
    expect(await tenant.put(`/users/${user.id}`, { name: 'Siti Aminah' })).toMatchObject({ name: 'Siti Aminah' });
    const gone = await tenant.call('DELETE', `/users/${user.id}`);
    expect(gone.data).toEqual({ id: user.id });
    expect((await tenant.call('GET', `/users/${user.id}`)).status).toBe(404);
    const types = (await tenant.get('/audit-logs', { entity_id: user.id })).map((event: any) => event.type);
    expect(types).toEqual(['user.deleted', 'user.updated', 'user.created']);
  });

  test('P09 a user without a required field is refused with 400 that names it; nothing is stored', async () => {
    const tenant = await TestTenant.signUp();
    const whole = { email: 'siti@contoh.example', name: 'Siti', role: 'viewer', password: PASSWORD };
    const before = await dumpDatabase(await tenant.database());
    for (const field of Object.keys(whole) as (keyof typeof whole)[]) {
      const { [field]: _, ...body } = whole;
      const answer = await tenant.call('POST', '/users', { body });
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
    for (const [field, value] of [
      ['role', 'owner'],
      ['email', 'siti'],
      ['password', 'pendek'],
      ['password', 'siti@contoh.example'],
      ['name', ' '],
    ] as const) {
      const answer = await tenant.call('POST', '/users', { body: { ...whole, [field]: value } });
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
    expect(await dumpDatabase(await tenant.database())).toEqual(before);
  });

  const ends: [string, object | null][] = [
    ['deactivation', { is_active: false }],
    ['another role', { role: 'viewer' }],
    ['a password given by an admin', { password: 'sandi-dari-admin-baru' }],
    ['deletion', null],
  ];

  test.each(ends)('%s ends the user’s access and refresh tokens at once', async (_, change) => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant, 'operator');
    const untouched = await addPerson(tenant, 'operator');
    expect((await me(person.access_token)).status).toBe(200);
    const path = `/users/${person.id}`;
    const answer = change ? await tenant.call('PUT', path, { body: change }) : await tenant.call('DELETE', path);
    expect(answer.status).toBe(200);
    // reads and writes, and what asks nothing of the user but to be signed in
    const asked = [
      await me(person.access_token),
      await call('GET', '/customers', { token: person.access_token }),
      await call('POST', '/zones', { token: person.access_token, body: { name: 'Utara' } }),
    ];
    expect(asked.map(each => each.status)).toEqual([401, 401, 401]);
    expect((await refresh(person.refresh_token)).status).toBe(401);
    expect((await me(untouched.access_token)).status).toBe(200);
    expect((await refresh(untouched.refresh_token)).status).toBe(200);
    expect(await tenant.get('/zones')).toEqual([]);
  });

  test('a change of name ends no session, and a user who is active again signs in anew', async () => {
    const tenant = await TestTenant.signUp();
    const person = await addPerson(tenant, 'operator');
    await tenant.put(`/users/${person.id}`, { name: 'Siti Aminah', role: 'operator' });
    expect((await me(person.access_token)).status).toBe(200);
    await tenant.put(`/users/${person.id}`, { is_active: false });
    expect((await signIn(tenant, person.email)).status).toBe(401);
    await tenant.put(`/users/${person.id}`, { is_active: true });
    expect((await me(person.access_token)).status).toBe(401);
    await signInWell(tenant, person.email);
  });

  test('a write under way when its user is deactivated is not stored', async () => {
    const tenant = await TestTenant.signUp();
    for (let round = 0; round < 10; round++) {
      const person = await addPerson(tenant, 'operator');
      const [made, changed] = await Promise.all([
        call('POST', '/zones', { token: person.access_token, body: { name: `Zona ${round}` } }),
        tenant.call('PUT', `/users/${person.id}`, { body: { is_active: false } }),
      ]);
      expect(changed.status).toBe(200);
      expect([201, 401]).toContain(made.status);
      const events = (await tenant.get('/audit-logs', { per_page: 100 })) as any[];
      const off = events.find(event => event.entity_id === person.id && event.changes.is_active?.[1] === false);
      const zone = events.find(event => event.type === 'zone.created' && event.user_id === person.id);
      expect(!!zone).toBe(made.status === 201);
      if (zone) expect(zone.seq).toBeLessThan(off.seq);
    }
  });
});

describe('the last active admin', () => {
  test('can’t be demoted, deactivated or deleted', async () => {
    const tenant = await TestTenant.signUp();
    const inactive = await addPerson(tenant, 'admin');
    await tenant.put(`/users/${inactive.id}`, { is_active: false });
    const path = `/users/${tenant.admin.id}`;
    const before = await dumpDatabase(await tenant.database());
    const answers = [
      await tenant.call('PUT', path, { body: { role: 'operator' } }),
      await tenant.call('PUT', path, { body: { is_active: false } }),
      await tenant.call('PUT', path, { body: { is_active: false, role: 'viewer', name: 'Ayu' } }),
      await tenant.call('DELETE', path),
    ];
    expect(answers.map(each => [each.status, each.error?.code])).toEqual(Array(4).fill([409, 'CONFLICT']));
    expect(await dumpDatabase(await tenant.database())).toEqual(before);
    expect((await me(tenant.admin.token)).status).toBe(200);
    await tenant.put(`/users/${inactive.id}`, { is_active: true });
    expect((await tenant.call('PUT', path, { body: { role: 'operator' } })).status).toBe(200);
  });

  test('is left over when admins turn on each other at the same moment', async () => {
    const tenant = await TestTenant.signUp();
    const turns = [{ role: 'viewer' }, { is_active: false }, null];
    for (let round = 0; round < 12; round++) {
      const [one, two] = [await addPerson(tenant, 'admin'), await addPerson(tenant, 'admin')];
      // only these two are admins now
      const d1 = await tenant.database();
      await d1.prepare('UPDATE users SET is_active = id IN (?, ?)').bind(one.id, two.id).run();
      const turn = (by: typeof one, on: typeof one, how: object | null) =>
        how
          ? call('PUT', `/users/${on.id}`, { token: by.access_token, body: how })
          : call('DELETE', `/users/${on.id}`, { token: by.access_token });
      const answers = await Promise.all([
        turn(one, two, turns[round % 3]!),
        turn(two, one, turns[Math.floor(round / 3) % 3]!),
      ]);
      const { results } = await d1.prepare("SELECT id FROM users WHERE role = 'admin' AND is_active = 1").all();
      expect(results).toHaveLength(1);
      expect(answers.map(each => each.status).sort()[0]).toBe(200);
      expect([401, 409]).toContain(answers.map(each => each.status).sort()[1]);
      await d1.prepare('UPDATE users SET is_active = 1 WHERE id = ?').bind(tenant.admin.id).run();
    }
  });
});

test('no answer and no event ever holds a password or its hash', async () => {
  const tenant = await TestTenant.signUp();
  const person = await addPerson(tenant);
  const new_password = 'sandi-yang-baru-sekali';
  const texts = [
    await signIn(tenant, person.email),
    await tenant.call('POST', '/users', {
      body: { email: 'a@b.example', name: 'A', role: 'viewer', password: new_password },
    }),
    await tenant.call('PUT', `/users/${person.id}`, { body: { password: new_password, name: 'B' } }),
    await tenant.call('GET', '/users'),
    await tenant.call('GET', `/users/${person.id}`),
    await tenant.call('GET', '/users', { query: { fields: 'password_hash' } }),
    await tenant.call('GET', '/users', { query: { sort: 'password_hash' } }),
    await tenant.call('DELETE', `/users/${person.id}`),
    await tenant.call('PUT', '/auth/password', { body: { current_password: PASSWORD, new_password } }),
  ].map(answer => answer.text);
  const d1 = await tenant.database();
  const { results } = await d1.prepare('SELECT * FROM events').all();
  const hashes = await d1.prepare('SELECT password_hash FROM users').all<{ password_hash: string }>();
  texts.push(JSON.stringify(results));
  for (const text of texts) {
    expect(text).not.toMatch(/\$2[aby]\$|bcrypt72|"token_hash"/);
    for (const secret of [PASSWORD, new_password, ...hashes.results.map(row => row.password_hash)])
      expect(text).not.toContain(secret);
  }
});

describe('password hashes', () => {
  const cost = 4;

  test('name their scheme, and open for their password alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 120 }),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 120 }),
        async (password, other) => {
          fc.pre(password.isWellFormed() && other.isWellFormed());
          const stored = await hashPassword(password, cost);
          expect(stored).toMatch(/^bcrypt72:\$2[ab]\$04\$/);
          expect(await checkPassword(password, stored, cost)).toEqual({ ok: true, outdated: false });
          expect((await checkPassword(other, stored, cost)).ok).toBe(other === password);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('look at every byte, also behind the 72 that bcrypt sees', async () => {
    for (const [head, tail] of [
      ['a'.repeat(72), 'b'],
      ['é'.repeat(36), 'x'],
      ['a'.repeat(71), 'b'],
      ['🙂'.repeat(18), '🙂'],
      ['a'.repeat(199), 'b'],
      ['ab\u0000', 'cd'],
    ] as const) {
      const stored = await hashPassword(head + tail, cost);
      expect((await checkPassword(head + tail, stored, cost)).ok).toBe(true);
      expect((await checkPassword(head, stored, cost)).ok).toBe(false);
      expect((await checkPassword(`${head}${tail}x`, stored, cost)).ok).toBe(false);
    }
  });

  test('of 72 bytes are plain bcrypt, of more are of its SHA-256', async () => {
    const seen = vi.spyOn(bcrypt, 'hash');
    await hashPassword('a'.repeat(72), cost);
    await hashPassword('a'.repeat(73), cost);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode('a'.repeat(73))));
    expect(seen.mock.calls.map(([text]) => text)).toEqual(['a'.repeat(72), btoa(String.fromCharCode(...digest))]);
  });

  test('of an unknown scheme are an error, not a no', async () => {
    await expect(checkPassword('x', `md5:${'0'.repeat(32)}`, cost)).rejects.toThrow(/unknown scheme/);
  });

  test('of another cost are made anew at the next sign-in, and only then', async () => {
    const tenant = await TestTenant.signUp();
    const stored = async () =>
      (await (await tenant.database()).prepare('SELECT password_hash AS hash FROM users').first<{ hash: string }>())!
        .hash;
    const first = await stored();
    await signInWell(tenant);
    expect(await stored()).toBe(first);
    const login = (password: string) =>
      callWith({ PASSWORD_COST: '5' }, 'POST', '/api/v1/auth/login', {
        tenant: tenant.slug,
        body: { email: adminEmail(tenant), password },
      });
    expect((await login('salah-sekali-ini')).status).toBe(401);
    expect(await stored()).toBe(first);
    // side by side: each made a hash of its own, and one of them is kept
    const answers = await Promise.all([login(PASSWORD), login(PASSWORD), login(PASSWORD)]);
    expect(answers.map(answer => answer.status)).toEqual([200, 200, 200]);
    const second = await stored();
    expect(second).toMatch(/^bcrypt72:\$2[ab]\$05\$/);
    expect((await login(PASSWORD)).status).toBe(200);
    expect(await stored()).toBe(second);
  });

  test('an unknown address costs as much bcrypt as a wrong password', async () => {
    const tenant = await TestTenant.signUp();
    const [hash, compare] = [vi.spyOn(bcrypt, 'hash'), vi.spyOn(bcrypt, 'compare')];
    const workOf = async (email: string) => {
      hash.mockClear();
      compare.mockClear();
      expect((await signIn(tenant, email, 'salah-sekali-ini')).status).toBe(401);
      const costs = hash.mock.calls.map(([, at]) => at);
      return { runs: hash.mock.calls.length + compare.mock.calls.length, costs };
    };
    expect(await workOf(adminEmail(tenant))).toEqual({ runs: 1, costs: [] });
    expect(await workOf('tidak@ada.example')).toEqual({ runs: 1, costs: [4] });
  });

  test('common passwords and one’s own address are told', () => {
    for (const bad of ['password123', 'PASSWORD123', 'Rahasia123', 'qwertyuiop', 'aaaaaaaaaa', '🙂🙂🙂🙂🙂'])
      expect(findPasswordFault(bad, 'a@b.example'), bad).toMatch(/common/);
    for (const bad of ['siti.aminah@contoh.example', 'SITI.AMINAH@contoh.example', 'siti.aminah'])
      expect(findPasswordFault(bad, 'Siti.Aminah@contoh.example'), bad).toMatch(/e-mail/);
    expect(findPasswordFault(PASSWORD, 'a@b.example')).toBeNull();
  });
});
