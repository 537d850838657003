import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { callControl, logIn, makeFolder, namesOf, open, openTls, start } from './simulator-client.ts';

const ANONYMOUS = { ciphers: 'ADH:@SECLEVEL=0', minVersion: 'TLSv1', maxVersion: 'TLSv1.2' } as const;
const PYTHON_CLIENT = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_ciphers('ADH:@SECLEVEL=0')
with context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)) as wrapped:
    words = [b'/login', b'=name=admin', b'=password=rahasia', b'']
    wrapped.sendall(b''.join(bytes([len(word)]) + word for word in words))
    print(wrapped.cipher()[0], wrapped.recv(100))
`;

const readCertificate = (socket: unknown) => {
  const { raw } = (socket as TLSSocket).getPeerCertificate() as { raw?: Buffer };
  return raw === undefined ? null : createHash('sha256').update(raw).digest('hex');
};

describe('TLS with a self-signed certificate', () => {
  it('shows the certificate that is announced, on every connection', async () => {
    const simulator = await start({ tls: 'self-signed', control_port: 0 });
    expect(simulator.tls_fingerprint).toMatch(/^[0-9a-f]{64}$/);
    for (let attempt = 0; attempt < 2; attempt++) {
      const client = await logIn(simulator, openTls(simulator));
      expect(readCertificate(client.socket)).toBe(simulator.tls_fingerprint);
      expect(await client.rows('/system/identity/print')).toEqual([{ name: 'MikroTik' }]);
    }
    const info = JSON.parse((await callControl(simulator, 'GET', '/info')).text) as Record<string, unknown>;
    expect(info).toMatchObject({ tls: 'self-signed', tls_fingerprint: simulator.tls_fingerprint, connections: 2 });
    expect(simulator.router.rows('/log').at(-1)?.message).toBe('user admin logged in from 127.0.0.1 via api-ssl');
  });

  it('keeps key and certificate beside the state file, for nobody else to read', async () => {
    const state_file = join(await makeFolder(), 'router.rsc');
    const first = await start({ tls: 'self-signed', state_file });
    await first.stop();
    expect((await stat(`${state_file}.tls.pem`)).mode & 0o077).toBe(0);
    const second = await start({ tls: 'self-signed', state_file });
    expect(second.tls_fingerprint).toBe(first.tls_fingerprint);
    const client = await logIn(second, openTls(second));
    expect(readCertificate(client.socket)).toBe(first.tls_fingerprint);
    expect((await start({ tls: 'self-signed' })).tls_fingerprint).not.toBe(first.tls_fingerprint);
    await writeFile(`${state_file}.tls.pem`, 'nothing of use');
    await expect(start({ tls: 'self-signed', state_file })).rejects.toThrow('delete it');
    expect(await readFile(`${state_file}.tls.pem`, 'utf8')).toBe('nothing of use');
  });

  it('ends a connection that speaks no TLS, and takes the next one', async () => {
    const simulator = await start({ tls: 'self-signed' });
    const plain = open(simulator);
    plain.send('/login', '=name=admin', '=password=rahasia');
    await plain.waitForClose();
    expect(plain.replies).toEqual([]);
    await logIn(simulator, openTls(simulator));
  });
});

describe('TLS with anonymous Diffie-Hellman', () => {
  it('needs no certificate and shows none', async () => {
    const simulator = await start({ tls: 'anonymous' });
    const client = await logIn(simulator, openTls(simulator, ANONYMOUS));
    expect(readCertificate(client.socket)).toBe(null);
    expect((client.socket as TLSSocket).getCipher().name).toMatch(/^ADH-/);
    expect(simulator.tls_fingerprint).toBe(null);
    const usual = openTls(simulator);
    await usual.waitForClose();
    expect(usual.replies).toEqual([]);
  });

  const has_python = spawnSync('python3', ['-c', 'import ssl']).status === 0;
  it.skipIf(!has_python)('takes a Python client with the ciphers that such clients set', async () => {
    const simulator = await start({ tls: 'anonymous' });
    const child = spawn('python3', ['-c', PYTHON_CLIENT, String(simulator.port)]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', part => (output += String(part)));
    await new Promise(resolve => child.on('close', resolve));
    expect(output).toMatch(/^ADH-.*!done/);
  });
});

describe.each(['self-signed', 'anonymous'] as const)('faults over %s TLS', tls => {
  const options = tls === 'anonymous' ? ANONYMOUS : {};

  it('chunk, delay, close after a write, refuse, stay silent, cap and drop as they do without', async () => {
    const simulator = await start({ tls });
    const client = await logIn(simulator, openTls(simulator, options));
    simulator.setFaults({ chunk_bytes: 1, delay_ms: 40 });
    const started = performance.now();
    await client.ret('/ppp/secret/add', '=name=a', '=comment=é');
    expect(performance.now() - started).toBeGreaterThan(35);
    expect((await client.rows('/ppp/secret/print'))[0]?.comment).toBe('é');
    simulator.setFaults({ chunk_bytes: 0, delay_ms: 0, close_after_write: true });
    await expect(client.run('/ppp/secret/add', '=name=b')).rejects.toThrow('connection closed');
    expect(namesOf(simulator.router.rows('/ppp/secret'))).toEqual(['a', 'b']);

    simulator.setFaults({ refuse: true });
    await openTls(simulator, options).waitForClose();
    simulator.setFaults({ refuse: false, silent_after_accept: true });
    const silent = openTls(simulator, options);
    let is_secure = false;
    silent.socket.on('secureConnect', () => (is_secure = true));
    await new Promise(resolve => setTimeout(resolve, 60));
    expect([silent.is_closed, is_secure]).toEqual([false, false]);
    simulator.setFaults({ silent_after_accept: false, max_sessions: 2 });
    const second = await logIn(simulator, openTls(simulator, options));
    await openTls(simulator, options).waitForClose();
    simulator.dropConnections();
    await Promise.all([silent.waitForClose(), second.waitForClose()]);
    await logIn(simulator, openTls(simulator, options));
  });
});
