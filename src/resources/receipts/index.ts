import { sql, type SQL } from 'drizzle-orm';
import { selectAccount, toAccount } from '../../billing/account.ts';
import { printReceipt } from '../../billing/papers.ts';
import { voidReceipt } from '../../billing/void.ts';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { endpoint } from '../../http/endpoint.ts';
import type { Resource } from '../../http/resource.ts';
import { payments } from '../payments/table.ts';
import { readReceipt, receipt_list, selectReceipt, toReceipt, type ReceiptFound } from './queries.ts';
import { Receipt, ReceiptDetail, VoidInput } from './schema.ts';

export { readReceipt } from './queries.ts';
export { ReceiptDetail, VoidInput } from './schema.ts';

/** The receipt that an Idempotency-Key made for a due; none where credit was used. */
export async function findReceiptByKey(ctx: Context, key: string, due_id: string): Promise<ReceiptFound | null> {
  const id = sql`(SELECT r.id FROM receipts AS r JOIN receipt_allocations AS a ON a.receipt_id = r.id
    JOIN payments AS p ON p.id = a.payment_id
    WHERE r.idempotency_key = ${key} AND (p.id = ${due_id} OR p.parent_id = ${due_id}))`;
  const [[row], allocations] = await read(ctx, ...selectReceipt(ctx, id));
  return row ? { ...row, allocations } : null;
}

/** The receipt with whose money a due was settled, for statements that take its id. */
export const receiptOfPayment = (payment_id: string): SQL =>
  sql`(SELECT receipt_id FROM receipt_allocations WHERE payment_id = ${payment_id})`;

async function takeBack(ctx: Context, id: string, reason: string): Promise<ReceiptFound> {
  const [row, allocations, settled, ...account] = await read(
    ctx,
    ...selectReceipt(ctx, id),
    ctx.db.orm
      .select()
      .from(payments)
      .where(sql`${payments.id} IN (SELECT payment_id FROM receipt_allocations WHERE receipt_id = ${id})`),
    ...selectAccount(ctx, sql`(SELECT customer_id FROM receipts WHERE id = ${id})`),
  );
  const receipt = toReceipt([row, allocations]);
  const { allocations: _, ...before } = receipt;
  return { ...(await voidReceipt(ctx, toAccount(account), before, settled, reason)), allocations: [] };
}

export const receiptsResource: Resource = {
  path: '/receipts',
  routes: {
    'GET /': endpoint({
      id: 'receipts.list',
      summary: 'Money that came in',
      needs: 'payments:read',
      query: receipt_list.query,
      returns: { list: Receipt },
      run: (ctx, { query }) => receipt_list.readPage(ctx, query),
    }),
    'GET /:id': endpoint({
      id: 'receipts.get',
      summary: 'Get a receipt',
      description: 'As a PDF with `Accept: application/pdf`.',
      needs: 'payments:read',
      returns: { one: ReceiptDetail, or_file: { type: 'application/pdf', by_default: false } },
      run: (ctx, { params, wants_file }) => (wants_file ? printReceipt(ctx, params.id) : readReceipt(ctx, params.id)),
    }),
    'POST /:id/void': endpoint({
      id: 'receipts.void',
      summary: 'Money that did not come in after all',
      description: 'What it had settled is owed again. Nobody is suspended by it before the daily job.',
      needs: 'payments:void',
      body: VoidInput,
      returns: { one: ReceiptDetail },
      errors: ['INVALID_TRANSITION', 'CONFLICT'],
      run: (ctx, { params, body }) => takeBack(ctx, params.id, body.reason),
    }),
  },
};
