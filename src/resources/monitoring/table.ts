import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { instant, json } from '../../db/columns.ts';
import type { LineMeasurement } from '../../protocol/messages.ts';

/**
 * What the lines of one router moved in one round of measuring, packed: writing is what costs. Rows of 2 MB at most,
 * so a large router's lines come in parts.
 */
export const line_measurements = sqliteTable('line_measurements', {
  measured_at: instant('measured_at').notNull(),
  router_id: text('router_id').notNull(),
  /** The batch, and which part of it. */
  spool_id: text('spool_id').notNull(),
  number: integer('number').notNull(),
  part: integer('part').notNull(),
  lines: json<LineMeasurement[]>('lines').notNull(),
});
