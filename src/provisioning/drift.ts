import { and, eq, isNotNull, ne, or, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit, type Write } from '../db/commit.ts';
import { read } from '../db/session.ts';
import { AppError, notFound } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import type { ApplyAnswer, Difference, EntryResult, Outcome } from '../protocol/messages.ts';
import { openAlerts, resolveAlerts } from '../resources/alerts/index.ts';
import { provisioning } from '../resources/provisioning/table.ts';
import { routers } from '../resources/routers/table.ts';
import { service_plans } from '../resources/service-plans/table.ts';
import { selectSettings } from '../resources/settings/index.ts';
import { askRouter } from './ask-router.ts';
import { applyDesired } from './apply.ts';
import { applyToRouter } from './bridge-client.ts';
import { describeTask } from './describe.ts';
import { profileRef } from './desired.ts';
import { ISOLIR_MARKER, planMarker } from './markers.ts';
import { raiseRows } from './set-desired.ts';
import { storeLooked, type Settled } from './settle.ts';
import { openPasswords, readTask, type DueRow, type Task } from './task.ts';

/**
 * What a router holds against what it must hold: all of it, and nothing is written there. What was confirmed once and
 * isn't so any more is marked as drifted, and told of.
 */

/** Lines on one router; above it a look would be an apply's many. */
const MOST_ROWS = 20_000;

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
    /** Null: it is the router's own. */
    customer_id: string | null;
    customer_code: string | null;
    full_name: string | null;
    kind: DueRow['kind'];
    key: string;
    state: DriftState;
    error: string | null;
    differences: Difference[];
    observed: EntryResult['observed'];
  }[];
  profiles: { name: string; state: DriftState; error: string | null; differences: Difference[] }[];
  strays: ApplyAnswer['strays'];
}

const UNSETTLED = or(isNotNull(provisioning.desired), ne(provisioning.status, 'in_sync'))!;

/** `in_any_case`: asks also a router that is left alone for a while. */
export async function findDrift(ctx: Context, router_id: string, in_any_case = false): Promise<Drift> {
  const { task, answer } = await lookAt(ctx, router_id, UNSETTLED, { is_whole: true, in_any_case });
  return describeDrift(ctx, task, { ...answer, strays: await leaveOutProfiles(ctx, answer.strays) });
}

/** Profiles of plans that we know may stay where no line needs them just now. */
async function leaveOutProfiles(ctx: Context, strays: ApplyAnswer['strays']): Promise<ApplyAnswer['strays']> {
  if (!strays.some(stray => stray.menu === '/ppp/profile')) return strays;
  const { orm } = ctx.db;
  const plans = orm.select({ id: service_plans.id, name: service_plans.profile_name }).from(service_plans);
  const [known, [settings]] = await read(ctx, plans, selectSettings(ctx));
  const marks = new Map(known.map(({ id, name }) => [name, planMarker(id)]));
  marks.set(settings!.isolir_profile, ISOLIR_MARKER);
  return strays.filter(({ menu, name, marker }) => menu !== '/ppp/profile' || marks.get(name) !== marker);
}

/** Routers that hold, or may still hold, something of a customer. */
export const selectOpenRouters = (ctx: Context, customer_id: string) =>
  ctx.db.orm
    .selectDistinct({ router_id: provisioning.router_id, router_name: routers.name })
    .from(provisioning)
    .innerJoin(routers, eq(routers.id, provisioning.router_id))
    .where(and(eq(provisioning.customer_id, customer_id), UNSETTLED))
    .orderBy(routers.name);

/** Of one customer on one router: its entries are asked for by name, and no table is printed. */
export async function findLineDrift(ctx: Context, router_id: string, customer_id: string): Promise<Drift['items']> {
  const its_rows = and(eq(provisioning.customer_id, customer_id), UNSETTLED)!;
  const { task, answer } = await lookAt(ctx, router_id, its_rows, { is_whole: false });
  return describeDrift(ctx, task, answer, { with_all: true }).items;
}

async function lookAt(
  ctx: Context,
  router_id: string,
  which: SQL,
  { is_whole, in_any_case = false }: { is_whole: boolean; in_any_case?: boolean },
) {
  const task = await readTask(ctx, router_id, which, MOST_ROWS);
  if (task === null) throw notFound('router');
  if (task instanceof AppError) throw task;
  const { item_passwords, unopened } = await openPasswords(ctx, task.rows);
  task.rows = task.rows.filter(row => !unopened.includes(row));
  const { entries, refused } = await describeTask(ctx, task, item_passwords);
  // what can't be asked for may be there all the same, and is no stray
  const knows_all = unopened.length === 0 && refused.length === 0;
  const look = { entries, dry_run: true, is_whole: is_whole && knows_all };
  const ask = () => applyToRouter(ctx, task.bridge, task.router, look, { item_passwords, someone_waits: true });
  const answer = await askRouter(ctx, task, ask, { in_any_case });
  await keepStatuses(ctx, task, answer, is_whole);
  return { task, answer };
}

/** Profiles are no rows of the table: they come along with what leans on them. */
const listProfiles = (answer: ApplyAnswer): EntryResult[] =>
  answer.entries.filter(({ ref }) => ref.startsWith(profileRef('')));
const nameOfProfile = (ref: string): string => ref.slice(profileRef('').length);

const isOff = (state: DriftState): boolean => state === 'missing' || state === 'differs' || state === 'extra';

/** What waits to be applied isn't drift: nobody said yet that the router holds it. */
function stateOf(row: DueRow, { outcome, generation }: EntryResult): DriftState {
  const state = STATE_OF[outcome];
  const is_waiting = row.status === 'pending' || row.observed_generation < generation;
  return is_waiting && state !== 'in_sync' && state !== 'conflict' ? 'pending' : state;
}

function describeDrift(ctx: Context, task: Task, answer: ApplyAnswer, { with_all = false } = {}): Drift {
  const by_id = new Map(task.rows.map(row => [row.id, row]));
  const counts = Object.fromEntries(DRIFT_STATES.map(state => [state, 0])) as Drift['counts'];
  counts.strays = answer.strays.length;
  const items: Drift['items'] = [];
  for (const result of answer.entries) {
    const row = by_id.get(result.ref);
    if (!row) continue;
    const state = stateOf(row, result);
    counts[state]++;
    if (state === 'in_sync' && !with_all) continue;
    const { customer_id, customer_code, full_name, kind, key } = row;
    const { differences, observed } = result;
    // what was tried and refused stands there as it is because of that
    const error = result.error ?? (row.status === 'failed' ? row.last_error : null);
    const whose = { provisioning_id: row.id, customer_id, customer_code, full_name };
    items.push({ ...whose, kind, key, state, error, differences, observed });
  }
  const profiles = listProfiles(answer)
    .map(({ ref, outcome, error, differences }) => ({
      name: nameOfProfile(ref),
      state: STATE_OF[outcome],
      error,
      differences,
    }))
    .filter(profile => profile.state !== 'in_sync');
  return { router_id: task.router.id, checked_at: toIso(ctx.now), counts, items, profiles, strays: answer.strays };
}

const WORDS: Partial<Record<DriftState, string>> = {
  missing: 'it is missing on the router',
  extra: 'it is on the router still',
};

function explain(state: DriftState, { error, differences }: EntryResult): string | null {
  if (error !== null) return error;
  if (state !== 'differs') return WORDS[state] ?? null;
  const told = differences.map(({ property, desired, observed }) =>
    desired === null && observed === null
      ? `${property} is another one`
      : `${property} is ${observed ?? 'not set'}, must be ${desired ?? 'not set'}`,
  );
  return told.join('; ').slice(0, 500) || 'our mark is missing';
}

const CONFLICT_RETRY_MS = 60_000;

/** Only what changes is written: a router that is as it must be costs a read and no write. */
async function keepStatuses(ctx: Context, task: Task, answer: ApplyAnswer, is_whole: boolean): Promise<void> {
  const by_id = new Map(task.rows.map(row => [row.id, row]));
  const settled: Settled[] = [];
  let drifted = listProfiles(answer).filter(({ outcome }) => isOff(STATE_OF[outcome])).length;
  for (const result of answer.entries) {
    const row = by_id.get(result.ref);
    if (!row) continue;
    const state = stateOf(row, result);
    // what was there, and could not even be made again, is off as well
    const is_off = isOff(state) || (state === 'failed' && row.status === 'in_sync');
    if (is_off) drifted++;
    const is_taken = state === 'conflict';
    const status = is_off ? 'drifted' : is_taken || state === 'in_sync' ? state : row.status;
    if (row.next_attempt_at !== null || status === row.status) continue;
    const { outcome, observed } = result;
    const error = is_off || is_taken ? explain(state, result) : null;
    // tried again by itself, as one that an apply has found
    const next_attempt_ms = is_taken ? ctx.now + CONFLICT_RETRY_MS : null;
    settled.push({ row_id: row.id, generation: row.generation, status, outcome, error, observed, next_attempt_ms });
  }
  const { id, name } = task.bridge;
  const by_bridge: Context = { ...ctx, actor: { kind: 'bridge', id, name } };
  const alerts = is_whole ? settleAlert(by_bridge, task, drifted) : [];
  await commit(by_bridge, [...storeLooked(by_bridge, settled), ...alerts]);
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
  const drift = await findDrift(ctx, router_id, true);
  const off = drift.items
    .filter(item => isOff(item.state) || item.state === 'failed')
    .map(item => item.provisioning_id);
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
  return findDrift(ctx, router_id, true);
}
