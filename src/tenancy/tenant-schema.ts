import { eq } from 'drizzle-orm';
import type { Tenant } from '../context.ts';
import { runTogether } from '../db/session.ts';
import { type Env, tenantDatabase } from '../env.ts';
import { forgetTenants, openDirectory, shards, tenants } from './directory.ts';
import { bringUp, schemaVersion } from './migrate.ts';
import { TENANT_MIGRATIONS } from './migrations.ts';

export const TENANT_SCHEMA_VERSION = schemaVersion(TENANT_MIGRATIONS);

/** Upgrades under way in this isolate: ten requests at the same moment wait for the same one. */
const under_way = new Map<string, Promise<void>>();

/** Brings a tenant's database to the schema that this code was written for. */
export async function ensureTenantSchema(env: Env, tenant: Tenant): Promise<void> {
  if (tenant.schema_version >= TENANT_SCHEMA_VERSION) return;
  let upgrade = under_way.get(tenant.id);
  if (!upgrade) {
    upgrade = upgradeTenant(env, tenant).finally(() => under_way.delete(tenant.id));
    under_way.set(tenant.id, upgrade);
  }
  await upgrade;
}

async function upgradeTenant(env: Env, tenant: Tenant): Promise<void> {
  const schema_version = await bringUp(tenantDatabase(env, tenant.shard!), TENANT_MIGRATIONS);
  const db = await openDirectory(env);
  await runTogether(db, [
    db.orm.update(tenants).set({ schema_version }).where(eq(tenants.id, tenant.id)),
    db.orm.update(shards).set({ schema_version }).where(eq(shards.binding, tenant.shard!)),
  ]);
  forgetTenants();
}
