import { eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { AppError, notFound } from '../../errors.ts';
import { Id } from '../../http/fields.ts';
import { askRouter, checkReached } from '../../provisioning/ask-router.ts';
import { readRouter } from '../../provisioning/bridge-client.ts';
import { Freshness, freshnessOf } from '../../provisioning/freshness.ts';
import { listLiveRows, type LiveRow } from '../../provisioning/live-rows.ts';
import { bridges } from '../bridges/table.ts';
import { routers } from '../routers/table.ts';
import { customers } from './table.ts';

const LiveLine = z.object({
  session_id: z.string().nullable(),
  address: z.string().nullable(),
  caller_id: z.string().nullable(),
  uptime_seconds: z.int().nullable(),
  download_bps: z.int().nullable().describe('bit/s to the customer now; null: not known.'),
  upload_bps: z.int().nullable(),
  download_bytes: z.int().nullable().describe('Since the session began.'),
  upload_bytes: z.int().nullable(),
});

export const CustomerTraffic = z
  .object({
    customer_id: Id,
    ...Freshness.shape,
    is_online: z.boolean(),
    download_bps: z.int().nullable().describe('All sessions together; null: not known. 0 when offline.'),
    upload_bps: z.int().nullable(),
    sessions: z.array(LiveLine),
  })
  .meta({ id: 'CustomerTraffic' });

/** What flows through one customer's line now. When the router can't be read that is unknown: a refusal, never zeros. */
export async function readTraffic(
  ctx: Context,
  customer_id: string,
  max_age_s: number,
): Promise<z.input<typeof CustomerTraffic>> {
  const { orm } = ctx.db;
  const its_router = sql`(SELECT router_id FROM ${customers} WHERE ${customers.id} = ${customer_id})`;
  const its_bridge = sql`(SELECT bridge_id FROM ${routers} WHERE ${routers.id} = ${its_router})`;
  const [[customer], [router], [bridge]] = await read(
    ctx,
    orm.select().from(customers).where(eq(customers.id, customer_id)),
    orm
      .select()
      .from(routers)
      .where(sql`${routers.id} = ${its_router}`),
    orm
      .select()
      .from(bridges)
      .where(sql`${bridges.id} = ${its_bridge}`),
  );
  if (!customer || customer.deleted_at !== null) throw notFound('customer');
  // who has ended has no line any more, and the name may be another's
  const has_line = customer.status === 'active' || customer.status === 'suspended';
  const name = has_line && customer.connection_type === 'pppoe' ? customer.pppoe_username : null;
  if (!router || !name) throw new AppError('CONFLICT', 'The customer has no PPPoE line on a router.');
  const reached = checkReached(router, bridge);
  const question = { what: 'traffic' as const, name, most_age_ms: max_age_s * 1000 };
  const answer = await askRouter(ctx, reached, () => readRouter(ctx, reached, question));
  const sessions = listLiveRows(answer).map(toLine);
  return {
    customer_id,
    ...freshnessOf(ctx, answer.age_ms),
    is_online: sessions.length > 0,
    download_bps: sumKnown(sessions.map(each => each.download_bps)),
    upload_bps: sumKnown(sessions.map(each => each.upload_bps)),
    sessions,
  };
}

/** The router's rx is what the customer uploads. */
const toLine = (row: LiveRow) => ({
  session_id: row.text('session-id'),
  address: row.text('address'),
  caller_id: row.text('caller-id'),
  uptime_seconds: row.seconds('uptime'),
  download_bps: row.count('tx-bits-per-second'),
  upload_bps: row.count('rx-bits-per-second'),
  download_bytes: row.count('tx-byte'),
  upload_bytes: row.count('rx-byte'),
});

/** One that isn't known makes the sum unknown. */
const sumKnown = (values: readonly (number | null)[]): number | null =>
  values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0 as number | null);
