import { eq, type SQL } from 'drizzle-orm';
import type { SQLiteTable } from 'drizzle-orm/sqlite-core';
import { z } from 'zod';
import type { Permission } from '../../auth/permissions.ts';
import { events } from '../../events/event.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id } from '../../http/fields.ts';
import { Deleted } from '../../http/crud.ts';
import type { List } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { MaxAge } from '../../provisioning/freshness.ts';
import { AuditLog, audit_list } from '../audit-logs/index.ts';
import { CounterPayment, Payment, payment_list, payments, receiveAtCounter } from '../payments/index.ts';
import { CustomerProvisioning, getProvisioning, syncProvisioning } from '../provisioning/index.ts';
import { ReceiptDetail, readReceipt } from '../receipts/index.ts';
import { Ticket, ticket_list, tickets } from '../tickets/index.ts';
import { DailyUsage, usage_daily, usage_list } from '../usage/index.ts';
import * as actions from './actions.ts';
import { getPhoto, MOST_PHOTO_BYTES, PhotoForm, PhotoKind, storePhotos } from './photos.ts';
import { customer_list, getCustomer, ofCustomer, plan_change_list, readStats } from './queries.ts';
import {
  Customer,
  CustomerInput,
  CustomerPlanChange,
  CustomerStats,
  CustomerUpdate,
  Hold,
  PlanChanged,
  PlanChangeInput,
  StatusChange,
  toCustomer,
} from './schema.ts';
import { customer_plan_changes } from './table.ts';
import { CustomerDrift, findCustomerDrift } from './drift.ts';
import { CustomerTraffic, readTraffic } from './traffic.ts';

/** `POST /:id/suspend` and its like: the same shape, another verb. */
const statusEndpoint = (verb: string, summary: string, run: typeof actions.activateCustomer) =>
  endpoint({
    id: `customers.${verb}`,
    summary,
    needs: 'customers:write',
    body: StatusChange,
    returns: { one: Customer },
    errors: ['INVALID_TRANSITION', 'CONFLICT', 'DUPLICATE_ENTRY'],
    run: async (ctx, { params, body }) => toCustomer(await run(ctx, params.id, body)),
  });

interface SubList {
  needs: Permission;
  item: z.ZodObject;
  list: List<SQLiteTable>;
  /** Which of the list's rows are the customer's. */
  of: (customer_id: string) => SQL;
}

/** `GET /:id/payments` and its like: a list narrowed to one customer, who must be there. */
const listEndpoint = (name: string, summary: string, { needs, item, list, of }: SubList) =>
  endpoint({
    id: `customers.${name}`,
    summary,
    needs,
    query: list.query,
    returns: { list: item },
    run: (ctx, { params, query }) => list.readPage(ctx, query, ofCustomer(ctx, params.id, of(params.id))),
  });

export const customersResource: Resource = {
  path: '/customers',
  routes: {
    'GET /': endpoint({
      id: 'customers.list',
      summary: 'List customers',
      description: 'Filter by custom fields with `custom_fields.<name>=<value>`.',
      needs: 'customers:read',
      query: customer_list.query,
      returns: { list: Customer },
      run: async (ctx, { query }) => {
        const { rows, total } = await customer_list.readPage(ctx, query);
        return { rows: rows.map(toCustomer), total };
      },
    }),
    'POST /': endpoint({
      id: 'customers.create',
      summary: 'Create a customer',
      needs: 'customers:write',
      body: CustomerInput,
      returns: { one: Customer },
      status: 201,
      errors: ['DUPLICATE_ENTRY'],
      run: async (ctx, { body }) => toCustomer(await actions.createCustomer(ctx, body)),
    }),
    'GET /stats': endpoint({
      id: 'customers.stats',
      summary: 'Counts by status and plan',
      needs: 'customers:read',
      returns: { one: CustomerStats },
      run: ctx => readStats(ctx),
    }),
    'GET /:id': endpoint({
      id: 'customers.get',
      summary: 'Get a customer',
      needs: 'customers:read',
      returns: { one: Customer },
      run: async (ctx, { params }) => toCustomer(await getCustomer(ctx, params.id)),
    }),
    'PUT /:id': endpoint({
      id: 'customers.update',
      summary: 'Change a customer',
      description: 'Another plan, router, PPPoE name or password goes to the routers as well.',
      needs: 'customers:write',
      body: CustomerUpdate,
      returns: { one: Customer },
      errors: ['DUPLICATE_ENTRY', 'CONFLICT', 'INVALID_TRANSITION'],
      run: async (ctx, { params, body }) => toCustomer(await actions.updateCustomer(ctx, params.id, body)),
    }),
    'DELETE /:id': endpoint({
      id: 'customers.delete',
      summary: 'Delete a customer who is pending or terminated',
      description: 'The row stays in the database, out of every list; its code stays taken.',
      needs: 'customers:write',
      returns: { one: Deleted },
      errors: ['INVALID_TRANSITION', 'CONFLICT', 'IN_USE'],
      run: (ctx, { params }) => actions.deleteCustomer(ctx, params.id),
    }),
    'POST /:id/activate': statusEndpoint(
      'activate',
      'Activate: the line comes up on its router',
      actions.activateCustomer,
    ),
    'POST /:id/suspend': statusEndpoint('suspend', 'Suspend (isolir)', actions.suspendCustomer),
    'POST /:id/resume': statusEndpoint('resume', 'Resume after a suspension', actions.resumeCustomer),
    'POST /:id/terminate': statusEndpoint('terminate', 'End the subscription', actions.terminateCustomer),
    'POST /:id/reactivate': statusEndpoint('reactivate', 'Take a terminated customer back', actions.reactivateCustomer),
    'POST /:id/change-plan': endpoint({
      id: 'customers.changePlan',
      summary: 'Put a customer on another plan, now or on a day to come',
      needs: 'customers:write',
      body: PlanChangeInput,
      returns: { one: PlanChanged },
      errors: ['INVALID_TRANSITION', 'CONFLICT'],
      run: async (ctx, { params, body }) => {
        const { customer, change } = await actions.changeCustomerPlan(ctx, params.id, body);
        return { customer: toCustomer(customer), change };
      },
    }),
    'DELETE /:id/change-plan': endpoint({
      id: 'customers.dropPlanChange',
      summary: 'Take back the change of plan that waits for its day',
      needs: 'customers:write',
      returns: { one: CustomerPlanChange },
      errors: ['INVALID_TRANSITION'],
      run: (ctx, { params }) => actions.dropPlanChange(ctx, params.id),
    }),
    'POST /:id/hold': endpoint({
      id: 'customers.hold',
      summary: 'A promise to pay: no suspension for dues until then',
      description: 'A line that was cut for dues comes back.',
      needs: 'customers:write',
      body: Hold,
      returns: { one: Customer },
      errors: ['CONFLICT'],
      run: async (ctx, { params, body }) => toCustomer(await actions.holdCustomer(ctx, params.id, body)),
    }),
    'GET /:id/audit-logs': listEndpoint('auditLogs', 'What happened to a customer, newest first', {
      needs: 'audit:read',
      item: AuditLog,
      list: audit_list,
      of: id => eq(events.customer_id, id),
    }),
    'GET /:id/plan-changes': listEndpoint('planChanges', 'Plan changes of a customer, done and waiting', {
      needs: 'customers:read',
      item: CustomerPlanChange,
      list: plan_change_list,
      of: id => eq(customer_plan_changes.customer_id, id),
    }),
    'GET /:id/payments': listEndpoint('payments', 'A customer’s dues, open and settled', {
      needs: 'payments:read',
      item: Payment,
      list: payment_list,
      of: id => eq(payments.customer_id, id),
    }),
    'POST /:id/payments': endpoint({
      id: 'customers.pay',
      summary: 'Money at the counter: the oldest dues first, the rest to credit',
      description: 'Who was suspended for dues is resumed once none is left that is past its date.',
      needs: 'payments:write',
      idempotency: { key: 'required', again: (ctx, receipt_id) => readReceipt(ctx, receipt_id) },
      body: CounterPayment,
      returns: { one: ReceiptDetail },
      status: 201,
      errors: ['CONFLICT', 'DUPLICATE_ENTRY'],
      run: (ctx, { params, body }) => receiveAtCounter(ctx, params.id, body),
    }),
    'GET /:id/tickets': listEndpoint('tickets', 'A customer’s tickets', {
      needs: 'tickets:read',
      item: Ticket,
      list: ticket_list,
      of: id => eq(tickets.customer_id, id),
    }),
    'GET /:id/usage': listEndpoint('usage', 'What a customer’s line did, day by day', {
      needs: 'monitoring:read',
      item: DailyUsage,
      list: usage_list,
      of: id => eq(usage_daily.customer_id, id),
    }),
    'GET /:id/provisioning': endpoint({
      id: 'customers.provisioning',
      summary: 'What the routers must hold for a customer, and what they confirmed',
      needs: 'customers:read',
      returns: { one: CustomerProvisioning },
      run: (ctx, { params }) => getProvisioning(ctx, params.id),
    }),
    'GET /:id/drift': endpoint({
      id: 'customers.drift',
      summary: 'Compare what the routers hold of a customer with what they must hold',
      description: 'Live; the customer’s entries are asked for by name, and nothing is written on a router.',
      needs: 'routers:live',
      returns: { one: CustomerDrift },
      run: (ctx, { params }) => findCustomerDrift(ctx, params.id),
    }),
    'POST /:id/provisioning/sync': endpoint({
      id: 'customers.sync',
      summary: 'Apply now, and say what the router says',
      needs: 'customers:sync',
      returns: { one: CustomerProvisioning },
      errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
      run: (ctx, { params }) => syncProvisioning(ctx, params.id),
    }),
    'GET /:id/traffic': endpoint({
      id: 'customers.traffic',
      summary: 'What flows through a customer’s line now',
      description: 'Live: read through the bridge. 502 or 503 when that fails: it is then unknown.',
      needs: 'routers:live',
      query: z.strictObject({ max_age: MaxAge }),
      returns: { one: CustomerTraffic },
      errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE', 'CONFLICT'],
      run: (ctx, { params, query }) => readTraffic(ctx, params.id, query.max_age),
    }),
    'POST /:id/photos': endpoint({
      id: 'customers.storePhotos',
      summary: 'Store a picture of the subscriber or the house',
      description: 'JPEG, PNG or WebP, 5 MiB at most each.',
      needs: 'customers:write',
      accepts: 'multipart',
      most_bytes: 2 * MOST_PHOTO_BYTES + 64 * 1024,
      body: PhotoForm,
      returns: { one: Customer },
      status: 201,
      errors: ['CONFLICT'],
      run: async (ctx, { params, body }) => toCustomer(await storePhotos(ctx, params.id, body)),
    }),
    'GET /:id/photos/:kind': endpoint({
      id: 'customers.photo',
      summary: 'A customer’s picture',
      needs: 'customers:read',
      params: z.strictObject({ id: Id, kind: PhotoKind }),
      returns: { file: ['image/jpeg', 'image/png', 'image/webp'], has_etag: true },
      run: (ctx, { params }) => getPhoto(ctx, params.id, params.kind),
    }),
  },
};
