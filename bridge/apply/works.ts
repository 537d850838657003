import type { DesiredItem, DesiredProfile, ItemResult, SealedPart } from '../../src/protocol/messages.ts';
import { planProfile, planSecret } from '../../src/provisioning/diff.ts';
import type { Result, Work } from './reconcile.ts';

/** What each plan of a secret must know; a router without the `sensitive` policy leaves the password out. */
export const SECRET_PROPERTIES: readonly string[] = ['password', 'profile', 'remote-address', 'disabled'];

/** All of a profile that may be set from outside. Not `on-up` and `on-down`: those are scripts that the router runs. */
export const PROFILE_PROPERTIES: ReadonlySet<string> = new Set([
  'local-address',
  'remote-address',
  'rate-limit',
  'address-list',
  'only-one',
  'dns-server',
  'wins-server',
  'session-timeout',
  'idle-timeout',
  'parent-queue',
  'queue-type',
  'insert-queue-before',
  'change-tcp-mss',
  'use-compression',
  'use-encryption',
  'use-ipv6',
  'use-mpls',
  'use-upnp',
  'use-vj-compression',
]);

export function makeProfileWork(desired: DesiredProfile): Work {
  const unknown = Object.keys(desired.fields).find(property => !PROFILE_PROPERTIES.has(property));
  const problem = unknown === undefined ? null : `"${unknown}" of a profile can't be set by the bridge`;
  return makeWork(desired.name, problem, observed => planProfile(desired, observed));
}

export function listProfileProperties(profiles: readonly DesiredProfile[]): string[] {
  const properties = new Set(profiles.flatMap(({ fields }) => Object.keys(fields)));
  return [...properties].filter(property => PROFILE_PROPERTIES.has(property));
}

export function makeSecretWork(item: DesiredItem, sealed: SealedPart): Work {
  const { item_passwords } = sealed;
  const password = Object.hasOwn(item_passwords, item.ref) ? (item_passwords[item.ref] ?? null) : null;
  return makeWork(item.key, null, observed => planSecret(item, observed, password));
}

function makeWork(name: string, problem: string | null, plan: Work['plan']): Work {
  const error = name === '' ? 'it has no name' : problem;
  return { name, plan, begun: null, result: error === null ? null : { outcome: 'failed', error, differences: [] } };
}

/** A secret can't be right while the profile that it leans on is not, unless something worse is the matter with it. */
export function tellItem(item: DesiredItem, own: Result, profiles: ReadonlyMap<string, Result>): ItemResult {
  const { ref, generation, desired } = item;
  const profile = desired && own.outcome !== 'conflict' ? profiles.get(desired.profile) : undefined;
  const is_bad = profile?.outcome === 'conflict' || profile?.outcome === 'failed';
  const { outcome, error } = is_bad && profile ? profile : own;
  const { differences } = own;
  const password_in_place = desired !== null && own.outcome !== 'conflict' && own.outcome !== 'failed';
  return { ref, generation, outcome, error, differences, password_in_place };
}
