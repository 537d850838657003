import { and, count, eq, lt } from 'drizzle-orm';
import { runTogether } from '../db/session.ts';
import type { Env } from '../env.ts';
import { logFailure } from '../log.ts';
import { openDirectory, shards, tenants } from '../tenancy/directory.ts';
import { TENANT_SCHEMA_VERSION } from '../tenancy/tenant-schema.ts';
import { writeSeries } from './catalogue.ts';

/** What the directory says at this moment, in one round trip. Counters are worth having without it. */
export async function readGauges(env: Env): Promise<Record<string, number>> {
  const up = writeSeries('rukun_directory_up', {});
  try {
    return { [up]: 1, ...(await askDirectory(env)) };
  } catch (error) {
    logFailure({ job: 'metrics' }, error);
    return { [up]: 0 };
  }
}

async function askDirectory(env: Env): Promise<Record<string, number>> {
  const db = await openDirectory(env);
  const is_behind = and(eq(tenants.status, 'active'), lt(tenants.schema_version, TENANT_SCHEMA_VERSION));
  const [by_status, by_state, [behind]] = await runTogether(db, [
    db.orm.select({ status: tenants.status, number: count() }).from(tenants).groupBy(tenants.status),
    db.orm.select({ state: shards.state, number: count() }).from(shards).groupBy(shards.state),
    db.orm.select({ number: count() }).from(tenants).where(is_behind),
  ]);
  // those that there are none of are said to be none
  const of_status = new Map(by_status.map(({ status, number }) => [status, number]));
  const of_state = new Map(by_state.map(({ state, number }) => [state, number]));
  return Object.fromEntries([
    ...tenants.status.enumValues.map(status => [writeSeries('rukun_tenants', { status }), of_status.get(status) ?? 0]),
    [writeSeries('rukun_tenants_behind_schema', {}), behind!.number],
    ...shards.state.enumValues.map(state => [writeSeries('rukun_databases', { state }), of_state.get(state) ?? 0]),
  ]) as Record<string, number>;
}
