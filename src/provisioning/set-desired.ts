import { and, eq, inArray, isNotNull, ne, or, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import type { Write } from '../db/commit.ts';
import { toIso } from '../lib/time.ts';
import { customers } from '../resources/customers/table.ts';
import { provisioning, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { routers } from '../resources/routers/table.ts';
import { desiredRows, type CustomerLine, type DesiredRow, type SuspensionSettings } from './desired.ts';

/** Writes of desired state: part of the batch of whatever made it change. No router is spoken to here. */

export interface DesiredChange {
  writes: Write[];
  /** Routers whose desired set this raises. */
  routers: string[];
}

export interface LineChange {
  customer: CustomerLine & { id: string };
  plan: { profile_name: string };
  settings: SuspensionSettings;
  /** What stands in the table for this customer. */
  rows: readonly ProvisioningRow[];
  /** Suspended before and after: the line stays as it was suspended, whatever the policy is by now. */
  stays_suspended?: boolean;
  /** The password is another one: the same desired row must be written anew. */
  password_changed?: boolean;
}

/** A policy holds for whoever is suspended from then on; an import keeps a disabled secret disabled too. */
function policyInForce({ settings, rows, stays_suspended }: LineChange): SuspensionSettings {
  const held = stays_suspended && rows.find(row => row.desired !== null)?.desired;
  return held ? { ...settings, suspension_policy: held.disabled ? 'disable' : 'isolir' } : settings;
}

/** An address that was ours to take away once ('') stays managed: see `upsertDesired`. */
function sameDesired(row: ProvisioningRow, { desired }: DesiredRow): boolean {
  const unmanaged = row.desired?.remote_address === '' ? '' : null;
  return (
    JSON.stringify(row.desired) === JSON.stringify({ ...desired, remote_address: desired.remote_address ?? unmanaged })
  );
}

/** Brings a customer's rows to what its line must now be; what it no longer needs must go from the router. */
export function setDesired(ctx: Context, change: LineChange): DesiredChange {
  const { customer, rows } = change;
  const wanted = desiredRows(customer, change.plan, policyInForce(change));
  const find = (item: DesiredRow) =>
    rows.find(row => row.router_id === item.router_id && row.kind === item.kind && row.key === item.key);
  const raised = wanted.filter(item => {
    const row = find(item);
    return !row || !sameDesired(row, item) || change.password_changed;
  });
  const dropped = rows.filter(row => row.desired !== null && !wanted.some(item => find(item) === row));
  const touched = [...new Set([...raised, ...dropped].map(item => item.router_id))];
  return {
    writes: [
      ...raised.map(item => upsertDesired(ctx, customer.id, item)),
      ...dropped.map(row => dropDesired(ctx, row.id)),
      ...raiseRevisions(ctx, touched),
    ],
    routers: touched,
  };
}

/** Not given back, whatever it was before. */
const KEPT = { is_released: false, released_profile: null };

const raised = (ctx: Context) => ({
  generation: sql`${provisioning.generation} + 1`,
  status: 'pending' as const,
  attempts: 0,
  next_attempt_at: toIso(ctx.now),
  last_error: null,
  updated_at: toIso(ctx.now),
});

/** A name that another, ended customer had on that router is taken over with its row. */
function upsertDesired(ctx: Context, customer_id: string, { router_id, kind, key, desired }: DesiredRow): Write {
  const at = toIso(ctx.now);
  return ctx.db.orm
    .insert(provisioning)
    .values({
      id: ctx.newId(),
      customer_id,
      router_id,
      kind,
      key,
      desired,
      adopt: false,
      generation: 1,
      observed_generation: 0,
      status: 'pending',
      attempts: 0,
      next_attempt_at: at,
      created_at: at,
      updated_at: at,
    })
    .onConflictDoUpdate({
      target: [provisioning.router_id, provisioning.kind, provisioning.key],
      set: { customer_id, desired: keepManaged, ...raised(ctx), ...KEPT },
    });
}

/** No address wanted, where an earlier state may have set one: it must go, not be left as the router has it. */
const keepManaged = sql`CASE
  WHEN excluded.desired ->> 'remote_address' IS NULL
    AND (${provisioning.desired} IS NULL OR ${provisioning.desired} ->> 'remote_address' IS NOT NULL)
  THEN json_set(excluded.desired, '$.remote_address', '') ELSE excluded.desired END`;

const dropDesired = (ctx: Context, row_id: string): Write =>
  ctx.db.orm
    .update(provisioning)
    .set({ desired: sql`NULL`, ...raised(ctx), ...KEPT })
    .where(eq(provisioning.id, row_id));

/** Rows of customers that an import made and that are taken back: the router keeps what it has, without our marker. */
export function releaseRows(ctx: Context, rows: SQL): Write {
  return ctx.db.orm
    .update(provisioning)
    .set({
      ...raised(ctx),
      is_released: true,
      released_profile: sql`${provisioning.desired} ->> 'profile'`,
      desired: sql`NULL`,
      adopt: false,
    })
    .where(rows);
}

export function raiseRevisions(ctx: Context, router_ids: readonly string[]): Write[] {
  if (router_ids.length === 0) return [];
  return [
    ctx.db.orm
      .update(routers)
      .set({ revision: sql`${routers.revision} + 1` })
      .where(inArray(routers.id, [...router_ids])),
  ];
}

/** A router that is reached otherwise may be another one: what it holds must be confirmed anew. */
export function raiseRouter(ctx: Context, router_id: string): Write[] {
  const unsettled = or(isNotNull(provisioning.desired), ne(provisioning.status, 'in_sync'));
  const its_rows = and(eq(provisioning.router_id, router_id), unsettled);
  return [...raiseRevisions(ctx, [router_id]), ctx.db.orm.update(provisioning).set(raised(ctx)).where(its_rows)];
}

/** These rows are to be applied again, and one of each of these profiles: what leans on a profile brings it along. */
export function raiseRows(
  ctx: Context,
  router_id: string,
  row_ids: readonly string[],
  profiles: readonly string[],
): Write[] {
  const one_of_each = sql`SELECT min(id) FROM ${provisioning} WHERE router_id = ${router_id} AND desired IS NOT NULL
    AND desired ->> 'profile' IN (SELECT value FROM json_each(${JSON.stringify(profiles)})) GROUP BY desired ->> 'profile'`;
  const rows = sql`${provisioning.router_id} = ${router_id} AND (${provisioning.id} IN (${one_of_each})
    OR ${provisioning.id} IN (SELECT value FROM json_each(${JSON.stringify(row_ids)})))`;
  return [...raiseRevisions(ctx, [router_id]), ctx.db.orm.update(provisioning).set(raised(ctx)).where(rows)];
}

/** Lines on the isolir profile follow it when it changes, or gets another name. */
export function raiseIsolated(ctx: Context, from: string, to: string, router_ids: readonly string[]): Write[] {
  const desired = sql`json_set(${provisioning.desired}, '$.profile', ${to})`;
  const isolated = sql`${provisioning.desired} ->> 'profile' = ${from}`;
  const rows = ctx.db.orm
    .update(provisioning)
    .set({ ...raised(ctx), desired })
    .where(isolated);
  return [rows, ...raiseRevisions(ctx, router_ids)];
}

/** All lines on a plan must be looked at anew, since the plan's profile changed. */
export function raisePlan(ctx: Context, plan_id: string): Write[] {
  const its_customers = ctx.db.orm
    .select({ id: customers.id })
    .from(customers)
    .where(eq(customers.service_plan_id, plan_id));
  const its_rows = and(isNotNull(provisioning.desired), inArray(provisioning.customer_id, its_customers));
  const its_routers = ctx.db.orm.select({ id: provisioning.router_id }).from(provisioning).where(its_rows);
  return [
    ctx.db.orm
      .update(routers)
      .set({ revision: sql`${routers.revision} + 1` })
      .where(inArray(routers.id, its_routers)),
    ctx.db.orm.update(provisioning).set(raised(ctx)).where(its_rows),
  ];
}
