import type { RouterConnection, Row } from '../routeros/connection.ts';
import type { RouterError } from '../routeros/errors.ts';
import { type EntryKind, KINDS } from '../../src/protocol/kinds.ts';
import type { DesiredEntry, Difference, EntryResult, Outcome } from '../../src/protocol/messages.ts';
import { type Change, describeObserved, rowAfter, type Step } from '../../src/provisioning/diff.ts';
import { isMissing, isRefusal } from './failure.ts';
import { type Found, readRows } from './read-rows.ts';
import type { SessionsToEnd } from './sessions.ts';

export interface Result {
  outcome: Outcome;
  error: string | null;
  differences: Difference[];
  observed: EntryResult['observed'];
}

/** One thing to be made true on the router. */
export interface Work {
  entry: DesiredEntry;
  /** By what its row is found in the menu. */
  finding_key: string;
  plan(observed: Row | undefined): Step;
  /** The step that was begun, while its outcome isn't known: what it was tells what a later look has found. */
  begun: Step | null;
  result: Result | null;
}

export interface Target {
  kind: EntryKind;
  /** Null where changes leave no session behind. */
  sessions: SessionsToEnd | null;
  /** Gets what is marked as ours and isn't among the works; then the whole menu is read. */
  onStray?: (row: Row) => void;
}

const MOST_SIDE_BY_SIDE = 16;

/**
 * Looks at the router and makes true what isn't finished, of works of one kind. A lost connection throws; called again
 * on a new one, it looks again before it writes, so that nothing is done twice.
 */
export async function reconcile(connection: RouterConnection, works: readonly Work[], target: Target): Promise<void> {
  const { kind, sessions, onStray } = target;
  const open = works.filter(work => work.result === null);
  if (!mustLook(open, target)) return;
  const is_ordered = KINDS[kind].found_by === 'marker';
  const groups = [...Map.groupBy(open, work => work.finding_key).values()];
  const read = (these: readonly Work[]) => readRows(connection, kind, listEntries(these), onStray);
  // what is finished already says where the others go
  const found = await read(is_ordered ? works : open);
  await noteSessions(groups, found, sessions);
  const finishGroup = async (group: Work[]) => {
    // two works of one name (a customer left, another took the name) go in order, each with a look of its own
    for (const [at, work] of group.entries()) {
      const { rows } = at === 0 ? found : await read([work]);
      await finishWork(connection, work, rows.get(work.finding_key), sessions);
    }
  };
  // of rules the order counts: each new one finds its place among those that stand
  if (is_ordered) {
    await finishInOrder(connection, works, found);
    await putInOrder(connection, kind, works, found);
  } else await runSideBySide(groups, KINDS[kind].one_by_one ? 1 : MOST_SIDE_BY_SIDE, finishGroup);
}

/** Also for strays alone, but not among address lists that nobody asked about. */
const mustLook = (works: readonly Work[], { kind, onStray }: Target): boolean =>
  works.length > 0 || (onStray !== undefined && KINDS[kind].found_by !== 'list_address');

const listEntries = (works: readonly Work[]): DesiredEntry[] => works.map(work => work.entry);

/** The same look, and nothing is written: what would be done stands in the results. */
export async function report(connection: RouterConnection, works: readonly Work[], target: Target): Promise<void> {
  const { kind, onStray } = target;
  if (!mustLook(works, target)) return;
  const found = await readRows(connection, kind, listEntries(works), onStray);
  for (const work of works) {
    if (work.result !== null) continue;
    const row = found.rows.get(work.finding_key);
    const { outcome, error, differences } = work.plan(row);
    work.result = { outcome, error, differences, observed: describeObserved(work.entry, row) };
  }
  if (KINDS[kind].found_by === 'marker')
    for (const { work } of listMisplaced(works, found)) noteMisplaced(work, 'changed', null);
}

async function noteSessions(groups: Work[][], { rows }: Found, sessions: SessionsToEnd | null) {
  const steps = groups.map(([first]) => first!.plan(rows.get(first!.finding_key)));
  await sessions?.note(steps.flatMap(step => step.end_session ?? []));
}

/**
 * Rules in their order: a new one goes before the next of them that stands, else after the last, else before all others
 * of the menu, since the first rule that fits wins.
 */
async function finishInOrder(
  connection: RouterConnection,
  works: readonly Work[],
  { rows, ids }: Found,
): Promise<void> {
  const idOf = (work: Work) => rows.get(work.finding_key)?.['.id'];
  for (const [at, work] of works.entries()) {
    if (work.result !== null) continue;
    const next = works.slice(at + 1).flatMap(other => idOf(other) ?? [])[0];
    const previous = works
      .slice(0, at)
      .flatMap(other => idOf(other) ?? [])
      .at(-1);
    const place = next ?? (previous === undefined ? ids[0] : ids[ids.indexOf(previous) + 1]);
    const id = await finishWork(connection, work, rows.get(work.finding_key), null, place);
    const old_id = idOf(work);
    if (old_id !== undefined && isRemoved(work)) {
      rows.delete(work.finding_key);
      ids.splice(ids.indexOf(old_id), 1);
    }
    if (id === null) continue;
    rows.set(work.finding_key, { '.id': id });
    ids.splice(place === undefined ? ids.length : ids.indexOf(place), 0, id);
  }
}

/** Rules that stand behind the one that must follow them, from the last to the first. */
function listMisplaced(works: readonly Work[], { rows, ids }: Found): { work: Work; id: string; next_id: string }[] {
  const standing = works.flatMap(work => {
    const id = rows.get(work.finding_key)?.['.id'];
    return id !== undefined && work.entry.fields !== null ? [{ work, id }] : [];
  });
  const misplaced: { work: Work; id: string; next_id: string }[] = [];
  const order = [...ids];
  for (let at = standing.length - 2; at >= 0; at--) {
    const [{ work, id }, { id: next_id }] = [standing[at]!, standing[at + 1]!];
    if (order.indexOf(id) < order.indexOf(next_id)) continue;
    order.splice(order.indexOf(id), 1);
    order.splice(order.indexOf(next_id), 0, id);
    misplaced.push({ work, id, next_id });
  }
  return misplaced;
}

/** What is worse stays as it was told. */
function noteMisplaced({ result }: Work, outcome: Outcome, error: string | null): void {
  if (!result || result.outcome === 'conflict' || result.outcome === 'failed') return;
  if (result.outcome === 'unchanged' || error !== null) Object.assign(result, { outcome, error });
  result.differences.push({ property: 'place', desired: 'in order', observed: 'behind the next' });
}

async function putInOrder(connection: RouterConnection, kind: EntryKind, works: readonly Work[], found: Found) {
  for (const { work, id, next_id } of listMisplaced(works, found)) {
    try {
      await connection.run(`${KINDS[kind].menu}/move`, [`=numbers=${id}`, `=destination=${next_id}`]);
      noteMisplaced(work, 'changed', null);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      noteMisplaced(work, 'failed', error.message);
    }
  }
}

const isRemoved = ({ result }: Work): boolean => result?.outcome === 'removed';

/** Gives the id of what it has added. */
async function finishWork(
  connection: RouterConnection,
  work: Work,
  observed: Row | undefined,
  sessions: SessionsToEnd | null,
  place?: string,
): Promise<string | null> {
  const step = work.plan(observed);
  const { key } = work.entry;
  let error: string | null = step.error;
  let sent: Sent | null = null;
  if (step.change) {
    if (step.end_session) await sessions?.note([step.end_session]);
    work.begun ??= step;
    sent = await sendChange(connection, step.change, place);
    error = sent.refusal?.message ?? null;
    if (sent.refusal && !sent.has_written) sessions?.takeBack(key);
  }
  const is_ours = step.outcome !== 'conflict' && !(step.outcome === 'absent' && observed);
  const is_changed = error === null;
  if (is_ours && sessions?.has(key)) error = (await endSession(connection, key, sessions)) ?? error;
  const { differences } = work.begun ?? step;
  work.result = {
    outcome: error !== null && is_ours ? 'failed' : tellOutcome(step, work.begun),
    error,
    differences,
    observed: describeObserved(work.entry, is_changed ? rowAfter(observed, step.change) : observed),
  };
  return sent?.added_id ?? null;
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
  added_id: string | null;
}

/** Sends one change; the router's own no comes back, anything else is thrown. */
async function sendChange(connection: RouterConnection, change: Change, place?: string): Promise<Sent> {
  let has_written = false;
  let added_id: string | null = null;
  try {
    const { verb, menu, props } = change;
    if (verb === 'add')
      added_id = await connection.add(menu, place === undefined ? props : { ...props, 'place-before': place });
    else
      for (const write of listWrites(connection, change)) {
        await write();
        has_written = true;
      }
    return { refusal: null, has_written, added_id };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (change.verb === 'remove' && isMissing(error)) return { refusal: null, has_written: true, added_id };
    return { refusal: error, has_written, added_id };
  }
}

const HOW_EMPTIED = Object.fromEntries(Object.values(KINDS).map(({ menu, properties }) => [menu, properties]));

function listWrites(connection: RouterConnection, { menu, verb, id, props }: Change): (() => Promise<unknown>)[] {
  if (id === null) throw new Error(`a ${verb} without an id`);
  if (verb === 'remove') return [() => connection.remove(menu, id)];
  const mustUnset = ([property, value]: [string, string]) => value === '' && HOW_EMPTIED[menu]?.[property] === 'unset';
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
async function runSideBySide<T>(things: readonly T[], lanes: number, run: (thing: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const runLane = async () => {
    while (next < things.length && failures.length === 0) {
      await run(things[next++] as T).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: lanes }, runLane));
  if (failures.length > 0) throw failures[0];
}
