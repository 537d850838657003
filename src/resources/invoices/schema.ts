import { z } from 'zod';
import { DateText, Id, Instant, line, Money, PeriodText } from '../../http/fields.ts';
import { INVOICE_STATUSES } from './table.ts';

const Line = z.object({ description: z.string(), quantity: z.int(), unit_price: z.int(), amount: z.int() });

export const Invoice = z
  .object({
    id: Id,
    number: z.string(),
    customer_id: Id,
    period_month: z.int(),
    period_year: z.int(),
    issue_date: DateText,
    due_date: DateText,
    service_from: DateText.describe('The first day that it charges.'),
    status: z.enum(INVOICE_STATUSES).describe('As its payments say.'),
    void_reason: z.string().nullable(),
    subtotal: z.int(),
    tax_rate_bp: z.int().describe('Hundredths of a percent.'),
    tax: z.int(),
    total: z.int(),
    lines: z.array(Line),
    carried_over: z.int().describe('What could not be deducted (0 or below): the next invoice deducts it.'),
    carried_to: Id.nullable().describe('The invoice that deducted it.'),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Invoice' });

export const InvoiceInput = z
  .strictObject({
    customer_id: Id,
    period: PeriodText,
    discount: Money.optional().describe('Taken off this invoice, before tax.'),
    discount_reason: line(200).optional(),
  })
  .meta({ id: 'InvoiceInput' });
