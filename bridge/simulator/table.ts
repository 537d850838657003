// The rows of one menu: ids never used twice, an order of their own, and look-ups by index instead of scans.
import type { Meter } from './traffic.ts';

export interface Row {
  readonly id: string;
  /** What was set, as it reads back; fields at their default are absent. */
  readonly values: Map<string, string>;
  /** What only the router writes: counters, time stamps. */
  readonly facts: Map<string, string>;
  readonly dynamic: boolean;
  readonly builtin: boolean;
  /** Counts the traffic of the live session that the row belongs to. */
  readonly meter: Meter | null;
}

export interface NewRow {
  id?: string;
  values: Iterable<[string, string]>;
  facts?: Iterable<[string, string]>;
  meter?: Meter;
  dynamic?: boolean;
  builtin?: boolean;
}

/** Told of each row that was added or changed, and of each that is gone. */
export type Watcher = (row: Row, is_gone: boolean) => void;

export class Table {
  readonly #indexed: readonly string[];
  readonly #defaults: ReadonlyMap<string, string>;
  readonly #indexes = new Map<string, Map<string, Set<Row>>>();
  #rows = new Map<string, Row>();
  #next_id: number;
  readonly #watchers = new Set<Watcher>();

  constructor(indexed: readonly string[], defaults: ReadonlyMap<string, string>, first_id: number) {
    this.#indexed = indexed;
    this.#defaults = defaults;
    this.#next_id = first_id;
    for (const field of indexed) this.#indexes.set(field, new Map());
  }

  get size(): number {
    return this.#rows.size;
  }

  insert(row: NewRow): Row {
    const id = row.id ?? `*${(this.#next_id++).toString(16).toUpperCase()}`;
    const { dynamic = false, builtin = false, meter = null } = row;
    const made: Row = { id, values: new Map(row.values), facts: new Map(row.facts), dynamic, builtin, meter };
    this.#rows.set(id, made);
    this.#index(made);
    this.#tell(made, false);
    return made;
  }

  update(row: Row, changes: ReadonlyMap<string, string | null>): void {
    this.#unindex(row);
    for (const [field, value] of changes) {
      if (value === null) row.values.delete(field);
      else row.values.set(field, value);
    }
    this.#index(row);
    this.#tell(row, false);
  }

  /** Tells of a row of which only facts changed. */
  touch(row: Row): void {
    this.#tell(row, false);
  }

  delete(row: Row): void {
    if (!this.#rows.delete(row.id)) return;
    this.#unindex(row);
    this.#tell(row, true);
  }

  /** Gives what ends the watching. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  #tell(row: Row, is_gone: boolean): void {
    for (const watcher of this.#watchers) watcher(row, is_gone);
  }

  get(id: string): Row | undefined {
    return this.#rows.get(id);
  }

  all(): IterableIterator<Row> {
    return this.#rows.values();
  }

  first(): Row | undefined {
    for (const row of this.#rows.values()) return row;
    return undefined;
  }

  isIndexed(field: string): boolean {
    return this.#indexes.has(field);
  }

  /** Rows whose indexed field has this value. */
  find(field: string, value: string): Iterable<Row> {
    return this.#indexes.get(field)?.get(value) ?? [];
  }

  /** Puts rows before another one, or at the end; they keep their order among themselves. */
  move(moved: readonly Row[], before: Row | null): void {
    const taken = new Set(moved);
    const order: Row[] = [];
    for (const row of this.#rows.values()) {
      if (row === before) order.push(...moved);
      if (!taken.has(row)) order.push(row);
    }
    if (before === null) order.push(...moved);
    this.#rows = new Map(order.map(row => [row.id, row]));
  }

  #index(row: Row): void {
    for (const field of this.#indexed) {
      const value = row.values.get(field) ?? this.#defaults.get(field);
      const index = this.#indexes.get(field);
      if (value === undefined || index === undefined) continue;
      const rows = index.get(value);
      if (rows === undefined) index.set(value, new Set([row]));
      else rows.add(row);
    }
  }

  #unindex(row: Row): void {
    for (const field of this.#indexed) {
      const value = row.values.get(field) ?? this.#defaults.get(field) ?? '';
      const rows = this.#indexes.get(field)?.get(value);
      rows?.delete(row);
      if (rows?.size === 0) this.#indexes.get(field)?.delete(value);
    }
  }
}
