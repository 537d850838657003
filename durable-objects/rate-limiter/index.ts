import { DurableObject } from 'cloudflare:workers';
import { Door, LONGEST_WINDOW_MS, type Caller, type Count, type Question, type Verdict } from './door.ts';
import type { Block, Suspicion } from './suspicion.ts';

/** How long counts wait to be stored: shorter than an object without work stays in memory. */
const STORE_AFTER_MS = 5000;
/** A value of storage holds 2 MB: so many logs of a thousand times fit. */
const LOGS_A_ROW = 200;

/**
 * The limiter of one tenant, or of one address where there is no tenant (door.ts has the rules): one thread, so that of many
 * at once there is never one too many. Counts live in memory and are stored a few seconds after the first one, since writing
 * is what costs; sign-ins, what was suspicious, blocks and ended sessions are stored before the answer. An object that
 * crashes forgets at most STORE_AFTER_MS of plain requests, one that is only put away nothing.
 */
export class RateLimiter extends DurableObject {
  readonly #door: Door;
  #alarm_at: number | null = null;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env as never);
    this.#door = new Door(
      (key, value) => void (value === null ? ctx.storage.kv.delete(key) : ctx.storage.kv.put(key, value)),
      () => crypto.randomUUID(),
    );
    for (const [key, value] of ctx.storage.kv.list()) this.#door.restore(key, value);
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarm_at = await ctx.storage.getAlarm();
    });
  }

  async ask(question: Question): Promise<Verdict> {
    const verdict = this.#door.ask(question);
    if (verdict.admitted) await this.#wakeBy(question.now + STORE_AFTER_MS);
    return verdict;
  }

  giveBack(counts: readonly Count[], counted_at: number): void {
    this.#door.giveBack(counts, counted_at);
  }

  async strike(suspicion: Suspicion, caller: Caller, about: string | null, now: number): Promise<Block | null> {
    await this.#wakeBy(now + LONGEST_WINDOW_MS);
    return this.#door.strike(suspicion, caller, about, now);
  }

  blocks(now: number): Block[] {
    return this.#door.blocks(now);
  }

  markReported(ids: readonly string[]): void {
    this.#door.markReported(ids);
  }

  lift(ids: readonly string[]): void {
    this.#door.lift(ids);
  }

  /** Tokens of a user or session that were made before `valid_from` are over. */
  async end(subject: string, valid_from: number, now: number): Promise<void> {
    this.#door.end(subject, valid_from, now);
    await this.#wakeBy(now + LONGEST_WINDOW_MS);
  }

  /** Stores what was counted, and lets go of what is over. */
  override async alarm(): Promise<void> {
    this.#alarm_at = null;
    const { kv } = this.ctx.storage;
    const now = Date.now();
    const counted = this.#door.takeCounted(now);
    if (counted) {
      const rows = Math.ceil(counted.length / LOGS_A_ROW);
      for (let row = 0; row < rows; row++)
        kv.put(`counted ${row}`, counted.slice(row * LOGS_A_ROW, (row + 1) * LOGS_A_ROW));
      for (const [key] of kv.list({ prefix: 'counted ' })) if (Number(key.slice(8)) >= rows) kv.delete(key);
    }
    if (this.#door.forget(now)) await this.#wakeBy(now + LONGEST_WINDOW_MS);
    else await this.ctx.storage.deleteAll();
  }

  async #wakeBy(at: number): Promise<void> {
    if (this.#alarm_at !== null && this.#alarm_at <= at) return;
    this.#alarm_at = at;
    await this.ctx.storage.setAlarm(at);
  }
}
