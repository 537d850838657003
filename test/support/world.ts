import { createExecutionContext, env, SELF } from 'cloudflare:test';
import { expect } from 'vitest';
import { z } from 'zod';
import { app, routes } from '../../src/app.ts';
import { signAccessToken } from '../../src/auth/tokens.ts';
import type { Role } from '../../src/auth/permissions.ts';
import { dataAnswer, ErrorAnswer } from '../../src/http/envelope.ts';
import { BRIDGE_HEADER, REPORT_PATH, TENANT_HEADER } from '../../src/protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  hashText,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  signHashedRequest,
  TIME_HEADER,
} from '../../src/protocol/signature.ts';

/** Tenants, users and calls for tests: everything goes through the HTTP API, and every answer is held to its schema. */

export interface Answer<T = any> {
  status: number;
  headers: Headers;
  data: T;
  meta: { page: number; per_page: number; total: number; total_pages: number };
  error: { code: string; message: string; details?: Record<string, string[]>; request_id: string };
  text: string;
}

export interface CallOptions {
  token?: string | null;
  tenant?: string | null;
  body?: unknown;
  query?: Record<string, string | number | boolean | undefined>;
  headers?: Record<string, string>;
  host?: string;
}

export const PASSWORD = 'benar-kuda-baterai';

/** An address that nobody has called from: limiters that sleep keep their logs through reset(). */
export const newAddress = (): string => `10.${[...crypto.getRandomValues(new Uint8Array(3))].join('.')}`;

/** Fewer calls than what gets an address blocked. */
const CALLS_AN_ADDRESS = 10;
let calls = 0;
let address = '';

/** Whoever calls comes from somewhere: from another place before it is suspicious how much comes from one. */
export function takeAddress(): string {
  if (calls++ % CALLS_AN_ADDRESS === 0) address = newAddress();
  return address;
}

export async function call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const url = new URL(`/api/v1${path}`, `http://${options.host ?? 'rukun.test'}`);
  for (const [key, value] of Object.entries(options.query ?? {}))
    if (value !== undefined) url.searchParams.append(key, String(value));
  const headers = new Headers({ 'cf-connecting-ip': takeAddress(), ...options.headers });
  if (options.token) headers.set('authorization', `Bearer ${options.token}`);
  if (options.tenant) headers.set('x-tenant-id', options.tenant);
  let body: BodyInit | undefined;
  if (options.body !== undefined) {
    const raw = typeof options.body === 'string' || options.body instanceof FormData;
    body = raw ? (options.body as BodyInit) : JSON.stringify(options.body);
    if (!headers.has('content-type') && !(options.body instanceof FormData))
      headers.set('content-type', 'application/json');
  }
  const request = new Request(url, { method, headers, body, redirect: 'manual' });
  const response = await (is_direct ? app.fetch(request, env, createExecutionContext()) : SELF.fetch(request));
  return readAnswer(method, url.pathname, response);
}

let is_direct = true;

/**
 * Calls go through the runtime's door, each in a context of its own, as they do when deployed: what one request waits for,
 * another can't. Otherwise they go to the Worker's handler at once, and are spared the way there. setup.ts says for which files.
 */
export const callThroughRuntime = (is_so: boolean): void => void (is_direct = !is_so);

export async function readAnswer(method: string, path: string, response: Response): Promise<Answer> {
  // not text(): the runtime warns of files
  const text = new TextDecoder().decode(await response.arrayBuffer());
  const is_json = response.headers.get('content-type')?.startsWith('application/json') && text !== '';
  const content = is_json ? JSON.parse(text) : {};
  if (is_json) holdToSchema(method, path, response.status, content);
  return { status: response.status, headers: response.headers, text, ...content };
}

const matchers = routes.map(route => ({
  route,
  pattern: new RegExp(`^${route.path.replace(/:\w+/g, '[^/]+')}$`),
  answer: answerOf(route.endpoint.definition.returns),
}));
const refusal = ErrorAnswer.strict();

/** What an answer must be, where it is one of JSON. Rows of a list passed their schema on their way out, or some fields were chosen. */
function answerOf(returns: (typeof routes)[number]['endpoint']['definition']['returns']): z.ZodType | null {
  if ('file' in returns || 'html' in returns || 'socket' in returns) return null;
  return 'list' in returns ? z.object({ data: z.array(z.looseObject({})) }) : dataAnswer(returns.one);
}

/** An answer that doesn't fit what the document promises fails the test, whatever the test is about. */
function holdToSchema(method: string, path: string, status: number, content: { success?: boolean }): void {
  const found = matchers.find(({ route, pattern }) => route.method === method.toLowerCase() && pattern.test(path));
  if (!found) return;
  const { status: promised = 200 } = found.route.endpoint.definition;
  if (content.success === false) {
    expect(refusal.safeParse(content).error, `${method} ${path}: ${JSON.stringify(content)}`).toBeUndefined();
    return;
  }
  expect(status).toBe(promised);
  if (found.answer) expect(found.answer.safeParse(content).error, `${method} ${path}`).toBeUndefined();
}

let next_slug = 0;

export interface TestUser {
  id: string;
  token: string;
  role: Role;
}

/** An ISP signed up through the API, and its users. */
export class TestTenant {
  readonly id: string;
  readonly slug: string;
  readonly admin: TestUser;

  constructor(id: string, slug: string, admin: TestUser) {
    this.id = id;
    this.slug = slug;
    this.admin = admin;
  }

  static async signUp(options: { slug?: string; timezone?: string } = {}): Promise<TestTenant> {
    const slug = options.slug ?? `isp-${++next_slug}`;
    const answer = await call('POST', '/tenants', {
      // each sign-up from an address of its own: the limit of five an hour is another test's subject
      headers: { 'cf-connecting-ip': newAddress() },
      body: {
        slug,
        name: `ISP ${slug}`,
        admin_name: 'Ayu',
        admin_email: `ayu@${slug}.example`,
        admin_password: PASSWORD,
        ...(options.timezone && { timezone: options.timezone }),
      },
    });
    expect(answer.status, answer.text).toBe(201);
    const { id, admin } = answer.data;
    return new TestTenant(id, slug, { id: admin.id, role: 'admin', token: await mintToken(id, admin.id, 'admin') });
  }

  /** Calls as the admin unless told. */
  call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return call(method, path, { token: this.admin.token, ...options });
  }

  /** Calls that must succeed; gives the data. */
  async get(path: string, query?: CallOptions['query']): Promise<any> {
    const answer = await this.call('GET', path, { query });
    expect(answer.status, answer.text).toBe(200);
    return answer.data;
  }

  async post(path: string, body?: unknown): Promise<any> {
    const answer = await this.call('POST', path, { body });
    expect([200, 201, 202], answer.text).toContain(answer.status);
    return answer.data;
  }

  async put(path: string, body: unknown): Promise<any> {
    const answer = await this.call('PUT', path, { body });
    expect(answer.status, answer.text).toBe(200);
    return answer.data;
  }

  async addUser(role: Role): Promise<TestUser> {
    const email = `${role}-${crypto.randomUUID()}@${this.slug}.example`;
    const user = await this.post('/users', { email, name: role, role, password: PASSWORD });
    return { id: user.id, role, token: await mintToken(this.id, user.id, role) };
  }

  /** This tenant's database, for what the API has no way to show. */
  async database(): Promise<D1Database> {
    const row = await env.DIRECTORY_DB.prepare('SELECT shard FROM tenants WHERE id = ?')
      .bind(this.id)
      .first<{ shard: string }>();
    return (env as unknown as Record<string, D1Database>)[row!.shard]!;
  }

  addPlan(fields: Record<string, unknown> = {}) {
    const name = `Paket ${crypto.randomUUID().slice(0, 8)}`;
    return this.post('/service-plans', { name, download_kbps: 20_000, upload_kbps: 5_000, price: 150_000, ...fields });
  }

  addCustomer(service_plan_id: string, fields: Record<string, unknown> = {}) {
    return this.post('/customers', {
      full_name: 'Budi Santoso',
      phone: '0812-3456-7890',
      address: 'Jl. Melati 7, RT 03 RW 05',
      service_plan_id,
      ...fields,
    });
  }
}

/** A token as signing in would give it, without the cost of a password. */
export const mintToken = (tenant_id: string, user_id: string, role: Role, now = Date.now()) =>
  signAccessToken(
    env,
    { id: tenant_id },
    { id: user_id, role, session_id: crypto.randomUUID() },
    now,
    crypto.randomUUID(),
  );

/** What a bridge signs besides who it is; a test may say any of it otherwise. */
export interface SignedParts {
  method?: string;
  path?: string;
  time_ms?: number;
  nonce?: string;
}

/** A bridge as the Worker knows it: what it says by itself it signs with the secret that it got. */
export class TestBridge {
  readonly tenant_id: string;
  readonly id: string;
  readonly secret: string;
  #last_ms = 0;

  constructor(tenant_id: string, id: string, secret: string) {
    this.tenant_id = tenant_id;
    this.id = id;
    this.secret = secret;
  }

  /** Made and enrolled through the API, with a key of its own. The Worker doesn't reach it. */
  static async enrol(tenant: TestTenant, name = 'Jembatan'): Promise<TestBridge> {
    const { id } = await tenant.post('/bridges', { name });
    const { token } = await tenant.post(`/bridges/${id}/enroll`);
    const body = { token, public_key: await makePublicKey(), version: '1.0.0' };
    const answer = await call('POST', '/bridges/enroll', { body });
    expect(answer.status, answer.text).toBe(200);
    return new TestBridge(tenant.id, id, answer.data.signing_secret);
  }

  /** Newer with each call, as the Worker wants it. */
  takeTime(): number {
    this.#last_ms = Math.max(Date.now(), this.#last_ms + 1);
    return this.#last_ms;
  }

  async sign(body: string, parts: SignedParts = {}): Promise<Record<string, string>> {
    const { method = 'POST', path = REPORT_PATH, time_ms = this.takeTime(), nonce = crypto.randomUUID() } = parts;
    const body_hash = await hashText(body);
    return {
      [TENANT_HEADER]: this.tenant_id,
      [BRIDGE_HEADER]: this.id,
      [TIME_HEADER]: String(time_ms),
      [NONCE_HEADER]: nonce,
      [BODY_HASH_HEADER]: body_hash,
      [SIGNATURE_HEADER]: await signHashedRequest(this.secret, { time_ms, nonce, method, path, body_hash }),
    };
  }

  async report(report: Record<string, unknown> = {}): Promise<Answer> {
    const body = JSON.stringify({ version: '1.0.0', watched_tag: null, batch: null, batches_waiting: 0, ...report });
    return call('POST', '/bridges/report', { body, headers: await this.sign(body) });
  }
}

/** A point of the curve, as `rukun-bridge enroll` shows it. */
export async function makePublicKey(): Promise<{ kty: 'EC'; crv: 'P-256'; x: string; y: string }> {
  const algorithm = { name: 'ECDH', namedCurve: 'P-256' };
  const pair = (await crypto.subtle.generateKey(algorithm, true, ['deriveBits'])) as CryptoKeyPair;
  const { x, y } = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as { x: string; y: string };
  return { kty: 'EC', crv: 'P-256', x, y };
}

/** What a router must hold of its own, and what waits there for nobody: a conflict. */
export async function addEntry(tenant: TestTenant, router_id: string, key = 'rumah'): Promise<string> {
  const id = crypto.randomUUID();
  const database = await tenant.database();
  await database
    .prepare(
      `INSERT INTO provisioning (id, router_id, kind, key, desired, status, attempts, created_at, updated_at)
      VALUES (?1, ?2, 'ip_pool', ?3, '{"ranges":"10.9.0.0/24"}', 'conflict', 1, ?4, ?4)`,
    )
    .bind(id, router_id, key, Date.now())
    .run();
  return id;
}
