import { and, eq, inArray, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { commit, mustHold, RaceLost, type Write } from '../db/commit.ts';
import { read, runTogether } from '../db/session.ts';
import { AppError } from '../errors.ts';
import { deletedChanges, insertEventsFrom, type NewEvent } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import { raiseRevisions, releaseRows, dropRows } from '../provisioning/set-desired.ts';
import { wakeProvisioning } from '../queues/wake.ts';
import { customers } from '../resources/customers/table.ts';
import { import_items, imports } from '../resources/imports/table.ts';
import { ip_pools, type IpPoolRow } from '../resources/ip-pools/table.ts';
import { commitProgress, jobs, type JobRow } from '../resources/jobs/index.ts';
import { provisioning } from '../resources/provisioning/table.ts';
import { service_plans } from '../resources/service-plans/table.ts';

/**
 * Takes back what an import made, where nobody has worked with it since. Customers go in two steps: they are deleted and
 * their secrets given back; once the router confirmed that, nothing of them is left. A run that stops goes on where it
 * was.
 */

const CHUNK = 500;
const MOST_RACES = 50;

type ImportRow = typeof imports.$inferSelect;
type Item = typeof import_items.$inferSelect;

export async function runUndoJob(ctx: Context, job_id: string): Promise<void> {
  for (let races = 0; ;) {
    const [[job], [record]] = await runTogether(ctx.db, [
      ctx.db.orm.select().from(jobs).where(eq(jobs.id, job_id)),
      ctx.db.orm
        .select()
        .from(imports)
        .where(sql`${imports.id} = (SELECT subject_id FROM ${jobs} WHERE ${jobs.id} = ${job_id})`),
    ]);
    if (!job || !record || job.finished_at !== null) return;
    try {
      if (!(await takeStep(ctx, job, record))) return;
    } catch (error) {
      if (error instanceof RaceLost && ++races <= MOST_RACES) continue;
      if (!(error instanceof AppError)) throw error;
      return fail(ctx, job, error.message);
    }
  }
}

/** Ends the job where it is: what is in its way must be looked at by somebody. */
async function fail(ctx: Context, job: JobRow, reason: string): Promise<void> {
  const ended = { status: 'failed' as const, finished_at: toIso(ctx.now), errors: [...job.errors, reason].slice(-100) };
  await commitProgress(ctx, job, ended, [], {
    type: 'import.undo_failed',
    action: 'update',
    entity_id: job.subject_id!,
    data: { reason },
  });
}

/** False when there is nothing more to do now. */
async function takeStep(ctx: Context, job: JobRow, record: ImportRow): Promise<boolean> {
  const [items] = await read(
    ctx,
    ctx.db.orm
      .select()
      .from(import_items)
      .where(and(eq(import_items.import_id, record.id), eq(import_items.outcome, 'created')))
      .orderBy(import_items.line)
      .limit(CHUNK),
  );
  if (items.length > 0) {
    if (record.kind === 'secrets') await takeBackCustomers(ctx, job, record, items);
    else await takeBackEntities(ctx, job, record, items);
    return true;
  }
  let given_up: string[] = [];
  if (record.kind === 'secrets') {
    const forgotten = await forgetCustomers(ctx, record);
    if (forgotten.waiting > 0) {
      await lookAgain(ctx, job);
      return false;
    }
    given_up = forgotten.given_up.map(name => `router "${name}" ${GIVEN_UP}`);
  }
  await finish(ctx, job, record, { given_up, kept_plans: await deletePlans(ctx, record) });
  return false;
}

const GIVEN_UP = 'is switched off or has no bridge: our marks stay on it, and mean nothing any more';

const KEPT = 'somebody has worked with it since: it is kept';

/** What nobody but the import itself and the provisioning has touched. */
const untouchedCustomer = (id: SQL): SQL => sql`
  NOT EXISTS (SELECT 1 FROM events AS e WHERE e.customer_id = ${id}
    AND e.type NOT IN ('customer.created', 'customer.fee_followed_plan', 'provisioning.applied', 'provisioning.looked',
      'provisioning.stopped', 'provisioning.retried'))
  AND NOT EXISTS (SELECT 1 FROM payments AS e WHERE e.customer_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM invoices AS e WHERE e.customer_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM receipts AS e WHERE e.customer_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM tickets AS e WHERE e.customer_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM devices AS e WHERE e.customer_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM customer_plan_changes AS e WHERE e.customer_id = ${id})`;

const untouchedEntity = (id: SQL): SQL => sql`
  NOT EXISTS (SELECT 1 FROM events AS e WHERE e.entity_id = ${id} AND e.type NOT IN ('plan.created', 'ip_pool.created'))
  AND NOT EXISTS (SELECT 1 FROM customers AS e WHERE e.service_plan_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM customer_plan_changes AS e WHERE e.from_plan_id = ${id} OR e.to_plan_id = ${id})
  AND NOT EXISTS (SELECT 1 FROM jobs AS j JOIN import_items AS e ON e.import_id = j.subject_id
    WHERE j.kind = 'import' AND j.finished_at IS NULL AND e.outcome = 'create' AND e.data ->> 'service_plan_id' = ${id})`;

async function takeBackCustomers(ctx: Context, job: JobRow, record: ImportRow, items: readonly Item[]): Promise<void> {
  const { orm } = ctx.db;
  const [lines] = chunkJson(items.map(item => String(item.line)));
  const these = sql`import_id = ${record.id} AND line IN (SELECT value FROM json_each(${lines}))`;
  const undone = sql`SELECT customer_id FROM ${import_items} WHERE ${these} AND outcome = 'undone'`;
  const mark = orm.run(sql`
    UPDATE import_items SET
      outcome = CASE WHEN ${untouchedCustomer(sql`import_items.customer_id`)} THEN 'undone' ELSE 'kept' END
    WHERE ${these}`);
  const explain = orm.run(sql`UPDATE import_items SET reason = ${KEPT} WHERE ${these} AND outcome = 'kept'`);
  const tell = insertEventsFrom(
    ctx,
    { type: 'customer.deleted', action: 'delete' },
    sql`SELECT id AS entity_id, id AS customer_id, json_object('deleted_at', json_array(NULL, ${toIso(ctx.now)})) AS changes
      FROM ${customers} WHERE id IN (${undone}) AND deleted_at IS NULL`,
  );
  const remove = orm
    .update(customers)
    .set({ deleted_at: toIso(ctx.now), updated_at: sql`max(${ctx.now}, ${customers.updated_at} + 1)` })
    .where(sql`${customers.id} IN (${undone}) AND ${customers.deleted_at} IS NULL`);
  const its_rows = sql`${provisioning.customer_id} IN (${undone}) AND ${provisioning.desired} IS NOT NULL`;
  const release = releaseRows(ctx, sql`${its_rows} AND ${provisioning.kind} = 'ppp_secret'`);
  // the import found no queue of it there: one that was made since goes
  const remove_others = dropRows(ctx, its_rows);
  const router_ids = record.router_id === null ? [] : [record.router_id];
  const count = (outcome: string): SQL =>
    sql`(SELECT count(*) FROM import_items WHERE import_id = ${record.id} AND outcome = ${outcome})`;
  const progress: Partial<JobRow> = {
    status: 'running',
    started_at: job.started_at ?? toIso(ctx.now),
    succeeded: count('undone') as never,
    failed: count('kept') as never,
  };
  const writes = [mark, explain, tell, remove, release, remove_others, ...raiseRevisions(ctx, router_ids)] as Write[];
  await commitProgress(ctx, job, progress, writes);
  await wakeProvisioning(ctx, router_ids);
}

/**
 * Of what was taken back, all that waits for no router any more. One that is switched off or has no bridge is waited for
 * no longer. Who is held by something that came up meanwhile (a device) stays deleted, as other customers are.
 */
async function forgetCustomers(ctx: Context, record: ImportRow): Promise<{ waiting: number; given_up: string[] }> {
  const { orm } = ctx.db;
  const undone = sql`SELECT customer_id FROM ${import_items} WHERE import_id = ${record.id} AND outcome = 'undone'`;
  const open = sql`p.customer_id IN (${undone}) AND (p.status <> 'in_sync' OR p.desired IS NOT NULL)`;
  const gone = sql`(r.is_active = 0 OR r.bridge_id IS NULL)`;
  const of_routers = sql`provisioning AS p JOIN routers AS r ON r.id = p.router_id`;
  const waits = sql`SELECT p.customer_id FROM ${of_routers} WHERE ${open} AND NOT ${gone}`;
  const held = ['provisioning', 'devices', 'payments', 'invoices', 'receipts', 'tickets', 'customer_plan_changes'].map(
    table => sql`EXISTS (SELECT 1 FROM ${sql.raw(table)} AS h WHERE h.customer_id = customers.id)`,
  );
  const [given_up] = await runTogether(ctx.db, [
    orm.all<{ name: string }>(sql`SELECT DISTINCT r.name AS name FROM ${of_routers} WHERE ${open} AND ${gone}`),
  ]);
  await commit(ctx, [
    orm.run(sql`DELETE FROM provisioning WHERE customer_id IN (${undone}) AND customer_id NOT IN (${waits})`),
    orm.run(sql`DELETE FROM usage_daily WHERE customer_id IN (${undone}) AND customer_id NOT IN (${waits})`),
    orm.run(sql`DELETE FROM customers WHERE id IN (${undone}) AND deleted_at IS NOT NULL
      AND NOT (${sql.join(held, sql` OR `)})`),
  ]);
  const [[left]] = await runTogether(ctx.db, [
    orm.all<{ count: number }>(sql`SELECT count(DISTINCT customer_id) AS count FROM (${waits})`),
  ]);
  return { waiting: left!.count, given_up: given_up.map(({ name }) => name) };
}

/** A router that is away holds it up as long as it is: soon at first, then as the sweep comes round. */
async function lookAgain(ctx: Context, job: JobRow): Promise<void> {
  // the sweep takes the oldest first: this one steps behind the others that stand still
  await commitProgress(ctx, job, { status: 'running' });
  const waited_s = (ctx.now - Date.parse(job.started_at ?? job.created_at)) / 1000;
  if (waited_s > 120) return;
  const message = { tenant_id: ctx.tenant.id, kind: 'import_undo' as const, job_id: job.id };
  await ctx.env.JOBS_QUEUE.send(message, { delaySeconds: Math.ceil(1 + waited_s / 2) });
}

/** Plans that undone imports of this router made on the way. Names of those that stay. */
async function deletePlans(ctx: Context, record: ImportRow): Promise<string[]> {
  if (record.kind !== 'secrets') return [];
  const made = sql`${service_plans.id} IN (SELECT value FROM imports, json_each(imports.plan_ids)
    WHERE imports.router_id IS ${record.router_id} AND imports.undone_at IS NOT NULL)`;
  const is_free = untouchedEntity(sql`${service_plans.id}`);
  const [all, free] = await read(
    ctx,
    ctx.db.orm.select().from(service_plans).where(made),
    ctx.db.orm.select({ id: service_plans.id }).from(service_plans).where(and(made, is_free)),
  );
  const gone = new Set(free.map(plan => plan.id));
  const removal = removeUntouched(ctx, service_plans, 'plan', all.filter(plan => gone.has(plan.id))); // prettier-ignore
  await commit(ctx, removal.writes, ...removal.events);
  return all
    .filter(plan => !gone.has(plan.id))
    .map(plan => plan.name)
    .sort();
}

/** All of them, or the step is taken again: somebody began to use one. */
function removeUntouched(
  ctx: Context,
  table: typeof service_plans | typeof ip_pools,
  what: 'plan' | 'ip_pool',
  rows: readonly { id: string }[],
): { writes: Write[]; events: NewEvent[] } {
  const ids = sql`SELECT value FROM json_each(${JSON.stringify(rows.map(row => row.id))})`;
  const still_free = sql`(SELECT count(*) FROM ${table} WHERE ${table.id} IN (${ids})
    AND ${untouchedEntity(sql`${table.id}`)}) = ${rows.length}`;
  const events = rows.map((row): NewEvent => ({
    type: `${what}.deleted`,
    action: 'delete',
    entity_id: row.id,
    changes: deletedChanges(row as Record<string, unknown>),
  })); // prettier-ignore
  const removal = ctx.db.orm.delete(table).where(sql`${table.id} IN (${ids})`);
  return { writes: rows.length > 0 ? [mustHold(still_free, new RaceLost()), removal] : [], events };
}

/** Plans or pools: each is deleted, or kept, at once. */
async function takeBackEntities(ctx: Context, job: JobRow, record: ImportRow, items: readonly Item[]): Promise<void> {
  const table = record.kind === 'profiles' ? service_plans : ip_pools;
  const what = record.kind === 'profiles' ? 'plan' : 'ip_pool';
  const [ids] = chunkJson(items.map(item => JSON.stringify(item.entity_id)));
  const [free] = (await read(
    ctx,
    ctx.db.orm
      .select()
      .from(table)
      .where(and(sql`${table.id} IN (SELECT value FROM json_each(${ids}))`, untouchedEntity(sql`${table.id}`))),
  )) as [{ id: string }[]];
  const gone = new Set(free.map(row => row.id));
  const mark = (outcome: 'undone' | 'kept', reason: string | null, list: readonly Item[]): Write[] =>
    list.length === 0
      ? []
      : [
          ctx.db.orm
            .update(import_items)
            .set({ outcome, ...(reason && { reason }) })
            .where(
              and(
                eq(import_items.import_id, record.id),
                sql`${import_items.line} IN (SELECT value FROM json_each(${JSON.stringify(list.map(item => item.line))}))`,
              ),
            ),
        ];
  const [undone, kept] = [
    items.filter(item => gone.has(item.entity_id!)),
    items.filter(item => !gone.has(item.entity_id!)),
  ];
  const release = record.kind === 'pools' ? releasePools(ctx, record.router_id, free) : [];
  const removal = removeUntouched(ctx, table, what, free);
  const progress: Partial<JobRow> = {
    status: 'running',
    started_at: job.started_at ?? toIso(ctx.now),
    succeeded: job.succeeded + undone.length,
    failed: job.failed + kept.length,
  };
  const writes = [...removal.writes, ...release, ...mark('undone', null, undone), ...mark('kept', KEPT, kept)];
  await commitProgress(ctx, job, progress, writes, ...removal.events);
  if (release.length > 0) await wakeProvisioning(ctx, [record.router_id!]);
}

/** The routers keep what they had, without our marker. */
function releasePools(ctx: Context, router_id: string | null, pools: readonly { id: string }[]): Write[] {
  if (router_id === null || pools.length === 0) return [];
  const names = sql`SELECT value FROM json_each(${JSON.stringify((pools as readonly IpPoolRow[]).map(pool => pool.name))})`;
  const rows = sql`${provisioning.router_id} = ${router_id} AND ${provisioning.kind} = 'ip_pool'
    AND ${provisioning.desired} IS NOT NULL AND ${provisioning.key} IN (${names})`;
  return [releaseRows(ctx, rows), ...raiseRevisions(ctx, [router_id])];
}

interface Left {
  given_up: readonly string[];
  kept_plans: readonly string[];
}

async function finish(ctx: Context, job: JobRow, record: ImportRow, left: Left): Promise<void> {
  const [kept] = await read(
    ctx,
    ctx.db.orm
      .select({ line: import_items.line, name: import_items.name })
      .from(import_items)
      .where(and(eq(import_items.import_id, record.id), inArray(import_items.outcome, ['kept'])))
      .orderBy(import_items.line)
      .limit(100),
  );
  const done: Partial<JobRow> = {
    status: 'completed',
    finished_at: toIso(ctx.now),
    errors: [...left.given_up, ...kept.map(({ line, name }) => `line ${line}: "${name}": ${KEPT}`)].slice(0, 100),
    result: { kept_plans: left.kept_plans },
  };
  await commitProgress(ctx, job, done, [], {
    type: 'import.undo_completed',
    action: 'update',
    entity_id: record.id,
    data: { undone: job.succeeded, kept: job.failed },
  });
}
