import { eq, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { read } from '../db/session.ts';
import { pdfAnswer } from '../documents/answer.ts';
import { loadFonts } from '../documents/fonts.ts';
import { drawInvoice } from '../documents/invoice.ts';
import { drawReceipt } from '../documents/receipt.ts';
import type { Issuer, Recipient } from '../documents/paper.ts';
import { notFound } from '../errors.ts';
import { customers } from '../resources/customers/table.ts';
import { invoices } from '../resources/invoices/table.ts';
import { payments } from '../resources/payments/table.ts';
import { receipts } from '../resources/receipts/table.ts';
import { selectSettings, type SettingsRow } from '../resources/settings/index.ts';
import { parsePeriod } from './periods.ts';
import { wordsOf } from './words.ts';

/** Invoices and receipts on paper: what stands on them is read in one trip, and drawn anew each time. */

const issuerOf = ({ business_name, address, phone, email }: SettingsRow): Issuer => ({
  business_name,
  address,
  phone,
  email,
});

const selectRecipient = (ctx: Context, customer_id: SQL) =>
  ctx.db.orm
    .select({
      full_name: customers.full_name,
      customer_code: customers.customer_code,
      address: customers.address,
      phone: customers.phone,
    })
    .from(customers)
    .where(eq(customers.id, customer_id));

/** What all papers of a provider share. */
const headOf = (ctx: Context, settings: SettingsRow, customer: Recipient) => ({
  issuer: issuerOf(settings),
  customer,
  locale: ctx.tenant.locale,
  currency: ctx.tenant.currency,
});

export async function printInvoice(ctx: Context, id: string): Promise<Response> {
  const [[invoice], [settings], [customer], [settled]] = await read(
    ctx,
    ctx.db.orm.select().from(invoices).where(eq(invoices.id, id)),
    selectSettings(ctx),
    selectRecipient(ctx, sql`(SELECT customer_id FROM invoices WHERE id = ${id})`),
    ctx.db.orm.all<{ paid: number }>(
      sql`SELECT coalesce(sum(amount), 0) AS paid FROM payments WHERE invoice_id = ${id} AND status = 'paid'`,
    ),
  );
  if (!invoice) throw notFound('invoice');
  const { payment_instructions } = settings!;
  const paper = { ...headOf(ctx, settings!, customer!), ...invoice, paid: settled!.paid, payment_instructions };
  return pdfAnswer(await drawInvoice(paper, await loadFonts(ctx.env)), invoice.number);
}

/** Of a receipt, by its id or by a statement that gives it. */
export async function printReceipt(ctx: Context, id: string | SQL): Promise<Response> {
  const of_receipt = sql`(SELECT customer_id FROM receipts WHERE id = ${id})`;
  const [[receipt], [settings], [customer], settled, [receiver]] = await read(
    ctx,
    ctx.db.orm.select().from(receipts).where(eq(receipts.id, id)),
    selectSettings(ctx),
    selectRecipient(ctx, of_receipt),
    ctx.db.orm.all<SettledDue>(sql`
      SELECT p.payment_for, p.period, p.notes, p.due_date, p.amount, i.number FROM receipt_allocations AS a
      JOIN ${payments} AS p ON p.id = a.payment_id LEFT JOIN invoices AS i ON i.id = p.invoice_id
      WHERE a.receipt_id = ${id} ORDER BY p.due_date, p.id`),
    ctx.db.orm.all<{ name: string }>(
      sql`SELECT name FROM users WHERE id = (SELECT received_by FROM receipts WHERE id = ${id})`,
    ),
  );
  if (!receipt) throw notFound('receipt');
  const { locale } = ctx.tenant;
  const paper = {
    ...headOf(ctx, settings!, customer!),
    ...receipt,
    received_by: receiver?.name ?? null,
    settled: settled.map(due => ({ description: describeDue(due, locale), amount: due.amount })),
    credit: receipt.unallocated,
    voided: receipt.voided_on === null ? null : { on: receipt.voided_on, reason: receipt.void_reason },
  };
  return pdfAnswer(await drawReceipt(paper, await loadFonts(ctx.env)), receipt.number);
}

interface SettledDue {
  payment_for: string;
  period: string | null;
  notes: string | null;
  due_date: string;
  amount: number;
  number: string | null;
}

/** `INV/2026/11/0001, November 2026`, or what else it was for. */
function describeDue({ payment_for, period, notes, number }: SettledDue, locale: string): string {
  const words = wordsOf(locale);
  const what = number ?? notes?.split('\n')[0] ?? words.purposes[payment_for as keyof typeof words.purposes];
  return period === null ? what : words.month(what, parsePeriod(period));
}
