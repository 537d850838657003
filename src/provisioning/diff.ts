import { equalValues, normaliseAddress } from '../lib/routeros/values.ts';
import { KINDS, splitListKey, type EntryKind, type EntryMenu } from '../protocol/kinds.ts';
import type { DesiredEntry, Difference, Outcome } from '../protocol/messages.ts';

/** Desired against observed → the changes that make them equal, in order. Pure; shared by Worker and bridge. */

/** Of the profile of the suspended. */
export const ISOLIR_MARKER = 'rukun:isolir';

/** A row as the router printed it. */
export type ObservedRow = Record<string, string>;

export interface Change {
  menu: EntryMenu;
  verb: 'add' | 'set' | 'remove';
  /** The router's own id of the row; null when it is added. */
  id: string | null;
  /** Property → value; an empty value unsets where the property can be unset. */
  props: ObservedRow;
}

/** What is to be done about one desired thing: nothing, a change, or nothing because it isn't ours. */
export interface Step {
  change: Change | null;
  outcome: Outcome;
  error: string | null;
  /** What isn't as it must be, before the change. */
  differences: Difference[];
  /** End the live session of this name once the change is made: a change alone leaves it up. */
  end_session: string | null;
}

const MARKER = /(?:^|\s)(rukun:\S+)$/;

/** The marker at the end of a comment, which says that the row is ours and whose it is. */
export const readMarker = (comment: string | undefined): string | null =>
  MARKER.exec(comment?.trim() ?? '')?.[1] ?? null;

/** The comment with our marker at its end; text before it, by hand, is kept. */
export function withMarker(comment: string | undefined, marker: string): string {
  const text = (comment ?? '').trim().replace(MARKER, '').trim();
  return text === '' ? marker : `${text} ${marker}`;
}

/** The comment as it was before we marked it; null where it doesn't end with just this marker of ours. */
export function withoutMarker(comment: string | undefined, marker: string): string | null {
  if (readMarker(comment) !== marker) return null;
  return (comment ?? '').trim().replace(MARKER, '').trim();
}

/** By what an entry is found among the rows of its menu. */
export function findingKey({ kind, key, marker }: Pick<DesiredEntry, 'kind' | 'key' | 'marker'>): string {
  const { found_by } = KINDS[kind];
  if (found_by === 'marker') return marker;
  return found_by === 'list_address' ? joinListKey(splitListKey(key)) : key;
}

/** The same of a row; null where it has none. */
export function findingKeyOf(kind: EntryKind, row: ObservedRow): string | null {
  const { found_by } = KINDS[kind];
  if (found_by === 'marker') return readMarker(row.comment);
  return found_by === 'list_address' ? joinListKey(row) : (row.name ?? '');
}

const joinListKey = ({ list = '', address = '' }: Record<string, string>): string =>
  `${list} ${normaliseAddress(address)}`;

/** Null when the row may be changed by us: it is marked, or an admin gave it to us. Otherwise why not. */
function findConflict({ key, kind, marker, adopt }: DesiredEntry, observed: ObservedRow): string | null {
  const mark = readMarker(observed.comment);
  // nobody who pays is put into the walled garden because its profile once had that name
  const is_isolir = kind === 'ppp_profile' && (mark === ISOLIR_MARKER) !== (marker === ISOLIR_MARKER);
  if (mark !== null && is_isolir) return `"${key}" on the router is marked ${mark}, and must not become ${marker}`;
  if (adopt || mark !== null) return null;
  return `"${key}" is on the router already and isn't marked as ours`;
}

/** Properties that differ, with the values that they must have. */
function findDifferences(menu: EntryMenu, observed: ObservedRow, wanted: ObservedRow): ObservedRow {
  return Object.fromEntries(
    Object.entries(wanted).filter(([property, value]) => !equalValues(menu, property, observed[property] ?? '', value)),
  );
}

const withoutEmpty = (props: ObservedRow): ObservedRow =>
  Object.fromEntries(Object.entries(props).filter(([, value]) => value !== ''));

const unchanged = (outcome: Outcome = 'unchanged', error: string | null = null): Step => ({
  change: null,
  outcome,
  error,
  differences: [],
  end_session: null,
});

/** Our own mark is no difference to anybody. */
const listDifferences = (observed: ObservedRow, props: ObservedRow): Difference[] =>
  Object.entries(props).flatMap(([property, desired]) => {
    if (property === 'comment') return [];
    if (property === 'password') return [{ property, desired: null, observed: null }];
    return [{ property, desired: desired || null, observed: observed[property] || null }];
  });

/** `password`: the one that a secret must have; null when we never knew it. */
export function planEntry(entry: DesiredEntry, observed: ObservedRow | undefined, password: string | null): Step {
  const { kind, fields, marker } = entry;
  if (fields === null) return entry.release ? planRelease(entry, observed) : planRemoval(entry, observed);
  if (!observed) return planAddition(entry, fields, password);
  const conflict = findConflict(entry, observed);
  if (conflict) return unchanged('conflict', conflict);
  const { menu } = KINDS[kind];
  const props = findDifferences(menu, observed, { ...fields, comment: withMarker(observed.comment, marker) });
  if (kind === 'ppp_secret' && password !== null && mustWritePassword(entry, observed, password))
    props.password = password;
  const end_session = findSessionToEnd(entry, observed, props);
  if (Object.keys(props).length === 0) return { ...unchanged(), end_session };
  return {
    ...unchanged('changed'),
    change: { menu, verb: 'set', id: observed['.id']!, props },
    differences: listDifferences(observed, props),
    end_session,
  };
}

function planAddition({ kind, key, marker, line }: DesiredEntry, fields: ObservedRow, password: string | null): Step {
  const { menu, found_by, when_new } = KINDS[kind];
  const is_secret = kind === 'ppp_secret';
  if (is_secret && password === null)
    return unchanged('failed', `"${key}" is not on the router, and its password isn't known`);
  const named: ObservedRow = found_by === 'name' ? { name: key } : found_by === 'list_address' ? splitListKey(key) : {};
  const props = withoutEmpty({ ...named, ...when_new, ...fields });
  if (is_secret) props.password = password!;
  return {
    ...unchanged('added'),
    change: { menu, verb: 'add', id: null, props: { ...props, comment: marker } },
    // somebody may have removed the secret, and left its session up
    end_session: line?.end_session ? key : null,
  };
}

/** Giving back what we adopted changes nothing but the marker, and throws nobody off the line. */
function planRelease({ kind, marker }: DesiredEntry, observed: ObservedRow | undefined): Step {
  const comment = withoutMarker(observed?.comment, marker);
  if (!observed || comment === null) return unchanged('absent');
  const change: Change = { menu: KINDS[kind].menu, verb: 'set', id: observed['.id']!, props: { comment } };
  return { ...unchanged('changed'), change };
}

function planRemoval(entry: DesiredEntry, observed: ObservedRow | undefined): Step {
  // an unmarked row of that name is somebody else's, and ours isn't there, which is what was wanted; unless it was ours
  // and lost its mark. One marked for another customer is an earlier holder of the name: a name has one row on a router
  const conflict = observed && findConflict(entry, observed);
  if (conflict) return entry.was_ours ? unchanged('conflict', conflict) : unchanged('absent');
  const end_session = entry.kind === 'ppp_secret' ? entry.key : null;
  // who removed the secret before us may have left its session up
  if (!observed) return { ...unchanged('absent'), end_session };
  const change: Change = { menu: KINDS[entry.kind].menu, verb: 'remove', id: observed['.id']!, props: {} };
  return { ...unchanged('removed'), change, end_session };
}

/** A new comment is no reason to throw a subscriber off the line, nor is a profile that gives the session the same. */
function findSessionToEnd({ line, key }: DesiredEntry, observed: ObservedRow, props: ObservedRow): string | null {
  if (!line) return null;
  const is_same = (property: string) =>
    property === 'comment' || (property === 'profile' && line.same_service.includes(observed.profile ?? ''));
  return line.end_session || !Object.keys(props).every(is_same) ? key : null;
}

/** A router that hides passwords from us is believed to have the last one that we wrote. */
function mustWritePassword({ line }: DesiredEntry, observed: ObservedRow, password: string): boolean {
  return observed.password === undefined ? !line?.password_written : observed.password !== password;
}

/** What we manage of a row, as people may see it. */
export function describeObserved({ fields }: DesiredEntry, row: ObservedRow | undefined): ObservedRow | null {
  if (!row) return null;
  const managed = Object.keys(fields ?? {}).flatMap(property => (row[property] ? [[property, row[property]]] : []));
  return { ...Object.fromEntries(managed), ...(row.comment && { comment: row.comment }) };
}

/** The row once the change is made. */
export function rowAfter(row: ObservedRow | undefined, change: Change | null): ObservedRow | undefined {
  if (!change) return row;
  return change.verb === 'remove' ? undefined : { ...row, ...change.props };
}
