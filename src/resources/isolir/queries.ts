import { and, eq, isNull, ne, sql } from 'drizzle-orm';
import { isOverdue } from '../../billing/settlement.ts';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { localDate } from '../../lib/time.ts';
import { customers } from '../customers/table.ts';
import { payments } from '../payments/table.ts';
import { selectSettings, type SettingsRow } from '../settings/index.ts';
import type { Bill, Provider } from './page.ts';
import { firstName, foldCode, isLimitedOtherwise, isPhoneOf } from './rules.ts';

/** What the page shows, in one round trip; the same statements run whether or not anybody is found. */

const toProvider = (row: SettingsRow): Provider => ({
  name: row.business_name,
  phone: row.phone,
  country: row.country,
  email: row.email,
  payment_instructions: row.payment_instructions,
});

export async function readProvider(ctx: Context): Promise<Provider> {
  const [[settings]] = await read(ctx, selectSettings(ctx));
  return toProvider(settings!);
}

export interface Typed {
  customer_code: string;
  phone: string;
}

/** Null: nobody, or not to this caller. Nothing tells which. */
export async function readBill(ctx: Context, typed: Typed): Promise<{ provider: Provider; bill: Bill | null }> {
  const is_theirs = and(
    eq(customers.customer_code, foldCode(typed.customer_code)),
    ne(customers.status, 'terminated'),
    isNull(customers.deleted_at),
  );
  const { orm } = ctx.db;
  const [[settings], [customer], dues] = await read(
    ctx,
    selectSettings(ctx),
    orm
      .select({
        full_name: customers.full_name,
        phone: customers.phone,
        phone_e164: customers.phone_e164,
        status: customers.status,
        suspension_reason: customers.suspension_reason,
        credit_balance: customers.credit_balance,
      })
      .from(customers)
      .where(is_theirs),
    orm
      .select({
        payment_for: payments.payment_for,
        period_month: payments.period_month,
        period_year: payments.period_year,
        due_date: payments.due_date,
        amount: payments.amount,
        payment_status: payments.status,
      })
      .from(customers)
      .innerJoin(payments, eq(payments.customer_id, customers.id))
      // written out: the index of open dues is found by these very words
      .where(and(is_theirs, sql`${payments.status} IN ('pending', 'overdue')`))
      .orderBy(payments.due_date, payments.id),
  );
  const provider = toProvider(settings!);
  if (!customer || !isPhoneOf(customer, typed.phone, provider.country)) return { provider, bill: null };
  const today = localDate(ctx.now, ctx.tenant.timezone);
  const bill: Bill = {
    name: firstName(customer.full_name),
    dues: dues.map(({ payment_status: status, ...due }) => ({
      ...due,
      is_overdue: isOverdue({ ...due, status }, today),
    })),
    credit: customer.credit_balance,
    is_limited_otherwise: isLimitedOtherwise(customer),
  };
  return { provider, bill };
}
