import { sql } from 'drizzle-orm';
import { integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, date, id, instant, json, timestamps } from '../../db/columns.ts';

export const CUSTOMER_STATUSES = ['pending_activation', 'active', 'suspended', 'terminated'] as const;
export const BILLING_TYPES = ['prepaid', 'postpaid'] as const;
export const CONNECTION_TYPES = ['pppoe', 'hotspot', 'static'] as const;
export const SUSPENSION_REASONS = ['overdue', 'manual', 'quota', 'abuse'] as const;

export const PAYMENT_STANDINGS = ['paid', 'pending', 'overdue'] as const;

export type CustomFields = Record<string, string | number | boolean | null>;

export const customers = sqliteTable('customers', {
  id: id(),
  customer_code: text('customer_code').notNull(),
  full_name: text('full_name').notNull(),
  nik: text('nik'),
  phone: text('phone'),
  phone_e164: text('phone_e164'),
  email: text('email'),
  address: text('address'),
  zone_id: text('zone_id'),
  rt: text('rt'),
  rw: text('rw'),
  kelurahan: text('kelurahan'),
  kecamatan: text('kecamatan'),
  city: text('city'),
  postal_code: text('postal_code'),
  latitude: real('latitude'),
  longitude: real('longitude'),
  /** Keys in R2. */
  photo_key: text('photo_key'),
  house_photo_key: text('house_photo_key'),
  status: text('status', { enum: CUSTOMER_STATUSES }).notNull(),
  service_plan_id: text('service_plan_id').notNull(),
  monthly_fee: integer('monthly_fee'),
  due_day: integer('due_day').notNull(),
  billing_type: text('billing_type', { enum: BILLING_TYPES }).notNull(),
  auto_isolir: bool('auto_isolir').notNull(),
  hold_until: date('hold_until'),
  suspension_reason: text('suspension_reason', { enum: SUSPENSION_REASONS }),
  /** The business date from which its status holds. */
  status_since: date('status_since'),
  installation_date: date('installation_date'),
  activation_date: date('activation_date'),
  termination_date: date('termination_date'),
  termination_reason: text('termination_reason'),
  last_payment_date: date('last_payment_date'),
  outstanding_balance: integer('outstanding_balance').notNull().default(0),
  credit_balance: integer('credit_balance').notNull().default(0),
  /** What of the outstanding balance is past its date. */
  overdue_balance: integer('overdue_balance').notNull().default(0),
  /** From the balances. */
  payment_status: text('payment_status')
    .$type<(typeof PAYMENT_STANDINGS)[number]>()
    .generatedAlwaysAs(sql``),
  /** Rises with each change of its dues and receipts: who decides on them is told when they changed meanwhile. */
  account_version: integer('account_version').notNull().default(0),
  router_id: text('router_id'),
  connection_type: text('connection_type', { enum: CONNECTION_TYPES }).notNull(),
  pppoe_username: text('pppoe_username'),
  /** Sealed. */
  pppoe_password: text('pppoe_password'),
  static_ip: text('static_ip'),
  onu_serial: text('onu_serial'),
  notes: text('notes'),
  custom_fields: json<CustomFields>('custom_fields').notNull(),
  search_text: text('search_text').notNull(),
  ...timestamps,
  deleted_at: instant('deleted_at'),
});

export const customer_plan_changes = sqliteTable('customer_plan_changes', {
  id: id(),
  customer_id: text('customer_id').notNull(),
  from_plan_id: text('from_plan_id').notNull(),
  to_plan_id: text('to_plan_id').notNull(),
  effective_date: date('effective_date').notNull(),
  reason: text('reason'),
  changed_by: text('changed_by'),
  /** Null while it waits for its date. */
  applied_at: instant('applied_at'),
  /** What the customer paid a month before and after it; null while it waits. */
  from_fee: integer('from_fee'),
  to_fee: integer('to_fee'),
  /** The invoice that charged it. */
  invoice_id: text('invoice_id'),
  ...timestamps,
});

export type CustomerRow = typeof customers.$inferSelect;
export type PlanChangeRow = typeof customer_plan_changes.$inferSelect;
