/** The bridge's HTTP server: loopback only, every request and every answer signed (src/protocol/signature.ts). */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { z } from 'zod';
import { ApplyAnswer, ApplyRequest, type BridgeError, ProbeAnswer, ProbeRequest } from '../src/protocol/messages.ts';
import { HealthAnswer } from '../src/protocol/messages.ts';
import {
  equalSignatures,
  MOST_SKEW_MS,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signRequest,
  TIME_HEADER,
} from '../src/protocol/signature.ts';
import { BridgeFailure } from './apply/failure.ts';
import { type Log, nameError } from './log.ts';

export interface LinkHandlers {
  apply(request: ApplyRequest): Promise<ApplyAnswer>;
  probe(request: ProbeRequest): Promise<ProbeAnswer>;
  health(): Promise<z.input<typeof HealthAnswer>>;
}

export interface LinkOptions {
  /** 0: any free one. */
  port: number;
  signing_secret: string;
  handlers: LinkHandlers;
  log: Log;
  /** The wall clock; Date.now unless told. */
  now?: () => number;
  /** How many nonces are remembered before requests are refused; 100,000 unless told. */
  most_nonces?: number;
}

export interface Link {
  port: number;
  /** Takes no more requests; resolves when the running ones are answered. */
  stop(): Promise<void>;
  /** Drops what is still open. */
  drop(): void;
}

const HOST = '127.0.0.1';
const MOST_BODY_BYTES = 16 * 1024 * 1024;
const MOST_CONNECTIONS = 256;
const RECEIVE_TIMEOUT_MS = 30_000;
const NONCE = /^[\x21-\x7e]{8,128}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;

export async function startLink(options: LinkOptions): Promise<Link> {
  const nonces = new NonceMemory(options.most_nonces ?? 100_000);
  let is_stopping = false;
  const server = createServer({ requestTimeout: RECEIVE_TIMEOUT_MS, headersTimeout: RECEIVE_TIMEOUT_MS });
  server.maxConnections = MOST_CONNECTIONS;
  server.on('request', (request, response) => {
    // a connection that is kept alive would hold up the end
    response.once('close', () => is_stopping && server.closeIdleConnections());
    serve(request, response, options, nonces).catch((error: unknown) => {
      options.log('link_failed', { error: nameError(error) });
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, HOST, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      is_stopping = true;
      return new Promise(resolve => server.close(() => resolve()));
    },
    drop: () => server.closeAllConnections(),
  };
}

interface Authentic {
  nonce: string;
  body: string;
}

async function serve(request: IncomingMessage, response: ServerResponse, options: LinkOptions, nonces: NonceMemory) {
  const authentic = await authenticate(request, options, nonces);
  if (typeof authentic === 'string') {
    // the path is a stranger's text: only its beginning goes into the log
    const path = (request.url ?? '').split('?')[0]?.slice(0, 100) ?? '';
    options.log('request_refused', { reason: authentic, method: request.method ?? '', path });
    const body = writeError('BAD_SIGNATURE', 'the signature is not right');
    response.shouldKeepAlive = false;
    response.writeHead(401, { 'content-type': 'application/json' }).end(body);
    return;
  }
  const { status, body } = await answer(request, authentic.body, options);
  const signature = await signAnswer(options.signing_secret, authentic.nonce, status, body);
  response.writeHead(status, { 'content-type': 'application/json', [SIGNATURE_HEADER]: signature }).end(body);
}

/** The body of a request that is surely ours, now and for the first time; otherwise the reason why it is not. */
async function authenticate(
  request: IncomingMessage,
  { signing_secret, now = Date.now }: LinkOptions,
  nonces: NonceMemory,
): Promise<Authentic | string> {
  const [time, nonce, signature] = [TIME_HEADER, NONCE_HEADER, SIGNATURE_HEADER].map(name => request.headers[name]);
  if (typeof time !== 'string' || !/^\d{1,15}$/.test(time)) return 'no time';
  if (typeof nonce !== 'string' || !NONCE.test(nonce)) return 'no nonce';
  if (typeof signature !== 'string' || !SIGNATURE.test(signature)) return 'no signature';
  const time_ms = Number(time);
  const skew_ms = now() - time_ms;
  if (Math.abs(skew_ms) > MOST_SKEW_MS) return `the clocks are ${Math.round(skew_ms / 1000)} s apart`;
  const body = await readBody(request);
  if (body === null) return 'the body is too long or was cut off';
  const { method = '', url = '' } = request;
  const expected = await signRequest(signing_secret, { time_ms, nonce, method, path: url, body });
  if (!equalSignatures(expected, signature)) return 'wrong signature';
  // only now: a stranger's nonces must not fill the memory
  const problem = nonces.use(nonce, time_ms, now());
  return problem ?? { nonce, body };
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  if (Number(request.headers['content-length'] ?? 0) > MOST_BODY_BYTES) return null;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > MOST_BODY_BYTES) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks).toString('utf8');
}

interface Answer {
  status: number;
  body: string;
}

async function answer(request: IncomingMessage, body: string, { handlers, log, now = Date.now }: LinkOptions) {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const route = `${request.method} ${path}`;
  const started_ms = now();
  const result = await answerRoute(route, body, handlers).catch((error: unknown): Answer => {
    if (error instanceof BridgeFailure) {
      log('request_failed', { route, code: error.code, message: error.message });
      return { status: error.status, body: writeError(error.code, error.message) };
    }
    log('request_failed', { route, code: 'INTERNAL_ERROR', error: nameError(error) });
    return { status: 500, body: writeError('INTERNAL_ERROR', 'something in the bridge failed; its log says more') };
  });
  log('request', { route, status: result.status, took_ms: now() - started_ms });
  return result;
}

async function answerRoute(route: string, body: string, handlers: LinkHandlers): Promise<Answer> {
  switch (route) {
    case 'POST /v1/apply':
      return write(ApplyAnswer, await handlers.apply(readMessage(ApplyRequest, body)));
    case 'POST /v1/probe':
      return write(ProbeAnswer, await handlers.probe(readMessage(ProbeRequest, body)));
    case 'GET /v1/health':
      return write(HealthAnswer, await handlers.health());
    default:
      throw new BridgeFailure('NOT_FOUND', 'the bridge has nothing here');
  }
}

function write<S extends z.ZodType>(schema: S, answer: z.input<S>): Answer {
  return { status: 200, body: JSON.stringify(schema.parse(answer)) };
}

function readMessage<S extends z.ZodType>(schema: S, body: string): z.output<S> {
  const message = schema.safeParse(parseJson(body));
  if (message.success) return message.data;
  const [issue] = message.error.issues;
  const place = issue?.path.join('.') ?? '';
  throw new BridgeFailure(
    'INVALID_MESSAGE',
    `${place === '' ? 'the message' : place}: ${issue?.message ?? 'not valid'}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new BridgeFailure('INVALID_MESSAGE', 'the message is not JSON');
  }
}

function writeError(code: BridgeError['error']['code'], message: string): string {
  return JSON.stringify({ error: { code, message } } satisfies BridgeError);
}

/** Nonces of the last two minutes: by then the time of a request alone refuses it. */
class NonceMemory {
  readonly #most: number;
  readonly #seen = new Map<string, { time_ms: number; seen_ms: number }>();
  #forgotten_to_ms = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Null when this nonce is new. */
  use(nonce: string, time_ms: number, now_ms: number): string | null {
    this.#forget(now_ms);
    if (this.#seen.has(nonce)) return 'a nonce was used again';
    // should the clock be set back, what was forgotten must not become young again
    if (time_ms <= this.#forgotten_to_ms) return 'the request is older than what is remembered';
    if (this.#seen.size >= this.#most) return 'too many requests';
    this.#seen.set(nonce, { time_ms, seen_ms: now_ms });
    return null;
  }

  #forget(now_ms: number): void {
    for (const [nonce, { time_ms, seen_ms }] of this.#seen) {
      if (seen_ms + 2 * MOST_SKEW_MS >= now_ms) return;
      this.#seen.delete(nonce);
      this.#forgotten_to_ms = Math.max(this.#forgotten_to_ms, time_ms);
    }
  }
}
