import { randomUUID } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type HealthAnswer, ProbeAnswer } from '../../src/protocol/messages.ts';
import { hashText, MOST_SKEW_MS, SIGNATURE_HEADER } from '../../src/protocol/signature.ts';
import { RouterJournal } from '../config.ts';
import { doctor, examine } from '../doctor.ts';
import { enrolBridge } from '../enroll.ts';
import { type LinkOptions, startLink } from '../link.ts';
import { run, startBridge } from '../run.ts';
import { startSimulator } from '../simulator/server.ts';
import { makeItem, makeProfile, passwordsOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';

let bridge: TestBridge;
let clock_ms = 0;
let running_ms = 0;

beforeEach(async () => {
  bridge = await TestBridge.make();
  clock_ms = Date.now();
  running_ms = 0;
});

afterEach(() => bridge.end());

const statusOf = (sent: Promise<{ status: number }>) =>
  sent.then(
    ({ status }) => status,
    () => 'cut off',
  );

const HEALTH = ['GET', '/v1/health'] as const;
const HEALTHY: HealthAnswer = {
  version: '1',
  bridge_id: randomUUID(),
  uptime_seconds: 1,
  tunnel: 'off',
  batches_waiting: 0,
  routers: [],
};

const refuse = () => Promise.reject(new Error('inner secret'));

/** The link alone, on clocks that the test moves. */
async function startAlone(options: Partial<LinkOptions> = {}): Promise<void> {
  const handlers = {
    apply: refuse,
    probe: refuse,
    read: refuse,
    disconnect: refuse,
    rotate: refuse,
    health: async () => HEALTHY,
  };
  const link = await startLink({
    port: 0,
    keys: { secrets: [bridge.config.signing_secret], noteUse: async () => undefined },
    handlers,
    log: (event, details) => bridge.log_lines.push(JSON.stringify({ event, ...details })),
    now: () => clock_ms,
    elapsed_ms: () => running_ms,
    ...options,
  });
  bridge.running = { name: 'x', port: link.port, stop: () => link.stop() };
}

describe('who may ask', () => {
  beforeEach(async () => {
    await startAlone();
    // for an hour
    running_ms = 3_600_000;
  });

  test('a signed request is answered, and the answer is signed', async () => {
    const sent = await bridge.send(...HEALTH);
    expect(sent).toMatchObject({ status: 200, is_signed_right: true });
    expect(JSON.parse(sent.text)).toEqual(HEALTHY);
  });

  test('the next request may come on the same connection for longer than cloudflared keeps one that is idle', async () => {
    const { headers } = await bridge.send(...HEALTH);
    const [, seconds] = /^timeout=(\d+)$/.exec(headers.get('keep-alive')!)!;
    expect(Number(seconds)).toBeGreaterThan(90);
  });

  test('the query is a part of what is signed', async () => {
    expect((await bridge.send('GET', '/v1/health?a=1')).status).toBe(200);
    expect((await bridge.send('GET', '/v1/health', '', { path_sent: '/v1/health?a=1' })).status).toBe(401);
  });

  test.each([
    ['another secret', { secret: 'another-secret-another-secret' }],
    ['a changed body', { body_sent: '{"a":2}' }],
    ['a changed path', { path_sent: '/v1/probe' }],
    ['a changed method', { method_sent: 'PUT' }],
    ['no signature', { headers: { [SIGNATURE_HEADER]: '' } }],
    ['a signature of another length', { headers: { [SIGNATURE_HEADER]: 'ab' } }],
    ['no time', { headers: { 'x-rukun-time': '' } }],
    ['another time', { headers: { 'x-rukun-time': String(Date.now() + 1) } }],
    ['another nonce', { headers: { 'x-rukun-nonce': randomUUID() } }],
  ])('%s is refused with 401, unsigned, and logged', async (_, options) => {
    const sent = await bridge.send('POST', '/v1/apply', '{"a":1}', options);
    expect(sent.status).toBe(401);
    expect(JSON.parse(sent.text).error.code).toBe('BAD_SIGNATURE');
    expect(sent.headers.get(SIGNATURE_HEADER)).toBeNull();
    const [line] = bridge.log_lines.slice(-1);
    expect(JSON.parse(line ?? '')).toMatchObject({ event: 'request_refused' });
    expect(line).not.toContain(bridge.config.signing_secret);
  });

  test.each([-MOST_SKEW_MS - 1000, MOST_SKEW_MS + 1000])('a clock %i ms off is refused', async off_ms => {
    expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms + off_ms })).status).toBe(401);
  });

  test.each([-MOST_SKEW_MS + 1000, MOST_SKEW_MS - 1000])('a clock %i ms off is borne with', async off_ms => {
    expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms + off_ms })).status).toBe(200);
  });

  test('a nonce works once, also two at the same moment', async () => {
    const nonce = randomUUID();
    const both = await Promise.all([1, 2].map(() => bridge.send(...HEALTH, '', { nonce })));
    expect(both.map(sent => sent.status).sort()).toEqual([200, 401]);
    expect((await bridge.send(...HEALTH, '', { nonce })).status).toBe(401);
  });

  test('a refused request does not use up the nonce', async () => {
    const nonce = randomUUID();
    expect((await bridge.send(...HEALTH, '', { nonce, secret: 'another-secret' })).status).toBe(401);
    expect((await bridge.send(...HEALTH, '', { nonce })).status).toBe(200);
  });

  test('a clock that was set back does not make an old request young again', async () => {
    const old = { time_ms: clock_ms, nonce: randomUUID() };
    expect((await bridge.send(...HEALTH, '', old)).status).toBe(200);
    clock_ms += 3 * MOST_SKEW_MS;
    expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms })).status).toBe(200);
    clock_ms -= 3 * MOST_SKEW_MS;
    expect((await bridge.send(...HEALTH, '', old)).status).toBe(401);
  });

  test.each([true, false])("a body over 16 MiB is not read, nor is a stranger's (hash told: %s)", async tells_hash => {
    const body = 'x'.repeat(16 * 1024 * 1024 + 1);
    expect(await statusOf(bridge.send('POST', '/v1/apply', body, { tells_hash }))).not.toBe(200);
    expect((await bridge.send(...HEALTH)).status).toBe(200);
  });

  test('what is longer than 64 kB is read only after its signature was found right', async () => {
    const body = JSON.stringify({ filler: 'x'.repeat(70_000) });
    expect((await bridge.send('POST', '/v1/apply', body)).status).toBe(400);
    expect(await statusOf(bridge.send('POST', '/v1/apply', body, { tells_hash: false }))).not.toBe(400);
    const short = JSON.stringify({ filler: 'x'.repeat(60_000) });
    expect((await bridge.send('POST', '/v1/apply', short, { tells_hash: false })).status).toBe(400);
  });

  test.each(['content-length', 'chunks'])('a stranger is refused before the body has come (%s)', async how => {
    const { port = 0 } = bridge.running ?? {};
    const headers = { 'x-rukun-time': String(clock_ms), 'x-rukun-nonce': randomUUID() };
    const signed = { ...headers, [SIGNATURE_HEADER]: 'ab'.repeat(32), 'x-rukun-content-sha256': 'cd'.repeat(32) };
    const length = how === 'chunks' ? { 'transfer-encoding': 'chunked' } : { 'content-length': '1000000' };
    const sent = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/v1/apply',
      headers: { ...signed, ...length },
    });
    sent.on('error', () => undefined).write('{');
    const status = await new Promise(resolve => sent.on('response', response => resolve(response.statusCode)));
    sent.destroy();
    expect(status).toBe(401);
  });

  test('the right hash with another body is refused', async () => {
    const headers = { 'x-rukun-content-sha256': await hashText('{"a":2}') };
    const of_other = await bridge.send('POST', '/v1/apply', '{"a":1}', { body_sent: '{"a":2}', headers });
    expect(of_other.status).toBe(401);
    const not_hex = await bridge.send('POST', '/v1/apply', '{}', { headers: { 'x-rukun-content-sha256': 'zz' } });
    expect(not_hex.status).toBe(401);
  });

  test('what was signed before the bridge started is refused, so that a restart forgets no nonce', async () => {
    const used = { time_ms: clock_ms, nonce: randomUUID() };
    expect((await bridge.send(...HEALTH, '', used)).status).toBe(200);
    await bridge.stop();
    clock_ms += 2000;
    await startAlone();
    expect((await bridge.send(...HEALTH, '', used)).status).toBe(401);
    expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms })).status).toBe(200);
  });

  test('what came from a clock that is ahead is refused after a restart, too', async () => {
    await bridge.stop();
    await bridge.start({ measure: false, report: false });
    const used = { time_ms: Date.now() + 50_000, nonce: randomUUID() };
    expect((await bridge.send(...HEALTH, '', used)).status).toBe(200);
    await bridge.stop();
    await bridge.start({ measure: false, report: false });
    expect((await bridge.send(...HEALTH, '', used)).status).toBe(401);
    expect((await bridge.send(...HEALTH, '', { time_ms: used.time_ms + 1 })).status).toBe(200);
    // a clock that was years ahead, and is right now, shuts nobody out for longer than a request lives
    await bridge.stop();
    const path = join(bridge.state_dir, 'request-times.json');
    await writeFile(path, JSON.stringify({ highest_ms: Date.now() + 10 * 365 * 86_400_000 }));
    let now_ms = Date.now();
    await bridge.start({ measure: false, report: false, now: () => now_ms });
    now_ms += MOST_SKEW_MS + 1;
    expect((await bridge.send(...HEALTH, '', { time_ms: now_ms })).status).toBe(200);
    await bridge.stop();
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ highest_ms: now_ms });
  });

  test.each([3_600_000, -3_600_000])(
    'a clock that is put right by %i ms after the start is no hindrance',
    async step_ms => {
      await bridge.stop();
      await startAlone();
      clock_ms += step_ms;
      running_ms += 5000;
      expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms - 4000 })).status).toBe(200);
      expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms - 6000 })).status).toBe(401);
    },
  );

  test('the memory for nonces is bounded', async () => {
    await bridge.stop();
    await startAlone({ most_nonces: 3 });
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await bridge.send(...HEALTH)).status);
    expect(statuses).toEqual([200, 200, 200, 401]);
    clock_ms += 2 * MOST_SKEW_MS + 1;
    expect((await bridge.send(...HEALTH, '', { time_ms: clock_ms })).status).toBe(200);
  });
});

describe('what may be asked', () => {
  beforeEach(() => bridge.start());

  test.each([
    ['POST', '/v1/apply', 'not json', 400, 'INVALID_MESSAGE'],
    ['POST', '/v1/apply', '{}', 400, 'INVALID_MESSAGE'],
    ['POST', '/v1/probe', '{}', 400, 'INVALID_MESSAGE'],
    ['POST', '/v1/command', '{}', 404, 'NOT_FOUND'],
    ['GET', '/v1/apply', '', 404, 'NOT_FOUND'],
  ])('%s %s with %s is %i, signed', async (method, path, body, status, code) => {
    const sent = await bridge.send(method, path, body);
    expect(sent).toMatchObject({ status, is_signed_right: true });
    expect(JSON.parse(sent.text).error.code).toBe(code);
  });

  test('what was sealed to another key is refused', async () => {
    const other = await TestBridge.make();
    const sealed = await other.seal({ router_password: 'x', item_passwords: {} });
    await other.end();
    const failure = await bridge.failApply({ sealed } as object);
    expect(failure).toMatchObject({ status: 400, code: 'INVALID_MESSAGE' });
  });

  test('a failure inside says nothing of its kind', async () => {
    await bridge.stop();
    await startAlone({
      handlers: { apply: refuse, probe: refuse, read: refuse, disconnect: refuse, rotate: refuse, health: refuse },
    });
    const sent = await bridge.send(...HEALTH);
    expect(sent).toMatchObject({ status: 500, is_signed_right: true });
    expect([sent.text, ...bridge.log_lines].join()).not.toContain('inner secret');
  });

  test('probe tells what a router is', async () => {
    const simulator = await startSimulator({
      port: 0,
      username: 'rukun',
      password: ROUTER_PASSWORD,
      identity: 'Menara',
    });
    bridge.router_port = simulator.port;
    const probe = async (router_password: string) => {
      const sealed = await bridge.seal({ router_password, item_passwords: {} });
      return bridge.send('POST', '/v1/probe', JSON.stringify({ router: bridge.describeRouter(), sealed }));
    };
    const answer = ProbeAnswer.parse(JSON.parse((await probe(ROUTER_PASSWORD)).text));
    expect(answer).toMatchObject({ identity: 'Menara', tls_fingerprint: null });
    expect(answer.version).toMatch(/^7\.18/);
    expect(answer.uptime_seconds).toBeTypeOf('number');
    expect(answer.latency_ms).toBeGreaterThanOrEqual(0);
    expect(await probe('wrong')).toMatchObject({ status: 502, text: expect.stringContaining('ROUTER_REFUSED') });
    await simulator.stop();
    bridge.router_port = 1;
    expect(await probe('any')).toMatchObject({ status: 502, text: expect.stringContaining('ROUTER_UNREACHABLE') });
  });

  test('health tells of the routers', async () => {
    const simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
    bridge.router_port = simulator.port;
    await bridge.apply({ revision: 4, profiles: [makeProfile()], items: [makeItem('a')], passwords: passwordsOf('a') });
    const { routers } = JSON.parse((await bridge.send(...HEALTH)).text);
    expect(routers).toEqual([{ id: bridge.router_id, state: 'connected', revision: 4 }]);
    await simulator.stop();
  });
});

describe('the daemon', () => {
  beforeEach(() => bridge.start());

  test('says so when the port is in use or nobody enrolled', async () => {
    const port = bridge.running?.port ?? 0;
    const other = await TestBridge.make();
    await expect(other.start({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    // and gave the folder back
    await other.start();
    await other.end();
    const empty = startBridge({ state_dir: join(bridge.state_dir, 'none'), port: 0, log: () => undefined });
    await expect(empty).rejects.toThrow(/enroll/);
    const args = ['--port', String(port), '--state', bridge.state_dir];
    expect(await run(args, new AbortController().signal)).toBe(1);
    expect(await run(['--port', 'x'], new AbortController().signal)).toBe(2);
  });

  test('health forgets routers that are watched no more', async () => {
    await bridge.stop();
    const known = new RouterJournal(bridge.state_dir);
    known.noteRevision(randomUUID(), 7);
    await known.save();
    await bridge.start({ measure: false, report: false });
    const { routers } = JSON.parse((await bridge.send(...HEALTH)).text) as HealthAnswer;
    expect(routers).toEqual([]);
  });

  test('the doctor finds what is wrong', async () => {
    await bridge.stop();
    await bridge.start();
    const findings = await examine(bridge.state_dir, bridge.running?.port ?? 0);
    expect(findings.filter(({ is_good }) => !is_good).map(({ text }) => text)).toEqual([
      expect.stringContaining("http://127.0.0.1:1 doesn't answer"),
    ]);
    expect(await examine(join(bridge.state_dir, 'none'), 1)).toMatchObject([{ is_good: false }]);
    for (const port of ['x', '0', '70000', '8790.5']) {
      expect(await doctor(['--port', port, '--state', bridge.state_dir], new AbortController().signal)).toBe(2);
    }
  });
});

describe('enrolling', () => {
  test('stores the identity privately, once', async () => {
    const requests: unknown[] = [];
    const answer = { bridge_id: randomUUID(), name: 'Baru', tenant_id: randomUUID(), signing_secret: 's'.repeat(43) };
    let body: unknown = { success: true, data: answer };
    const cloud = createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += String(chunk);
      requests.push({ url: request.url, ...JSON.parse(text) });
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    });
    await new Promise<void>(resolve => cloud.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(cloud.address() as AddressInfo).port}`;
    const state_dir = join(bridge.state_dir, 'new');
    const options = { url, token: 'one-time-token', listen_url: 'http://127.0.0.1:8790', state_dir, is_again: false };
    try {
      await enrolBridge(options);
      expect(requests[0]).toMatchObject({ url: options.listen_url, token: options.token, version: '0.1.0' });
      expect(requests[0]).not.toHaveProperty('public_key.d');
      const path = join(state_dir, 'bridge.json');
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect((await stat(state_dir)).mode & 0o777).toBe(0o700);
      expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ ...answer, cloud_url: url });
      await expect(enrolBridge(options)).rejects.toThrow(/--again/);
      const long = enrolBridge({ ...options, is_again: true, token: 'x'.repeat(301) });
      await expect(long).rejects.toThrow('the token is too long (301 characters)');
      expect(requests).toHaveLength(1);
      body = { success: false, error: { code: 'TOKEN_USED', message: 'one-time-token was used' } };
      const refused = enrolBridge({ ...options, is_again: true });
      await expect(refused).rejects.toThrow('Rukun refused: *** was used (TOKEN_USED)');
      // what was there stands until there is something to put in its place
      expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject(answer);
    } finally {
      cloud.close();
    }
  });
});
