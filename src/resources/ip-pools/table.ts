import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, instant, timestamps } from '../../db/columns.ts';

export const ip_pools = sqliteTable('ip_pools', {
  id: id(),
  router_id: text('router_id').notNull(),
  name: text('name').notNull(),
  /** As RouterOS writes them: `10.0.0.2-10.0.0.254,10.0.1.2`. */
  ranges: text('ranges').notNull(),
  next_pool: text('next_pool'),
  /** Addresses in the ranges. */
  size: integer('size').notNull(),
  /** Addresses that the router had given out when it was last read. */
  used: integer('used'),
  used_at: instant('used_at'),
  notes: text('notes'),
  ...timestamps,
});

export type IpPoolRow = typeof ip_pools.$inferSelect;
