import type { RouterConnection } from '../routeros/connection.ts';
import { RouterError } from '../routeros/errors.ts';
import type { RouterAccess } from '../../src/protocol/messages.ts';
import { isRefusal } from './failure.ts';
import type { HowToTake, Lease, RouterPool } from './router-pool.ts';

const MOST_RECONNECTS = 2;
const RECONNECT_PAUSE_MS = 250;

/** One apply's use of one router: a connection, and a new one where it is lost on the way. */
export class RouterHold {
  readonly #pool: RouterPool;
  readonly #router: RouterAccess;
  readonly #password: string;
  readonly #how: HowToTake;
  readonly #signal: AbortSignal | undefined;
  #lease: Lease | null = null;
  #commands_sent = 0;
  #reconnects = 0;

  /** Once the signal is aborted, what fails is not tried again. */
  constructor(pool: RouterPool, router: RouterAccess, password: string, how: HowToTake = {}, signal?: AbortSignal) {
    this.#pool = pool;
    this.#router = router;
    this.#password = password;
    this.#how = how;
    this.#signal = signal;
  }

  get commands_sent(): number {
    const { connection, commands_before } = this.#lease ?? {};
    return this.#commands_sent + (connection ? connection.commands_sent - (commands_before ?? 0) : 0);
  }

  /**
   * Runs the work, and again from its start after a lost connection: the work must look at the router first, and
   * leave out what it has finished.
   */
  async run<T>(work: (connection: RouterConnection) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(await this.#connect());
      } catch (error) {
        if (!(error instanceof RouterError)) throw error;
        const { kind } = error;
        if (isRefusal(error)) throw error;
        // who can't even be reached at the start is tried again by the caller, later
        if (!this.#lease && this.#reconnects === 0) throw error;
        await this.#letGo();
        if (this.#signal?.aborted) throw error;
        if (kind === 'login' || this.#reconnects >= MOST_RECONNECTS) throw error;
        this.#reconnects++;
        await new Promise(resolve => setTimeout(resolve, RECONNECT_PAUSE_MS));
      }
    }
  }

  release(): void {
    this.#pool.release(this.#router.id);
  }

  async #connect(): Promise<RouterConnection> {
    this.#lease ??= await this.#pool.take(this.#router, this.#password, this.#how);
    return this.#lease.connection;
  }

  /** Also a connection that still stands: a command that got no answer may yet be carried out on it. */
  async #letGo(): Promise<void> {
    this.#commands_sent = this.commands_sent;
    this.#lease = null;
    await this.#pool.discard(this.#router.id);
  }
}
