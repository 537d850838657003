// TLS as RouterOS's api-ssl has it: with a certificate the router signed itself, or with none and anonymous
// Diffie-Hellman.
import { X509Certificate, createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:tls';
import type { Server } from 'node:tls';

export type TlsKind = 'self-signed' | 'anonymous';

export interface RouterTls {
  /** Not listening: takes the sockets it is handed. */
  server: Server;
  /** SHA-256 of the certificate in lower-case hex; null where there is none. */
  fingerprint: string | null;
}

interface KeyPair {
  key: string;
  cert: string;
}

const HANDSHAKE_TIMEOUT_MS = 60_000;
const DAY_MS = 86_400_000;
const VALID_DAYS = 3650;

export async function makeRouterTls(kind: TlsKind, state_file: string | undefined): Promise<RouterTls> {
  if (kind === 'anonymous') {
    const server = createServer({
      ciphers: 'ADH:@SECLEVEL=0',
      dhparam: 'auto',
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    return { server, fingerprint: null };
  }
  const pair = state_file === undefined ? await makeKeyPair() : await keepKeyPair(`${state_file}.tls.pem`);
  const server = createServer({ ...pair, handshakeTimeout: HANDSHAKE_TIMEOUT_MS });
  return { server, fingerprint: getFingerprint(pair.cert) };
}

function getFingerprint(cert: string): string {
  return createHash('sha256').update(new X509Certificate(cert).raw).digest('hex');
}

async function makeKeyPair(): Promise<KeyPair> {
  // Loaded only here: nobody else should pay for its ASN.1.
  const { generate } = await import('selfsigned');
  const now_ms = Date.now();
  const made = await generate([{ name: 'commonName', value: 'simulated-router' }], {
    keySize: 2048,
    algorithm: 'sha256',
    notBeforeDate: new Date(now_ms - DAY_MS),
    notAfterDate: new Date(now_ms + VALID_DAYS * DAY_MS),
  });
  return { key: made.private, cert: made.cert };
}

// Kept, so that a fingerprint somebody pinned holds over restarts.
async function keepKeyPair(path: string): Promise<KeyPair> {
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    const pair = await makeKeyPair();
    await writeFile(path, `${pair.key.trim()}\n${pair.cert.trim()}\n`, { mode: 0o600, flag: 'wx' });
    return pair;
  }
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?-----END [A-Z ]*PRIVATE KEY-----/.exec(pem)?.[0];
  const cert = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(pem)?.[0];
  if (key === undefined || cert === undefined)
    throw new Error(`${path} holds no key and certificate: delete it, and new ones are made`);
  return { key, cert };
}
