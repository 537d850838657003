import { sql } from 'drizzle-orm';
import { checkBalances } from '../billing/check-balances.ts';
import { draftBatch, issueDrafts, termsOf, type Selection } from '../billing/issue.ts';
import { markOverdue, suspendOverdue, useCredits } from '../billing/overdue.ts';
import { addMonths, daysIn, dueDateOf, firstDay, lastDay, parsePeriod, type Period } from '../billing/periods.ts';
import { hasInvoice, isServedIn, type Candidate } from '../billing/subscriptions.ts';
import type { Context } from '../context.ts';
import { commitDirectory } from '../db/commit.ts';
import { runTogether } from '../db/session.ts';
import { Fault } from '../errors.ts';
import { logFailure } from '../log.ts';
import { addDays, businessDate, localDate } from '../lib/time.ts';
import { applyDuePlanChanges } from '../resources/customers/actions.ts';
import { customers } from '../resources/customers/table.ts';
import { selectSettings, type SettingsRow } from '../resources/settings/index.ts';
import { openDirectory } from '../tenancy/directory.ts';

/**
 * The day of an ISP, begun after its own midnight. Each step asks what is so by now, so that a day that is run twice,
 * late or not at all changes nothing more than it must.
 */

/** A day of the tenant's calendar for which it hasn't run yet. */
export const isDailyDue = (tenant: { timezone: string; daily_done_on: string | null }, now: number): boolean =>
  (tenant.daily_done_on ?? '') < localDate(now, tenant.timezone);

export async function runDaily(ctx: Context): Promise<void> {
  const today = businessDate(ctx);
  const steps = {
    applyDuePlanChanges,
    useCredits,
    issueDue: (of: Context) => issueDue(of, today),
    markOverdue,
    suspendOverdue,
  };
  let failure: unknown = null;
  // one that fails doesn't keep the others from their day; the whole of it is tried again
  for (const [step, run] of Object.entries(steps))
    await run(ctx).catch((error: unknown) => {
      logFailure({ job: 'daily', step, tenant: ctx.tenant.slug }, error);
      failure = error;
    });
  if (failure) throw failure;
  await noteDone(ctx, today);
  await checkBalances(ctx);
}

/** From then on the cron sends no message for that day. */
async function noteDone(ctx: Context, date: string): Promise<void> {
  const db = await openDirectory(ctx.env);
  const done = db.orm.run(sql`
    UPDATE tenants SET daily_done_on = ${date} WHERE id = ${ctx.tenant.id} AND coalesce(daily_done_on, '') < ${date}`);
  await commitDirectory(db, [done]);
}

/** How long after its due date an invoice that no run made is still made by itself. */
const LOOK_BACK_DAYS = 31;

/** Invoices whose due date comes within the days of the settings, or has gone by without one. */
async function issueDue(ctx: Context, today: string): Promise<void> {
  const [[settings]] = await runTogether(ctx.db, [selectSettings(ctx)]);
  const window = { from: addDays(today, -LOOK_BACK_DAYS), to: addDays(today, settings!.invoice_days_before_due) };
  const last = parsePeriod(window.to);
  for (let month = parsePeriod(window.from); firstDay(month) <= lastDay(last); month = addMonths(month, 1))
    await issueMonth(ctx, settings!, month, window);
}

interface Window {
  from: string;
  to: string;
}

const MOST_ROUNDS = 20;

/** Whoever changed while the invoice was made is looked at again. */
async function issueMonth(ctx: Context, settings: SettingsRow, month: Period, window: Window): Promise<void> {
  const selection = selectDueIn(ctx, month, window);
  const terms = { ...termsOf(ctx, settings), notice_days: settings.invoice_days_before_due };
  for (let rounds = 0; rounds < MOST_ROUNDS; rounds++) {
    let skipped = 0;
    for (let cursor = ''; ;) {
      const batch = await draftBatch(ctx, selection, terms, cursor);
      if (batch.cursor === null) break;
      cursor = batch.cursor;
      if (batch.drafts.length > 0) skipped += await issueDrafts(ctx, batch.drafts, settings.invoice_number_pattern);
    }
    if (skipped === 0) return;
  }
  logFailure({ job: 'issue-invoices', tenant: ctx.tenant.slug }, new Fault('customers change all the time'));
}

/** Dues of that month: prepaid for it, postpaid for the month before. Not of days before the customer was here, or of that day. */
function selectDueIn(ctx: Context, month: Period, { from, to }: Window): Selection {
  const billed = { prepaid: month, postpaid: addMonths(month, -1) };
  const days = daysIn(month);
  const [first, latest] = [
    from <= firstDay(month) ? 1 : Number(from.slice(8)),
    to >= lastDay(month) ? 31 : Number(to.slice(8)),
  ];
  // a due day that the month lacks is its last day
  const in_window = sql`min(${customers.due_day}, ${days}) BETWEEN ${Math.min(first, days)} AND ${latest}`;
  const wanted = (
    type: 'prepaid' | 'postpaid',
  ) => sql`(${customers.billing_type} = ${type} AND ${isServedIn(billed[type])}
    AND NOT ${hasInvoice(billed[type], { void_too: true })})`;
  const periodOf = (candidate: Candidate): Period | null => {
    const period = billed[candidate.billing_type];
    const due_date = dueDateOf(period, candidate);
    const here_since = localDate(Date.parse(candidate.created_at), ctx.tenant.timezone);
    const is_of_then = due_date <= here_since || due_date <= (candidate.activation_date ?? '');
    return is_of_then || due_date < from || due_date > to ? null : period;
  };
  return {
    where: sql`${in_window} AND (${wanted('prepaid')} OR ${wanted('postpaid')})`,
    periodOf,
    from: billed.postpaid,
  };
}
