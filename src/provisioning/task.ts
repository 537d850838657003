import { and, asc, eq, getTableColumns, inArray, or, sql, type SQL } from 'drizzle-orm';
import { unseal } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { read } from '../db/session.ts';
import { AppError } from '../errors.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { customers } from '../resources/customers/table.ts';
import { provisioning, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import {
  service_plan_settings,
  service_plans,
  type PlanRow,
  type PlanSettingsRow,
} from '../resources/service-plans/table.ts';
import { selectSettings, type SettingsRow } from '../resources/settings/index.ts';
import type { IsolirPool, PoolState } from './desired.ts';

/** What one router must hold, read from the tables. */

/** With what is known of its customer; null: it is the router's own. */
export type DueRow = ProvisioningRow & {
  customer_code: string | null;
  full_name: string | null;
  customer_status: string | null;
  pppoe_password: string | null;
};

export interface Task {
  router: RouterRow;
  bridge: BridgeRow;
  rows: DueRow[];
  settings: SettingsRow;
  /** That the rows name by their profile; and those whose lines are held by simple queues. */
  plans: { plan: PlanRow; settings: PlanSettingsRow | null }[];
  /** Plans whose profiles are given back. */
  released: { id: string; profile_name: string }[];
  isolir_pool: IsolirPool;
}

/** A plan that an undone import made, and that goes with it: of one that stays the profile must stay ours. */
const isGoingWithItsImport: SQL = sql`
  ${service_plans.id} IN (SELECT value FROM imports, json_each(imports.plan_ids) WHERE imports.undone_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM customers AS c WHERE c.service_plan_id = ${service_plans.id} AND c.deleted_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.entity_id = ${service_plans.id} AND e.type <> 'plan.created')`;

/** Null: no such router (any more). An error: it can't be spoken to, its rows wait. */
export async function readTask(
  ctx: Context,
  router_id: string,
  which: SQL,
  most_items: number,
): Promise<Task | AppError | null> {
  const { orm } = ctx.db;
  const due = withSiblings(and(eq(provisioning.router_id, router_id), which)!, router_id);
  const due_profiles = orm
    .select({ profile: sql`${provisioning.desired} ->> 'profile'`.as('profile') })
    .from(provisioning)
    .where(due);
  const queued_plans = orm
    .select({ id: service_plan_settings.plan_id })
    .from(service_plan_settings)
    .where(eq(service_plan_settings.shaping, 'simple_queue'));
  const named = or(inArray(service_plans.profile_name, due_profiles), inArray(service_plans.id, queued_plans));
  const [[router], [bridge], rows, [settings], plans, plan_settings, released, pools] = await read(
    ctx,
    orm.select().from(routers).where(eq(routers.id, router_id)),
    orm
      .select()
      .from(bridges)
      .where(sql`${bridges.id} = (SELECT bridge_id FROM ${routers} WHERE ${routers.id} = ${router_id})`),
    selectDueRows(ctx, due).limit(most_items),
    selectSettings(ctx),
    orm.select().from(service_plans).where(named),
    orm
      .select()
      .from(service_plan_settings)
      .where(
        inArray(service_plan_settings.plan_id, orm.select({ id: service_plans.id }).from(service_plans).where(named)),
      ),
    selectReleased(ctx, router_id, due),
    orm
      .select()
      .from(provisioning)
      .where(
        and(eq(provisioning.router_id, router_id), eq(provisioning.kind, 'ip_pool'), eq(provisioning.setup, 'isolir')),
      ),
  );
  if (!router) return null;
  if (!router.is_active) return new AppError('ROUTER_UNREACHABLE', `Router "${router.name}" is switched off.`);
  if (!bridge) return new AppError('BRIDGE_OFFLINE', `Router "${router.name}" has no bridge.`);
  return {
    router,
    bridge,
    rows,
    settings: settings!,
    plans: plans.map(plan => ({ plan, settings: plan_settings.find(own => own.plan_id === plan.id) ?? null })),
    released,
    isolir_pool: findIsolirPool(pools),
  };
}

/**
 * Of rules the order counts: where one is due, those of its set-up come along, so that it finds its place. By ids, so that
 * no more rows are read than these.
 */
function withSiblings(due: SQL, router_id: string): SQL {
  const rules = sql`router_id = ${router_id} AND kind IN ('filter_rule', 'nat_rule')`;
  return sql`${provisioning.id} IN (
    SELECT id FROM provisioning WHERE ${due}
    UNION ALL SELECT id FROM provisioning WHERE ${rules} AND desired IS NOT NULL
      AND setup IN (SELECT setup FROM provisioning WHERE ${rules} AND ${due}))`;
}

/** Rules by their keys, which are numbered; then what waits longest. */
const selectDueRows = (ctx: Context, due: SQL) =>
  ctx.db.orm
    .select({
      ...getTableColumns(provisioning),
      customer_code: customers.customer_code,
      full_name: customers.full_name,
      // D1 gives a row's columns by name: two of one name would be one
      customer_status: sql<string | null>`${customers.status}`.as('customer_status'),
      pppoe_password: customers.pppoe_password,
    })
    .from(provisioning)
    .leftJoin(customers, eq(customers.id, provisioning.customer_id))
    .where(due)
    .orderBy(
      sql`CASE WHEN ${provisioning.kind} IN ('filter_rule', 'nat_rule') THEN ${provisioning.key} ELSE '~' END`,
      asc(provisioning.next_attempt_at),
    );

function selectReleased(ctx: Context, router_id: string, due: SQL) {
  const { orm } = ctx.db;
  const still_wanted = sql`SELECT 1 FROM ${provisioning} AS other WHERE other.router_id = ${router_id}
    AND other.desired ->> 'profile' = ${provisioning.released_profile}`;
  const profiles = orm
    .select({ profile: provisioning.released_profile })
    .from(provisioning)
    .where(and(due, eq(provisioning.is_released, true), sql`NOT EXISTS (${still_wanted})`));
  return orm
    .select({ id: service_plans.id, profile_name: service_plans.profile_name })
    .from(service_plans)
    .where(and(inArray(service_plans.profile_name, profiles), isGoingWithItsImport));
}

/** The one that is wanted; else one that was, until it is gone. */
function findIsolirPool(rows: readonly ProvisioningRow[]): IsolirPool {
  const wanted = rows.find(row => row.desired !== null);
  const desired = wanted?.desired as PoolState | undefined;
  if (wanted && desired) return { name: wanted.key, local_address: desired.local_address ?? '', is_gone: false };
  return rows.length > 0 ? { name: '', local_address: '', is_gone: true } : null;
}

export const passwordPlace = (row: DueRow) => ({ row_id: row.customer_id!, column: 'pppoe_password' });

/** A password that doesn't open (its sealing key is gone) is that line's trouble, and not its router's. */
export async function openPasswords(ctx: Context, rows: readonly DueRow[]) {
  const item_passwords: Record<string, string> = {};
  const unopened: DueRow[] = [];
  for (const row of rows) {
    if (row.kind !== 'ppp_secret' || row.desired === null || row.pppoe_password === null) continue;
    try {
      item_passwords[row.id] = await unseal(ctx.env, passwordPlace(row), row.pppoe_password);
    } catch {
      unopened.push(row);
    }
  }
  return { item_passwords, unopened };
}
