/**
 * Brings those who missed something up to all others. One page at a time and in turns: a thousand who come back at once
 * must not fill our memory, nor one who missed a year hold up the rest. Those who missed the same share what is read.
 */

export interface Page<M> {
  messages: readonly M[];
  /** Up to here it tells all. */
  last_seq: number;
  /** There was no more when it was read. */
  is_last: boolean;
  /** How often the hub had been woken when it was read: see `join`. */
  wakes: number;
}

export interface Ports<S, M> {
  /** Where it stands; null: it is gone, or no longer behind. */
  positionOf(socket: S): number | null;
  /** What comes after that seq, and whether the socket's user may still listen: the latter no older than the former. */
  read(socket: S, known: Page<M> | null): Promise<{ page: Page<M>; may_listen: boolean }>;
  expire(socket: S): void;
  /** Sends the page; true when the socket is as far as all others then, and gets what comes. In one turn. */
  join(socket: S, page: Page<M>): boolean;
  fail(socket: S, error: unknown): void;
}

const MOST_PAGES = 8;

export class CatchUp<S, M> {
  readonly #ports: Ports<S, M>;
  readonly #waiting: S[] = [];
  readonly #pages = new Map<number, Page<M>>();
  #is_at_work = false;

  constructor(ports: Ports<S, M>) {
    this.#ports = ports;
  }

  /** Ends when nobody waits any more. */
  async add(socket: S): Promise<void> {
    this.#waiting.push(socket);
    if (this.#is_at_work) return;
    this.#is_at_work = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      if (await this.#takeTurn(next)) this.#waiting.push(next);
    this.#is_at_work = false;
    this.#pages.clear();
  }

  /** True when it needs another one. */
  async #takeTurn(socket: S): Promise<boolean> {
    const position = this.#ports.positionOf(socket);
    if (position === null) return false;
    try {
      const { page, may_listen } = await this.#ports.read(socket, this.#pages.get(position) ?? null);
      this.#keep(position, page);
      if (this.#ports.positionOf(socket) === null) return false;
      if (may_listen) return !this.#ports.join(socket, page);
      this.#ports.expire(socket);
    } catch (error) {
      this.#ports.fail(socket, error);
    }
    return false;
  }

  /** For who stands where this one stood. That there was nothing more is true of one moment only. */
  #keep(position: number, page: Page<M>): void {
    if (page.last_seq === position) return;
    if (this.#pages.size >= MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value!);
    this.#pages.set(position, page);
  }
}
