import { fromHono } from 'chanfana';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { loadTokenKeys } from './auth/tokens.ts';
import { makeAmbient } from './context.ts';
import { AppError, fromDatabaseError } from './errors.ts';
import type { App, HonoCtx } from './http/definition.ts';
import { BEARER, OPENAPI_OPTIONS } from './http/openapi.ts';
import { answerPage } from './http/page.ts';
import { API_BASE, listRoutes } from './http/resource.ts';
import { logFailure, logLine } from './log.ts';
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
  if (c.var.signAnswer)
    c.res.headers.set(SIGNATURE_HEADER, await c.var.signAnswer(c.res.status, await c.res.clone().text()));
  const { stats } = c.var.ctx?.db ?? { stats: undefined };
  logLine(c.env, {
    level: 'info',
    request_id: ambient.request_id,
    tenant: c.var.ctx?.tenant.slug,
    method: c.req.method,
    route: c.req.routePath,
    status: c.res.status,
    duration_ms: ambient.elapsed_ms(),
    ...stats,
  });
});

const answerError = (error: Error, c: HonoCtx): Response | Promise<Response> => {
  const known = error instanceof AppError ? error : fromDatabaseError(error);
  const refusal = known ?? new AppError('INTERNAL_ERROR');
  const { ambient, ctx, showRefusal } = c.var;
  const { request_id } = ambient;
  if (!known) logFailure({ request_id, method: c.req.method, route: c.req.routePath }, error);
  if (showRefusal) {
    const page = showRefusal(refusal, { tenant: ctx?.tenant ?? null, lang: c.req.query('lang'), request_id });
    return answerPage(c, page, refusal.status, refusal.headers);
  }
  const { code, message, details } = refusal;
  return c.json({ success: false, error: { code, message, details, request_id } }, refusal.status, refusal.headers);
};

base.onError(answerError);
// answered, not thrown: what is thrown here passes by the middleware above
base.notFound(c => answerError(new AppError('NOT_FOUND', 'There is no such route; see /docs.'), c));

base.get('/.well-known/jwks.json', async c => {
  c.header('Cache-Control', 'public, max-age=300');
  return c.json((await loadTokenKeys(c.env)).public_jwks);
});

base.get('/docs/live', c => answerPage(c, GUIDE, 200));

/** Alive: this Worker answers. Ready: its directory does too. */
base.get('/healthz', c => c.json({ ok: true }));
base.get('/readyz', async c => {
  await c.env.DIRECTORY_DB.prepare('SELECT 1').first();
  await openDirectory(c.env);
  return c.json({ ok: true });
});

/** The older name of /routers: the same routes under another path. */
base.all(`${API_BASE}/mikrotik/routers/:rest{.*}?`, async c => {
  const url = new URL(c.req.url);
  url.pathname = url.pathname.replace('/mikrotik/routers', '/routers');
  const request = new Request(url, c.req.raw);
  request.headers.set('x-request-id', c.var.ambient.request_id);
  return base.fetch(request, c.env, c.executionCtx);
});

const documented = fromHono(base, OPENAPI_OPTIONS);
documented.registry.registerComponent('securitySchemes', 'bearer', BEARER);
for (const { method, path, endpoint } of routes)
  documented[method](path, ...(endpoint.handlers(path, method) as [never]));

export const app = base;
