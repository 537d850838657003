import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, instant, json, timestamps } from '../../db/columns.ts';
import type { SecretState } from '../../protocol/messages.ts';

export const PROVISIONING_STATUSES = ['pending', 'in_sync', 'drifted', 'conflict', 'failed'] as const;

/** What a router must hold for a customer, and what it confirmed. */
export const provisioning = sqliteTable('provisioning', {
  id: id(),
  customer_id: text('customer_id').notNull(),
  router_id: text('router_id').notNull(),
  kind: text('kind', { enum: ['ppp_secret', 'simple_queue', 'hotspot_user', 'address_list'] }).notNull(),
  key: text('key').notNull(),
  /** Null: must not be there. Refers to the customer's sealed password, never holds it. */
  desired: json<SecretState>('desired'),
  adopt: bool('adopt').notNull(),
  /** Nothing is desired any more, and what is there is given back: only our marker goes, the profile's too. */
  is_released: bool('is_released').notNull().default(false),
  released_profile: text('released_profile'),
  generation: integer('generation').notNull(),
  observed_generation: integer('observed_generation').notNull(),
  secret_hash: text('secret_hash'),
  status: text('status', { enum: PROVISIONING_STATUSES }).notNull(),
  attempts: integer('attempts').notNull(),
  next_attempt_at: instant('next_attempt_at'),
  last_error: text('last_error'),
  last_applied_at: instant('last_applied_at'),
  ...timestamps,
});

export type ProvisioningRow = typeof provisioning.$inferSelect;
