import { sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { chunkJson } from '../../db/bulk.ts';
import { commit, mustHold, RaceLost, updateRow, type Write } from '../../db/commit.ts';
import { duplicate } from '../../errors.ts';
import type { NewEvent } from '../../events/event.ts';
import { businessDate } from '../../lib/time.ts';
import { setDesired } from '../../provisioning/set-desired.ts';
import { checkPoolRoom } from '../ip-pools/index.ts';
import { plansMustBeAsRead } from '../service-plans/index.ts';
import type { PlanForLine } from '../service-plans/table.ts';
import type { SettingsRow } from '../settings/index.ts';
import { customerChanged, customerChanges } from './events.ts';
import type { Line } from './queries.ts';
import * as rules from './rules.ts';
import { customers, type CustomerRow } from './table.ts';

/** The one door through which customers change: their rows, what the routers must now hold, and the events, together. */

type Patch = Partial<CustomerRow>;

export interface LineChange {
  plan?: PlanForLine;
  password_changed?: boolean;
  writes?: Write[];
  data?: Record<string, unknown>;
}

/** What a change of a line comes to: the writes, of which the first gives the customer's row, and the event of it. */
export interface LineWrites {
  writes: Write[];
  event: NewEvent;
}

export async function changeLine(
  ctx: Context,
  line: Line,
  patch: Patch,
  happened: string,
  change: LineChange = {},
): Promise<CustomerRow> {
  const prepared = prepareLine(ctx, line, patch, happened, change);
  if (!prepared) return line.customer;
  const [[changed]] = (await commit(ctx, prepared.writes, prepared.event)) as [[CustomerRow]];
  return changed;
}

/** Null where nothing changes. */
function prepareLine(
  ctx: Context,
  line: Line,
  patch: Patch,
  happened: string,
  change: LineChange = {},
): LineWrites | null {
  const { customer, rows, settings } = line;
  const write = updateRow(ctx, customers, customer, patch);
  if (Object.keys(customerChanges(customer, patch)).length === 0 && !change.writes?.length) return null;
  const after = { ...customer, ...patch };
  const plan = change.plan ?? line.plan;
  rules.checkLine([customer, line.plan], [after, plan]);
  const desired = setDesired(ctx, {
    customer: after,
    plan,
    settings,
    rows,
    stays_suspended: customer.status === 'suspended' && (patch.status ?? 'suspended') === 'suspended',
    password_changed: change.password_changed,
  });
  const event = customerChanged(customer, patch, happened, { routers: desired.routers, data: change.data });
  const room = rules.takesAddress(customer, after) ? checkPoolRoom(ctx, after, plan.address_pool) : [];
  const address = rules.comesToAddress(customer, after) ? checkAddressFree(after) : [];
  const decided = plan.id !== line.plan.id ? [plansMustBeAsRead(plan)] : [];
  const as_read = desired.routers.length > 0 ? [mustBeDecidedAnew(plan, settings)] : [];
  const writes = [write, ...(change.writes ?? []), ...decided, ...as_read, ...address, ...room, ...desired.writes];
  return { writes, event };
}

/** For whoever changes more than the line in the same batch: it was cut for dues, and none is left that is past its date. */
export function prepareResumption(ctx: Context, line: Line): LineWrites {
  const date = businessDate(ctx);
  const patch = rules.resume(line.customer, { date, today: date });
  return prepareLine(ctx, line, patch, 'resumed', { data: { date, reason: 'paid' } })!;
}

/** Cuts many lines for their dues, all or none: as they were read, `still` being so. */
export async function suspendLines(ctx: Context, lines: readonly Line[], still: Write): Promise<void> {
  const date = businessDate(ctx);
  const [{ settings }] = lines as [Line];
  const changes = lines.map(line => {
    const patch = rules.suspend(line.customer, { date, today: date, reason: 'overdue' });
    const after = { ...line.customer, ...patch };
    return { line, patch, desired: { customer: after, plan: line.plan, settings, rows: line.rows } };
  });
  const desired = setDesired(ctx, ...changes.map(change => change.desired));
  const versions = lines.map(({ customer }) => JSON.stringify([customer.id, Date.parse(customer.updated_at)]));
  const [as_read] = chunkJson(versions);
  const found = sql`(SELECT count(*) FROM json_each(${as_read}) AS v
    JOIN customers AS c ON c.id = v.value ->> 0 AND c.updated_at = v.value ->> 1)`;
  const cut = ctx.db.orm.run(sql`
    UPDATE customers SET status = 'suspended', status_since = ${date}, suspension_reason = 'overdue',
      updated_at = max(${ctx.now}, updated_at + 1)
    WHERE id IN (SELECT value ->> 0 FROM json_each(${as_read}))`);
  const plans = new Map(lines.map(({ plan }) => [plan.id, plan]));
  const writes = [
    mustHold(sql`${found} = ${lines.length}`, new RaceLost()),
    still,
    ...[...plans.values()].map(plan => mustBeDecidedAnew(plan, settings)),
    cut,
    ...desired.writes,
  ];
  const events = changes.map(({ line, patch }) => {
    const routers = line.customer.router_id === null ? [] : [line.customer.router_id];
    return customerChanged(line.customer, patch, 'suspended', { routers, data: { date, reason: 'overdue' } });
  });
  await commit(ctx, writes, ...events);
}

/** What a line must be was decided by its plan's settings and the tenant's: if one of them changed, it is decided again. */
const mustBeDecidedAnew = (plan: PlanForLine, settings: SettingsRow): Write =>
  mustHold(
    sql`(SELECT updated_at FROM service_plan_settings WHERE plan_id = ${plan.id}) IS ${plan.settings_updated_at}
      AND (SELECT updated_at FROM settings) = ${Date.parse(settings.updated_at)}`,
    new RaceLost(),
  );

/** Two lines of one router can't have one address. What an import found there stays as it was found. */
export function checkAddressFree(line: { id: string; router_id: string | null; static_ip?: string | null }): Write[] {
  const { id, router_id, static_ip = null } = line;
  if (static_ip === null || router_id === null) return [];
  const others = sql`SELECT 1 FROM customers WHERE static_ip = ${static_ip} AND router_id = ${router_id} AND id <> ${id}
    AND status <> 'terminated' AND deleted_at IS NULL`;
  return [mustHold(sql`NOT EXISTS (${others})`, duplicate('static_ip'))];
}
