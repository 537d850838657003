import { and, asc, eq, getTableColumns, inArray, sql, type SQL } from 'drizzle-orm';
import { isSameSecret, unseal } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { read } from '../db/session.ts';
import { AppError } from '../errors.ts';
import type { DesiredItem, DesiredProfile } from '../protocol/messages.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { customers } from '../resources/customers/table.ts';
import { provisioning, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import { service_plan_settings, service_plans } from '../resources/service-plans/table.ts';
import { selectSettings, type SettingsRow } from '../resources/settings/index.ts';
import { describeIsolirProfile, describePlanProfile, describeReleasedProfile } from './desired.ts';
import { customerMarker } from './markers.ts';

/** What one router must hold, read from the tables and put into the words of the bridge. */

export type DueRow = ProvisioningRow & {
  customer_code: string;
  full_name: string;
  customer_status: string;
  pppoe_password: string | null;
};

export interface Task {
  router: RouterRow;
  bridge: BridgeRow;
  rows: DueRow[];
  settings: SettingsRow;
  profiles: DesiredProfile[];
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
  const due: SQL = and(eq(provisioning.router_id, router_id), which)!;
  const { orm } = ctx.db;
  const due_profiles = orm
    .select({ profile: sql`${provisioning.desired} ->> 'profile'`.as('profile') })
    .from(provisioning)
    .where(due);
  const still_wanted = sql`SELECT 1 FROM ${provisioning} AS other WHERE other.router_id = ${router_id}
    AND other.desired ->> 'profile' = ${provisioning.released_profile}`;
  const released_profiles = orm
    .select({ profile: provisioning.released_profile })
    .from(provisioning)
    .where(and(due, eq(provisioning.is_released, true), sql`NOT EXISTS (${still_wanted})`));
  const [[router], [bridge], rows, [settings], plans, plan_settings, released] = await read(
    ctx,
    orm.select().from(routers).where(eq(routers.id, router_id)),
    orm
      .select()
      .from(bridges)
      .where(sql`${bridges.id} = (SELECT bridge_id FROM ${routers} WHERE ${routers.id} = ${router_id})`),
    orm
      .select({
        ...getTableColumns(provisioning),
        customer_code: customers.customer_code,
        full_name: customers.full_name,
        // D1 gives a row's columns by name: two of one name would be one
        customer_status: sql<string>`${customers.status}`.as('customer_status'),
        pppoe_password: customers.pppoe_password,
      })
      .from(provisioning)
      .innerJoin(customers, eq(customers.id, provisioning.customer_id))
      .where(due)
      .orderBy(asc(provisioning.next_attempt_at))
      .limit(most_items),
    selectSettings(ctx),
    orm.select().from(service_plans).where(inArray(service_plans.profile_name, due_profiles)),
    orm
      .select()
      .from(service_plan_settings)
      .where(
        inArray(
          service_plan_settings.plan_id,
          orm
            .select({ id: service_plans.id })
            .from(service_plans)
            .where(inArray(service_plans.profile_name, due_profiles)),
        ),
      ),
    orm
      .select({ id: service_plans.id, profile_name: service_plans.profile_name })
      .from(service_plans)
      .where(and(inArray(service_plans.profile_name, released_profiles), isGoingWithItsImport)),
  );
  if (!router) return null;
  if (!router.is_active) return new AppError('ROUTER_UNREACHABLE', `Router "${router.name}" is switched off.`);
  if (!bridge) return new AppError('BRIDGE_OFFLINE', `Router "${router.name}" has no bridge.`);
  const adopted = new Set(rows.filter(row => row.adopt).map(row => row.desired?.profile));
  const profiles = plans.map(plan =>
    describePlanProfile(
      plan,
      plan_settings.find(own => own.plan_id === plan.id) ?? null,
      adopted.has(plan.profile_name),
    ),
  );
  const needs_isolir = rows.some(row => row.desired?.profile === settings!.isolir_profile);
  if (needs_isolir) profiles.push(describeIsolirProfile(settings!));
  profiles.push(...released.map(describeReleasedProfile));
  return { router, bridge, rows, settings: settings!, profiles };
}

export const passwordPlace = (row: DueRow) => ({ row_id: row.customer_id, column: 'pppoe_password' });

/** A password that doesn't open (its sealing key is gone) is that line's trouble, and not its router's. */
export async function openPasswords(ctx: Context, rows: readonly DueRow[]) {
  const item_passwords: Record<string, string> = {};
  const unopened: DueRow[] = [];
  for (const row of rows) {
    if (row.desired === null || row.pppoe_password === null) continue;
    try {
      item_passwords[row.id] = await unseal(ctx.env, passwordPlace(row), row.pppoe_password);
    } catch {
      unopened.push(row);
    }
  }
  return { item_passwords, unopened };
}

export async function describeItem(ctx: Context, row: DueRow, password: string | undefined): Promise<DesiredItem> {
  return {
    ref: row.id,
    generation: row.generation,
    kind: 'ppp_secret',
    key: row.key,
    marker: customerMarker(row.customer_code),
    adopt: row.adopt,
    desired: row.desired,
    release: row.is_released,
    password_written:
      password !== undefined && (await isSameSecret(ctx.env, passwordPlace(row), password, row.secret_hash)),
    end_session: row.customer_status === 'suspended' && !row.adopt && row.observed_generation < row.generation,
  };
}
