import { BridgeFailure } from './failure.ts';

const MOST_WAITING = 20;

/** One thing at a time for each router; different routers side by side. */
export class RouterQueue {
  readonly #tails = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, number>();
  #is_stopping = false;

  isBusy(router_id: string): boolean {
    return this.#tails.has(router_id);
  }

  run<T>(router_id: string, work: () => Promise<T>): Promise<T> {
    const waiting = this.#waiting.get(router_id) ?? 0;
    if (waiting >= MOST_WAITING) {
      return Promise.reject(new BridgeFailure('INTERNAL_ERROR', 'too much waits for this router already'));
    }
    this.#waiting.set(router_id, waiting + 1);
    const turn = (this.#tails.get(router_id) ?? Promise.resolve()).then(() => {
      if (this.#is_stopping) throw new BridgeFailure('INTERNAL_ERROR', 'the bridge is stopping');
      return work();
    });
    const leave = () => this.#leave(router_id, tail);
    const tail: Promise<void> = turn.then(leave, leave);
    this.#tails.set(router_id, tail);
    return turn;
  }

  /** What runs is finished; what waits is refused. Resolves when nothing runs. */
  async stop(): Promise<void> {
    this.#is_stopping = true;
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  #leave(router_id: string, tail: Promise<void>): void {
    const waiting = (this.#waiting.get(router_id) ?? 1) - 1;
    if (waiting > 0) this.#waiting.set(router_id, waiting);
    else this.#waiting.delete(router_id);
    if (this.#tails.get(router_id) === tail) this.#tails.delete(router_id);
  }
}
