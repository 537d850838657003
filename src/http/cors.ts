import { cors } from 'hono/cors';
import type { MiddlewareHandler } from 'hono';
import { AppError } from '../errors.ts';
import { findTenant } from '../tenancy/directory.ts';
import { subdomainOf } from '../tenancy/enter.ts';
import type { App, HonoCtx } from './definition.ts';
import { limitAddress } from './limit-address.ts';
import { CONTENT_TYPES } from './request.ts';

/**
 * Which other pages may call the API in a browser: those of the origins that the provider named (`PUT /settings`), at its own
 * subdomain. A preflight has no token and no other word of whose it is. Tokens come in a header, never in a cookie.
 */

const EXPOSED = [
  'ETag',
  'Idempotent-Replayed',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-D1-Bookmark',
  'X-Request-Id',
];
const TAKEN = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'X-D1-Bookmark',
  'X-Request-Id',
  'X-Tenant-ID',
];

async function allow(origin: string, c: HonoCtx): Promise<string | null> {
  const slug = origin === '' ? null : subdomainOf(c.req.raw, c.env.BASE_DOMAIN);
  const tenant = slug === null ? null : await findTenant(c.env, slug.toLowerCase(), c.var.ambient.now);
  return tenant?.allowed_origins.includes(origin) ? origin : null;
}

const answerOrigins = cors({
  origin: (origin, c) => allow(origin, c as HonoCtx),
  allowMethods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
  allowHeaders: TAKEN,
  exposeHeaders: EXPOSED,
  maxAge: 600,
});

/** A preflight ends here: it is counted by its address. */
export const allowOrigins: MiddlewareHandler<App> = (c, next) =>
  c.req.method === 'OPTIONS'
    ? limitAddress(c, async () => {
        c.res = (await answerOrigins(c, async () => {})) as Response;
      })
    : answerOrigins(c, next);

/**
 * After `allowOrigins`, which has said whether the page may. What any page may have its visitor's browser send without asking
 * us first (pictures, frames, plain forms, sockets) is refused before it is taken for a try of names and tokens: it would be
 * the visitor who is blocked for it. Browsers say where a request comes from, and no page can make them say otherwise; a
 * person who follows a link may.
 */
export const refuseForeignPages: MiddlewareHandler<App> = async (c, next) => {
  if (isUnasked(c) && !c.res.headers.has('Access-Control-Allow-Origin'))
    throw new AppError('FORBIDDEN', 'Pages of other sites may not ask for this.');
  await next();
};

function isUnasked({ req }: HonoCtx): boolean {
  // of sockets not all browsers say more than this
  if (req.header('upgrade') !== undefined) return !isOwnOrigin(req.header('origin'), req.url);
  if (req.header('sec-fetch-site') !== 'cross-site') return false;
  const is_followed = req.header('sec-fetch-mode') === 'navigate' && req.header('sec-fetch-dest') === 'document';
  // either makes a browser ask first
  const is_asked =
    req.header('authorization') !== undefined || CONTENT_TYPES.json.test(req.header('content-type') ?? '');
  return !is_followed && !is_asked;
}

/** Programs that are no browsers name none. */
const isOwnOrigin = (origin: string | undefined, url: string): boolean =>
  origin === undefined || (URL.canParse(origin) && new URL(origin).host === new URL(url).host);
