import { sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, instant, timestamps } from '../../db/columns.ts';

export const ALERT_TYPES = [
  'bandwidth',
  'device_offline',
  'router_offline',
  'bridge_offline',
  'low_stock',
  'backup_failed',
  'drift',
  'quota',
] as const;

export const ALERT_STATUSES = ['open', 'acknowledged', 'resolved'] as const;

/** What somebody must look at. The database holds at most one that isn't resolved for each type and entity. */
export const alerts = sqliteTable('alerts', {
  id: id(),
  type: text('type', { enum: ALERT_TYPES }).notNull(),
  severity: text('severity', { enum: ['info', 'warning', 'critical'] }).notNull(),
  entity_type: text('entity_type').notNull(),
  entity_id: text('entity_id').notNull(),
  message: text('message').notNull(),
  status: text('status', { enum: ALERT_STATUSES }).notNull(),
  opened_at: instant('opened_at').notNull(),
  acknowledged_at: instant('acknowledged_at'),
  acknowledged_by: text('acknowledged_by'),
  resolved_at: instant('resolved_at'),
  ...timestamps,
});

export type AlertRow = typeof alerts.$inferSelect;
