import { and, asc, gt, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit, mustHold, RaceLost } from '../db/commit.ts';
import { runTogether } from '../db/session.ts';
import { AppError } from '../errors.ts';
import { insertEventsFrom } from '../events/event.ts';
import { logFailure } from '../log.ts';
import { businessDate } from '../lib/time.ts';
import { suspendLines } from '../resources/customers/line-change.ts';
import { readLines } from '../resources/customers/queries.ts';
import { customers } from '../resources/customers/table.ts';
import { readAccount } from './account.ts';
import { useCredit } from './receive.ts';

/** What becomes of dues that aren't paid: overdue, and after the grace days the line is cut. */

const MOST_AT_ONCE = 2000;

/** Past their date, on the tenant's calendar. Each is told of once: it is pending no more. */
export async function markOverdue(ctx: Context): Promise<void> {
  const late = sql`SELECT id FROM payments WHERE status = 'pending' AND due_date < ${businessDate(ctx)}
    ORDER BY due_date, id LIMIT ${MOST_AT_ONCE}`;
  for (;;) {
    const [found] = await runTogether(ctx.db, [ctx.db.orm.all(late)]);
    if (found.length === 0) return;
    const tell = insertEventsFrom(
      ctx,
      { type: 'payment.overdue', action: 'update' },
      sql`SELECT id AS entity_id, customer_id, '{"status":["pending","overdue"]}' AS changes FROM payments WHERE id IN (${late})`,
    );
    const mark = ctx.db.orm.run(sql`
      UPDATE payments SET status = 'overdue', updated_at = max(${ctx.now}, updated_at + 1) WHERE id IN (${late})`);
    await commit(ctx, [tell, mark]);
    if (found.length < MOST_AT_ONCE) return;
  }
}

/** Of one invocation: each is settled by itself, and D1 takes 1,000 queries of one. */
const MOST_CREDITS = 40;

/** Money that is there beside dues that are open (what a voided due leaves, say) goes to the oldest of them. */
export async function useCredits(ctx: Context): Promise<void> {
  const [found] = await runTogether(ctx.db, [
    ctx.db.orm.all<{ id: string }>(sql`
      SELECT id FROM customers WHERE outstanding_balance > 0 AND credit_balance > 0 AND deleted_at IS NULL
      ORDER BY updated_at, id LIMIT ${MOST_CREDITS + 1}`),
  ]);
  for (const { id } of found.slice(0, MOST_CREDITS))
    // whoever has money here isn't cut, so that one who fails can wait for the next day
    await tryAgain(() => useCreditOf(ctx, id)).catch(error =>
      logFailure({ job: 'use-credits', customer_id: id }, error),
    );
  if (found.length > MOST_CREDITS) await ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'daily' });
}

async function useCreditOf(ctx: Context, id: string): Promise<void> {
  const account = await readAccount(ctx, id);
  if (account.dues.length > 0 && account.credits.length > 0)
    await useCredit(ctx, account, account.dues, { most: Number.MAX_SAFE_INTEGER, reference_number: null });
}

const MOST_RACES = 10;

async function tryAgain(work: () => Promise<void>): Promise<void> {
  for (let races = 0; ; races++)
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof RaceLost) || races === MOST_RACES) throw error;
    }
}

/**
 * Whom the daily job cuts: active, with automatic isolir, no promise to pay that still runs, no money of theirs unused,
 * and a due that is overdue for longer than the grace days, which begin when it is recorded at the earliest.
 */
const mayBeCut = (date: string): SQL => sql`${customers.status} = 'active' AND ${customers.deleted_at} IS NULL
  AND ${customers.auto_isolir} = 1 AND coalesce(${customers.hold_until}, '') < ${date} AND ${customers.credit_balance} = 0
  AND EXISTS (
    SELECT 1 FROM payments AS p INDEXED BY payments_open
    WHERE p.customer_id = ${customers.id} AND p.status IN ('pending', 'overdue') AND p.status = 'overdue' AND date(
      max(p.due_date, p.owed_since),
      '+' || coalesce(
        (SELECT s.grace_period_days FROM service_plan_settings AS s WHERE s.plan_id = ${customers.service_plan_id}),
        (SELECT grace_days FROM settings)
      ) || ' days'
    ) < ${date}
  )`;

/** How many lines are cut in one batch. */
const CUT_AT_ONCE = 200;

/** Whether they may still be cut is asked in the batch that cuts them: whatever was paid by then counts. */
export async function suspendOverdue(ctx: Context): Promise<void> {
  const [found] = await runTogether(ctx.db, [
    ctx.db.orm
      .select({ id: customers.id })
      .from(customers)
      .where(and(gt(customers.outstanding_balance, 0), mayBeCut(businessDate(ctx))))
      .orderBy(asc(customers.id)),
  ]);
  const ids = found.map(({ id }) => id);
  for (let at = 0; at < ids.length; at += CUT_AT_ONCE) await suspendSome(ctx, ids.slice(at, at + CUT_AT_ONCE));
}

/** One that can't be cut, or changes all the time, doesn't keep the others from it. */
async function suspendSome(ctx: Context, ids: readonly string[]): Promise<void> {
  try {
    await suspendAll(ctx, ids);
  } catch (error) {
    if (!(error instanceof RaceLost || error instanceof AppError)) throw error;
    for (const id of ids)
      await tryAgain(() => suspendAll(ctx, [id])).catch(reason =>
        logFailure({ job: 'suspend-overdue', customer_id: id }, reason),
      );
  }
}

async function suspendAll(ctx: Context, ids: readonly string[]): Promise<void> {
  const may_be_cut = (list: readonly string[]) =>
    sql`${customers.id} IN (SELECT value FROM json_each(${JSON.stringify(list)})) AND ${mayBeCut(businessDate(ctx))}`;
  const lines = await readLines(ctx, may_be_cut(ids));
  if (lines.length === 0) return;
  const still = may_be_cut(lines.map(({ customer }) => customer.id));
  const count = sql`(SELECT count(*) FROM customers WHERE ${still})`;
  await suspendLines(ctx, lines, mustHold(sql`${count} = ${lines.length}`, new RaceLost()));
}
