import { and, eq, inArray, isNull, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { exactly, during, list, suchThat, within, type Search, type Within } from '../../http/list.ts';
import { Id, QueryBoolean, queryInt } from '../../http/fields.ts';
import { fold } from '../../lib/text.ts';
import { localDate, startOfDate, startOfMonth } from '../../lib/time.ts';
import { selectCustomerRows } from '../../provisioning/apply.ts';
import { DEVICE_TYPES, devices } from '../devices/table.ts';
import { provisioning, type ProvisioningRow } from '../provisioning/table.ts';
import { service_plans, type PlanForLine } from '../service-plans/table.ts';
import { selectPlansForLines } from '../service-plans/index.ts';
import { selectSettings, type SettingsRow } from '../settings/index.ts';
import { Customer, CustomerPlanChange, CustomerStatus, type CustomerStats } from './schema.ts';
import {
  customer_plan_changes,
  BILLING_TYPES,
  CONNECTION_TYPES,
  customers,
  CUSTOMER_STATUSES,
  PAYMENT_STANDINGS,
  type CustomerRow,
} from './table.ts';

const present = isNull(customers.deleted_at);

/**
 * Rows whose folded name, code, phone, e-mail, PPPoE name or address holds the folded term. The trigram index knows
 * terms of three characters and more; shorter ones are looked for in every row.
 */
function searchCustomers(term: string): Search {
  const folded = fold(term);
  if ([...folded].length < 3) return { where: sql`instr(${customers.search_text}, ${folded}) > 0` };
  const phrase = `"${folded.replaceAll('"', '""')}"`;
  return {
    index: sql`customers_search`,
    where: sql`customers_search MATCH ${phrase} AND customers.rowid = customers_search.rowid`,
  };
}

/** What was measured longer ago says nothing of now. */
const LINES_ARE_FRESH_MS = 15 * 60_000;

/**
 * By the last round of measuring of the line's router. Of hotspot and static lines, of one without a router and of one whose
 * router is away, nobody knows: they are neither.
 */
function isOnline(ctx: Context, is_online: boolean): SQL {
  const measured = sql`routers r JOIN line_measurements m ON m.router_id = r.id AND r.status = 'online'
    AND m.measured_at = (SELECT max(measured_at) FROM line_measurements WHERE router_id = r.id)
    AND m.measured_at > ${ctx.now - LINES_ARE_FRESH_MS}`;
  // one value for both: of two, SQLite goes through the whole set for each that isn't in it
  const on_line = sql`customers.router_id || ' ' || customers.pppoe_username IN
    (SELECT r.id || ' ' || (line.value ->> 'name') FROM ${measured} CROSS JOIN json_each(m.lines) AS line)`;
  const is_known = sql`customers.router_id IN (SELECT r.id FROM ${measured}) AND customers.connection_type = 'pppoe'`;
  // the name of a line that has ended may be another's by now
  const has_ended = sql`(customers.status = 'terminated' OR customers.pppoe_username IS NULL)`;
  return is_online
    ? sql`${is_known} AND NOT ${has_ended} AND (${on_line})`
    : sql`${is_known} AND (${has_ended} OR NOT (${on_line}))`;
}

/** A device of that type is theirs. */
const hasDevice = (_: Context, device_type: string): SQL =>
  sql`customers.id IN (SELECT customer_id FROM ${devices} WHERE device_type = ${device_type} AND customer_id IS NOT NULL)`;

export const customer_list = list({
  table: customers,
  base: present,
  counter: 'customers',
  filters: {
    status: exactly(customers.status, CustomerStatus),
    service_plan_id: exactly(customers.service_plan_id, Id),
    router_id: exactly(customers.router_id, Id),
    zone_id: exactly(customers.zone_id, Id),
    connection_type: exactly(customers.connection_type, z.enum(CONNECTION_TYPES)),
    billing_type: exactly(customers.billing_type, z.enum(BILLING_TYPES)),
    due_day: within(customers.due_day, queryInt()),
    installation_date: within(customers.installation_date, z.iso.date()),
    last_payment_date: within(customers.last_payment_date, z.iso.date()),
    outstanding_balance: within(customers.outstanding_balance, queryInt()),
    payment_status: exactly(customers.payment_status, z.enum(PAYMENT_STANDINGS)),
    online: suchThat(
      QueryBoolean.describe(
        'As its router was last measured, no longer than 15 minutes ago; what isn’t known is neither.',
      ),
      isOnline,
    ),
    device_type: suchThat(z.enum(DEVICE_TYPES).describe('A device of that type is theirs.'), hasDevice),
    created_at: during(customers.created_at),
  },
  dynamic: {
    prefix: 'custom_fields.',
    key: /^[a-z][a-z0-9_]{0,39}$/,
    most: 10,
    condition: (key, value) =>
      sql`${customers.id} IN (SELECT customer_id FROM customer_custom_fields WHERE key = ${key} AND value = ${value})`,
  },
  sort: [
    'created_at',
    'updated_at',
    'full_name',
    'customer_code',
    'status',
    'due_day',
    'outstanding_balance',
    'last_payment_date',
  ],
  default_sort: '-created_at',
  ties: [customers.created_at, customers.id],
  search: searchCustomers,
  fields: Object.keys(Customer.shape),
  omit: ['search_text'],
});

export const plan_change_list = list({
  table: customer_plan_changes,
  filters: {},
  sort: ['created_at', 'effective_date'],
  default_sort: '-created_at',
  fields: Object.keys(CustomerPlanChange.shape),
});

export const selectCustomer = (ctx: Context, id: string | SQL) =>
  ctx.db.orm
    .select()
    .from(customers)
    .where(and(eq(customers.id, id), present));

export async function getCustomer(ctx: Context, id: string): Promise<CustomerRow> {
  const [[customer]] = await read(ctx, selectCustomer(ctx, id));
  if (!customer) throw notFound('customer');
  return customer;
}

/** What a change of a line is decided on: the customer, its plan, its rows of desired state, and the settings. */
export const selectLine = (ctx: Context, id: string | SQL) =>
  [
    selectCustomer(ctx, id),
    selectPlansForLines(
      ctx,
      sql`${service_plans.id} = (SELECT service_plan_id FROM ${customers} WHERE ${customers.id} = ${id})`,
    ),
    selectCustomerRows(ctx, id),
    selectSettings(ctx),
  ] as const;

export interface Line {
  customer: CustomerRow;
  plan: PlanForLine;
  rows: ProvisioningRow[];
  settings: SettingsRow;
}

type Selected = [
  (CustomerRow | undefined)[],
  (PlanForLine | undefined)[],
  ProvisioningRow[],
  (SettingsRow | undefined)[],
];

export function toLine([[customer], [plan], rows, [settings]]: Selected): Line {
  if (!customer) throw notFound('customer');
  return { customer, plan: plan!, rows, settings: settings! };
}

/** The same of many: of the customers for whom this is so. */
export async function readLines(ctx: Context, where: SQL): Promise<Line[]> {
  const these = sql`(SELECT id FROM customers WHERE ${and(where, present)})`;
  const [found, plans, rows, [settings]] = await read(
    ctx,
    ctx.db.orm.select().from(customers).where(and(where, present)),
    selectPlansForLines(ctx, sql`${service_plans.id} IN (SELECT service_plan_id FROM customers WHERE id IN ${these})`),
    ctx.db.orm.select().from(provisioning).where(inArray(provisioning.customer_id, these)).orderBy(provisioning.id),
    selectSettings(ctx),
  );
  const rows_of = Map.groupBy(rows, row => row.customer_id);
  const plan_of = new Map(plans.map(plan => [plan.id, plan]));
  return found.map(customer => ({
    customer,
    plan: plan_of.get(customer.service_plan_id)!,
    rows: rows_of.get(customer.id) ?? [],
    settings: settings!,
  }));
}

/** Sub-lists of a customer answer 404 when the customer isn't there. */
export const ofCustomer = (ctx: Context, id: string, where: SQL): Within => ({
  where,
  owner: ctx.db.orm
    .select({ id: customers.id })
    .from(customers)
    .where(and(eq(customers.id, id), present)),
  what: 'customer',
});

/** From the kept counters: no customer is counted. */
export async function readStats(ctx: Context): Promise<z.input<typeof CustomerStats>> {
  const month = startOfMonth(localDate(ctx.now, ctx.tenant.timezone));
  const since = startOfDate(month, ctx.tenant.timezone);
  const names = ['customers', ...CUSTOMER_STATUSES.map(status => `customers:status:${status}`)];
  const [kept, by_plan, [recent]] = await read(
    ctx,
    ctx.db.orm.all<{ name: string; value: number }>(
      sql`SELECT name, value FROM counters WHERE ${inArray(sql`name`, names)}`,
    ),
    ctx.db.orm.all<{ service_plan_id: string; name: string; count: number }>(sql`
      SELECT p.id AS service_plan_id, p.name, c.value AS count
      FROM ${service_plans} p JOIN counters c ON c.name = 'customers:plan:' || p.id
      WHERE c.value > 0 ORDER BY c.value DESC, p.name`),
    ctx.db.orm.all<{ count: number }>(
      sql`SELECT count(*) AS count FROM customers WHERE deleted_at IS NULL AND created_at >= ${since}`,
    ),
  );
  const count = (name: string) => kept.find(counter => counter.name === name)?.value ?? 0;
  const by_status = Object.fromEntries(CUSTOMER_STATUSES.map(status => [status, count(`customers:status:${status}`)]));
  return {
    total: count('customers'),
    by_status: by_status as Record<(typeof CUSTOMER_STATUSES)[number], number>,
    by_plan,
    new_this_month: recent!.count,
  };
}
