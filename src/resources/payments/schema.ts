import { z } from 'zod';
import { DateText, Id, Instant, line, Money, MoneyDate, note } from '../../http/fields.ts';
import { ReceiptDetail } from '../receipts/index.ts';
import { RECEIPT_METHODS } from '../receipts/table.ts';
import { PAYMENT_METHODS, PAYMENT_PURPOSES, PAYMENT_STATUSES } from './table.ts';

export const Payment = z
  .object({
    id: Id,
    customer_id: Id,
    invoice_id: Id.nullable(),
    parent_id: Id.nullable().describe('The due that this part was settled of.'),
    amount: z.int().describe('Whole units of the currency.'),
    status: z.enum(PAYMENT_STATUSES),
    void_reason: z.string().nullable(),
    due_date: DateText,
    owed_since: DateText.describe('When it was recorded, or opened again: grace days begin with it at the earliest.'),
    payment_date: DateText.nullable(),
    payment_method: z.enum(PAYMENT_METHODS).nullable().describe('`credit`: money that had come in before.'),
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

const PaymentDate = MoneyDate.describe('The business date on which the money came in: today or before.');
const Method = z.enum(RECEIPT_METHODS);

export const PaymentInput = z
  .strictObject({
    customer_id: Id,
    amount: Money,
    due_date: MoneyDate.optional().describe(
      'Default: the customer’s due day in the period; else the payment date or today.',
    ),
    payment_for: z.enum(PAYMENT_PURPOSES).optional().describe('Default monthly_subscription.'),
    period_month: z.int().min(1).max(12).optional(),
    period_year: z.int().min(2000).max(2099).optional(),
    payment_date: PaymentDate.optional().describe('Given: the money has come in, and the payment is `paid`.'),
    payment_method: Method.optional().describe('Of a paid one. Default cash.'),
    reference_number: line(100).optional(),
    notes: note(1000).optional(),
  })
  .meta({ id: 'PaymentInput' });

export const Settlement = z
  .strictObject({
    amount: Money.describe('The whole due or a part of it.'),
    payment_method: z.enum(PAYMENT_METHODS).describe('`credit`: from what the customer has paid before.'),
    payment_date: PaymentDate.optional(),
    reference_number: line(100).optional(),
    notes: note(1000).optional(),
  })
  .meta({ id: 'Settlement' });

export const SettledPayment = Payment.extend({
  receipt: ReceiptDetail.nullable().describe('The money that came in; null where credit was used.'),
}).meta({ id: 'SettledPayment' });

export const CounterPayment = z
  .strictObject({
    amount: Money,
    payment_method: Method,
    payment_date: PaymentDate.optional(),
    reference_number: line(100).optional(),
    notes: note(1000).optional(),
  })
  .meta({ id: 'CounterPayment' });

export const PaymentStatusChange = z
  .strictObject({
    status: z.enum(PAYMENT_STATUSES).describe('`paid` or `void`; the others follow from dates.'),
    payment_date: PaymentDate.optional().describe('Of `paid`. Default today.'),
    payment_method: Method.optional().describe('Of `paid`. Default cash.'),
    reference_number: line(100).optional(),
    void_reason: line(500).optional(),
  })
  .meta({ id: 'PaymentStatusChange' });

const Amounts = z.object({ count: z.int(), amount: z.int() });

export const PaymentStats = z
  .object({
    month: z.string(),
    total: z.int().describe('All payments, of whatever status.'),
    by_status: z.object({ pending: Amounts, paid: Amounts, overdue: Amounts, void: Amounts }),
    revenue: z.int().describe('Payments paid in the month, by their payment date.'),
    last_revenue: z.int().describe('The same of the month before.'),
    growth_percent: z
      .number()
      .nullable()
      .describe('(revenue − last_revenue) ÷ last_revenue × 100; null with nothing last.'),
    cash: z.int().describe('Receipts of the month that aren’t void: money that came in, credit too.'),
    last_cash: z.int(),
    today: z.object({ revenue: z.int(), cash: z.int() }).describe('Of the provider’s present day.'),
  })
  .meta({ id: 'PaymentStats' });
