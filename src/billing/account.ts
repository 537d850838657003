import { and, asc, eq, gt, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { insertMany } from '../db/bulk.ts';
import { commit, mustChange, mustHold, RaceLost, type Write } from '../db/commit.ts';
import { read } from '../db/session.ts';
import type { NewEvent } from '../events/event.ts';
import { businessDate, toIso } from '../lib/time.ts';
import { prepareResumption } from '../resources/customers/line-change.ts';
import { selectLine, toLine, type Line } from '../resources/customers/queries.ts';
import { is_open, payments, type PaymentRow } from '../resources/payments/table.ts';
import { receipt_allocations, receipts, type AllocationRow, type ReceiptRow } from '../resources/receipts/table.ts';
import { paymentChanged, paymentCreated } from './events.ts';
import { mayResume, type Part } from './settlement.ts';

/** A customer's account: what is open, what is left of receipts, and the one way in which both change. */

export interface Account {
  line: Line;
  /** Pending and overdue, the oldest due date first. */
  dues: PaymentRow[];
  /** With something left, the oldest first. */
  credits: ReceiptRow[];
}

/** The account of a customer, by id or by a statement that gives it. */
export const selectAccount = (ctx: Context, customer_id: string | SQL) =>
  [
    ...selectLine(ctx, customer_id),
    ctx.db.orm
      .select()
      .from(payments)
      .where(and(eq(payments.customer_id, customer_id), is_open))
      .orderBy(asc(payments.due_date), asc(payments.id)),
    ctx.db.orm
      .select()
      .from(receipts)
      .where(and(eq(receipts.customer_id, customer_id), gt(receipts.unallocated, 0)))
      .orderBy(asc(receipts.received_at), asc(receipts.id)),
  ] as const;

type Selected = [...Parameters<typeof toLine>[0], PaymentRow[], ReceiptRow[]];

export function toAccount([customer, plan, rows, settings, dues, credits]: Selected): Account {
  return { line: toLine([customer, plan, rows, settings]), dues, credits };
}

export async function readAccount(ctx: Context, customer_id: string | SQL): Promise<Account> {
  return toAccount(await read(ctx, ...selectAccount(ctx, customer_id)));
}

/** What happens to an account at once. */
export interface AccountChange {
  /** Before all else: a receipt, a new due. */
  writes?: readonly Write[];
  parts?: readonly Part[];
  /** How the parts are paid. */
  paid?: Paid;
  /** Open dues that are open no more for another reason. */
  closed?: readonly string[];
  /** Dues that are open again. */
  reopened?: readonly PaymentRow[];
  /** Follow the events of the dues. */
  events?: readonly NewEvent[];
}

export type Paid = Pick<PaymentRow, 'payment_date' | 'payment_method' | 'reference_number'>;

export interface AccountChanged {
  /** Rows of `writes`, one list for each. */
  rows: unknown[][];
  allocations: AllocationRow[];
  /** The dues that were settled in whole or part, as they are now. */
  dues: PaymentRow[];
}

/**
 * Commits it if the account is as it was read, and brings the line back where it was cut for dues and none is left that
 * is past its date.
 */
export async function changeAccount(
  request: Context,
  account: Account,
  change: AccountChange,
): Promise<AccountChanged> {
  // If-Match speaks of what the request names, not of the customer
  const ctx = { ...request, if_match: null };
  const { line, dues } = account;
  const { writes = [], parts = [], closed = [], reopened = [], events = [] } = change;
  const settled = parts.length > 0 ? settleParts(ctx, dues, parts, change.paid!) : NOTHING;
  const gone = new Set([...closed, ...settled.dues.filter(due => due.status === 'paid').map(due => due.id)]);
  const open = [...dues, ...reopened].filter(due => !gone.has(due.id));
  const may_resume = gone.size > 0 && mayResume(line.customer, open, businessDate(ctx));
  const resumption = may_resume ? prepareResumption(ctx, line) : null;
  const results = await commit(
    ctx,
    [accountAsRead(line), ...writes, ...settled.writes, ...(resumption?.writes ?? [])],
    ...(resumption ? [resumption.event] : []),
    ...settled.events,
    ...events,
  );
  return { rows: results.slice(1, writes.length + 1), allocations: settled.allocations, dues: settled.dues };
}

/** Decided on what is no longer so: decided again. Whoever suspends meanwhile must be seen too, or stays suspended. */
const accountAsRead = ({ customer }: Line): Write =>
  mustHold(
    sql`EXISTS (SELECT 1 FROM customers WHERE id = ${customer.id} AND account_version = ${customer.account_version}
      AND status = ${customer.status} AND suspension_reason IS ${customer.suspension_reason} AND deleted_at IS NULL)`,
    new RaceLost(),
  );

interface Settled extends Pick<AccountChanged, 'allocations' | 'dues'> {
  writes: Write[];
  events: NewEvent[];
}

const NOTHING: Settled = { writes: [], events: [], allocations: [], dues: [] };

/**
 * The open part of a due keeps its id, status and due date; each part that is settled while some is left becomes a paid
 * row of its own. Each paid row has exactly one allocation, of its whole amount.
 */
function settleParts(ctx: Context, dues: readonly PaymentRow[], parts: readonly Part[], paid: Paid): Settled {
  const settled: Settled = { writes: [], events: [], allocations: [], dues: [] };
  for (const [payment_id, of_due] of Map.groupBy(parts, part => part.payment_id))
    settleDue(
      ctx,
      settled,
      dues.find(each => each.id === payment_id)!,
      of_due,
      {
        ...paid,
        status: 'paid' as const,
        processed_by: actingUser(ctx),
      },
    );
  settled.writes.push(...insertMany(ctx.db, receipt_allocations, settled.allocations));
  return settled;
}

function settleDue(
  ctx: Context,
  settled: Settled,
  due: PaymentRow,
  parts: readonly Part[],
  done: Partial<PaymentRow>,
): void {
  const { patch, children, allocations } = splitDue(ctx, due, parts, done);
  const after = { ...due, ...patch, updated_at: toIso(Math.max(ctx.now, Date.parse(due.updated_at) + 1)) };
  const update = ctx.db.orm
    .update(payments)
    .set({ ...patch, updated_at: after.updated_at })
    .where(and(eq(payments.id, due.id), is_open));
  const receiptOf = (id: string) => allocations.find(each => each.payment_id === id)?.receipt_id;
  settled.dues.push(after);
  settled.writes.push(mustChange(update, new RaceLost()), ...insertMany(ctx.db, payments, children));
  settled.events.push(
    ...children.map(child => paymentCreated(child, receiptOf(child.id))),
    paymentChanged(due, patch, patch.status === 'paid' ? 'paid' : 'updated', receiptOf(due.id)),
  );
  settled.allocations.push(...allocations);
}

/** What parts make of a due: what changes of itself, rows for what is settled while some is left, and whose money it was. */
export function splitDue(
  ctx: Context,
  due: PaymentRow,
  parts: readonly Part[],
  done: Partial<PaymentRow>,
): { patch: Partial<PaymentRow>; children: PaymentRow[]; allocations: AllocationRow[] } {
  const last = parts.find(part => part.settles);
  const split = parts.filter(part => part !== last);
  const at = toIso(ctx.now);
  const { period: _period, ...columns } = due;
  // a reference of the due's own stays where the money brings none
  const settled = { ...done, reference_number: done.reference_number ?? due.reference_number };
  const children = split.map(({ amount }) => {
    const own = { id: ctx.newId(), parent_id: due.id, amount, created_at: at, updated_at: at };
    return { ...columns, ...settled, ...own } as PaymentRow;
  });
  const left = due.amount - split.reduce((sum, part) => sum + part.amount, 0);
  const ids = [...children.map(child => child.id), due.id];
  return {
    patch: { ...(left !== due.amount && { amount: left }), ...(last && settled) },
    children,
    allocations: [...split, ...(last ? [last] : [])].map(({ receipt_id, amount }, index) => ({
      receipt_id,
      payment_id: ids[index]!,
      amount,
    })),
  };
}

export const actingUser = (ctx: Context): string | null => (ctx.actor.kind === 'user' ? ctx.actor.id : null);
