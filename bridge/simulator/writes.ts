// add, set, unset, remove, enable, disable and move.
import type { Command } from './call.ts';
import type { Menu } from './menus.ts';
import type { SimulatedRouter } from './router.ts';
import { trapMissing, trapUnknownParameter } from './trap.ts';

export const WRITES: readonly string[] = ['add', 'set', 'unset', 'remove', 'enable', 'disable', 'move'];

/** Gives the id of what was added, null where nothing was. */
export function change(router: SimulatedRouter, menu: Menu, command: Command): string | null {
  const attributes = new Map(command.attributes);
  if (command.verb === 'add') return router.add(menu, attributes);
  if (menu.single) {
    router.setSingle(menu.path, attributes);
    return null;
  }
  const ids = attributes.get('.id') ?? attributes.get('numbers');
  if (ids === undefined) throw trapMissing('.id');
  attributes.delete('.id');
  attributes.delete('numbers');
  const allow = (...names: string[]) => {
    for (const name of attributes.keys()) if (!names.includes(name)) throw trapUnknownParameter(name);
  };
  if (command.verb === 'set') router.set(menu, ids, attributes);
  else if (command.verb === 'unset') {
    allow('value-name');
    const fields = attributes.get('value-name');
    if (fields === undefined) throw trapMissing('value-name');
    router.unset(menu, ids, fields);
  } else if (command.verb === 'move') {
    allow('destination');
    router.move(menu, ids, attributes.get('destination'));
  } else {
    allow();
    if (command.verb === 'remove') router.remove(menu, ids);
    else router.set(menu, ids, new Map([['disabled', command.verb === 'disable' ? 'yes' : 'no']]));
  }
  return null;
}
