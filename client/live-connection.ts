import { isAnswer, type LiveAnswer, type LiveMessage } from './live-types.ts';
import { renewalDelay_ms, type LiveTiming } from './live-rules.ts';

/** One connection, from its opening to its end: keeps it alive, and its token fresh. What comes after is not its concern. */

export interface ConnectionOptions {
  url: string;
  token: string;
  /** The token is about to end. */
  renewToken: () => Promise<string>;
  timing: LiveTiming;
  onOpen: () => void;
  onMessage: (message: LiveMessage) => void;
  /** Where the stream of events stood when the subscription began. */
  onPosition: (seq: number) => void;
  /** Once, and nothing after it; 1006 as well when it is given up for silence. */
  onEnd: (ending: { code: number; lasted_ms: number | null }) => void;
}

const BROKEN = 1006;
const UNAUTHORIZED = 4401;

type Timer = ReturnType<typeof setTimeout>;

export class LiveConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: WebSocket;
  #is_over = false;
  #opened_at: number | null = null;
  /** Runs while an answer is due, whatever it is. */
  #patience: Timer | undefined;
  #ping: Timer | undefined;
  #renewal: Timer | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#socket = new WebSocket(options.url, ['rukun.v1', `bearer.${options.token}`]);
    this.#socket.addEventListener('open', () => this.#open());
    this.#socket.addEventListener('message', ({ data }) => this.#hear(data));
    this.#socket.addEventListener('close', ({ code }) => this.#end(code));
    this.#patience = setTimeout(() => this.#end(BROKEN), options.timing.open_ms);
  }

  /** False: it isn't up. */
  send(message: object): boolean {
    return this.#sendText(JSON.stringify(message));
  }

  /** Asks whether the other side is there, and gives it up if it says nothing, or hangs up and doesn't get done with it. */
  probe(): void {
    if (this.#socket.readyState > WebSocket.OPEN) return this.#end(BROKEN);
    if (!this.#sendText('ping')) return;
    this.#patience ??= setTimeout(() => this.#end(BROKEN), this.#options.timing.silence_ms);
  }

  /** Ends it without a word to anybody. */
  drop(): void {
    this.#is_over = true;
    clearTimeout(this.#patience);
    clearInterval(this.#ping);
    clearTimeout(this.#renewal);
    // a broken one would take its time to say that it is closed: nobody waits for that
    this.#socket.close(1000);
  }

  #sendText(text: string): boolean {
    if (this.#is_over || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  #open(): void {
    if (this.#is_over) return;
    const { timing, token, onOpen } = this.#options;
    this.#opened_at = performance.now();
    this.#calm();
    this.#ping = setInterval(() => this.probe(), timing.ping_ms);
    this.#planRenewal(token);
    onOpen();
  }

  #calm(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  #hear(frame: unknown): void {
    if (this.#is_over) return;
    this.#calm();
    if (typeof frame !== 'string' || frame === 'pong') return;
    const message = JSON.parse(frame) as LiveMessage | LiveAnswer;
    // the other side hangs up as well, in its own time
    if (message.event === 'session:expired') this.#expire(message);
    else if (!isAnswer(message)) this.#options.onMessage(message);
    else if (message.event === 'subscribed') this.#options.onPosition(message.data.seq);
  }

  #expire(message: LiveMessage): void {
    this.#options.onMessage(message);
    this.#end(UNAUTHORIZED);
  }

  #planRenewal(token: string): void {
    const wait_ms = renewalDelay_ms(token, Date.now(), this.#options.timing.renew_ms);
    if (wait_ms !== null && !this.#is_over) this.#renewal = setTimeout(() => void this.#renew(token), wait_ms);
  }

  /** Where no fresh one is to be had, another try follows in what time the old one has left; its end is a 4401. */
  async #renew(old: string): Promise<void> {
    const token = await this.#options.renewToken().catch(() => old);
    if (token !== old) this.send({ type: 'auth', token });
    this.#planRenewal(token);
  }

  #end(code: number): void {
    if (this.#is_over) return;
    this.drop();
    const lasted_ms = this.#opened_at === null ? null : performance.now() - this.#opened_at;
    this.#options.onEnd({ code, lasted_ms });
  }
}
