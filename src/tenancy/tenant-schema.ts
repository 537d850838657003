import { eq } from 'drizzle-orm';
import type { Tenant } from '../context.ts';
import { runTogether } from '../db/session.ts';
import { type Env, tenantDatabase } from '../env.ts';
import { forgetTenants, openDirectory, shards, tenants } from './directory.ts';
import { bringUp, schemaVersion } from './migrate.ts';
import { TENANT_MIGRATIONS } from './migrations.ts';

export const TENANT_SCHEMA_VERSION = schemaVersion(TENANT_MIGRATIONS);

/**
 * Brings a tenant's database to the schema that this code was written for. Of ten requests that come at the same moment
 * each looks, and each migration is applied by one of them (see bringUp).
 */
export async function ensureTenantSchema(env: Env, tenant: Tenant): Promise<void> {
  if (tenant.schema_version >= TENANT_SCHEMA_VERSION) return;
  const schema_version = await bringUp(tenantDatabase(env, tenant.shard!), TENANT_MIGRATIONS);
  const db = await openDirectory(env);
  await runTogether(db, [
    db.orm.update(tenants).set({ schema_version }).where(eq(tenants.id, tenant.id)),
    db.orm.update(shards).set({ schema_version }).where(eq(shards.binding, tenant.shard!)),
  ]);
  forgetTenants();
}
