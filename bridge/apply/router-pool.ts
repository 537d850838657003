import { type ConnectionOptions, RouterConnection } from '../routeros/connection.ts';
import { RouterError } from '../routeros/errors.ts';
import type { RouterAccess } from '../../src/protocol/messages.ts';
import { Refusals } from './refusals.ts';

const KEEPALIVE_MS = 15_000;

/** What is known of a router without asking it. */
export type RouterState = 'idle' | 'connecting' | 'connected' | 'waiting' | 'refused';

export interface PoolOptions {
  /** Never goes back; performance.now unless told. */
  now_ms?: () => number;
  /** 60,000 unless told. */
  idle_ms?: number;
  connect_timeout_ms?: number;
  command_timeout_ms?: number;
  /** Of this process alone unless told. */
  refusals?: Refusals;
}

export interface Lease {
  connection: RouterConnection;
  /** From the start of connecting to the answer of the sign-in. */
  latency_ms: number;
  /** What the connection had sent before it was taken. */
  commands_before: number;
}

export interface HowToTake {
  /** On a new connection, whatever is open. */
  is_fresh?: boolean;
  /** Nobody waits for it. */
  is_watching?: boolean;
  /** Ends the connecting. */
  signal?: AbortSignal;
}

interface Held {
  key: string;
  connection: RouterConnection;
  latency_ms: number;
  opened_ms: number;
  idle_timer: NodeJS.Timeout | null;
}

/** One open connection for each router. The queue sees to it that nobody takes one that is in use. */
export class RouterPool {
  readonly #options: PoolOptions;
  readonly #held = new Map<string, Held>();
  readonly #refusals: Refusals;
  readonly #unreachable = new Set<string>();
  readonly #connecting = new Set<string>();
  #kept: ReadonlySet<string> = new Set();
  readonly #closing = new AbortController();

  constructor(options: PoolOptions = {}) {
    this.#options = options;
    this.#refusals = options.refusals ?? new Refusals();
  }

  /** The open connection or, where there is none for just these credentials, a new one. */
  async take(router: RouterAccess, password: string, how: HowToTake = {}): Promise<Lease> {
    const options = this.#describe(router, password);
    const key = JSON.stringify(options);
    const held = this.#held.get(router.id);
    if (held?.idle_timer) clearTimeout(held.idle_timer);
    if (held && held.key === key && !held.connection.closed && !how.is_fresh) {
      const { connection, latency_ms } = held;
      return { connection, latency_ms, commands_before: connection.commands_sent };
    }
    await this.discard(router.id);
    if (!how.is_fresh) this.#refuseRepeat(router.id, options, how.is_watching ?? false);
    return await this.#open(router.id, key, options, how.signal);
  }

  /** These stay connected, also while nobody needs them; of others nothing is remembered. */
  keep(router_ids: ReadonlySet<string>): void {
    const others = [...this.#kept, ...this.#unreachable, ...this.#refusals.router_ids].filter(
      id => !router_ids.has(id),
    );
    this.#kept = router_ids;
    for (const id of others) {
      this.release(id);
      this.#unreachable.delete(id);
      this.#refusals.forget(id);
    }
  }

  /** Keeps the connection for the next one, for a while. */
  release(router_id: string): void {
    const held = this.#held.get(router_id);
    if (!held) return;
    if (held.idle_timer) clearTimeout(held.idle_timer);
    if (this.#kept.has(router_id)) return;
    held.idle_timer = setTimeout(() => void this.discard(router_id), this.#options.idle_ms ?? 60_000);
    held.idle_timer.unref();
  }

  async discard(router_id: string): Promise<void> {
    const held = this.#held.get(router_id);
    if (!held) return;
    this.#held.delete(router_id);
    if (held.idle_timer) clearTimeout(held.idle_timer);
    await held.connection.close();
  }

  /** How long its connection has stood; null where there is none. */
  getAge(router_id: string): number | null {
    const held = this.#held.get(router_id);
    return !held || held.connection.closed ? null : this.#now() - held.opened_ms;
  }

  getState(router_id: string): RouterState {
    const is_lost = this.#unreachable.has(router_id);
    if (this.#connecting.has(router_id) && !is_lost) return 'connecting';
    if (this.#held.get(router_id)?.connection.closed === false) return 'connected';
    if (this.#refusals.has(router_id)) return 'refused';
    return is_lost ? 'waiting' : 'idle';
  }

  /** Closes all of them, those in use too, and opens no more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#held.keys()].map(router_id => this.discard(router_id)));
    await this.#refusals.settle();
  }

  async #open(router_id: string, key: string, options: ConnectionOptions, own?: AbortSignal): Promise<Lease> {
    const { signal } = this.#closing;
    if (signal.aborted) throw new RouterError('lost', 'the bridge is stopping');
    const started_ms = this.#now();
    this.#connecting.add(router_id);
    try {
      const connection = await RouterConnection.open(options, own ? AbortSignal.any([signal, own]) : signal);
      const latency_ms = Math.round(this.#now() - started_ms);
      this.#held.set(router_id, { key, connection, latency_ms, opened_ms: this.#now(), idle_timer: null });
      this.#refusals.forget(router_id);
      this.#unreachable.delete(router_id);
      if (signal.aborted) await this.discard(router_id);
      return { connection, latency_ms, commands_before: 0 };
    } catch (error) {
      if (error instanceof RouterError && error.kind === 'login') {
        this.#refusals.note(router_id, nameCredentials(options), error.message);
        this.#unreachable.delete(router_id);
      } else this.#unreachable.add(router_id);
      throw error;
    } finally {
      this.#connecting.delete(router_id);
    }
  }

  /** Firewalls ban those who try a wrong password again and again. */
  #refuseRepeat(router_id: string, options: ConnectionOptions, is_watching: boolean): void {
    const message = this.#refusals.find(router_id, nameCredentials(options));
    if (message === null) return;
    const until = 'not tried again until the password changes or a test gets in';
    throw new RouterError('login', is_watching ? message : `${message}; ${until}`);
  }

  #describe(router: RouterAccess, password: string): ConnectionOptions {
    const { host, port, username, use_tls, tls_fingerprint, tls_anonymous_dh } = router;
    const { connect_timeout_ms, command_timeout_ms } = this.#options;
    const tls = use_tls ? { fingerprint: tls_fingerprint ?? undefined, anonymous_dh: tls_anonymous_dh } : undefined;
    return { host, port, username, password, tls, connect_timeout_ms, command_timeout_ms, keepalive_ms: KEEPALIVE_MS };
  }

  #now(): number {
    return this.#options.now_ms?.() ?? performance.now();
  }
}

type Credentials = Pick<ConnectionOptions, 'host' | 'port' | 'username' | 'password'>;

/** What a router refuses or not. */
export function nameCredentials({ host, port, username, password }: Credentials): string {
  return JSON.stringify([host, port, username, password]);
}
