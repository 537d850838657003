import { equalValues } from '../lib/routeros/values.ts';
import type { DesiredItem, DesiredProfile, Difference, Outcome } from '../protocol/messages.ts';

/** Desired against observed → the changes that make them equal, in order. Pure; shared by Worker and bridge. */

/** A row as the router printed it. */
export type ObservedRow = Record<string, string>;

export interface Change {
  menu: '/ppp/profile' | '/ppp/secret';
  verb: 'add' | 'set' | 'remove';
  /** The router's own id of the row; null when it is added. */
  id: string | null;
  /** Property → value; an empty value unsets where the property can be unset. */
  props: ObservedRow;
}

/** What is to be done about one desired thing: nothing, a change, or nothing because it isn't ours. */
export interface Step {
  subject: string;
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

/** Null when the row may be changed by us: it is marked, or an admin gave it to us. Otherwise why not. */
function findConflict(observed: ObservedRow, adopt: boolean): string | null {
  if (adopt || readMarker(observed.comment) !== null) return null;
  return `"${observed.name}" is on the router already and isn't marked as ours`;
}

/** Properties that differ, with the values that they must have. */
function findDifferences(menu: string, observed: ObservedRow, wanted: ObservedRow): ObservedRow {
  return Object.fromEntries(
    Object.entries(wanted).filter(([property, value]) => !equalValues(menu, property, observed[property] ?? '', value)),
  );
}

const withoutEmpty = (props: ObservedRow): ObservedRow =>
  Object.fromEntries(Object.entries(props).filter(([, value]) => value !== ''));

const unchanged = (subject: string, outcome: Outcome = 'unchanged', error: string | null = null): Step => ({
  subject,
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

export function planProfile(desired: DesiredProfile, observed: ObservedRow | undefined): Step {
  const menu = '/ppp/profile';
  const { name, marker, adopt, fields } = desired;
  if (desired.release) return planRelease(menu, name, marker, observed);
  if (!observed) {
    const props = { name, ...withoutEmpty(fields), comment: marker };
    return { ...unchanged(name, 'added'), change: { menu, verb: 'add', id: null, props } };
  }
  const conflict = findConflict(observed, adopt);
  if (conflict) return unchanged(name, 'conflict', conflict);
  const props = findDifferences(menu, observed, { ...fields, comment: withMarker(observed.comment, marker) });
  if (Object.keys(props).length === 0) return unchanged(name);
  return {
    ...unchanged(name, 'changed'),
    change: { menu, verb: 'set', id: observed['.id']!, props },
    differences: listDifferences(observed, props),
  };
}

/** `password`: the one it must have; null when we never knew it. */
export function planSecret(item: DesiredItem, observed: ObservedRow | undefined, password: string | null): Step {
  const { ref, key, marker, adopt, desired } = item;
  if (!desired) return planRemoval(item, observed);
  if (!observed) {
    if (password === null)
      return unchanged(ref, 'failed', `"${key}" is not on the router, and its password isn't known`);
    const props = { name: key, password, service: 'pppoe', comment: marker, ...secretProps(desired) };
    return {
      ...unchanged(ref, 'added'),
      change: { menu: '/ppp/secret', verb: 'add', id: null, props: withoutEmpty(props) },
    };
  }
  const conflict = findConflict(observed, adopt);
  if (conflict) return unchanged(ref, 'conflict', conflict);
  const wanted = { ...secretProps(desired), comment: withMarker(observed.comment, marker) };
  const props = findDifferences('/ppp/secret', observed, wanted);
  if (password !== null && mustWritePassword(item, observed, password)) props.password = password;
  const must_end = item.end_session ? key : null;
  if (Object.keys(props).length === 0) return { ...unchanged(ref), end_session: must_end };
  const change: Change = { menu: '/ppp/secret', verb: 'set', id: observed['.id']!, props };
  // a new comment is no reason to throw a subscriber off the line
  const only_comment = Object.keys(props).every(property => property === 'comment');
  const differences = listDifferences(observed, props);
  return { ...unchanged(ref, 'changed'), change, differences, end_session: only_comment ? must_end : key };
}

/** Giving back what we adopted changes nothing but the marker, and throws nobody off the line. */
function planRelease(menu: Change['menu'], subject: string, marker: string, observed: ObservedRow | undefined): Step {
  const comment = withoutMarker(observed?.comment, marker);
  if (!observed || comment === null) return unchanged(subject, 'absent');
  return {
    ...unchanged(subject, 'changed'),
    change: { menu, verb: 'set', id: observed['.id']!, props: { comment } },
  };
}

function planRemoval(item: DesiredItem, observed: ObservedRow | undefined): Step {
  const { ref, key, adopt, marker } = item;
  if (item.release) return planRelease('/ppp/secret', ref, marker, observed);
  // an unmarked row of that name is somebody else's: ours isn't there, which is what was wanted. One marked for another
  // customer is an earlier holder of the name: there is one row of desired state for each name on a router
  if (!observed || findConflict(observed, adopt)) return unchanged(ref, 'absent');
  const change: Change = { menu: '/ppp/secret', verb: 'remove', id: observed['.id']!, props: {} };
  return { ...unchanged(ref, 'removed'), change, end_session: key };
}

function secretProps(desired: NonNullable<DesiredItem['desired']>): ObservedRow {
  const props: ObservedRow = { profile: desired.profile, disabled: desired.disabled ? 'yes' : 'no' };
  if (desired.remote_address !== null) props['remote-address'] = desired.remote_address;
  return props;
}

/** A router that hides passwords from us is believed to have the last one that we wrote. */
function mustWritePassword(item: DesiredItem, observed: ObservedRow, password: string): boolean {
  return observed.password === undefined ? !item.password_written : observed.password !== password;
}
