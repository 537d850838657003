import { sql } from 'drizzle-orm';
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { date, id, timestamps } from '../../db/columns.ts';

export const PAYMENT_STATUSES = ['pending', 'paid', 'overdue', 'void'] as const;
export const PAYMENT_METHODS = ['cash', 'transfer', 'e-wallet', 'credit_card', 'gateway', 'credit'] as const;
export const PAYMENT_PURPOSES = ['monthly_subscription', 'installation', 'speed_boost', 'other'] as const;

/** One amount due, or settled. */
export const payments = sqliteTable('payments', {
  id: id(),
  customer_id: text('customer_id').notNull(),
  invoice_id: text('invoice_id'),
  parent_id: text('parent_id'),
  amount: integer('amount').notNull(),
  status: text('status', { enum: PAYMENT_STATUSES }).notNull(),
  void_reason: text('void_reason'),
  due_date: date('due_date').notNull(),
  /** The business date on which it was recorded, or opened again: grace days begin with it at the earliest. */
  owed_since: date('owed_since').notNull(),
  payment_date: date('payment_date'),
  payment_method: text('payment_method', { enum: PAYMENT_METHODS }),
  payment_for: text('payment_for', { enum: PAYMENT_PURPOSES }).notNull(),
  period_month: integer('period_month'),
  period_year: integer('period_year'),
  /** `2026-11`, of the two above: what lists filter by. */
  period: text('period').generatedAlwaysAs(sql``),
  reference_number: text('reference_number'),
  notes: text('notes'),
  processed_by: text('processed_by'),
  ...timestamps,
});

export type PaymentRow = typeof payments.$inferSelect;

/** In the words of the index `payments_open`, which SQLite takes for no others. */
export const is_open = sql`${payments.status} IN ('pending', 'overdue')`;
