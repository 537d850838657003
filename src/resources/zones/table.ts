import { sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, timestamps } from '../../db/columns.ts';

export const zones = sqliteTable('zones', {
  id: id(),
  name: text('name').notNull(),
  ...timestamps,
});
