import { expect } from 'vitest';

/** What must be true of money, counted anew from the rows: nothing that a trigger keeps is believed here. */

interface Owner {
  id: string;
  outstanding_balance: number;
  credit_balance: number;
  overdue_balance: number;
  payment_status: string;
  late: number;
  last_payment_date: string | null;
  owed: number;
  received: number;
  used: number;
  last_received: string | null;
}

const OWNERS = `
  SELECT c.id, c.outstanding_balance, c.credit_balance, c.overdue_balance, c.payment_status, c.last_payment_date,
    (SELECT coalesce(sum(amount), 0) FROM payments WHERE customer_id = c.id AND status = 'overdue') AS late,
    (SELECT coalesce(sum(amount), 0) FROM payments WHERE customer_id = c.id AND status IN ('pending', 'overdue')) AS owed,
    (SELECT coalesce(sum(amount), 0) FROM receipts WHERE customer_id = c.id AND voided_at IS NULL) AS received,
    (SELECT coalesce(sum(a.amount), 0) FROM receipt_allocations a JOIN receipts r ON r.id = a.receipt_id
      WHERE r.customer_id = c.id) AS used,
    (SELECT max(received_on) FROM receipts WHERE customer_id = c.id AND voided_at IS NULL) AS last_received
  FROM customers c WHERE c.id IN (SELECT value FROM json_each(?1))`;

/** A paid due holds exactly one allocation, of its whole amount and of a receipt of its owner; any other due none. */
const UNPAID_ALLOCATIONS = `
  SELECT p.id, p.status, p.amount, count(a.payment_id) AS n, coalesce(sum(a.amount), 0) AS allocated,
    count(CASE WHEN r.customer_id <> p.customer_id OR r.voided_at IS NOT NULL THEN 1 END) AS of_others
  FROM payments p LEFT JOIN receipt_allocations a ON a.payment_id = p.id LEFT JOIN receipts r ON r.id = a.receipt_id
  WHERE p.customer_id IN (SELECT value FROM json_each(?1)) GROUP BY p.id
  HAVING (p.status = 'paid' AND (n <> 1 OR allocated <> p.amount)) OR (p.status <> 'paid' AND n > 0) OR of_others > 0`;

const RECEIPTS = `
  SELECT r.id, r.amount, r.unallocated, r.voided_at, coalesce(sum(a.amount), 0) AS used
  FROM receipts r LEFT JOIN receipt_allocations a ON a.receipt_id = r.id
  WHERE r.customer_id IN (SELECT value FROM json_each(?1)) GROUP BY r.id
  HAVING r.unallocated <> iif(r.voided_at IS NULL, r.amount - used, 0) OR used > r.amount`;

/** What its payments say, in words: one that is overdue makes it so, then one that waits, then one that is paid. */
const INVOICES = `
  SELECT i.id, i.status, i.total, i.subtotal, i.tax, i.tax_rate_bp, group_concat(p.status) AS said,
    coalesce(sum(CASE WHEN p.status <> 'void' THEN p.amount END), 0) AS billed
  FROM invoices i LEFT JOIN payments p ON p.invoice_id = i.id
  WHERE i.customer_id IN (SELECT value FROM json_each(?1)) GROUP BY i.id`;

interface InvoiceSaid {
  id: string;
  status: string;
  total: number;
  subtotal: number;
  tax: number;
  tax_rate_bp: number;
  said: string | null;
  billed: number;
}

function statusSaid({ status, said, total }: InvoiceSaid): string {
  // nothing to pay: there is nobody to say it
  if (said === null) return total === 0 && status !== 'void' ? 'paid' : status;
  const statuses = said.split(',');
  return ['overdue', 'pending', 'paid'].find(each => statuses.includes(each)) ?? 'void';
}

function checkInvoice(invoice: InvoiceSaid): void {
  const { id, status, total, subtotal, tax, tax_rate_bp, said, billed } = invoice;
  expect(status, `invoice ${id}, whose payments say ${said}`).toBe(statusSaid(invoice));
  expect(tax, `tax of invoice ${id}`).toBe(Math.round((subtotal * tax_rate_bp) / 10_000));
  expect(total).toBe(subtotal + tax);
  // what was voided by itself is owed no more
  if (said && status !== 'void' && !said.includes('void')) expect(billed, `billed by invoice ${id}`).toBe(total);
}

/** P22a, for these customers. */
export async function checkBooks(d1: D1Database, ...customer_ids: string[]): Promise<void> {
  const ids = JSON.stringify(customer_ids);
  const statements = [OWNERS, UNPAID_ALLOCATIONS, RECEIPTS, INVOICES].map(sql => d1.prepare(sql).bind(ids));
  const [owners, wrong_dues, wrong_receipts, invoices] = (await d1.batch(statements)).map(({ results }) => results);
  expect(owners).toHaveLength(customer_ids.length);
  for (const owner of owners as Owner[]) {
    const { outstanding_balance, credit_balance, overdue_balance, payment_status, last_payment_date } = owner;
    expect({ outstanding_balance, credit_balance, overdue_balance, payment_status, last_payment_date }).toEqual({
      outstanding_balance: owner.owed,
      overdue_balance: owner.late,
      payment_status: owner.late > 0 ? 'overdue' : owner.owed > 0 ? 'pending' : 'paid',
      credit_balance: owner.received - owner.used,
      last_payment_date: owner.last_received,
    });
  }
  expect(wrong_dues).toEqual([]);
  expect(wrong_receipts).toEqual([]);
  for (const invoice of invoices as unknown as InvoiceSaid[]) checkInvoice(invoice);
}

/** However a due was split, taken back and split again: its parts come to what it was. */
export async function checkNothingLost(d1: D1Database, customer_id: string, owed: Map<string, number>): Promise<void> {
  const { results } = await d1
    .prepare(
      `WITH RECURSIVE parts (root, id, amount) AS (
        SELECT id, id, amount FROM payments WHERE customer_id = ?1 AND parent_id IS NULL
        UNION ALL SELECT parts.root, p.id, p.amount FROM payments p JOIN parts ON p.parent_id = parts.id)
      SELECT root, sum(amount) AS amount FROM parts GROUP BY root`,
    )
    .bind(customer_id)
    .all<{ root: string; amount: number }>();
  const found = Object.fromEntries(results.map(({ root, amount }) => [root, amount]));
  expect(found).toMatchObject(Object.fromEntries(owed));
}

/** Each series of numbers begins at one and has no gap, whatever was voided or lost a race. */
export async function checkNumbers(d1: D1Database): Promise<void> {
  for (const table of ['receipts', 'invoices']) {
    const { results } = await d1.prepare(`SELECT number FROM ${table}`).all<{ number: string }>();
    const series = Map.groupBy(results, ({ number }) => number.slice(0, number.lastIndexOf('/')));
    for (const [name, members] of series) {
      const numbers = members.map(({ number }) => Number(number.slice(name.length + 1))).sort((a, b) => a - b);
      expect(numbers, `${table} of ${name}`).toEqual(numbers.map((_number, at) => at + 1));
    }
  }
}
