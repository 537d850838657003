/** Answers of the last minute, as text, so that thousands of small values don't weigh on the memory. */
import type { Table } from './read-router.ts';

interface Entry {
  router_id: string;
  read_ms: number;
  text: string;
}

export interface MemoryOptions {
  /** Never goes back. */
  now_ms: () => number;
  /** 60,000 unless told. */
  keep_ms?: number;
  /** Of text in all; 8,000,000 unless told. */
  most_chars?: number;
}

export class AnswerMemory {
  readonly #now_ms: () => number;
  readonly #keep_ms: number;
  readonly #most_chars: number;
  /** The oldest first. */
  readonly #entries = new Map<string, Entry>();
  #chars = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor({ now_ms, keep_ms = 60_000, most_chars = 8_000_000 }: MemoryOptions) {
    this.#now_ms = now_ms;
    this.#keep_ms = keep_ms;
    this.#most_chars = most_chars;
  }

  get chars(): number {
    return this.#chars;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `age_ms` is how long ago its reading began. */
  find(key: string, most_age_ms: number): { age_ms: number; table: Table } | null {
    const entry = this.#entries.get(key);
    const age_ms = entry ? this.#now_ms() - entry.read_ms : Infinity;
    if (!entry || age_ms > most_age_ms || age_ms > this.#keep_ms) return null;
    return { age_ms, table: JSON.parse(entry.text) as Table };
  }

  keep(key: string, router_id: string, read_ms: number, table: Table): void {
    this.#drop(key);
    const text = JSON.stringify(table);
    if (text.length > this.#most_chars) return;
    this.#entries.set(key, { router_id, read_ms, text });
    this.#chars += text.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#chars <= this.#most_chars) break;
      this.#drop(oldest);
    }
    this.#timer ??= setTimeout(() => this.#dropOld(), this.#keep_ms).unref();
  }

  forget(router_id: string): void {
    for (const [key, entry] of this.#entries) if (entry.router_id === router_id) this.#drop(key);
  }

  #dropOld(): void {
    this.#timer = null;
    let next_ms = Infinity;
    for (const [key, { read_ms }] of this.#entries) {
      const left_ms = read_ms + this.#keep_ms - this.#now_ms();
      if (left_ms <= 0) this.#drop(key);
      else next_ms = Math.min(next_ms, left_ms);
    }
    if (next_ms !== Infinity) this.#timer = setTimeout(() => this.#dropOld(), next_ms).unref();
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#chars -= entry.text.length;
  }
}
