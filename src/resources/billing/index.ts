import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, nameMade } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { endpoint } from '../../http/endpoint.ts';
import { PeriodText } from '../../http/fields.ts';
import type { Resource } from '../../http/resource.ts';
import { toIso } from '../../lib/time.ts';
import { selectSettings } from '../settings/index.ts';
import { findJob, Job, jobs, toJob, type JobRow } from '../jobs/index.ts';

const RunInput = z
  .strictObject({
    period: PeriodText,
    reissue_void: z.boolean().optional().describe('Also months whose invoice was voided. Default false.'),
  })
  .meta({ id: 'BillingRunInput' });

/** What a billing run is to do, and how far it is: the result of its job. */
export interface BillingRun {
  period: string;
  reissue_void: boolean;
  /** The last customer that was looked at in this pass. */
  cursor: string;
  /** Customers who changed while they were invoiced: the next pass is for them. */
  skipped: number;
  passes: number;
}

/** The job is stored before we answer; the message only wakes it. */
async function startRun(ctx: Context, sent: z.output<typeof RunInput>): Promise<JobRow> {
  await read(ctx, selectSettings(ctx));
  const at = toIso(ctx.now);
  const run: BillingRun = {
    period: sent.period,
    reissue_void: sent.reissue_void ?? false,
    cursor: '',
    skipped: 0,
    passes: 0,
  };
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'billing_run',
    subject_id: null,
    status: 'queued',
    total: 0,
    succeeded: 0,
    failed: 0,
    errors: [],
    result: { ...run },
    created_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    started_at: null,
    finished_at: null,
    created_at: at,
    updated_at: at,
  };
  nameMade(ctx, job.id);
  await commit(ctx, [ctx.db.orm.insert(jobs).values(job)], {
    type: 'billing.run_started',
    action: 'create',
    entity_id: job.id,
    data: { period: run.period, reissue_void: run.reissue_void },
  });
  ctx.defer(ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'billing_run', job_id: job.id }));
  return job;
}

export const billingResource: Resource = {
  path: '/billing',
  routes: {
    'POST /run': endpoint({
      id: 'billing.run',
      summary: 'Invoice all customers for a month',
      description:
        'Each gets one invoice, however often it is run. Who has no price is reported in the job’s errors. The daily job does this by itself, some days before each due date.',
      needs: 'billing:run',
      idempotency: { key: 'optional', again: async (ctx, id) => toJob(await findJob(ctx, id)) },
      body: RunInput,
      returns: { one: Job },
      status: 202,
      errors: ['CONFLICT'],
      run: async (ctx, { body }) => toJob(await startRun(ctx, body)),
    }),
  },
};
