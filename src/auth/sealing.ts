import type { Env } from '../env.ts';

/** Secrets at rest: AES-256-GCM, key id in front, bound to the row and column that it was sealed for. */

interface SealingKeys {
  first: string;
  by_id: Map<string, CryptoKey>;
  /** Of the first key's bytes. */
  hashing: CryptoKey;
}

const keys_by_setting = new Map<string, Promise<SealingKeys>>();

function loadKeys(env: Env): Promise<SealingKeys> {
  let keys = keys_by_setting.get(env.SEALING_KEYS);
  if (!keys) {
    keys = importKeys(env.SEALING_KEYS);
    keys_by_setting.set(env.SEALING_KEYS, keys);
  }
  return keys;
}

async function importKeys(setting: string): Promise<SealingKeys> {
  const list = JSON.parse(setting) as { kid: string; key: string }[];
  const imported = await Promise.all(
    list.map(async ({ kid, key }) => {
      const bytes = decodeBase64(key);
      if (bytes.length !== 32) throw new Error(`sealing key ${kid} is not 32 bytes`);
      return [kid, await crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt'])] as const;
    }),
  );
  const first = list[0]!;
  const hashing = await crypto.subtle.importKey(
    'raw',
    decodeBase64(first.key),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  );
  return { first: first.kid, by_id: new Map(imported), hashing };
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
  const keys = await loadKeys(env);
  const text = new TextEncoder().encode(`${place.row_id}\n${place.column}\n${plain}`);
  return encodeBase64(new Uint8Array(await crypto.subtle.sign('HMAC', keys.hashing, text)));
}
