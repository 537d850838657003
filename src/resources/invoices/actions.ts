import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { selectAccount, toAccount } from '../../billing/account.ts';
import { draftInvoice, termsOf, writeDrafts, type Refusal } from '../../billing/issue.ts';
import { parsePeriod } from '../../billing/periods.ts';
import { groupFacts, isServedIn, selectCandidates, selectFacts } from '../../billing/subscriptions.ts';
import { voidInvoice } from '../../billing/void.ts';
import type { Context } from '../../context.ts';
import { commit, mustHold, nameMade, RaceLost } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, invalidField, notFound } from '../../errors.ts';
import { customers } from '../customers/table.ts';
import { payments } from '../payments/table.ts';
import { selectSettings } from '../settings/index.ts';
import type { InvoiceInput } from './schema.ts';
import { invoices, type InvoiceRow } from './table.ts';

export const selectInvoice = (ctx: Context, id: string) =>
  ctx.db.orm.select().from(invoices).where(eq(invoices.id, id));

export async function getInvoice(ctx: Context, id: string): Promise<InvoiceRow> {
  const [[invoice]] = await read(ctx, selectInvoice(ctx, id));
  if (!invoice) throw notFound('invoice');
  return invoice;
}

const REFUSALS: Record<Refusal, [field: string, complaint: string]> = {
  unpriced: ['customer_id', 'names a customer whose plan has no price'],
  nothing_to_charge: ['period', 'has no day to charge: not served, suspended, or not known yet'],
  charged_already: ['period', 'is charged with the next month’s invoice already'],
};

/** One customer, one month, now. A voided month may be invoiced anew so. */
export async function createInvoice(ctx: Context, sent: z.output<typeof InvoiceInput>): Promise<InvoiceRow> {
  const period = parsePeriod(sent.period);
  const { customer_id: id, discount, discount_reason = null } = sent;
  const [[settings], [customer], [candidate], ...facts] = await read(
    ctx,
    selectSettings(ctx),
    ctx.db.orm.all(sql`SELECT 1 FROM customers WHERE id = ${id} AND deleted_at IS NULL`),
    selectCandidates(ctx, sql`${customers.id} = ${id} AND ${isServedIn(period)}`, '', 1),
    ...selectFacts(ctx, [id], period),
  );
  if (!customer) throw invalidField('customer_id', 'names no customer');
  if (!candidate) throw invalidField('customer_id', 'names a customer who is not served');
  const known = groupFacts(facts)(id);
  if (known.invoices.some(invoice => invoice.period === sent.period && invoice.status !== 'void'))
    throw new AppError('DUPLICATE_ENTRY', 'That month is invoiced already.', { period: ['is invoiced already'] });
  const terms = {
    ...termsOf(ctx, settings!),
    ...(discount !== undefined && { discount: { amount: discount, reason: discount_reason } }),
  };
  const draft = draftInvoice(ctx, candidate, known, period, terms);
  if (typeof draft === 'string') throw invalidField(...REFUSALS[draft]);
  if (discount !== undefined && draft.invoice.carried_over < 0)
    throw invalidField('discount', 'is more than what is charged');
  nameMade(ctx, draft.invoice.id);
  // skipped, where something of the customer changed meanwhile: then nothing at all is stored
  const issued = mustHold(sql`EXISTS (SELECT 1 FROM invoices WHERE id = ${draft.invoice.id})`, new RaceLost());
  const writes = writeDrafts(ctx, [draft], settings!.invoice_number_pattern);
  const results = await commit(ctx, [...writes, issued, selectInvoice(ctx, draft.invoice.id)]);
  return (results.at(-1) as [InvoiceRow])[0];
}

export async function takeBackInvoice(ctx: Context, id: string, reason: string): Promise<InvoiceRow> {
  const [[invoice], its_payments, ...account] = await read(
    ctx,
    selectInvoice(ctx, id),
    ctx.db.orm.select().from(payments).where(eq(payments.invoice_id, id)),
    ...selectAccount(ctx, sql`(SELECT customer_id FROM invoices WHERE id = ${id})`),
  );
  if (!invoice) throw notFound('invoice');
  return voidInvoice(ctx, toAccount(account), invoice, its_payments, reason);
}
