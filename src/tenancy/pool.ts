import { and, eq, lt, sql } from 'drizzle-orm';
import { currentKeys } from '../auth/sealing.ts';
import type { Ambient, Tenant } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { commitDirectory, mustChange, mustHold, RaceLost } from '../db/commit.ts';
import { runTogether, type Database } from '../db/session.ts';
import { tenantBindings, tenantDatabase, type Env } from '../env.ts';
import { AppError, duplicate } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import { logFailure } from '../log.ts';
import { forgetTenants, openDirectory, shards, tenants } from './directory.ts';
import { bringUp } from './migrate.ts';
import { TENANT_MIGRATIONS } from './migrations.ts';
import { TENANT_SCHEMA_VERSION } from './tenant-schema.ts';

/** The pool: databases made and bound ahead, and the directory's word on whose each is. */

/** Tells the directory of databases that were bound since; knows of those that it has. */
async function registerShards(db: Database, env: Env, now: number): Promise<void> {
  const [bindings] = chunkJson(tenantBindings(env).map(binding => JSON.stringify(binding)));
  if (!bindings) return;
  await runTogether(db, [
    db.orm.run(sql`
      INSERT INTO shards (binding, state, created_at, updated_at)
      SELECT value, 'free', ${now}, ${now} FROM json_each(${bindings}) WHERE true
      ON CONFLICT (binding) DO NOTHING`),
  ]);
}

export type NewTenant = Pick<Tenant, 'slug' | 'name' | 'timezone' | 'currency' | 'locale'>;

/** Takes a free database for a new tenant, which stays `provisioning` until its database is seeded. */
export async function claimDatabase(ambient: Ambient, wanted: NewTenant): Promise<Tenant> {
  const { env, now } = ambient;
  const db = await openDirectory(env);
  await registerShards(db, env, now);
  const id = ambient.newId();
  const at = toIso(now);
  // a number that no earlier holder of the database has: see fenceDatabase
  // nothing is sealed in it yet
  const { kid: sealing_kid } = currentKeys(ambient);
  const state = { epoch: now, status: 'provisioning' as const, sealing_kid };
  const tenant = { ...wanted, ...state, id, created_at: at, updated_at: at };
  const claim = sql`
    UPDATE shards SET state = 'assigned', tenant_id = ${id}, claimed_at = ${now}, updated_at = ${now}
    WHERE binding = (SELECT binding FROM shards WHERE state = 'free' ORDER BY binding LIMIT 1)`;
  await commitDirectory(db, [
    mustHold(sql`NOT EXISTS (SELECT 1 FROM ${tenants} WHERE slug = ${wanted.slug})`, duplicate('slug')),
    mustChange(db.orm.run(claim), new AppError('POOL_EMPTY')),
    db.orm.insert(tenants).values(tenant),
    db.orm.run(sql`UPDATE tenants SET shard = (SELECT binding FROM shards WHERE tenant_id = ${id}) WHERE id = ${id}`),
    platformEvent(db, ambient, id, 'tenant.created', 'create', { slug: [null, wanted.slug] }),
  ]);
  const [[found]] = await runTogether(db, [db.orm.select().from(tenants).where(eq(tenants.id, id))]);
  const d1 = tenantDatabase(env, found!.shard!);
  await bringUp(d1, TENANT_MIGRATIONS);
  await fenceDatabase(d1, found!.epoch);
  return { ...found!, schema_version: TENANT_SCHEMA_VERSION };
}

/** From now on only who holds this epoch can write: not a sign-up that stalled, lost its database and woke up again. */
async function fenceDatabase(d1: D1Database, epoch: number): Promise<void> {
  await d1.prepare('UPDATE tenant_state SET epoch = ?1 WHERE epoch < ?1').bind(epoch).run();
}

/** The tenant's database is seeded: from now on it answers. */
export async function activateTenant(ambient: Ambient, tenant_id: string): Promise<void> {
  const db = await openDirectory(ambient.env);
  const at = toIso(ambient.now);
  const schema_version = TENANT_SCHEMA_VERSION;
  const still_provisioning = and(eq(tenants.id, tenant_id), eq(tenants.status, 'provisioning'));
  await commitDirectory(db, [
    db.orm.update(tenants).set({ status: 'active', schema_version, updated_at: at }).where(still_provisioning),
    platformEvent(db, ambient, tenant_id, 'tenant.activated', 'update', { status: ['provisioning', 'active'] }),
    db.orm.update(shards).set({ schema_version, updated_at: at }).where(eq(shards.tenant_id, tenant_id)),
  ]);
  forgetTenants();
}

const HALF_DONE_AFTER_MS = 5 * 60_000;

/**
 * Sign-ups that stopped halfway: one whose database holds its admin is finished, another gives its database back.
 * Seeding is one batch, so there is nothing between the two.
 */
export async function settleHalfDoneSignUps(ambient: Ambient): Promise<void> {
  const { env, now } = ambient;
  const db = await openDirectory(env);
  const [waiting] = await runTogether(db, [
    db.orm
      .select()
      .from(tenants)
      .where(and(eq(tenants.status, 'provisioning'), lt(tenants.created_at, toIso(now - HALF_DONE_AFTER_MS)))),
  ]);
  for (const tenant of waiting)
    await settleSignUp(ambient, db, tenant).catch(error =>
      logFailure({ job: 'settle-sign-up', tenant: tenant.slug }, error),
    );
}

interface HalfDone {
  id: string;
  slug: string;
  shard: string | null;
}

/** An empty database is fenced in the statement that finds it empty: a sign-up that wakes up late can't fill it then. */
async function settleSignUp(ambient: Ambient, db: Database, tenant: HalfDone): Promise<void> {
  const d1 = tenantDatabase(ambient.env, tenant.shard!);
  await bringUp(d1, TENANT_MIGRATIONS);
  const fence = 'UPDATE tenant_state SET epoch = epoch + 1 WHERE NOT EXISTS (SELECT 1 FROM users)';
  const fenced = await d1.prepare(fence).run();
  if (fenced.meta.changes > 0) await freeDatabase(ambient, db, tenant);
  else await activateTenant(ambient, tenant.id);
}

async function freeDatabase(ambient: Ambient, db: Database, tenant: HalfDone): Promise<void> {
  const at = toIso(ambient.now);
  const still_provisioning = and(eq(tenants.id, tenant.id), eq(tenants.status, 'provisioning'));
  await commitDirectory(db, [
    mustChange(db.orm.delete(tenants).where(still_provisioning), new RaceLost()),
    db.orm
      .update(shards)
      .set({ state: 'free', tenant_id: null, claimed_at: null, updated_at: at })
      .where(eq(shards.tenant_id, tenant.id)),
    platformEvent(db, ambient, tenant.id, 'tenant.freed', 'delete', { slug: [tenant.slug, null] }),
  ]).catch(error => {
    // the sign-up came to its end after all: the database is in use
    if (!(error instanceof RaceLost)) throw error;
  });
  forgetTenants();
}

/** Follows the statement that it tells of, and is written only when that changed something. */
function platformEvent(
  db: Database,
  ambient: Ambient,
  tenant_id: string,
  type: string,
  action: string,
  changes: Record<string, [unknown, unknown]>,
) {
  return db.orm.run(sql`
    INSERT INTO platform_events (tenant_id, type, action, actor, changes, ip_address, request_id, created_at)
    SELECT ${tenant_id}, ${type}, ${action}, 'platform', ${JSON.stringify(changes)}, ${ambient.ip},
      ${ambient.request_id}, ${ambient.now}
    WHERE changes() > 0`);
}
