import { env } from 'cloudflare:test';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { formatKeyName, parseKeyName, type KeyUse } from '../../src/auth/key-names.ts';
import { listKeys } from '../../src/auth/keys.ts';
import type { Env } from '../../src/env.ts';

/** Keys that tests make beside their own, which is a day old, and environments that hold them. */

export type Keys = Record<string, string>;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;

let next_suffix = 0;

const nameKey = (use: KeyUse, made_at_ms: number): string =>
  formatKeyName(use, made_at_ms, String(++next_suffix).padStart(4, '0'));

export const makeSealingKey = (made_at_ms: number): Keys => ({
  [nameKey('sealing', made_at_ms)]: btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))),
});

export async function makeTokenKey(made_at_ms: number): Promise<Keys> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { [nameKey('token', made_at_ms)]: JSON.stringify(await exportJWK(privateKey)) };
}

/** The one that the tests run with. */
export const ownKey = (use: KeyUse): Keys => {
  const { binding, value } = listKeys(env, use)[0]!;
  return { [binding]: value };
};

export const kidOf = (use: KeyUse, keys: Keys): string => parseKeyName(use, Object.keys(keys)[0]!)!.kid;

export function ownJwk(): JWK & { kid: string } {
  const own = ownKey('token');
  return { ...(JSON.parse(Object.values(own)[0]!) as JWK), kid: kidOf('token', own) };
}

/** The tests' environment with these keys of that use, and no others. */
export function envWith(use: KeyUse, ...keys: Keys[]): Env {
  const others = Object.entries(env).filter(([name]) => parseKeyName(use, name) === null);
  return Object.assign(Object.fromEntries(others), ...keys) as Env;
}
