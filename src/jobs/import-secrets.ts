import { and, eq, gte, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson, insertMany } from '../db/bulk.ts';
import { RaceLost, type Write } from '../db/commit.ts';
import { takeFromSequence } from '../db/sequences.ts';
import { read, runTogether } from '../db/session.ts';
import { AppError } from '../errors.ts';
import { businessDate, toIso } from '../lib/time.ts';
import { raiseRevisions } from '../provisioning/set-desired.ts';
import { makeRun, runStarted, wakeRun } from '../resources/billing/index.ts';
import { formatCustomerCode, searchTextOf } from '../resources/customers/actions.ts';
import { customerCreated } from '../resources/customers/events.ts';
import { customers, type CustomerRow } from '../resources/customers/table.ts';
import { import_items, imports } from '../resources/imports/table.ts';
import { commitProgress, jobs, tellProgress, type JobRow } from '../resources/jobs/index.ts';
import { provisioning, UNTRIED, type ProvisioningRow } from '../resources/provisioning/table.ts';
import { plansMustBeAsRead } from '../resources/service-plans/index.ts';
import { service_plans } from '../resources/service-plans/table.ts';

/** Creates the customers of an import, some hundred at a time; a run that stops goes on where it was. */

const CHUNK = 500;
const MOST_RACES = 50;

type Item = typeof import_items.$inferSelect;
type ImportRow = typeof imports.$inferSelect;

export async function runImportJob(ctx: Context, job_id: string): Promise<void> {
  for (let races = 0; ;) {
    const [[job]] = await runTogether(ctx.db, [ctx.db.orm.select().from(jobs).where(eq(jobs.id, job_id))]);
    if (!job || job.finished_at !== null) return;
    try {
      await runChunk(ctx, job);
    } catch (error) {
      // another run of the same job, or a customer of that name, was faster: look again
      const is_race = error instanceof RaceLost || (error instanceof AppError && error.code === 'DUPLICATE_ENTRY');
      if (is_race && ++races <= MOST_RACES) continue;
      if (!(error instanceof AppError)) throw error;
      // what it was to be made of is gone (a plan, the router): trying again would not bring it back
      return failImport(ctx, job, error.message);
    }
  }
}

async function runChunk(ctx: Context, job: JobRow): Promise<void> {
  const { orm } = ctx.db;
  // by a line too: the index is taken, and what is done isn't read again with each part
  const waiting = and(
    eq(import_items.import_id, job.subject_id!),
    eq(import_items.outcome, 'create'),
    gte(import_items.line, 0),
  );
  const [[record], items, taken, plans] = await read(
    ctx,
    orm.select().from(imports).where(eq(imports.id, job.subject_id!)),
    orm.select().from(import_items).where(waiting).orderBy(import_items.line).limit(CHUNK),
    orm.all<{ name: string }>(sql`
      SELECT pppoe_username AS name FROM customers
      WHERE pppoe_username IN (SELECT name FROM ${import_items} WHERE ${waiting} ORDER BY line LIMIT ${CHUNK})
        AND status <> 'terminated' AND deleted_at IS NULL`),
    orm
      .select({ id: service_plans.id, price: service_plans.price, updated_at: service_plans.updated_at })
      .from(service_plans)
      .where(
        sql`${service_plans.id} IN (
          SELECT data ->> 'service_plan_id' FROM ${import_items} WHERE ${waiting} ORDER BY line LIMIT ${CHUNK})`,
      ),
  );
  if (items.length === 0) return finish(ctx, job, record!);
  const taken_names = new Set(taken.map(row => row.name));
  const free = items.filter(item => !taken_names.has(item.name));
  const lost = items.filter(item => taken_names.has(item.name));
  // no more codes than customers: the next one's code follows on the last one's
  const [[code]] = await read(ctx, takeFromSequence(ctx, 'customer_code', free.length));
  const first_code = code!.value - free.length + 1;
  const price_of = new Map(plans.map(plan => [plan.id, plan.price]));
  const rows = free.map((item, index) => ({
    ...makeCustomer(ctx, item, formatCustomerCode(first_code + index), record!.router_id),
    monthly_fee: price_of.get(item.data!.service_plan_id) ?? null,
  }));
  const router_ids = record!.router_id && free.length > 0 ? [record!.router_id] : [];
  const progress: Partial<JobRow> = {
    status: 'running',
    started_at: job.started_at ?? toIso(ctx.now),
    succeeded: job.succeeded + free.length,
    failed: job.failed + lost.length,
    errors: [...job.errors, ...lost.map(item => `line ${item.line}: "${item.name}" was taken meanwhile`)].slice(0, 100),
  };
  const results = [
    ...free.map(item => [item.line, 'created', item.reason]),
    ...lost.map(item => [item.line, 'conflict', 'was taken by a customer meanwhile']),
  ];
  const writes: Write[] = [
    // whoever has no fee yet gets it when the plan is priced: not in between
    plansMustBeAsRead(...plans),
    ...insertMany(ctx.db, customers, rows),
    ...adoptSecrets(ctx, free, router_ids),
    ...raiseRevisions(ctx, router_ids),
    ...markItems(ctx, job.subject_id!, results),
  ];
  const events = rows.map(row => customerCreated(row, router_ids));
  await commitProgress(ctx, job, progress, writes, ...events);
}

/** Ends the job where it is; what wasn't created says why. */
export async function failImport(ctx: Context, job: JobRow, reason: string): Promise<void> {
  const waiting = and(eq(import_items.import_id, job.subject_id!), eq(import_items.outcome, 'create'));
  const ended: Partial<JobRow> = {
    status: 'failed',
    finished_at: toIso(ctx.now),
    failed: job.total - job.succeeded,
    errors: [...job.errors, reason].slice(-100),
  };
  const items = ctx.db.orm
    .update(import_items)
    .set({ outcome: 'failed', reason, data: sql`NULL`, customer_id: null })
    .where(waiting);
  await commitProgress(ctx, job, ended, [items], {
    type: 'import.failed',
    action: 'update',
    entity_id: job.subject_id!,
    data: { reason },
  });
}

/** Where that was asked for, the invoices of who was made follow in a job of their own. */
async function finish(ctx: Context, job: JobRow, record: ImportRow): Promise<void> {
  const done = { status: 'completed' as const, finished_at: toIso(ctx.now) };
  const period = businessDate(ctx).slice(0, 7);
  const is_billed = record.options.generate_bills === true && job.succeeded > 0;
  const run = is_billed ? makeRun(ctx, { period, reissue_void: false, import_id: record.id }) : null;
  await commitProgress(
    ctx,
    job,
    done,
    run ? [ctx.db.orm.insert(jobs).values(run)] : [],
    ...(run ? [runStarted(run)] : []),
    {
      type: 'import.completed',
      action: 'update',
      entity_id: job.subject_id!,
      data: { succeeded: job.succeeded, failed: job.failed },
    },
  );
  if (!run) return;
  tellProgress(ctx, run);
  await wakeRun(ctx, run.id);
}

function makeCustomer(ctx: Context, item: Item, customer_code: string, router_id: string | null): CustomerRow {
  const { full_name, service_plan_id, disabled, static_ip, sealed_password } = item.data!;
  const at = toIso(ctx.now);
  const today = businessDate(ctx);
  const row: CustomerRow = {
    ...EMPTY,
    id: item.customer_id!,
    customer_code,
    full_name,
    service_plan_id,
    status: disabled ? 'suspended' : 'active',
    suspension_reason: disabled ? 'manual' : null,
    status_since: today,
    activation_date: today,
    router_id,
    pppoe_username: item.name,
    pppoe_password: sealed_password,
    static_ip,
    created_at: at,
    updated_at: at,
  };
  return { ...row, search_text: searchTextOf(row) };
}

/** What a router's export doesn't know of a customer; the office fills it in. */
const EMPTY = {
  nik: null,
  phone: null,
  phone_e164: null,
  email: null,
  address: null,
  zone_id: null,
  rt: null,
  rw: null,
  kelurahan: null,
  kecamatan: null,
  city: null,
  postal_code: null,
  latitude: null,
  longitude: null,
  photo_key: null,
  house_photo_key: null,
  monthly_fee: null,
  due_day: 15,
  billing_type: 'prepaid' as const,
  auto_isolir: true,
  hold_until: null,
  installation_date: null,
  termination_date: null,
  termination_reason: null,
  last_payment_date: null,
  outstanding_balance: 0,
  credit_balance: 0,
  account_version: 0,
  overdue_balance: 0,
  payment_status: null,
  connection_type: 'pppoe' as const,
  onu_serial: null,
  notes: null,
  custom_fields: {},
  search_text: '',
  deleted_at: null,
};

/** The router holds these already: only our marker is missing. A disabled secret stays disabled, whatever the policy. */
function adoptSecrets(ctx: Context, items: readonly Item[], [router_id]: readonly string[]): Write[] {
  if (router_id === undefined) return [];
  const at = toIso(ctx.now);
  const rows = items.map((item): ProvisioningRow => ({
    ...UNTRIED,
    id: ctx.newId(),
    customer_id: item.customer_id!,
    router_id,
    kind: 'ppp_secret',
    key: item.name,
    desired: { profile: item.data!.profile, disabled: item.data!.disabled, remote_address: item.data!.static_ip },
    adopt: true,
    secret_hash: item.data!.secret_hash,
    next_attempt_at: at,
    created_at: at,
    updated_at: at,
  })); // prettier-ignore
  const take_over = sql`ON CONFLICT (router_id, kind, key) DO UPDATE SET
    customer_id = excluded.customer_id, desired = excluded.desired, adopt = 1, is_released = 0,
    released_profile = NULL, generation = provisioning.generation + 1,
    secret_hash = excluded.secret_hash, status = 'pending', attempts = 0, next_attempt_at = excluded.next_attempt_at,
    last_error = NULL, updated_at = excluded.updated_at`;
  return insertMany(ctx.db, provisioning, rows, { on_conflict: take_over });
}

/**
 * What they were made from is dropped: it holds a sealed password that has its place now. (Not materialized, the list would be
 * read anew for each line of the import.)
 */
function markItems(ctx: Context, import_id: string, results: readonly unknown[][]): Write[] {
  return chunkJson(results.map(result => JSON.stringify(result))).map(chunk =>
    ctx.db.orm.run(sql`
      WITH r AS MATERIALIZED (
        SELECT value ->> 0 AS line, value ->> 1 AS outcome, value ->> 2 AS reason FROM json_each(${chunk})
      )
      UPDATE import_items SET outcome = r.outcome, reason = r.reason, data = NULL,
        customer_id = CASE r.outcome WHEN 'created' THEN customer_id END
      FROM r WHERE import_items.import_id = ${import_id} AND import_items.line = r.line`),
  );
}
