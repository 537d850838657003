import { z } from 'zod';
import { printInvoice } from '../../billing/papers.ts';
import { endpoint } from '../../http/endpoint.ts';
import { DateText, Id, PeriodText, queryInt } from '../../http/fields.ts';
import { exactly, list, within } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { VoidInput } from '../receipts/index.ts';
import { createInvoice, getInvoice, takeBackInvoice } from './actions.ts';
import { Invoice, InvoiceInput } from './schema.ts';
import { INVOICE_STATUSES, invoices } from './table.ts';

const invoice_list = list({
  table: invoices,
  counter: 'invoices',
  filters: {
    customer_id: exactly(invoices.customer_id, Id),
    status: exactly(invoices.status, z.enum(INVOICE_STATUSES)),
    period: exactly(invoices.period, PeriodText),
    number: exactly(invoices.number, z.string().min(1).max(80)),
    issue_date: within(invoices.issue_date, DateText),
    due_date: within(invoices.due_date, DateText),
    total: within(invoices.total, queryInt()),
  },
  sort: ['created_at', 'issue_date', 'due_date', 'total'],
  default_sort: '-created_at',
  ties: [invoices.created_at, invoices.id],
  fields: Object.keys(Invoice.shape),
});

export const invoicesResource: Resource = {
  path: '/invoices',
  routes: {
    'GET /': endpoint({
      id: 'invoices.list',
      summary: 'List invoices',
      needs: 'payments:read',
      query: invoice_list.query,
      returns: { list: Invoice },
      run: (ctx, { query }) => invoice_list.readPage(ctx, query),
    }),
    'POST /': endpoint({
      id: 'invoices.create',
      summary: 'Invoice one customer for one month, now',
      description: 'What was paid before is used first. A month whose invoice is void may be invoiced anew.',
      needs: 'payments:write',
      idempotency: { key: 'optional', again: (ctx, id) => getInvoice(ctx, id) },
      body: InvoiceInput,
      returns: { one: Invoice },
      status: 201,
      errors: ['DUPLICATE_ENTRY', 'CONFLICT'],
      run: (ctx, { body }) => createInvoice(ctx, body),
    }),
    'GET /:id': endpoint({
      id: 'invoices.get',
      summary: 'Get an invoice',
      needs: 'payments:read',
      returns: { one: Invoice },
      run: (ctx, { params }) => getInvoice(ctx, params.id),
    }),
    'GET /:id/pdf': endpoint({
      id: 'invoices.pdf',
      summary: 'An invoice on paper',
      needs: 'payments:read',
      returns: { file: ['application/pdf'] },
      run: (ctx, { params }) => printInvoice(ctx, params.id),
    }),
    'POST /:id/void': endpoint({
      id: 'invoices.void',
      summary: 'Void an invoice, and its dues with it',
      description:
        'Money that had settled them becomes the customer’s credit. A billing run doesn’t invoice that month again unless told to.',
      needs: 'payments:void',
      body: VoidInput,
      returns: { one: Invoice },
      errors: ['INVALID_TRANSITION', 'CONFLICT', 'IN_USE'],
      run: (ctx, { params, body }) => takeBackInvoice(ctx, params.id, body.reason),
    }),
  },
};
