import { and, asc, eq, gt, isNull, or, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { localDate, startOfDate } from '../lib/time.ts';
import { customer_plan_changes, customers } from '../resources/customers/table.ts';
import { invoices } from '../resources/invoices/table.ts';
import { receipts } from '../resources/receipts/table.ts';
import { service_plans } from '../resources/service-plans/table.ts';
import type { FeeChange, Subscription } from './charges.ts';
import { addMonths, firstDay, formatPeriod, lastDay, parsePeriod, type Period } from './periods.ts';

/** What an invoice is made from, for many customers at once: one read for who they are, one for all about them. */

/** In the order of their ids, after `cursor`. */
export const selectCandidates = (ctx: Context, where: SQL, cursor: string, most: number) =>
  ctx.db.orm
    .select({
      id: customers.id,
      customer_code: customers.customer_code,
      status: customers.status,
      billing_type: customers.billing_type,
      due_day: customers.due_day,
      fee: sql<number | null>`coalesce(${customers.monthly_fee}, ${service_plans.price})`.as('fee'),
      service_plan_id: customers.service_plan_id,
      plan_name: sql<string>`${service_plans.name}`.as('plan_name'),
      plan_price: sql<number | null>`${service_plans.price}`.as('plan_price'),
      activation_date: customers.activation_date,
      termination_date: customers.termination_date,
      is_imported: sql`EXISTS (SELECT 1 FROM import_items AS m WHERE m.customer_id = ${customers.id})`
        .mapWith(Boolean)
        .as('is_imported'),
      created_at: customers.created_at,
      updated_at: customers.updated_at,
      account_version: customers.account_version,
      outstanding_balance: customers.outstanding_balance,
    })
    .from(customers)
    .innerJoin(service_plans, eq(service_plans.id, customers.service_plan_id))
    .where(and(isNull(customers.deleted_at), gt(customers.id, cursor), where))
    .orderBy(asc(customers.id))
    .limit(most);

export type Candidate = Awaited<ReturnType<typeof selectCandidates>>[number];

/** Who may have been served in that month; of the ended, who ended since it began. */
export const isServedIn = (period: Period): SQL => sql`(${customers.status} IN ('active', 'suspended')
  OR (${customers.status} = 'terminated' AND ${customers.termination_date} >= ${firstDay(period)}))`;

export const hasInvoice = (period: Period, options: { void_too: boolean }): SQL => sql`EXISTS (
  SELECT 1 FROM invoices AS i WHERE i.customer_id = ${customers.id} AND i.period_year = ${period.year}
    AND i.period_month = ${period.month} ${options.void_too ? sql`` : sql`AND i.status <> 'void'`})`;

const in_list = (column: SQL | unknown, ids: readonly string[]): SQL =>
  sql`${column} IN (SELECT value FROM json_each(${chunkJson(ids.map(id => JSON.stringify(id)))[0] ?? '[]'}))`;

/** `from`: the earliest month that is charged. */
export function selectFacts(ctx: Context, ids: readonly string[], from: Period) {
  const { orm } = ctx.db;
  const since = firstDay(addMonths(from, -1));
  // those issued since charge the new fee by themselves; one that begins after its month charges nothing
  const standing = sql`FROM invoices AS i WHERE i.customer_id = ${customer_plan_changes.customer_id} AND i.status <> 'void'
    AND i.created_at <= ${customer_plan_changes.applied_at} AND substr(i.service_from, 1, 7) <= i.period`;
  // an invoice of the first months charges the rest of the month before, too
  const months = sql<string>`(SELECT json_group_array(month) FROM (
    SELECT i.period AS month ${standing} UNION SELECT substr(i.service_from, 1, 7) ${standing})
    WHERE month >= substr(${customer_plan_changes.effective_date}, 1, 7))`;
  return [
    orm.all<ChangeFound>(sql`
      SELECT id, customer_id, effective_date, from_fee, to_fee, invoice_id, ${months} AS invoiced_months,
        (SELECT name FROM service_plans WHERE id = from_plan_id) AS from_name,
        (SELECT price FROM service_plans WHERE id = from_plan_id) AS from_price,
        (SELECT name FROM service_plans WHERE id = to_plan_id) AS to_name,
        (SELECT price FROM service_plans WHERE id = to_plan_id) AS to_price
      FROM ${customer_plan_changes}
      WHERE ${in_list(sql`customer_id`, ids)} AND applied_at IS NOT NULL AND (invoice_id IS NULL OR effective_date > ${since})
      ORDER BY effective_date, applied_at, id`),
    orm.all<{ customer_id: string; started_on: string; ended_on: string | null }>(sql`
      SELECT customer_id, started_on, ended_on FROM customer_suspensions
      WHERE ${in_list(sql`customer_id`, ids)} AND (ended_on IS NULL OR ended_on > ${since})`),
    orm
      .select({
        id: invoices.id,
        number: invoices.number,
        customer_id: invoices.customer_id,
        period: invoices.period,
        status: invoices.status,
        service_from: invoices.service_from,
        carried_over: invoices.carried_over,
        carried_to: invoices.carried_to,
      })
      .from(invoices)
      .where(
        and(
          in_list(invoices.customer_id, ids),
          or(sql`${invoices.period} >= ${since.slice(0, 7)}`, sql`${invoices.carried_over} < 0`),
        ),
      ),
    orm
      .select({ id: receipts.id, customer_id: receipts.customer_id, amount: receipts.unallocated })
      .from(receipts)
      .where(and(in_list(receipts.customer_id, ids), gt(receipts.unallocated, 0)))
      .orderBy(asc(receipts.received_at), asc(receipts.id)),
    orm.all<RecordedFound>(sql`
      SELECT id, customer_id, period, amount FROM payments INDEXED BY payments_without_invoice
      WHERE ${in_list(sql`customer_id`, ids)} AND invoice_id IS NULL AND period IS NOT NULL
        AND period >= ${since.slice(0, 7)} AND payment_for = 'monthly_subscription' AND status <> 'void'`),
    orm.all<PriceChange>(sql`
      SELECT plan_id, effective_at AS at_ms, changes ->> '$.price[0]' AS price FROM service_plan_changes
      WHERE effective_at >= ${startOfDate(firstDay(from), ctx.tenant.timezone)} AND changes ->> '$.price[0]' IS NOT NULL
      ORDER BY effective_at, id`),
  ] as const;
}

/** What a plan cost until then. */
interface PriceChange {
  plan_id: string;
  at_ms: number;
  price: number;
}

interface RecordedFound {
  id: string;
  customer_id: string;
  period: string;
  amount: number;
}

interface ChangeFound {
  id: string;
  customer_id: string;
  effective_date: string;
  from_fee: number | null;
  to_fee: number | null;
  invoice_id: string | null;
  invoiced_months: string;
  from_name: string;
  from_price: number | null;
  to_name: string;
  to_price: number | null;
}

type InvoiceFound = {
  id: string;
  number: string;
  customer_id: string;
  period: string | null;
  status: string;
  service_from: string;
  carried_over: number;
  carried_to: string | null;
};

export type Facts = [
  ChangeFound[],
  { customer_id: string; started_on: string; ended_on: string | null }[],
  InvoiceFound[],
  { id: string; customer_id: string; amount: number }[],
  RecordedFound[],
  PriceChange[],
];

export interface KnownOfCustomer {
  changes: ChangeFound[];
  suspensions: Facts[1];
  invoices: InvoiceFound[];
  credits: Facts[3];
  /** Dues for a month, open or paid, without an invoice. */
  recorded: RecordedFound[];
  /** Of all plans, in their order. */
  prices: PriceChange[];
}

/** The facts of one customer out of those of many. */
export function groupFacts([changes, suspensions, found, credits, recorded, prices]: Facts): (
  customer_id: string,
) => KnownOfCustomer {
  const by = <T extends { customer_id: string }>(rows: readonly T[]) => Map.groupBy(rows, row => row.customer_id);
  const [a, b, c, d, e] = [by(changes), by(suspensions), by(found), by(credits), by(recorded)];
  return id => ({
    changes: a.get(id) ?? [],
    suspensions: b.get(id) ?? [],
    invoices: c.get(id) ?? [],
    credits: d.get(id) ?? [],
    recorded: e.get(id) ?? [],
    prices,
  });
}

/** What the plan cost when that month ended, where it costs something else by now. */
function priceThen(
  ctx: Context,
  { service_plan_id, plan_price }: Candidate,
  { prices }: KnownOfCustomer,
  period: Period,
) {
  const ended_ms = startOfDate(firstDay(addMonths(period, 1)), ctx.tenant.timezone);
  const since = prices.find(change => change.plan_id === service_plan_id && change.at_ms >= ended_ms);
  return since?.price ?? plan_price;
}

/** `fee`: what is paid now; whoever pays the plan's price paid what it was. */
export function toSubscription(
  ctx: Context,
  candidate: Candidate,
  fee: number,
  known: KnownOfCustomer,
  period: Period,
): Subscription {
  const { plan_name, plan_price, ...own } = candidate;
  const before = formatPeriod(addMonths(period, -1));
  const price = priceThen(ctx, candidate, known, period);
  return {
    ...own,
    fee: fee === plan_price ? price! : fee,
    known_since: localDate(Date.parse(candidate.created_at), ctx.tenant.timezone),
    plan: { name: plan_name, price },
    changes: known.changes.map(toFeeChange),
    suspensions: known.suspensions,
    carried: known.invoices
      .filter(invoice => invoice.carried_over < 0 && invoice.carried_to === null && invoice.status !== 'void')
      .map(({ id, number, carried_over }) => ({ invoice_id: id, number, amount: carried_over })),
    month_before_invoiced: known.invoices.some(
      ({ period: of, service_from }) => of === before && service_from <= lastDay(parsePeriod(before)),
    ),
  };
}

const toFeeChange = (found: ChangeFound): FeeChange => ({
  id: found.id,
  effective_date: found.effective_date,
  from_fee: found.from_fee,
  to_fee: found.to_fee,
  from_plan: { name: found.from_name, price: found.from_price },
  to_plan: { name: found.to_name, price: found.to_price },
  is_billed: found.invoice_id !== null,
  invoiced_months: JSON.parse(found.invoiced_months) as string[],
});
