import { DurableObject } from 'cloudflare:workers';
import { admit, takeBack, type Limit, type Verdict } from './sliding-log.ts';

/** Counts one subject (an address, a user): one thread, so never one too many. */
export class RateLimiter extends DurableObject {
  async ask(kind: string, now: number, limit: Limit): Promise<Verdict> {
    const { storage } = this.ctx;
    const log = (await storage.get<number[]>(kind)) ?? [];
    const verdict = admit(log, now, limit);
    if (verdict.admitted) {
      await storage.put(kind, log);
      // kinds share the alarm: it never comes sooner than the longest window asks
      const forgets_at = now + limit.window_ms;
      if (((await storage.getAlarm()) ?? 0) < forgets_at) await storage.setAlarm(forgets_at);
    }
    return verdict;
  }

  /** One that was counted at that time isn't any more. */
  async giveBack(kind: string, counted_at: number): Promise<void> {
    const { storage } = this.ctx;
    const log = (await storage.get<number[]>(kind)) ?? [];
    if (takeBack(log, counted_at)) await storage.put(kind, log);
  }

  /** The last window has passed: nothing is worth remembering. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll();
  }
}
