import { KINDS } from '../../src/protocol/kinds.ts';
import type { DesiredEntry, EntryResult, SealedPart } from '../../src/protocol/messages.ts';
import { findingKey, planEntry } from '../../src/provisioning/diff.ts';
import type { Result, Work } from './reconcile.ts';

export function makeWork(entry: DesiredEntry, { item_passwords }: SealedPart): Work {
  const { kind, key, ref } = entry;
  const is_secret = kind === 'ppp_secret';
  const password = is_secret && Object.hasOwn(item_passwords, ref) ? (item_passwords[ref] ?? null) : null;
  const error = key === '' ? 'it has no name' : findUnsettable(entry);
  return {
    entry,
    finding_key: findingKey(entry),
    plan: observed => planEntry(entry, observed, password),
    begun: null,
    result: error === null ? null : { outcome: 'failed', error, differences: [], observed: null },
  };
}

function findUnsettable({ kind, fields }: DesiredEntry): string | null {
  const { menu, properties } = KINDS[kind];
  const unknown = Object.keys(fields ?? {}).find(property => !Object.hasOwn(properties, property));
  return unknown === undefined ? null : `"${unknown}" of ${menu} can't be set by the bridge`;
}

/** An entry can't be right while the one that it leans on is not, unless something worse is the matter with it. */
export function tellEntry({ entry, result }: Work, results: ReadonlyMap<string, Result>): EntryResult {
  if (!result) throw new Error('a work was left unfinished');
  const { ref, generation, fields, leans_on } = entry;
  const leaned = leans_on !== null && result.outcome !== 'conflict' ? results.get(leans_on) : undefined;
  const is_bad = leaned?.outcome === 'conflict' || leaned?.outcome === 'failed';
  const { outcome, error } = is_bad && leaned ? leaned : result;
  const { differences, observed } = result;
  const password_in_place = fields !== null && result.outcome !== 'conflict' && result.outcome !== 'failed';
  return { ref, generation, outcome, error, differences, observed, password_in_place };
}
