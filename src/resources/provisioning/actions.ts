import { eq, sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { commit, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, notFound } from '../../errors.ts';
import { toIso } from '../../lib/time.ts';
import { routers } from '../routers/table.ts';
import { provisioning, type ProvisioningRow } from './table.ts';

async function findEntry(ctx: Context, id: string): Promise<ProvisioningRow> {
  const [[row]] = await read(ctx, ctx.db.orm.select().from(provisioning).where(eq(provisioning.id, id)));
  if (!row) throw notFound('entry');
  return row;
}

/** Due now, as if it had never been tried; its router is asked at once, however often that failed. */
async function raise(
  ctx: Context,
  row: ProvisioningRow,
  type: 'provisioning.retried' | 'provisioning.adopted',
  also: { adopt?: boolean } = {},
): Promise<ProvisioningRow> {
  const { id, router_id, customer_id, kind, key, status } = row;
  const fresh = updateRow(ctx, provisioning, row, {
    ...also,
    generation: sql`${provisioning.generation} + 1` as never,
    status: 'pending',
    attempts: 0,
    next_attempt_at: toIso(ctx.now),
    last_error: null,
  });
  const its_router = ctx.db.orm
    .update(routers)
    .set({ revision: sql`${routers.revision} + 1`, circuit: sql`NULL` })
    .where(eq(routers.id, router_id));
  const [rows] = await commit(ctx, [fresh, its_router], {
    type,
    action: 'update',
    entity_id: id,
    customer_id: customer_id ?? undefined,
    changes: {
      ...(status !== 'pending' && { status: [status, 'pending'] }),
      ...(also.adopt && { adopt: [row.adopt, true] }),
    },
    data: { router_id, kind, key },
    routers: [router_id],
  });
  return rows![0] as ProvisioningRow;
}

export const retryEntry = async (ctx: Context, id: string): Promise<ProvisioningRow> =>
  raise(ctx, await findEntry(ctx, id), 'provisioning.retried');

/** What stands on the router under that name, without our mark, becomes ours; where nothing must be there it goes. */
export async function adoptEntry(ctx: Context, id: string): Promise<ProvisioningRow> {
  const row = await findEntry(ctx, id);
  if (row.status !== 'conflict')
    throw new AppError('CONFLICT', `Nothing to adopt: its status is ${row.status}, not conflict.`);
  return raise(ctx, row, 'provisioning.adopted', { adopt: true });
}
