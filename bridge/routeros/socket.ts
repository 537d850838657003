import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { describeSocketError, RouterError } from './errors.ts';

export interface SocketOptions {
  host: string;
  port: number;
  tls?: {
    /** SHA-256 of the certificate, in hex: no other is accepted. Without one any is, and it can be read after. */
    fingerprint?: string;
    /** The router has no certificate at all; only where the admin asked for that. */
    anonymous_dh?: boolean;
  };
  connect_timeout_ms?: number;
}

export interface OpenSocket {
  socket: Socket;
  tls_fingerprint: string | null;
}

function normaliseFingerprint(text: string): string {
  return text.replace(/[^0-9a-f]/gi, '').toLowerCase();
}

/** The fingerprint of the peer's certificate, checked before a byte of ours is sent. */
function checkCertificate(socket: TLSSocket, tls: NonNullable<SocketOptions['tls']>): string | null {
  // An empty object where the peer showed no certificate.
  const certificate = socket.getPeerCertificate() as { raw?: Buffer } | null;
  const fingerprint = certificate?.raw ? createHash('sha256').update(certificate.raw).digest('hex') : null;
  if (tls.fingerprint !== undefined && normaliseFingerprint(tls.fingerprint) !== fingerprint) {
    throw new RouterError(
      'tls',
      `the router's certificate is not the one that was trusted (it is ${fingerprint ?? 'none'})`,
    );
  }
  if (fingerprint === null && !tls.anonymous_dh) throw new RouterError('tls', 'the router showed no certificate');
  return fingerprint;
}

function startSocket(options: SocketOptions): Socket | TLSSocket {
  const { host, port, tls } = options;
  if (!tls) return connectTcp({ host, port });
  // Routers sign their own certificates: what is trusted is the fingerprint, not an authority.
  const common = { host, port, rejectUnauthorized: false };
  if (!tls.anonymous_dh) return connectTls(common);
  return connectTls({ ...common, ciphers: 'ADH:@SECLEVEL=0', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
}

/** Opens a TCP or TLS connection, all of it within `connect_timeout_ms`. */
export function openSocket(options: SocketOptions, signal?: AbortSignal): Promise<OpenSocket> {
  const { tls, connect_timeout_ms = 5000 } = options;
  return new Promise((resolve, reject) => {
    let is_tcp_up = false;
    if (signal?.aborted) return reject(new RouterError('unreachable', 'connecting was given up'));
    const socket = startSocket(options);
    const finish = (error: RouterError | null, fingerprint: string | null = null) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('close', onClose);
      if (!error) return resolve({ socket, tls_fingerprint: fingerprint });
      socket.destroy();
      reject(error);
    };
    const fail = (reason: string) =>
      finish(new RouterError(tls && is_tcp_up ? 'tls' : 'unreachable', `no connection to ${options.host}: ${reason}`));
    const onClose = () => fail('the router closed the connection');
    const onAbort = () => finish(new RouterError('unreachable', 'connecting was given up'));
    const timer = setTimeout(() => fail(`no answer within ${connect_timeout_ms} ms`), connect_timeout_ms);
    signal?.addEventListener('abort', onAbort, { once: true });
    // This listener stays for good, so that an 'error' of the socket can never end the process.
    socket.on('error', error => fail(describeSocketError(error)));
    socket.on('close', onClose);
    socket.on('connect', () => {
      is_tcp_up = true;
      if (!tls) finish(null);
    });
    socket.on('secureConnect', () => {
      try {
        finish(null, checkCertificate(socket as TLSSocket, tls ?? {}));
      } catch (error) {
        finish(error instanceof RouterError ? error : new RouterError('tls', describeSocketError(error)));
      }
    });
  });
}
