import { z } from 'zod';
import type { Endpoint } from '../../http/definition.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { Difference } from '../../protocol/messages.ts';
import { DRIFT_STATES, findDrift, repairDrift } from '../../provisioning/drift.ts';

/** What a router holds against what it must hold. */

const State = z
  .enum(DRIFT_STATES)
  .describe(
    '`pending`: waits to be applied; `missing`, `differs`, `extra`: somebody changed it on the router; `conflict`: an ' +
      'entry of that name isn’t ours; `failed`: refused, in the router’s words.',
  );

const count = z.int().min(0);

const found = {
  state: State,
  error: z.string().nullable(),
  differences: z.array(Difference).describe('Of a password only that it differs.'),
};

const Drift = z
  .object({
    router_id: Id,
    checked_at: Instant,
    counts: z.object({
      in_sync: count,
      pending: count,
      missing: count,
      differs: count,
      extra: count,
      conflict: count,
      failed: count,
      strays: count,
    }),
    items: z
      .array(
        z.object({
          provisioning_id: Id,
          customer_id: Id,
          customer_code: z.string(),
          full_name: z.string(),
          kind: z.enum(['ppp_secret', 'simple_queue', 'hotspot_user', 'address_list']),
          key: z.string().describe('Its name on the router.'),
          ...found,
        }),
      )
      .describe('All lines that aren’t in sync.'),
    profiles: z.array(z.object({ name: z.string(), ...found })),
    strays: z
      .array(z.object({ menu: z.string(), name: z.string(), marker: z.string() }))
      .describe('Marked as ours on the router, and nothing that we know of. Left alone.'),
  })
  .meta({ id: 'Drift' });

const Reconcile = z
  .strictObject({
    mode: z
      .enum(['report', 'repair'])
      .describe('`report` only looks; `repair` makes what differs as it must be, and looks again. Conflicts stay.'),
  })
  .meta({ id: 'Reconcile' });

export const drift_routes: Record<string, Endpoint> = {
  'GET /:id/drift': endpoint({
    id: 'routers.drift',
    summary: 'Compare what a router holds with what it must hold',
    description: 'Live, and nothing is written on the router. 502 or 503 when it can’t be read: it is then unknown.',
    needs: 'routers:live',
    returns: { one: Drift },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
    run: (ctx, { params }) => findDrift(ctx, params.id),
  }),
  'POST /:id/reconcile': endpoint({
    id: 'routers.reconcile',
    summary: 'Report or repair what differs on a router',
    needs: 'routers:write',
    body: Reconcile,
    returns: { one: Drift },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE', 'CONFLICT'],
    run: (ctx, { params, body }) => (body.mode === 'repair' ? repairDrift(ctx, params.id) : findDrift(ctx, params.id)),
  }),
};
