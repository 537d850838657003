// The rows of one menu: ids never used twice, an order of their own, and look-ups by index instead of scans.
export interface Row {
  readonly id: string;
  /** What was set, as it reads back; fields at their default are absent. */
  readonly values: Map<string, string>;
  /** What only the router writes: counters, time stamps. */
  readonly facts: Map<string, string>;
  readonly dynamic: boolean;
  readonly builtin: boolean;
}

export interface NewRow {
  id?: string;
  values: Iterable<[string, string]>;
  dynamic?: boolean;
  builtin?: boolean;
}

export class Table {
  readonly #indexed: readonly string[];
  readonly #defaults: ReadonlyMap<string, string>;
  readonly #indexes = new Map<string, Map<string, Set<Row>>>();
  #rows = new Map<string, Row>();
  #next_id: number;

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
    const { dynamic = false, builtin = false } = row;
    const made: Row = { id, values: new Map(row.values), facts: new Map(), dynamic, builtin };
    this.#rows.set(id, made);
    this.#index(made);
    return made;
  }

  update(row: Row, changes: ReadonlyMap<string, string | null>): void {
    this.#unindex(row);
    for (const [field, value] of changes) {
      if (value === null) row.values.delete(field);
      else row.values.set(field, value);
    }
    this.#index(row);
  }

  delete(row: Row): void {
    if (this.#rows.delete(row.id)) this.#unindex(row);
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
