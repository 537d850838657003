import { eq } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidTransition, notFound } from '../../errors.ts';
import { diffChanges } from '../../events/event.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { during, exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { toIso } from '../../lib/time.ts';
import { ALERT_STATUSES, ALERT_TYPES, alerts, type AlertRow } from './table.ts';

export { openAlerts, resolveAlerts } from './settle.ts';

export const Alert = z
  .object({
    id: Id,
    type: z.enum(ALERT_TYPES),
    severity: z.enum(['info', 'warning', 'critical']),
    entity_type: z.string().describe('`router`, `bridge`, `device`, …'),
    entity_id: Id,
    message: z.string(),
    status: z.enum(ALERT_STATUSES).describe('`resolved` by itself, once the cause is gone.'),
    opened_at: Instant,
    acknowledged_at: Instant.nullable(),
    acknowledged_by: Id.nullable(),
    resolved_at: Instant.nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Alert' });

const AlertChange = z
  .strictObject({ status: z.literal('acknowledged').describe('Somebody looks after it.') })
  .meta({ id: 'AlertChange' });

const alert_list = list({
  table: alerts,
  filters: {
    status: exactly(alerts.status, z.enum(ALERT_STATUSES)),
    type: exactly(alerts.type, z.enum(ALERT_TYPES)),
    entity_id: exactly(alerts.entity_id, Id),
    opened_at: during(alerts.opened_at),
  },
  sort: ['opened_at'],
  default_sort: '-opened_at',
  counter: 'alerts',
  fields: Object.keys(Alert.shape),
});

/** Acknowledging twice is acknowledging once; what is resolved needs nobody any more. */
async function acknowledge(ctx: Context, id: string): Promise<AlertRow> {
  const [[alert]] = await read(ctx, ctx.db.orm.select().from(alerts).where(eq(alerts.id, id)));
  if (!alert) throw notFound('alert');
  if (alert.status === 'resolved') throw invalidTransition('The alert is resolved already.');
  if (alert.status === 'acknowledged') return alert;
  const change: Partial<AlertRow> = {
    status: 'acknowledged',
    acknowledged_at: toIso(ctx.now),
    acknowledged_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
  };
  const [rows] = await commit(ctx, [updateRow(ctx, alerts, alert, change)], {
    type: 'alert.acknowledged',
    action: 'update',
    entity_id: id,
    changes: diffChanges(alert, change),
  });
  return rows![0] as AlertRow;
}

export const alertsResource: Resource = {
  path: '/monitoring/alerts',
  routes: {
    'GET /': endpoint({
      id: 'alerts.list',
      summary: 'List alerts',
      needs: 'monitoring:read',
      query: alert_list.query,
      returns: { list: Alert },
      run: (ctx, { query }) => alert_list.readPage(ctx, query),
    }),
    'PUT /:id': endpoint({
      id: 'alerts.update',
      summary: 'Acknowledge an alert',
      needs: 'alerts:acknowledge',
      body: AlertChange,
      returns: { one: Alert },
      errors: ['INVALID_TRANSITION', 'CONFLICT'],
      run: (ctx, { params }) => acknowledge(ctx, params.id),
    }),
  },
};
