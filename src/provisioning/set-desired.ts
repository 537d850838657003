import { and, eq, inArray, isNotNull, ne, or, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { mustHold, RaceLost, type Write } from '../db/commit.ts';
import { invalidField } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import { customers } from '../resources/customers/table.ts';
import { provisioning, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { routers } from '../resources/routers/table.ts';
import {
  desiredRows,
  type CustomerLine,
  type DesiredRow,
  type LinePlan,
  type SecretState,
  type SuspensionSettings,
} from './desired.ts';

/** Writes of desired state: part of the batch of whatever made it change. No router is spoken to here. */

export interface DesiredChange {
  writes: Write[];
  /** Routers whose desired set this raises. */
  routers: string[];
}

export interface LineChange {
  customer: CustomerLine;
  plan: LinePlan;
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
  const secret = rows.find(row => row.kind === 'ppp_secret' && row.desired !== null)?.desired as
    SecretState | undefined;
  return stays_suspended && secret
    ? { ...settings, suspension_policy: secret.disabled ? 'disable' : 'isolir' }
    : settings;
}

/** An address that was ours to take away once ('') stays managed: see `keepManaged`. */
function sameDesired(row: ProvisioningRow, item: DesiredRow): boolean {
  if (item.kind !== 'ppp_secret') return JSON.stringify(row.desired) === JSON.stringify(item.desired);
  const unmanaged = (row.desired as SecretState | null)?.remote_address === '' ? '' : null;
  const { desired } = item;
  return (
    JSON.stringify(row.desired) === JSON.stringify({ ...desired, remote_address: desired.remote_address ?? unmanaged })
  );
}

/** Brings the rows of lines to what they must now be; what a line no longer needs must go from the router. */
export function setDesired(ctx: Context, ...changes: readonly LineChange[]): DesiredChange {
  const settled = changes.map(change => settleRows(change.rows, wantedRows(change), change.password_changed));
  return writeRows(
    ctx,
    settled.flatMap(({ raised }) => raised),
    settled.flatMap(({ dropped }) => dropped),
  );
}

const wantedRows = (change: LineChange): DesiredRow[] =>
  desiredRows(change.customer, change.plan, policyInForce(change));

/** These rows, which `where` has selected, are as they were read: who decides from many must not overwrite who came between. */
export function mustBeAsRead(where: SQL, rows: readonly ProvisioningRow[]): Write {
  const read = `${rows.length}:${rows.reduce((sum, row) => sum + row.generation, 0)}`;
  const now = sql`SELECT count(*) || ':' || coalesce(sum(generation), 0) FROM provisioning WHERE ${where}`;
  return mustHold(sql`(${now}) = ${read}`, new RaceLost());
}

/** The same of entries that are a router's own: all that it must have of them, against the rows that stand for them. */
export function setRouterEntries(
  ctx: Context,
  rows: readonly ProvisioningRow[],
  wanted: readonly DesiredRow[],
  adopt: boolean,
): DesiredChange {
  const { raised, dropped } = settleRows(rows, wanted);
  return writeRows(ctx, raised, dropped, adopt);
}

function settleRows(rows: readonly ProvisioningRow[], wanted: readonly DesiredRow[], is_anew = false) {
  const find = (item: DesiredRow) =>
    rows.find(row => row.router_id === item.router_id && row.kind === item.kind && row.key === item.key);
  const raised = wanted.filter(item => {
    const row = find(item);
    return !row || !sameDesired(row, item) || (is_anew && item.kind === 'ppp_secret');
  });
  const kept = new Set(wanted.map(find));
  return { raised, dropped: rows.filter(row => row.desired !== null && !kept.has(row)) };
}

/** These are wanted (again), those no more. */
export function writeRows(
  ctx: Context,
  raised: readonly DesiredRow[],
  dropped: readonly ProvisioningRow[],
  adopt = false,
): DesiredChange {
  const touched = [...new Set([...raised, ...dropped].map(item => item.router_id))];
  return {
    writes: [
      ...keepOthers(raised),
      ...upsertDesired(ctx, raised, adopt),
      ...dropDesired(ctx, dropped),
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

/** Two lines can't have one address on a router: what stands for another line isn't taken from it. */
function keepOthers(rows: readonly DesiredRow[]): Write[] {
  const keyed = rows.flatMap(({ kind, router_id, key, customer_id }) =>
    kind === 'simple_queue' || kind === 'address_list' ? [JSON.stringify([router_id, kind, key, customer_id])] : [],
  );
  return chunkJson(keyed).map(chunk => {
    const taken = sql`SELECT 1 FROM json_each(${chunk}) AS w JOIN ${provisioning} AS p
      ON p.router_id = w.value ->> 0 AND p.kind = w.value ->> 1 AND p.key = w.value ->> 2
      WHERE p.desired IS NOT NULL AND p.customer_id IS NOT (w.value ->> 3)`;
    return mustHold(sql`NOT EXISTS (${taken})`, invalidField('static_ip', 'is another line’s on this router'));
  });
}

/** A name that another, ended customer had on that router is taken over with its row. */
function upsertDesired(ctx: Context, rows: readonly DesiredRow[], adopt: boolean): Write[] {
  const encoded = rows.map(({ customer_id, router_id, kind, key, setup, desired }) =>
    JSON.stringify([ctx.newId(), customer_id, router_id, kind, key, setup ?? null, desired]),
  );
  return chunkJson(encoded).map(chunk =>
    ctx.db.orm.run(sql`
      INSERT INTO provisioning (id, customer_id, router_id, kind, key, setup, desired, adopt, generation,
        observed_generation, status, attempts, next_attempt_at, created_at, updated_at)
      SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, ${adopt ? 1 : 0}, 1,
        0, 'pending', 0, ${ctx.now}, ${ctx.now}, ${ctx.now}
      FROM json_each(${chunk}) WHERE true
      ON CONFLICT (router_id, kind, key) DO UPDATE SET
        customer_id = excluded.customer_id, setup = excluded.setup, desired = ${KEEP_MANAGED},
        adopt = CASE WHEN provisioning.customer_id IS excluded.customer_id THEN max(provisioning.adopt, excluded.adopt)
          ELSE excluded.adopt END, is_released = 0, released_profile = NULL,
        generation = provisioning.generation + 1, status = 'pending', attempts = 0, last_error = NULL,
        next_attempt_at = excluded.next_attempt_at, updated_at = excluded.updated_at`),
  );
}

/** No address wanted, where an earlier state may have set one: it must go, not be left as the router has it. */
const KEEP_MANAGED = sql`CASE
  WHEN excluded.kind = 'ppp_secret' AND excluded.desired ->> 'remote_address' IS NULL
    AND (provisioning.desired IS NULL OR provisioning.desired ->> 'remote_address' IS NOT NULL)
  THEN json_set(excluded.desired, '$.remote_address', '') ELSE excluded.desired END`;

const dropDesired = (ctx: Context, rows: readonly ProvisioningRow[]): Write[] =>
  chunkJson(rows.map(row => JSON.stringify(row.id))).map(chunk =>
    dropRows(ctx, sql`${provisioning.id} IN (SELECT value FROM json_each(${chunk}))`),
  );

/** Entries of one router that must go from it. */
export const dropEntries = (ctx: Context, router_id: string, rows: SQL): Write[] => [
  dropRows(ctx, and(eq(provisioning.router_id, router_id), isNotNull(provisioning.desired), rows)!),
  ...raiseRevisions(ctx, [router_id]),
];

/** What these rows say must go from its router. */
export const dropRows = (ctx: Context, rows: SQL): Write =>
  ctx.db.orm
    .update(provisioning)
    .set({ desired: sql`NULL`, ...raised(ctx), ...KEPT })
    .where(rows);

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
  const one_of_each = sql`SELECT min(id) FROM ${provisioning} WHERE router_id = ${router_id} AND kind = 'ppp_secret' AND desired IS NOT NULL
    AND desired ->> 'profile' IN (SELECT value FROM json_each(${JSON.stringify(profiles)})) GROUP BY desired ->> 'profile'`;
  // the set-up's pool brings the profile of the suspended along
  const isolir = sql`${provisioning.kind} = 'ip_pool' AND ${provisioning.setup} IS NOT NULL AND
    (SELECT isolir_profile FROM settings) IN (SELECT value FROM json_each(${JSON.stringify(profiles)}))`;
  const rows = sql`${provisioning.router_id} = ${router_id} AND (${provisioning.id} IN (${one_of_each}) OR (${isolir})
    OR ${provisioning.id} IN (SELECT value FROM json_each(${JSON.stringify(row_ids)})))`;
  return [...raiseRevisions(ctx, [router_id]), ctx.db.orm.update(provisioning).set(raised(ctx)).where(rows)];
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
