import { z } from 'zod';
import type { Permission } from '../../auth/permissions.ts';
import { Id, Instant } from '../../http/fields.ts';
import { Alert } from '../../resources/alerts/index.ts';
import { CONNECTION_STATES } from '../../resources/bridges/table.ts';
import { Customer } from '../../resources/customers/schema.ts';
import { DEVICE_STATUSES, DEVICE_TYPES } from '../../resources/devices/table.ts';
import { Invoice } from '../../resources/invoices/schema.ts';
import { JOB_STATUSES } from '../../resources/jobs/table.ts';
import { Payment } from '../../resources/payments/schema.ts';
import { Kind, Status } from '../../resources/provisioning/schema.ts';
import { Receipt } from '../../resources/receipts/schema.ts';
import { Ticket } from '../../resources/tickets/index.ts';

/** All that the socket can say: each event's name, who may get it, and what its `data` holds. */

interface LiveEvent {
  summary: string;
  /** Who lacks it never gets the event. */
  needs: Permission;
  data: z.ZodObject;
  example: Record<string, unknown>;
}

const Happened = z.string().describe('The word of the audit log: `suspended`, `paid`, …');
const Previous = z.record(z.string(), z.unknown()).describe('What the fields that changed were before.');
const Whose = {
  customer_id: Id.describe('The customer’s.').optional(),
  customer_code: z.string().optional(),
  customer_name: z.string().optional(),
};

/** A new row: all its fields that aren't null. */
const created = (row: z.ZodObject) => z.object({ ...row.partial().shape, ...Whose, id: Id, happened: Happened });

/** A change: the fields that changed with their new values, and what they were. */
const changed = (row: z.ZodObject) =>
  z.object({ ...row.partial().shape, ...Whose, id: Id, happened: Happened, previous: Previous });

/** What is there or isn't. Null: it was removed. */
const status = (statuses: readonly string[], more: z.ZodRawShape = {}) =>
  z.object({ id: Id, status: z.enum(statuses).nullable(), ...more, happened: Happened, previous: Previous.optional() });

const CUSTOMER = {
  id: '019a9c1e-5f0a-7c3e-9d64-0f6b7f2f1a11',
  customer_id: '019a9c1e-5f0a-7c3e-9d64-0f6b7f2f1a11',
  customer_code: 'CUST00042',
  customer_name: 'Siti Aminah',
};
const OF_CUSTOMER = { ...CUSTOMER, id: '019a9c20-03d4-7b52-8c1e-6a1d2c9b4f02' };
const ROUTER_ID = '019a9c1c-22b1-7d0f-b1f3-4f5a6b7c8d9e';

const ALERT = {
  id: '019a9c21-7a10-7f4b-a1c2-0d3e5f6a7b8c',
  type: 'router_offline',
  severity: 'critical',
  entity_type: 'router',
  entity_id: ROUTER_ID,
  message: 'Router "Gerbang" is offline: no answer',
  opened_at: '2026-12-03T02:10:00.000Z',
};

export const LIVE_EVENTS = {
  'customer:created': {
    summary: 'A customer was entered, or imported.',
    needs: 'customers:read',
    data: created(Customer),
    example: {
      ...CUSTOMER,
      full_name: 'Siti Aminah',
      status: 'pending_activation',
      phone: '0812-3456-7890',
      monthly_fee: 150000,
      happened: 'created',
    },
  },
  'customer:updated': {
    summary:
      'Fields of a customer changed, or something happened to them that isn’t a change of status: `plan_changed`, `held`, `deleted`, ….',
    needs: 'customers:read',
    data: changed(Customer),
    example: { ...CUSTOMER, phone: '0813-1111-2222', happened: 'updated', previous: { phone: '0812-3456-7890' } },
  },
  'customer:status': {
    summary: 'A customer is active, suspended, terminated, … from now on.',
    needs: 'customers:read',
    data: changed(Customer),
    example: {
      ...CUSTOMER,
      status: 'suspended',
      suspension_reason: 'overdue',
      happened: 'suspended',
      previous: { status: 'active', suspension_reason: null },
    },
  },
  'payment:created': {
    summary: 'A due was recorded, or a part of one was settled (then `status` is `paid`).',
    needs: 'payments:read',
    data: created(Payment),
    example: {
      ...OF_CUSTOMER,
      amount: 150000,
      status: 'pending',
      due_date: '2026-12-15',
      payment_for: 'monthly_subscription',
      happened: 'created',
    },
  },
  'payment:updated': {
    summary: 'A due was `paid`, `voided`, `reopened`, became `overdue`, or its amount changed.',
    needs: 'payments:read',
    data: changed(Payment),
    example: {
      ...OF_CUSTOMER,
      amount: 150000,
      status: 'paid',
      due_date: '2026-12-15',
      payment_date: '2026-12-03',
      payment_method: 'cash',
      happened: 'paid',
      previous: { status: 'pending', payment_date: null, payment_method: null },
    },
  },
  'invoice:created': {
    summary: 'An invoice was issued.',
    needs: 'payments:read',
    data: created(Invoice),
    example: {
      ...OF_CUSTOMER,
      number: 'INV/2026/12/0001',
      period_month: 12,
      period_year: 2026,
      total: 166500,
      status: 'pending',
      happened: 'created',
    },
  },
  'invoice:updated': {
    summary: 'An invoice was voided.',
    needs: 'payments:read',
    data: changed(Invoice),
    example: {
      ...OF_CUSTOMER,
      number: 'INV/2026/12/0001',
      total: 166500,
      status: 'void',
      void_reason: 'salah paket',
      happened: 'voided',
      previous: { status: 'pending', void_reason: null },
    },
  },
  'receipt:created': {
    summary: 'Money came in.',
    needs: 'payments:read',
    data: created(Receipt),
    example: {
      ...OF_CUSTOMER,
      number: 'KW/2026/12/0001',
      amount: 150000,
      payment_method: 'cash',
      received_on: '2026-12-03',
      happened: 'created',
    },
  },
  'receipt:updated': {
    summary: 'A receipt was voided: that money never came.',
    needs: 'payments:read',
    data: changed(Receipt),
    example: {
      ...OF_CUSTOMER,
      number: 'KW/2026/12/0001',
      amount: 150000,
      void_reason: 'salah ketik',
      happened: 'voided',
      previous: { void_reason: null },
    },
  },
  'ticket:created': {
    summary: 'A ticket was opened.',
    needs: 'tickets:read',
    data: created(Ticket),
    example: {
      ...OF_CUSTOMER,
      ticket_number: 'TKT00007',
      title: 'Internet lambat',
      status: 'open',
      priority: 'high',
      happened: 'created',
    },
  },
  'ticket:updated': {
    summary: 'A ticket was changed, assigned, commented on or closed.',
    needs: 'tickets:read',
    data: changed(Ticket),
    example: {
      ...OF_CUSTOMER,
      ticket_number: 'TKT00007',
      title: 'Internet lambat',
      status: 'resolved',
      happened: 'updated',
      previous: { status: 'in_progress' },
    },
  },
  'device:status': {
    summary: 'A device (OLT, switch, …) is online, offline, in maintenance, or nobody knows; one was added or removed.',
    needs: 'devices:read',
    data: status(DEVICE_STATUSES, { device_name: z.string().optional(), device_type: z.enum(DEVICE_TYPES).optional() }),
    example: {
      id: OF_CUSTOMER.id,
      status: 'offline',
      device_name: 'OLT Pusat',
      device_type: 'olt',
      happened: 'status',
      previous: { status: 'online' },
    },
  },
  'router:status': {
    summary: 'A router is online, offline, or nobody knows; one was added or removed.',
    needs: 'routers:read',
    data: status(CONNECTION_STATES, { name: z.string().optional() }),
    example: { id: ROUTER_ID, status: 'offline', name: 'Gerbang', happened: 'status', previous: { status: 'online' } },
  },
  'bridge:status': {
    summary: 'A bridge is online or offline; one was added or removed.',
    needs: 'routers:read',
    data: status(CONNECTION_STATES, { name: z.string().optional() }),
    example: {
      id: OF_CUSTOMER.id,
      status: 'online',
      name: 'Kantor',
      happened: 'status',
      previous: { status: 'offline' },
    },
  },
  'provisioning:status': {
    summary:
      'What a router said of an entry: `in_sync` once it is as it must be, `failed` with the router’s own words, …',
    needs: 'routers:read',
    data: status(Status.options, {
      ...Whose,
      router_id: Id.optional(),
      router_name: z.string().optional(),
      kind: Kind.optional(),
      key: z.string().optional().describe('Its name on the router.'),
      outcome: z.string().nullable().optional(),
      error: z.string().nullable().optional(),
    }),
    example: {
      ...OF_CUSTOMER,
      status: 'in_sync',
      router_id: ROUTER_ID,
      router_name: 'Gerbang',
      kind: 'ppp_secret',
      key: 'siti',
      outcome: 'changed',
      error: null,
      happened: 'applied',
      previous: { status: 'pending' },
    },
  },
  'alert:opened': {
    summary: 'Something needs to be looked at.',
    needs: 'monitoring:read',
    data: z.object({ ...Alert.partial().shape, id: Id, happened: Happened }),
    example: {
      ...ALERT,
      status: 'open',
      happened: 'opened',
    },
  },
  'alert:acknowledged': {
    summary: 'Somebody looks after it.',
    needs: 'monitoring:read',
    data: z.object({ ...Alert.partial().shape, id: Id, happened: Happened, previous: Previous }),
    example: {
      ...ALERT,
      status: 'acknowledged',
      happened: 'acknowledged',
      previous: { status: 'open' },
    },
  },
  'alert:resolved': {
    summary: 'Its cause is gone.',
    needs: 'monitoring:read',
    data: z.object({ ...Alert.partial().shape, id: Id, happened: Happened, previous: Previous }),
    example: {
      ...ALERT,
      status: 'resolved',
      happened: 'resolved',
      previous: { status: 'open' },
    },
  },
} as const satisfies Record<string, LiveEvent>;

/** Told once, to who is there: without `seq`, never replayed. */
export const TRANSIENT_EVENTS = {
  'monitoring:update': {
    summary:
      'What a router and its lines did in the last round of measuring (every 5 minutes, and when it is lost or back).',
    needs: 'monitoring:read',
    data: z.object({
      router_id: Id,
      measured_at: Instant,
      status: z.enum(['online', 'offline']),
      latency_ms: z.int().nullable(),
      lines_online: z.int().nullable().describe('Null: its lines could not be read.'),
      download_kbps: z.int().nullable().describe('Of all lines together, on average since the last round.'),
      upload_kbps: z.int().nullable(),
    }),
    example: {
      router_id: ROUTER_ID,
      measured_at: '2026-12-03T02:15:00.000Z',
      status: 'online',
      latency_ms: 4,
      lines_online: 287,
      download_kbps: 412000,
      upload_kbps: 58000,
    },
  },
  'job:progress': {
    summary: 'How far a job is: an import, a billing run.',
    needs: 'jobs:read',
    data: z.object({
      id: Id,
      kind: z.string(),
      status: z.enum(JOB_STATUSES),
      progress: z.int().min(0).max(100).describe('Percent.'),
      total: z.int(),
      succeeded: z.int(),
      failed: z.int(),
    }),
    example: {
      id: OF_CUSTOMER.id,
      kind: 'billing_run',
      status: 'running',
      progress: 40,
      total: 1000,
      succeeded: 400,
      failed: 0,
    },
  },
} as const satisfies Record<string, LiveEvent>;

export type LiveEventName = keyof typeof LIVE_EVENTS;
export type TransientName = keyof typeof TRANSIENT_EVENTS;
export type TransientData<N extends TransientName> = z.output<(typeof TRANSIENT_EVENTS)[N]['data']>;
export type AnyEventName = LiveEventName | TransientName;

export const ALL_EVENTS: Record<AnyEventName, LiveEvent> = { ...LIVE_EVENTS, ...TRANSIENT_EVENTS };
export const EVENT_NAMES = Object.keys(ALL_EVENTS) as [AnyEventName, ...AnyEventName[]];
