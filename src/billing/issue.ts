import { sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson, insertMany } from '../db/bulk.ts';
import { commit, type Write } from '../db/commit.ts';
import { read } from '../db/session.ts';
import { insertCreatedEvents, insertEventsFrom } from '../events/event.ts';
import { addDays, businessDate, toIso } from '../lib/time.ts';
import type { InvoiceRow } from '../resources/invoices/table.ts';
import { invoices } from '../resources/invoices/table.ts';
import { payments, type PaymentRow } from '../resources/payments/table.ts';
import { receipt_allocations, type AllocationRow } from '../resources/receipts/table.ts';
import type { SettingsRow } from '../resources/settings/table.ts';
import { actingUser, splitDue } from './account.ts';
import { chargeNothing, chargePeriod, type Charges, type ChargeTerms } from './charges.ts';
import { UNTOLD_OF_INVOICE, UNTOLD_OF_PAYMENT } from './events.ts';
import { seriesOf } from './numbers.ts';
import { dueDateOf, formatPeriod, lastDay, addMonths, type Period } from './periods.ts';
import { spread } from './settlement.ts';
import { groupFacts, selectCandidates, selectFacts, toSubscription, type Candidate, type KnownOfCustomer } from './subscriptions.ts'; // prettier-ignore

/** Invoices, for one customer or ten thousand: decided in TypeScript, written in few statements. */

/** An invoice before the database gave it its number. */
export interface Draft {
  candidate: Pick<Candidate, 'id' | 'updated_at' | 'account_version'>;
  invoice: Omit<InvoiceRow, 'number' | 'period'>;
  payments: PaymentRow[];
  allocations: AllocationRow[];
  billed_changes: string[];
  carried_from: string[];
  /** Dues of that month, open or paid, that were recorded before there was an invoice: they are its own now. */
  attached: string[];
}

/** Why a customer gets no invoice now. */
export type Refusal = 'unpriced' | 'nothing_to_charge' | 'charged_already';

export function termsOf(ctx: Context, settings: SettingsRow): ChargeTerms {
  const { tax_rate_bp, bill_suspended_periods } = settings;
  return { tax_rate_bp, bill_suspended_periods, locale: ctx.tenant.locale, today: businessDate(ctx) };
}

/** The next month's invoice, where it charges the tail of this one already. */
const findChargedBy = ({ invoices: found }: KnownOfCustomer, period: Period) =>
  found.find(
    invoice =>
      invoice.status !== 'void' &&
      invoice.period === formatPeriod(addMonths(period, 1)) &&
      invoice.service_from <= lastDay(period),
  );

/** What one customer is charged for a month, or why nothing. */
export function draftInvoice(
  ctx: Context,
  candidate: Candidate,
  known: KnownOfCustomer,
  period: Period,
  terms: ChargeTerms,
): Draft | Refusal {
  if (candidate.fee === null) return 'unpriced';
  if (findChargedBy(known, period)) return 'charged_already';
  const charges = chargePeriod(toSubscription(ctx, candidate, candidate.fee, known, period), period, terms);
  if (!charges) return 'nothing_to_charge';
  return toDraft(ctx, candidate, known, period, terms, charges);
}

function toDraft(
  ctx: Context,
  candidate: Candidate,
  known: KnownOfCustomer,
  period: Period,
  terms: ChargeTerms,
  charges: Charges,
): Draft {
  const invoice = makeInvoice(ctx, candidate, period, terms, charges);
  const { billed_changes, carried_from } = charges;
  return { candidate, invoice, ...makeDue(ctx, invoice, candidate, known), billed_changes, carried_from };
}

function dueDateFor(candidate: Candidate, period: Period, { today, notice_days }: ChargeTerms): string {
  const due_date = dueDateOf(period, candidate);
  return notice_days !== undefined && due_date <= today ? addDays(today, notice_days) : due_date;
}

function makeInvoice(ctx: Context, candidate: Candidate, period: Period, terms: ChargeTerms, charges: Charges) {
  const at = toIso(ctx.now);
  const { lines, service_from, subtotal, tax, total, carried_over } = charges;
  return {
    id: ctx.newId(),
    customer_id: candidate.id,
    period_month: period.month,
    period_year: period.year,
    issue_date: terms.today,
    due_date: dueDateFor(candidate, period, terms),
    service_from,
    status: total === 0 ? ('paid' as const) : ('pending' as const),
    void_reason: null,
    subtotal,
    tax_rate_bp: terms.tax_rate_bp,
    tax,
    total,
    lines,
    carried_over,
    carried_to: null,
    created_at: at,
    updated_at: at,
  };
}

/**
 * The invoice's due, less what was recorded for that month already. What the customer has paid before is used first,
 * unless older dues are open: those come before, by the daily job.
 */
function makeDue(
  ctx: Context,
  invoice: Draft['invoice'],
  { outstanding_balance }: Candidate,
  { credits, recorded }: KnownOfCustomer,
) {
  const { customer_id, due_date, period_month, period_year, total, created_at, updated_at, issue_date } = invoice;
  const own = recorded.filter(({ period }) => period === formatPeriod({ year: period_year, month: period_month }));
  const attached = own.map(({ id }) => id);
  const amount = total - own.reduce((sum, payment) => sum + payment.amount, 0);
  if (amount <= 0) return { payments: [], allocations: [], attached };
  const due: PaymentRow = {
    id: ctx.newId(),
    customer_id,
    invoice_id: invoice.id,
    parent_id: null,
    amount,
    status: 'pending',
    void_reason: null,
    due_date,
    owed_since: issue_date,
    payment_date: null,
    payment_method: null,
    payment_for: 'monthly_subscription',
    period_month,
    period_year,
    period: null,
    reference_number: null,
    notes: null,
    processed_by: null,
    created_at,
    updated_at,
  };
  const usable = outstanding_balance === 0 ? credits : [];
  const sources = usable.map(({ id, amount }) => ({ receipt_id: id, amount }));
  const done = {
    status: 'paid' as const,
    payment_date: issue_date,
    payment_method: 'credit' as const,
    processed_by: actingUser(ctx),
  };
  const { patch, children, allocations } = splitDue(ctx, due, spread([due], sources), done);
  return { payments: [{ ...due, ...patch }, ...children], allocations, attached };
}

const isAmong = (ids: string): SQL => sql`id IN (SELECT value FROM json_each(${ids}))`;

const json = (values: readonly unknown[]): string[] => chunkJson(values.map(value => JSON.stringify(value)));

/**
 * The writes of these invoices, in their order. Each is skipped whose customer, dues or receipts changed since they were
 * read, or who has an invoice for that month by now: they are drafted anew.
 */
export function writeDrafts(ctx: Context, drafts: readonly Draft[], pattern: string): Write[] {
  if (drafts.length === 0) return [];
  const { db } = ctx;
  const if_issued = {
    only: (of: (key: string) => SQL) => sql`EXISTS (SELECT 1 FROM invoices WHERE id = ${of('invoice_id')})`,
  };
  const if_paid = {
    only: (of: (key: string) => SQL) => sql`EXISTS (SELECT 1 FROM payments WHERE id = ${of('payment_id')})`,
  };
  const dues = drafts.flatMap(draft => draft.payments);
  return [
    ...insertInvoices(ctx, drafts, pattern),
    ...insertMany(db, payments, dues, if_issued),
    ...insertMany(db, receipt_allocations, drafts.flatMap(draft => draft.allocations), if_paid), // prettier-ignore
    ...markCharged(ctx, 'customer_plan_changes', 'invoice_id', drafts, draft => draft.billed_changes),
    ...markCharged(ctx, 'invoices', 'carried_to', drafts, draft => draft.carried_from),
    ...attachRecorded(ctx, drafts),
    ...json(drafts.map(draft => draft.invoice.id)).map(chunk =>
      insertCreatedEvents(ctx, 'invoice.created', invoices, isAmong(chunk), UNTOLD_OF_INVOICE),
    ),
    ...json(dues.map(due => due.id)).map(chunk =>
      insertCreatedEvents(ctx, 'payment.created', payments, isAmong(chunk), UNTOLD_OF_PAYMENT),
    ),
  ];
}

/** Numbers follow each other without a gap: the sequence moves by as many as were inserted. */
function insertInvoices(ctx: Context, drafts: readonly Draft[], pattern: string): Write[] {
  const { orm } = ctx.db;
  const { sequence, before, after, digits } = seriesOf('invoice', pattern, businessDate(ctx));
  const rows = drafts.map(({ invoice: i, candidate: c }) => [
    i.id, i.customer_id, i.period_month, i.period_year, i.issue_date, i.due_date, i.service_from, i.status, i.subtotal,
    i.tax_rate_bp, i.tax, i.total, JSON.stringify(i.lines), i.carried_over, Date.parse(c.updated_at), c.account_version,
  ]); // prettier-ignore
  return json(rows).flatMap(chunk => [
    orm.run(sql`
      INSERT INTO invoices (id, customer_id, period_month, period_year, issue_date, due_date, service_from, status, subtotal,
        tax_rate_bp, tax, total, lines, carried_over, created_at, updated_at, number)
      SELECT v.value ->> 0, c.id, v.value ->> 2, v.value ->> 3, v.value ->> 4, v.value ->> 5, v.value ->> 6, v.value ->> 7,
        v.value ->> 8, v.value ->> 9, v.value ->> 10, v.value ->> 11, v.value ->> 12, v.value ->> 13, ${ctx.now}, ${ctx.now},
        ${before} || printf(${`%0${digits}d`}, row_number() OVER (ORDER BY v.key)
          + coalesce((SELECT value FROM sequences WHERE name = ${sequence}), 0)) || ${after}
      FROM json_each(${chunk}) AS v CROSS JOIN customers AS c ON c.id = v.value ->> 1
        AND c.updated_at = v.value ->> 14 AND c.account_version = v.value ->> 15
      WHERE NOT EXISTS (SELECT 1 FROM invoices AS i WHERE i.customer_id = c.id AND i.period_year = v.value ->> 3
        AND i.period_month = v.value ->> 2 AND i.status <> 'void')`),
    orm.run(sql`
      INSERT INTO sequences (name, value) SELECT ${sequence}, changes() WHERE changes() > 0
      ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`),
  ]);
}

/** What these invoices charge is charged. */
function markCharged(
  ctx: Context,
  table: 'customer_plan_changes' | 'invoices' | 'payments',
  column: 'invoice_id' | 'carried_to',
  drafts: readonly Draft[],
  of: (draft: Draft) => readonly string[],
): Write[] {
  const pairs = drafts.flatMap(draft => of(draft).map(id => [id, draft.invoice.id]));
  return json(pairs).map(chunk =>
    ctx.db.orm.run(sql`
      UPDATE ${sql.raw(table)} SET ${sql.raw(column)} = v.value ->> 1, updated_at = max(${ctx.now}, updated_at + 1)
      FROM json_each(${chunk}) AS v
      WHERE ${sql.raw(table)}.id = v.value ->> 0 AND EXISTS (SELECT 1 FROM invoices AS i WHERE i.id = v.value ->> 1)`),
  );
}

/** Told of as changes of dues that stood before; not those of an invoice that was skipped. */
function attachRecorded(ctx: Context, drafts: readonly Draft[]): Write[] {
  const pairs = json(drafts.flatMap(draft => draft.attached.map(id => [id, draft.invoice.id])));
  const tell = pairs.map(chunk =>
    insertEventsFrom(
      ctx,
      { type: 'payment.updated', action: 'update' },
      sql`SELECT p.id AS entity_id, p.customer_id, json_object('invoice_id', json_array(NULL, p.invoice_id)) AS changes
        FROM json_each(${chunk}) AS v JOIN payments AS p ON p.id = v.value ->> 0 AND p.invoice_id = v.value ->> 1`,
    ),
  );
  return [...markCharged(ctx, 'payments', 'invoice_id', drafts, draft => draft.attached), ...tell];
}

/** How many customers are decided on at once. */
const CHUNK = 2500;

export interface Batch {
  drafts: Draft[];
  unpriced: Candidate[];
  /** The last customer that was looked at; null when there is none left. */
  cursor: string | null;
}

export interface Selection {
  where: SQL;
  /** Which month a customer is charged for; null: none now. */
  periodOf(candidate: Candidate): Period | null;
  /** The earliest of them. */
  from: Period;
}

/** Drafts for the next customers in the order of their ids. */
export async function draftBatch(
  ctx: Context,
  { where, periodOf, from }: Selection,
  terms: ChargeTerms,
  cursor: string,
): Promise<Batch> {
  const [candidates] = await read(ctx, selectCandidates(ctx, where, cursor, CHUNK));
  const wanted = candidates.flatMap(candidate => {
    const period = periodOf(candidate);
    return period ? [{ candidate, period }] : [];
  });
  const batch: Batch = { drafts: [], unpriced: [], cursor: candidates.at(-1)?.id ?? null };
  if (wanted.length === 0) return batch;
  const ids = wanted.map(({ candidate }) => candidate.id);
  const knownOf = groupFacts(await read(ctx, ...selectFacts(ctx, ids, from)));
  for (const { candidate, period } of wanted) {
    const known = knownOf(candidate.id);
    const draft = draftInvoice(ctx, candidate, known, period, terms);
    if (draft === 'unpriced') batch.unpriced.push(candidate);
    else if (typeof draft !== 'string') batch.drafts.push(draft);
    else if (draft === 'charged_already' && terms.notice_days === undefined) {
      // of a run each who is served has an invoice of the month: this one says where its days are
      const charges = chargeNothing(findChargedBy(known, period)!, period, terms);
      batch.drafts.push(toDraft(ctx, candidate, known, period, terms, charges));
    }
  }
  return batch;
}

/** How many of these were issued, in SQL. */
export const countIssued = (drafts: readonly Draft[]): SQL<number> =>
  sql`(SELECT count(*) FROM invoices WHERE id IN
    (SELECT value FROM json_each(${JSON.stringify(drafts.map(draft => draft.invoice.id))})))`;

/** Issues them; gives how many were skipped, since something of theirs changed meanwhile. */
export async function issueDrafts(ctx: Context, drafts: readonly Draft[], pattern: string): Promise<number> {
  const count = ctx.db.orm.all<{ issued: number }>(sql`SELECT ${countIssued(drafts)} AS issued`);
  const results = await commit(ctx, [...writeDrafts(ctx, drafts, pattern), count]);
  return drafts.length - (results.at(-1) as [{ issued: number }])[0].issued;
}
