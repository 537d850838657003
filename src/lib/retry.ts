/** When to try again: pure. `random` is in [0, 1). */
export interface Backoff {
  first_ms: number;
  most_ms: number;
}

/** Doubles with each try up to a ceiling; half of it is random, so that many waiters don't come back together. */
export function retryDelay_ms(attempts: number, random: number, backoff: Backoff): number {
  const ceiling = Math.min(backoff.most_ms, backoff.first_ms * 2 ** Math.min(attempts - 1, 30));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
