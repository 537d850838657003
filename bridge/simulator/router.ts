// The simulated router itself: tables, and the verbs that change them. No sockets; the clock is handed in.
import { dialIn, endSession } from './dial.ts';
import type { DialOptions } from './dial.ts';
import { formatRouterExport } from './export.ts';
import type { ExportOptions } from './export.ts';
import { listFacts } from './facts.ts';
import { logInHotspot, logOutHotspot } from './hotspot.ts';
import type { HotspotLoginOptions } from './hotspot.ts';
import { DialError, dropSession } from './live-session.ts';
import { loadExport } from './load.ts';
import type { ForeignItem, LoadResult } from './load.ts';
import { MENUS, listReferrers } from './menus.ts';
import type { Field, Menu } from './menus.ts';
import type { Query } from './queries.ts';
import { Table } from './table.ts';
import type { Row, Watcher } from './table.ts';
import { Traffic } from './traffic.ts';
import type { Meter, TrafficChange } from './traffic.ts';
import {
  MISSING,
  Trap,
  trapInvalidValue,
  trapMissing,
  trapNoMatch,
  trapReadOnlyRow,
  trapUnknownParameter,
} from './trap.ts';
import { flag, parseDuration } from './values.ts';
import { isAtLeast } from './version.ts';

export type Attributes = ReadonlyMap<string, string>;
type Changes = Map<string, string | null>;

export interface RouterOptions {
  version: string;
  identity?: string;
  now?: () => number;
}

const LOG_ROWS = 1000;
const ETHERNET_PORTS = 5;
const FIRST_SESSION_ID = 0x80000001;

export class SimulatedRouter {
  readonly version: string;
  readonly now: () => number;
  /** What its clock is off by; it dates things wrongly, and counts uptimes all the same. */
  clock_skew_ms = 0;
  started_ms: number;
  readonly traffic: Traffic;
  /** Lines of menus that aren't simulated: kept, so that a state file loses nothing. */
  readonly foreign: ForeignItem[] = [];
  /** Called after each change that belongs into the state file. */
  onChange: () => void = () => {};
  sessions_begun = 0;
  readonly #tables = new Map<string, Table>();

  constructor(options: RouterOptions) {
    this.version = options.version;
    this.now = options.now ?? Date.now;
    this.started_ms = this.now();
    for (const menu of MENUS.values()) this.#tables.set(menu.path, makeTable(menu));
    this.traffic = new Traffic(this);
    for (let port = 1; port <= ETHERNET_PORTS; port++) {
      const row = this.table('/interface').insert({
        values: [
          ['name', `ether${port}`],
          ['type', 'ether'],
          ['mtu', '1500'],
        ],
      });
      row.facts.set('default-name', `ether${port}`);
    }
    for (const name of this.isVersion(7, 0)
      ? ['routeros']
      : ['system', 'ppp', 'hotspot', 'security', 'advanced-tools']) {
      this.table('/system/package').insert({ values: [['name', name]] });
    }
    if (options.identity !== undefined) this.setSingle('/system/identity', new Map([['name', options.identity]]));
  }

  /** What the router takes the time to be. */
  readClock(): number {
    return this.now() + this.clock_skew_ms;
  }

  isVersion(major: number, minor: number): boolean {
    return isAtLeast(this.version, major, minor);
  }

  table(path: string): Table {
    const table = this.#tables.get(path);
    if (table === undefined) throw new Error(`no such menu: ${path}`);
    return table;
  }

  hasName(menu: string, name: string): boolean {
    return this.hasValue(menu, 'name', name);
  }

  /** Of a field that is looked up by index. */
  hasValue(menu: string, field: string, value: string): boolean {
    for (const _row of this.table(menu).find(field, value)) return true;
    return false;
  }

  add(menu: Menu, attributes: Attributes): string {
    const wanted = new Map(attributes);
    const place_before = takeKey(wanted, 'place-before');
    const table = this.table(menu.path);
    if (menu.path === '/queue/simple' && !wanted.has('name')) wanted.set('name', this.#inventQueueName());
    for (const field of menu.required ?? []) if (!wanted.has(field)) throw trapMissing(field);
    const changes = this.#normalise(menu, wanted);
    this.#refuseDuplicates(menu, [null], changes);
    const before = place_before === undefined ? null : (this.findRows(menu, place_before)[0] ?? null);
    const timeout = takeKey(changes, 'timeout');
    const values = [...changes].filter((change): change is [string, string] => change[1] !== null);
    // Only a list's entry runs out; it is dynamic then.
    const is_entry = timeout !== undefined && menu.path === LIST_MENU;
    const facts: [string, string][] = [['created_ms', String(this.readClock())]];
    if (timeout != null && is_entry) facts.push(['expires_ms', this.#findExpiry(timeout)]);
    else if (timeout != null) values.push(['timeout', timeout]);
    const row = table.insert({ values, facts, dynamic: is_entry });
    if (before !== null) table.move([row], before);
    this.onChange();
    return row.id;
  }

  set(menu: Menu, ids: string, attributes: Attributes): void {
    const rows = this.findRows(menu, ids);
    const changes = this.#normalise(menu, attributes);
    for (const row of rows) refuseReadOnly(row, 'change', menu, changes);
    this.#refuseDuplicates(menu, rows, changes);
    const timeout = menu.path === LIST_MENU ? takeKey(changes, 'timeout') : undefined;
    for (const row of rows) {
      if (timeout != null) row.facts.set('expires_ms', this.#findExpiry(timeout));
      const new_name = changes.get('name');
      const old_name = row.values.get('name');
      this.table(menu.path).update(row, changes);
      if (typeof new_name === 'string' && old_name !== undefined) this.#repointReferrers(menu, old_name, new_name);
    }
    this.onChange();
  }

  setSingle(path: string, attributes: Attributes): void {
    const menu = getMenu(path);
    const row = this.table(path).first();
    if (row !== undefined) this.table(path).update(row, this.#normalise(menu, attributes));
    this.onChange();
  }

  unset(menu: Menu, ids: string, fields: string): void {
    const rows = this.findRows(menu, ids);
    const changes: Changes = new Map();
    for (const field of fields.split(',')) {
      if (menu.fields[field] === undefined || menu.required?.includes(field)) throw trapNoMatch('value-name');
      changes.set(field, null);
    }
    for (const row of rows) refuseReadOnly(row, 'change', menu, changes);
    for (const row of rows) this.table(menu.path).update(row, changes);
    this.onChange();
  }

  remove(menu: Menu, ids: string): void {
    const rows = this.findRows(menu, ids);
    for (const row of rows) refuseReadOnly(row, 'remove', menu, null);
    for (const row of rows) {
      if (menu.path === '/ppp/active') endSession(this, row, 'admin-reset');
      else if (menu.path === '/ip/hotspot/active') logOutHotspot(this, row, 'admin reset');
      else this.deleteRow(menu.path, row);
    }
    this.onChange();
  }

  /** A reference to a row that is gone reads back as its id, as on a router. */
  deleteRow(path: string, row: Row): void {
    this.table(path).delete(row);
    const name = row.values.get('name');
    if (name !== undefined && !row.dynamic) this.#repointReferrers(getMenu(path), name, row.id);
  }

  move(menu: Menu, ids: string, destination: string | undefined): void {
    const rows = this.findRows(menu, ids);
    const before = destination === undefined ? null : (this.findRows(menu, destination)[0] ?? null);
    if (before !== null && rows.includes(before)) throw trapReadOnlyRow('move object before itself');
    this.table(menu.path).move(rows, before);
    this.onChange();
  }

  /** Rows by ids, or by names where the menu has names, separated by commas. */
  findRows(menu: Menu, ids: string): Row[] {
    const table = this.table(menu.path);
    const found = new Set<Row>();
    for (const id of ids.split(',')) {
      const by_id = /^\*[0-9a-f]+$/i.test(id) ? table.get(normaliseId(id)) : undefined;
      const [by_name] = by_id === undefined && table.isIndexed('name') ? table.find('name', id) : [];
      const row = by_id ?? by_name;
      if (row === undefined) throw new Trap(this.isVersion(7, 0) ? 'no such item' : 'no such item (4)', MISSING);
      found.add(row);
    }
    return [...found];
  }

  /** The rows a query matches, through an index where one serves. Without `sensitive` it can't ask for secrets. */
  *select(menu: Menu, query: Query, sensitive: boolean): Generator<Row> {
    if (menu.path === LIST_MENU) this.dropExpired();
    for (const row of this.#listCandidates(menu, query)) {
      if (this.matches(menu, row, query, sensitive)) yield row;
    }
  }

  matches(menu: Menu, row: Row, query: Query, sensitive: boolean): boolean {
    return query.matches(
      property => this.readProperty(menu, row, property, sensitive),
      // What only the router writes and reads true or false is a flag too.
      property => (menu.fields[property]?.kind ?? flag) === flag,
    );
  }

  *#listCandidates(menu: Menu, query: Query): Generator<Row> {
    const table = this.table(menu.path);
    for (const [property, value] of query.equalities) {
      if (property === '.id') {
        const row = table.get(value);
        if (row !== undefined) yield row;
        return;
      }
      if (table.isIndexed(property)) return yield* [...table.find(property, value)];
    }
    yield* [...table.all()];
  }

  readProperty(menu: Menu, row: Row, property: string, sensitive: boolean): string | undefined {
    if (property === '.id') return menu.single ? undefined : row.id;
    const field = menu.fields[property];
    const value = field && readField(field, row, property, sensitive);
    if (value !== undefined || field?.sensitive) return value;
    return listFacts(this, menu.path, row).find(([name]) => name === property)?.[1];
  }

  /** All a print shows of one row. */
  renderRow(menu: Menu, row: Row, sensitive: boolean): Map<string, string> {
    const shown = new Map<string, string>();
    if (!menu.single) shown.set('.id', row.id);
    for (const [name, field] of Object.entries(menu.fields)) {
      const value = readField(field, row, name, sensitive);
      if (value !== undefined) shown.set(name, value);
    }
    for (const [name, value] of listFacts(this, menu.path, row)) if (!shown.has(name)) shown.set(name, value);
    return shown;
  }

  rows(path: string): Record<string, string>[] {
    const menu = MENUS.get(path);
    if (menu === undefined) return [];
    if (path === LIST_MENU) this.dropExpired();
    return [...this.table(path).all()].map(row => Object.fromEntries(this.renderRow(menu, row, true)));
  }

  /** Runs an export file against what is there, as /import would, but goes on after a line that fails. */
  load(rsc_text: string): LoadResult {
    return loadExport(this, rsc_text);
  }

  export(options: ExportOptions = {}): string {
    return formatRouterExport(this, options);
  }

  dial(name: string, options: DialOptions = {}): string {
    return dialIn(this, name, options);
  }

  hangUp(name: string): number {
    const rows = [...this.table('/ppp/active').find('name', name)];
    for (const row of rows) endSession(this, row, 'user-request');
    return rows.length;
  }

  logInHotspot(name: string, options: HotspotLoginOptions = {}): string {
    return logInHotspot(this, name, options);
  }

  logOutHotspot(name: string): number {
    const rows = [...this.table('/ip/hotspot/active').find('user', name)];
    for (const row of rows) logOutHotspot(this, row, 'user request');
    return rows.length;
  }

  /** Sets the rates, or moves bytes at once, of each live session of this name, PPPoE or hotspot. */
  useTraffic(name: string, change: TrafficChange): Meter[] {
    const rows = [
      ...this.table('/ppp/active').find('name', name),
      ...this.table('/ip/hotspot/active').find('user', name),
    ];
    const meters = rows.map(row => row.meter).filter(meter => meter !== null);
    if (meters.length === 0) throw new DialError(`${name} is not logged in`);
    for (const meter of meters) meter.apply(change);
    return meters;
  }

  /** What a reboot leaves: the configuration. */
  reboot(): void {
    for (const path of ['/ppp/active', '/ip/hotspot/active'] as const) {
      for (const row of [...this.table(path).all()]) dropSession(this, path, row);
    }
    const entries = this.table(LIST_MENU);
    for (const row of [...entries.all()]) if (row.dynamic) entries.delete(row);
    for (const row of [...this.table('/log').all()]) this.table('/log').delete(row);
    this.traffic.reset();
    this.started_ms = this.now();
    this.addLog('system,info', 'router rebooted');
  }

  /** Told of every row of a menu that is added, changed or gone; gives what ends it. */
  watch(path: string, watcher: Watcher): () => void {
    return this.table(path).watch(watcher);
  }

  addLog(topics: string, message: string): void {
    const table = this.table('/log');
    table.insert({
      values: [
        ['buffer', 'memory'],
        ['topics', topics],
        ['message', message],
      ],
      facts: [['created_ms', String(this.readClock())]],
    });
    const oldest = table.size > LOG_ROWS ? table.first() : undefined;
    if (oldest !== undefined) table.delete(oldest);
  }

  #normalise(menu: Menu, attributes: Attributes): Changes {
    const changes: Changes = new Map();
    for (const [name, raw] of attributes) {
      const field = Object.hasOwn(menu.fields, name) ? menu.fields[name] : undefined;
      if (field === undefined) throw trapUnknownParameter(name);
      const value = field.kind.parse(raw, this);
      if (value === null) throw field.kind.is_choice ? trapNoMatch(name) : trapInvalidValue(name);
      changes.set(name, value === (field.default ?? '') ? null : value);
    }
    return changes;
  }

  // `null` among the rows stands for the one about to be added.
  #refuseDuplicates(menu: Menu, rows: readonly (Row | null)[], changes: Changes): void {
    const { key } = menu;
    if (key === undefined || !key.some(field => changes.has(field))) return;
    const read = (row: Row | null, field: string) => row?.values.get(field) ?? menu.fields[field]?.default ?? '';
    const taken = new Set<string>();
    for (const row of rows) {
      const wanted = key.map(field => {
        const change = changes.get(field);
        return change === undefined ? read(row, field) : (change ?? menu.fields[field]?.default ?? '');
      });
      const indexed = key.findLastIndex(field => menu.indexed?.includes(field));
      const rivals = this.table(menu.path).find(key[indexed] ?? '', wanted[indexed] ?? '');
      const is_taken = (rival: Row) => rival !== row && key.every((field, at) => read(rival, field) === wanted[at]);
      const joined = JSON.stringify(wanted);
      if (taken.has(joined) || [...rivals].some(is_taken))
        throw new Trap(menu.duplicate ?? 'failure: already have such name');
      taken.add(joined);
    }
  }

  #repointReferrers(menu: Menu, old_name: string, new_name: string): void {
    if (old_name === new_name) return;
    for (const [path, field] of listReferrers(menu.path)) {
      const table = this.table(path);
      for (const row of table.all()) {
        if (row.values.get(field) === old_name) table.update(row, new Map([[field, new_name]]));
      }
    }
  }

  #findExpiry(timeout: string): string {
    return String(this.now() + (parseDuration(timeout) ?? 0));
  }

  /** List entries whose time is over go when somebody looks. */
  dropExpired(): void {
    const table = this.table(LIST_MENU);
    const now_ms = this.now();
    for (const row of [...table.all()]) {
      const expires_ms = row.facts.get('expires_ms');
      if (expires_ms !== undefined && Number(expires_ms) <= now_ms) table.delete(row);
    }
  }

  #inventQueueName(): string {
    let number = 1;
    while (this.hasName('/queue/simple', `queue${number}`)) number++;
    return `queue${number}`;
  }
}

const LIST_MENU = '/ip/firewall/address-list';

export function getMenu(path: string): Menu {
  const menu = MENUS.get(path);
  if (menu === undefined) throw new Error(`no such menu: ${path}`);
  return menu;
}

function makeTable(menu: Menu): Table {
  const defaults = Object.entries(menu.fields).filter((entry): entry is [string, Field & { default: string }] => {
    return entry[1].default !== undefined;
  });
  const first_id = menu.path === '/ppp/active' ? FIRST_SESSION_ID : 1;
  const table = new Table(
    menu.indexed ?? [],
    new Map(defaults.map(([name, field]) => [name, field.default])),
    first_id,
  );
  for (const { id, values } of menu.builtin ?? []) table.insert({ id, values: Object.entries(values), builtin: true });
  if (menu.single) table.insert({ id: '*0', values: [], builtin: true });
  return table;
}

function readField(field: Field, row: Row, name: string, sensitive: boolean): string | undefined {
  if (field.sensitive && !sensitive) return undefined;
  return row.values.get(name) ?? field.default;
}

function refuseReadOnly(row: Row, what: 'change' | 'remove', menu: Menu, changes: Changes | null): void {
  const is_session = menu.path === '/ppp/active' || menu.path === '/ip/hotspot/active' || menu.path === LIST_MENU;
  if (row.dynamic && !is_session) throw trapReadOnlyRow(`${what} dynamic`);
  if (!row.builtin) return;
  if (what === 'remove') throw trapReadOnlyRow('remove default item');
  const new_name = changes?.get('name');
  if (changes?.has('name') && new_name !== row.values.get('name')) throw trapReadOnlyRow('rename default item');
}

const normaliseId = (id: string) =>
  `*${id
    .slice(1)
    .replace(/^0+(?=.)/, '')
    .toUpperCase()}`;

function takeKey<V>(map: Map<string, V>, key: string): V | undefined {
  const value = map.get(key);
  map.delete(key);
  return value;
}
