import { sql, type SQL } from 'drizzle-orm';
import type { Standing } from '../auth/standing.ts';
import type { Context } from '../context.ts';
import { sessionIsOver, type Statement } from '../db/session.ts';
import type { Changes } from './event.ts';

/** The log as subscribers read it: events in their order, with the little of their rows that makes them readable. */

export interface LoggedEvent {
  seq: number;
  /** `customer.suspended` */
  type: string;
  entity_type: string;
  entity_id: string;
  customer_id: string | null;
  changes: Changes;
  data: Record<string, unknown>;
  /** What the entity's row says at the time of reading, whatever the event tells; null where it is gone. */
  facts: Record<string, unknown> | null;
  /** Epoch ms. */
  created_at: number;
}

interface Row extends Omit<LoggedEvent, 'changes' | 'data' | 'facts'> {
  changes: string;
  data: string;
  facts: string | null;
}

const isoOf = (column: SQL): SQL => sql`strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

/** Rows found by their key: one row read for each event. */
const FACTS = sql`CASE e.entity_type
  WHEN 'payment' THEN (SELECT json_object('amount', amount, 'status', status, 'due_date', due_date) FROM payments WHERE id = e.entity_id)
  WHEN 'invoice' THEN (SELECT json_object('number', number, 'total', total, 'status', status) FROM invoices WHERE id = e.entity_id)
  WHEN 'receipt' THEN (SELECT json_object('number', number, 'amount', amount, 'payment_method', payment_method) FROM receipts WHERE id = e.entity_id)
  WHEN 'ticket' THEN (SELECT json_object('ticket_number', ticket_number, 'title', title, 'status', status) FROM tickets WHERE id = e.entity_id)
  WHEN 'router' THEN (SELECT json_object('name', name) FROM routers WHERE id = e.entity_id)
  WHEN 'bridge' THEN (SELECT json_object('name', name) FROM bridges WHERE id = e.entity_id)
  WHEN 'device' THEN (SELECT json_object('device_name', device_name, 'device_type', device_type) FROM devices WHERE id = e.entity_id)
  WHEN 'alert' THEN (SELECT json_object('type', type, 'severity', severity, 'entity_type', entity_type,
    'entity_id', entity_id, 'message', message, 'opened_at', ${isoOf(sql`opened_at`)}, 'resolved_at', ${isoOf(sql`resolved_at`)}) FROM alerts WHERE id = e.entity_id)
  WHEN 'provisioning' THEN (SELECT json_object('router_name', name) FROM routers WHERE id = e.data ->> 'router_id')
  WHEN 'user' THEN (SELECT json_object('is_active', json(iif(is_active, 'true', 'false')), 'role', role, 'tokens_valid_from', tokens_valid_from) FROM users WHERE id = e.entity_id)
END`; // prettier-ignore

/** The next events after that seq. */
export const selectLogged = ({ db }: Context, after: number, most: number): Statement =>
  db.orm.all<Row>(sql`
    SELECT e.seq, e.type, e.entity_type, e.entity_id, e.customer_id, e.changes, e.data, e.created_at,
      json_patch(
        coalesce((SELECT json_object('customer_code', customer_code, 'customer_name', full_name)
          FROM customers WHERE id = e.customer_id), '{}'),
        coalesce(${FACTS}, '{}')) AS facts
    FROM events AS e WHERE e.seq > ${after} ORDER BY e.seq LIMIT ${most}`);

/** What `selectLogged` gave. */
export const readLogged = (rows: unknown): LoggedEvent[] =>
  (rows as Row[]).map(row => ({
    ...row,
    changes: JSON.parse(row.changes) as Changes,
    data: JSON.parse(row.data) as LoggedEvent['data'],
    facts: row.facts === '{}' || row.facts === null ? null : (JSON.parse(row.facts) as LoggedEvent['facts']),
  }));

/** The last event there is. */
export const selectHead = ({ db }: Context): Statement =>
  db.orm.all<{ head: number }>(sql`SELECT coalesce(max(seq), 0) AS head FROM events`);

export type StandingOf = Standing & { session_id: string };

/** Whether the users of sessions may still act, as `auth/standing.ts` asks. */
export const selectStandings = (
  { db }: Context,
  sessions: readonly { user_id: string; session_id: string }[],
): Statement =>
  db.orm.all<StandingOf>(sql`
    SELECT s.value ->> 1 AS session_id, u.is_active, u.role, u.tokens_valid_from,
      ${sessionIsOver(sql`(s.value ->> 1)`)} AS session_is_over
    FROM json_each(${JSON.stringify(sessions.map(({ user_id, session_id }) => [user_id, session_id]))}) AS s
    JOIN users AS u ON u.id = s.value ->> 0`);
