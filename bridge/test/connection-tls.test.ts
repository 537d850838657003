import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { catchError, closeRouters, type Handler, open, sockets, startRouter, startServer } from './canned-router.ts';

/** A connection that is encrypted: whom it trusts. */

afterEach(closeRouters);

const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

function writeDer(type: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([type, ...length]), body]);
}

/** A self-signed certificate, made here so that no private key lies in the repository. */
function makeCertificate(): { key: string; cert: string; fingerprint: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = writeDer(0x30, Buffer.from('06082a8648ce3d040302', 'hex'));
  const common_name = writeDer(0x30, Buffer.from('0603550403', 'hex'), writeDer(0x0c, Buffer.from('router')));
  const name = writeDer(0x30, writeDer(0x31, common_name));
  const times = ['200101000000Z', '491231235959Z'].map(time => writeDer(0x17, Buffer.from(time)));
  const version = writeDer(0xa0, writeDer(0x02, Buffer.from([2])));
  const serial = writeDer(0x02, Buffer.from([1]));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const body = writeDer(0x30, version, serial, algorithm, name, writeDer(0x30, ...times), name, spki);
  const signature = writeDer(0x03, Buffer.from([0]), sign('sha256', body, privateKey));
  const der = writeDer(0x30, body, algorithm, signature);
  const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { key, cert, fingerprint: createHash('sha256').update(der).digest('hex') };
}

describe('TLS', () => {
  const { key, cert, fingerprint } = makeCertificate();
  const answer: Handler = (_words, peer) => {
    peer.reply('!re', '=name=r1');
    peer.reply('!done');
  };

  it('trusts a self-signed certificate at first and tells its fingerprint', async () => {
    const router = await startRouter(answer, { tls: { key, cert } });
    const connection = await open(router, { tls: {} });
    expect(connection.tls_fingerprint).toBe(fingerprint);
    expect(await connection.print('/system/identity')).toEqual([{ name: 'r1' }]);
  });

  it('accepts the pinned one, however it is written', async () => {
    const router = await startRouter(answer, { tls: { key, cert } });
    const written = fingerprint.toUpperCase().replace(/..(?!$)/g, '$&:');
    await open(router, { tls: { fingerprint: written } });
    expect(router.received).toHaveLength(1);
  });

  it('sends no byte to a router with another certificate', async () => {
    const router = await startRouter(answer, { tls: { key, cert } });
    const error = await catchError(open(router, { tls: { fingerprint: '00'.repeat(32) } }));
    expect(error).toMatchObject({ kind: 'tls', message: expect.stringContaining(fingerprint) });
    await wait(50);
    expect(router.received).toEqual([]);
  });

  it('speaks anonymous Diffie-Hellman only when asked', async () => {
    const tls: TlsOptions = { ciphers: 'ADH:@SECLEVEL=0', maxVersion: 'TLSv1.2', dhparam: 'auto' };
    const router = await startRouter(answer, { tls });
    expect((await catchError(open(router, { tls: {} }))).kind).toBe('tls');
    const connection = await open(router, { tls: { anonymous_dh: true } });
    expect(connection.tls_fingerprint).toBeNull();
    expect(await connection.print('/system/identity')).toEqual([{ name: 'r1' }]);
    expect((await catchError(open(router, { tls: { anonymous_dh: true, fingerprint } }))).kind).toBe('tls');
  });

  it('ends in time where the peer speaks no TLS, or nothing', async () => {
    const plain = await startRouter(() => undefined);
    const heard = Promise.withResolvers<void>();
    const silent = await startServer(
      createServer(socket => void sockets.push(socket.once('data', () => heard.resolve()))),
    );
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const opening = catchError(open(plain, { port: silent, tls: {}, connect_timeout_ms: 200 }));
    await heard.promise;
    vi.advanceTimersByTime(200);
    vi.useRealTimers();
    expect((await opening).kind).toBe('tls');
    const closing = await startServer(createServer(socket => void sockets.push(socket.end('no TLS here\n'))));
    expect((await catchError(open(plain, { port: closing, tls: {} }))).kind).toBe('tls');
  });
});
