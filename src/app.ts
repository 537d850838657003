import { fromHono } from 'chanfana';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { loadTokenKeys } from './auth/tokens.ts';
import { makeAmbient } from './context.ts';
import { AppError, fromDatabaseError } from './errors.ts';
import type { App, HonoCtx } from './http/definition.ts';
import { ANSWER_HEADERS } from './http/headers.ts';
import { BEARER, OPENAPI_OPTIONS } from './http/openapi.ts';
import { answerPage } from './http/page.ts';
import { allowOrigins, refuseForeignPages } from './http/cors.ts';
import { limitAddress } from './http/limit-address.ts';
import { turnAway, writeLimits } from './http/turn-away.ts';
import { API_BASE, listRoutes } from './http/resource.ts';
import { logEnd, logFailure } from './log.ts';
import { answerMetrics } from './metrics/answer.ts';
import { count, countDatabase, handOn, observe } from './metrics/isolate.ts';
import { SIGNATURE_HEADER } from './protocol/signature.ts';
import { resources } from './resources/index.ts';
import { GUIDE } from './resources/live/guide.ts';
import { openDirectory } from './tenancy/directory.ts';

/** The order of things: request id, headers, then tenant, who and the rest in each endpoint (http/endpoint.ts). */

export const routes = listRoutes(resources);

const REQUEST_ID = /^[\w.-]{8,64}$/;

const base = new Hono<App>();

base.use(
  secureHeaders({
    // a page says more strictly what it needs
    overwrite: false,
    contentSecurityPolicy: { defaultSrc: ["'self'"], imgSrc: ["'self'", 'data:'], frameAncestors: ["'none'"] },
  }),
);

base.use(async (c, next) => {
  const given = c.req.header('x-request-id');
  const ambient = makeAmbient(c.env, c.executionCtx, {
    request_id: given && REQUEST_ID.test(given) ? given : undefined,
    ip: c.req.header('cf-connecting-ip') ?? null,
  });
  c.set('ambient', ambient);
  await next();
  // not before: an answer that is a Response of its own (files, sockets) would come without it
  c.res.headers.set('X-Request-Id', ambient.request_id);
  if (!c.var.is_forwarded) writeLimits(c);
  // what is said to one caller is no other one's, and is asked after before it is shown again
  if (!c.res.headers.has('Cache-Control') && c.res.status !== 101)
    c.res.headers.set('Cache-Control', 'private, no-cache');
  if (c.var.signAnswer)
    c.res.headers.set(SIGNATURE_HEADER, await c.var.signAnswer(c.res.status, await c.res.clone().text()));
  if (!c.var.is_forwarded) tellEnd(c);
});

base.use(`${API_BASE}/*`, allowOrigins, refuseForeignPages);

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The pattern that a request came in by; a path that isn't one of ours may say anything. */
const routeOf = ({ req: { routePath } }: HonoCtx): string | null => (routePath.includes('*') ? null : routePath);

const methodOf = ({ req: { method } }: HonoCtx): string => (METHODS.has(method) ? method : 'other');

/** The line of a request, and its counts. */
function tellEnd(c: HonoCtx): void {
  const { ambient } = c.var;
  const { request_id, trace } = ambient;
  const [route, method, duration_ms] = [routeOf(c), methodOf(c), ambient.elapsed_ms()];
  const { status } = c.res;
  const { tenant, code, stats } = trace;
  logEnd(c.env, { request_id, tenant, method, route, status, code, duration_ms, ...stats });
  const labels = { route: route ?? 'none' };
  count('rukun_requests_total', { method, ...labels, status: String(status) });
  if (code) count('rukun_errors_total', { code });
  observe('rukun_request_duration_seconds', labels, duration_ms / 1000);
  countDatabase(labels, stats);
  handOn(ambient);
}

/** How a refusal is answered. */
async function refuse(c: HonoCtx, wanted: AppError): Promise<Response> {
  const refusal = await turnAway(c, wanted);
  const { ambient, ctx, showRefusal } = c.var;
  const { request_id } = ambient;
  ambient.trace.code = refusal.code;
  if (showRefusal) {
    const page = showRefusal(refusal, { tenant: ctx?.tenant ?? null, lang: c.req.query('lang'), request_id });
    return answerPage(c, page, refusal.status, refusal.headers);
  }
  const { code, message, details } = refusal;
  return c.json({ success: false, error: { code, message, details, request_id } }, refusal.status, refusal.headers);
}

base.onError((error, c) => {
  const known = error instanceof AppError ? error : fromDatabaseError(error);
  if (known) return refuse(c, known);
  const { request_id, trace } = c.var.ambient;
  logFailure({ request_id, tenant: trace.tenant, method: methodOf(c), route: routeOf(c) }, error);
  return refuse(c, new AppError('INTERNAL_ERROR'));
});

// answered, not thrown: what is thrown here passes by the middleware above
base.notFound(c => refuse(c, new AppError('NOT_FOUND', 'There is no such route; see /docs.')));

base.get('/.well-known/jwks.json', limitAddress, async c => {
  c.header('Cache-Control', 'public, max-age=300');
  return c.json((await loadTokenKeys(c.env)).public_jwks);
});

base.get('/docs/live', limitAddress, c => answerPage(c, GUIDE, 200));

/** Alive: this Worker answers. Ready: its directory does too. */
base.get('/healthz', c => c.json({ ok: true }));
base.get('/readyz', limitAddress, async c => {
  await c.env.DIRECTORY_DB.prepare('SELECT 1').first();
  await openDirectory(c.env);
  return c.json({ ok: true });
});

base.get('/metrics', limitAddress, answerMetrics);

/** The older name of /routers: the same routes under another path. */
base.all(`${API_BASE}/mikrotik/routers/:rest{.*}?`, async c => {
  const url = new URL(c.req.url);
  url.pathname = url.pathname.replace('/mikrotik/routers', '/routers');
  const forwarded = new Request(url, c.req.raw);
  forwarded.headers.set('X-Request-Id', c.var.ambient.request_id);
  c.set('is_forwarded', true);
  return base.fetch(forwarded, c.env, c.executionCtx);
});

base.use('/openapi.json', limitAddress);

const documented = fromHono(base, OPENAPI_OPTIONS);
documented.registry.registerComponent('securitySchemes', 'bearer', BEARER);
for (const [name, header] of Object.entries(ANSWER_HEADERS))
  documented.registry.registerComponent('headers', name, header);
for (const { method, path, endpoint } of routes)
  documented[method](path, ...(endpoint.handlers(path, method) as [never]));

export const app = base;
