import { isSameSecret } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { parseBoolean } from '../lib/routeros/values.ts';
import type { DesiredEntry } from '../protocol/messages.ts';
import {
  describeIsolirProfile,
  describePlanProfile,
  describeReleasedProfile,
  planProfileFields,
  poolFields,
  profileRef,
  queueFields,
  ruleFields,
  secretFields,
  type ListState,
  type PoolState,
  type QueueState,
  type RuleState,
  type SecretState,
  type Speeds,
} from './desired.ts';
import { allowMarker, customerMarker, poolMarker, ruleMarker } from './markers.ts';
import { passwordPlace, type DueRow, type Task } from './task.ts';

/** Rows of desired state in the words of the bridge, each with what it leans on. */

export interface Described {
  /** Profiles first, then the rows that could be described, in their order. */
  entries: DesiredEntry[];
  /** Rows that no router needs to be asked about: why not. */
  refused: { row: DueRow; error: string }[];
}

export async function describeTask(ctx: Context, task: Task, passwords: Record<string, string>): Promise<Described> {
  const described = await Promise.all(task.rows.map(row => describeRow(ctx, task, row, passwords[row.id])));
  const entries = described.filter(entry => typeof entry !== 'string');
  const refused = described.flatMap((entry, at) =>
    typeof entry === 'string' ? [{ row: task.rows[at]!, error: entry }] : [],
  );
  return { entries: [...describeProfiles(task, entries), ...orderPools(entries)], refused };
}

function describeProfiles(task: Task, entries: readonly DesiredEntry[]): DesiredEntry[] {
  const { plans, settings, isolir_pool, released } = task;
  const needed = new Set(entries.map(entry => entry.leans_on));
  const adopted = new Set(entries.filter(entry => entry.adopt).map(entry => entry.leans_on));
  const ofPlans = plans.filter(({ plan }) => needed.has(profileRef(plan.profile_name)));
  const isolir = profileRef(settings.isolir_profile);
  const is_isolir_due = needed.has(isolir) || task.rows.some(row => row.setup === 'isolir' && row.kind === 'ip_pool');
  return [
    ...ofPlans.map(({ plan, settings: own }) =>
      describePlanProfile(plan, own, adopted.has(profileRef(plan.profile_name))),
    ),
    ...(is_isolir_due ? [describeIsolirProfile(settings, isolir_pool, adopted.has(isolir))] : []),
    ...released.map(describeReleasedProfile),
  ];
}

/** A pool after the one that follows it once it is full: the router must know that one. */
function orderPools(entries: readonly DesiredEntry[]): DesiredEntry[] {
  const pools = entries.filter(entry => entry.kind === 'ip_pool');
  const ordered = new Set<DesiredEntry>();
  const take = (pool: DesiredEntry, above: readonly DesiredEntry[]) => {
    const next = pools.find(other => other.key === pool.fields?.['next-pool']);
    if (next && !above.includes(next)) take(next, [...above, pool]);
    ordered.add(pool);
  };
  for (const pool of pools) take(pool, [pool]);
  return [...ordered, ...entries.filter(entry => entry.kind !== 'ip_pool')];
}

/** A text says why it can't be asked for. */
async function describeRow(
  ctx: Context,
  task: Task,
  row: DueRow,
  password: string | undefined,
): Promise<DesiredEntry | string> {
  const { kind, key, id: ref, generation, adopt, is_held: was_ours, is_released: release } = row;
  const entry = { ref, generation, kind, key, adopt, was_ours, release, fields: null, leans_on: null, line: null };
  const described = { ...entry, marker: markerOf(row) } as DesiredEntry;
  if (kind === 'hotspot_user') return 'Hotspot users are not applied to routers yet.';
  if (kind !== 'ppp_secret') return describeFields(described, task, row);
  const desired = row.desired as SecretState | null;
  const password_written =
    password !== undefined && (await isSameSecret(ctx.env, passwordPlace(row), password, row.secret_hash));
  // what was refused was seen at this generation, and isn't so
  const is_unconfirmed = row.status !== 'in_sync' || row.observed_generation < row.generation;
  return {
    ...described,
    fields: desired && secretFields(desired),
    leans_on: desired && profileRef(desired.profile),
    line: {
      password_written,
      end_session: is_unconfirmed && !row.adopt && (becomesSuspended(row) || switchesShaping(task, row)),
      same_service: desired ? listSameService(task, desired.profile) : [],
    },
  };
}

function describeFields(entry: DesiredEntry, { plans, settings }: Task, row: DueRow): DesiredEntry | string {
  if (row.desired === null) return entry;
  if (row.kind === 'ip_pool') {
    // a set-up's pool is of use only through the profile of the suspended
    const leans_on = row.setup ? profileRef(settings.isolir_profile) : null;
    return { ...entry, fields: poolFields(row.desired as PoolState), leans_on };
  }
  if (row.kind === 'address_list')
    return { ...entry, fields: { disabled: 'no' }, key: joinKey(row.desired as ListState) };
  if (row.kind === 'filter_rule' || row.kind === 'nat_rule')
    return { ...entry, fields: ruleFields(row.kind, row.desired as RuleState, settings) };
  const { profile, target } = row.desired as QueueState;
  const speeds = plans.find(({ plan }) => plan.profile_name === profile);
  if (target === null) return 'The plan’s simple queue holds on to an address: the customer needs a static_ip.';
  if (!speeds) return `No plan has the profile "${profile}" any more.`;
  const fields = queueFields(target, speeds);
  return fields
    ? { ...entry, fields }
    : `The plan’s rate limit "${speeds.plan.rate_limit}" is none that a queue could have.`;
}

const joinKey = ({ list, address }: ListState): string => `${list} ${address}`;

function markerOf({ customer_code, setup, kind, key }: DueRow): string {
  if (customer_code !== null) return customerMarker(customer_code);
  if (kind === 'ip_pool') return poolMarker(key);
  return kind === 'address_list' ? allowMarker(setup ?? 'router') : ruleMarker(key);
}

/** Who was seen suspended already, and is looked at again because of something else, has no session to lose. */
function becomesSuspended({ customer_status, is_held, observed, desired }: DueRow): boolean {
  if (customer_status !== 'suspended' || desired === null) return false;
  const { profile, disabled } = desired as SecretState;
  const was_disabled = parseBoolean(observed?.disabled ?? 'no');
  return !(is_held && observed?.profile === profile && was_disabled === disabled);
}

/** From its profile to a queue of its own, or back: a session that began before would be held by both, or by nothing. */
function switchesShaping({ rows }: Task, { customer_id, is_held }: DueRow): boolean {
  const queues = rows.filter(row => row.kind === 'simple_queue' && row.customer_id === customer_id);
  const held = queues.some(queue => queue.is_held);
  const wanted = queues.some(queue => queue.desired !== null);
  return is_held && queues.length > 0 && held !== wanted;
}

/** Plans whose queues hold their lines to the speed, and whose profiles say the same: between them nobody is cut off. */
function listSameService({ plans }: Task, profile_name: string): string[] {
  const isQueued = ({ settings }: Speeds) => settings?.shaping === 'simple_queue';
  const say = ({ plan, settings }: Speeds) => JSON.stringify(planProfileFields(plan, settings));
  const own = plans.find(({ plan }) => plan.profile_name === profile_name);
  if (!own || !isQueued(own)) return [];
  return plans.filter(other => isQueued(other) && say(other) === say(own)).map(({ plan }) => plan.profile_name);
}
