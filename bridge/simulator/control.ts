// The control port: HTTP and JSON on loopback, to look into the simulated router and make things happen.
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { DialError } from './live-session.ts';
import { readFaults } from './faults.ts';
import type { Faults } from './faults.ts';
import { MENUS } from './menus.ts';
import type { SimulatedRouter } from './router.ts';
import type { SimulatorInfo } from './server.ts';
import { closeServer, listen } from './sockets.ts';
import { decodeBytes } from './text.ts';
import type { TrafficChange } from './traffic.ts';

export interface Controlled {
  router: SimulatedRouter;
  setFaults(faults: Partial<Faults>): void;
  dropConnections(): void;
  reboot(down_ms?: number): void;
  readInfo(): SimulatorInfo;
}

interface Answer {
  status: number;
  body: unknown;
}

const MAX_BODY_BYTES = 64 * 1024;
const MAX_EXPORT_BYTES = 16 * 1024 * 1024;
const MAX_DOWN_MS = 3_600_000;
const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

export async function startControl(port: number, controlled: Controlled) {
  const server = createServer((request, response) => {
    answerRequest(request, controlled)
      .catch((error: unknown): Answer => describeError(error))
      .then(({ status, body }) => {
        const is_text = typeof body === 'string';
        response.writeHead(status, { 'content-type': is_text ? 'text/plain; charset=utf-8' : 'application/json' });
        response.end(is_text ? body : `${JSON.stringify(body)}\n`);
      });
  });
  const actual_port = await listen(server, port);
  return {
    port: actual_port,
    stop: async () => {
      const closed = closeServer(server);
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answerRequest(request: IncomingMessage, controlled: Controlled): Promise<Answer> {
  // A page in somebody's browser can reach loopback too; its Host or Origin gives it away.
  if (!LOOPBACK_HOST.test(request.headers.host ?? '') || request.headers.origin !== undefined) {
    return { status: 403, body: { error: 'only for programs on this machine' } };
  }
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  const { router } = controlled;
  const ok: Answer = { status: 200, body: { ok: true } };
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /info':
      return { status: 200, body: controlled.readInfo() };
    case 'GET /export':
      return { status: 200, body: router.export({ show_sensitive: readSwitch(url, 'show_sensitive') }) };
    case 'GET /rows':
      return listRows(router, url.searchParams.get('menu') ?? '');
    case 'POST /faults':
      controlled.setFaults(readFaults(await readJson(request)));
      return ok;
    case 'POST /dial':
      return dial(router, await readJson(request));
    case 'POST /hang-up':
      return { status: 200, body: { ended: router.hangUp(readName(await readJson(request))) } };
    case 'POST /traffic':
      return useTraffic(router, await readJson(request));
    case 'POST /hotspot-login':
      return logInHotspot(router, await readJson(request));
    case 'POST /hotspot-logout':
      return { status: 200, body: { ended: router.logOutHotspot(readName(await readJson(request))) } };
    case 'POST /reboot':
      controlled.reboot(readAmount(await readJson(request), 'down_ms', MAX_DOWN_MS));
      return ok;
    case 'POST /load':
      return { status: 200, body: router.load(await readBody(request, MAX_EXPORT_BYTES)) };
    case 'POST /drop-connections':
      controlled.dropConnections();
      return ok;
    default:
      return { status: 404, body: { error: `nothing here: ${request.method} ${url.pathname}` } };
  }
}

function readSwitch(url: URL, name: string): boolean | undefined {
  const value = url.searchParams.get(name);
  return value === null ? undefined : value === '1' || value === 'true';
}

function listRows(router: SimulatedRouter, menu: string): Answer {
  if (!MENUS.has(menu)) return { status: 404, body: { error: `no such menu: ${menu}` } };
  return { status: 200, body: router.rows(menu) };
}

function dial(router: SimulatedRouter, input: unknown): Answer {
  const options = { address: readAddress(input), caller_id: readText(input, 'caller_id') };
  return { status: 200, body: { id: router.dial(readName(input), options) } };
}

function logInHotspot(router: SimulatedRouter, input: unknown): Answer {
  const options = { server: readText(input, 'server'), address: readAddress(input), mac: readText(input, 'mac') };
  return { status: 200, body: { id: router.logInHotspot(readName(input), options) } };
}

const AMOUNTS = ['upload_bps', 'download_bps', 'upload_bytes', 'download_bytes'] as const;

function useTraffic(router: SimulatedRouter, input: unknown): Answer {
  const change: TrafficChange = {};
  for (const amount of AMOUNTS) change[amount] = readAmount(input, amount, Number.MAX_SAFE_INTEGER);
  if (Object.values(change).every(value => value === undefined))
    throw new TypeError(`give one or more of ${AMOUNTS.join(', ')}`);
  const readings = router.useTraffic(readName(input), change).map(meter => meter.read());
  const sessions = readings.map(({ bytes, bits_per_second }) => ({
    upload_bytes: bytes.up,
    download_bytes: bytes.down,
    upload_bps: bits_per_second.up,
    download_bps: bits_per_second.down,
  }));
  return { status: 200, body: { sessions } };
}

function readName(input: unknown): string {
  const name = readText(input, 'name');
  if (name === undefined) throw new TypeError('name is missing');
  return name;
}

function readAddress(input: unknown): string | undefined {
  const address = readText(input, 'address');
  if (address !== undefined && !isIPv4(address)) throw new TypeError('address must be an IPv4 address');
  return address;
}

function readAmount(input: unknown, name: string, most: number): number | undefined {
  const value = readField(input, name);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > most)
    throw new TypeError(`${name} must be a whole number, 0 to ${most}`);
  return value;
}

function readField(input: unknown, name: string): unknown {
  if (typeof input !== 'object' || input === null) throw new TypeError('send a JSON object');
  return Object.entries(input).find(([key]) => key === name)?.[1] ?? undefined;
}

function readText(input: unknown, name: string): string | undefined {
  const value = readField(input, name);
  if (value !== undefined && typeof value !== 'string') throw new TypeError(`${name} must be text`);
  return value;
}

async function readBody(request: IncomingMessage, max_bytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk as Uint8Array);
    length += bytes.length;
    if (length > max_bytes) throw new TypeError('the body is too long');
    chunks.push(bytes);
  }
  return decodeBytes(Buffer.concat(chunks));
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const text = await readBody(request, MAX_BODY_BYTES);
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new TypeError('the body is not JSON');
  }
}

function describeError(error: unknown): Answer {
  if (error instanceof DialError) return { status: 409, body: { error: error.message } };
  if (error instanceof TypeError) return { status: 400, body: { error: error.message } };
  return { status: 500, body: { error: 'the simulated router failed' } };
}
