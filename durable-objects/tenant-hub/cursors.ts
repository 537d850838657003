import type { Cursor } from '../../src/events/dispatcher.ts';

/** The subscribers' cursors: at hand in memory, and in the object's own storage as far as they must outlive it. */

/** Events that were nobody's business are passed by in memory alone, this many: a write for each would cost more. */
const MOST_FORGOTTEN = 200;

const NONE: Cursor = { last_seq: 0, attempts: 0, retry_at: 0 };

export class CursorStore {
  readonly #kv: SyncKvStorage;
  readonly #known = new Map<string, { cursor: Cursor; stored_seq: number }>();

  constructor(kv: SyncKvStorage) {
    this.#kv = kv;
  }

  read(subscriber: string): Cursor {
    const known = this.#known.get(subscriber);
    if (known) return known.cursor;
    const cursor = this.#kv.get<Cursor>(`cursor:${subscriber}`) ?? NONE;
    this.#known.set(subscriber, { cursor, stored_seq: cursor.last_seq });
    return cursor;
  }

  /** Another log: whoever was further than its end goes on from there. */
  startAt(head: number): void {
    for (const [key, cursor] of this.#kv.list<Cursor>({ prefix: 'cursor:' }))
      if (cursor.last_seq > head) this.#kv.put(key, { ...cursor, last_seq: head });
    this.#known.clear();
  }

  /** Storing is part of the turn: what is sent in the same turn leaves only once it is stored. */
  write(subscriber: string, cursor: Cursor, is_durable: boolean): void {
    this.read(subscriber);
    const known = this.#known.get(subscriber)!;
    known.cursor = cursor;
    if (!is_durable && cursor.last_seq - known.stored_seq < MOST_FORGOTTEN) return;
    known.stored_seq = cursor.last_seq;
    this.#kv.put(`cursor:${subscriber}`, cursor);
  }
}
