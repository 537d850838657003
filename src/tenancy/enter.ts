import type { Actor, Ambient, Context, Tenant } from '../context.ts';
import { verifyAccessToken } from '../auth/tokens.ts';
import { openDatabase } from '../db/session.ts';
import { tenantDatabase } from '../env.ts';
import { AppError, notFound, unauthorized } from '../errors.ts';
import { parseVersion } from '../http/answer.ts';
import { findTenant } from './directory.ts';
import { ensureTenantSchema } from './tenant-schema.ts';

export interface Door {
  /** No token is asked for. */
  is_public: boolean;
  /** Names the tenant beside header and subdomain: a secret of the body, like a claim; or the path, as a link does. */
  named: { by: 'secret' | 'path'; name: string } | null;
}

/**
 * From a request to a tenant's context. The tenant is named by subdomain, X-Tenant-ID (id or slug) or the token's
 * claim; all that are given must agree. The database is opened only once tenant and caller are known.
 */
export async function enterTenant(ambient: Ambient, request: Request, door: Door): Promise<Context> {
  const { env, now } = ambient;
  const token = door.is_public ? null : bearerToken(request);
  const claims = token === null ? null : await verifyAccessToken(env, token, now);
  if (!door.is_public && !claims) throw unauthorized();
  const named = claims ? ({ by: 'secret', name: claims.tenant_id } as const) : door.named;
  const tenant = await resolveTenant(ambient, request, named);
  return makeContext(ambient, tenant, claims?.actor ?? { kind: 'anonymous' }, request);
}

/** A context for a known tenant: for requests, queue messages and jobs. */
export async function makeContext(ambient: Ambient, tenant: Tenant, actor: Actor, request?: Request): Promise<Context> {
  if (tenant.status !== 'active' || !tenant.shard) throw new AppError('TENANT_SUSPENDED');
  await ensureTenantSchema(ambient.env, tenant);
  // writers decide on the newest state, whatever bookmark they hold
  // a reader may ask for the newest as well: `first-primary`
  const bookmark = request?.headers.get('x-d1-bookmark') ?? '';
  const reader = /^[\w-]{1,200}$/.test(bookmark) ? bookmark : 'first-unconstrained';
  const start = request?.method === 'GET' ? reader : 'first-primary';
  const if_match = request?.headers.get('if-match');
  ambient.trace.tenant = tenant.slug;
  return {
    ...ambient,
    tenant,
    actor,
    db: openDatabase(tenantDatabase(ambient.env, tenant.shard), start, ambient.trace.stats),
    // an If-Match that we never gave out matches nothing
    if_match: if_match && if_match !== '*' ? (parseVersion(if_match) ?? 'none of ours') : null,
    idempotency: null,
  };
}

/** Null when nothing was sent; a header of another form is as bad as a bad token. */
export function bearerToken(request: Request): string | null {
  const header = request.headers.get('authorization');
  if (header === null) return socketToken(request);
  const match = /^Bearer ([\w.-]{1,4000})$/i.exec(header);
  if (!match) throw unauthorized();
  return match[1]!;
}

/** A browser can't send a header with a WebSocket: the token stands among the subprotocols, `bearer.<token>`. */
function socketToken(request: Request): string | null {
  const offered = request.headers.get('upgrade') === null ? null : request.headers.get('sec-websocket-protocol');
  const match = /(?:^|,)\s*bearer\.([\w.-]{1,4000})\s*(?:,|$)/.exec(offered ?? '');
  return match ? match[1]! : null;
}

async function resolveTenant(ambient: Ambient, request: Request, named: Door['named']): Promise<Tenant> {
  const { env, now } = ambient;
  const names = [subdomainOf(request, env.BASE_DOMAIN), request.headers.get('x-tenant-id')].filter(
    name => name !== null,
  );
  const [first] = named ? [named.name] : names;
  if (!first)
    throw new AppError('VALIDATION_ERROR', 'Name the provider: by subdomain or X-Tenant-ID.', {
      'X-Tenant-ID': ['is required here'],
    });
  const tenant = await findTenant(env, first.toLowerCase(), now);
  const agrees = tenant && names.every(name => [tenant.id, tenant.slug].includes(name.toLowerCase()));
  // a link under another provider's host leads nowhere, as one to nobody does
  if (tenant && !agrees) throw named?.by === 'path' ? notFound('provider') : new AppError('TENANT_MISMATCH');
  if (!tenant || tenant.status === 'deleted') throw named?.by === 'secret' ? unauthorized() : notFound('provider');
  return tenant;
}

/** `melati.rukun.example` → `melati`; null on the base domain itself and on any other host. */
export function subdomainOf(request: Request, base_domain: string): string | null {
  const host = new URL(request.url).hostname;
  if (!host.endsWith(`.${base_domain}`)) return null;
  const label = host.slice(0, -base_domain.length - 1);
  return label.includes('.') || RESERVED_HOSTS.has(label) ? null : label;
}

/** Hosts below the base domain that speak for no tenant. */
const RESERVED_HOSTS = new Set(['www', 'api', 'app']);
