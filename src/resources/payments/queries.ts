import { eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import { growthPercent } from '../../billing/growth.ts';
import { addMonths, formatPeriod, parsePeriod } from '../../billing/periods.ts';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { AppError, lacks, notFound } from '../../errors.ts';
import { DateText, Id, PeriodText, queryInt } from '../../http/fields.ts';
import { exactly, list, within } from '../../http/list.ts';
import { businessDate } from '../../lib/time.ts';
import { Payment, type PaymentStats } from './schema.ts';
import { PAYMENT_METHODS, PAYMENT_PURPOSES, PAYMENT_STATUSES, payments, type PaymentRow } from './table.ts';

/** Dues, open and settled: all, or those of one customer. The newest due date first. */
export const payment_list = list({
  table: payments,
  counter: sql`SELECT coalesce(sum(count), 0) AS total FROM payment_totals`,
  filters: {
    customer_id: exactly(payments.customer_id, Id),
    status: exactly(payments.status, z.enum(PAYMENT_STATUSES)),
    payment_method: exactly(payments.payment_method, z.enum(PAYMENT_METHODS)),
    payment_for: exactly(payments.payment_for, z.enum(PAYMENT_PURPOSES)),
    period: exactly(payments.period, PeriodText),
    due_date: within(payments.due_date, DateText),
    payment_date: within(payments.payment_date, DateText),
    amount: within(payments.amount, queryInt()),
  },
  sort: ['due_date', 'amount', 'created_at'],
  default_sort: '-due_date',
  fields: Object.keys(Payment.shape),
});

export const selectPayment = (ctx: Context, id: string) =>
  ctx.db.orm.select().from(payments).where(eq(payments.id, id));

export async function getPayment(ctx: Context, id: string): Promise<PaymentRow> {
  const [[payment]] = await read(ctx, selectPayment(ctx, id));
  if (!payment) throw notFound('payment');
  return payment;
}

/** A payment that isn't settled has no receipt; nobody guesses ids by asking for that. */
export async function refuseReceipt(ctx: Context, id: string, error: unknown): Promise<never> {
  if (!(error instanceof AppError && error.code === 'NOT_FOUND')) throw error;
  await getPayment(ctx, id);
  throw lacks('receipt');
}

const NOTHING = { count: 0, amount: 0 };

/** From what triggers keep: some sixty rows, however many payments there are. */
export async function readPaymentStats(ctx: Context, asked?: string): Promise<z.input<typeof PaymentStats>> {
  const today = businessDate(ctx);
  const month = asked ?? today.slice(0, 7);
  const last_month = formatPeriod(addMonths(parsePeriod(month), -1));
  const [totals, days] = await read(
    ctx,
    ctx.db.orm.all<{ status: string; count: number; amount: number }>(sql`SELECT * FROM payment_totals`),
    ctx.db.orm.all<{ date: string; revenue: number; cash: number }>(sql`
      SELECT date, revenue, cash FROM money_days
      WHERE date BETWEEN ${`${last_month}-01`} AND ${`${month}-31`} OR date = ${today}`),
  );
  const sumOf = (prefix: string, what: 'revenue' | 'cash') =>
    days.filter(day => day.date.startsWith(prefix)).reduce((sum, day) => sum + day[what], 0);
  const of = (status: string) => {
    const { count, amount } = totals.find(total => total.status === status) ?? NOTHING;
    return { count, amount };
  };
  const [revenue, last_revenue] = [sumOf(month, 'revenue'), sumOf(last_month, 'revenue')];
  return {
    month,
    total: totals.reduce((sum, { count }) => sum + count, 0),
    by_status: { pending: of('pending'), paid: of('paid'), overdue: of('overdue'), void: of('void') },
    revenue,
    last_revenue,
    growth_percent: growthPercent(revenue, last_revenue),
    cash: sumOf(month, 'cash'),
    last_cash: sumOf(last_month, 'cash'),
    today: { revenue: sumOf(today, 'revenue'), cash: sumOf(today, 'cash') },
  };
}
