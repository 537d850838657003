import { and, eq, gte, inArray, isNull, lt, ne, sql } from 'drizzle-orm';
import { currentKeys } from '../auth/sealing.ts';
import type { Ambient, Context } from '../context.ts';
import { commit } from '../db/commit.ts';
import { IDEMPOTENCY_MS, runTogether } from '../db/session.ts';
import { announce, wakeHub } from '../events/announce.ts';
import { toIso } from '../lib/time.ts';
import { selectDueRouters } from '../provisioning/apply.ts';
import { BRIDGE_SILENT_AFTER_MS, loseBridge } from '../provisioning/observe.ts';
import type { JobMessage } from '../queues/jobs.ts';
import { wakeProvisioning } from '../queues/wake.ts';
import { applyDuePlanChanges } from '../resources/customers/actions.ts';
import { bridges } from '../resources/bridges/table.ts';
import { jobs } from '../resources/jobs/index.ts';
import { line_measurements } from '../resources/monitoring/table.ts';
import { refresh_tokens } from '../resources/users/table.ts';
import { openDirectory, tenants } from '../tenancy/directory.ts';
import { settleHalfDoneSignUps } from '../tenancy/pool.ts';
import { isDailyDue } from './daily.ts';
import { selectUncheckedRouters } from './check-drift.ts';
import { TENANT_SCHEMA_VERSION } from '../tenancy/tenant-schema.ts';

/** The slow round that finds what lost messages and crashes left. It writes nothing for a tenant with nothing to do. */

/** For so long a provider that is no longer served is looked after: its hub may hold the directory's row for a while. */
const ENDED_LATELY_MS = 30 * 60_000;

export async function sweep(ambient: Ambient): Promise<void> {
  await settleHalfDoneSignUps(ambient);
  const db = await openDirectory(ambient.env);
  const [behind, active, ended] = await runTogether(db, [
    db.orm
      .select({ id: tenants.id })
      .from(tenants)
      .where(and(eq(tenants.status, 'active'), lt(tenants.schema_version, TENANT_SCHEMA_VERSION))),
    db.orm
      .select({
        id: tenants.id,
        timezone: tenants.timezone,
        daily_done_on: tenants.daily_done_on,
        sealing_kid: tenants.sealing_kid,
      })
      .from(tenants)
      .where(eq(tenants.status, 'active')),
    db.orm
      .select({ id: tenants.id, slug: tenants.slug })
      .from(tenants)
      .where(
        and(
          inArray(tenants.status, ['suspended', 'pending_deletion', 'deleted']),
          gte(tenants.updated_at, toIso(ambient.now - ENDED_LATELY_MS)),
        ),
      ),
  ]);
  for (const tenant of ended) wakeHub(ambient, tenant);
  const kid = active.length > 0 ? currentKeys(ambient).kid : null;
  await send(ambient, [
    ...behind.map(({ id }): JobMessage => ({ tenant_id: id, kind: 'migrate' })),
    ...active
      .filter(tenant => isDailyDue(tenant, ambient.now))
      .map(({ id }): JobMessage => ({ tenant_id: id, kind: 'daily' })),
    ...active
      .filter(({ sealing_kid }) => sealing_kid !== kid)
      .map(({ id }): JobMessage => ({ tenant_id: id, kind: 'reseal' })),
    ...active.map(({ id }): JobMessage => ({ tenant_id: id, kind: 'sweep' })),
  ]);
}

/** A batch of the queue holds a hundred messages. */
async function send({ env }: Ambient, messages: JobMessage[]): Promise<void> {
  for (let at = 0; at < messages.length; at += 100)
    await env.JOBS_QUEUE.sendBatch(messages.slice(at, at + 100).map(body => ({ body })));
}

/** How long a job may stand still before it is woken again. */
const STALLED_AFTER_MS = 2 * 60_000;

/** Measurements stay as they came for two days. */
const KEEP_MEASUREMENTS_MS = 48 * 60 * 60_000;

/** Refresh tokens are kept a week past their end, so that using a spent one is still noticed. */
const KEEP_TOKENS_MS = 7 * 24 * 60 * 60_000;

export async function sweepTenant(ctx: Context): Promise<void> {
  const stalled = and(
    inArray(jobs.status, ['queued', 'running']),
    // the directory says whose this is
    ne(jobs.kind, 'reseal'),
    isNull(jobs.finished_at),
    lt(jobs.updated_at, new Date(ctx.now - STALLED_AFTER_MS).toISOString()),
  );
  const long_over = toIso(ctx.now - KEEP_TOKENS_MS);
  const is_old = lt(line_measurements.measured_at, toIso(ctx.now - KEEP_MEASUREMENTS_MS));
  const is_silent = and(
    eq(bridges.status, 'online'),
    lt(bridges.last_heartbeat_at, toIso(ctx.now - BRIDGE_SILENT_AFTER_MS)),
  )!;
  const spent_keys = sql`created_at <= ${ctx.now - IDEMPOTENCY_MS}`;
  const [due, [stale], waiting, [old], silent, unchecked, [spent]] = await runTogether(ctx.db, [
    selectDueRouters(ctx),
    ctx.db.orm
      .select({ id: refresh_tokens.id })
      .from(refresh_tokens)
      .where(lt(refresh_tokens.expires_at, long_over))
      .limit(1),
    ctx.db.orm.select({ id: jobs.id, kind: jobs.kind }).from(jobs).where(stalled).orderBy(jobs.updated_at).limit(20),
    ctx.db.orm.select({ router_id: line_measurements.router_id }).from(line_measurements).where(is_old).limit(1),
    ctx.db.orm.select().from(bridges).where(is_silent),
    selectUncheckedRouters(ctx),
    ctx.db.orm.all(sql`SELECT 1 FROM idempotency_keys WHERE ${spent_keys} LIMIT 1`),
  ]);
  if (due.length > 0)
    await wakeProvisioning(
      ctx,
      due.map(row => row.router_id),
    );
  await send(
    ctx,
    unchecked.map(({ id }): JobMessage => ({ tenant_id: ctx.tenant.id, kind: 'drift', router_id: id })),
  );
  await send(
    ctx,
    waiting.map(({ id, kind }): JobMessage => {
      return { tenant_id: ctx.tenant.id, kind: kind as 'import' | 'import_undo' | 'billing_run', job_id: id };
    }),
  );
  if (stale) await commit(ctx, [ctx.db.orm.delete(refresh_tokens).where(lt(refresh_tokens.expires_at, long_over))]);
  if (old) await commit(ctx, [ctx.db.orm.delete(line_measurements).where(is_old)]);
  if (spent) await commit(ctx, [ctx.db.orm.run(sql`DELETE FROM idempotency_keys WHERE ${spent_keys}`)]);
  for (const bridge of silent)
    await commit(ctx, loseBridge(ctx, bridge, `it has not reported since ${bridge.last_heartbeat_at}`));
  await applyDuePlanChanges(ctx);
  // whatever of the log hasn't been brought on by now
  announce(ctx);
}
