import { eq, sql, type SQL } from 'drizzle-orm';
import { countIssued, draftBatch, termsOf, writeDrafts, type Selection } from '../billing/issue.ts';
import { parsePeriod } from '../billing/periods.ts';
import { hasInvoice, isServedIn } from '../billing/subscriptions.ts';
import type { Context } from '../context.ts';
import { RaceLost } from '../db/commit.ts';
import { runTogether } from '../db/session.ts';
import { toIso } from '../lib/time.ts';
import type { BillingRun } from '../resources/billing/index.ts';
import { customers } from '../resources/customers/table.ts';
import { commitProgress, jobs, type JobRow } from '../resources/jobs/index.ts';
import { selectSettings, type SettingsRow } from '../resources/settings/index.ts';

/**
 * Invoices all customers for a month, some thousand at a time; each part is stored with how far it is, so that a run
 * that stops goes on there. Who changed while they were invoiced come in another pass.
 */

const MOST_RACES = 50;
/** Beyond it somebody changes customers faster than we can invoice them; the daily job finds who is left. */
const MOST_PASSES = 20;
const MOST_ERRORS = 100;

export async function runBilling(ctx: Context, job_id: string): Promise<void> {
  for (let races = 0; ;) {
    const [[job], [settings]] = await runTogether(ctx.db, [
      ctx.db.orm.select().from(jobs).where(eq(jobs.id, job_id)),
      selectSettings(ctx),
    ]);
    if (!job || job.finished_at !== null) return;
    try {
      await takePart(ctx, job, settings!);
    } catch (error) {
      // another delivery of the same message was faster: look again
      if (!(error instanceof RaceLost) || ++races > MOST_RACES) throw error;
    }
  }
}

function selectionOf({ period: text, reissue_void, import_id }: BillingRun): Selection {
  const period = parsePeriod(text);
  const made_by = sql`${customers.id} IN (SELECT customer_id FROM import_items WHERE import_id = ${import_id})`;
  const where = sql`${isServedIn(period)} AND NOT ${hasInvoice(period, { void_too: !reissue_void })}
    AND ${import_id === null ? sql`true` : made_by}`;
  return { where, periodOf: () => period, from: period };
}

async function takePart(ctx: Context, job: JobRow, settings: SettingsRow): Promise<void> {
  const run = job.result as unknown as BillingRun;
  if (job.started_at === null) return start(ctx, job, run);
  const batch = await draftBatch(ctx, selectionOf(run), termsOf(ctx, settings), run.cursor);
  if (batch.cursor === null) return finishPass(ctx, job, run);
  const issued = countIssued(batch.drafts);
  const is_first = run.passes === 0;
  const unpriced = is_first ? batch.unpriced : [];
  const reports = unpriced.map(
    ({ customer_code, plan_name }) => `${customer_code}: the plan "${plan_name}" has no price`,
  );
  const progress = {
    succeeded: sql`${jobs.succeeded} + ${issued}` as never,
    failed: job.failed + unpriced.length,
    errors: [...job.errors, ...reports].slice(0, MOST_ERRORS),
    result: resultAfter(
      { ...run, cursor: batch.cursor },
      sql`${run.skipped + batch.drafts.length} - ${issued}`,
    ) as never,
  };
  await commitProgress(ctx, job, progress, writeDrafts(ctx, batch.drafts, settings.invoice_number_pattern));
}

const resultAfter = (run: BillingRun, skipped: SQL): SQL =>
  sql`json_set(${JSON.stringify(run)}, '$.skipped', CAST(${skipped} AS INTEGER))`;

async function start(ctx: Context, job: JobRow, run: BillingRun): Promise<void> {
  const [[counted]] = await runTogether(ctx.db, [
    ctx.db.orm.all<{ total: number }>(
      sql`SELECT count(*) AS total FROM ${customers} WHERE deleted_at IS NULL AND ${selectionOf(run).where}`,
    ),
  ]);
  const started = { status: 'running' as const, started_at: toIso(ctx.now), total: counted!.total };
  await commitProgress(ctx, job, started);
}

async function finishPass(ctx: Context, job: JobRow, run: BillingRun): Promise<void> {
  if (run.skipped > 0 && run.passes < MOST_PASSES) {
    const next = { ...run, cursor: '', skipped: 0, passes: run.passes + 1 };
    await commitProgress(ctx, job, { result: next as never });
    return;
  }
  const done = { status: 'completed' as const, finished_at: toIso(ctx.now) };
  await commitProgress(ctx, job, done, [], {
    type: 'billing.run_completed',
    action: 'update',
    entity_id: job.id,
    data: { period: run.period, issued: job.succeeded, unpriced: job.failed },
  });
}
