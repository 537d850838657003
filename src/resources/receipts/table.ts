import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { date, id, instant, timestamps } from '../../db/columns.ts';

export const RECEIPT_METHODS = ['cash', 'transfer', 'e-wallet', 'credit_card', 'gateway'] as const;

/** Money that came in. */
export const receipts = sqliteTable('receipts', {
  id: id(),
  number: text('number').notNull(),
  customer_id: text('customer_id').notNull(),
  amount: integer('amount').notNull(),
  /** What no due has been settled with: the customer's credit. */
  unallocated: integer('unallocated').notNull(),
  payment_method: text('payment_method', { enum: RECEIPT_METHODS }).notNull(),
  received_at: instant('received_at').notNull(),
  /** The day of it, on the tenant's calendar. */
  received_on: date('received_on').notNull(),
  received_by: text('received_by'),
  reference_number: text('reference_number'),
  notes: text('notes'),
  idempotency_key: text('idempotency_key'),
  gateway_charge_id: text('gateway_charge_id'),
  voided_at: instant('voided_at'),
  voided_on: date('voided_on'),
  voided_by: text('voided_by'),
  void_reason: text('void_reason'),
  ...timestamps,
});

/** Which due was settled with money of which receipt: one row for each paid payment, of its whole amount. */
export const receipt_allocations = sqliteTable('receipt_allocations', {
  receipt_id: text('receipt_id').notNull(),
  payment_id: text('payment_id').notNull(),
  amount: integer('amount').notNull(),
});

export type ReceiptRow = typeof receipts.$inferSelect;
export type AllocationRow = typeof receipt_allocations.$inferSelect;
