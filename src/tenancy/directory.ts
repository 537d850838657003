import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { eq, or } from 'drizzle-orm';
import type { Tenant } from '../context.ts';
import { bool, date, id, instant, json, timestamps } from '../db/columns.ts';
import { openDatabase, runTogether, type Database } from '../db/session.ts';
import type { Env } from '../env.ts';
import { bringUp } from './migrate.ts';
import { DIRECTORY_MIGRATIONS } from './migrations.ts';

/** The directory: the one database that knows all tenants, and no tenant's data. */

export const tenants = sqliteTable('tenants', {
  id: id(),
  slug: text('slug').notNull(),
  name: text('name').notNull(),
  epoch: integer('epoch').notNull().default(1),
  allowed_origins: json<string[]>('allowed_origins').notNull().default([]),
  status: text('status', { enum: ['provisioning', 'active', 'suspended', 'pending_deletion', 'deleted'] }).notNull(),
  shard: text('shard'),
  schema_version: integer('schema_version').notNull().default(0),
  timezone: text('timezone').notNull(),
  currency: text('currency').notNull(),
  locale: text('locale').notNull(),
  suspended_reason: text('suspended_reason'),
  delete_after: instant('delete_after'),
  /** The last day, of its own calendar, whose daily job came to its end. */
  daily_done_on: date('daily_done_on'),
  /** Of the sealing key than which nothing older is in its database. */
  sealing_kid: text('sealing_kid'),
  ...timestamps,
});

export const shards = sqliteTable('shards', {
  binding: text('binding').primaryKey(),
  database_id: text('database_id'),
  state: text('state', { enum: ['free', 'assigned', 'draining', 'broken'] }).notNull(),
  tenant_id: text('tenant_id'),
  schema_version: integer('schema_version').notNull().default(0),
  claimed_at: instant('claimed_at'),
  ...timestamps,
});

export const platform_admins = sqliteTable('platform_admins', {
  id: id(),
  email: text('email').notNull(),
  password_hash: text('password_hash').notNull(),
  name: text('name').notNull(),
  is_active: bool('is_active').notNull(),
  ...timestamps,
});

/**
 * True once this isolate saw the directory up to date. Only facts are kept between requests, never promises: what one
 * request waits for, another can't (and a cancelled one would leave all of them waiting).
 */
let is_ready = false;

export async function openDirectory(env: Env): Promise<Database> {
  if (!is_ready) await bringUp(env.DIRECTORY_DB, DIRECTORY_MIGRATIONS);
  is_ready = true;
  return openDatabase(env.DIRECTORY_DB, 'first-primary');
}

/** How long a row of the directory may be held by an isolate. */
const CACHE_MS = 30_000;
const cache = new Map<string, { tenant: Tenant | null; until: number }>();

/** After a change to the directory, or when a tenant turned out to be stale. */
export function forgetTenants(): void {
  cache.clear();
}

/** For tests, which empty all storage between each other. */
export function forgetDirectory(): void {
  forgetTenants();
  is_ready = false;
}

/** By id or slug; no round trip while this isolate knows it. */
export async function findTenant(env: Env, id_or_slug: string, now: number): Promise<Tenant | null> {
  const known = cache.get(id_or_slug);
  if (known && known.until > now) return known.tenant;
  const db = await openDirectory(env);
  const [[found]] = await runTogether(db, [
    db.orm
      .select()
      .from(tenants)
      .where(or(eq(tenants.id, id_or_slug), eq(tenants.slug, id_or_slug))),
  ]);
  const tenant = found ?? null;
  // a name that isn't there is not held: it may be signed up the next moment
  if (tenant) for (const key of [tenant.id, tenant.slug]) cache.set(key, { tenant, until: now + CACHE_MS });
  if (cache.size > 10_000) cache.clear();
  return tenant;
}
