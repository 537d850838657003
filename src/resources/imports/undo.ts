import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, mustHold, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidTransition, notFound } from '../../errors.ts';
import { toIso } from '../../lib/time.ts';
import { jobs, toJob, type Job, type JobRow } from '../jobs/index.ts';
import { stillRuns, unfinishedImport } from './running.ts';
import { import_items, imports } from './table.ts';

/** Begins to take an import back; the job (jobs/undo-import.ts) does it. */
export async function undoImport(ctx: Context, id: string): Promise<z.input<typeof Job>> {
  const [[record], [its_job], [made]] = await read(
    ctx,
    ctx.db.orm.select().from(imports).where(eq(imports.id, id)),
    ctx.db.orm
      .select()
      .from(jobs)
      .where(sql`${jobs.id} = (SELECT job_id FROM ${imports} WHERE ${imports.id} = ${id})`),
    ctx.db.orm.all<{ count: number }>(
      sql`SELECT count(*) AS count FROM ${import_items} WHERE import_id = ${id} AND outcome = 'created'`,
    ),
  );
  if (!record || !its_job) throw notFound('import');
  if (record.dry_run) throw invalidTransition('A dry run made nothing that could be undone.');
  if (record.undone_at !== null) throw invalidTransition('The import is undone already.');
  if (its_job.finished_at === null) throw invalidTransition('The import still runs: wait for its job to end.');
  const at = toIso(ctx.now);
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'import_undo',
    subject_id: id,
    status: 'queued',
    total: made!.count,
    succeeded: 0,
    failed: 0,
    errors: [],
    result: null,
    created_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    started_at: null,
    finished_at: null,
    created_at: at,
    updated_at: at,
  };
  await commit(
    ctx,
    [
      mustHold(sql`NOT EXISTS (${unfinishedImport(record.router_id)})`, stillRuns()),
      ctx.db.orm.insert(jobs).values(job),
      updateRow(ctx, imports, record, { undone_at: at, undo_job_id: job.id }),
    ],
    {
      type: 'import.undone',
      action: 'update',
      entity_id: id,
      changes: { undone_at: [null, at], undo_job_id: [null, job.id] },
    },
  );
  ctx.defer(ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'import_undo', job_id: job.id }));
  return toJob(job);
}
