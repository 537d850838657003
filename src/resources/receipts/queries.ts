import { eq, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { DateText, Id, queryInt } from '../../http/fields.ts';
import { during, exactly, list, within } from '../../http/list.ts';
import { Receipt } from './schema.ts';
import { RECEIPT_METHODS, receipt_allocations, receipts, type AllocationRow, type ReceiptRow } from './table.ts';

export const receipt_list = list({
  table: receipts,
  counter: 'receipts',
  filters: {
    customer_id: exactly(receipts.customer_id, Id),
    payment_method: exactly(receipts.payment_method, z.enum(RECEIPT_METHODS)),
    received_by: exactly(receipts.received_by, Id),
    received_on: within(receipts.received_on, DateText),
    amount: within(receipts.amount, queryInt()),
    created_at: during(receipts.created_at),
  },
  sort: ['created_at', 'received_on', 'amount'],
  default_sort: '-created_at',
  ties: [receipts.created_at, receipts.id],
  fields: Object.keys(Receipt.shape),
});

/** A receipt and what was settled with it. */
export const selectReceipt = (ctx: Context, id: string | SQL) =>
  [
    ctx.db.orm.select().from(receipts).where(eq(receipts.id, id)),
    ctx.db.orm.select().from(receipt_allocations).where(eq(receipt_allocations.receipt_id, id)),
  ] as const;

export type ReceiptFound = ReceiptRow & { allocations: AllocationRow[] };

export function toReceipt([[row], allocations]: [(ReceiptRow | undefined)[], AllocationRow[]]): ReceiptFound {
  if (!row) throw notFound('receipt');
  return { ...row, allocations };
}

export async function readReceipt(ctx: Context, id: string | SQL): Promise<ReceiptFound> {
  return toReceipt(await read(ctx, ...selectReceipt(ctx, id)));
}
