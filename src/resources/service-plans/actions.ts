import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Context } from '../../context.ts';
import { checkIfMatch, commit, mustHold, RaceLost, updateRow, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField, notFound } from '../../errors.ts';
import { diffChanges, insertEventsFrom, type Changes } from '../../events/event.ts';
import type { Prepared, Target } from '../../http/crud.ts';
import { slugify } from '../../lib/text.ts';
import { toIso } from '../../lib/time.ts';
import { profileProperties, type CustomerLine } from '../../provisioning/desired.ts';
import { mustBeAsRead, raisePlan, setDesired, type DesiredChange } from '../../provisioning/set-desired.ts';
import { provisioning } from '../provisioning/table.ts';
import { selectSettings } from '../settings/index.ts';
import type { PlanInput, PlanSettingsInput } from './schema.ts';
import {
  service_plan_changes,
  service_plan_settings,
  service_plans,
  UNSET_PLAN_SETTINGS,
  type PlanRow,
  type PlanSettingsRow,
} from './table.ts';

type SentPlan = Partial<z.output<typeof PlanInput>>;

/** Columns that show on the routers: a change of them goes to every line on the plan. */
const ON_ROUTER = ['download_kbps', 'upload_kbps', 'rate_limit'] as const;

export async function preparePlan(
  ctx: Context,
  sent: SentPlan,
  { before }: Target<typeof service_plans>,
): Promise<Prepared<typeof service_plans>> {
  if (!before) {
    const profile_name = await chooseProfileName(ctx, sent);
    return { columns: { is_active: true, features: [], sort_order: 0, ...sent, profile_name } };
  }
  if (sent.profile_name !== undefined && sent.profile_name !== before.profile_name)
    throw invalidField('profile_name', 'can’t be changed: lines on the routers name it; make another plan');
  const changes = diffChanges(before, sent);
  const shows = ON_ROUTER.some(column => column in changes);
  const { current } = await readPlanWithSettings(ctx, before.id);
  const reaches_routers = shows && current.auto_apply_to_router;
  const fees = sent.price === undefined ? [] : followPrice(ctx, before, sent.price);
  return {
    columns: sent,
    writes: [...fees, ...recordChange(ctx, before.id, changes), ...(reaches_routers ? raisePlan(ctx, before.id) : [])],
    routers: reaches_routers ? await listRoutersOf(ctx, before.id) : [],
  };
}

/** Who pays the plan's price goes on paying it; an agreed fee stays. Until the plan is priced nobody has a fee. */
function followPrice(ctx: Context, plan: PlanRow, price: number): Write[] {
  if (price === plan.price) return [];
  const theirs = sql`service_plan_id = ${plan.id} AND monthly_fee IS ${plan.price} AND deleted_at IS NULL`;
  const changes = sql`json_object('monthly_fee', json_array(monthly_fee, CAST(${price} AS INTEGER)))`;
  const rows = sql`SELECT id AS entity_id, id AS customer_id, ${changes} AS changes FROM customers WHERE ${theirs}`;
  return [
    // the office changed the plan, and nothing about the customer
    insertEventsFrom(ctx, { type: 'customer.fee_followed_plan', action: 'update' }, rows),
    ctx.db.orm.run(sql`
      UPDATE customers SET monthly_fee = ${price}, updated_at = max(${ctx.now}, updated_at + 1) WHERE ${theirs}`),
  ];
}

/**
 * The name that was sent, or one from the plan's own: nobody sent that, so nobody should be told that it is taken. The
 * profile of the suspended is no plan's.
 */
async function chooseProfileName(ctx: Context, sent: SentPlan): Promise<string> {
  const slug = sent.profile_name ?? slugify(sent.name ?? '');
  const [rows, [settings]] = await read(
    ctx,
    ctx.db.orm.all<{ profile_name: string }>(sql`
      SELECT profile_name FROM ${service_plans}
      WHERE profile_name = ${slug} OR (profile_name > ${`${slug}-`} AND profile_name < ${`${slug}.`})`),
    selectSettings(ctx),
  );
  const { isolir_profile } = settings!;
  if (sent.profile_name !== undefined) {
    if (slug === isolir_profile) throw invalidField('profile_name', 'is the profile of the suspended (isolir_profile)');
    return slug;
  }
  const taken = new Set([...rows.map(row => row.profile_name), isolir_profile]);
  let free = slug;
  for (let number = 2; taken.has(free); number++) free = `${slug}-${number}`;
  return free;
}

function recordChange(ctx: Context, plan_id: string, changes: Changes): Write[] {
  if (Object.keys(changes).length === 0) return [];
  const at = toIso(ctx.now);
  const changed_by = ctx.actor.kind === 'user' ? ctx.actor.id : null;
  const row = { id: ctx.newId(), plan_id, changed_by, changes, effective_at: at, created_at: at, updated_at: at };
  return [ctx.db.orm.insert(service_plan_changes).values(row)];
}

/** Routers on which lines of this plan stand. */
async function listRoutersOf(ctx: Context, plan_id: string): Promise<string[]> {
  const [rows] = await read(
    ctx,
    ctx.db.orm.all<{ router_id: string }>(sql`
      SELECT DISTINCT p.router_id FROM customers c JOIN ${provisioning} p ON p.customer_id = c.id
      WHERE c.service_plan_id = ${plan_id} AND p.desired IS NOT NULL`),
  );
  return rows.map(row => row.router_id);
}

export async function togglePlan(ctx: Context, plan: PlanRow): Promise<PlanRow> {
  const is_active = !plan.is_active;
  const changes: Changes = { is_active: [plan.is_active, is_active] };
  const [[row]] = (await commit(
    ctx,
    [updateRow(ctx, service_plans, plan, { is_active }), ...recordChange(ctx, plan.id, changes)],
    { type: 'plan.updated', action: 'update', entity_id: plan.id, changes },
  )) as [[PlanRow]];
  return row;
}

/** What holds while nobody set anything. */
const defaultSettings = (plan: PlanRow): PlanSettingsRow => ({
  ...UNSET_PLAN_SETTINGS,
  plan_id: plan.id,
  created_at: plan.created_at,
  updated_at: plan.created_at,
});

async function readPlanWithSettings(ctx: Context, plan_id: string) {
  const [[plan], [stored]] = await read(
    ctx,
    ctx.db.orm.select().from(service_plans).where(eq(service_plans.id, plan_id)),
    ctx.db.orm.select().from(service_plan_settings).where(eq(service_plan_settings.plan_id, plan_id)),
  );
  if (!plan) throw notFound('plan');
  return { plan, stored, current: stored ?? defaultSettings(plan) };
}

export async function getPlanSettings(ctx: Context, plan_id: string): Promise<PlanSettingsRow> {
  return (await readPlanWithSettings(ctx, plan_id)).current;
}

export async function updatePlanSettings(
  ctx: Context,
  plan_id: string,
  sent: z.output<typeof PlanSettingsInput>,
): Promise<PlanSettingsRow> {
  const { plan, stored, current } = await readPlanWithSettings(ctx, plan_id);
  checkIfMatch(ctx, current);
  const changes = diffChanges(current as unknown as Record<string, unknown>, sent);
  if (Object.keys(changes).length === 0) return current;
  const wanted = { ...current, ...sent } as PlanSettingsRow;
  wanted.managed = [...new Set([...current.managed, ...profileProperties(wanted)])];
  checkBurst(wanted);
  const updated_at = toIso(Math.max(ctx.now, Date.parse(current.updated_at) + 1));
  const row = { ...wanted, created_at: stored?.created_at ?? toIso(ctx.now), updated_at };
  const upsert = ctx.db.orm
    .insert(service_plan_settings)
    .values(row)
    .onConflictDoUpdate({ target: service_plan_settings.plan_id, set: row })
    .returning();
  const as_read = sql`(SELECT updated_at FROM ${service_plan_settings} WHERE plan_id = ${plan_id})
    IS ${stored ? Date.parse(stored.updated_at) : null}`;
  // which entries a line has can't wait: a half of it would leave lines without any limit
  const is_queued = [current.shaping, wanted.shaping].includes('simple_queue');
  const remakes = is_queued && REMAKES_LINES.some(column => column in changes);
  const applies = wanted.auto_apply_to_router || remakes;
  const lines = remakes ? await remakeLines(ctx, plan, wanted) : null;
  const routers = applies ? [...(lines?.routers ?? []), ...(await listRoutersOf(ctx, plan_id))] : [];
  const results = (await commit(
    ctx,
    [
      mustHold(as_read, new RaceLost()),
      upsert,
      ...recordChange(ctx, plan_id, changes),
      ...(lines?.writes ?? []),
      ...(applies ? raisePlan(ctx, plan_id) : []),
    ],
    { type: 'plan.settings_updated', action: 'update', entity_id: plan.id, changes, routers },
  )) as [unknown, [PlanSettingsRow]];
  return results[1][0];
}

/** Columns that say which entries a line has. */
const REMAKES_LINES = ['shaping', 'is_unlimited', 'queue_name_template'] as const;

/** What the plan's lines must hold by its new settings. */
async function remakeLines(ctx: Context, plan: PlanRow, wanted: PlanSettingsRow): Promise<DesiredChange> {
  const its_lines = sql`service_plan_id = ${plan.id} AND status IN ('active', 'suspended') AND deleted_at IS NULL`;
  const its_rows = sql`customer_id IN (SELECT id FROM customers WHERE ${its_lines})`;
  const [lines, rows, [settings]] = await read(
    ctx,
    ctx.db.orm.all<CustomerLine & { updated_at: number }>(sql`
      SELECT id, customer_code, full_name, status, connection_type, router_id, pppoe_username, static_ip, updated_at
      FROM customers WHERE ${its_lines}`),
    ctx.db.orm.select().from(provisioning).where(its_rows),
    selectSettings(ctx),
  );
  const needs_address = wanted.shaping === 'simple_queue' && !wanted.is_unlimited;
  const without = lines.filter(
    line => line.static_ip === null && line.router_id !== null && line.connection_type !== 'hotspot',
  ).length;
  if (needs_address && without > 0)
    throw invalidField('shaping', `needs a static_ip of each line: ${without} of the plan have none`);
  const of_customer = Map.groupBy(rows, row => row.customer_id);
  const changes = lines.map(customer => ({
    customer,
    plan: { ...wanted, profile_name: plan.profile_name },
    settings: settings!,
    rows: of_customer.get(customer.id) ?? [],
    stays_suspended: customer.status === 'suspended',
  }));
  const desired = setDesired(ctx, ...changes);
  // the newest of them, and parts of all that a number can still hold the sum of
  const newest = lines.reduce((most, line) => Math.max(most, line.updated_at), 0);
  const as_read = `${lines.length}:${newest}:${lines.reduce((sum, line) => sum + (line.updated_at % 1_000_000), 0)}`;
  const now = sql`SELECT count(*) || ':' || coalesce(max(updated_at), 0) || ':' || coalesce(sum(updated_at % 1000000), 0)
    FROM customers WHERE ${its_lines}`;
  const still = [mustHold(sql`(${now}) = ${as_read}`, new RaceLost()), mustBeAsRead(its_rows, rows)];
  return { ...desired, writes: [...still, ...desired.writes] };
}

/** RouterOS knows a burst only whole: both speeds, both thresholds and the time. */
function checkBurst(settings: PlanSettingsRow): void {
  const parts = [
    'burst_download_kbps',
    'burst_upload_kbps',
    'burst_threshold_download_kbps',
    'burst_threshold_upload_kbps',
    'burst_time_seconds',
  ] as const;
  const given = parts.filter(part => settings[part] !== null);
  if (given.length === 0 || given.length === parts.length) return;
  const missing = parts.find(part => settings[part] === null)!;
  throw invalidField(missing, 'is required: a burst needs both speeds, both thresholds and its time');
}
