import { sql, type SQL } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import type { Statement } from '../../db/session.ts';
import { insertEventsFrom } from '../../events/event.ts';
import { alerts, type AlertRow } from './table.ts';

/**
 * Opens an alert for each of `rows` (which selects id, entity_id, message and at: epoch ms), unless one of this type is
 * open for its entity already. The event that tells of it is stored only where it was really opened.
 */
export function openAlerts(
  ctx: Context,
  { type, severity, entity_type }: Pick<AlertRow, 'type' | 'severity' | 'entity_type'>,
  rows: SQL,
): Statement[] {
  const insert = ctx.db.orm.run(sql`
    INSERT INTO ${alerts} (id, type, severity, entity_type, entity_id, message, status, opened_at, created_at, updated_at)
    SELECT id, ${type}, ${severity}, ${entity_type}, entity_id, message, 'open', at, ${ctx.now}, ${ctx.now}
    FROM (${rows}) WHERE true
    ON CONFLICT (type, entity_id) WHERE status <> 'resolved' DO NOTHING`);
  const tell = insertEventsFrom(
    ctx,
    { type: 'alert.opened', action: 'create' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object(
      'status', json_array(NULL, status), 'type', json_array(NULL, type), 'severity', json_array(NULL, severity),
      'entity_type', json_array(NULL, entity_type), 'entity_id', json_array(NULL, entity_id),
      'message', json_array(NULL, message)) AS changes
      FROM ${alerts} WHERE status = 'open' AND id IN (SELECT id FROM (${rows}))`,
  );
  return [insert, tell];
}

/** Resolves what is open of this type for the entities of `rows` (which selects entity_id and at: epoch ms). */
export function resolveAlerts(ctx: Context, type: AlertRow['type'], rows: SQL): Statement[] {
  const unresolved = sql`type = ${type} AND status <> 'resolved' AND entity_id IN (SELECT entity_id FROM (${rows}))`;
  const tell = insertEventsFrom(
    ctx,
    { type: 'alert.resolved', action: 'update' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object('status', json_array(status, 'resolved')) AS changes
      FROM ${alerts} WHERE ${unresolved}`,
  );
  const resolve = ctx.db.orm.run(sql`
    UPDATE alerts SET status = 'resolved', updated_at = max(${ctx.now}, alerts.updated_at + 1),
      resolved_at = (SELECT at FROM (${rows}) AS r WHERE r.entity_id = alerts.entity_id)
    WHERE ${unresolved}`);
  return [tell, resolve];
}
