import { and, eq, isNull, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { seal, type Sealer } from '../../auth/sealing.ts';
import { makeSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, mustHold, RaceLost, updateRow } from '../../db/commit.ts';
import { takeFromSequence } from '../../db/sequences.ts';
import { read, runTogether } from '../../db/session.ts';
import { inUse, invalidField, invalidTransition, notFound } from '../../errors.ts';
import { joinSearchText, toE164 } from '../../lib/text.ts';
import { businessDate, toIso } from '../../lib/time.ts';
import { logFailure } from '../../log.ts';
import { routers } from '../routers/table.ts';
import { plansMustBeAsRead, selectPlansForLines } from '../service-plans/index.ts';
import { service_plans, type PlanRow } from '../service-plans/table.ts';
import { selectSettings } from '../settings/index.ts';
import { zones } from '../zones/index.ts';
import { customerCreated } from './events.ts';
import { changeLine, checkAddressFree } from './line-change.ts';
import { selectCustomer, selectLine, toLine } from './queries.ts';
import * as rules from './rules.ts';
import type { CustomerInput, CustomerUpdate, Hold, PlanChangeInput, StatusChange } from './schema.ts';
import { customer_plan_changes, customers, type CustomerRow, type PlanChangeRow } from './table.ts';

type Sent = z.output<typeof CustomerUpdate>;
type Patch = Partial<CustomerRow>;

export const formatCustomerCode = (number: number): string => `CUST${String(number).padStart(5, '0')}`;

export const sealPppoePassword = (ctx: Sealer, customer_id: string, password: string) =>
  seal(ctx, { row_id: customer_id, column: 'pppoe_password' }, password);

/** What search looks in; of a row as it will be. */
export function searchTextOf(row: Partial<CustomerRow>): string {
  return joinSearchText([
    row.full_name,
    row.customer_code,
    row.phone,
    row.phone_e164,
    row.email,
    row.pppoe_username,
    row.address,
  ]);
}

/** What a request names must be there; the field that names something else is told. */
function selectReferences(ctx: Context, sent: Sent) {
  const { orm } = ctx.db;
  // the default router is looked for under an id that can't be, when another one is named
  const router = sent.router_id === undefined ? eq(routers.is_default, true) : eq(routers.id, sent.router_id ?? '');
  return [
    selectPlansForLines(ctx, eq(service_plans.id, sent.service_plan_id ?? '')),
    orm.select({ id: routers.id }).from(routers).where(router),
    orm
      .select({ id: zones.id })
      .from(zones)
      .where(eq(zones.id, sent.zone_id ?? '')),
  ] as const;
}

function checkReferences(sent: Sent, found: { plan?: unknown; router?: unknown; zone?: unknown }): void {
  if (sent.service_plan_id && !found.plan) throw invalidField('service_plan_id', 'names no plan');
  if (sent.router_id && !found.router) throw invalidField('router_id', 'names no router');
  if (sent.zone_id && !found.zone) throw invalidField('zone_id', 'names no zone');
}

export async function createCustomer(ctx: Context, sent: z.output<typeof CustomerInput>): Promise<CustomerRow> {
  const [[plan], [router], [zone], [settings], [code]] = await read(
    ctx,
    ...selectReferences(ctx, sent),
    selectSettings(ctx),
    takeFromSequence(ctx, 'customer_code'),
  );
  checkReferences(sent, { plan, router, zone });
  rules.checkPlanOffered(plan!);
  const id = ctx.newId();
  const at = toIso(ctx.now);
  const customer_code = formatCustomerCode(code!.value);
  const connection_type = sent.connection_type ?? 'pppoe';
  const is_pppoe = connection_type === 'pppoe';
  const password = sent.pppoe_password ?? (is_pppoe ? makeSecret().slice(0, 16) : undefined);
  const row = {
    monthly_fee: plan!.price,
    due_day: 15,
    billing_type: 'prepaid' as const,
    auto_isolir: true,
    custom_fields: {},
    ...sent,
    id,
    customer_code,
    status: 'pending_activation' as const,
    connection_type,
    router_id: sent.router_id !== undefined ? sent.router_id : is_pppoe ? (router?.id ?? null) : null,
    pppoe_username: sent.pppoe_username ?? (is_pppoe ? customer_code.toLowerCase() : null),
    pppoe_password: password === undefined ? null : await sealPppoePassword(ctx, id, password),
    phone_e164: toE164(sent.phone, settings!.country),
    created_at: at,
    updated_at: at,
  };
  const insert = ctx.db.orm
    .insert(customers)
    .values({ ...row, search_text: searchTextOf(row) })
    .returning();
  const [[created]] = (await commit(
    ctx,
    [insert, plansMustBeAsRead(plan!), ...checkAddressFree(row)],
    customerCreated(row),
  )) as [[CustomerRow]];
  return created;
}

/** From the fields sent to the columns changed. */
async function patchOf(ctx: Context, before: CustomerRow, sent: Sent, country: string): Promise<Patch> {
  const { pppoe_password, service_plan_id: _plan, ...fields } = sent;
  const patch: Patch = { ...fields };
  if (pppoe_password !== undefined) patch.pppoe_password = await sealPppoePassword(ctx, before.id, pppoe_password);
  if (sent.phone !== undefined) patch.phone_e164 = toE164(sent.phone, country);
  const search_text = searchTextOf({ ...before, ...patch });
  return search_text === before.search_text ? patch : { ...patch, search_text };
}

export async function updateCustomer(ctx: Context, id: string, sent: Sent): Promise<CustomerRow> {
  const [customers_found, plans_found, rows, settings_found, [plan], [router], [zone]] = await read(
    ctx,
    ...selectLine(ctx, id),
    ...selectReferences(ctx, sent),
  );
  const line = toLine([customers_found, plans_found, rows, settings_found]);
  checkReferences(sent, { plan, router, zone });
  const { customer } = line;
  let patch = await patchOf(ctx, customer, sent, line.settings.country);
  rules.checkLineNamed({ ...customer, ...patch });
  const moves = plan && plan.id !== customer.service_plan_id ? plan : null;
  if (moves) {
    rules.checkPlanOffered(moves);
    patch = { ...rules.changePlan(customer, line.plan, moves), ...patch };
  }
  const to_fee = patch.monthly_fee === undefined ? customer.monthly_fee : patch.monthly_fee;
  const recorded = moves ? [recordPlanChange(ctx, customer, { service_plan_id: moves.id }, to_fee)] : [];
  const inserts = recorded.map(change => ctx.db.orm.insert(customer_plan_changes).values(change));
  return changeLine(ctx, line, patch, 'updated', {
    plan: moves ?? line.plan,
    password_changed: sent.pppoe_password !== undefined,
    writes: moves ? [forgetWaitingPlanChange(ctx, id), ...inserts] : [],
  });
}

type StatusRule = (customer: CustomerRow, moment: rules.Moment, plan: PlanRow) => Patch;

async function changeStatus(
  ctx: Context,
  id: string,
  body: z.output<typeof StatusChange>,
  happened: string,
  rule: StatusRule,
): Promise<CustomerRow> {
  const line = toLine(await read(ctx, ...selectLine(ctx, id)));
  const moment = { date: body.date ?? businessDate(ctx), today: businessDate(ctx), reason: body.reason };
  const patch = rule(line.customer, moment, line.plan);
  // an ended customer has nothing to wait for
  const writes = patch.status === 'terminated' ? [forgetWaitingPlanChange(ctx, id)] : [];
  return changeLine(ctx, line, patch, happened, { writes, data: { date: moment.date, reason: body.reason ?? null } });
}

type Body = z.output<typeof StatusChange>;

export const activateCustomer = (ctx: Context, id: string, body: Body) =>
  changeStatus(ctx, id, body, 'activated', rules.activate);
export const suspendCustomer = (ctx: Context, id: string, body: Body) =>
  changeStatus(ctx, id, body, 'suspended', rules.suspend);
export const resumeCustomer = (ctx: Context, id: string, body: Body) =>
  changeStatus(ctx, id, body, 'resumed', rules.resume);
export const terminateCustomer = (ctx: Context, id: string, body: Body) =>
  changeStatus(ctx, id, body, 'terminated', rules.terminate);
export const reactivateCustomer = (ctx: Context, id: string, body: Body) =>
  changeStatus(ctx, id, body, 'reactivated', rules.reactivate);

export async function deleteCustomer(ctx: Context, id: string): Promise<{ id: string }> {
  const line = toLine(await read(ctx, ...selectLine(ctx, id)));
  rules.remove(line.customer);
  const is_settled = sql`EXISTS (SELECT 1 FROM customers WHERE id = ${id} AND outstanding_balance = 0 AND credit_balance = 0)`;
  const owes = inUse('There are open dues or a credit of this customer: settle or void them first.');
  await changeLine(ctx, line, { deleted_at: toIso(ctx.now) }, 'deleted', {
    writes: [mustHold(is_settled, owes), forgetWaitingPlanChange(ctx, id)],
  });
  return { id };
}

/** A promise to pay: the daily job leaves the line alone until then, and one that was cut for dues comes back. */
export async function holdCustomer(ctx: Context, id: string, body: z.output<typeof Hold>): Promise<CustomerRow> {
  const date = businessDate(ctx);
  if (body.until < date) throw invalidField('until', 'is in the past');
  const line = toLine(await read(ctx, ...selectLine(ctx, id)));
  const { status, suspension_reason } = line.customer;
  const is_cut = status === 'suspended' && suspension_reason === 'overdue';
  const patch = { hold_until: body.until, ...(is_cut && rules.resume(line.customer, { date, today: date })) };
  return changeLine(ctx, line, patch, 'held', { data: { note: body.note ?? null } });
}

function recordPlanChange(
  ctx: Context,
  customer: CustomerRow,
  wanted: z.output<typeof PlanChangeInput>,
  to_fee: number | null,
): PlanChangeRow {
  const effective_date = wanted.effective_date ?? businessDate(ctx);
  const at = toIso(ctx.now);
  const waits = effective_date > businessDate(ctx);
  return {
    id: ctx.newId(),
    customer_id: customer.id,
    from_plan_id: customer.service_plan_id,
    to_plan_id: wanted.service_plan_id,
    effective_date,
    reason: wanted.reason ?? null,
    changed_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    applied_at: waits ? null : at,
    from_fee: waits ? null : customer.monthly_fee,
    to_fee: waits ? null : to_fee,
    invoice_id: null,
    created_at: at,
    updated_at: at,
  };
}

const waiting = (id: string) =>
  and(eq(customer_plan_changes.customer_id, id), isNull(customer_plan_changes.applied_at));

const forgetWaitingPlanChange = (ctx: Context, id: string, change_id?: string) =>
  ctx.db.orm
    .delete(customer_plan_changes)
    .where(and(waiting(id), change_id === undefined ? undefined : eq(customer_plan_changes.id, change_id)));

async function readLineAndPlan(ctx: Context, id: string, plan_id: string) {
  const [customer, own_plan, rows, settings, [plan]] = await read(
    ctx,
    ...selectLine(ctx, id),
    selectPlansForLines(ctx, eq(service_plans.id, plan_id)),
  );
  return { line: toLine([customer, own_plan, rows, settings]), plan };
}

/** Now, or (for a date to come) a change that waits; a newer wish replaces one that waits. */
export async function changeCustomerPlan(ctx: Context, id: string, body: z.output<typeof PlanChangeInput>) {
  const { line, plan } = await readLineAndPlan(ctx, id, body.service_plan_id);
  const { customer } = line;
  if (!plan) throw invalidField('service_plan_id', 'names no plan');
  rules.checkPlanOffered(plan);
  if (body.effective_date !== undefined && body.effective_date < businessDate(ctx))
    throw invalidField('effective_date', 'is in the past');
  if (plan.id === customer.service_plan_id) throw invalidField('service_plan_id', 'is the plan already');
  const patch = rules.changePlan(customer, line.plan, plan);
  // also one that waits for its date: nobody would be there to hear of it then
  rules.checkLine([customer, line.plan], [{ ...customer, ...patch }, plan]);
  const change = recordPlanChange(ctx, customer, body, patch.monthly_fee ?? null);
  const insert = ctx.db.orm.insert(customer_plan_changes).values(change);
  const writes = [forgetWaitingPlanChange(ctx, id), insert];
  if (change.applied_at !== null) {
    const data = { effective_date: change.effective_date, reason: change.reason };
    return { customer: await changeLine(ctx, line, patch, 'plan_changed', { plan, writes, data }), change };
  }
  await commit(ctx, [updateRow(ctx, customers, customer, {}), ...writes], {
    type: 'customer.plan_change_planned',
    action: 'update',
    entity_id: id,
    customer_id: id,
    data: { to_plan_id: plan.id, effective_date: change.effective_date },
  });
  return { customer, change };
}

/** The change that waits for its date won't come. */
export async function dropPlanChange(ctx: Context, id: string): Promise<PlanChangeRow> {
  const [[customer], [change]] = await read(
    ctx,
    selectCustomer(ctx, id),
    ctx.db.orm.select().from(customer_plan_changes).where(waiting(id)),
  );
  if (!customer) throw notFound('customer');
  if (!change) throw invalidTransition('No change of the plan is waiting.');
  const drop = forgetWaitingPlanChange(ctx, id, change.id);
  await commit(ctx, [mustChange(drop, new RaceLost())], {
    type: 'customer.plan_change_dropped',
    action: 'update',
    entity_id: id,
    customer_id: id,
    data: { to_plan_id: change.to_plan_id, effective_date: change.effective_date },
  });
  return change;
}

/** At once: D1 takes 1,000 queries of one invocation. The rest follows with the next round. */
const MOST_PLAN_CHANGES = 40;

/** The daily job's part: plan changes whose date has come, in the tenant's time zone. */
export async function applyDuePlanChanges(ctx: Context): Promise<void> {
  const [due] = await runTogether(ctx.db, [
    ctx.db.orm
      .select()
      .from(customer_plan_changes)
      .where(
        sql`${customer_plan_changes.applied_at} IS NULL AND ${customer_plan_changes.effective_date} <= ${businessDate(ctx)}`,
      )
      .limit(MOST_PLAN_CHANGES),
  ]);
  for (const change of due)
    await applyPlanChange(ctx, change).catch(error => logFailure({ job: 'plan-changes', change_id: change.id }, error));
}

async function applyPlanChange(ctx: Context, change: PlanChangeRow): Promise<void> {
  const { line, plan } = await readLineAndPlan(ctx, change.customer_id, change.to_plan_id);
  const patch = rules.changePlan(line.customer, line.plan, plan!);
  const done = ctx.db.orm
    .update(customer_plan_changes)
    .set({ applied_at: toIso(ctx.now), from_fee: line.customer.monthly_fee, to_fee: patch.monthly_fee ?? null })
    .where(and(eq(customer_plan_changes.id, change.id), isNull(customer_plan_changes.applied_at)));
  const data = { effective_date: change.effective_date };
  await changeLine(ctx, line, patch, 'plan_changed', { plan: plan!, writes: [mustChange(done, new RaceLost())], data });
}
