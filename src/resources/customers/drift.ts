import { and, eq, isNull } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { AppError, notFound } from '../../errors.ts';
import { Id, Instant } from '../../http/fields.ts';
import { toIso } from '../../lib/time.ts';
import { findLineDrift, selectOpenRouters } from '../../provisioning/drift.ts';
import { DriftItem } from '../provisioning/index.ts';
import { customers } from './table.ts';

/** What the routers hold of one customer against what they must hold, live. */

export const CustomerDrift = z
  .object({
    customer_id: Id,
    checked_at: Instant,
    routers: z.array(
      z.object({
        router_id: Id,
        router_name: z.string(),
        error: z.string().nullable().describe('Why it couldn’t be read: what it holds is then unknown.'),
        items: z.array(DriftItem),
      }),
    ),
  })
  .meta({ id: 'CustomerDrift' });

/** The routers are asked side by side: one that is away keeps nobody from hearing of the others. */
export async function findCustomerDrift(ctx: Context, id: string): Promise<z.input<typeof CustomerDrift>> {
  const [[customer], its_routers] = await read(
    ctx,
    ctx.db.orm
      .select({ id: customers.id })
      .from(customers)
      .where(and(eq(customers.id, id), isNull(customers.deleted_at))),
    selectOpenRouters(ctx, id),
  );
  if (!customer) throw notFound('customer');
  const routers = await Promise.all(
    its_routers.map(async ({ router_id, router_name }) => {
      const found = await findLineDrift(ctx, router_id, id).catch((error: unknown) => {
        if (error instanceof AppError) return error;
        throw error;
      });
      const [items, error] = found instanceof AppError ? [[], found.message] : [found, null];
      return { router_id, router_name, error, items };
    }),
  );
  return { customer_id: id, checked_at: toIso(ctx.now), routers };
}
