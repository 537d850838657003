import { z } from 'zod';
import { DateText, Id, Instant, queryInt } from '../../http/fields.ts';
import { exactly, list, within } from '../../http/list.ts';
import { PAYMENT_METHODS, PAYMENT_PURPOSES, PAYMENT_STATUSES, payments } from './table.ts';

export { payments } from './table.ts';

export const Payment = z
  .object({
    id: Id,
    customer_id: Id,
    invoice_id: Id.nullable(),
    parent_id: Id.nullable().describe('The due that this part was settled of.'),
    amount: z.int(),
    status: z.enum(PAYMENT_STATUSES),
    void_reason: z.string().nullable(),
    due_date: DateText,
    payment_date: DateText.nullable(),
    payment_method: z.enum(PAYMENT_METHODS).nullable(),
    payment_for: z.enum(PAYMENT_PURPOSES),
    period_month: z.int().nullable(),
    period_year: z.int().nullable(),
    reference_number: z.string().nullable(),
    notes: z.string().nullable(),
    processed_by: Id.nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Payment' });

/** The dues of one customer, the newest due date first. */
export const payment_list = list({
  table: payments,
  filters: {
    status: exactly(payments.status, z.enum(PAYMENT_STATUSES)),
    payment_method: exactly(payments.payment_method, z.enum(PAYMENT_METHODS)),
    payment_for: exactly(payments.payment_for, z.enum(PAYMENT_PURPOSES)),
    due_date: within(payments.due_date, DateText),
    payment_date: within(payments.payment_date, DateText),
    amount: within(payments.amount, queryInt()),
  },
  sort: ['due_date', 'amount', 'created_at'],
  default_sort: '-due_date',
  fields: Object.keys(Payment.shape),
});
