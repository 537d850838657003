import { z } from 'zod';
import { Id, Instant } from '../../http/fields.ts';
import { PROVISIONING_KINDS, PROVISIONING_STATUSES } from './table.ts';

export const Kind = z.enum(PROVISIONING_KINDS);
export const Status = z
  .enum(PROVISIONING_STATUSES)
  .describe('`in_sync`: the router confirmed it; `failed`: it, or we, could not: see `last_error`.');

const Desired = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
  .nullable()
  .describe('Null: must not be there.');

const item = {
  id: Id,
  router_id: Id,
  kind: Kind,
  key: z.string().describe('Its name on the router.'),
  desired: Desired,
  observed: z
    .record(z.string(), z.string())
    .nullable()
    .describe('What the router held of it when it was last seen; null: nothing, or never seen. No passwords.'),
  observed_at: Instant.nullable(),
  status: Status,
  attempts: z.int().describe('Tries since it was last confirmed.'),
  next_attempt_at: Instant.nullable(),
  last_error: z.string().nullable().describe('In the router’s own words where it has said something.'),
  last_applied_at: Instant.nullable().describe('When the router last confirmed it.'),
};

export const ProvisioningItem = z.object({ ...item, router_name: z.string() }).meta({ id: 'ProvisioningItem' });

export const ProvisioningEntry = z
  .object({
    ...item,
    customer_id: Id.nullable().describe('Null: the router’s own, like a pool.'),
    setup: z.string().nullable().describe('The set-up that it is part of.'),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'ProvisioningEntry' });

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
