import { sql } from 'drizzle-orm';
import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { date, id, json, timestamps } from '../../db/columns.ts';

export const INVOICE_STATUSES = ['pending', 'paid', 'overdue', 'void'] as const;

export interface InvoiceLine {
  description: string;
  quantity: number;
  unit_price: number;
  amount: number;
}

/** What a customer was charged for one month. At most one that isn't void for each customer and period. */
export const invoices = sqliteTable('invoices', {
  id: id(),
  number: text('number').notNull(),
  customer_id: text('customer_id').notNull(),
  period_month: integer('period_month').notNull(),
  period_year: integer('period_year').notNull(),
  /** `2026-11`, of the two above: what lists filter by. */
  period: text('period').generatedAlwaysAs(sql``),
  issue_date: date('issue_date').notNull(),
  due_date: date('due_date').notNull(),
  /** The first day that it charges: may lie in the month before its period. */
  service_from: date('service_from').notNull(),
  /** As its payments say. */
  status: text('status', { enum: INVOICE_STATUSES }).notNull(),
  void_reason: text('void_reason'),
  subtotal: integer('subtotal').notNull(),
  tax_rate_bp: integer('tax_rate_bp').notNull(),
  tax: integer('tax').notNull(),
  total: integer('total').notNull(),
  lines: json<InvoiceLine[]>('lines').notNull(),
  /** What was to be deducted beyond what was charged (0 or less): the next invoice deducts it. */
  carried_over: integer('carried_over').notNull().default(0),
  /** The invoice that deducted it. */
  carried_to: text('carried_to'),
  ...timestamps,
});

export type InvoiceRow = typeof invoices.$inferSelect;
