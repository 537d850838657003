import { z } from 'zod';
import { addMonths, formatPeriod, parsePeriod } from '../../billing/periods.ts';
import type { Context } from '../../context.ts';
import { commit, nameMade } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import type { NewEvent } from '../../events/event.ts';
import { PeriodText } from '../../http/fields.ts';
import type { Resource } from '../../http/resource.ts';
import { businessDate, toIso } from '../../lib/time.ts';
import { findJob, Job, jobs, tellProgress, toJob, type JobRow } from '../jobs/index.ts';

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
  /** Only customers whom this import made. */
  import_id: string | null;
}

/** A run as it is stored; whoever commits it sends the message that wakes it. */
export function makeRun(ctx: Context, wanted: Pick<BillingRun, 'period' | 'reissue_void' | 'import_id'>): JobRow {
  const at = toIso(ctx.now);
  const run: BillingRun = { ...wanted, cursor: '', skipped: 0, passes: 0 };
  return {
    id: ctx.newId(),
    kind: 'billing_run',
    subject_id: wanted.import_id,
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
}

export const wakeRun = (ctx: Context, job_id: string): Promise<unknown> =>
  ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'billing_run', job_id });

export const runStarted = (job: JobRow): NewEvent => {
  const { period, reissue_void } = job.result as unknown as BillingRun;
  return { type: 'billing.run_started', action: 'create', entity_id: job.id, data: { period, reissue_void } };
};

/** All customers invoiced for another year are not taken back in a minute. */
const MOST_MONTHS_OFF = 12;

/** The job is stored before we answer; the message only wakes it. */
async function startRun(ctx: Context, sent: z.output<typeof RunInput>): Promise<JobRow> {
  // nothing of the rows: whether the user may still act, and whether this was asked before
  await read(ctx);
  const { period, reissue_void = false } = sent;
  const present = parsePeriod(businessDate(ctx));
  const [first, last] = [addMonths(present, -MOST_MONTHS_OFF), addMonths(present, MOST_MONTHS_OFF)].map(formatPeriod);
  if (period < first! || period > last!) throw invalidField('period', `is not between ${first} and ${last}`);
  const job = makeRun(ctx, { period, reissue_void, import_id: null });
  nameMade(ctx, job.id);
  await commit(ctx, [ctx.db.orm.insert(jobs).values(job)], runStarted(job));
  tellProgress(ctx, job);
  ctx.defer(wakeRun(ctx, job.id));
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
