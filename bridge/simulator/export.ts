// What /export writes: only what differs from the defaults, nothing dynamic, and the lines kept of other menus.
import { formatExport } from '../../src/lib/routeros/export-file.ts';
import { readZone } from './facts.ts';
import { MENUS } from './menus.ts';
import type { Menu } from './menus.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { formatDate } from './version.ts';

export interface ExportOptions {
  /** Without it version 6 shows passwords and version 7 leaves them out. */
  show_sensitive?: boolean;
  menu?: string;
}

interface Item {
  menu: string;
  verb: string;
  target?: string | null;
  props: Map<string, string>;
}

export function formatRouterExport(router: SimulatedRouter, options: ExportOptions = {}): string {
  const show_sensitive = options.show_sensitive ?? !router.isVersion(7, 0);
  const is_wanted = (path: string) => {
    return options.menu === undefined || path === options.menu || path.startsWith(`${options.menu}/`);
  };
  const items: Item[] = is_wanted('/interface/ethernet') ? listInterfaceItems(router) : [];
  // Lines of other menus go first: bridges and the like are what the known menus refer to.
  items.push(...router.foreign.filter(item => is_wanted(item.menu)));
  for (const menu of MENUS.values()) {
    if (!menu.exported || !is_wanted(menu.path)) continue;
    for (const row of router.table(menu.path).all()) {
      const item = row.dynamic ? null : makeItem(menu, row, show_sensitive);
      if (item !== null) items.push(item);
    }
  }
  const now_text = formatDate(router.readClock(), router.version, readZone(router));
  return formatExport(items, { version: router.version, now_text });
}

function makeItem(menu: Menu, row: Row, show_sensitive: boolean): Item | null {
  const builtin = menu.builtin?.find(({ id }) => id === row.id);
  const props = new Map<string, string>();
  for (const name of Object.keys(menu.fields).sort()) {
    const field = menu.fields[name];
    if (field === undefined || (field.sensitive && !show_sensitive)) continue;
    const usual = builtin?.values[name] ?? field.default;
    const value = row.values.get(name) ?? field.default;
    // without what must be given the line could not be loaded
    const is_asked_for = !row.builtin && menu.required?.includes(name);
    if (value === usual && !is_asked_for) continue;
    if (value === undefined) props.set(`!${name}`, '');
    else props.set(name, field.kind.write?.(value) ?? value);
  }
  if (!row.builtin) return { menu: menu.path, verb: 'add', props };
  return props.size === 0 ? null : { menu: menu.path, verb: 'set', target: builtin?.target ?? null, props };
}

function listInterfaceItems(router: SimulatedRouter): Item[] {
  const items: Item[] = [];
  for (const row of router.table('/interface').all()) {
    const default_name = row.facts.get('default-name');
    if (default_name === undefined) continue;
    const props = new Map<string, string>();
    const { values } = row;
    if (values.has('comment')) props.set('comment', values.get('comment') ?? '');
    if (values.get('disabled') === 'true') props.set('disabled', 'yes');
    if (values.get('name') !== default_name) props.set('name', values.get('name') ?? '');
    const target = `[ find default-name=${default_name} ]`;
    if (props.size > 0) items.push({ menu: '/interface/ethernet', verb: 'set', target, props });
  }
  return items;
}
