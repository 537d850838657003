import { retryDelay_ms, type Backoff } from '../../src/lib/retry.ts';

/**
 * Something that is shown as the API says it. An event only tells that it may have changed: then it is read anew, at
 * once and then at most once a second, never twice side by side, and again where that failed. While it keeps on changing it is
 * read ever more rarely, down to once in `most_gap_ms`: a storm mustn't use up what its user may ask in a minute.
 */

export interface FigureOptions<T> {
  read: () => Promise<T>;
  show: (value: T) => void;
  /** A read failed; true: another one follows by itself. */
  onFailure: (error: unknown) => boolean;
  gap_ms?: number;
  most_gap_ms?: number;
  backoff?: Backoff;
}

export class Figure<T> {
  readonly #options: FigureOptions<T>;
  #is_stale = false;
  #is_reading = false;
  #is_stopped = false;
  #failures = 0;
  #not_before = 0;
  #gap_ms = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FigureOptions<T>) {
    this.#options = options;
  }

  /** It may have changed. */
  touch(): void {
    this.#is_stale = true;
    this.#plan();
  }

  /** It may have changed, and what kept the last read from succeeding may be over. */
  readAnew(): void {
    if (this.#failures > 0) {
      this.#failures = 0;
      this.#not_before = 0;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    this.touch();
  }

  stop(): void {
    this.#is_stopped = true;
    clearTimeout(this.#timer);
  }

  #plan(): void {
    if (!this.#is_stale || this.#is_reading || this.#is_stopped || this.#timer !== undefined) return;
    const wait_ms = this.#not_before - performance.now();
    if (wait_ms <= 0) return void this.#read();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#read();
    }, wait_ms);
  }

  async #read(): Promise<void> {
    const { read, show } = this.#options;
    // what happens while it is read makes it stale again
    this.#is_stale = false;
    this.#is_reading = true;
    const now = performance.now();
    this.#gap_ms = this.#nextGap(now - this.#not_before);
    this.#not_before = now + this.#gap_ms;
    try {
      const value = await read();
      this.#failures = 0;
      if (!this.#is_stopped) show(value);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#is_reading = false;
      this.#plan();
    }
  }

  /** Twice the last one where the read had waited for it; after a rest as at first. */
  #nextGap(rested_ms: number): number {
    const { gap_ms = 1000, most_gap_ms = 12_000 } = this.#options;
    return rested_ms > this.#gap_ms / 2 ? gap_ms : Math.min(most_gap_ms, Math.max(gap_ms, this.#gap_ms * 2));
  }

  #fail(error: unknown): void {
    const { onFailure, backoff = { first_ms: 1000, most_ms: 30_000 } } = this.#options;
    if (this.#is_stopped || !onFailure(error)) return;
    this.#is_stale = true;
    this.#failures++;
    const told_ms = (error as { retry_after_ms?: number } | null)?.retry_after_ms ?? 0;
    const wait_ms = Math.max(told_ms, retryDelay_ms(this.#failures, Math.random(), backoff));
    this.#not_before = performance.now() + wait_ms;
  }
}
