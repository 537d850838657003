import { and, asc, eq, isNull } from 'drizzle-orm';
import type { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { logFailure } from '../../log.ts';
import { applyDesired } from '../../provisioning/apply.ts';
import { customers } from '../customers/table.ts';
import { routers } from '../routers/table.ts';
import type { CustomerProvisioning } from './schema.ts';
import { provisioning } from './table.ts';

/** What the routers hold for one customer. */

/** From best to worst. */
const SEVERITY = ['in_sync', 'pending', 'drifted', 'conflict', 'failed'] as const;

async function readItems(ctx: Context, customer_id: string) {
  const { orm } = ctx.db;
  const [[customer], items] = await read(
    ctx,
    orm
      .select({ id: customers.id, router_id: customers.router_id })
      .from(customers)
      .where(and(eq(customers.id, customer_id), isNull(customers.deleted_at))),
    orm
      .select({
        id: provisioning.id,
        router_id: provisioning.router_id,
        router_name: routers.name,
        kind: provisioning.kind,
        key: provisioning.key,
        desired: provisioning.desired,
        observed: provisioning.observed,
        observed_at: provisioning.observed_at,
        status: provisioning.status,
        attempts: provisioning.attempts,
        next_attempt_at: provisioning.next_attempt_at,
        last_error: provisioning.last_error,
        last_applied_at: provisioning.last_applied_at,
      })
      .from(provisioning)
      .innerJoin(routers, eq(routers.id, provisioning.router_id))
      .where(eq(provisioning.customer_id, customer_id))
      .orderBy(asc(provisioning.created_at), asc(provisioning.id)),
  );
  if (!customer) throw notFound('customer');
  return { customer, items };
}

export async function getProvisioning(
  ctx: Context,
  customer_id: string,
): Promise<z.input<typeof CustomerProvisioning>> {
  const { items } = await readItems(ctx, customer_id);
  const worst = Math.max(-1, ...items.map(item => SEVERITY.indexOf(item.status)));
  return { customer_id, status: SEVERITY[worst] ?? 'none', items };
}

/**
 * Applies now, and answers with what the router says that the customer is on. One that it has left is asked as well, and
 * isn't waited for: it may be the dead one that the customer was moved away from.
 */
export async function syncProvisioning(
  ctx: Context,
  customer_id: string,
): Promise<z.input<typeof CustomerProvisioning>> {
  const { customer, items } = await readItems(ctx, customer_id);
  // a router that confirmed that it holds nothing of the customer any more isn't asked again
  const open = items.filter(item => item.desired !== null || item.status !== 'in_sync');
  const router_ids = [...new Set(open.map(item => item.router_id))];
  const asked = new Map(router_ids.map(id => [id, applyDesired(ctx, id, customer_id)]));
  const present = asked.get(customer.router_id ?? '');
  const all = Promise.all(asked.values());
  ctx.defer(all.catch((error: unknown) => logFailure({ job: 'sync', tenant: ctx.tenant.slug, customer_id }, error)));
  const failures = (present ? [await present] : await all).map(result => result.failure);
  if (failures[0] && failures.every(failure => failure !== null)) throw failures[0];
  return getProvisioning(ctx, customer_id);
}
