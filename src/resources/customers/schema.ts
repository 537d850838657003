import { z } from 'zod';
import {
  DateText,
  Email,
  Id,
  Instant,
  IpAddress,
  Latitude,
  line,
  Longitude,
  MoneyOrZero,
  note,
  Phone,
  MASK,
  Masked,
  secretText,
} from '../../http/fields.ts';
import {
  BILLING_TYPES,
  CONNECTION_TYPES,
  CUSTOMER_STATUSES,
  PAYMENT_STANDINGS,
  SUSPENSION_REASONS,
  type CustomerRow,
} from './table.ts';

export const CustomerStatus = z.enum(CUSTOMER_STATUSES);

export const CustomFieldKey = z.string().regex(/^[a-z][a-z0-9_]{0,39}$/, 'is not a name of a-z, 0-9 and _');

const CustomFields = z
  .record(CustomFieldKey, z.union([z.string().max(200), z.number(), z.boolean(), z.null()]))
  .refine(fields => Object.keys(fields).length <= 50, 'has more than 50 fields');

const Digits = (max: number) => z.string().trim().regex(/^\d+$/, 'is not digits').max(max);

export const CustomerInput = z
  .strictObject({
    full_name: line(120),
    nik: z
      .string()
      .regex(/^\d{16}$/, 'is not 16 digits')
      .nullable()
      .optional(),
    phone: Phone,
    email: Email.nullable().optional(),
    address: note(500),
    zone_id: Id.nullable().optional(),
    rt: Digits(3).nullable().optional(),
    rw: Digits(3).nullable().optional(),
    kelurahan: line(100).nullable().optional(),
    kecamatan: line(100).nullable().optional(),
    city: line(100).nullable().optional(),
    postal_code: line(12).nullable().optional(),
    latitude: Latitude.nullable().optional(),
    longitude: Longitude.nullable().optional(),
    service_plan_id: Id,
    monthly_fee: MoneyOrZero.optional().describe('Default: the plan’s price.'),
    due_day: z.int().min(1).max(31).optional().describe('In a shorter month its last day. Default 15.'),
    billing_type: z.enum(BILLING_TYPES).optional(),
    auto_isolir: z.boolean().optional().describe('Suspended by the daily job when dues stay unpaid. Default true.'),
    installation_date: DateText.nullable().optional(),
    router_id: Id.nullable().optional().describe('Default: the default router, for PPPoE. Null: no router yet.'),
    connection_type: z.enum(CONNECTION_TYPES).optional(),
    pppoe_username: line(64).optional().describe('Default: the customer code in lower case.'),
    pppoe_password: secretText(64)
      .optional()
      .describe('Never comes back. Left out, a random one is made: set your own to know it.'),
    static_ip: IpAddress.nullable().optional(),
    onu_serial: line(64).nullable().optional(),
    notes: note().nullable().optional(),
    custom_fields: CustomFields.optional(),
  })
  .meta({ id: 'CustomerInput' });

export const CustomerUpdate = CustomerInput.partial().meta({ id: 'CustomerUpdate' });

export const Customer = z
  .object({
    id: Id,
    customer_code: z.string(),
    full_name: z.string(),
    nik: z.string().nullable(),
    phone: z.string().nullable(),
    phone_e164: z.string().nullable(),
    email: z.string().nullable(),
    address: z.string().nullable(),
    zone_id: Id.nullable(),
    rt: z.string().nullable(),
    rw: z.string().nullable(),
    kelurahan: z.string().nullable(),
    kecamatan: z.string().nullable(),
    city: z.string().nullable(),
    postal_code: z.string().nullable(),
    latitude: z.number().nullable(),
    longitude: z.number().nullable(),
    photo_url: z.string().nullable(),
    house_photo_url: z.string().nullable(),
    status: CustomerStatus,
    service_plan_id: Id,
    monthly_fee: z.int().nullable().describe('Null while the plan isn’t priced.'),
    due_day: z.int(),
    billing_type: z.enum(BILLING_TYPES),
    auto_isolir: z.boolean(),
    hold_until: DateText.nullable().describe('A promise to pay: no suspension for dues until then.'),
    suspension_reason: z.enum(SUSPENSION_REASONS).nullable(),
    status_since: DateText.nullable().describe('The business date from which its status holds.'),
    installation_date: DateText.nullable(),
    activation_date: DateText.nullable(),
    termination_date: DateText.nullable(),
    termination_reason: z.string().nullable(),
    last_payment_date: DateText.nullable(),
    outstanding_balance: z.int(),
    credit_balance: z.int(),
    overdue_balance: z.int().describe('What of the outstanding balance is past its date.'),
    payment_status: z
      .enum(PAYMENT_STANDINGS)
      .describe('`paid`: nothing is owed; `pending`: nothing that is past its date.'),
    router_id: Id.nullable(),
    connection_type: z.enum(CONNECTION_TYPES),
    pppoe_username: z.string().nullable(),
    pppoe_password: Masked,
    has_password: z.boolean(),
    static_ip: z.string().nullable(),
    onu_serial: z.string().nullable(),
    notes: z.string().nullable(),
    custom_fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Customer' });

export function toCustomer(row: Omit<CustomerRow, 'search_text'>): z.input<typeof Customer> {
  const photoUrl = (key: string | null, kind: string) => (key ? `/api/v1/customers/${row.id}/photos/${kind}` : null);
  const has_password = row.pppoe_password !== null;
  return {
    ...row,
    photo_url: photoUrl(row.photo_key, 'photo'),
    house_photo_url: photoUrl(row.house_photo_key, 'house_photo'),
    payment_status: row.payment_status ?? 'paid',
    pppoe_password: has_password ? MASK : null,
    has_password,
  };
}

export const StatusChange = z
  .strictObject({
    date: DateText.optional().describe('Business date of the change; default today, never in the future.'),
    reason: line(500).optional(),
  })
  .meta({ id: 'StatusChange' });

export const PlanChangeInput = z
  .strictObject({
    service_plan_id: Id,
    effective_date: DateText.optional().describe('Default today; a future one waits for that day.'),
    reason: line(500).optional(),
  })
  .meta({ id: 'PlanChangeInput' });

export const CustomerPlanChange = z
  .object({
    id: Id,
    customer_id: Id,
    from_plan_id: Id,
    to_plan_id: Id,
    effective_date: DateText,
    reason: z.string().nullable(),
    changed_by: Id.nullable(),
    applied_at: Instant.nullable().describe('Null while it waits.'),
    from_fee: z.int().nullable().describe('What was paid a month before it; null while it waits.'),
    to_fee: z.int().nullable(),
    invoice_id: Id.nullable().describe('The invoice that charged the difference.'),
  })
  .meta({ id: 'CustomerPlanChange' });

export const PlanChanged = z.object({ customer: Customer, change: CustomerPlanChange }).meta({ id: 'PlanChanged' });

export const Hold = z.strictObject({ until: DateText, note: line(500).optional() }).meta({ id: 'Hold' });

export const CustomerStats = z
  .object({
    total: z.int(),
    by_status: z.object(
      Object.fromEntries(CUSTOMER_STATUSES.map(status => [status, z.int()])) as Record<
        (typeof CUSTOMER_STATUSES)[number],
        z.ZodInt
      >,
    ),
    by_plan: z.array(z.object({ service_plan_id: Id, name: z.string(), count: z.int() })),
    new_this_month: z.int().describe('Created since the month began, in the provider’s time zone.'),
  })
  .meta({ id: 'CustomerStats' });
