import { z } from 'zod';
import { DateText, Id, Instant, line } from '../../http/fields.ts';
import { RECEIPT_METHODS } from './table.ts';

export const Receipt = z
  .object({
    id: Id,
    number: z.string(),
    customer_id: Id,
    amount: z.int(),
    unallocated: z.int().describe('What no due has been settled with: the customer’s credit.'),
    payment_method: z.enum(RECEIPT_METHODS),
    received_at: Instant,
    received_on: DateText.describe('The business date of it.'),
    received_by: Id.nullable(),
    reference_number: z.string().nullable(),
    notes: z.string().nullable(),
    voided_at: Instant.nullable(),
    voided_on: DateText.nullable(),
    voided_by: Id.nullable(),
    void_reason: z.string().nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Receipt' });

export const ReceiptDetail = Receipt.extend({
  allocations: z
    .array(z.object({ payment_id: Id, amount: z.int() }))
    .describe('The dues that were settled with it, each in whole or as a part of its own.'),
}).meta({ id: 'ReceiptDetail' });

export const VoidInput = z.strictObject({ reason: line(500) }).meta({ id: 'VoidInput' });
