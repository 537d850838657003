import { eq, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { nameMade, type Write } from '../db/commit.ts';
import { insertCreatedEvents } from '../events/event.ts';
import { businessDate, startOfDate, toIso } from '../lib/time.ts';
import { payments, type PaymentRow } from '../resources/payments/table.ts';
import { receipt_allocations, receipts, type AllocationRow, type ReceiptRow } from '../resources/receipts/table.ts';
import { actingUser, changeAccount, type Account, type Paid } from './account.ts';
import { paymentCreated, UNTOLD_OF_RECEIPT } from './events.ts';
import { seriesOf } from './numbers.ts';
import { spread, type Source } from './settlement.ts';

/** Money that comes in: a receipt, what it settles, and the rest as credit. */

export interface Money {
  amount: number;
  payment_method: ReceiptRow['payment_method'];
  /** The business date of it, on which the dues count as paid. */
  payment_date: string;
  reference_number: string | null;
  notes: string | null;
}

export type ReceiptWithAllocations = ReceiptRow & { allocations: AllocationRow[] };

/** Between reading and writing: everything of a receipt but its number, which the database gives. */
type NewReceipt = Omit<ReceiptRow, 'number'>;

const HALF_A_DAY_MS = 12 * 60 * 60_000;

function makeReceipt(ctx: Context, account: Account, money: Money): NewReceipt {
  const { payment_date, ...columns } = money;
  const at = toIso(ctx.now);
  // of another day only the date is known: its noon
  const noon = toIso(startOfDate(payment_date, ctx.tenant.timezone) + HALF_A_DAY_MS);
  return {
    ...columns,
    id: ctx.newId(),
    customer_id: account.line.customer.id,
    unallocated: money.amount,
    received_at: payment_date === businessDate(ctx) ? at : noon,
    received_on: payment_date,
    received_by: actingUser(ctx),
    idempotency_key: ctx.idempotency?.key ?? null,
    gateway_charge_id: null,
    voided_at: null,
    voided_on: null,
    voided_by: null,
    void_reason: null,
    created_at: at,
    updated_at: at,
  };
}

/** The second one gives the row. Numbers have no gap: the sequence moves in the batch that uses it, or not at all. */
function insertReceipt(ctx: Context, receipt: NewReceipt, pattern: string): Write[] {
  const { orm } = ctx.db;
  const { sequence, before, after, digits } = seriesOf('receipt', pattern, businessDate(ctx));
  const number = sql<string>`(SELECT ${before} || printf(${`%0${digits}d`}, value) || ${after} FROM sequences
    WHERE name = ${sequence})`;
  const take = sql`INSERT INTO sequences (name, value) VALUES (${sequence}, 1)
    ON CONFLICT (name) DO UPDATE SET value = value + 1`;
  return [
    orm.run(take),
    orm
      .insert(receipts)
      .values({ ...receipt, number: number as never })
      .returning(),
    insertCreatedEvents(ctx, 'receipt.created', receipts, eq(receipts.id, receipt.id), UNTOLD_OF_RECEIPT),
  ] as Write[];
}

const paidWith = ({ payment_date, payment_method, reference_number }: Money): Paid => ({
  payment_date,
  payment_method,
  reference_number,
});

export interface Received {
  receipt: ReceiptWithAllocations;
  /** The dues that it settled in whole or part, as they are now. */
  dues: PaymentRow[];
}

/**
 * Settles these dues, in this order, as far as it reaches; the rest is credit. `makes`: what the request is for, where
 * that isn't the receipt.
 */
export async function receiveMoney(
  ctx: Context,
  account: Account,
  dues: readonly PaymentRow[],
  money: Money,
  makes?: string,
): Promise<Received> {
  const receipt = makeReceipt(ctx, account, money);
  nameMade(ctx, makes ?? receipt.id);
  const parts = spread(dues, [{ receipt_id: receipt.id, amount: receipt.amount }]);
  const changed = await changeAccount(ctx, account, {
    writes: insertReceipt(ctx, receipt, account.line.settings.receipt_number_pattern),
    parts,
    paid: paidWith(money),
  });
  return { receipt: receiptOf(changed.rows[1]!, changed.allocations), dues: changed.dues };
}

/** A payment that is recorded as received: a due that is paid from its first moment. */
export async function recordPaid(ctx: Context, account: Account, due: PaymentRow, money: Money): Promise<PaymentRow> {
  const receipt = makeReceipt(ctx, account, money);
  const { period: _period, ...columns } = { ...due, ...paidWith(money), status: 'paid' as const };
  const allocation = { receipt_id: receipt.id, payment_id: due.id, amount: due.amount };
  nameMade(ctx, due.id);
  const { rows } = await changeAccount(ctx, account, {
    writes: [
      ...insertReceipt(ctx, receipt, account.line.settings.receipt_number_pattern),
      ctx.db.orm.insert(payments).values(columns).returning(),
      ctx.db.orm.insert(receipt_allocations).values(allocation),
    ],
    events: [paymentCreated({ ...due, ...columns }, receipt.id)],
  });
  return (rows[3] as [PaymentRow])[0];
}

/** As the database gave it, before anything was allocated. */
function receiptOf(rows: readonly unknown[], allocations: AllocationRow[]): ReceiptWithAllocations {
  const [row] = rows as [ReceiptRow];
  const used = allocations.reduce((sum, { amount }) => sum + amount, 0);
  return { ...row, unallocated: row.unallocated - used, allocations };
}

/** Pays at most that much of dues, today, from what is left of earlier receipts, the oldest first. */
export async function useCredit(
  ctx: Context,
  account: Account,
  dues: readonly PaymentRow[],
  { most, reference_number }: { most: number; reference_number: string | null },
): Promise<PaymentRow[]> {
  const sources: Source[] = [];
  let left = most;
  for (const { id, unallocated } of account.credits) {
    const amount = Math.min(left, unallocated);
    if (amount > 0) sources.push({ receipt_id: id, amount });
    left -= amount;
  }
  const parts = spread(dues, sources);
  const paid: Paid = { payment_date: businessDate(ctx), payment_method: 'credit', reference_number };
  return (await changeAccount(ctx, account, { parts, paid })).dues;
}

export const creditOf = ({ credits }: Account): number =>
  credits.reduce((sum, { unallocated }) => sum + unallocated, 0);
