/** The bridge's HTTP server: loopback only, every request and every answer signed (src/protocol/signature.ts). */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import {
  ApplyAnswer,
  ApplyRequest,
  type BridgeError,
  DisconnectAnswer,
  DisconnectRequest,
  HealthAnswer,
  ProbeAnswer,
  ProbeRequest,
  ReadAnswer,
  ReadRequest,
  RotateAnswer,
  RotateRequest,
} from '../src/protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  equalSignatures,
  MOST_SKEW_MS,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signHashedRequest,
  TIME_HEADER,
} from '../src/protocol/signature.ts';
import { BridgeFailure } from './apply/failure.ts';
import type { BridgeKeys } from './keys.ts';
import { type Log, nameError } from './log.ts';

export interface LinkHandlers {
  apply(request: ApplyRequest): Promise<ApplyAnswer>;
  probe(request: ProbeRequest): Promise<ProbeAnswer>;
  read(request: ReadRequest): Promise<ReadAnswer>;
  disconnect(request: DisconnectRequest): Promise<DisconnectAnswer>;
  rotate(request: RotateRequest): Promise<RotateAnswer>;
  health(): Promise<z.input<typeof HealthAnswer>>;
  /** For the doctor alone. */
  seen?(): Promise<SeenAnswer>;
}

/** What the bridge itself last saw of the routers that it watches. */
export const SeenAnswer = z.object({
  routers: z.array(z.object({ id: z.string(), status: z.string().nullable(), error: z.string().nullable() })),
});
export type SeenAnswer = z.infer<typeof SeenAnswer>;

export interface LinkOptions {
  /** 0: any free one. */
  port: number;
  keys: Pick<BridgeKeys, 'secrets' | 'noteUse'>;
  handlers: LinkHandlers;
  log: Log;
  /** The wall clock; Date.now unless told. */
  now?: () => number;
  /** Never goes back; performance.now unless told. */
  elapsed_ms?: () => number;
  /** Of the process before: what isn't newer is refused. */
  accepted_to_ms?: number;
  onAccepted?: (time_ms: number) => void;
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
/** Of a body whose hash isn't told ahead: what a stranger can make the bridge read. */
const MOST_UNPROVEN_BYTES = 64 * 1024;
const MOST_CONNECTIONS = 256;
const RECEIVE_TIMEOUT_MS = 30_000;
/**
 * Longer than cloudflared keeps idle connections for further requests (its `keepAliveTimeout`: 90 seconds unless told), so
 * that no request is on its way while this side hangs up.
 */
const IDLE_TIMEOUT_MS = 120_000;
const NONCE = /^[\x21-\x7e]{8,128}$/;
const HASH = /^[0-9a-f]{64}$/;

export async function startLink(options: LinkOptions): Promise<Link> {
  const nonces = new NonceMemory(options.most_nonces ?? 100_000);
  const { now = Date.now, elapsed_ms = () => performance.now() } = options;
  const started_ms = elapsed_ms();
  const gate: Gate = {
    keys: options.keys,
    nonces,
    now,
    accepted_to_ms: options.accepted_to_ms ?? 0,
    onAccepted: options.onAccepted ?? (() => undefined),
    getStart: () => Math.floor(now() - (elapsed_ms() - started_ms)) - 1,
  };
  let is_stopping = false;
  const server = createServer({
    requestTimeout: RECEIVE_TIMEOUT_MS,
    headersTimeout: RECEIVE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.on('request', (request, response) => {
    // a connection that is kept alive would hold up the end
    response.once('close', () => is_stopping && server.closeIdleConnections());
    serve(request, response, options, gate).catch((error: unknown) => {
      options.log('link_failed', { error: nameError(error) });
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, HOST, () => {
      server.off('error', reject);
      server.on('error', error => options.log('link_failed', { error: nameError(error) }));
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
  /** It was signed with this one, and so is the answer. */
  secret: string;
  nonce: string;
  body: string;
}

async function serve(request: IncomingMessage, response: ServerResponse, options: LinkOptions, gate: Gate) {
  const authentic = await authenticate(request, gate);
  if (typeof authentic === 'string') {
    // the path is a stranger's text: only its beginning goes into the log
    const path = (request.url ?? '').split('?')[0]?.slice(0, 100) ?? '';
    options.log('request_refused', { reason: authentic, method: request.method ?? '', path });
    const body = writeError('BAD_SIGNATURE', 'the signature is not right');
    response.shouldKeepAlive = false;
    response.writeHead(401, { 'content-type': 'application/json' }).end(body);
    return;
  }
  await options.keys.noteUse(authentic.secret);
  const { status, body } = await answer(request, authentic.body, options);
  const signature = await signAnswer(authentic.secret, authentic.nonce, status, body);
  response.writeHead(status, { 'content-type': 'application/json', [SIGNATURE_HEADER]: signature }).end(body);
}

/** What it takes to know a request for ours. */
interface Gate {
  keys: Pick<BridgeKeys, 'secrets'>;
  nonces: NonceMemory;
  accepted_to_ms: number;
  onAccepted(time_ms: number): void;
  now(): number;
  /** When this process began, by the clock as it is now, so that a clock put right later doesn't matter. */
  getStart(): number;
}

interface Claim {
  time_ms: number;
  nonce: string;
  signature: string;
  /** Null: only the body itself tells. */
  body_hash: string | null;
}

/** The body of a request that is surely ours, now and for the first time; otherwise the reason why it is not. */
async function authenticate(request: IncomingMessage, gate: Gate): Promise<Authentic | string> {
  const claim = readClaim(request, gate);
  if (typeof claim === 'string') return claim;
  const { time_ms, nonce, signature, body_hash } = claim;
  const { method = '', url: path = '' } = request;
  let secret: string | undefined;
  const prove = async (body_hash: string) => {
    const signed = { time_ms, nonce, method, path, body_hash };
    for (const each of gate.keys.secrets)
      if (equalSignatures(await signHashedRequest(each, signed), signature)) secret = each;
    if (secret === undefined) return 'wrong signature';
    // only now: a stranger's nonces must not fill the memory
    const problem = gate.nonces.use(nonce, time_ms, gate.now());
    if (problem === null) gate.onAccepted(time_ms);
    return problem;
  };
  const problem = body_hash === null ? null : await prove(body_hash);
  if (problem !== null) return problem;
  const body = await readBody(request, body_hash === null ? MOST_UNPROVEN_BYTES : MOST_BODY_BYTES);
  if (body === null) return 'the body is too long or was cut off';
  const hash = createHash('sha256').update(body).digest('hex');
  if (body_hash !== null && body_hash !== hash) return 'another body';
  const late_problem = body_hash === null ? await prove(hash) : null;
  if (late_problem !== null || secret === undefined) return late_problem ?? 'wrong signature';
  return { secret, nonce, body: body.toString('utf8') };
}

/** What the headers say; or why nothing more need be looked at. */
function readClaim(request: IncomingMessage, { now, getStart, accepted_to_ms }: Gate): Claim | string {
  const names = [TIME_HEADER, NONCE_HEADER, SIGNATURE_HEADER, BODY_HASH_HEADER];
  const [time, nonce, signature, body_hash = null] = names.map(name => request.headers[name]);
  if (typeof time !== 'string' || !/^\d{1,15}$/.test(time)) return 'no time';
  if (typeof nonce !== 'string' || !NONCE.test(nonce)) return 'no nonce';
  if (typeof signature !== 'string' || !HASH.test(signature)) return 'no signature';
  if (body_hash !== null && (typeof body_hash !== 'string' || !HASH.test(body_hash))) return 'a hash that is none';
  const time_ms = Number(time);
  const skew_ms = now() - time_ms;
  if (Math.abs(skew_ms) > MOST_SKEW_MS) return `the clocks are ${Math.round(skew_ms / 1000)} s apart`;
  // its nonce may have been used then, and nobody remembers
  if (time_ms < getStart() || time_ms <= accepted_to_ms) return 'it was signed before this bridge started';
  return { time_ms, nonce, signature, body_hash };
}

async function readBody(request: IncomingMessage, most_bytes: number): Promise<Buffer | null> {
  if (Number(request.headers['content-length'] ?? 0) > most_bytes) return null;
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > most_bytes) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
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
      // its message goes to people, who may see it in Rukun: it may name a customer, or say what a router said
      log('request_failed', { route, code: error.code });
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
    case 'POST /v1/read':
      return write(ReadAnswer, await handlers.read(readMessage(ReadRequest, body)));
    case 'POST /v1/disconnect':
      return write(DisconnectAnswer, await handlers.disconnect(readMessage(DisconnectRequest, body)));
    case 'POST /v1/rotate':
      return write(RotateAnswer, await handlers.rotate(readMessage(RotateRequest, body)));
    case 'GET /v1/health':
      return write(HealthAnswer, await handlers.health());
  }
  if (route === 'GET /v1/seen' && handlers.seen) return write(SeenAnswer, await handlers.seen());
  throw new BridgeFailure('NOT_FOUND', 'the bridge has nothing here');
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
