import { eq } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import { during, exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { Job, JobStatus, toJob } from './schema.ts';
import { jobs, type JobRow } from './table.ts';

export { commitProgress, tellProgress } from './progress.ts';
export { Job, toJob } from './schema.ts';
export { jobs, type JobRow } from './table.ts';

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
