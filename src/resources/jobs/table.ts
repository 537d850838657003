import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, instant, json, timestamps } from '../../db/columns.ts';

export const JOB_STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;

export const jobs = sqliteTable('jobs', {
  id: id(),
  kind: text('kind').notNull(),
  /** What the job works on: an import, say. */
  subject_id: text('subject_id'),
  status: text('status', { enum: JOB_STATUSES }).notNull(),
  total: integer('total').notNull().default(0),
  succeeded: integer('succeeded').notNull().default(0),
  failed: integer('failed').notNull().default(0),
  errors: json<string[]>('errors').notNull().default([]),
  result: json<Record<string, unknown>>('result'),
  created_by: text('created_by'),
  started_at: instant('started_at'),
  finished_at: instant('finished_at'),
  ...timestamps,
});

export type JobRow = typeof jobs.$inferSelect;
