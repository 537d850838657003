import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { date } from '../../db/columns.ts';

/** What a customer's line did in one day of the tenant's; kept for ever. */
export const usage_daily = sqliteTable('usage_daily', {
  customer_id: text('customer_id').notNull(),
  date: date('date').notNull(),
  download_bytes: integer('download_bytes').notNull(),
  upload_bytes: integer('upload_bytes').notNull(),
  average_download_kbps: integer('average_download_kbps').notNull(),
  average_upload_kbps: integer('average_upload_kbps').notNull(),
  most_download_kbps: integer('most_download_kbps').notNull(),
  most_upload_kbps: integer('most_upload_kbps').notNull(),
  online_seconds: integer('online_seconds').notNull(),
});
