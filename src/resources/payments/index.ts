import { z } from 'zod';
import { printReceipt } from '../../billing/papers.ts';
import { endpoint } from '../../http/endpoint.ts';
import { line, PeriodText } from '../../http/fields.ts';
import type { Resource } from '../../http/resource.ts';
import { ReceiptDetail, readReceipt, receiptOfPayment } from '../receipts/index.ts';
import * as actions from './actions.ts';
import { getPayment, payment_list, readPaymentStats, refuseReceipt } from './queries.ts';
import { Payment, PaymentInput, PaymentStats, PaymentStatusChange, SettledPayment, Settlement } from './schema.ts';

export { receiveAtCounter } from './actions.ts';
export { payment_list } from './queries.ts';
export { CounterPayment, Payment } from './schema.ts';
export { payments } from './table.ts';

export const paymentsResource: Resource = {
  path: '/payments',
  routes: {
    'GET /': endpoint({
      id: 'payments.list',
      summary: 'List dues, open and settled',
      needs: 'payments:read',
      query: payment_list.query,
      returns: { list: Payment },
      run: (ctx, { query }) => payment_list.readPage(ctx, query),
    }),
    'POST /': endpoint({
      id: 'payments.create',
      summary: 'Record an amount due, or one that is paid',
      description:
        'With a `payment_date` the money has come in: it is `paid`, with a receipt. Without, it is `pending`.',
      needs: 'payments:write',
      idempotency: { key: 'optional', again: (ctx, id) => getPayment(ctx, id) },
      body: PaymentInput,
      returns: { one: Payment },
      status: 201,
      errors: ['CONFLICT', 'DUPLICATE_ENTRY'],
      run: (ctx, { body }) => actions.createPayment(ctx, body),
    }),
    'GET /stats': endpoint({
      id: 'payments.stats',
      summary: 'Counts and amounts by status; revenue and cash of a month, and growth',
      needs: 'payments:read',
      query: z.strictObject({ month: PeriodText.optional().describe('Default: the present one.') }),
      returns: { one: PaymentStats },
      run: (ctx, { query }) => readPaymentStats(ctx, query.month),
    }),
    'GET /:id': endpoint({
      id: 'payments.get',
      summary: 'Get a payment',
      needs: 'payments:read',
      returns: { one: Payment },
      run: (ctx, { params }) => getPayment(ctx, params.id),
    }),
    'DELETE /:id': endpoint({
      id: 'payments.void',
      summary: 'Void a payment: it is not owed',
      description: 'What had settled it becomes the customer’s credit. The row stays.',
      needs: 'payments:void',
      query: z.strictObject({ reason: line(500).optional() }),
      returns: { one: Payment },
      errors: ['INVALID_TRANSITION', 'CONFLICT', 'IN_USE'],
      run: (ctx, { params, query }) => actions.removePayment(ctx, params.id, query.reason ?? null),
    }),
    'PUT /:id/status': endpoint({
      id: 'payments.changeStatus',
      summary: 'Set a due paid, as a whole, or void',
      description: '`void` needs the permission `payments:void`.',
      needs: 'payments:write',
      body: PaymentStatusChange,
      returns: { one: Payment },
      errors: ['INVALID_TRANSITION', 'CONFLICT', 'IN_USE'],
      run: (ctx, { params, body }) => actions.changePaymentStatus(ctx, params.id, body),
    }),
    'POST /:id/settle': endpoint({
      id: 'payments.settle',
      summary: 'Settle a due in whole or part',
      description: 'The open part keeps its id; a settled part is a `paid` row of its own, with `parent_id`.',
      needs: 'payments:write',
      idempotency: { key: 'optional', again: (ctx, id, key) => actions.getSettled(ctx, id, key) },
      body: Settlement,
      returns: { one: SettledPayment },
      errors: ['INVALID_TRANSITION', 'CONFLICT', 'DUPLICATE_ENTRY'],
      run: (ctx, { params, body }) => actions.settlePayment(ctx, params.id, body),
    }),
    'GET /:id/receipt': endpoint({
      id: 'payments.receipt',
      summary: 'The receipt with whose money a payment was settled',
      description: 'A PDF, unless `Accept: application/json` asks for the data.',
      needs: 'payments:read',
      returns: { one: ReceiptDetail, or_file: { type: 'application/pdf', by_default: true } },
      run: (ctx, { params, wants_file }) => {
        const receipt = receiptOfPayment(params.id);
        const unsettled = (error: unknown) => refuseReceipt(ctx, params.id, error);
        return wants_file ? printReceipt(ctx, receipt).catch(unsettled) : readReceipt(ctx, receipt).catch(unsettled);
      },
    }),
  },
};
