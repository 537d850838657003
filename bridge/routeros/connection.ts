import type { Socket } from 'node:net';
import { decodeText, encodeSentence, ProtocolError, readAttributes, SentenceDecoder } from './codec.ts';
import {
  type Answer,
  callSafely,
  type Command,
  findSecrets,
  guard,
  ignore,
  isWrite,
  type Listener,
  type ListenOptions,
  type PrintOptions,
  type Row,
  writeProps,
  writeReadWords,
} from './commands.ts';
import { describeSocketError, hideSecrets, RouterError } from './errors.ts';
import { type Attributes, signIn } from './login.ts';
import { openSocket, type SocketOptions } from './socket.ts';

export type { Listener, ListenOptions, PrintOptions, Row } from './commands.ts';
export { RouterError, type RouterErrorKind } from './errors.ts';

export interface ConnectionOptions extends SocketOptions {
  username: string;
  password: string;
  /** 30,000 unless told. */
  command_timeout_ms?: number;
  /** For text that is not UTF-8; windows-1252 unless told. */
  code_page?: string;
  /** Where given, an idle router is asked something meanwhile, so that a dead connection is noticed within this time. */
  keepalive_ms?: number;
}

/** In flight at once; a router's API answers one thing after another anyhow. */
const MAX_IN_FLIGHT = 16;
const MAX_WAITING = 20_000;
const CLOSE_GRACE_MS = 1_000;
/** A router that takes connections and says nothing is told of while somebody still waits for the answer. */
const SIGN_IN_LIMIT_MS = 8_000;
/** Above what any router sends in one row. */
const WORD_LIMITS = { max_word_bytes: 4 * 1024 * 1024, max_sentence_bytes: 8 * 1024 * 1024 };
/** All rows together that wait for their end: about its memory, so that a router that never stops can't use it up. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const WORD_COST_BYTES = 64;
/** Within this many parts of the keepalive time, a router that went silent is asked and, without an answer, given up. */
const KEEPALIVE_PARTS = 5;
const ASKED_AFTER_PARTS = 2;
const LOST_AFTER_PARTS = 4;

function encodeCommand(words: readonly string[], tag: string): Uint8Array {
  try {
    return encodeSentence(tag === '' ? words : [...words, `.tag=${tag}`]);
  } catch {
    throw new RouterError('protocol', `${words[0]} can't be sent: a word of it is empty or too long`);
  }
}

/**
 * One signed-in connection to one router. Any number of commands may be asked for at once: each has a tag, at most
 * 16 are in flight, the rest wait their turn. Once lost it stays lost; the owner opens another.
 */
export class RouterConnection {
  readonly tls_fingerprint: string | null;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #decoder = new SentenceDecoder(WORD_LIMITS);
  readonly #in_flight = new Map<string, Command>();
  readonly #listeners = new Map<string, Command>();
  #waiting: Command[] = [];
  #waiting_from = 0;
  #next_tag = 1;
  #commands_sent = 0;
  #bytes_received = 0;
  #lost: RouterError | null = null;
  #ping: NodeJS.Timeout | null = null;
  #heard_at_bytes = 0;
  #silent_parts = 0;
  #is_pinging = false;
  #held_bytes = 0;

  private constructor(socket: Socket, options: ConnectionOptions, tls_fingerprint: string | null) {
    this.#socket = socket;
    this.#options = options;
    this.tls_fingerprint = tls_fingerprint;
  }

  /** Connects and signs in, with one try at the password. */
  static open(options: ConnectionOptions, signal?: AbortSignal): Promise<RouterConnection> {
    return guard(RouterConnection.#openAndSignIn(options, signal));
  }

  static async #openAndSignIn(options: ConnectionOptions, signal?: AbortSignal): Promise<RouterConnection> {
    const { socket, tls_fingerprint } = await openSocket(options, signal);
    const connection = new RouterConnection(socket, options, tls_fingerprint);
    const onAbort = () => connection.#lose(new RouterError('lost', 'signing in was given up'));
    signal?.addEventListener('abort', onAbort, { once: true });
    connection.#start();
    if (signal?.aborted) onAbort();
    try {
      // Signing in carries no tag: routers that don't know tags yet at that point do exist.
      const talk = (words: readonly string[]) => connection.#ask(words, { tag: '' }).then(answer => answer.done);
      await signIn(talk, options.username, options.password);
    } catch (error) {
      connection.#lose(new RouterError('lost', 'signing in failed'));
      if (!(error instanceof RouterError)) throw error;
      const { kind, message, category } = error;
      throw new RouterError(kind === 'trap' ? 'login' : kind, message, { category });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    connection.#startPing();
    return connection;
  }

  /** Every sentence sent, signing in and cancelling too. */
  get commands_sent(): number {
    return this.#commands_sent;
  }

  get bytes_received(): number {
    return this.#bytes_received;
  }

  get closed(): boolean {
    return this.#lost !== null;
  }

  print(menu: string, options: PrintOptions = {}): Promise<Row[]> {
    const [command = '', ...words] = writeReadWords(`${menu}/print`, options);
    return this.run(command, words);
  }

  /** Answers the id of the new item. */
  add(menu: string, props: Row): Promise<string> {
    const asked = this.#ask([`${menu}/add`, ...writeProps(props)]).then(({ done }) => {
      const id = done.get('ret');
      if (id) return id;
      throw new RouterError('protocol', `${menu}/add was answered without an id`, { outcome_unknown: true });
    });
    return guard(asked);
  }

  set(menu: string, id: string, props: Row): Promise<void> {
    return this.#change([`${menu}/set`, `=.id=${id}`, ...writeProps(props)]);
  }

  unset(menu: string, id: string, name: string): Promise<void> {
    return this.#change([`${menu}/unset`, `=.id=${id}`, `=value-name=${name}`]);
  }

  remove(menu: string, id: string): Promise<void> {
    return this.#change([`${menu}/remove`, `=.id=${id}`]);
  }

  /** Any other command. What came with its end (`=ret=`) is the last row. */
  run(command: string, words: readonly string[] = []): Promise<Row[]> {
    const asked = this.#ask([command, ...words]);
    return guard(asked.then(({ rows, done }) => (done.size > 0 ? [...rows, Object.fromEntries(done)] : rows)));
  }

  /** Rows of a menu as they change, removed ones with `.dead`; has no time limit. */
  listen(menu: string, onRow: (row: Row) => void, options: ListenOptions = {}): Promise<Listener> {
    return guard(this.#listen(menu, onRow, options));
  }

  /** Ends the connection; what still waits for an answer is lost. */
  async close(): Promise<void> {
    if (!this.#lost) this.#lose(new RouterError('lost', 'the connection was closed'), 'end');
    if (this.#socket.destroyed) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => this.#socket.destroy(), CLOSE_GRACE_MS);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #start(): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, this.#options.keepalive_ms ?? 15_000);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', error => this.#lose(new RouterError('lost', `connection lost: ${describeSocketError(error)}`)));
    socket.on('end', () => this.#lose(new RouterError('lost', 'the router closed the connection')));
    socket.on('close', () => this.#lose(new RouterError('lost', 'the connection was lost')));
    // A socket that died between connecting and here has no event left to give.
    if (socket.destroyed) this.#lose(new RouterError('lost', 'the connection was lost'));
  }

  /** Half-open connections look alive to TCP for hours: ask something small when the router has been silent. */
  #startPing(): void {
    const { keepalive_ms } = this.#options;
    if (keepalive_ms === undefined || this.#lost) return;
    this.#ping = setInterval(() => this.#watchSilence(), keepalive_ms / KEEPALIVE_PARTS);
    this.#ping.unref();
  }

  #watchSilence(): void {
    const was_heard = this.#bytes_received !== this.#heard_at_bytes;
    this.#heard_at_bytes = this.#bytes_received;
    // a command in flight has a limit of its own
    const is_waiting = this.#in_flight.size > (this.#is_pinging ? 1 : 0);
    this.#silent_parts = was_heard || is_waiting ? 0 : this.#silent_parts + 1;
    if (this.#silent_parts >= LOST_AFTER_PARTS) this.#lose(new RouterError('lost', 'the router no longer answers'));
    if (this.#silent_parts !== ASKED_AFTER_PARTS || this.#is_pinging) return;
    this.#is_pinging = true;
    const onAnswer = () => void (this.#is_pinging = false);
    this.run('/system/identity/print', ['=.proplist=name']).then(onAnswer, onAnswer);
  }

  #change(words: readonly string[]): Promise<void> {
    return guard(this.#ask(words).then(ignore));
  }

  #takeTag(): string {
    return String(this.#next_tag++);
  }

  #ask(words: readonly string[], options: { tag?: string; is_urgent?: boolean } = {}): Promise<Answer> {
    const asked = new Promise<Answer>((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      if (this.#waiting.length - this.#waiting_from >= MAX_WAITING) {
        return reject(new RouterError('timeout', 'too many commands wait for this router'));
      }
      const settle = (result: Answer | RouterError) =>
        result instanceof RouterError ? reject(result) : resolve(result);
      const tag = options.tag ?? this.#takeTag();
      const command: Command = {
        words,
        bytes: encodeCommand(words, tag),
        tag,
        is_write: tag !== '' && isWrite(words[0] ?? ''),
        rows: [],
        held_bytes: 0,
        onRow: null,
        timer: null,
        settle,
      };
      if (options.is_urgent) return this.#send(command);
      this.#waiting.push(command);
      this.#sendWaiting();
    });
    return guard(asked);
  }

  #sendWaiting(): void {
    while (this.#in_flight.size < MAX_IN_FLIGHT && this.#waiting_from < this.#waiting.length && !this.#lost) {
      this.#send(this.#waiting[this.#waiting_from++] as Command);
      if (this.#waiting_from < this.#waiting.length && this.#waiting_from < 256) continue;
      this.#waiting = this.#waiting.slice(this.#waiting_from);
      this.#waiting_from = 0;
    }
  }

  #send(command: Command): void {
    const { command_timeout_ms = 30_000 } = this.#options;
    const limit_ms = command.tag === '' ? Math.min(SIGN_IN_LIMIT_MS, command_timeout_ms) : command_timeout_ms;
    this.#in_flight.set(command.tag, command);
    command.timer = setTimeout(() => this.#giveUp(command, limit_ms), limit_ms);
    this.#write(command.bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#commands_sent++;
    this.#socket.write(bytes);
  }

  async #listen(menu: string, onRow: (row: Row) => void, options: ListenOptions): Promise<Listener> {
    if (this.#lost) throw this.#lost;
    const tag = this.#takeTag();
    const words = writeReadWords(`${menu}/listen`, options);
    let is_ended = false;
    const settle = (result: Answer | RouterError) => {
      if (is_ended) return;
      is_ended = true;
      this.#listeners.delete(tag);
      const is_cancelled = !(result instanceof RouterError) || result.category === 2;
      callSafely(() => options.on_end?.(is_cancelled ? null : result));
    };
    const deliver = (row: Row) => {
      if (is_ended || callSafely(() => onRow(row))) return;
      settle(new RouterError('protocol', 'the reader of these rows failed'));
      void this.#cancel(tag);
    };
    const bytes = encodeCommand(words, tag);
    this.#listeners.set(tag, {
      words,
      bytes,
      tag,
      is_write: false,
      rows: [],
      held_bytes: 0,
      onRow: deliver,
      timer: null,
      settle,
    });
    this.#write(bytes);
    return {
      cancel: async () => {
        if (is_ended) return;
        const cancelled = this.#cancel(tag);
        settle({ rows: [], done: new Map() });
        await cancelled;
      },
    };
  }

  #giveUp(command: Command, limit_ms: number): void {
    const message = `${command.words[0]} had no answer within ${limit_ms} ms`;
    this.#finish(command, new RouterError('timeout', message, { outcome_unknown: command.is_write }));
    // A read without an end would go on for ever; a write is left alone, since it may be half done.
    const is_cancel = command.words[0] === '/cancel';
    if (!command.is_write && !is_cancel && command.tag !== '') void this.#cancel(command.tag);
  }

  #cancel(tag: string): Promise<void> {
    return this.#ask(['/cancel', `=tag=${tag}`], { is_urgent: true }).then(ignore, ignore);
  }

  #finish(command: Command, result: Answer | RouterError): void {
    if (command.timer) clearTimeout(command.timer);
    this.#in_flight.delete(command.tag);
    this.#held_bytes -= command.held_bytes;
    command.settle(result);
    this.#sendWaiting();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#lost) return;
    this.#bytes_received += chunk.length;
    try {
      for (const words of this.#decoder.push(chunk)) this.#takeReply(words);
    } catch (error) {
      // What came whole before the fault still counts: it may say how a write went.
      if (error instanceof ProtocolError) for (const words of error.sentences) this.#takeReply(words);
      const reason = error instanceof Error ? error.message : 'unknown';
      this.#lose(new RouterError('protocol', `the router does not speak the API protocol: ${reason}`));
    }
  }

  #takeReply(words: Uint8Array[]): void {
    const { code_page } = this.#options;
    const reply = decodeText(words[0] ?? new Uint8Array(), code_page);
    if (reply === '!fatal') return this.#takeFatal(words);
    let tag = '';
    for (const word of words) if (word[0] === 0x2e) tag = /^\.tag=(.*)$/.exec(decodeText(word))?.[1] ?? tag;
    const command = this.#in_flight.get(tag) ?? this.#listeners.get(tag);
    if (!command) return;
    if (reply === '!re') {
      const row: Row = Object.fromEntries(readAttributes(words, code_page));
      if (command.onRow) command.onRow(row);
      else this.#holdRow(command, row, words);
    } else if (reply === '!done') {
      this.#finish(command, { rows: command.rows, done: readAttributes(words, code_page) });
    } else if (reply === '!trap') this.#takeTrap(command, readAttributes(words, code_page));
  }

  #holdRow(command: Command, row: Row, words: readonly Uint8Array[]): void {
    const bytes = words.reduce((sum, word) => sum + word.length + WORD_COST_BYTES, 0);
    command.rows.push(row);
    command.held_bytes += bytes;
    this.#held_bytes += bytes;
    if (this.#held_bytes <= MAX_HELD_BYTES) return;
    this.#lose(new RouterError('protocol', 'the router sends more than can be held'));
  }

  /** Rejects at once: the `!done` that follows then has a tag nobody waits for. */
  #takeTrap(command: Command, attributes: Attributes): void {
    const category = /^\d+$/.test(attributes.get('category') ?? '') ? Number(attributes.get('category')) : null;
    const secrets = [this.#options.password, ...findSecrets(command.words)];
    const message = hideSecrets(attributes.get('message') ?? 'the router refused without a reason', secrets);
    this.#finish(command, new RouterError('trap', message, { category }));
  }

  #takeFatal(words: Uint8Array[]): void {
    const { code_page, password } = this.#options;
    const bare = words.slice(1).find(word => word[0] !== 0x3d && word[0] !== 0x2e);
    const reason = bare ? decodeText(bare, code_page) : readAttributes(words, code_page).get('message');
    const is_login = this.#in_flight.has('') && /user name|password|log ?in/i.test(reason ?? '');
    const message = hideSecrets(reason ?? 'the router ended the session', [password]);
    this.#lose(new RouterError(is_login ? 'login' : 'lost', message));
  }

  /** Ends everything that waits. Only a write that was sent leaves its outcome open. */
  #lose(reason: RouterError, how: 'destroy' | 'end' = 'destroy'): void {
    if (this.#lost) return;
    this.#lost = reason;
    if (this.#ping) clearInterval(this.#ping);
    const unsent = this.#waiting.slice(this.#waiting_from);
    [this.#waiting, this.#waiting_from] = [[], 0];
    const sent = [...this.#in_flight.values(), ...this.#listeners.values()];
    for (const command of sent) {
      const outcome_unknown = command.is_write;
      this.#finish(command, new RouterError(reason.kind, reason.message, { outcome_unknown }));
    }
    for (const command of unsent) command.settle(new RouterError(reason.kind, reason.message));
    if (how === 'end') this.#socket.end();
    else this.#socket.destroy();
  }
}
