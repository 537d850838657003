/**
 * Brings those who missed something up to all others. One page at a time and in turns: a thousand who come back at once
 * must not fill our memory, nor one who missed a year hold up the rest. Those who missed the same take their turn together.
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
  /** What comes after that seq, unless it is known, and whose user may still listen: the latter no older than the former. */
  read(
    position: number,
    known: Page<M> | null,
    sockets: readonly S[],
  ): Promise<{ page: Page<M>; may_listen: ReadonlySet<S> }>;
  expire(socket: S): void;
  /** Sends the page; true when the socket is as far as all others then, and gets what comes. In one turn. */
  join(socket: S, page: Page<M>): boolean;
  fail(socket: S, error: unknown): void;
  /** A little while. */
  pause(): Promise<void>;
}

const MOST_PAGES = 8;
/** How many take a turn together: what is on its way to them must fit into memory. */
const MOST_TOGETHER = 40;

export class CatchUp<S, M> {
  readonly #ports: Ports<S, M>;
  #waiting: S[] = [];
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
    while (this.#waiting.length > 0) await this.#takeTurn();
    this.#is_at_work = false;
    this.#pages.clear();
  }

  async #takeTurn(): Promise<void> {
    const position = this.#ports.positionOf(this.#waiting[0]!);
    const together = this.#takeFirst(position);
    if (position === null) return;
    try {
      const { page, may_listen } = await this.#ports.read(position, this.#pages.get(position) ?? null, together);
      this.#keep(position, page);
      const behind = together.filter(socket => this.#bringOn(socket, page, may_listen.has(socket)));
      // others were told more than the database showed: it will in a moment
      if (behind.length > 0 && page.last_seq === position) await this.#ports.pause();
      this.#waiting.push(...behind);
    } catch (error) {
      for (const socket of together) this.#ports.fail(socket, error);
    }
  }

  /** The first one that waits, and some who stand where it does. */
  #takeFirst(position: number | null): S[] {
    const together = this.#waiting
      .filter(socket => this.#ports.positionOf(socket) === position)
      .slice(0, MOST_TOGETHER);
    const taken = new Set(together);
    this.#waiting = this.#waiting.filter(socket => !taken.has(socket));
    return together;
  }

  /** True when it needs another turn. */
  #bringOn(socket: S, page: Page<M>, may_listen: boolean): boolean {
    if (this.#ports.positionOf(socket) === null) return false;
    if (may_listen) return !this.#ports.join(socket, page);
    this.#ports.expire(socket);
    return false;
  }

  /** For who stands where this one stood. That there was nothing more is true of one moment only. */
  #keep(position: number, page: Page<M>): void {
    if (page.last_seq === position) return;
    if (this.#pages.size >= MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value!);
    this.#pages.set(position, page);
  }
}
