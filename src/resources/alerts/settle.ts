import { and, eq, ne, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import type { Statement } from '../../db/session.ts';
import { insertEventsFrom } from '../../events/event.ts';
import { toIso } from '../../lib/time.ts';
import { alerts, type AlertRow } from './table.ts';

export type AlertSubject = Pick<AlertRow, 'type' | 'entity_type' | 'entity_id'>;

/**
 * Opens an alert, unless one of this type is open for this entity already; `when` narrows it further. The event that
 * tells of it is stored only where it was really opened.
 */
export function openAlert(
  ctx: Context,
  alert: AlertSubject & Pick<AlertRow, 'severity' | 'message'>,
  at_ms: number,
  when: SQL = sql`true`,
): Statement[] {
  const id = ctx.newId();
  const { type, severity, entity_type, entity_id, message } = alert;
  const insert = ctx.db.orm.run(sql`
    INSERT INTO ${alerts} (id, type, severity, entity_type, entity_id, message, status, opened_at, created_at, updated_at)
    SELECT ${id}, ${type}, ${severity}, ${entity_type}, ${entity_id}, ${message}, 'open', ${at_ms}, ${ctx.now}, ${ctx.now}
    WHERE ${when}
    ON CONFLICT (type, entity_id) WHERE status <> 'resolved' DO NOTHING`);
  const tell = insertEventsFrom(
    ctx,
    { type: 'alert.opened', action: 'create' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object(
      'status', json_array(NULL, status), 'type', json_array(NULL, type), 'severity', json_array(NULL, severity),
      'entity_type', json_array(NULL, entity_type), 'entity_id', json_array(NULL, entity_id),
      'message', json_array(NULL, message)) AS changes
      FROM ${alerts} WHERE id = ${id}`,
  );
  return [insert, tell];
}

/** Resolves what is open of this type for this entity, if anything is. */
export function resolveAlert(ctx: Context, { type, entity_id }: AlertSubject, at_ms: number, when?: SQL): Statement[] {
  const unresolved = and(eq(alerts.type, type), eq(alerts.entity_id, entity_id), ne(alerts.status, 'resolved'), when);
  const tell = insertEventsFrom(
    ctx,
    { type: 'alert.resolved', action: 'update' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object('status', json_array(status, 'resolved')) AS changes
      FROM ${alerts} WHERE ${unresolved}`,
  );
  const resolve = ctx.db.orm
    .update(alerts)
    .set({ status: 'resolved', resolved_at: toIso(at_ms), updated_at: sql`max(${ctx.now}, ${alerts.updated_at} + 1)` })
    .where(unresolved);
  return [tell, resolve as unknown as Statement];
}
