// print, getall, listen, find, get and export.
import { isOn, readPropertyList, refuseUnknown } from './call.ts';
import type { Call } from './call.ts';
import type { Menu } from './menus.ts';
import { parseQuery } from './queries.ts';
import type { Row } from './table.ts';
import { BAD_ARGUMENT, Trap, trapInvalidValue, trapMissing, trapNoMatch } from './trap.ts';
import { parseDuration } from './values.ts';

const LISTEN_WORDS = new Set(['.proplist', 'detail', 'stats']);
const PRINT_WORDS = new Set([
  ...['.proplist', 'count-only', 'detail', 'stats', 'brief', 'terse', 'without-paging', 'value-list'],
  ...['follow', 'follow-only', 'interval'],
]);
const GET_WORDS = new Set(['.id', 'number', 'numbers', 'value-name', '.proplist']);
const EXPORT_WORDS = new Set(['show-sensitive', 'hide-sensitive', 'compact', 'verbose', 'terse', 'file']);
const LIST_MENU = '/ip/firewall/address-list';
const EXPIRY_CHECK_MS = 500;
const SHORTEST_INTERVAL_MS = 10;

export function print(call: Call, menu: Menu): void {
  const { command, router } = call;
  refuseUnknown(command, PRINT_WORDS);
  const { attributes } = command;
  if (isOn(attributes.get('follow-only'))) return listen(call, menu);
  const query = parseQuery(command.queries);
  const selectRows = () => [...router.select(menu, query, call.isSensitive())];
  if (isOn(attributes.get('count-only'))) return call.reply('!done', [['ret', String(selectRows().length)]]);
  const wanted = readPropertyList(command);
  const sendRows = (section: [string, string][] = []) => {
    const rows = selectRows();
    for (const row of rows) call.reply('!re', [...showRow(call, menu, row, wanted), ...section]);
    if (rows.length === 0 && router.isVersion(7, 18) && !isOn(attributes.get('follow'))) call.reply('!empty');
  };
  if (attributes.has('interval')) {
    const interval_ms = readInterval(attributes.get('interval'));
    const sendSection = countSections(sendRows);
    sendSection();
    repeat(call, interval_ms, sendSection);
    return;
  }
  sendRows();
  if (isOn(attributes.get('follow'))) return listen(call, menu);
  call.reply('!done');
}

/** What goes on marks the rows of each round with the round's number. */
export function countSections(send: (section: [string, string][]) => void): () => void {
  let section = 0;
  return () => send([['.section', String(section++)]]);
}

/** Every change of every row from now on; with a query, of the rows it matches. */
export function listen(call: Call, menu: Menu): void {
  const { command, router } = call;
  if (command.verb === 'listen') refuseUnknown(command, LISTEN_WORDS);
  const query = parseQuery(command.queries);
  const wanted = readPropertyList(command);
  // A row that leaves the selection is as good as gone to whoever follows it.
  const known = new Set<string>();
  for (const row of router.select(menu, query, call.isSensitive())) known.add(row.id);
  const dead = router.isVersion(6, 0) ? 'true' : 'yes';
  const unwatch = router.watch(menu.path, (row, is_gone) => {
    if (!is_gone && router.matches(menu, row, query, call.isSensitive())) {
      known.add(row.id);
      call.tell('!re', showRow(call, menu, row, wanted));
    } else if (known.delete(row.id)) {
      call.tell('!re', [
        ['.id', row.id],
        ['.dead', dead],
      ]);
    }
  });
  const timer = menu.path === LIST_MENU ? setInterval(() => router.dropExpired(), EXPIRY_CHECK_MS) : undefined;
  call.keepRunning(() => {
    unwatch();
    clearInterval(timer);
  });
}

function showRow(call: Call, menu: Menu, row: Row, wanted: readonly string[] | null): Iterable<[string, string]> {
  const { router } = call;
  const sensitive = call.isSensitive();
  if (wanted === null) return router.renderRow(menu, row, sensitive);
  const shown: [string, string][] = [];
  for (const name of wanted) {
    const value = router.readProperty(menu, row, name, sensitive);
    if (value !== undefined) shown.push([name, value]);
  }
  return shown;
}

/** Does it at that interval until the command is cancelled; gives what ends it. */
export function repeat(call: Call, interval_ms: number, act: () => void): (trap?: Trap) => void {
  const timer = setInterval(() => {
    try {
      act();
    } catch (error) {
      end(error instanceof Trap ? error : new Trap('failure: internal error'));
    }
  }, interval_ms);
  const end = call.keepRunning(() => clearInterval(timer));
  return end;
}

export function readInterval(raw: string | undefined): number {
  const interval_ms = parseDuration(raw ?? '1s');
  if (interval_ms === null || interval_ms <= 0) throw trapInvalidValue('interval');
  return Math.max(SHORTEST_INTERVAL_MS, interval_ms);
}

/** Ids of the rows a query matches, as the console's find gives them. */
export function find(call: Call, menu: Menu): void {
  refuseUnknown(call.command, new Set());
  const rows = call.router.select(menu, parseQuery(call.command.queries), call.isSensitive());
  const ids = Array.from(rows, row => row.id);
  call.reply('!done', [['ret', ids.join(';')]]);
}

export function get(call: Call, menu: Menu): void {
  const { command, router } = call;
  refuseUnknown(command, GET_WORDS);
  const { attributes } = command;
  const id = attributes.get('.id') ?? attributes.get('number') ?? attributes.get('numbers');
  if (id === undefined && !menu.single) throw trapMissing('.id');
  const rows = id === undefined || menu.single ? [router.table(menu.path).first()] : router.findRows(menu, id);
  const row = rows[0];
  if (row === undefined || rows.length > 1) throw new Trap('can get only one item', BAD_ARGUMENT);
  const name = attributes.get('value-name');
  const shown = router.renderRow(menu, row, call.isSensitive());
  if (name === undefined) {
    const all = Array.from(shown, ([key, value]) => `${key}=${value}`).join(';');
    return call.reply('!done', [['ret', all]]);
  }
  if (!shown.has(name) && !Object.hasOwn(menu.fields, name)) throw trapNoMatch('value-name');
  call.reply('!done', [['ret', shown.get(name) ?? '']]);
}

/** The text comes back as `ret`; with `file` it would land on the router's disk, which isn't simulated. */
export function exportText(call: Call, menu: Menu | undefined): void {
  const { command, router } = call;
  refuseUnknown(command, EXPORT_WORDS);
  const { attributes } = command;
  const is_open = router.isVersion(7, 0)
    ? isOn(attributes.get('show-sensitive'))
    : !isOn(attributes.get('hide-sensitive'));
  const text = router.export({ show_sensitive: is_open && call.isSensitive(), menu: menu?.path });
  call.reply('!done', attributes.has('file') ? [] : [['ret', text]]);
}
