import { env, SELF } from 'cloudflare:test';
import { expect } from 'vitest';
import { z } from 'zod';
import { routes } from '../../src/app.ts';
import { signAccessToken } from '../../src/auth/tokens.ts';
import type { Role } from '../../src/auth/permissions.ts';
import { dataAnswer, ErrorAnswer, listAnswer } from '../../src/http/envelope.ts';

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

export async function call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const url = new URL(`/api/v1${path}`, `http://${options.host ?? 'rukun.test'}`);
  for (const [key, value] of Object.entries(options.query ?? {}))
    if (value !== undefined) url.searchParams.append(key, String(value));
  const headers = new Headers(options.headers);
  if (options.token) headers.set('authorization', `Bearer ${options.token}`);
  if (options.tenant) headers.set('x-tenant-id', options.tenant);
  let body: BodyInit | undefined;
  if (options.body !== undefined) {
    const raw = typeof options.body === 'string' || options.body instanceof FormData;
    body = raw ? (options.body as BodyInit) : JSON.stringify(options.body);
    if (!headers.has('content-type') && !(options.body instanceof FormData))
      headers.set('content-type', 'application/json');
  }
  const response = await SELF.fetch(url, { method, headers, body, redirect: 'manual' });
  return readAnswer(method, url.pathname, response);
}

export async function readAnswer(method: string, path: string, response: Response): Promise<Answer> {
  const text = await response.text();
  const is_json = response.headers.get('content-type')?.startsWith('application/json') && text !== '';
  const content = is_json ? JSON.parse(text) : {};
  if (is_json) holdToSchema(method, path, response.status, content);
  return { status: response.status, headers: response.headers, text, ...content };
}

const matchers = routes.map(route => ({
  route,
  pattern: new RegExp(`^${route.path.replace(/:\w+/g, '[^/]+')}$`),
}));

/** An answer that doesn't fit what the document promises fails the test, whatever the test is about. */
function holdToSchema(method: string, path: string, status: number, content: { success?: boolean }): void {
  const found = matchers.find(({ route, pattern }) => route.method === method.toLowerCase() && pattern.test(path));
  if (!found) return;
  const { returns, status: promised = 200 } = found.route.endpoint.definition;
  if (content.success === false) {
    expect(
      ErrorAnswer.strict().safeParse(content).error,
      `${method} ${path}: ${JSON.stringify(content)}`,
    ).toBeUndefined();
    return;
  }
  expect(status).toBe(promised);
  if ('file' in returns) return;
  const schema = 'list' in returns ? listAnswer(returns.list) : dataAnswer(returns.one);
  const chosen = 'list' in returns ? z.object({ data: z.array(z.looseObject({})) }) : schema;
  expect(chosen.safeParse(content).error, `${method} ${path}`).toBeUndefined();
}

let next_slug = 0;

/** An address that nobody has called from: limiters that sleep keep their logs through reset(). */
export const newAddress = (): string => `10.${[...crypto.getRandomValues(new Uint8Array(3))].join('.')}`;

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
  signAccessToken(env, { id: tenant_id }, { id: user_id, role }, now, crypto.randomUUID());
