/** Between the Worker and the bridge: what gets through, how late, and whose answer comes back. */

/** One request to the bridge as it left the Worker. */
interface Sent {
  url: string;
  init: RequestInit;
}

export interface WireCounts {
  applies: number;
  /** Entries that an apply found otherwise than they must be. */
  changes: number;
  answers_lost: number;
  requests_late: number;
  requests_repeated: number;
  requests_held: number;
}

const MOST_REMEMBERED = 6;

export class Wire {
  is_cut = false;
  /** How many of the next applies are done, and the Worker isn't told. */
  answers_to_lose = 0;
  /** How many of the next applies reach the bridge long after the Worker has given them up. */
  requests_to_delay = 0;
  /** How many of the next applies stay on the way, with the Worker waiting for them. */
  requests_to_hold = 0;
  readonly counts: WireCounts = {
    applies: 0,
    changes: 0,
    answers_lost: 0,
    requests_late: 0,
    requests_repeated: 0,
    requests_held: 0,
  };
  readonly #before = globalThis.fetch;
  readonly #real = globalThis.fetch.bind(globalThis);
  readonly #late: Sent[] = [];
  readonly #held: (() => void)[] = [];
  readonly #hold_watchers: (() => void)[] = [];
  readonly #past: Sent[] = [];
  readonly #at_bridge = new Set<Promise<unknown>>();

  /** From now on all calls to bridges go through here. */
  begin(): void {
    globalThis.fetch = (input, init) => this.#fetch(input, init);
  }

  end(): void {
    globalThis.fetch = this.#before;
  }

  async #fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const url = input instanceof Request ? input.url : String(input);
    const { pathname } = new URL(url);
    if (!pathname.startsWith('/v1/')) return this.#real(input, init);
    const is_apply = pathname === '/v1/apply';
    if (is_apply && take(this, 'requests_to_hold')) {
      this.counts.requests_held++;
      await new Promise<void>(go => {
        this.#held.push(go);
        for (const tell of this.#hold_watchers.splice(0)) tell();
      });
    }
    if (this.is_cut) throw new TypeError('the bridge is cut off');
    const sent: Sent = { url, init };
    if (is_apply && take(this, 'requests_to_delay')) {
      this.#late.push(sent);
      throw new TypeError('no answer in time');
    }
    const response = await this.#deliver(sent);
    if (!is_apply) return response;
    this.#remember(sent);
    await this.#count(response.clone());
    if (!take(this, 'answers_to_lose')) return response;
    this.counts.answers_lost++;
    throw new TypeError('the answer was lost');
  }

  #deliver({ url, init }: Sent): Promise<Response> {
    const answered = this.#real(url, init).then(async response => {
      // all of it, so that the bridge is done with it
      const text = await response.text();
      return new Response(text, { status: response.status, headers: response.headers });
    });
    const done = answered.catch(() => undefined).finally(() => this.#at_bridge.delete(done));
    this.#at_bridge.add(done);
    return answered;
  }

  #remember(sent: Sent): void {
    this.#past.unshift(sent);
    this.#past.splice(MOST_REMEMBERED);
  }

  async #count(response: Response): Promise<void> {
    this.counts.applies++;
    const answer: { entries?: { outcome: string }[] } = await response.json();
    const changed = answer.entries?.filter(({ outcome }) => ['added', 'changed', 'removed'].includes(outcome)) ?? [];
    this.counts.changes += changed.length;
  }

  /** Nobody waits for these any more; what the bridge says of them is heard by nobody. */
  async deliverLate(newest_first: boolean): Promise<void> {
    const late = this.#late.splice(0);
    this.counts.requests_late += late.length;
    if (newest_first) late.reverse();
    for (const { url, init } of late) {
      const { signal: _signal, ...rest } = init;
      await this.#deliver({ url, init: rest }).catch(() => undefined);
    }
  }

  /** As it was, signature and all: what a repeating network would do. The status, or null when there is nothing. */
  async repeat(nth: number): Promise<number | null> {
    const sent = this.#past[nth % Math.max(1, this.#past.length)];
    if (!sent || this.is_cut) return null;
    this.counts.requests_repeated++;
    const { signal: _signal, ...rest } = sent.init;
    const answer = await this.#deliver({ url: sent.url, init: rest }).catch(() => null);
    return answer?.status ?? null;
  }

  /** Resolves when the next request is held up. */
  whenHeld(): Promise<void> {
    return new Promise(resolve => this.#hold_watchers.push(resolve));
  }

  letGo(): void {
    for (const go of this.#held.splice(0)) go();
  }

  /** Until the bridge works on nothing. What is held or late isn't there yet. */
  async settle(): Promise<void> {
    while (this.#at_bridge.size > 0) await Promise.all(this.#at_bridge);
  }

  heal(): void {
    this.is_cut = false;
    this.answers_to_lose = 0;
    this.requests_to_delay = 0;
    this.requests_to_hold = 0;
    this.letGo();
  }

  /** Requests of one schedule mean nothing to the next. */
  forget(): void {
    this.#past.splice(0);
    this.#late.splice(0);
  }
}

function take(wire: Wire, which: 'answers_to_lose' | 'requests_to_delay' | 'requests_to_hold'): boolean {
  if (wire[which] === 0) return false;
  wire[which]--;
  return true;
}
