import { cors } from 'hono/cors';
import type { MiddlewareHandler } from 'hono';
import { findTenant } from '../tenancy/directory.ts';
import { subdomainOf } from '../tenancy/enter.ts';
import type { App, HonoCtx } from './definition.ts';
import { limitAddress } from './limit-address.ts';

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
