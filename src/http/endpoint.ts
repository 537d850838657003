import { zValidator } from '@hono/zod-validator';
import { OpenAPIRoute, type OpenAPIRouteSchema } from 'chanfana';
import type { Context as HonoContext, MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { z } from 'zod';
import { type Permission, roleMay } from '../auth/permissions.ts';
import type { Ambient, Context } from '../context.ts';
import { RaceLost, StaleTenant } from '../db/commit.ts';
import type { Env } from '../env.ts';
import { AppError, ERRORS, type ErrorCode } from '../errors.ts';
import { forgetTenants } from '../tenancy/directory.ts';
import { enterTenant } from '../tenancy/enter.ts';
import { dataAnswer, ErrorAnswer, listAnswer } from './envelope.ts';

export interface AppVariables {
  ambient: Ambient;
  /** Set once the tenant and the caller are known. */
  ctx: Context;
  /** Looks tenant and caller up anew: for a retry after the tenant's database was switched. */
  enter: () => Promise<Context>;
}
export type App = { Bindings: Env; Variables: AppVariables };
type HonoCtx = HonoContext<App>;

/** A page of rows with how many there are in all. */
export interface Page<T> {
  rows: T[];
  total: number;
}

type Schema = z.ZodType;
type Output<S> = S extends Schema ? z.output<S> : undefined;

interface Inputs<P, Q, B> {
  /** The path's `:id`, unless the endpoint declares other parameters. */
  params: P extends Schema ? z.output<P> : { id: string };
  query: Output<Q>;
  body: Output<B>;
}

/** What an endpoint gives: one thing, a page of things, or a Response of its own (files). */
type Returns = { one: Schema } | { list: Schema } | { file: string[] };
type ResultOf<R> = R extends { one: infer S extends Schema }
  ? z.input<S>
  : R extends { list: infer S extends Schema }
    ? Page<z.input<S>>
    : Response;

interface Common<P, Q, B, R> {
  /** `customers.create`: unique, and the operationId of the document. */
  id: string;
  summary: string;
  description?: string;
  params?: P;
  query?: Q;
  body?: B;
  /** What the body is. `json` unless told. */
  accepts?: 'json' | 'text' | 'multipart';
  most_bytes?: number;
  returns: R;
  status?: 200 | 201 | 202;
  /** Refusals of its own, beyond those that follow from its inputs. */
  errors?: ErrorCode[];
}

export interface TenantDefinition<P, Q, B, R> extends Common<P, Q, B, R> {
  /** A permission, or `signed-in` (any user), or `public` (no token: the tenant comes from header or subdomain). */
  needs: Permission | 'signed-in' | 'public';
  /** For public endpoints whose body holds a token that names its tenant: no header is needed then. */
  tenantOf?: (body: Output<B>) => string | null;
  run(ctx: Context, input: Inputs<P, Q, B>): Promise<ResultOf<R>>;
}

export interface PlatformDefinition<P, Q, B, R> extends Common<P, Q, B, R> {
  run(ctx: Ambient, input: Inputs<P, Q, B>): Promise<ResultOf<R>>;
}

type AnyDefinition = Common<Schema | undefined, Schema | undefined, Schema | undefined, Returns> & {
  needs: Permission | 'signed-in' | 'public' | 'platform';
  tenantOf?: (body: never) => string | null;
  run(ctx: never, input: never): Promise<unknown>;
};

/** An endpoint ready to be mounted: what is known of it, and the handlers that serve it. */
export interface Endpoint {
  definition: AnyDefinition;
  handlers: (path: string, method: string) => [...MiddlewareHandler<App>[], typeof OpenAPIRoute];
}

/** An endpoint of a tenant: reached only with the tenant's database at hand. */
export function endpoint<
  R extends Returns,
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
>(definition: TenantDefinition<P, Q, B, R>): Endpoint {
  return buildEndpoint(definition as unknown as AnyDefinition);
}

/** An endpoint before any tenant: signing up. */
export function platformEndpoint<
  R extends Returns,
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
>(definition: PlatformDefinition<P, Q, B, R>): Endpoint {
  return buildEndpoint({ ...definition, needs: 'platform' } as unknown as AnyDefinition);
}

function buildEndpoint(definition: AnyDefinition): Endpoint {
  const query = definition.query ?? z.strictObject({});
  return {
    definition,
    handlers: (path, method) => {
      const params = definition.params ?? pathParams(path);
      const checks = [
        ...(params ? [zValidator('param', params, refuse) as MiddlewareHandler<App>] : []),
        zValidator('query', query, refuse) as MiddlewareHandler<App>,
        ...bodyChecks(definition),
      ];
      // permission comes before anything of the request is looked at, except where the body says whose it is
      const steps = definition.tenantOf ? [...checks, admit(definition)] : [admit(definition), ...checks];
      // a PATCH is the PUT under another method, and needs another name in the document
      const id = method === 'patch' ? `${definition.id}.patch` : definition.id;
      return [...steps, routeClass({ ...definition, id }, params)];
    },
  };
}

/** Tenant, caller and permission. */
function admit({ needs, tenantOf }: AnyDefinition): MiddlewareHandler<App> {
  return createMiddleware<App>(async (c, next) => {
    if (needs !== 'platform') {
      const named = tenantOf ? tenantOf(c.req.valid('json' as never)) : null;
      const enter = () => enterTenant(c.var.ambient, c.req.raw, { is_public: needs === 'public', named });
      const ctx = await enter();
      if (needs !== 'public' && needs !== 'signed-in' && (ctx.actor.kind !== 'user' || !roleMay(ctx.actor.role, needs)))
        throw new AppError('FORBIDDEN');
      c.set('ctx', ctx);
      c.set('enter', enter);
    }
    await next();
  });
}

const MOST_BODY_BYTES = 1024 * 1024;
const CONTENT_TYPES = {
  json: /^application\/json\s*(;|$)/i,
  text: /^text\/plain\s*(;|$)/i,
  multipart: /^multipart\/form-data\s*;/i,
};

/** A body of which every field is optional needn't be sent: `POST /customers/:id/activate`. */
const mayBeAbsent = ({ body, accepts = 'json' }: AnyDefinition): boolean =>
  accepts === 'json' && body !== undefined && body.safeParse({}).success;

function bodyChecks(definition: AnyDefinition): MiddlewareHandler<App>[] {
  const { body, accepts = 'json', most_bytes = MOST_BODY_BYTES } = definition;
  if (!body) return [];
  const may_be_absent = mayBeAbsent(definition);
  const guard = createMiddleware<App>(async (c, next) => {
    const type = c.req.header('content-type');
    const length = await readLimited(c, most_bytes);
    const absent = may_be_absent && type === undefined && length === 0;
    if (!absent && !CONTENT_TYPES[accepts].test(type ?? '')) throw new AppError('UNSUPPORTED_MEDIA_TYPE');
    if (!absent && accepts === 'json') await parseJson(c);
    await next();
  });
  return accepts === 'json' ? [guard, zValidator('json', body, refuse) as MiddlewareHandler<App>] : [guard];
}

async function parseJson(c: HonoCtx): Promise<void> {
  try {
    await c.req.json();
  } catch {
    throw new AppError('VALIDATION_ERROR', 'The body is not JSON.', { body: ['is not JSON'] });
  }
}

/** Reads the body no further than it may be long; what was read is what the request has from then on. */
async function readLimited(c: HonoCtx, most_bytes: number): Promise<number> {
  if (Number(c.req.header('content-length') ?? 0) > most_bytes) throw new AppError('PAYLOAD_TOO_LARGE');
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > most_bytes) throw new AppError('PAYLOAD_TOO_LARGE');
    chunks.push(chunk);
  }
  c.req.raw = new Request(c.req.raw.url, {
    method: c.req.method,
    headers: c.req.raw.headers,
    body: length === 0 ? null : await new Blob(chunks).arrayBuffer(),
  });
  return length;
}

interface Refusal {
  success: boolean;
  error?: { issues: readonly z.core.$ZodIssue[] };
}

function refuse(result: Refusal): void {
  if (!result.success) throw validationError(result.error!.issues);
}

/** A field's path → its complaints; an unknown field is named itself. */
function validationError(issues: readonly z.core.$ZodIssue[]): AppError {
  const details: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const issue of issues) {
    const path = issue.path.map(String);
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys) (details[[...path, key].join('.')] ??= []).push('is unknown');
    else (details[path.join('.') || 'body'] ??= []).push(issue.message);
  }
  return new AppError('VALIDATION_ERROR', undefined, details);
}

/** `:id` is a UUID wherever it stands; other parameters are declared by the endpoint. */
function pathParams(path: string): z.ZodObject | null {
  const names = [...path.matchAll(/:(\w+)/g)].map(match => match[1]!);
  return names.length === 0 ? null : z.strictObject(Object.fromEntries(names.map(name => [name, z.uuid()])));
}

const MOST_TRIES = 4;

/** Runs the action; when it lost a race or held a stale database, nothing was stored and it runs again. */
async function runAction(c: HonoCtx, definition: AnyDefinition, input: unknown): Promise<unknown> {
  const run = definition.run as (ctx: Ambient, input: unknown) => Promise<unknown>;
  if (definition.needs === 'platform') return run(c.var.ambient, input);
  for (let tries = 1; ; tries++) {
    try {
      return await run(c.var.ctx, input);
    } catch (error) {
      const again = error instanceof RaceLost || error instanceof StaleTenant;
      if (!again) throw error;
      if (tries === MOST_TRIES) throw new AppError('CONFLICT');
      if (error instanceof StaleTenant) {
        forgetTenants();
        c.set('ctx', await c.var.enter());
      }
    }
  }
}

function routeClass(definition: AnyDefinition, params: Schema | null): typeof OpenAPIRoute {
  return class extends OpenAPIRoute {
    override schema = describe(definition, params);

    override async handle(c: HonoCtx): Promise<Response> {
      const valid = (target: string): unknown => c.req.valid(target as never);
      const query = valid('query') as Record<string, unknown>;
      const accepts_json = definition.body && (definition.accepts ?? 'json') === 'json';
      const input = {
        params: params ? valid('param') : undefined,
        query,
        body: accepts_json ? valid('json') : definition.body ? await readRawBody(c, definition) : undefined,
      };
      return answer(c, definition, query, await runAction(c, definition, input));
    }
  };
}

async function readRawBody(c: HonoCtx, definition: AnyDefinition): Promise<unknown> {
  const raw = definition.accepts === 'text' ? decodeText(await c.req.arrayBuffer()) : await readForm(c);
  const result = await definition.body!.safeParseAsync(raw);
  if (!result.success) throw validationError(result.error.issues);
  return result.data;
}

/** Files from routers are UTF-8, or else of an old code page: never an error. */
function decodeText(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

async function readForm(c: HonoCtx): Promise<Record<string, unknown>> {
  try {
    return await c.req.parseBody();
  } catch {
    throw new AppError('VALIDATION_ERROR', 'The body is not a form.', { body: ['is not multipart/form-data'] });
  }
}

/** What goes out has passed its schema: a column that nobody declared can't leak. */
async function answer(
  c: HonoCtx,
  definition: AnyDefinition,
  query: Record<string, unknown>,
  result: unknown,
): Promise<Response> {
  const bookmark = definition.needs === 'platform' ? null : c.var.ctx.db.bookmark();
  if (bookmark) c.header('X-D1-Bookmark', bookmark);
  const { returns, status = 200 } = definition;
  if ('file' in returns) return result as Response;
  if ('list' in returns) {
    const { rows, total } = result as Page<unknown>;
    const data = rows.map(row => chooseFields(returns.list.parse(row), query.fields as string[] | undefined));
    const [page, per_page] = [(query.page as number) ?? 1, (query.per_page as number) ?? rows.length];
    const meta = { page, per_page, total, total_pages: Math.ceil(total / per_page) };
    return c.json({ success: true, data, meta }, status);
  }
  const data = returns.one.parse(result);
  const body = JSON.stringify({ success: true, data });
  const etag = await makeEtag(data, body);
  if (etag) {
    c.header('ETag', etag);
    if (
      c.req.method === 'GET' &&
      c.req
        .header('if-none-match')
        ?.split(/\s*,\s*/)
        .includes(etag)
    )
      return c.body(null, 304);
  }
  return c.body(body, status, { 'Content-Type': 'application/json' });
}

/**
 * A single row's tag: its version (when people last changed it, which rises with every change; If-Match compares that)
 * and a hash of all that is shown, observations too.
 */
async function makeEtag(data: unknown, body: string): Promise<string | null> {
  const at = (data as { updated_at?: unknown } | null)?.updated_at;
  if (typeof at !== 'string') return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(body)));
  const hash = Array.from(digest.subarray(0, 8), byte => byte.toString(16).padStart(2, '0')).join('');
  return `"${Date.parse(at).toString(36)}.${hash}"`;
}

/** The `updated_at` that a tag of ours stands for. */
export function parseVersion(etag: string): string | null {
  const match = /^(?:W\/)?"([0-9a-z]{1,10})\.[0-9a-f]{16}"$/.exec(etag.trim());
  return match ? new Date(Number.parseInt(match[1]!, 36)).toISOString() : null;
}

function chooseFields(row: unknown, fields: string[] | undefined): unknown {
  if (!fields) return row;
  return Object.fromEntries(fields.map(field => [field, (row as Record<string, unknown>)[field]]));
}

const json = (schema: Schema) => ({ 'application/json': { schema } });

/** The endpoint as the OpenAPI document tells of it: every refusal it can give is listed. */
function describe(definition: AnyDefinition, params: Schema | null): OpenAPIRouteSchema {
  const { returns, status = 200, body, accepts = 'json', needs } = definition;
  const codes = new Set<ErrorCode>(['VALIDATION_ERROR', 'RATE_LIMIT', 'INTERNAL_ERROR', ...(definition.errors ?? [])]);
  if (needs !== 'platform') for (const code of ['TENANT_SUSPENDED', 'NOT_FOUND'] as const) codes.add(code);
  if (needs !== 'platform' && needs !== 'public') codes.add('UNAUTHORIZED').add('FORBIDDEN').add('TENANT_MISMATCH');
  if (body) codes.add('PAYLOAD_TOO_LARGE').add('UNSUPPORTED_MEDIA_TYPE');
  const by_status = Map.groupBy(codes, code => ERRORS[code].status);
  const refusals = [...by_status].map(([refused, list]) => [
    String(refused),
    { description: list.map(code => `${code}: ${ERRORS[code].message}`).join(' · '), content: json(ErrorAnswer) },
  ]);
  const success =
    'file' in returns
      ? Object.fromEntries(returns.file.map(type => [type, { schema: { type: 'string', format: 'binary' } }]))
      : json('list' in returns ? listAnswer(returns.list) : dataAnswer(returns.one));
  const media = { json: 'application/json', text: 'text/plain', multipart: 'multipart/form-data' }[accepts];
  return {
    operationId: definition.id,
    summary: definition.summary,
    description: definition.description ?? (needs.includes(':') ? `Needs the permission \`${needs}\`.` : undefined),
    tags: [definition.id.split('.')[0]!],
    security: needs === 'platform' || needs === 'public' ? [] : [{ bearer: [] }],
    request: {
      ...(params && { params }),
      ...(definition.query && { query: definition.query }),
      ...(body && { body: { required: !mayBeAbsent(definition), content: { [media]: { schema: body } } } }),
    },
    responses: { [status]: { description: 'Done.', content: success }, ...Object.fromEntries(refusals) },
  } as OpenAPIRouteSchema;
}
