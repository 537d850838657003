import { z } from 'zod';
import type { PlatformContext } from '../../context.ts';
import { commit } from '../../db/commit.ts';
import { openDatabase } from '../../db/session.ts';
import { tenantDatabase } from '../../env.ts';
import { ADMITTED } from '../../door/admission.ts';
import { signUpLimit } from '../../door/limits.ts';
import { AppError, duplicate } from '../../errors.ts';
import { createdChanges } from '../../events/event.ts';
import { platformEndpoint } from '../../http/endpoint.ts';
import { Email, Id, Instant, line, TimeZone } from '../../http/fields.ts';
import type { Resource } from '../../http/resource.ts';
import { toIso } from '../../lib/time.ts';
import { activateTenant, claimDatabase } from '../../tenancy/pool.ts';
import { SETTINGS_ID, settings } from '../settings/table.ts';
import { hashNewPassword, NewPassword, User, users } from '../users/index.ts';

const RESERVED = new Set(
  `www api app admin administrator root rukun mail smtp imap pop ftp ns ns1 ns2 dns mx cdn static assets img status
  docs help support blog billing pay payment live ws bridge tunnel portal dashboard panel login signup register
  account accounts test staging dev platform internal localhost isolir webmail autodiscover`.split(/\s+/),
);

const Slug = z
  .string()
  .trim()
  .toLowerCase()
  .regex(/^[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])$/, 'is not a DNS label of 3 to 63 letters, digits and hyphens')
  .refine(slug => !/^[0-9a-f]{8}-/.test(slug), 'looks like an id');

const SignUp = z
  .strictObject({
    slug: Slug.describe('The provider’s own subdomain.'),
    name: line(120),
    admin_name: line(120),
    admin_email: Email,
    admin_password: NewPassword,
    timezone: TimeZone.optional().describe('Default Asia/Jakarta.'),
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/, 'is not an ISO 4217 code')
      .optional()
      .describe('ISO 4217; default IDR.'),
    locale: z.enum(['id', 'en']).optional().describe('Default id.'),
  })
  .meta({ id: 'SignUp' });

const Tenant = z
  .object({
    id: Id,
    slug: z.string(),
    name: z.string(),
    status: z.enum(['provisioning', 'active', 'suspended', 'pending_deletion', 'deleted']),
    timezone: z.string(),
    currency: z.string(),
    locale: z.string(),
    created_at: Instant,
  })
  .meta({ id: 'Tenant' });

const SignedUp = Tenant.extend({ admin: User }).meta({ id: 'SignedUp' });

/** Refuses cheaply first; then claims a database, fills it in one batch, and opens it. */
async function signUp(ambient: PlatformContext, body: z.output<typeof SignUp>): Promise<z.input<typeof SignedUp>> {
  const { env, now } = ambient;
  if (env.SIGNUP !== 'open') throw new AppError('FORBIDDEN', 'Sign-up is closed.');
  await ambient.admission.count([signUpLimit(env, ambient.admission.caller.address)]);
  if (RESERVED.has(body.slug)) throw duplicate('slug');
  const password_hash = await hashNewPassword(ambient, body.admin_password, body.admin_email, 'admin_password');
  const { slug, name, timezone = 'Asia/Jakarta', currency = 'IDR', locale = 'id' } = body;
  const tenant = await claimDatabase(ambient, { slug, name, timezone, currency, locale });
  const at = toIso(now);
  const admin = {
    id: ambient.newId(),
    email: body.admin_email,
    name: body.admin_name,
    role: 'admin' as const,
    is_active: true,
    last_login_at: null,
    created_at: at,
    updated_at: at,
  };
  const db = openDatabase(tenantDatabase(env, tenant.shard!), 'first-primary', ambient.trace.stats);
  await commit(
    {
      ...ambient,
      admission: ADMITTED,
      tenant,
      db,
      actor: { kind: 'job', name: 'sign-up' },
      if_match: null,
      idempotency: null,
    },
    [
      db.orm.insert(users).values({ ...admin, password_hash, tokens_valid_from: toIso(0) }),
      db.orm.insert(settings).values({ id: SETTINGS_ID, business_name: name, created_at: at, updated_at: at }),
    ],
    { type: 'user.created', action: 'create', entity_id: admin.id, changes: createdChanges(admin) },
  );
  await activateTenant(ambient, tenant.id);
  return { ...tenant, status: 'active', created_at: at, admin: { ...admin, has_second_factor: false } };
}

export const tenantsResource: Resource = {
  path: '/tenants',
  routes: {
    'POST /': platformEndpoint({
      id: 'tenants.signUp',
      summary: 'Sign up an internet provider',
      description: 'Gives it a database of its own and its first admin. At most 5 an hour from one address.',
      body: SignUp,
      returns: { one: SignedUp },
      status: 201,
      errors: ['DUPLICATE_ENTRY', 'FORBIDDEN', 'POOL_EMPTY'],
      run: (ctx, { body }) => signUp(ctx, body),
    }),
  },
};
