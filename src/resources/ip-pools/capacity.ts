import { sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { mustHold, type Write } from '../../db/commit.ts';
import { AppError } from '../../errors.ts';

/**
 * One more line must find an address in the plan's pool, or in those that follow it once it is full. A pool that the
 * office doesn't know isn't checked. Part of the line's batch, so that two can't take the last address.
 */
export function checkPoolRoom(
  ctx: Context,
  line: { id: string; router_id: string | null },
  address_pool: string | null,
): Write[] {
  if (address_pool === null || line.router_id === null) return [];
  const size = sql`
    WITH RECURSIVE chain (name, next_pool, size) AS (
      SELECT name, next_pool, size FROM ip_pools WHERE router_id = ${line.router_id} AND name = ${address_pool}
      UNION SELECT p.name, p.next_pool, p.size FROM ip_pools AS p JOIN chain ON p.name = chain.next_pool
      WHERE p.router_id = ${line.router_id}
    ) SELECT sum(size) FROM chain`;
  const taken = sql`
    SELECT count(*) FROM customers AS c JOIN service_plan_settings AS s ON s.plan_id = c.service_plan_id
    WHERE c.router_id = ${line.router_id} AND c.id <> ${line.id} AND c.deleted_at IS NULL AND c.static_ip IS NULL
      AND c.connection_type = 'pppoe' AND c.status IN ('active', 'suspended') AND s.address_pool = ${address_pool}`;
  const message = `Pool "${address_pool}" of the router has no address left for another line.`;
  return [mustHold(sql`coalesce((${taken}) < (${size}), 1)`, new AppError('CONFLICT', message))];
}
