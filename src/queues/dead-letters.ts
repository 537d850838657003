import { sql } from 'drizzle-orm';
import type { Ambient, Context } from '../context.ts';
import { commit } from '../db/commit.ts';
import { insertEventsFrom } from '../events/event.ts';
import { giveUpJob } from '../jobs/give-up.ts';
import { retryDelay_ms, type Backoff } from '../lib/retry.ts';
import { Fault } from '../errors.ts';
import { logFailure } from '../log.ts';
import { findTenant } from '../tenancy/directory.ts';
import { makeContext } from '../tenancy/enter.ts';
import type { JobMessage } from './jobs.ts';
import type { ProvisioningMessage } from './wake.ts';

/** What failed each time it was tried is written to the rows that it is about: there people see it, and try it again. */

const STOPPED: Backoff = { first_ms: 10 * 60_000, most_ms: 6 * 60 * 60_000 };
/** Tries beyond which it waits no longer. */
const LONGEST_AT = 8;
/** What came up since the last try has a message of its own. */
const IS_NEW_MS = 30_000;

async function enter(ambient: Ambient, tenant_id: string, name: string): Promise<Context | null> {
  const tenant = await findTenant(ambient.env, tenant_id, ambient.now);
  return tenant?.status === 'active' ? makeContext(ambient, tenant, { kind: 'job', name }) : null;
}

/** Each row waits by itself, so that one that can't be handled doesn't stop the others of its router for ever. */
export async function buryProvisioning(ambient: Ambient, { tenant_id, router_id }: ProvisioningMessage): Promise<void> {
  const ctx = await enter(ambient, tenant_id, 'provisioning');
  if (!ctx) return;
  const shortest_ms = Array.from({ length: LONGEST_AT }, (_, attempts) => retryDelay_ms(attempts + 1, 0, STOPPED));
  const due = sql`router_id = ${router_id} AND status <> 'in_sync' AND next_attempt_at <= ${ctx.now - IS_NEW_MS}`;
  const tell = insertEventsFrom(
    ctx,
    { type: 'provisioning.stopped', action: 'update' },
    sql`SELECT id AS entity_id, customer_id, json_object('status', json_array(status, 'failed')) AS changes
      FROM provisioning WHERE ${due}`,
  );
  const stop = ctx.db.orm.run(sql`
    WITH waits AS (
      SELECT id, ${JSON.stringify(shortest_ms)} ->> min(attempts, ${sql.raw(String(LONGEST_AT - 1))}) AS shortest_ms
      FROM provisioning WHERE ${due}
    ), times AS MATERIALIZED (SELECT id, ${ctx.now} + shortest_ms + abs(random() % shortest_ms) AS at FROM waits)
    UPDATE provisioning SET status = 'failed', attempts = attempts + 1, next_attempt_at = times.at, updated_at = ${ctx.now},
      last_error = 'Applying it stopped with an internal error on our side. It is tried again at '
        || strftime('%Y-%m-%dT%H:%M:%SZ', times.at / 1000, 'unixepoch') || '.'
    FROM times WHERE provisioning.id = times.id`);
  await commit(ctx, [tell, stop]);
}

/** Rounds come again by themselves; what somebody started and waits for ends, and says so. */
export async function buryJob(ambient: Ambient, message: JobMessage): Promise<void> {
  logFailure({ queue: 'rukun-jobs-dead', ...message }, new Fault('given up: it failed each time it was tried'));
  if (!('job_id' in message)) return;
  const ctx = await enter(ambient, message.tenant_id, message.kind);
  if (ctx) await giveUpJob(ctx, message.job_id);
}
