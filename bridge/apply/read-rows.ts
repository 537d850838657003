import { type EntryKind, KINDS, splitListKey } from '../../src/protocol/kinds.ts';
import type { DesiredEntry } from '../../src/protocol/messages.ts';
import { findingKey, findingKeyOf, readMarker } from '../../src/provisioning/diff.ts';
import type { RouterConnection, Row } from '../routeros/connection.ts';
import { RouterError } from '../routeros/errors.ts';

/** Above it the whole menu is printed once. */
const MOST_FILTERED = 40;
const ENTRIES_PER_PRINT = 20;

/** The rows of one menu that were asked for. */
export interface Found {
  /** By finding key. */
  rows: Map<string, Row>;
  /** Ids of the whole menu in the router's order, where it was printed whole. */
  ids: string[];
}

/** What is there of these entries, of one kind; dynamic rows don't count. A read that fails throws: it is never "nothing". */
export async function readRows(
  connection: RouterConnection,
  kind: EntryKind,
  entries: readonly DesiredEntry[],
  /** Where given, the whole menu is printed, and this gets what was not asked for. */
  onOther?: (row: Row) => void,
): Promise<Found> {
  const { menu } = KINDS[kind];
  const wanted = new Set(entries.map(findingKey));
  const options = { proplist: listProperties(kind, entries) };
  const queries = listQueries(kind, entries, onOther !== undefined);
  const prints = await Promise.all(queries.map(query => connection.print(menu, { ...options, query })));
  const found: Found = { rows: new Map(), ids: [] };
  for (const row of prints.flat()) {
    if (row.dynamic === 'true' || row.dynamic === 'yes') continue;
    const id = row['.id'];
    if (id) found.ids.push(id);
    const key = findingKeyOf(kind, row);
    if (key === null || !wanted.has(key)) {
      onOther?.(row);
      continue;
    }
    if (!id) throw new RouterError('protocol', `the router showed ${menu} without ids`);
    // of two the one with our mark counts, else the first: somebody may have copied it
    const other = found.rows.get(key);
    if (!other || (readMarker(other.comment) === null && readMarker(row.comment) !== null)) found.rows.set(key, row);
  }
  return found;
}

function listProperties(kind: EntryKind, entries: readonly DesiredEntry[]): string[] {
  const { found_by, properties } = KINDS[kind];
  const named = found_by === 'list_address' ? ['list', 'address'] : ['name'];
  const managed = entries
    .flatMap(({ fields }) => Object.keys(fields ?? {}))
    .filter(name => Object.hasOwn(properties, name));
  // a router without the `sensitive` policy leaves the password out
  const password = kind === 'ppp_secret' ? ['password'] : [];
  return [...new Set(['.id', ...named, 'comment', 'dynamic', ...password, ...managed])];
}

/** The prints that show these entries; undefined stands for the whole menu. */
function listQueries(kind: EntryKind, entries: readonly DesiredEntry[], is_whole: boolean): (string[] | undefined)[] {
  const { found_by } = KINDS[kind];
  if (found_by === 'marker') return [undefined];
  const keys = [...new Set(entries.map(findingKey))];
  const is_many = is_whole || keys.length > MOST_FILTERED;
  if (found_by === 'name') {
    if (is_many) return [undefined];
    return chunk(keys, ENTRIES_PER_PRINT).map(part => matchAny(part.map(name => [`?name=${name}`])));
  }
  const pairs = keys.map(splitListKey);
  // other lists of a router may be long, and are nothing of ours
  if (is_many) return [matchAny([...new Set(pairs.map(({ list }) => list))].map(list => [`?list=${list}`]))];
  return chunk(pairs, ENTRIES_PER_PRINT).map(part =>
    matchAny(part.map(({ list, address }) => [`?list=${list}`, `?address=${address}`, '?#&'])),
  );
}

/** `?name=a ?name=b ?#| ?name=c ?#|`: one or another. */
const matchAny = (terms: readonly string[][]): string[] =>
  terms.flatMap((term, at) => (at === 0 ? term : [...term, '?#|']));

function chunk<T>(things: readonly T[], size: number): T[][] {
  const chunks: T[][] = [];
  for (let at = 0; at < things.length; at += size) chunks.push(things.slice(at, at + size));
  return chunks;
}
