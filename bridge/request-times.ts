/** How far in time requests were accepted, so that none is accepted again after a restart that forgot its nonce. */
import { join } from 'node:path';
import { z } from 'zod';
import { MOST_SKEW_MS } from '../src/protocol/signature.ts';
import { parseJson, readIfThere, replaceFile } from './files.ts';

export const REQUEST_TIMES_FILE = 'request-times.json';
const EVERY_MS = 5_000;

const Stored = z.object({ highest_ms: z.int().min(0) });

export class RequestTimes {
  readonly #path: string;
  #highest_ms = 0;
  #saved_ms = 0;
  #timer: NodeJS.Timeout | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(state_dir: string) {
    this.#path = join(state_dir, REQUEST_TIMES_FILE);
  }

  /** What was accepted by the process before. A clock that was far ahead then must not shut out all for long. */
  async load(now_ms: number): Promise<number> {
    const stored = Stored.safeParse(parseJson((await readIfThere(this.#path).catch(() => null)) ?? ''));
    const highest_ms = stored.success ? stored.data.highest_ms : 0;
    [this.#highest_ms, this.#saved_ms] = [highest_ms, highest_ms];
    return Math.min(highest_ms, now_ms + MOST_SKEW_MS);
  }

  note(time_ms: number): void {
    // also back, where the clock was put right: what is then ahead is refused for its time alone
    if (Math.abs(time_ms - this.#highest_ms) > 10 * MOST_SKEW_MS) this.#highest_ms = time_ms;
    this.#highest_ms = Math.max(this.#highest_ms, time_ms);
    this.#timer ??= setTimeout(() => void this.save(), EVERY_MS).unref();
  }

  /** Resolves when it is on disk, or couldn't be put there. */
  save(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const write = async () => {
      const highest_ms = this.#highest_ms;
      if (highest_ms === this.#saved_ms) return;
      await replaceFile(this.#path, `${JSON.stringify({ highest_ms })}\n`);
      this.#saved_ms = highest_ms;
    };
    this.#last = this.#last.then(write).catch(() => undefined);
    return this.#last;
  }
}
