import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, instant, json, timestamps } from '../../db/columns.ts';
import type { Changes } from '../../events/event.ts';

export const service_plans = sqliteTable('service_plans', {
  id: id(),
  name: text('name').notNull(),
  profile_name: text('profile_name').notNull(),
  description: text('description'),
  download_kbps: integer('download_kbps'),
  upload_kbps: integer('upload_kbps'),
  rate_limit: text('rate_limit'),
  price: integer('price'),
  billing_cycle: text('billing_cycle', { enum: ['monthly'] })
    .notNull()
    .default('monthly'),
  is_active: bool('is_active').notNull(),
  features: json<string[]>('features').notNull(),
  sort_order: integer('sort_order').notNull(),
  ...timestamps,
});

export const CONNECTION_MODES = ['pppoe', 'hotspot', 'static'] as const;

/** What holds a line to its speed: its PPP profile, or a simple queue of its own. */
export const SHAPINGS = ['profile', 'simple_queue'] as const;

/** One to one with a plan, where somebody set them: what the router needs beyond the speed. */
export const service_plan_settings = sqliteTable('service_plan_settings', {
  plan_id: text('plan_id').primaryKey(),
  burst_download_kbps: integer('burst_download_kbps'),
  burst_upload_kbps: integer('burst_upload_kbps'),
  burst_threshold_download_kbps: integer('burst_threshold_download_kbps'),
  burst_threshold_upload_kbps: integer('burst_threshold_upload_kbps'),
  burst_time_seconds: integer('burst_time_seconds'),
  priority: integer('priority').notNull(),
  queue_type: text('queue_type'),
  parent_queue: text('parent_queue'),
  address_pool: text('address_pool'),
  local_address: text('local_address'),
  dns_servers: json<string[]>('dns_servers').notNull(),
  connection_mode: text('connection_mode', { enum: CONNECTION_MODES }).notNull(),
  vlan_id: integer('vlan_id'),
  max_devices: integer('max_devices'),
  max_connections: integer('max_connections'),
  session_timeout: integer('session_timeout'),
  is_unlimited: bool('is_unlimited').notNull(),
  monthly_quota_gb: integer('monthly_quota_gb'),
  fup_threshold_gb: integer('fup_threshold_gb'),
  fup_download_kbps: integer('fup_download_kbps'),
  fup_upload_kbps: integer('fup_upload_kbps'),
  grace_period_days: integer('grace_period_days'),
  duration_days: integer('duration_days'),
  area_coverage: json<string[]>('area_coverage').notNull(),
  time_restrictions: json<Record<string, unknown>>('time_restrictions').notNull(),
  addons: json<unknown[]>('addons').notNull(),
  shaping: text('shaping', { enum: SHAPINGS }).notNull(),
  queue_name_template: text('queue_name_template').notNull(),
  auto_apply_to_router: bool('auto_apply_to_router').notNull(),
  /** Properties of the profile that were set once: emptied here, they are emptied on the routers. */
  managed: json<string[]>('managed').notNull(),
  ...timestamps,
});

/** The history of a plan: for people, beside the audit log. */
export const service_plan_changes = sqliteTable('service_plan_changes', {
  id: id(),
  plan_id: text('plan_id').notNull(),
  changed_by: text('changed_by'),
  changes: json<Changes>('changes').notNull(),
  effective_at: instant('effective_at').notNull(),
  ...timestamps,
});

export type PlanRow = typeof service_plans.$inferSelect;
export type PlanSettingsRow = typeof service_plan_settings.$inferSelect;

/** A plan, and what its settings say of the lines on it. */
export type PlanForLine = PlanRow &
  Pick<PlanSettingsRow, 'shaping' | 'is_unlimited' | 'queue_name_template' | 'address_pool'> & {
    /** Of its settings, epoch ms; null: nobody set any. */
    settings_updated_at: number | null;
  };

/** Settings of which nothing is set. */
export const UNSET_PLAN_SETTINGS: Omit<PlanSettingsRow, 'plan_id' | 'created_at' | 'updated_at'> = {
  burst_download_kbps: null,
  burst_upload_kbps: null,
  burst_threshold_download_kbps: null,
  burst_threshold_upload_kbps: null,
  burst_time_seconds: null,
  priority: 8,
  queue_type: null,
  parent_queue: null,
  address_pool: null,
  local_address: null,
  dns_servers: [],
  connection_mode: 'pppoe',
  vlan_id: null,
  max_devices: null,
  max_connections: null,
  session_timeout: null,
  is_unlimited: false,
  monthly_quota_gb: null,
  fup_threshold_gb: null,
  fup_download_kbps: null,
  fup_upload_kbps: null,
  grace_period_days: null,
  duration_days: null,
  area_coverage: [],
  time_restrictions: {},
  addons: [],
  shaping: 'profile',
  queue_name_template: '{customer_code}',
  auto_apply_to_router: true,
  managed: [],
};
