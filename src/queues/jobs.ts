import type { Ambient, Context } from '../context.ts';
import { checkDrift } from '../jobs/check-drift.ts';
import { runDaily } from '../jobs/daily.ts';
import { runImportJob } from '../jobs/import-secrets.ts';
import { reseal } from '../jobs/reseal.ts';
import { runBilling } from '../jobs/run-billing.ts';
import { sweepTenant } from '../jobs/sweep.ts';
import { runUndoJob } from '../jobs/undo-import.ts';
import { findTenant } from '../tenancy/directory.ts';
import { makeContext } from '../tenancy/enter.ts';
import { ensureTenantSchema } from '../tenancy/tenant-schema.ts';

/** Only wakes: what a job is to do, and how far it is, stands in its row. */
export type JobMessage = { tenant_id: string } & (
  | { kind: 'migrate' }
  | { kind: 'sweep' }
  | { kind: 'daily' }
  | { kind: 'reseal' }
  | { kind: 'drift'; router_id: string }
  | { kind: 'import' | 'import_undo' | 'billing_run'; job_id: string }
);

export async function handleJob(ambient: Ambient, message: JobMessage): Promise<void> {
  const { env, now } = ambient;
  const tenant = await findTenant(env, message.tenant_id, now);
  if (tenant?.status !== 'active') return;
  if (message.kind === 'migrate') return ensureTenantSchema(env, tenant);
  const ctx = await makeContext(ambient, tenant, { kind: 'job', name: message.kind });
  await runJob(ctx, message);
}

type OfDatabase = Exclude<JobMessage, { kind: 'migrate' }>;

function runJob(ctx: Context, message: OfDatabase): Promise<void> {
  switch (message.kind) {
    case 'sweep':
      return sweepTenant(ctx);
    case 'daily':
      return runDaily(ctx);
    case 'reseal':
      return reseal(ctx);
    case 'drift':
      return checkDrift(ctx, message.router_id);
    case 'billing_run':
      return runBilling(ctx, message.job_id);
    case 'import_undo':
      return runUndoJob(ctx, message.job_id);
    case 'import':
      return runImportJob(ctx, message.job_id);
  }
}
