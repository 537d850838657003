import { sql, type SQL } from 'drizzle-orm';
import { AppError } from '../../errors.ts';

/** One import or undo of a router at a time: each leans on what the one before has made or taken back. */

/** Selects a row while one of this router isn't finished; of no router, never. */
export const unfinishedImport = (router_id: string | null): SQL => sql`
  SELECT 1 FROM imports AS i JOIN jobs AS j ON j.id IN (i.job_id, i.undo_job_id)
  WHERE i.router_id = ${router_id} AND j.finished_at IS NULL`;

export const stillRuns = () =>
  new AppError('CONFLICT', 'Another import of this router, or its undoing, still runs: wait for its job to end.');
