import { and, asc, eq, isNotNull, lte, sql, type SQL } from 'drizzle-orm';
import { fingerprintSecret } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { commit, type Write } from '../db/commit.ts';
import { AppError } from '../errors.ts';
import { retryDelay_ms } from '../lib/retry.ts';
import { toIso } from '../lib/time.ts';
import type { ApplyAnswer, EntryResult, Outcome } from '../protocol/messages.ts';
import { provisioning } from '../resources/provisioning/table.ts';
import { toAppError } from './ask-router.ts';
import { applyToRouter, BridgeCallFailed } from './bridge-client.ts';
import { describeTask } from './describe.ts';
import { observeBridge, observeFailure, observeRouters } from './observe.ts';
import { storeApplied, type Applied } from './settle.ts';
import { holdBack, wakeReturned } from './settle-circuit.ts';
import { openPasswords, passwordPlace, readTask, type DueRow, type Task } from './task.ts';

/** Brings what routers hold to what the table says, through the bridge, and stores what the router confirmed. */

/** Rows of one apply: enough to be quick, few enough that a slow router is done before the call is given up. */
const MOST_ROWS = 500;

const UNREACHABLE_BACKOFF = { first_ms: 5_000, most_ms: 5 * 60_000 };
const REFUSED_BACKOFF = { first_ms: 60_000, most_ms: 60 * 60_000 };

export interface ApplyResult {
  /** When there is more to do on this router, epoch ms; null when it is as it should be. */
  next_attempt_ms: number | null;
  /** Why the router couldn't be looked at. */
  failure: AppError | null;
}

const NOTHING_TO_DO: ApplyResult = { next_attempt_ms: null, failure: null };

/** What is due on one router; or, for `customer_id`, everything of that customer there, due or not. */
export async function applyDesired(
  ctx: Context,
  router_id: string,
  customer_id?: string,
  is_second_try = false,
): Promise<ApplyResult> {
  const which = customer_id
    ? eq(provisioning.customer_id, customer_id)
    : lte(provisioning.next_attempt_at, toIso(ctx.now));
  const task = await readTask(ctx, router_id, which, MOST_ROWS);
  if (task instanceof AppError) return { next_attempt_ms: null, failure: task };
  if (!task || task.rows.length === 0) return NOTHING_TO_DO;
  const held_until = customer_id === undefined ? await holdBack(ctx, task.router) : null;
  if (held_until !== null) return { next_attempt_ms: held_until, failure: null };
  const { item_passwords, unopened } = await openPasswords(ctx, task.rows);
  const { entries, refused } = await describeTask(ctx, leaveOut(task, unopened), item_passwords);
  await refuse(ctx, task, [...unopened.map(row => ({ row, error: UNOPENED })), ...refused]);
  const asked = leaveOut(task, [...unopened, ...refused.map(({ row }) => row)]);
  const has_more = task.rows.length >= MOST_ROWS;
  if (asked.rows.length === 0) return has_more ? { next_attempt_ms: ctx.now, failure: null } : NOTHING_TO_DO;
  let answer: ApplyAnswer;
  try {
    answer = await applyToRouter(
      ctx,
      task.bridge,
      task.router,
      { entries, dry_run: false, is_whole: false },
      { item_passwords, someone_waits: customer_id !== undefined },
    );
  } catch (error) {
    if (!(error instanceof BridgeCallFailed)) throw error;
    // somebody waits for the answer, and a newer state came in between: that one is asked for
    const is_stale = error.code === 'STALE_REVISION' && customer_id !== undefined;
    if (is_stale && !is_second_try) return applyDesired(ctx, router_id, customer_id, true);
    return postpone(ctx, asked, error);
  }
  await confirm(ctx, asked, answer.entries, item_passwords, seen(ctx, task));
  const waiting = answer.entries.filter(entry => FAILED[entry.outcome]).length;
  if (has_more) return { next_attempt_ms: ctx.now, failure: null };
  return { next_attempt_ms: waiting > 0 ? ctx.now + REFUSED_BACKOFF.first_ms : null, failure: null };
}

const leaveOut = (task: Task, rows: readonly DueRow[]): Task => ({
  ...task,
  rows: task.rows.filter(row => !rows.includes(row)),
});

const UNOPENED = 'Its PPPoE password can’t be opened with the sealing keys of this deployment: set it anew.';

/** What can't be asked of a router at all is told where people look. */
async function refuse(ctx: Context, task: Task, refused: readonly { row: DueRow; error: string }[]): Promise<void> {
  if (refused.length === 0) return;
  const results = refused.map(({ row, error }): EntryResult => ({
    ref: row.id,
    generation: row.generation,
    outcome: 'failed',
    password_in_place: false,
    differences: [],
    observed: row.observed,
    error,
  })); // prettier-ignore
  await confirm(ctx, task, results, {});
}

const FAILED: Record<Outcome, boolean> = {
  unchanged: false,
  added: false,
  changed: false,
  removed: false,
  absent: false,
  conflict: true,
  failed: true,
};

/** Stores what the router confirmed; a row that was raised meanwhile stays pending. */
async function confirm(
  ctx: Context,
  task: Task,
  results: readonly EntryResult[],
  item_passwords: Record<string, string>,
  also: readonly Write[] = [],
): Promise<void> {
  const by_id = new Map(task.rows.map(row => [row.id, row]));
  const settled: Applied[] = [];
  for (const { ref, generation, outcome, error, observed, password_in_place } of results) {
    const row = by_id.get(ref);
    if (!row) continue;
    const failed = FAILED[outcome];
    const attempts = failed ? row.attempts + 1 : 0;
    const password = item_passwords[row.id];
    settled.push({
      row_id: row.id,
      generation,
      status: failed ? (outcome as 'conflict' | 'failed') : 'in_sync',
      outcome,
      error,
      observed,
      attempts,
      next_attempt_ms: failed ? ctx.now + retryDelay_ms(attempts, ctx.random(), REFUSED_BACKOFF) : null,
      secret_hash:
        password_in_place && password !== undefined ? await fingerprintSecret(ctx, passwordPlace(row), password) : null,
    });
  }
  const { id, name } = task.bridge;
  const by_bridge: Context = { ...ctx, actor: { kind: 'bridge', id, name } };
  const stored = await commit(by_bridge, [...storeApplied(by_bridge, settled), ...also]);
  wakeReturned(ctx, stored);
}

const seen = (ctx: Context, { router, bridge }: Task): Write[] => [
  ...observeBridge(ctx, bridge),
  ...observeRouters(ctx, [{ router_id: router.id, status: 'online', error: null, at_ms: ctx.now }]),
];

/** Nothing is known of what it holds: all that is due stays as it is, and is tried again after a growing delay. */
async function postpone(ctx: Context, task: Task, failure: BridgeCallFailed): Promise<ApplyResult> {
  const { router, bridge, rows } = task;
  // a newer state is at the bridge already: no failure of anything, and worth another look soon
  const is_stale = failure.code === 'STALE_REVISION';
  const attempts = Math.max(...rows.map(row => row.attempts)) + 1;
  const backoff = failure.code === 'ROUTER_REFUSED' ? REFUSED_BACKOFF : UNREACHABLE_BACKOFF;
  // from when the call was given up: a silent router takes its time
  const now = ctx.now + ctx.elapsed_ms();
  const next_attempt_ms = now + (is_stale ? 1000 : retryDelay_ms(attempts, ctx.random(), backoff));
  const [ids] = chunkJson(rows.map(row => JSON.stringify(row.id)));
  const told = is_stale ? sql`` : sql`, attempts = attempts + 1, last_error = ${failure.message}`;
  const wait = ctx.db.orm.run(sql`
    UPDATE provisioning SET next_attempt_at = ${next_attempt_ms}, updated_at = ${ctx.now}${told}
    WHERE router_id = ${router.id} AND status <> 'in_sync'
      AND (next_attempt_at <= ${ctx.now} OR id IN (SELECT value FROM json_each(${ids})))`);
  const actor = { kind: 'job' as const, name: 'provisioning' };
  await commit({ ...ctx, actor }, [wait, ...observeFailure(ctx, bridge, router, failure)]);
  return { next_attempt_ms, failure: toAppError(failure) };
}

/** Routers with something due: for the sweep, which finds what a lost message left. */
export const selectDueRouters = (ctx: Context) =>
  ctx.db.orm
    .selectDistinct({ router_id: provisioning.router_id })
    .from(provisioning)
    .where(and(isNotNull(provisioning.next_attempt_at), lte(provisioning.next_attempt_at, toIso(ctx.now))));

export const selectCustomerRows = (ctx: Context, customer_id: string | SQL) =>
  ctx.db.orm.select().from(provisioning).where(eq(provisioning.customer_id, customer_id)).orderBy(asc(provisioning.id));
