import { LiveConnection } from './live-connection.ts';
import {
  FIRST_TRY,
  isPassing,
  isSpent,
  LIVE_TIMING,
  nextStep,
  socketUrl,
  type ClosedReason,
  type LiveTiming,
} from './live-rules.ts';
import type { LiveEventName, LiveMessage } from './live-types.ts';

/** What happens, as it happens: a socket that comes back by itself and misses nothing. For browsers and Node 22 or newer. */

export type { LiveEventName, LiveMessage, LiveMessageOf } from './live-types.ts';

export type LiveState =
  | { status: 'connecting' }
  | { status: 'open' }
  | { status: 'waiting'; retry_in_ms: number }
  | { status: 'closed'; reason: ClosedReason };

export interface LiveOptions {
  /** `https://melati.rukun.example`, or any host of the API. */
  url: string;
  /**
   * Gives an access token that is good for some time yet; asked at each connection and before its end. `refused`:
   * another one is wanted, since this was not taken, may not have been, or is about to end. After a refusal the same
   * again ends it, and so does an error; not one that may pass: what `fetch` throws, or a `status` of 429 or 5xx.
   */
  token: (refused?: string) => Promise<string>;
  /** Default: all that one may see. */
  events?: readonly LiveEventName[];
  /** Begins with what came after this `seq`. Default: with what happens from now on. */
  since?: number;
  /** Each message once, in order. */
  onMessage: (message: LiveMessage) => void;
  onState?: (state: LiveState) => void;
  timing?: Partial<LiveTiming>;
}

export interface Live {
  /** The last position that is known: `since` for whoever goes on later. */
  readonly seq: number | null;
  /** From now on these events only. */
  subscribe(events: readonly LiveEventName[]): void;
  close(): void;
}

/** Throws at once where the address is none; whatever else goes wrong is told as a state. */
export function connectLive(options: LiveOptions): Live {
  new URL(options.url);
  return new LiveSocket(options);
}

/** Browsers tell when the network goes and comes; elsewhere nobody does. */
type Listen = (type: 'online' | 'offline', listener: () => void) => void;
const page = globalThis as { addEventListener?: Listen; removeEventListener?: Listen };

class LiveSocket implements Live {
  readonly #options: LiveOptions;
  readonly #timing: LiveTiming;
  #events: readonly LiveEventName[] | undefined;
  #seq: number | null;
  #connection: LiveConnection | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #tries = FIRST_TRY;
  #token: string | undefined;
  #doubt: 'none' | 'maybe' | 'sure' = 'none';
  #is_closed = false;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#timing = { ...LIVE_TIMING, ...options.timing };
    this.#events = options.events;
    this.#seq = options.since ?? null;
    page.addEventListener?.('online', this.#comeOnline);
    page.addEventListener?.('offline', this.#goOffline);
    // whoever is told of the first state holds what we give back by then
    queueMicrotask(() => void this.#connect());
  }

  get seq(): number | null {
    return this.#seq;
  }

  subscribe(events: readonly LiveEventName[]): void {
    this.#events = events;
    this.#connection?.send({ type: 'subscribe', events });
  }

  close(): void {
    this.#close('closed');
  }

  #close(reason: ClosedReason): void {
    if (this.#is_closed) return;
    this.#is_closed = true;
    clearTimeout(this.#retry);
    this.#connection?.drop();
    this.#connection = null;
    page.removeEventListener?.('online', this.#comeOnline);
    page.removeEventListener?.('offline', this.#goOffline);
    this.#tell({ status: 'closed', reason });
  }

  #tell(state: LiveState): void {
    this.#options.onState?.(state);
  }

  async #connect(): Promise<void> {
    this.#retry = undefined;
    if (this.#is_closed) return;
    this.#tell({ status: 'connecting' });
    const doubted = this.#doubt === 'none' ? undefined : this.#token;
    const token = await this.#askToken(doubted).catch((error: unknown) => ({ error }));
    if (this.#is_closed) return;
    if (typeof token !== 'string') return this.#goOnWithoutToken(token.error);
    if (this.#isKnownBad(token)) return this.#close('unauthorized');
    this.#doubt = 'none';
    this.#token = token;
    const since = this.#seq;
    this.#connection = new LiveConnection({
      url: socketUrl(this.#options.url, { events: this.#events, since }),
      token,
      renewToken: async () => (this.#token = await this.#askToken(this.#token)),
      timing: this.#timing,
      onOpen: () => this.#open(),
      onMessage: message => this.#take(message),
      onPosition: seq => this.#takePosition(seq, since),
      onEnd: ending => this.#end(ending),
    });
  }

  async #askToken(refused: string | undefined): Promise<string> {
    return inTime(this.#options.token(refused), this.#timing.open_ms);
  }

  /** The same again: after a refusal it gets nowhere, nor where a connection failed and its time is over. */
  #isKnownBad(token: string): boolean {
    if (token !== this.#token) return false;
    return this.#doubt === 'sure' || (this.#tries.is_doubted && isSpent(token, Date.now()));
  }

  /** After a refusal there is nothing to go on with, unless whoever gives tokens is out of reach as well. */
  #goOnWithoutToken(error: unknown): void {
    const doubt = this.#doubt;
    if (doubt === 'sure' && !isPassing(error)) return this.#close('unauthorized');
    this.#end({ code: 1006, lasted_ms: null });
    this.#doubt = doubt;
  }

  #open(): void {
    this.#tell({ status: 'open' });
    // other events may be wanted by now; and the answer tells the position
    this.#connection?.send({ type: 'subscribe', events: this.#events });
  }

  /** A log that ends before what was asked for is one from before: what happens in it from now on is new. */
  #takePosition(seq: number, since: number | null): void {
    if (this.#seq === null || (since !== null && seq < since)) this.#seq = seq;
  }

  #take(message: LiveMessage): void {
    if ('seq' in message) {
      if (this.#seq !== null && message.seq <= this.#seq) return;
      this.#seq = message.seq;
    }
    this.#options.onMessage(message);
  }

  #end(ending: { code: number; lasted_ms: number | null }): void {
    this.#connection = null;
    const step = nextStep(ending, this.#tries, this.#timing, Math.random());
    if (step.do === 'end') return this.#close(step.reason);
    this.#tries = step.tries;
    this.#doubt = step.doubt;
    this.#retry = setTimeout(() => void this.#connect(), step.wait_ms);
    this.#tell({ status: 'waiting', retry_in_ms: step.wait_ms });
  }

  /** A connection to this machine may stand all the same: it is asked. */
  #goOffline = (): void => this.#connection?.probe();

  /** No waiting any more; a connection that stands may have been lost on the way. */
  #comeOnline = (): void => {
    if (this.#retry === undefined) return this.#connection?.probe();
    clearTimeout(this.#retry);
    void this.#connect();
  };
}

/** What is awaited, unless it takes too long. */
async function inTime<T>(awaited: Promise<T>, most_ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const lapse = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DOMException('It took too long.', 'TimeoutError')), most_ms);
  });
  return Promise.race([awaited, lapse]).finally(() => clearTimeout(timer));
}
