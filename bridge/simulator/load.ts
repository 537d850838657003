// Runs an export file against the simulated router. Unlike /import it goes on after a line that fails, says which
// did, and keeps the lines of menus it doesn't simulate.
import { parseExport } from '../../src/lib/routeros/export-file.ts';
import type { ExportItem } from '../../src/lib/routeros/export-file.ts';
import { MENUS } from './menus.ts';
import type { Menu } from './menus.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { Trap } from './trap.ts';

export interface ForeignItem {
  menu: string;
  verb: string;
  target: string | null;
  props: Map<string, string>;
}

export interface LoadProblem {
  line: number;
  text: string;
  reason: string;
}

export interface LoadResult {
  applied: number;
  kept: number;
  /** Lines, or single parameters of lines, that are not in the router now. */
  problems: LoadProblem[];
}

export function loadExport(router: SimulatedRouter, rsc_text: string): LoadResult {
  const { items, unread } = parseExport(rsc_text);
  const result: LoadResult = { applied: 0, kept: 0, problems: [...unread] };
  let waiting: ExportItem[] = [];
  for (const item of items) {
    const menu = MENUS.get(item.menu);
    if (menu?.exported) {
      const is_waiting = item.verb === 'add' && namesMissingRow(router, menu, item.props);
      if (is_waiting) waiting.push(item);
      else applyItem(router, menu, item, result);
    } else keepForeign(router, item, result);
  }
  // A row may name one that comes later in the file: tried again for as long as that helps.
  for (let before = -1; waiting.length !== before;) {
    before = waiting.length;
    waiting = waiting.filter(item => {
      const menu = MENUS.get(item.menu);
      if (menu === undefined || namesMissingRow(router, menu, item.props)) return true;
      applyItem(router, menu, item, result);
      return false;
    });
  }
  for (const item of waiting) applyItem(router, MENUS.get(item.menu), item, result);
  return result;
}

function namesMissingRow(router: SimulatedRouter, menu: Menu, props: ReadonlyMap<string, string>): boolean {
  return [...props].some(([name, value]) => {
    const kind = menu.fields[name]?.kind;
    if (kind?.refers_to === '/interface') learnInterface(router, value, 'other');
    return kind?.refers_to !== undefined && kind.parse(value, router) === null;
  });
}

function applyItem(router: SimulatedRouter, menu: Menu | undefined, item: ExportItem, result: LoadResult): void {
  if (menu === undefined) return;
  const report = (reason: string) => {
    result.problems.push({ line: item.line, text: describeItem(item), reason });
  };
  const given = [...item.props].filter(([name]) => !name.startsWith('!'));
  const attributes = new Map(given);
  // A parameter this router can't take is left out and reported, so that the row itself is there.
  for (let attempt = 0; attempt <= item.props.size; attempt++) {
    try {
      runItem(router, menu, item, attributes);
      result.applied++;
      return;
    } catch (error) {
      if (!(error instanceof Trap)) throw error;
      report(error.message);
      if (error.field === null || !attributes.delete(error.field)) return;
    }
  }
}

function runItem(router: SimulatedRouter, menu: Menu, item: ExportItem, attributes: Map<string, string>): void {
  if (menu.single) return router.setSingle(menu.path, attributes);
  if (item.verb === 'add') {
    router.add(menu, attributes);
    return;
  }
  const ids = findTargets(router, menu, item.target ?? '').map(row => row.id);
  if (ids.length === 0) throw new Trap('no such item');
  const joined = ids.join(',');
  const cleared = [...item.props.keys()].filter(name => name.startsWith('!')).map(name => name.slice(1));
  if (item.verb === 'set') {
    router.set(menu, joined, attributes);
    if (cleared.length > 0) router.unset(menu, joined, cleared.join(','));
  } else if (item.verb === 'remove') router.remove(menu, joined);
  else if (item.verb === 'enable' || item.verb === 'disable') {
    router.set(menu, joined, new Map([['disabled', item.verb === 'disable' ? 'yes' : 'no']]));
  } else throw new Trap(`no such command: ${item.verb}`);
}

/** `[ find name=x ]`, `*0`, `0` or a name. */
function findTargets(router: SimulatedRouter, menu: Menu, target: string): Row[] {
  const rows = [...router.table(menu.path).all()];
  const found = /^\[\s*find\b([^]*)\]$/.exec(target);
  if (found) {
    const conditions = [...(found[1] ?? '').matchAll(/([a-z0-9.-]+)="?((?<=")[^"]*|[^\s"]+)"?/gi)];
    return rows.filter(row =>
      conditions.every(([, name = '', value = '']) => hasValue(router, menu, row, name, value)),
    );
  }
  if (/^\d+$/.test(target)) return rows.slice(Number(target), Number(target) + 1);
  try {
    return router.findRows(menu, target);
  } catch {
    return [];
  }
}

function hasValue(router: SimulatedRouter, menu: Menu, row: Row, name: string, value: string): boolean {
  const shown = router.readProperty(menu, row, name, true);
  return shown === value || (shown === 'true' && value === 'yes') || (shown === 'false' && value === 'no');
}

function describeItem(item: ExportItem): string {
  const name = item.props.get('name') ?? item.target ?? '';
  return `${item.menu} ${item.verb} ${name}`.trimEnd();
}

const INTERFACE_PROPS = ['name', 'comment', 'disabled'];

function keepForeign(router: SimulatedRouter, item: ExportItem, result: LoadResult): void {
  const props = new Map(item.props);
  const type = /^\/interface\/([a-z0-9-]+)$/.exec(item.menu)?.[1];
  const name = props.get('name');
  if (type === 'ethernet' && item.verb === 'set') {
    const own = new Map(INTERFACE_PROPS.filter(key => props.has(key)).map(key => [key, props.get(key) ?? '']));
    const menu = MENUS.get('/interface');
    const rows = menu === undefined ? [] : findTargets(router, menu, item.target ?? '');
    if (menu !== undefined && rows.length > 0 && own.size > 0) {
      router.set(menu, rows.map(row => row.id).join(','), own);
      for (const key of own.keys()) props.delete(key);
      result.applied++;
      if (props.size === 0) return;
    }
  } else if (type !== undefined && item.verb === 'add' && name !== undefined) learnInterface(router, name, type);
  router.foreign.push({ menu: item.menu, verb: item.verb, target: item.target, props });
  result.kept++;
}

function learnInterface(router: SimulatedRouter, name: string, type: string): void {
  if (name === '' || router.hasName('/interface', name)) return;
  router.table('/interface').insert({
    values: [
      ['name', name],
      ['type', type],
    ],
  });
}
