/** Waits that grow, each a random part of its limit (full jitter), so that a fleet does not come back all at once. */
export class Backoff {
  readonly #first_ms: number;
  readonly #most_ms: number;
  readonly #random: () => number;
  #failures = 0;

  constructor({ first_ms, most_ms, random }: { first_ms: number; most_ms: number; random: () => number }) {
    this.#first_ms = first_ms;
    this.#most_ms = most_ms;
    this.#random = random;
  }

  next(): number {
    const limit_ms = Math.min(this.#most_ms, this.#first_ms * 2 ** Math.min(this.#failures++, 30));
    return Math.ceil(this.#random() * limit_ms);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** Resolves after a while, or at once when a signal is aborted: the caller looks at it. */
export function pause(time_ms: number, ...signals: AbortSignal[]): Promise<void> {
  if (signals.some(({ aborted }) => aborted)) return Promise.resolve();
  return new Promise(resolve => {
    const finish = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, time_ms);
    for (const signal of signals) signal.addEventListener('abort', finish, { once: true });
  });
}
