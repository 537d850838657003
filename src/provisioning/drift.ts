import { isNotNull, ne, or, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { commit, type Write } from '../db/commit.ts';
import { AppError, notFound } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import type { ApplyAnswer, Difference, ItemResult, Outcome } from '../protocol/messages.ts';
import { openAlerts, resolveAlerts } from '../resources/alerts/index.ts';
import { provisioning } from '../resources/provisioning/table.ts';
import { routers } from '../resources/routers/table.ts';
import { askRouter } from './ask-router.ts';
import { applyDesired } from './apply.ts';
import { applyToRouter } from './bridge-client.ts';
import { raiseRows } from './set-desired.ts';
import { describeItem, openPasswords, readTask, type DueRow, type Task } from './task.ts';

/**
 * What a router holds against what it must hold: all of it, and nothing is written there. What was confirmed once and
 * isn't so any more is marked as drifted, and told of.
 */

/** Lines on one router; above it a look would be an apply's many. */
const MOST_ITEMS = 20_000;

export const DRIFT_STATES = ['in_sync', 'pending', 'missing', 'differs', 'extra', 'conflict', 'failed'] as const;
export type DriftState = (typeof DRIFT_STATES)[number];

const STATE_OF: Readonly<Record<Outcome, DriftState>> = {
  unchanged: 'in_sync',
  absent: 'in_sync',
  added: 'missing',
  changed: 'differs',
  removed: 'extra',
  conflict: 'conflict',
  failed: 'failed',
};

export interface Drift {
  router_id: string;
  checked_at: string;
  counts: Record<DriftState, number> & { strays: number };
  items: {
    provisioning_id: string;
    customer_id: string;
    customer_code: string;
    full_name: string;
    kind: DueRow['kind'];
    key: string;
    state: DriftState;
    error: string | null;
    differences: Difference[];
  }[];
  profiles: { name: string; state: DriftState; error: string | null; differences: Difference[] }[];
  strays: ApplyAnswer['strays'];
}

export async function findDrift(ctx: Context, router_id: string): Promise<Drift> {
  const unsettled = or(isNotNull(provisioning.desired), ne(provisioning.status, 'in_sync'))!;
  const task = await readTask(ctx, router_id, unsettled, MOST_ITEMS);
  if (task === null) throw notFound('router');
  if (task instanceof AppError) throw task;
  const { item_passwords, unopened } = await openPasswords(ctx, task.rows);
  task.rows = task.rows.filter(row => !unopened.includes(row));
  const items = await Promise.all(task.rows.map(row => describeItem(ctx, row, item_passwords[row.id])));
  const look = { profiles: task.profiles, items, dry_run: true, is_whole: unopened.length === 0 };
  const answer = await askRouter(ctx, task, () =>
    applyToRouter(ctx, task.bridge, task.router, look, { item_passwords, someone_waits: true }),
  );
  await keepStatuses(ctx, task, answer);
  return describeDrift(ctx, task, answer);
}

const isOff = (state: DriftState): boolean => state === 'missing' || state === 'differs' || state === 'extra';

/** What waits to be applied isn't drift: nobody said yet that the router holds it. */
function stateOf(row: DueRow, { outcome, generation }: ItemResult): DriftState {
  const state = STATE_OF[outcome];
  const is_waiting = row.status === 'pending' || row.observed_generation < generation;
  return is_waiting && state !== 'in_sync' && state !== 'conflict' ? 'pending' : state;
}

function describeDrift(ctx: Context, task: Task, answer: ApplyAnswer): Drift {
  const by_id = new Map(task.rows.map(row => [row.id, row]));
  const counts = Object.fromEntries(DRIFT_STATES.map(state => [state, 0])) as Drift['counts'];
  counts.strays = answer.strays.length;
  const items: Drift['items'] = [];
  for (const result of answer.items) {
    const row = by_id.get(result.ref);
    if (!row) continue;
    const state = stateOf(row, result);
    counts[state]++;
    if (state === 'in_sync') continue;
    const { customer_id, customer_code, full_name, kind, key } = row;
    const { error, differences } = result;
    items.push({
      provisioning_id: row.id,
      customer_id,
      customer_code,
      full_name,
      kind,
      key,
      state,
      error,
      differences,
    });
  }
  const profiles = answer.profiles
    .map(({ name, outcome, error, differences }) => ({ name, state: STATE_OF[outcome], error, differences }))
    .filter(profile => profile.state !== 'in_sync');
  return { router_id: task.router.id, checked_at: toIso(ctx.now), counts, items, profiles, strays: answer.strays };
}

const WORDS: Partial<Record<DriftState, string>> = {
  missing: 'it is missing on the router',
  extra: 'it is on the router still',
};

function explain(state: DriftState, { error, differences }: ItemResult): string | null {
  if (error !== null) return error;
  if (state !== 'differs') return WORDS[state] ?? null;
  const told = differences.map(({ property, desired, observed }) =>
    desired === null && observed === null
      ? `${property} is another one`
      : `${property} is ${observed ?? 'not set'}, must be ${desired ?? 'not set'}`,
  );
  return told.join('; ').slice(0, 500) || 'our mark is missing';
}

/** Only what changes is written: a router that is as it must be costs a read and no write. */
async function keepStatuses(ctx: Context, task: Task, answer: ApplyAnswer): Promise<void> {
  const by_id = new Map(task.rows.map(row => [row.id, row]));
  const encoded: string[] = [];
  const events: NewEvent[] = [];
  let drifted = answer.profiles.filter(({ outcome }) => isOff(STATE_OF[outcome])).length;
  for (const result of answer.items) {
    const row = by_id.get(result.ref);
    if (!row) continue;
    const state = stateOf(row, result);
    const is_off = isOff(state);
    if (is_off) drifted++;
    const status = is_off ? 'drifted' : state === 'in_sync' ? 'in_sync' : row.status;
    // what is tried again by itself tells by itself how that went
    if (row.next_attempt_at !== null || status === row.status) continue;
    const reason = is_off ? explain(state, result) : null;
    encoded.push(JSON.stringify([row.id, row.generation, status, reason]));
    events.push({
      type: 'provisioning.looked',
      action: 'update',
      entity_id: row.id,
      customer_id: row.customer_id,
      changes: { status: [row.status, status] },
      data: { router_id: row.router_id, kind: row.kind, key: row.key, error: reason },
    });
  }
  const rows = chunkJson(encoded).map(chunk =>
    ctx.db.orm.run(sql`
      UPDATE provisioning SET status = r.status, last_error = r.error, updated_at = ${ctx.now},
        last_applied_at = CASE r.status WHEN 'in_sync' THEN ${ctx.now} ELSE last_applied_at END
      FROM (SELECT value ->> 0 AS id, value ->> 1 AS generation, value ->> 2 AS status, value ->> 3 AS error
        FROM json_each(${chunk})) AS r
      WHERE provisioning.id = r.id AND provisioning.generation = r.generation AND provisioning.next_attempt_at IS NULL`),
  );
  const { id, name } = task.bridge;
  const writes: Write[] = [...rows, ...settleAlert(ctx, task, drifted)];
  await commit({ ...ctx, actor: { kind: 'bridge', id, name } }, writes, ...events);
}

function settleAlert(ctx: Context, { router }: Task, drifted: number): Write[] {
  const checked = ctx.db.orm.run(sql`UPDATE ${routers} SET drift_checked_at = ${ctx.now} WHERE id = ${router.id}`);
  const entity = sql`SELECT ${router.id} AS entity_id, ${ctx.now} AS at`;
  if (drifted === 0) return [...resolveAlerts(ctx, 'drift', entity), checked];
  const message = `Router "${router.name}" doesn’t hold what it must: ${drifted} ${drifted === 1 ? 'entry differs' : 'entries differ'}`;
  const opening = sql`SELECT ${ctx.newId()} AS id, ${router.id} AS entity_id, ${message} AS message, ${ctx.now} AS at`;
  return [...openAlerts(ctx, { type: 'drift', severity: 'warning', entity_type: 'router' }, opening), checked];
}

/** Rounds of one repair: each applies some hundred lines. */
const MOST_ROUNDS = 50;

/**
 * What differs is made as it must be, and looked at again. Conflicts stay: they are somebody else's until an admin adopts
 * them; so do strays, of which nobody knows whose they are.
 */
export async function repairDrift(ctx: Context, router_id: string): Promise<Drift> {
  const drift = await findDrift(ctx, router_id);
  const off = drift.items.filter(item => isOff(item.state)).map(item => item.provisioning_id);
  const profiles = drift.profiles.filter(profile => isOff(profile.state)).map(profile => profile.name);
  if (off.length === 0 && profiles.length === 0) return drift;
  await commit(ctx, [...raiseRows(ctx, router_id, off, profiles)], {
    type: 'router.repair_started',
    action: 'update',
    entity_id: router_id,
    data: { lines: off.length, profiles },
    routers: [router_id],
  });
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const { next_attempt_ms, failure } = await applyDesired(ctx, router_id);
    if (failure) throw failure;
    if (next_attempt_ms === null || next_attempt_ms > ctx.now) break;
  }
  return findDrift(ctx, router_id);
}
