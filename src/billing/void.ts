import { sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { mustHold, updateRow, type Write } from '../db/commit.ts';
import { inUse, invalidTransition } from '../errors.ts';
import { businessDate, toIso } from '../lib/time.ts';
import { invoices, type InvoiceRow } from '../resources/invoices/table.ts';
import { payments, type PaymentRow } from '../resources/payments/table.ts';
import { receipt_allocations, receipts, type ReceiptRow } from '../resources/receipts/table.ts';
import { actingUser, changeAccount, type Account } from './account.ts';
import { invoiceVoided, paymentChanged, receiptVoided } from './events.ts';

/** Taking back. Nothing is deleted: what was recorded stays, marked as void, with who and why. */

const freeAllocations = (ctx: Context, payment_ids: readonly string[]): Write[] =>
  payment_ids.length === 0
    ? []
    : [
        ctx.db.orm
          .delete(receipt_allocations)
          .where(
            sql`${receipt_allocations.payment_id} IN (SELECT value FROM json_each(${JSON.stringify(payment_ids)}))`,
          ),
      ];

const idsOf = (rows: readonly { id: string }[]): string[] => rows.map(row => row.id);

/** Dues that are owed no more; money that had settled them becomes credit. */
function closePayments(ctx: Context, rows: readonly PaymentRow[], void_reason: string | null) {
  const patch = { status: 'void' as const, void_reason };
  return {
    writes: [
      ...freeAllocations(ctx, idsOf(rows)),
      ...rows.map(row => updateRow(ignoreMatch(ctx), payments, row, patch)),
    ],
    events: rows.map(row => paymentChanged(row, patch, 'voided')),
    closed: idsOf(rows),
  };
}

/** If-Match speaks of the row that the request names, not of those that follow. */
const ignoreMatch = (ctx: Context): Context => ({ ...ctx, if_match: null });

/** Another invoice stands that was made on top of this one: made anew, this one would charge what that one has charged. */
const isBuiltOn = (invoice_id: string): SQL => sql`EXISTS (
  SELECT 1 FROM invoices AS v WHERE v.id = ${invoice_id} AND (v.carried_to IS NOT NULL OR EXISTS (
    SELECT 1 FROM customer_plan_changes AS c JOIN invoices AS w ON w.id = c.invoice_id
    WHERE c.customer_id = v.customer_id AND w.id <> v.id AND w.status <> 'void' AND c.applied_at >= v.created_at
      AND substr(c.effective_date, 1, 7) <= v.period)))`;

const BUILT_ON = inUse('A later invoice deducts or charges what follows from this one: void that one first.');

/** `invoice`: given where it was the last of its dues, and is void with it. */
export async function voidPayment(
  ctx: Context,
  account: Account,
  payment: PaymentRow,
  reason: string | null,
  invoice: InvoiceRow | null,
): Promise<PaymentRow> {
  if (payment.status === 'void') throw invalidTransition('It is void already.');
  const { writes, events, closed } = closePayments(ctx, [payment], reason);
  const with_invoice = invoice ? closeInvoice(ignoreMatch(ctx), invoice, reason) : { writes: [], events: [] };
  const { rows } = await changeAccount(ctx, account, {
    writes: [...with_invoice.writes, ...writes],
    events: [...with_invoice.events, ...events],
    closed,
  });
  return (rows.at(-1) as [PaymentRow])[0];
}

/** The second one gives its row. */
const closeInvoice = (ctx: Context, invoice: InvoiceRow, void_reason: string | null) => ({
  writes: [
    mustHold(sql`NOT ${isBuiltOn(invoice.id)}`, BUILT_ON),
    updateRow(ctx, invoices, invoice, { status: 'void', void_reason }),
  ],
  events: [invoiceVoided(invoice, void_reason)],
});

/** What its money had settled is owed again, each part by itself. */
export async function voidReceipt(
  ctx: Context,
  account: Account,
  receipt: ReceiptRow,
  settled: readonly PaymentRow[],
  reason: string,
): Promise<ReceiptRow> {
  if (receipt.voided_at !== null) throw invalidTransition('It is void already.');
  const reopened = settled.map(payment => ({ payment, patch: reopen(payment, businessDate(ctx)) }));
  const patch = {
    voided_at: toIso(ctx.now),
    voided_on: businessDate(ctx),
    voided_by: actingUser(ctx),
    void_reason: reason,
  };
  const { rows } = await changeAccount(ctx, account, {
    writes: [
      ...reopened.map(({ payment, patch: open }) => updateRow(ignoreMatch(ctx), payments, payment, open)),
      ...freeAllocations(ctx, idsOf(settled)),
      updateRow(ctx, receipts, { ...receipt }, { ...patch, unallocated: 0 }),
    ],
    reopened: reopened.map(({ payment, patch: open }) => ({ ...payment, ...open })),
    events: [
      ...reopened.map(({ payment, patch: open }) => paymentChanged(payment, open, 'reopened', receipt.id)),
      receiptVoided(receipt, patch),
    ],
  });
  return (rows.at(-1) as [ReceiptRow])[0];
}

const reopen = ({ due_date }: PaymentRow, date: string) => ({
  status: due_date < date ? ('overdue' as const) : ('pending' as const),
  owed_since: date,
  payment_date: null,
  payment_method: null,
  reference_number: null,
  processed_by: null,
});

/** Its dues are void with it; the period may be invoiced anew. */
export async function voidInvoice(
  ctx: Context,
  account: Account,
  invoice: InvoiceRow,
  its_payments: readonly PaymentRow[],
  reason: string,
): Promise<InvoiceRow> {
  if (invoice.status === 'void') throw invalidTransition('It is void already.');
  const open = its_payments.filter(payment => payment.status !== 'void');
  const with_dues = closePayments(ctx, open, reason);
  const { writes, events } = closeInvoice(ctx, invoice, reason);
  const { rows } = await changeAccount(ctx, account, {
    writes: [...writes, ...with_dues.writes],
    closed: with_dues.closed,
    events: [...with_dues.events, ...events],
  });
  return (rows[1] as [InvoiceRow])[0];
}
