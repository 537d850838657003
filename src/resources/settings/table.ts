import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { Role } from '../../auth/permissions.ts';
import { bool, id, json, timestamps } from '../../db/columns.ts';

/** The one row's id: fixed, so that it needs no look-up. */
export const SETTINGS_ID = '00000000-0000-7000-8000-000000000001';

export const settings = sqliteTable('settings', {
  id: id(),
  business_name: text('business_name').notNull(),
  phone: text('phone'),
  email: text('email'),
  address: text('address'),
  country: text('country').notNull().default('ID'),
  suspension_policy: text('suspension_policy', { enum: ['disable', 'isolir'] })
    .notNull()
    .default('disable'),
  isolir_profile: text('isolir_profile').notNull().default('isolir'),
  isolir_pool: text('isolir_pool').notNull().default('pool-isolir'),
  isolir_address_list: text('isolir_address_list').notNull().default('isolir'),
  isolir_download_kbps: integer('isolir_download_kbps').notNull().default(64),
  isolir_upload_kbps: integer('isolir_upload_kbps').notNull().default(64),
  invoice_number_pattern: text('invoice_number_pattern').notNull().default('INV/{year}/{month}/{number}'),
  receipt_number_pattern: text('receipt_number_pattern').notNull().default('KW/{year}/{month}/{number}'),
  invoice_days_before_due: integer('invoice_days_before_due').notNull().default(7),
  grace_days: integer('grace_days').notNull().default(3),
  /** Hundredths of a percent. */
  tax_rate_bp: integer('tax_rate_bp').notNull().default(0),
  bill_suspended_periods: bool('bill_suspended_periods').notNull().default(false),
  payment_instructions: text('payment_instructions'),
  allowed_origins: json<string[]>('allowed_origins').notNull().default([]),
  second_factor_roles: json<Role[]>('second_factor_roles').notNull().default([]),
  ...timestamps,
});

export type SettingsRow = typeof settings.$inferSelect;
