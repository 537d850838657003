import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, instant, json, timestamps } from '../../db/columns.ts';

export const IMPORT_KINDS = ['secrets', 'profiles', 'pools'] as const;

export const imports = sqliteTable('imports', {
  id: id(),
  job_id: text('job_id').notNull(),
  router_id: text('router_id'),
  kind: text('kind', { enum: IMPORT_KINDS }).notNull(),
  source: text('source', { enum: ['file', 'router'] }).notNull(),
  options: json<Record<string, unknown>>('options').notNull(),
  dry_run: bool('dry_run').notNull(),
  creates: integer('creates').notNull(),
  skips: integer('skips').notNull(),
  conflicts: integer('conflicts').notNull(),
  /** Plans that it made on the way. */
  plan_ids: json<string[]>('plan_ids').notNull().default([]),
  /** In R2: what was on the router before. */
  copy_key: text('copy_key'),
  undone_at: instant('undone_at'),
  undo_job_id: text('undo_job_id'),
  ...timestamps,
});

/** `create` waits for the job; `undone` was taken back, `kept` was not, since somebody works with it. */
export const ITEM_OUTCOMES = ['create', 'created', 'skip', 'conflict', 'failed', 'undone', 'kept'] as const;

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
  /** The plan or pool that was made. */
  entity_id: text('entity_id'),
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
