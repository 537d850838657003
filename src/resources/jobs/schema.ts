import { z } from 'zod';
import { Id, Instant } from '../../http/fields.ts';
import { JOB_STATUSES, type JobRow } from './table.ts';

export const JobStatus = z.enum(JOB_STATUSES);

export const Job = z
  .object({
    id: Id,
    kind: z.string(),
    subject_id: Id.nullable().describe('What it works on: the import, for one.'),
    status: JobStatus,
    progress: z.int().min(0).max(100).describe('Percent of `total` that is done, well or not.'),
    total: z.int(),
    succeeded: z.int(),
    failed: z.int(),
    errors: z.array(z.string()),
    result: z.record(z.string(), z.unknown()).nullable(),
    created_by: Id.nullable(),
    started_at: Instant.nullable(),
    finished_at: Instant.nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Job' });

export function toJob(row: JobRow): z.input<typeof Job> {
  const done = row.succeeded + row.failed;
  const progress = row.status === 'completed' ? 100 : row.total === 0 ? 0 : Math.floor((done * 100) / row.total);
  return { ...row, progress };
}
