import { and, asc, eq, isNull } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { AppError, notFound } from '../../errors.ts';
import { Id, Instant } from '../../http/fields.ts';
import { applyDesired } from '../../provisioning/apply.ts';
import { customers } from '../customers/table.ts';
import { routers } from '../routers/table.ts';
import { provisioning, PROVISIONING_KINDS, PROVISIONING_STATUSES } from './table.ts';

export { drift_found, DriftItem } from './drift-item.ts';

const Status = z.enum(PROVISIONING_STATUSES);

const ProvisioningItem = z
  .object({
    id: Id,
    router_id: Id,
    router_name: z.string(),
    kind: z.enum(PROVISIONING_KINDS),
    key: z.string().describe('Its name on the router.'),
    desired: z
      .record(z.string(), z.union([z.string(), z.boolean(), z.null()]))
      .nullable()
      .describe('Null: must not be there.'),
    status: Status,
    attempts: z.int().describe('Tries since it was last confirmed.'),
    next_attempt_at: Instant.nullable(),
    last_error: z.string().nullable().describe('In the router’s own words where it has said something.'),
    last_applied_at: Instant.nullable().describe('When the router last confirmed it.'),
  })
  .meta({ id: 'ProvisioningItem' });

type Item = z.input<typeof ProvisioningItem>;

export const CustomerProvisioning = z
  .object({
    customer_id: Id,
    status: z
      .enum([...PROVISIONING_STATUSES, 'none'])
      .describe(
        'The worst of the items; `in_sync` only when a router confirmed all of them, `none` when there are none.',
      ),
    items: z.array(ProvisioningItem),
  })
  .meta({ id: 'CustomerProvisioning' });

/** From best to worst. */
const SEVERITY = ['in_sync', 'pending', 'drifted', 'conflict', 'failed'] as const;

export async function getProvisioning(
  ctx: Context,
  customer_id: string,
): Promise<z.input<typeof CustomerProvisioning>> {
  const { orm } = ctx.db;
  const [[customer], items] = await read(
    ctx,
    orm
      .select({ id: customers.id })
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
  const worst = Math.max(-1, ...items.map(item => SEVERITY.indexOf(item.status)));
  return { customer_id, status: SEVERITY[worst] ?? 'none', items: items as Item[] };
}

/** Applies now, and answers with what the router says. */
export async function syncProvisioning(
  ctx: Context,
  customer_id: string,
): Promise<z.input<typeof CustomerProvisioning>> {
  const before = await getProvisioning(ctx, customer_id);
  let failure: AppError | null = null;
  // a router that confirmed that it holds nothing of the customer any more isn't asked again
  const open = before.items.filter(item => item.desired !== null || item.status !== 'in_sync');
  for (const router_id of new Set(open.map(item => item.router_id))) {
    const result = await applyDesired(ctx, router_id, customer_id);
    failure ??= result.failure;
  }
  if (failure) throw failure;
  return getProvisioning(ctx, customer_id);
}
