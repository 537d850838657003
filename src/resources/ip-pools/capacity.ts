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
  const router = line.router_id;
  const chain = sql`
    WITH RECURSIVE chain (name, next_pool, size) AS (
      SELECT name, next_pool, size FROM ip_pools WHERE router_id = ${router} AND name = ${address_pool}
      UNION SELECT p.name, p.next_pool, p.size FROM ip_pools AS p JOIN chain ON p.name = chain.next_pool
      WHERE p.router_id = ${router}
    )`;
  const plans = sql`SELECT plan_id FROM service_plan_settings WHERE address_pool IN (SELECT name FROM chain)`;
  const has_room = sql`${chain} SELECT sum(size) > (
      SELECT count(*) FROM customers WHERE router_id = ${router} AND service_plan_id IN (${plans})
        AND status IN ('active', 'suspended') AND id <> ${line.id} AND deleted_at IS NULL AND static_ip IS NULL
        AND connection_type = 'pppoe') FROM chain`;
  const message = `Pool "${address_pool}" of the router has no address left for another line.`;
  return [mustHold(sql`coalesce((${has_room}), 1)`, new AppError('CONFLICT', message))];
}
