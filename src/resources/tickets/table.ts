import { sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, instant, timestamps } from '../../db/columns.ts';

export const TICKET_CATEGORIES = ['technical', 'billing', 'complaint', 'request'] as const;
export const TICKET_PRIORITIES = ['low', 'medium', 'high', 'urgent'] as const;
export const TICKET_STATUSES = ['open', 'in_progress', 'resolved', 'closed'] as const;

export const tickets = sqliteTable('tickets', {
  id: id(),
  ticket_number: text('ticket_number').notNull(),
  customer_id: text('customer_id').notNull(),
  title: text('title').notNull(),
  description: text('description').notNull(),
  category: text('category', { enum: TICKET_CATEGORIES }).notNull(),
  priority: text('priority', { enum: TICKET_PRIORITIES }).notNull(),
  status: text('status', { enum: TICKET_STATUSES }).notNull(),
  assigned_to: text('assigned_to'),
  resolved_at: instant('resolved_at'),
  closed_at: instant('closed_at'),
  resolution_notes: text('resolution_notes'),
  ...timestamps,
});
