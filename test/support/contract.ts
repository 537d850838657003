import { SELF } from 'cloudflare:test';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { API_BASE, type Route } from '../../src/http/resource.ts';
import { equalSignatures, NONCE_HEADER, SIGNATURE_HEADER, signAnswer } from '../../src/protocol/signature.ts';
import { thisMonth } from './calendar.ts';
import { findBreach, type PublishedDocument, readPublished } from './published.ts';
import { type Answer, type CallOptions, readAnswer, type SignedParts, takeAddress, type TestBridge } from './world.ts';

/** What the contract tests need of every route alike: its name, a path, a body that fits, and a call that judges. */

export const nameOf = (route: Route) => `${route.method.toUpperCase()} ${route.path}`;
export const isPublic = ({ endpoint }: Route) => ['public', 'platform'].includes(endpoint.definition.needs);
/** Asked by no user: its caller signs. */
export const isOfBridge = ({ endpoint }: Route) => endpoint.definition.needs === 'bridge';
/** Asks a router through its bridge; where none is reached, 502 and 503 are the right answers. */
export const isLive = ({ endpoint }: Route) => endpoint.definition.errors?.includes('ROUTER_UNREACHABLE') ?? false;
export const acceptsOf = ({ endpoint }: Route) => endpoint.definition.accepts ?? 'json';
export const takesJson = (route: Route) => route.endpoint.definition.body !== undefined && acceptsOf(route) === 'json';
export const mostBytes = ({ endpoint }: Route) => endpoint.definition.most_bytes ?? 1024 * 1024;
export const CONTENT_TYPE = {
  json: 'application/json',
  text: 'text/plain',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
} as const;
/** Answers people: its refusals are pages. */
export const isPage = ({ endpoint }: Route) => 'html' in endpoint.definition.returns;
/** The path says whose it is: `/isolir/:tenant`. */
export const isNamedByPath = ({ endpoint }: Route) => endpoint.definition.tenantOf === 'path';

const OTHER_PARAMETERS: Record<string, string> = { kind: 'photo', name: 'budi', address: '10.1.1.1' };

/** The path with its parameters filled: `:id` by `id`, others by something that exists. */
export function fillPath(path: string, id: string = crypto.randomUUID()): string {
  return path.replace(/:(\w+)/g, (_, name: string) => OTHER_PARAMETERS[name] ?? id);
}

interface JsonSchema {
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  type?: string;
  const?: unknown;
  format?: string;
  enum?: unknown[];
  anyOf?: JsonSchema[];
  minimum?: number;
}

export interface Field {
  name: string;
  schema: JsonSchema;
  is_required: boolean;
}

/** Refused so, and it says why: JSON by its code and the field, a page by its status and in words. */
export function isRefused(route: Route, { status, headers, error, text }: Answer, code: ErrorCode, field?: string) {
  if (status !== ERRORS[code].status) return false;
  if (isPage(route)) return headers.get('content-type') === 'text/html; charset=UTF-8' && text.includes('<h1>');
  return error.code === code && (field === undefined || !!error.details?.[field]);
}

/** The fields of a JSON body's first level. */
export function fieldsOf({ endpoint }: Route): Field[] {
  const { shape } = endpoint.definition.body as z.ZodObject;
  return Object.entries(shape).map(([name, field]) => {
    const schema = z.toJSONSchema(field, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
    const found = schema.$ref ? schema.$defs![schema.$ref.split('/').at(-1)!]! : schema;
    return { name, schema: found, is_required: !z.safeParse(field, undefined).success };
  });
}

/** One of each that a bridge measures. */
export const sampleBatch = (parts: { router_id?: string; device_id?: string } = {}) => {
  const { router_id = crypto.randomUUID(), device_id = crypto.randomUUID() } = parts;
  const line = { name: 'budi', session_id: '0x81000001', address: '10.0.0.2', uptime_seconds: 60, interval_seconds: 60, upload_bytes: 1, download_bytes: 2 }; // prettier-ignore
  const facts = {
    identity: 'Pusat',
    board_name: 'RB4011',
    version: '7.16',
    uptime_seconds: 60,
    pools: [{ name: 'pool-a', used: 3 }],
  };
  return {
    spool_id: '0195a3a0-0000-4000-8000-000000000001',
    number: 1,
    measured_at_ms: Date.now(),
    routers: [{ router_id, status: 'online', error: null, latency_ms: 3, ...facts, lines: [line] }],
    devices: [{ device_id, status: 'online', latency_ms: 3 }],
  };
};

/** Fields whose form the schema's words don't tell. */
const KNOWN: Record<string, unknown> = {
  current_password: 'yang-lama-ini-salah',
  code: '123456',
  phone: '0812-3456-7890',
  host: '10.1.1.1',
  slug: 'isp-contract',
  public_key: { kty: 'EC', crv: 'P-256', x: 'x'.repeat(43), y: 'y'.repeat(43) },
  ranges: '192.168.7.2-192.168.7.254',
  period: thisMonth(),
  invoice_number_pattern: 'F/{year}/{number}',
  receipt_number_pattern: 'K/{year}/{number}',
  batch: sampleBatch(),
};

/** What a field of this name is the id of, by the first part of its path. */
export const REFERENCES: Record<string, string> = {
  router_id: 'routers',
  bridge_id: 'bridges',
  service_plan_id: 'service-plans',
  zone_id: 'zones',
  customer_id: 'customers',
  parent_device_id: 'devices',
};

function sampleOf(name: string, schema: JsonSchema): unknown {
  if (name in KNOWN) return KNOWN[name];
  if (schema.const !== undefined) return schema.const;
  if (schema.anyOf) return sampleOf(name, schema.anyOf[0]!);
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(schema.minimum ?? 1, 1);
  if (schema.type === 'boolean') return true;
  if (schema.type === 'array') return [];
  if (schema.type === 'object') return {};
  if (schema.format === 'uuid') return crypto.randomUUID();
  if (schema.format === 'date') return '2099-01-01';
  if (schema.format === 'email' || name.endsWith('email')) return 'nama@contoh.example';
  return 'benar-kuda-baterai';
}

/**
 * The smallest JSON body that a route takes; a new route that needs more than its words tell says so here. References
 * are to `ids` where they are told, else to nothing.
 */
export function sampleBody(route: Route, ids: Record<string, string> = {}): Record<string, unknown> {
  const required = fieldsOf(route).filter(field => field.is_required);
  const body = Object.fromEntries(
    required.map(({ name, schema }) => [name, ids[REFERENCES[name] ?? ''] ?? sampleOf(name, schema)]),
  );
  const { error } = route.endpoint.definition.body!.safeParse(body);
  if (error) throw new Error(`test/support/contract.ts knows no body for ${nameOf(route)}: ${error.message}`);
  return body;
}

const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0]);

/** A body that fits, of whatever kind the route takes. */
export function fittingBody(route: Route): BodyInit | undefined {
  if (!route.endpoint.definition.body) return undefined;
  if (acceptsOf(route) === 'text') return '/ppp secret\nadd name=budi password=rahasia profile=default service=pppoe\n';
  if (acceptsOf(route) === 'json') return JSON.stringify(sampleBody(route));
  if (acceptsOf(route) === 'form') return 'customer_code=CUST00001&phone=0812-3456-7890';
  const form = new FormData();
  form.set('photo', new File([PNG], 'a.png', { type: 'image/png' }));
  return form;
}

/** The body's fields that take any text. */
export function stringFields(route: Route): string[] {
  const takesText = (schema: JsonSchema): boolean =>
    (schema.type === 'string' && !schema.enum) || (schema.anyOf?.some(takesText) ?? false);
  return fieldsOf(route).flatMap(({ name, schema }) => (takesText(schema) ? [name] : []));
}

export interface AskOptions extends Omit<CallOptions, 'body'> {
  /** Sent as it is. */
  body?: BodyInit;
  /** Null: none is sent. */
  type?: string | null;
  path?: string;
  /** Who signs. */
  bridge?: TestBridge;
  /** What is signed instead of what is sent. */
  signed?: SignedParts & { body?: string };
}

/** The bytes as they are sent: what is signed must be known beforehand. */
async function readWhole(body: BodyInit | undefined): Promise<string> {
  return body === undefined ? '' : new Response(body).text();
}

const readDocumentText = async () => (await SELF.fetch('http://rukun.test/openapi.json')).text();

export async function readDocument(): Promise<PublishedDocument> {
  return JSON.parse(await readDocumentText()) as PublishedDocument;
}

export const documentPath = (path: string) => path.replace(/:(\w+)/g, '{$1}');

/**
 * Asks routes, and collects what is wrong with any answer whatever the test is about: what the document doesn't
 * declare (status, code, body), a 500, an error without its request id.
 */
export class Asker {
  readonly complaints: string[] = [];
  private readonly published: ReturnType<typeof readPublished>;

  constructor(published: ReturnType<typeof readPublished>) {
    this.published = published;
  }

  get document(): PublishedDocument {
    return this.published.document;
  }

  static async make(): Promise<Asker> {
    return new Asker(readPublished(await readDocumentText()));
  }

  async ask(route: Route, options: AskOptions = {}): Promise<Answer> {
    const in_path = isNamedByPath(route) ? (options.tenant ?? undefined) : undefined;
    const url = new URL(options.path ?? fillPath(route.path, in_path), `http://${options.host ?? 'rukun.test'}`);
    for (const [key, value] of Object.entries(options.query ?? {})) url.searchParams.append(key, String(value));
    const headers = new Headers({ 'cf-connecting-ip': takeAddress(), ...options.headers });
    if (options.token) headers.set('authorization', `Bearer ${options.token}`);
    if (options.tenant) headers.set('x-tenant-id', options.tenant);
    const is_idempotent = route.endpoint.definition.idempotency !== undefined;
    if (is_idempotent && !headers.has('idempotency-key')) headers.set('idempotency-key', crypto.randomUUID());
    const { type, bridge, signed } = options;
    let { body } = options;
    const method = route.method.toUpperCase();
    if (bridge) {
      const text = await readWhole(body);
      // a stream is read once: what goes out is another of the same bytes
      if (body instanceof ReadableStream) body = new Blob([text]).stream();
      const parts = { method, path: url.pathname, ...signed };
      const signatures = await bridge.sign(signed?.body ?? text, parts);
      for (const [name, value] of Object.entries(signatures)) if (!headers.has(name)) headers.set(name, value);
    }
    // text as bytes: a string would be given a type of its own
    const sent = typeof body === 'string' ? new TextEncoder().encode(body) : body;
    if (type) headers.set('content-type', type);
    else if (type === undefined && typeof body === 'string')
      headers.set('content-type', CONTENT_TYPE[acceptsOf(route)]);
    const response = await SELF.fetch(url, { method, headers, body: sent ?? null, redirect: 'manual' });
    response.webSocket?.accept();
    response.webSocket?.close();
    const answer = await readAnswer(method, url.pathname, response);
    this.judge(route, answer, url.searchParams.has('fields'));
    if (bridge) await this.judgeSignature(route, answer, bridge, headers.get(NONCE_HEADER)!);
    return answer;
  }

  /** Notes what isn't as it should be, and goes on: one run tells of all routes. */
  expect(holds: boolean, route: Route, what: string, answer: Answer): void {
    if (!holds) this.complaints.push(`${nameOf(route)}: ${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  }

  /** A bridge believes nothing else than what is signed for its own call; what comes before it is known has no signature. */
  private async judgeSignature(route: Route, answer: Answer, bridge: TestBridge, nonce: string): Promise<void> {
    if ([401, 403, 404, 413, 429].includes(answer.status)) return;
    const expected = await signAnswer(bridge.secret, nonce, answer.status, answer.text);
    const given = answer.headers.get(SIGNATURE_HEADER) ?? '';
    this.expect(equalSignatures(given, expected), route, 'an answer without the right signature', answer);
  }

  /** `chooses`: only some fields were asked for; what is in them is the list tests' business. */
  private judge(route: Route, answer: Answer, chooses: boolean): void {
    const declared = this.published.document.paths[documentPath(route.path)]?.[route.method]?.responses ?? {};
    const promised = declared[answer.status];
    this.expect(promised !== undefined, route, 'a status that the document does not declare', answer);
    const breach =
      promised && !(chooses && answer.status === 200) ? findBreach(this.published, promised, answer) : null;
    this.expect(breach === null, route, breach ?? '', answer);
    this.expect(answer.status !== 500, route, 'an internal error', answer);
    const request_id = answer.headers.get('x-request-id');
    this.expect(!!request_id, route, 'no X-Request-Id', answer);
    if (answer.status < 400) return;
    if (isPage(route))
      this.expect(answer.headers.get('content-type') === 'text/html; charset=UTF-8', route, 'not a page', answer);
    else this.expect(answer.error?.request_id === request_id, route, 'another request_id than the header’s', answer);
    const leaks = /SQLITE|D1_ERROR|constraint failed|\bat .+:\d+:\d+|node_modules/.test(answer.text);
    this.expect(!leaks, route, 'tells of the inside', answer);
  }
}

export const isUnderRouters = (route: Route) => route.path.startsWith(`${API_BASE}/routers`);
/** `/mikrotik/routers` is `/routers`. */
export const underOlderName = (path: string) => path.replace('/routers', '/mikrotik/routers');
