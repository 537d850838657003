import { z } from 'zod';
import { endpoint } from '../../http/endpoint.ts';
import { Id, line } from '../../http/fields.ts';
import { exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { adoptEntry, retryEntry } from './actions.ts';
import { Kind, ProvisioningEntry, Status } from './schema.ts';
import { provisioning } from './table.ts';

export { getProvisioning, syncProvisioning } from './of-customer.ts';
export { drift_found, DriftItem } from './drift-item.ts';
export { CustomerProvisioning } from './schema.ts';

const entry_list = list({
  table: provisioning,
  filters: {
    router_id: exactly(provisioning.router_id, Id),
    customer_id: exactly(provisioning.customer_id, Id),
    kind: exactly(provisioning.kind, Kind),
    status: exactly(provisioning.status, z.enum(Status.options)),
    setup: exactly(provisioning.setup, line(100)),
  },
  sort: ['created_at'],
  default_sort: '-created_at',
  counter: 'provisioning',
  fields: Object.keys(ProvisioningEntry.shape),
  omit: ['secret_hash', 'released_profile', 'is_released', 'generation', 'observed_generation', 'is_held', 'adopt'],
});

export const provisioningResource: Resource = {
  path: '/provisioning',
  routes: {
    'GET /': endpoint({
      id: 'provisioning.list',
      summary: 'List what routers must hold, and what they confirmed',
      description: 'With `status=failed`, `conflict` or `drifted`: what isn’t as it should be.',
      needs: 'routers:read',
      query: entry_list.query,
      returns: { list: ProvisioningEntry },
      run: (ctx, { query }) => entry_list.readPage(ctx, query),
    }),
    'POST /:id/retry': endpoint({
      id: 'provisioning.retry',
      summary: 'Try an entry again now',
      description: 'Due at once and as if never tried; its router is asked even if it is left alone for a while.',
      needs: 'customers:sync',
      returns: { one: ProvisioningEntry },
      errors: ['CONFLICT'],
      run: (ctx, { params }) => retryEntry(ctx, params.id),
    }),
    'POST /:id/adopt': endpoint({
      id: 'provisioning.adopt',
      summary: 'Take over what stands on the router in the place of an entry',
      description:
        'Only of an entry in `conflict`: what has its name there, and isn’t marked as ours, is marked and made as it must be; of ' +
        'a secret the profile of its plan with it. Where nothing must be there, it is removed.',
      needs: 'routers:write',
      returns: { one: ProvisioningEntry },
      errors: ['CONFLICT'],
      run: (ctx, { params }) => adoptEntry(ctx, params.id),
    }),
  },
};
