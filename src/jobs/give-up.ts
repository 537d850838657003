import { eq, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { RaceLost, updateRow } from '../db/commit.ts';
import { runTogether } from '../db/session.ts';
import { toIso } from '../lib/time.ts';
import { imports } from '../resources/imports/table.ts';
import { commitProgress, jobs, type JobRow } from '../resources/jobs/index.ts';
import { failImport } from './import-secrets.ts';

/** A job whose every try ended with an internal error: it ends, and says how to start it again. */

/** A run that stored something since then lives. */
const MOVES_WITHIN_MS = 2 * 60_000;

const STOPPED = 'It stopped with an internal error on our side, and nothing is lost:';

export async function giveUpJob(ctx: Context, job_id: string): Promise<void> {
  const [[job], [record]] = await runTogether(ctx.db, [
    ctx.db.orm.select().from(jobs).where(eq(jobs.id, job_id)),
    ctx.db.orm
      .select()
      .from(imports)
      .where(sql`${imports.id} = (SELECT subject_id FROM ${jobs} WHERE ${jobs.id} = ${job_id})`),
  ]);
  if (!job || job.finished_at !== null || Date.parse(job.updated_at) > ctx.now - MOVES_WITHIN_MS) return;
  try {
    if (job.kind === 'import_undo' && record) await stopUndo(ctx, job, record);
    else if (job.kind === 'billing_run') await stopRun(ctx, job);
    else
      await failImport(
        ctx,
        job,
        `${STOPPED} import again (of a router on the same day: with \`force\`). What was created stays, and isn’t created twice.`,
      );
  } catch (error) {
    // another run of it has just moved on
    if (!(error instanceof RaceLost)) throw error;
  }
}

/** The import counts as not undone, so that its undoing can be started again. */
async function stopUndo(ctx: Context, job: JobRow, record: typeof imports.$inferSelect): Promise<void> {
  const reason = `${STOPPED} POST /imports/${record.id}/undo starts it again, and goes on where it was.`;
  const ended: Partial<JobRow> = {
    status: 'failed',
    finished_at: toIso(ctx.now),
    errors: [...job.errors, reason].slice(-100),
  };
  const open = { undone_at: null, undo_job_id: null };
  await commitProgress(ctx, job, ended, [updateRow(ctx, imports, record, open)], {
    type: 'import.undo_failed',
    action: 'update',
    entity_id: record.id,
    changes: { undone_at: [record.undone_at, null], undo_job_id: [record.undo_job_id, null] },
    data: { reason },
  });
}

/** What was invoiced stays; the next run, or the daily job, goes on with who is left. */
async function stopRun(ctx: Context, job: JobRow): Promise<void> {
  const reason = `${STOPPED} POST /billing/run with the same period invoices who is left.`;
  const ended = { status: 'failed' as const, finished_at: toIso(ctx.now), errors: [...job.errors, reason].slice(-100) };
  await commitProgress(ctx, job, ended, [], {
    type: 'billing.run_failed',
    action: 'update',
    entity_id: job.id,
    data: { reason },
  });
}
