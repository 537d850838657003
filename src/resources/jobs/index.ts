import { eq } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { during, exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { JOB_STATUSES, jobs, type JobRow } from './table.ts';

export { jobs, type JobRow } from './table.ts';

const JobStatus = z.enum(JOB_STATUSES);

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

const job_list = list({
  table: jobs,
  filters: {
    status: exactly(jobs.status, JobStatus),
    kind: exactly(jobs.kind, z.string().min(1).max(100)),
    created_at: during(jobs.created_at),
  },
  sort: ['created_at'],
  default_sort: '-created_at',
  fields: Object.keys(Job.shape),
});

export async function findJob(ctx: Context, id: string): Promise<JobRow> {
  const [[row]] = await read(ctx, ctx.db.orm.select().from(jobs).where(eq(jobs.id, id)));
  if (!row) throw notFound('job');
  return row;
}

export const jobsResource: Resource = {
  path: '/jobs',
  routes: {
    'GET /': endpoint({
      id: 'jobs.list',
      summary: 'List jobs',
      needs: 'jobs:read',
      query: job_list.query,
      returns: { list: Job },
      run: async (ctx, { query }) => {
        const { rows, total } = await job_list.readPage(ctx, query);
        return { rows: rows.map(toJob), total };
      },
    }),
    'GET /:id': endpoint({
      id: 'jobs.get',
      summary: 'How far a job is',
      needs: 'jobs:read',
      returns: { one: Job },
      run: async (ctx, { params }) => toJob(await findJob(ctx, params.id)),
    }),
  },
};
