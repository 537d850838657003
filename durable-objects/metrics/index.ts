import { DurableObject } from 'cloudflare:workers';
import type { Env } from '../../src/env.ts';
import { Tally, type Counts } from '../../src/metrics/tally.ts';
import { mustStore, type Times } from './when-to-store.ts';

const KEY = 'counts';

/** The one object that adds up what all isolates counted. It has no alarm and no timer: asleep it costs nothing. */
export class Metrics extends DurableObject<Env> {
  readonly #tally = new Tally();
  #times: Times = { stored_at: null, added_at: null };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const kept = ctx.storage.kv.get<Counts>(KEY);
    if (kept) this.#tally.add(kept);
  }

  async add(counts: Counts): Promise<void> {
    this.#tally.add(counts);
    const now = Date.now();
    const is_due = mustStore(this.#times, now);
    if (is_due) this.ctx.storage.kv.put(KEY, this.#tally.read());
    this.#times = { stored_at: is_due ? now : this.#times.stored_at, added_at: now };
  }

  async read(): Promise<Counts> {
    return this.#tally.read();
  }
}
