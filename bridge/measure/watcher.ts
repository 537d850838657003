import type { RouterAccess, RouterMeasurement, Watched } from '../../src/protocol/messages.ts';
import { Backoff, pause } from '../backoff.ts';
import { type Log, nameError } from '../log.ts';
import type { Spool } from '../spool.ts';
import type { WatchedStore } from '../watched.ts';
import { Lanes } from './lanes.ts';
import { greetRouter, type Look, type MeasureTools, readLines } from './measure-router.ts';
import { checkRouter } from './open-batch.ts';
import { measureDevices, measureRouters } from './round.ts';

export interface WatcherOptions {
  /** 5 minutes unless told. */
  interval_ms?: number;
  /** How often it is seen whether a router was lost. */
  tick_ms?: number;
  /** One that was lost is looked at again within this time. */
  early_look_ms?: number;
  /** Waits between the tries of one that can't be reached. */
  first_wait_ms?: number;
  most_wait_ms?: number;
  /** A connection has to stand so long before the tries until then are forgotten. */
  steady_ms?: number;
  /** For one router's turn and reading. */
  router_limit_ms?: number;
  /** For connecting, signing in, and the first small questions. */
  answer_limit_ms?: number;
  /** One that is silent for so long while its lines are read makes room for another. */
  silent_ms?: number;
  device_limit_ms?: number;
}

const DEFAULTS: Required<WatcherOptions> = {
  interval_ms: 5 * 60_000,
  tick_ms: 1_000,
  early_look_ms: 10_000,
  first_wait_ms: 5_000,
  most_wait_ms: 5 * 60_000,
  steady_ms: 60_000,
  router_limit_ms: 60_000,
  answer_limit_ms: 8_000,
  silent_ms: 5_000,
  device_limit_ms: 3_000,
};

/** Whose lines are read at once: that takes memory. */
const READINGS_AT_ONCE = 2;
const GREETINGS_AT_ONCE = 16;

export interface WatcherTools extends MeasureTools {
  spool: Spool;
  watched: WatchedStore;
  log: Log;
  random: () => number;
  /** Something is on disk for the cloud. */
  onBatch: () => void;
}

/** What is known of one router. */
interface Watch {
  status: 'online' | 'offline' | null;
  error: string | null;
  /** Null: not before something happens, or the next round. */
  next_look_ms: number | null;
  is_looking: boolean;
  backoff: Backoff;
}

/**
 * Measures all watched routers and devices in rounds, and between them looks after those that were lost. Of each router
 * it holds one state: not looked at yet → online ⇄ offline (tried again after growing waits; not at all while it
 * refuses the sign-in, until its credentials change or somebody else got in).
 */
export class Watcher {
  readonly #tools: WatcherTools;
  readonly #options: Required<WatcherOptions>;
  readonly #readings = new Lanes(READINGS_AT_ONCE);
  readonly #greetings = new Lanes(GREETINGS_AT_ONCE);
  readonly #early_looks = new Lanes(GREETINGS_AT_ONCE);
  readonly #running = new Set<Promise<void>>();
  readonly #watches = new Map<string, Watch>();
  #adopted: Watched | null = null;
  #news: RouterMeasurement[] = [];
  #next_round_ms = 0;
  #is_in_round = false;
  #is_at_devices = false;

  constructor(tools: WatcherTools, options: WatcherOptions = {}) {
    this.#tools = tools;
    this.#options = { ...DEFAULTS, ...options };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { interval_ms, tick_ms } = this.#options;
    this.#next_round_ms = performance.now() + this.#tools.random() * interval_ms;
    const backoff = this.#makeBackoff();
    while (!signal.aborted) {
      try {
        await this.#tick(signal);
        backoff.reset();
      } catch (error) {
        this.#tools.log('measuring_failed', { error: nameError(error) });
        await pause(backoff.next(), signal);
      }
      await pause(tick_ms, signal);
    }
    await Promise.all(this.#running);
    await this.#tellNews();
  }

  async #tick(signal: AbortSignal): Promise<void> {
    await this.#adopt();
    for (const router of this.#listRouters()) this.#noteLoss(router);
    this.#startLooks(signal);
    const now_ms = performance.now();
    if (now_ms >= this.#next_round_ms && !this.#is_in_round) {
      this.#next_round_ms = Math.max(this.#next_round_ms + this.#options.interval_ms, now_ms);
      this.#start(() => this.#runRound(signal));
      // thousands that are away may take longer than a round
      if (!this.#is_at_devices) this.#start(() => this.#reachDevices(signal));
    }
    await this.#tellNews();
  }

  /** The cloud may have changed what is to be watched. */
  async #adopt(): Promise<void> {
    const { watched, pool, spool } = this.#tools;
    const { current } = watched;
    if (current === this.#adopted) return;
    const routers = listRouters(current);
    const ids = new Set(routers.map(({ id }) => id));
    pool.keep(ids);
    for (const id of this.#watches.keys()) if (!ids.has(id)) this.#watches.delete(id);
    // nothing known at all is no reason to forget how far they were counted
    if (current) await spool.keepCounters(ids);
    for (const { id } of routers) {
      const watch = this.#find(id);
      if (watch.status !== 'online') this.#lookSoon(watch);
    }
    // last: what failed before is done again
    this.#adopted = current;
  }

  /** What it last saw of each. */
  listSeen(): { id: string; status: Watch['status']; error: string | null }[] {
    return this.#listRouters().map(({ id }) => {
      const { status = null, error = null } = this.#watches.get(id) ?? {};
      return { id, status, error };
    });
  }

  #listRouters(): RouterAccess[] {
    return listRouters(this.#adopted);
  }

  #find(router_id: string): Watch {
    let watch = this.#watches.get(router_id);
    watch ??= { status: null, error: null, next_look_ms: null, is_looking: false, backoff: this.#makeBackoff() };
    this.#watches.set(router_id, watch);
    return watch;
  }

  #makeBackoff(): Backoff {
    const { first_wait_ms, most_wait_ms } = this.#options;
    return new Backoff({ first_ms: first_wait_ms, most_ms: most_wait_ms, random: this.#tools.random });
  }

  #lookSoon(watch: Watch): void {
    watch.next_look_ms = performance.now() + this.#tools.random() * this.#options.early_look_ms;
  }

  #noteLoss({ id }: RouterAccess): void {
    const { pool, queue } = this.#tools;
    const watch = this.#find(id);
    if ((pool.getAge(id) ?? 0) >= this.#options.steady_ms) watch.backoff.reset();
    if (watch.is_looking || watch.next_look_ms !== null || queue.isBusy(id)) return;
    const state = pool.getState(id);
    const is_lost = watch.status === 'online' && state !== 'connected';
    // an apply or a person's probe got in
    const is_back = watch.status === 'offline' && state === 'connected';
    if (is_lost) watch.next_look_ms = performance.now() + watch.backoff.next();
    if (is_back) this.#lookSoon(watch);
  }

  #startLooks(signal: AbortSignal): void {
    const now_ms = performance.now();
    for (const router of this.#listRouters()) {
      const watch = this.#find(router.id);
      if (watch.is_looking || watch.next_look_ms === null || watch.next_look_ms > now_ms) continue;
      watch.next_look_ms = null;
      watch.is_looking = true;
      this.#start(async () => {
        const known = watch.status;
        const look = await this.#early_looks.run(() => this.#greet(router, watch, signal));
        if (look && look.facts.status !== known) this.#news.push({ ...look.facts, lines: null });
      });
    }
  }

  async #runRound(signal: AbortSignal): Promise<void> {
    this.#is_in_round = true;
    const { queue } = this.#tools;
    try {
      await measureRouters({
        ...this.#tools,
        greetings: this.#greetings,
        readings: this.#readings,
        // one that is busy would hold up a lane
        routers: this.#listRouters().toSorted((a, b) => Number(queue.isBusy(a.id)) - Number(queue.isBusy(b.id))),
        greet: router => this.#greet(router, this.#find(router.id), signal),
        read: (router, greeted, onSilent) => this.#readLines(router, greeted, onSilent, signal),
      });
    } finally {
      this.#is_in_round = false;
    }
  }

  async #reachDevices(signal: AbortSignal): Promise<void> {
    this.#is_at_devices = true;
    const { device_limit_ms } = this.#options;
    try {
      await measureDevices({ ...this.#tools, devices: this.#adopted?.devices ?? [], device_limit_ms, signal });
    } finally {
      this.#is_at_devices = false;
    }
  }

  /** Null where nothing could be learnt. */
  async #greet(router: RouterAccess, watch: Watch, signal: AbortSignal): Promise<Look | null> {
    const { router_limit_ms, answer_limit_ms } = this.#options;
    watch.is_looking = true;
    try {
      const password = (await this.#tools.watched.openPasswords()).get(router.id);
      if (password === undefined) return null;
      const limits = { limit_ms: router_limit_ms, answer_ms: Math.min(answer_limit_ms, router_limit_ms), signal };
      const look = await greetRouter(this.#tools, router, password, limits);
      if (look) this.#note(router, watch, look);
      else this.#lookSoon(watch);
      return look;
    } finally {
      watch.is_looking = false;
    }
  }

  async #readLines(router: RouterAccess, greeted: Look, onSilent: () => void, signal: AbortSignal): Promise<Look> {
    const watch = this.#find(router.id);
    watch.is_looking = true;
    try {
      const password = (await this.#tools.watched.openPasswords()).get(router.id);
      if (password === undefined) return greeted;
      const { router_limit_ms, silent_ms } = this.#options;
      const options = { limit_ms: router_limit_ms, silent_ms, onSilent, signal };
      const look = (await readLines(this.#tools, router, password, greeted, options)) ?? greeted;
      this.#note(router, watch, look);
      return look;
    } finally {
      watch.is_looking = false;
    }
  }

  #note({ id, host, port }: RouterAccess, watch: Watch, { facts, is_refused }: Look): void {
    const { status, error } = facts;
    if (status !== watch.status)
      this.#tools.log(`router_${status}`, { router_id: id, place: `${host}:${port}`, error });
    [watch.status, watch.error] = [status, error];
    watch.next_look_ms = status === 'online' || is_refused ? null : performance.now() + watch.backoff.next();
  }

  async #tellNews(): Promise<void> {
    if (this.#news.length === 0) return;
    const count = this.#news.length;
    const routers = this.#news.slice(0, count).flatMap(router => checkRouter(router, this.#tools.log) ?? []);
    if (routers.length > 0) await this.#tools.spool.add({ routers, devices: [], counters: new Map() });
    this.#news.splice(0, count);
    this.#tools.onBatch();
  }

  #start(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => this.#tools.log('measuring_failed', { error: nameError(error) }))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}

/** Each once: two looks at one router in one round would count its lines twice. */
function listRouters(watched: Watched | null): RouterAccess[] {
  return [...new Map(watched?.routers.map(router => [router.id, router])).values()];
}
