import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, instant, json, timestamps } from '../../db/columns.ts';
import type { DesiredRow } from '../../provisioning/desired.ts';

/** `desired` of a customer's kinds refers to the plan by its profile's name; the others say all themselves. */
export const PROVISIONING_KINDS = [
  'ppp_secret',
  'simple_queue',
  'hotspot_user',
  'address_list',
  'ip_pool',
  'nat_rule',
  'filter_rule',
] as const;

export const PROVISIONING_STATUSES = ['pending', 'in_sync', 'drifted', 'conflict', 'failed'] as const;

/** What a router must hold for a customer, and what it confirmed. */
export const provisioning = sqliteTable('provisioning', {
  id: id(),
  /** Null: the router's own, like a pool. */
  customer_id: text('customer_id'),
  router_id: text('router_id').notNull(),
  kind: text('kind', { enum: PROVISIONING_KINDS }).notNull(),
  key: text('key').notNull(),
  /** The set-up that it is part of (`isolir`). */
  setup: text('setup'),
  /** Null: must not be there. Refers to the customer's sealed password, never holds it. */
  desired: json<DesiredRow['desired']>('desired'),
  adopt: bool('adopt').notNull(),
  /** Nothing is desired any more, and what is there is given back: only our marker goes, the profile's too. */
  is_released: bool('is_released').notNull().default(false),
  released_profile: text('released_profile'),
  generation: integer('generation').notNull(),
  observed_generation: integer('observed_generation').notNull(),
  /** What the router held of it when it was last seen: property → value; null: nothing. */
  observed: json<Record<string, string>>('observed'),
  observed_at: instant('observed_at'),
  /** Ours stands there, as far as was seen: confirmed once, and not confirmed to be gone since. */
  is_held: bool('is_held').notNull().default(false),
  secret_hash: text('secret_hash'),
  status: text('status', { enum: PROVISIONING_STATUSES }).notNull(),
  attempts: integer('attempts').notNull(),
  next_attempt_at: instant('next_attempt_at'),
  last_error: text('last_error'),
  last_applied_at: instant('last_applied_at'),
  ...timestamps,
});

export type ProvisioningRow = typeof provisioning.$inferSelect;

/** Of a row that no router was asked about yet. */
export const UNTRIED = {
  setup: null,
  adopt: false,
  is_released: false,
  released_profile: null,
  generation: 1,
  observed_generation: 0,
  observed: null,
  observed_at: null,
  is_held: false,
  secret_hash: null,
  status: 'pending',
  attempts: 0,
  next_attempt_at: null,
  last_error: null,
  last_applied_at: null,
} as const satisfies Partial<ProvisioningRow>;
