/** When what was added up is written: writing is what costs, and what isn't written is lost when the object falls asleep. */

export interface Times {
  /** Epoch ms; null before the first. */
  stored_at: number | null;
  /** When something was added before. */
  added_at: number | null;
}

const STORE_EVERY_MS = 30_000;
/** An object is asleep after ten seconds in which nobody called. */
const MAY_SLEEP_AFTER_MS = 5_000;

/** Where additions come seldom each may be the last before it sleeps; where they come often the next one stores it too. */
export const mustStore = ({ stored_at, added_at }: Times, now: number): boolean =>
  stored_at === null ||
  added_at === null ||
  Math.abs(now - stored_at) >= STORE_EVERY_MS ||
  Math.abs(now - added_at) >= MAY_SLEEP_AFTER_MS;
