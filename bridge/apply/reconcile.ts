import type { RouterConnection, Row } from '../routeros/connection.ts';
import type { RouterError } from '../routeros/errors.ts';
import type { Difference, Outcome } from '../../src/protocol/messages.ts';
import type { Change, Step } from '../../src/provisioning/diff.ts';
import { isMissing, isRefusal } from './failure.ts';
import { type NamedMenu, readRows } from './read-rows.ts';
import type { SessionsToEnd } from './sessions.ts';

export interface Result {
  outcome: Outcome;
  error: string | null;
  differences: Difference[];
}

/** One thing to be made true on the router. */
export interface Work {
  name: string;
  plan(observed: Row | undefined): Step;
  /** The step that was begun, while its outcome isn't known: what it was tells what a later look has found. */
  begun: Step | null;
  result: Result | null;
}

export interface Target {
  menu: NamedMenu;
  /** What must be read for the plans. */
  properties: readonly string[];
  /** Null where changes leave no session behind. */
  sessions: SessionsToEnd | null;
  /** Gets what is marked as ours and isn't among the works; then the whole menu is read. */
  onStray?: (row: Row) => void;
}

const MOST_SIDE_BY_SIDE = 16;

/** A `set` to nothing is refused for these by some versions; `unset` is what takes them away. */
const UNSETTABLE: ReadonlySet<string> = new Set([
  'remote-address',
  'local-address',
  'rate-limit',
  'dns-server',
  'wins-server',
  'session-timeout',
  'idle-timeout',
  'parent-queue',
  'queue-type',
  'insert-queue-before',
]);

/**
 * Looks at the router and makes true what isn't finished. A lost connection throws; called again on a new one, it
 * looks again before it writes, so that nothing is done twice.
 */
export async function reconcile(connection: RouterConnection, works: readonly Work[], target: Target): Promise<void> {
  const open = works.filter(work => work.result === null);
  if (open.length === 0) return;
  const groups = [...Map.groupBy(open, work => work.name).values()];
  const { menu, properties, onStray } = target;
  const read = (names: string[]) => readRows(connection, menu, names, properties);
  const names = groups.map(([first]) => first!.name);
  const observed = await readRows(connection, menu, names, properties, onStray);
  await noteSessions(groups, observed, target.sessions);
  await runSideBySide(groups, async group => {
    // two works of one name (a customer left, another took the name) go in order, each with a look of its own
    for (const [at, work] of group.entries()) {
      const rows = at === 0 ? observed : await read([work.name]);
      await finishWork(connection, work, rows.get(work.name), target.sessions);
    }
  });
}

/** The same look, and nothing is written: what would be done stands in the results. */
export async function report(connection: RouterConnection, works: readonly Work[], target: Target): Promise<void> {
  const { menu, properties, onStray } = target;
  if (works.length === 0 && !onStray) return;
  const names = works.map(work => work.name);
  const observed = await readRows(connection, menu, names, properties, onStray);
  for (const work of works) {
    if (work.result !== null) continue;
    const { outcome, error, differences } = work.plan(observed.get(work.name));
    work.result = { outcome, error, differences };
  }
}

async function noteSessions(groups: Work[][], observed: Map<string, Row>, sessions: SessionsToEnd | null) {
  const steps = groups.map(([first]) => first!.plan(observed.get(first!.name)));
  await sessions?.note(steps.flatMap(step => step.end_session ?? []));
}

async function finishWork(
  connection: RouterConnection,
  work: Work,
  observed: Row | undefined,
  sessions: SessionsToEnd | null,
): Promise<void> {
  const step = work.plan(observed);
  const { name } = work;
  let error: string | null = step.error;
  if (step.change) {
    if (step.end_session) await sessions?.note([step.end_session]);
    work.begun ??= step;
    const sent = await sendChange(connection, step.change);
    error = sent.refusal?.message ?? null;
    if (sent.refusal && !sent.has_written) sessions?.takeBack(name);
  }
  const is_ours = step.outcome !== 'conflict' && !(step.outcome === 'absent' && observed);
  if (is_ours && sessions?.has(name)) error = (await endSession(connection, name, sessions)) ?? error;
  const { differences } = work.begun ?? step;
  work.result = { outcome: error !== null && is_ours ? 'failed' : tellOutcome(step, work.begun), error, differences };
}

/** After a lost answer the second look may find all done: then what was begun is what has happened. */
function tellOutcome(step: Step, begun: Step | null): Outcome {
  if (!begun || step.error !== null) return step.outcome;
  return step.change === null || begun.outcome === 'added' ? begun.outcome : step.outcome;
}

async function endSession(connection: RouterConnection, name: string, sessions: SessionsToEnd): Promise<string | null> {
  try {
    await sessions.end(connection, name);
    return null;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return `the live session could not be ended: ${error.message}`;
  }
}

interface Sent {
  refusal: RouterError | null;
  has_written: boolean;
}

/** Sends one change; the router's own no comes back, anything else is thrown. */
async function sendChange(connection: RouterConnection, change: Change): Promise<Sent> {
  let has_written = false;
  try {
    for (const write of listWrites(connection, change)) {
      await write();
      has_written = true;
    }
    return { refusal: null, has_written };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (change.verb === 'remove' && isMissing(error)) return { refusal: null, has_written: true };
    return { refusal: error, has_written };
  }
}

function listWrites(connection: RouterConnection, { menu, verb, id, props }: Change): (() => Promise<unknown>)[] {
  if (verb === 'add') return [() => connection.add(menu, props)];
  if (id === null) throw new Error(`a ${verb} without an id`);
  if (verb === 'remove') return [() => connection.remove(menu, id)];
  const mustUnset = ([property, value]: [string, string]) => value === '' && UNSETTABLE.has(property);
  const entries = Object.entries(props);
  const values = Object.fromEntries(entries.filter(entry => !mustUnset(entry)));
  const unsets = entries.filter(mustUnset).map(
    ([property]) =>
      () =>
        connection.unset(menu, id, property),
  );
  // the values first: that somebody is cut off must not depend on a lesser change
  return Object.keys(values).length > 0 ? [() => connection.set(menu, id, values), ...unsets] : unsets;
}

/** A failure stops what has not begun; what runs is waited for. */
async function runSideBySide<T>(things: readonly T[], run: (thing: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const runLane = async () => {
    while (next < things.length && failures.length === 0) {
      await run(things[next++] as T).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: MOST_SIDE_BY_SIDE }, runLane));
  if (failures.length > 0) throw failures[0];
}
