import { createdChanges, diffChanges, type NewEvent } from '../events/event.ts';
import type { InvoiceRow } from '../resources/invoices/table.ts';
import type { PaymentRow } from '../resources/payments/table.ts';
import type { ReceiptRow } from '../resources/receipts/table.ts';

/** What the log can tell of dues and receipts. What follows from other columns is not told again. */

const DERIVED = ['period', 'updated_at'];

/** Columns of new rows that their events leave out: what follows from others, and what is long. */
export const UNTOLD_OF_PAYMENT = ['period'];
export const UNTOLD_OF_INVOICE = ['period', 'lines'];
export const UNTOLD_OF_RECEIPT = ['unallocated', 'idempotency_key'];

const tellable = <T extends object>(row: T): Record<string, unknown> =>
  Object.fromEntries(Object.entries(row).filter(([name]) => !DERIVED.includes(name)));

/** `receipt_id`: the money that it was settled with. */
export const paymentCreated = (payment: PaymentRow, receipt_id?: string): NewEvent => ({
  type: 'payment.created',
  action: 'create',
  entity_id: payment.id,
  customer_id: payment.customer_id,
  changes: createdChanges(tellable(payment)),
  ...(receipt_id && { data: { receipt_id } }),
});

/** `paid`, `voided`, `reopened`; a change of the amount alone is `updated`. */
export const paymentChanged = (
  before: PaymentRow,
  patch: Partial<PaymentRow>,
  happened: string,
  receipt_id?: string,
): NewEvent => ({
  type: `payment.${happened}`,
  action: 'update',
  entity_id: before.id,
  customer_id: before.customer_id,
  changes: diffChanges(before, patch, { ignore: DERIVED }),
  ...(receipt_id && { data: { receipt_id } }),
});

export const receiptVoided = (before: ReceiptRow, patch: Partial<ReceiptRow>): NewEvent => ({
  type: 'receipt.voided',
  action: 'update',
  entity_id: before.id,
  customer_id: before.customer_id,
  changes: diffChanges(before, patch, { ignore: DERIVED }),
});

export const invoiceVoided = (before: InvoiceRow, void_reason: string | null): NewEvent => ({
  type: 'invoice.voided',
  action: 'update',
  entity_id: before.id,
  customer_id: before.customer_id,
  changes: diffChanges(before, { status: 'void', void_reason }),
});
