import {
  createLocalJWKSet,
  errors,
  exportJWK,
  importJWK,
  jwtVerify,
  SignJWT,
  type JWK,
  type JWTVerifyGetKey,
} from 'jose';
import type { Actor, Tenant } from '../context.ts';
import type { Env } from '../env.ts';
import { unauthorized } from '../errors.ts';
import { ACCESS_TOKEN_SECONDS, pickKey } from './key-names.ts';
import { importOnce, type NamedKey } from './keys.ts';
import { ROLES, type Role } from './permissions.ts';

export { ACCESS_TOKEN_SECONDS };
export const REFRESH_TOKEN_SECONDS = 7 * 24 * 60 * 60;

interface Keys {
  /** Oldest first: which one signs is a question of the time. */
  signing: readonly (NamedKey & { key: CryptoKey })[];
  verify: JWTVerifyGetKey;
  public_jwks: { keys: JWK[] };
}

export const loadTokenKeys = importOnce('token', async (keys): Promise<Keys> => {
  const pairs = await Promise.all(keys.map(importPair));
  const public_jwks = { keys: pairs.map(({ public_jwk }) => public_jwk) };
  return { signing: pairs.map(({ signing }) => signing), verify: createLocalJWKSet(public_jwks), public_jwks };
});

async function importPair(named: NamedKey) {
  try {
    const { d, n, e, p, q, dp, dq, qi } = JSON.parse(named.value) as JWK;
    const kty = 'RSA';
    const key = (await importJWK({ kty, d, n, e, p, q, dp, dq, qi } as JWK, 'RS256')) as CryptoKey;
    if (key.type !== 'private') throw new Error('not private');
    const public_key = (await importJWK({ kty, n, e } as JWK, 'RS256', { extractable: true })) as CryptoKey;
    const public_jwk: JWK = { ...(await exportJWK(public_key)), kid: named.kid, alg: 'RS256', use: 'sig' };
    return { signing: { ...named, key }, public_jwk };
  } catch {
    // what went wrong may quote the key
    throw new Error(`${named.binding} holds no private RSA key as a JWK`);
  }
}

export interface AccessClaims {
  tenant_id: string;
  /** Epoch ms. */
  expires_at: number;
  actor: Extract<Actor, { kind: 'user' }>;
}

export async function signAccessToken(
  env: Env,
  tenant: Pick<Tenant, 'id'>,
  user: { id: string; role: Role; session_id: string; lacks_second_factor?: boolean },
  now: number,
  jti: string,
): Promise<string> {
  const { kid, key } = pickKey((await loadTokenKeys(env)).signing, now);
  // iat keeps its milliseconds: a token made just after a sign-out everywhere must not look older than it
  const issued_at = now / 1000;
  const limited = user.lacks_second_factor ? { limited_to: 'second_factor' } : {};
  return new SignJWT({ tenant_id: tenant.id, role: user.role, sid: user.session_id, ...limited })
    .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
    .setSubject(user.id)
    .setIssuer(env.TOKEN_ISSUER)
    .setAudience(env.TOKEN_AUDIENCE)
    .setIssuedAt(issued_at)
    .setExpirationTime(Math.floor(issued_at) + ACCESS_TOKEN_SECONDS)
    .setJti(jti)
    .sign(key);
}

/** Claims of a good access token; anything else is a 401 that doesn't say why. */
export async function verifyAccessToken(env: Env, token: string, now: number): Promise<AccessClaims> {
  const { verify } = await loadTokenKeys(env);
  const { payload, protectedHeader } = await jwtVerify(token, verify, {
    algorithms: ['RS256'],
    issuer: env.TOKEN_ISSUER,
    audience: env.TOKEN_AUDIENCE,
    requiredClaims: ['sub', 'exp', 'iat', 'jti'],
    currentDate: new Date(now),
  }).catch((error: unknown) => {
    // an expired one was ours: nothing is wrong with its bearer
    if (error instanceof errors.JWTExpired) throw unauthorized();
    throw unauthorized().suspect('token', token);
  });
  const { sub, tenant_id, role, iat, exp, sid, limited_to } = payload;
  // ours name their key; without a name the only key there is would do
  if (
    !protectedHeader.kid ||
    !sub ||
    typeof tenant_id !== 'string' ||
    !ROLES.includes(role as Role) ||
    !iat ||
    typeof sid !== 'string'
  )
    throw unauthorized();
  return {
    tenant_id,
    expires_at: exp! * 1000,
    actor: {
      kind: 'user',
      id: sub,
      role: role as Role,
      token_issued_at: Math.round(iat * 1000),
      session_id: sid,
      lacks_second_factor: limited_to !== undefined,
    },
  };
}

/** A secret that a person or program holds and we don't: 256 random bits, base64url. */
export function makeSecret(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/** What is stored in a secret's place. */
export async function hashSecret(secret: string): Promise<string> {
  return encodeBase64Url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret))));
}

/**
 * Opaque to clients; names its tenant, so that refreshing needs no header. Also used for enrolment tokens.
 */
export const formatTenantSecret = (tenant_id: string, secret: string): string =>
  `${tenant_id.replaceAll('-', '')}.${secret}`;

export function parseTenantSecret(token: string): { tenant_id: string; secret: string } | null {
  const match = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})\.([\w-]{43})$/.exec(token);
  return match ? { tenant_id: match.slice(1, 6).join('-'), secret: match[6]! } : null;
}

function encodeBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}
