import { and, eq, ne, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { roleMay } from '../../auth/permissions.ts';
import { changeAccount, selectAccount, toAccount, type Account } from '../../billing/account.ts';
import { paymentCreated } from '../../billing/events.ts';
import { dueDateOf } from '../../billing/periods.ts';
import { creditOf, receiveMoney, recordPaid, useCredit, type Money } from '../../billing/receive.ts';
import { voidPayment } from '../../billing/void.ts';
import type { Context } from '../../context.ts';
import { checkIfMatch, nameMade } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, invalidField, invalidTransition, notFound } from '../../errors.ts';
import { businessDate, toIso } from '../../lib/time.ts';
import { invoices } from '../invoices/table.ts';
import { findReceiptByKey } from '../receipts/index.ts';
import { getPayment, selectPayment } from './queries.ts';
import type { CounterPayment, PaymentInput, PaymentStatusChange, SettledPayment, Settlement } from './schema.ts';
import { payments, type PaymentRow } from './table.ts';

type Sent = z.output<typeof PaymentInput>;

/** What was sent of money that came in. */
function moneyOf(ctx: Context, sent: Partial<Omit<Money, 'amount'>>, amount: number): Money {
  const payment_date = sent.payment_date ?? businessDate(ctx);
  if (payment_date > businessDate(ctx)) throw invalidField('payment_date', 'is in the future');
  return {
    amount,
    payment_method: sent.payment_method ?? 'cash',
    payment_date,
    reference_number: sent.reference_number ?? null,
    notes: sent.notes ?? null,
  };
}

function makePayment(ctx: Context, account: Account, sent: Sent): PaymentRow {
  const { period_month = null, period_year = null, payment_date = null } = sent;
  if ((period_month === null) !== (period_year === null))
    throw invalidField(period_month === null ? 'period_month' : 'period_year', 'is required with the other');
  const of_period =
    period_month === null ? null : dueDateOf({ month: period_month, year: period_year! }, account.line.customer);
  const at = toIso(ctx.now);
  return {
    id: ctx.newId(),
    customer_id: account.line.customer.id,
    invoice_id: null,
    parent_id: null,
    amount: sent.amount,
    status: 'pending',
    void_reason: null,
    due_date: sent.due_date ?? of_period ?? payment_date ?? businessDate(ctx),
    owed_since: businessDate(ctx),
    payment_date: null,
    payment_method: null,
    payment_for: sent.payment_for ?? 'monthly_subscription',
    period_month,
    period_year,
    period: null,
    reference_number: sent.reference_number ?? null,
    notes: sent.notes ?? null,
    processed_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    created_at: at,
    updated_at: at,
  };
}

export async function createPayment(ctx: Context, sent: Sent): Promise<PaymentRow> {
  const found = await read(ctx, ...selectAccount(ctx, sent.customer_id));
  if (found[0].length === 0) throw invalidField('customer_id', 'names no customer');
  const account = toAccount(found);
  const due = makePayment(ctx, account, sent);
  if (sent.payment_date !== undefined) return recordPaid(ctx, account, due, moneyOf(ctx, sent, sent.amount));
  if (sent.payment_method !== undefined) throw invalidField('payment_method', 'is of a payment with a payment_date');
  nameMade(ctx, due.id);
  const { period: _period, ...columns } = due;
  const { rows } = await changeAccount(ctx, account, {
    writes: [ctx.db.orm.insert(payments).values(columns).returning()],
    events: [paymentCreated(due)],
  });
  return (rows[0] as [PaymentRow])[0];
}

/** The account of whoever owes it; its invoice, and what else is owed for that. */
async function readOf(ctx: Context, payment_id: string) {
  const of_payment = (column: string) =>
    sql`(SELECT ${sql.raw(column)} FROM ${payments} WHERE ${payments.id} = ${payment_id})`;
  const [[payment], [invoice], others, ...account] = await read(
    ctx,
    selectPayment(ctx, payment_id),
    ctx.db.orm
      .select()
      .from(invoices)
      .where(eq(invoices.id, of_payment('invoice_id'))),
    ctx.db.orm
      .select({ status: payments.status })
      .from(payments)
      .where(and(eq(payments.invoice_id, of_payment('invoice_id')), ne(payments.id, payment_id))),
    ...selectAccount(ctx, of_payment('customer_id')),
  );
  if (!payment) throw notFound('payment');
  checkIfMatch(ctx, payment);
  return { payment, account: toAccount(account), invoice: invoice ?? null, others };
}

const SETTLED = { paid: 'It is paid already.', void: 'It is void.' } as const;

function findDue({ dues }: Account, payment: PaymentRow): PaymentRow {
  if (payment.status === 'paid' || payment.status === 'void') throw invalidTransition(SETTLED[payment.status]);
  return dues.find(due => due.id === payment.id)!;
}

type Settled = z.input<typeof SettledPayment>;

export async function settlePayment(ctx: Context, id: string, sent: z.output<typeof Settlement>): Promise<Settled> {
  const { payment, account } = await readOf(ctx, id);
  const due = findDue(account, payment);
  if (sent.amount > due.amount) throw invalidField('amount', `is more than is owed: ${due.amount}`);
  const { payment_method, ...rest } = sent;
  if (payment_method === 'credit') {
    const credit = creditOf(account);
    if (sent.amount > credit) throw invalidField('amount', `is more than the customer’s credit: ${credit}`);
    if (sent.payment_date !== undefined && sent.payment_date !== businessDate(ctx))
      throw invalidField('payment_date', 'is today where credit is used');
    if (sent.notes !== undefined) throw invalidField('notes', 'stand on a receipt, and credit makes none');
    nameMade(ctx, id);
    const use = { most: sent.amount, reference_number: sent.reference_number ?? null };
    const [settled] = await useCredit(ctx, account, [due], use);
    return { ...settled!, receipt: null };
  }
  const { receipt, dues } = await receiveMoney(
    ctx,
    account,
    [due],
    moneyOf(ctx, { ...rest, payment_method }, sent.amount),
    id,
  );
  return { ...dues[0]!, receipt };
}

/** The same answer, made anew: as the due and its receipt are now. */
export async function getSettled(ctx: Context, id: string, key: string): Promise<Settled> {
  const [payment, receipt] = [await getPayment(ctx, id), await findReceiptByKey(ctx, key, id)];
  return { ...payment, receipt };
}

/** Money at the counter: the oldest dues first, the rest is credit. */
export async function receiveAtCounter(ctx: Context, customer_id: string, sent: z.output<typeof CounterPayment>) {
  const account = toAccount(await read(ctx, ...selectAccount(ctx, customer_id)));
  return (await receiveMoney(ctx, account, account.dues, moneyOf(ctx, sent, sent.amount))).receipt;
}

export async function changePaymentStatus(
  ctx: Context,
  id: string,
  sent: z.output<typeof PaymentStatusChange>,
): Promise<PaymentRow> {
  if (sent.status === 'void') {
    if (ctx.actor.kind === 'user' && !roleMay(ctx.actor.role, 'payments:void')) throw new AppError('FORBIDDEN');
    return removePayment(ctx, id, sent.void_reason ?? null);
  }
  const { payment, account } = await readOf(ctx, id);
  if (sent.status !== 'paid')
    throw invalidTransition('Pending and overdue follow from the due date; void its receipt to open it again.');
  const due = findDue(account, payment);
  nameMade(ctx, id);
  const { dues } = await receiveMoney(ctx, account, [due], moneyOf(ctx, sent, due.amount), id);
  return dues[0]!;
}

/** Not owed any more. What had settled it becomes the customer’s credit. */
export async function removePayment(ctx: Context, id: string, reason: string | null): Promise<PaymentRow> {
  const { payment, account, invoice, others } = await readOf(ctx, id);
  const is_last = others.every(other => other.status === 'void');
  return voidPayment(ctx, account, payment, reason, is_last ? invoice : null);
}
