import type { Ambient } from '../context.ts';
import type { Env } from '../env.ts';
import { KEY_SETTLED_MS, pickKey } from './key-names.ts';
import { importOnce, listKeys, type NamedKey } from './keys.ts';

/** Secrets at rest: AES-256-GCM, key id in front, bound to the row and column that it was sealed for. */

interface SealingKey extends NamedKey {
  sealing: CryptoKey;
  /** For fingerprints: derived from the same key, for that use alone. */
  hashing: CryptoKey;
}

/** Oldest first. */
const loadKeys = importOnce('sealing', keys => Promise.all(keys.map(importKey)));

async function importKey(named: NamedKey): Promise<SealingKey> {
  const bytes = decodeKey(named.value);
  if (bytes?.length !== 32) throw new Error(`${named.binding} is not 32 bytes in base64`);
  const sealing = await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']);
  return { ...named, sealing, hashing: await deriveHashingKey(bytes) };
}

function decodeKey(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return decodeBase64(text);
  } catch {
    return null;
  }
}

/** Where sealing happens: with which keys, and when. */
export type Sealer = Pick<Ambient, 'env' | 'now'>;

/**
 * What stored secrets should be sealed with by now: `kid`, which nothing older is written beside any more, and those that
 * are newer still.
 */
export function currentKeys({ env, now }: Sealer): { kid: string; current_kids: string[] } {
  const keys = listKeys(env, 'sealing');
  const { kid } = pickKey(keys, now, KEY_SETTLED_MS);
  const kids = keys.map(key => key.kid);
  return { kid, current_kids: kids.slice(kids.indexOf(kid)) };
}

async function deriveHashingKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
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

export async function seal({ env, now }: Sealer, place: Place, plain: string): Promise<string> {
  const { kid, sealing } = pickKey(await loadKeys(env), now);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: boundTo(place) },
    sealing,
    new TextEncoder().encode(plain),
  );
  return `${kid}.${encodeBase64(iv)}.${encodeBase64(new Uint8Array(sealed))}`;
}

export async function unseal(env: Env, place: Place, sealed: string): Promise<string> {
  const [kid = '', iv = '', text = ''] = sealed.split('.');
  const key = (await loadKeys(env)).find(each => each.kid === kid);
  if (!key) throw new Error(`no sealing key ${kid}`);
  const plain = await crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: decodeBase64(iv), additionalData: boundTo(place) },
    key.sealing,
    decodeBase64(text),
  );
  return new TextDecoder().decode(plain);
}

const encodeBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const decodeBase64 = (text: string) => Uint8Array.from(atob(text), char => char.charCodeAt(0));

/** A keyed hash of a secret, to tell later whether it is still the same without opening or showing it. */
export async function fingerprintSecret({ env, now }: Sealer, place: Place, plain: string): Promise<string> {
  return fingerprintWith(pickKey(await loadKeys(env), now), place, plain);
}

/** Also when the hash was made with an older key. */
export async function isSameSecret(env: Env, place: Place, plain: string, hash: string | null): Promise<boolean> {
  const [kid = ''] = hash?.split('.') ?? [];
  const key = (await loadKeys(env)).find(each => each.kid === kid);
  return key !== undefined && (await fingerprintWith(key, place, plain)) === hash;
}

async function fingerprintWith({ kid, hashing }: SealingKey, place: Place, plain: string): Promise<string> {
  const text = new TextEncoder().encode(`${place.row_id}\n${place.column}\n${plain}`);
  return `${kid}.${encodeBase64(new Uint8Array(await crypto.subtle.sign('HMAC', hashing, text)))}`;
}
