import type { Actor, Ambient, Context, Tenant } from '../context.ts';
import { verifyAccessToken, type AccessClaims } from '../auth/tokens.ts';
import { openDatabase } from '../db/session.ts';
import { ADMITTED, type Admission, type LimiterName } from '../door/admission.ts';
import { tenantDatabase } from '../env.ts';
import { AppError, notFound, unauthorized } from '../errors.ts';
import { parseVersion } from '../http/answer.ts';
import { findTenant } from './directory.ts';
import { ensureTenantSchema } from './tenant-schema.ts';

export interface Entrance {
  /** No token is asked for. */
  is_public: boolean;
  /** Names the tenant beside header and subdomain: a secret of the body, like a claim; or the path, as a link does. */
  named: { by: 'secret' | 'path'; name: string } | null;
}

/** Asks who limits a tenant, once for each request: as soon as it is known who asks. */
export type Ask = (name: LimiterName, actor: Actor) => Admission;

const ANYBODY: Actor = { kind: 'anonymous' };

/**
 * From a request to a tenant's context. The tenant is named by subdomain, X-Tenant-ID (id or slug) or the token's
 * claim; all that are given must agree. The database is opened only once tenant and caller are known.
 */
export async function enterTenant(
  ambient: Ambient,
  request: Request,
  { is_public, named }: Entrance,
  ask: Ask,
): Promise<Context> {
  const claims = is_public ? null : await readClaims(ambient, request, ask);
  const by = claims ? ({ by: 'secret', name: claims.tenant_id } as const) : named;
  const { tenant, agrees, names } = await resolveTenant(ambient, request, by);
  const actor = claims?.actor ?? ANYBODY;
  const admission = ask(`tenant:${tenant.id}`, actor);
  // a link under another provider's host leads nowhere, as one to nobody does
  if (!agrees)
    throw by?.by === 'path' ? notFound('provider') : new AppError('TENANT_MISMATCH').suspect('tenant', names.join(' '));
  return makeContext(ambient, tenant, actor, { request, admission });
}

/** Who tries tokens at a tenant is counted there; who shows none is not told, by what is left, which tenants there are. */
async function readClaims(ambient: Ambient, request: Request, ask: Ask): Promise<AccessClaims> {
  const token = bearerToken(request);
  if (token === null) throw unauthorized();
  try {
    return await verifyAccessToken(ambient.env, token, ambient.now);
  } catch (error) {
    const [name] = namesOf(ambient, request);
    const tenant = name === undefined ? null : await findTenant(ambient.env, name.toLowerCase(), ambient.now);
    if (tenant) ask(`tenant:${tenant.id}`, ANYBODY);
    throw error;
  }
}

/** A context for a known tenant: for requests, queue messages and jobs. */
export async function makeContext(
  ambient: Ambient,
  tenant: Tenant,
  actor: Actor,
  { request, admission = ADMITTED }: { request?: Request; admission?: Admission } = {},
): Promise<Context> {
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
    admission,
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

/** By subdomain and header. */
const namesOf = ({ env }: Ambient, request: Request): string[] =>
  [subdomainOf(request, env.BASE_DOMAIN), request.headers.get('x-tenant-id')].filter(name => name !== null);

async function resolveTenant(ambient: Ambient, request: Request, named: Entrance['named']) {
  const names = namesOf(ambient, request);
  const [first] = named ? [named.name] : names;
  if (!first)
    throw new AppError('VALIDATION_ERROR', 'Name the provider: by subdomain or X-Tenant-ID.', {
      'X-Tenant-ID': ['is required here'],
    });
  const tenant = await findTenant(ambient.env, first.toLowerCase(), ambient.now);
  if (!tenant || tenant.status === 'deleted')
    throw named?.by === 'secret'
      ? unauthorized().suspect('token', first)
      : notFound('provider').suspect('tenant', first);
  return { tenant, names, agrees: names.every(name => [tenant.id, tenant.slug].includes(name.toLowerCase())) };
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
