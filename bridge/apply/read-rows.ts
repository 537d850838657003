import type { RouterConnection, Row } from '../routeros/connection.ts';
import { RouterError } from '../routeros/errors.ts';

/** Above it the whole menu is printed once. */
const MOST_FILTERED = 40;
const NAMES_PER_PRINT = 20;

export type NamedMenu = '/ppp/profile' | '/ppp/secret';

/** What is there of these names, by name; dynamic rows don't count. A read that fails throws: it is never "nothing". */
export async function readRows(
  connection: RouterConnection,
  menu: NamedMenu,
  names: readonly string[],
  properties: readonly string[],
  /** Where given, the whole menu is printed, and this gets what was not asked for. */
  onOther?: (row: Row) => void,
): Promise<Map<string, Row>> {
  const wanted = new Set(names);
  const proplist = [...new Set(['.id', 'name', 'comment', 'dynamic', ...properties])];
  const is_whole = onOther !== undefined || wanted.size > MOST_FILTERED;
  const queries = is_whole ? [undefined] : chunk([...wanted], NAMES_PER_PRINT).map(matchAnyName);
  const prints = await Promise.all(queries.map(query => connection.print(menu, { proplist, query })));
  const rows = new Map<string, Row>();
  for (const row of prints.flat()) {
    const { name = '' } = row;
    if (row.dynamic === 'true' || row.dynamic === 'yes') continue;
    if (!wanted.has(name)) {
      onOther?.(row);
      continue;
    }
    if (!row['.id']) throw new RouterError('protocol', `the router showed ${menu} without ids`);
    rows.set(name, row);
  }
  return rows;
}

/** `?name=a ?name=b ?#| ?name=c ?#|`: one name or another. */
function matchAnyName(names: readonly string[]): string[] {
  return names.flatMap((name, at) => (at === 0 ? [`?name=${name}`] : [`?name=${name}`, '?#|']));
}

function chunk<T>(things: readonly T[], size: number): T[][] {
  const chunks: T[][] = [];
  for (let at = 0; at < things.length; at += size) chunks.push(things.slice(at, at + size));
  return chunks;
}
