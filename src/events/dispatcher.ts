import { retryDelay_ms, type Backoff } from '../lib/retry.ts';

/**
 * Brings events to those who act on them: each subscriber follows the log from a cursor of its own, in the log's order, to
 * its end or to its first failure, and goes on from there later. Nobody waits for anybody else. Plain functions over a few
 * ports, so that tests can end it between any two steps.
 */

export interface Cursor {
  /** All up to this one was delivered. */
  last_seq: number;
  /** Failures in a row, and when (epoch ms) it is tried again. */
  attempts: number;
  retry_at: number;
}

export type Subscriber<E> = {
  name: string;
  /** False for what it has nothing to do with: its cursor passes by. */
  wants(event: E): boolean;
} & (
  | {
      /**
       * Told at most once: the cursor is stored first, and `deliver` does all that it does in the same turn. For those whose
       * listeners end with the process, and ask for what they missed.
       */
      kind: 'once';
      deliver(events: readonly E[]): void;
    }
  | {
      /** Told until it didn't fail: `deliver` must bear to be told again. */
      kind: 'until_done';
      deliver(events: readonly E[]): Promise<void>;
    }
);

/** The next events, in order. */
export interface Page<E> {
  events: readonly E[];
  /** There were no more when this was read. */
  is_last: boolean;
}

export interface Ports<E> {
  readAfter(seq: number): Promise<Page<E>>;
  readCursor(subscriber: string): Cursor;
  /** `is_durable`: it must hold from this turn on, whatever ends us. Another one may be forgotten: it is behind then. */
  writeCursor(subscriber: string, cursor: Cursor, is_durable: boolean): void;
  /** Epoch ms. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** It is to be woken then, epoch ms. */
  reportFailure(subscriber: string, error: unknown, retry_at: number): void;
}

/** Those who listen are not kept waiting for long; for the others a row or a queue is patient. */
const BACKOFF: Record<Subscriber<unknown>['kind'], Backoff> = {
  once: { first_ms: 250, most_ms: 5000 },
  until_done: { first_ms: 1000, most_ms: 5 * 60_000 },
};

export class Dispatcher<E extends { seq: number }> {
  readonly #ports: Ports<E>;
  readonly #running = new Map<string, { is_woken: boolean; done: Promise<void> }>();
  readonly #reads = new Map<number, Promise<Page<E>>>();

  constructor(ports: Ports<E>) {
    this.#ports = ports;
  }

  /** Something may have happened: each one looks, unless it waits after a failure. Ends when all have come to their end. */
  async wake(subscribers: readonly Subscriber<E>[]): Promise<void> {
    // whoever began to read before this says nothing of what happened since
    this.#reads.clear();
    await Promise.all(subscribers.map(subscriber => this.#wakeOne(subscriber)));
  }

  /** When one that failed is tried again: the earliest, epoch ms; null when nobody waits. */
  nextRetry(subscribers: readonly Subscriber<E>[]): number | null {
    const times = subscribers.map(({ name }) => this.#ports.readCursor(name).retry_at).filter(at => at > 0);
    return times.length > 0 ? Math.min(...times) : null;
  }

  #wakeOne(subscriber: Subscriber<E>): Promise<void> {
    const running = this.#running.get(subscriber.name);
    if (running) {
      running.is_woken = true;
      return running.done;
    }
    const run = { is_woken: false, done: Promise.resolve() };
    this.#running.set(subscriber.name, run);
    run.done = this.#follow(subscriber, run);
    return run.done;
  }

  async #follow(subscriber: Subscriber<E>, run: { is_woken: boolean }): Promise<void> {
    const { now, readCursor } = this.#ports;
    try {
      while (readCursor(subscriber.name).retry_at <= now()) {
        run.is_woken = false;
        const page = await this.#read(readCursor(subscriber.name).last_seq);
        await this.#deliver(subscriber, page);
        if (page.is_last && !run.is_woken) return;
      }
    } catch (error) {
      this.#postpone(subscriber, error);
    } finally {
      // in the turn of the last look: whoever wakes it later finds that it must begin anew
      this.#running.delete(subscriber.name);
    }
  }

  /** Those that are equally far share a read. */
  #read(seq: number): Promise<Page<E>> {
    const known = this.#reads.get(seq);
    if (known) return known;
    const reading = this.#ports.readAfter(seq).finally(() => {
      if (this.#reads.get(seq) === reading) this.#reads.delete(seq);
    });
    this.#reads.set(seq, reading);
    return reading;
  }

  async #deliver(subscriber: Subscriber<E>, { events }: Page<E>): Promise<void> {
    const { name } = subscriber;
    // it may have been moved on while we read
    const { last_seq, attempts } = this.#ports.readCursor(name);
    const fresh = events.filter(({ seq }) => seq > last_seq);
    const wanted = fresh.filter(event => subscriber.wants(event));
    const moved: Cursor = { last_seq: fresh.at(-1)?.seq ?? last_seq, attempts: 0, retry_at: 0 };
    const is_durable = wanted.length > 0 || attempts > 0;
    const move = () => (fresh.length > 0 || is_durable) && this.#ports.writeCursor(name, moved, is_durable);
    if (subscriber.kind === 'once') {
      move();
      if (wanted.length > 0) subscriber.deliver(wanted);
      return;
    }
    if (wanted.length > 0) await subscriber.deliver(wanted);
    move();
  }

  #postpone({ name, kind }: Subscriber<E>, error: unknown): void {
    const { now, random, readCursor, writeCursor, reportFailure } = this.#ports;
    const cursor = readCursor(name);
    const attempts = cursor.attempts + 1;
    const retry_at = now() + retryDelay_ms(attempts, random(), BACKOFF[kind]);
    writeCursor(name, { ...cursor, attempts, retry_at }, true);
    reportFailure(name, error, retry_at);
  }
}
