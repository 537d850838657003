import type { Context } from '../../context.ts';
import { commit, updateRow, type Write } from '../../db/commit.ts';
import { tellOnce } from '../../events/announce.ts';
import type { NewEvent } from '../../events/event.ts';
import { toJob } from './schema.ts';
import { jobs, type JobRow } from './table.ts';

/** A job moves on: what it did and how far it is by now are one batch, and those who look on are told. */
export async function commitProgress(
  ctx: Context,
  job: JobRow,
  patch: Partial<JobRow>,
  writes: readonly Write[] = [],
  ...events: NewEvent[]
): Promise<void> {
  const results = await commit(ctx, [...writes, updateRow(ctx, jobs, job, patch)], ...events);
  tellProgress(ctx, results.at(-1)![0] as JobRow);
}

/** Of a job that was just stored. */
export function tellProgress(ctx: Context, job: JobRow): void {
  const { id, kind, status, progress, total, succeeded, failed } = toJob(job);
  tellOnce(ctx, 'job:progress', { id, kind, status, progress, total, succeeded, failed });
}
