import { sql } from 'drizzle-orm';
import type { Block } from '../../durable-objects/rate-limiter/suspicion.ts';
import type { Ambient, Tenant } from '../context.ts';
import { commit, commitDirectory, mustHold } from '../db/commit.ts';
import { createdChanges } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import { findTenant, openDirectory } from '../tenancy/directory.ts';
import { makeContext } from '../tenancy/enter.ts';
import { limiterOf, type LimiterName } from './admission.ts';

/**
 * A block is the limiter's, since it must act at once; the log tells of it. Whoever caused it writes that, or whoever of that
 * address comes next: the limiter shows it until it is told that it stands there.
 */
export async function reportBlocks(ambient: Ambient, name: LimiterName, blocks: readonly Block[]): Promise<void> {
  const tenant_id = /^tenant:(.*)$/.exec(name)?.[1];
  const tenant = tenant_id === undefined ? null : await findTenant(ambient.env, tenant_id, ambient.now);
  // a provider that isn't active has a log that nobody writes
  if (tenant && tenant.status !== 'active') return;
  for (const block of blocks)
    if (tenant_id === undefined) await tellPlatform(ambient, block);
    else if (tenant) await tellTenant(ambient, tenant, block);
  await limiterOf(ambient, name).markReported(blocks.map(({ id }) => id));
}

const changesOf = ({ address, reason, user_id, blocked_at, ends_at }: Block) =>
  createdChanges({ address, reason, user_id, blocked_at: toIso(blocked_at), ends_at: toIso(ends_at) });

class ToldBefore extends Error {}

async function tellTenant(ambient: Ambient, tenant: Tenant, block: Block): Promise<void> {
  const ctx = await makeContext(ambient, tenant, { kind: 'job', name: 'door' });
  const is_new = sql`NOT EXISTS (SELECT 1 FROM events WHERE entity_id = ${block.id} AND action = 'create')`;
  const event = { type: 'block.created', action: 'create', entity_id: block.id, changes: changesOf(block) } as const;
  await commit(ctx, [mustHold(is_new, new ToldBefore())], event).catch((error: unknown) => {
    if (!(error instanceof ToldBefore)) throw error;
  });
}

async function tellPlatform(ambient: Ambient, block: Block): Promise<void> {
  const db = await openDirectory(ambient.env);
  const changes = JSON.stringify({ ...changesOf(block), id: [null, block.id] });
  await commitDirectory(db, [
    db.orm.run(sql`
      INSERT INTO platform_events (type, action, actor, actor_name, changes, ip_address, request_id, created_at)
      SELECT 'block.created', 'create', 'platform', 'door', ${changes}, ${ambient.ip}, ${ambient.request_id}, ${ambient.now}
      WHERE NOT EXISTS (
        SELECT 1 FROM platform_events
        WHERE created_at >= ${block.blocked_at} AND type = 'block.created' AND changes ->> '$.id[1]' = ${block.id})`),
  ]);
}
