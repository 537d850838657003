import { z } from 'zod';
import type { Endpoint } from '../../http/definition.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { drift_found, DriftItem } from '../provisioning/index.ts';
import { findDrift, repairDrift } from '../../provisioning/drift.ts';

/** What a router holds against what it must hold. */

const count = z.int().min(0);

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
    items: z.array(DriftItem).describe('All entries that aren’t in sync.'),
    profiles: z.array(z.object({ name: z.string(), ...drift_found })),
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
