import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, json, timestamps } from '../../db/columns.ts';

export const imports = sqliteTable('imports', {
  id: id(),
  job_id: text('job_id').notNull(),
  router_id: text('router_id'),
  kind: text('kind', { enum: ['secrets'] }).notNull(),
  source: text('source', { enum: ['file', 'router'] }).notNull(),
  options: json<Record<string, unknown>>('options').notNull(),
  dry_run: bool('dry_run').notNull(),
  creates: integer('creates').notNull(),
  skips: integer('skips').notNull(),
  conflicts: integer('conflicts').notNull(),
  ...timestamps,
});

/** `create` waits for the job; the others are ends. */
export const ITEM_OUTCOMES = ['create', 'created', 'skip', 'conflict', 'failed'] as const;

export const import_items = sqliteTable('import_items', {
  import_id: text('import_id').notNull(),
  /** In the file, from 1. */
  line: integer('line').notNull(),
  name: text('name').notNull(),
  outcome: text('outcome', { enum: ITEM_OUTCOMES }).notNull(),
  reason: text('reason'),
  /** What the job creates the customer from; its password is sealed for that customer already. */
  data: json<ItemData>('data'),
  customer_id: text('customer_id'),
});

export interface ItemData {
  full_name: string;
  service_plan_id: string;
  profile: string;
  disabled: boolean;
  static_ip: string | null;
  sealed_password: string | null;
  secret_hash: string | null;
}
