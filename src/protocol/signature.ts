/**
 * Signatures between Worker and bridge: HMAC-SHA256 with the bridge's own secret, hex. A request's covers time, nonce,
 * method, path and body hash; an answer's covers the request's nonce, status and body hash, so that none can be
 * replayed or swapped for another.
 */

export const TIME_HEADER = 'x-rukun-time';
export const NONCE_HEADER = 'x-rukun-nonce';
export const SIGNATURE_HEADER = 'x-rukun-signature';
/** SHA-256 of the request's body, hex: with it the signature is checked before a byte of the body is read. */
export const BODY_HASH_HEADER = 'x-rukun-content-sha256';

/** How far the two clocks may differ. */
export const MOST_SKEW_MS = 60_000;

export interface SignedRequest {
  time_ms: number;
  nonce: string;
  method: string;
  path: string;
  body: string;
}

export type HashedRequest = Omit<SignedRequest, 'body'> & { body_hash: string };

export async function signRequest(secret: string, { body, ...request }: SignedRequest): Promise<string> {
  return signHashedRequest(secret, { ...request, body_hash: await hashText(body) });
}

/** The same, of a body that need not be at hand. */
export async function signHashedRequest(secret: string, request: HashedRequest): Promise<string> {
  const { time_ms, nonce, method, path, body_hash } = request;
  return sign(secret, ['request', String(time_ms), nonce, method, path, body_hash]);
}

export async function signAnswer(secret: string, nonce: string, status: number, body: string): Promise<string> {
  return sign(secret, ['answer', nonce, String(status), await hashText(body)]);
}

/** Compares without telling by time how much was right. */
export function equalSignatures(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < Math.max(a.length, b.length); i++) difference |= (a.charCodeAt(i) || 0) ^ (b.charCodeAt(i) || 0);
  return difference === 0;
}

async function sign(secret: string, parts: string[]): Promise<string> {
  const bytes = new TextEncoder();
  const key = await crypto.subtle.importKey('raw', bytes.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, [
    'sign',
  ]);
  return toHex(await crypto.subtle.sign('HMAC', key, bytes.encode(parts.join('\n'))));
}

export const hashText = (text: string): Promise<string> =>
  hashBytes(new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>);

export async function hashBytes(bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<string> {
  return toHex(await crypto.subtle.digest('SHA-256', bytes));
}

const toHex = (buffer: ArrayBuffer) =>
  Array.from(new Uint8Array(buffer), byte => byte.toString(16).padStart(2, '0')).join('');
