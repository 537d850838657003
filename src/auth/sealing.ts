import type { Env } from '../env.ts';

/** Secrets at rest: AES-256-GCM, key id in front, bound to the row and column that it was sealed for. */

interface SealingKeys {
  first: string;
  by_id: Map<string, CryptoKey>;
  /** For fingerprints: derived from the same keys, for that use alone. */
  hashing: Map<string, CryptoKey>;
}

const keys_by_setting = new Map<string, SealingKeys>();

async function loadKeys(env: Env): Promise<SealingKeys> {
  const known = keys_by_setting.get(env.SEALING_KEYS);
  if (known) return known;
  const keys = await importKeys(env.SEALING_KEYS);
  keys_by_setting.set(env.SEALING_KEYS, keys);
  return keys;
}

async function importKeys(setting: string): Promise<SealingKeys> {
  const list = JSON.parse(setting) as { kid: string; key: string }[];
  const keys: SealingKeys = { first: list[0]!.kid, by_id: new Map(), hashing: new Map() };
  for (const { kid, key } of list) {
    const bytes = decodeBase64(key);
    if (bytes.length !== 32) throw new Error(`sealing key ${kid} is not 32 bytes`);
    keys.by_id.set(kid, await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']));
    keys.hashing.set(kid, await deriveHashingKey(bytes));
  }
  return keys;
}

async function deriveHashingKey(bytes: Uint8Array): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveKey']);
  const info = new TextEncoder().encode('rukun fingerprints');
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(32), info };
  return crypto.subtle.deriveKey(hkdf, material, { name: 'HMAC', hash: 'SHA-256', length: 256 }, false, ['sign']);
}

/** Where a sealed value lives: it opens nowhere else. */
export interface Place {
  row_id: string;
  column: string;
}

const boundTo = (place: Place) => new TextEncoder().encode(`${place.row_id}\n${place.column}`);

export async function seal(env: Env, place: Place, plain: string): Promise<string> {
  const keys = await loadKeys(env);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: boundTo(place) },
    keys.by_id.get(keys.first)!,
    new TextEncoder().encode(plain),
  );
  return `${keys.first}.${encodeBase64(iv)}.${encodeBase64(new Uint8Array(sealed))}`;
}

export async function unseal(env: Env, place: Place, sealed: string): Promise<string> {
  const keys = await loadKeys(env);
  const [kid = '', iv = '', text = ''] = sealed.split('.');
  const key = keys.by_id.get(kid);
  if (!key) throw new Error(`no sealing key ${kid}`);
  const plain = await crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: decodeBase64(iv), additionalData: boundTo(place) },
    key,
    decodeBase64(text),
  );
  return new TextDecoder().decode(plain);
}

const encodeBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const decodeBase64 = (text: string) => Uint8Array.from(atob(text), char => char.charCodeAt(0));

/** A keyed hash of a secret, to tell later whether it is still the same without opening or showing it. */
export async function fingerprintSecret(env: Env, place: Place, plain: string): Promise<string> {
  const { first } = await loadKeys(env);
  return fingerprintWith(env, first, place, plain);
}

/** Also when the hash was made with an older key. */
export async function isSameSecret(env: Env, place: Place, plain: string, hash: string | null): Promise<boolean> {
  const [kid = ''] = hash?.split('.') ?? [];
  const keys = await loadKeys(env);
  return keys.hashing.has(kid) && (await fingerprintWith(env, kid, place, plain)) === hash;
}

async function fingerprintWith(env: Env, kid: string, place: Place, plain: string): Promise<string> {
  const keys = await loadKeys(env);
  const text = new TextEncoder().encode(`${place.row_id}\n${place.column}\n${plain}`);
  return `${kid}.${encodeBase64(new Uint8Array(await crypto.subtle.sign('HMAC', keys.hashing.get(kid)!, text)))}`;
}
