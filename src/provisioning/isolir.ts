import { and, eq, isNotNull, or, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { read } from '../db/session.ts';
import { Fault } from '../errors.ts';
import { provisioning, type ProvisioningRow } from '../resources/provisioning/table.ts';
import type { DesiredRow, ListState, PoolState, RuleState, SecretState, SuspensionSettings } from './desired.ts';
import { mustBeAsRead, writeRows, type DesiredChange } from './set-desired.ts';
import { allowList, ISOLIR_SETUP } from './walled-garden.ts';

/** What stands on the routers for the suspended follows the settings. */

/** Lines that are isolated now, and the set-ups, follow the names and rates of the settings. */
export async function followIsolir(
  ctx: Context,
  before: SuspensionSettings,
  after: SuspensionSettings,
): Promise<DesiredChange> {
  const leans = or(
    eq(provisioning.setup, ISOLIR_SETUP),
    eq(provisioning.kind, 'address_list'),
    sql`${provisioning.desired} ->> 'profile' = ${before.isolir_profile}`,
  );
  const where = and(isNotNull(provisioning.desired), leans)!;
  const [rows] = await read(ctx, ctx.db.orm.select().from(provisioning).where(where));
  const renamed = rows.map(row => renameIsolir(row, after));
  const dropped = rows.filter((row, at) => row.key !== renamed[at]!.key);
  const change = writeRows(ctx, renamed, dropped);
  return { ...change, writes: [mustBeAsRead(where, rows), ...change.writes] };
}

function renameIsolir(row: ProvisioningRow, after: SuspensionSettings): DesiredRow {
  const { customer_id, router_id, key, kind } = row;
  const setup = row.setup ?? undefined;
  const own = { customer_id, router_id, setup };
  switch (kind) {
    case 'ppp_secret': {
      const desired = row.desired as SecretState;
      return { ...own, kind, key, desired: { ...desired, profile: after.isolir_profile } };
    }
    case 'address_list': {
      const { address } = row.desired as ListState;
      const list = setup ? allowList(after) : after.isolir_address_list;
      return { ...own, kind, key: `${list} ${address}`, desired: { list, address } };
    }
    case 'ip_pool':
      return { ...own, kind, key: after.isolir_pool, desired: row.desired as PoolState };
    case 'filter_rule':
    case 'nat_rule':
      return { ...own, kind, key, desired: row.desired as RuleState };
    case 'simple_queue':
    case 'hotspot_user':
      throw new Fault(`nothing of a ${kind} follows these settings`);
  }
}
