// `rukun-bridge run`: the daemon.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import type { BridgeTools } from './apply/apply.ts';
import { type PoolOptions, RouterPool } from './apply/router-pool.ts';
import { RouterQueue } from './apply/router-queue.ts';
import { makeSealedOpener } from './apply/sealed.ts';
import { Refusals } from './apply/refusals.ts';
import { Backoff, pause } from './backoff.ts';
import { collectGarbage } from './collect-garbage.ts';
import {
  type BridgeConfig,
  chooseStateDir,
  deriveRefusalsKey,
  readBridgeVersion,
  requireConfig,
  RouterJournal,
  SetupError,
} from './config.ts';
import type { ROUTER_STATES, RouterAccess } from '../src/protocol/messages.ts';
import { makeHandlers } from './handlers.ts';
import { BridgeKeys } from './keys.ts';
import { type LinkHandlers, startLink } from './link.ts';
import { type Log, makeLog, nameError } from './log.ts';
import { Watcher, type WatcherOptions } from './measure/watcher.ts';
import { postText } from './post-text.ts';
import { Reporter, type ReporterOptions } from './report.ts';
import { RequestTimes } from './request-times.ts';
import { Spool } from './spool.ts';
import { lockState, type StateLock } from './state-lock.ts';
import { Tunnel, type TunnelOptions } from './tunnel.ts';
import { WatchedStore } from './watched.ts';

const HELP = `Usage: rukun-bridge run [options]

Takes Rukun's requests on this machine only (127.0.0.1) and makes the routers hold what they must; measures them and
reports to Rukun. Where TUNNEL_TOKEN is set, it runs cloudflared and watches over it.

  --port N             where it listens; 0 takes any free port (8790)
  --state DIR          where this bridge keeps what it needs (RUKUN_BRIDGE_STATE, else ./rukun-bridge-state)
  --cloudflared PATH   the program for the tunnel (RUKUN_CLOUDFLARED, else cloudflared)
  --measure-every N    seconds between two rounds of measuring, 1 to 3600 (300)
  --help               this text

It logs JSON lines to stderr and ends within 10 seconds of SIGTERM or Ctrl+C.
`;

/** Together with ending the tunnel (2 s at most) well below the 10 s that a supervisor waits. */
const FINISH_MS = 6_000;
const TUNNEL_STOP_MS = 2_000;
const MANY_ENTRIES = 200;

export interface BridgeOptions {
  state_dir: string;
  port: number;
  log: Log;
  /** The wall clock; Date.now unless told. */
  now?: () => number;
  /** 0 to 1, for all waits; Math.random unless told. */
  random?: () => number;
  pool?: PoolOptions;
  /** None unless told. */
  tunnel?: Pick<TunnelOptions, 'token' | 'command'>;
  /** False: measures nothing by itself. */
  measure?: boolean | WatcherOptions;
  /** False: doesn't call the cloud by itself. */
  report?: boolean | ReporterOptions;
  measure_interval_ms?: number;
}

export interface RunningBridge {
  name: string;
  port: number;
  /** Finishes what runs, for a while, and closes all connections. */
  stop(finish_ms?: number): Promise<void>;
}

interface Part {
  name: string;
  run(signal: AbortSignal): Promise<void>;
}

type RunOptions = Pick<BridgeOptions, 'port' | 'state_dir' | 'tunnel' | 'measure_interval_ms'>;

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  let options: RunOptions | null;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\nTry: rukun-bridge run --help\n`);
    return 2;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    if (signal.aborted) return 0;
    const bridge = await startBridge({ ...options, log: makeLog(line => process.stderr.write(line)) });
    process.stdout.write(`bridge ${bridge.name} listening on 127.0.0.1:${bridge.port}\n`);
    if (!signal.aborted) await once(signal, 'abort');
    await bridge.stop();
    return 0;
  } catch (error) {
    process.stderr.write(`${describeStartError(error, options.port)}\n`);
    return 1;
  }
}

export async function startBridge(options: BridgeOptions): Promise<RunningBridge> {
  const config = await requireConfig(options.state_dir);
  const lock = await lockState(options.state_dir);
  try {
    return await startLocked(options, config, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function loadTools(
  { state_dir, log, pool }: BridgeOptions,
  config: BridgeConfig,
  keys: BridgeKeys,
): Promise<BridgeTools> {
  const journal = new RouterJournal(state_dir);
  const refusals = new Refusals({ state_dir, secret: deriveRefusalsKey(config), log });
  await Promise.all([journal.load(), refusals.load()]);
  const openSealed = makeSealedOpener(keys);
  return { journal, pool: new RouterPool({ refusals, ...pool }), queue: new RouterQueue(), openSealed };
}

async function startLocked(options: BridgeOptions, config: BridgeConfig, lock: StateLock): Promise<RunningBridge> {
  const { state_dir, port, log, now = Date.now, random = Math.random } = options;
  const keys = new BridgeKeys({ state_dir, config, log });
  const tools = await loadTools(options, config, keys);
  const version = await readBridgeVersion();
  const spool = new Spool({ state_dir, log, now });
  const watched = new WatchedStore({ state_dir, keys, log });
  await watched.load();
  await watched.renew();
  const tunnel = new Tunnel({ token: undefined, command: '', ...options.tunnel, log, random, stop_ms: TUNNEL_STOP_MS });
  const reporter = new Reporter(
    { config, keys, version, spool, watched, post: postText, log, now, random },
    readSettings(options.report),
  );
  const watcher = new Watcher(
    { ...tools, spool, watched, log, random, onBatch: () => reporter.poke() },
    { interval_ms: options.measure_interval_ms ?? 300_000, ...readSettings(options.measure) },
  );
  const handlers = makeHandlers(tools, {
    bridge_id: config.bridge_id,
    version,
    log,
    keys,
    renewSealed: () => watched.renew(),
    getTunnelState: () => tunnel.state,
    countWaitingBatches: () => spool.waiting,
  });
  const times = new RequestTimes(state_dir);
  const link = await startLink({
    port,
    keys,
    handlers: addWatched(handlers, tools, { watched, watcher, askForNews: () => reporter.poke() }),
    log,
    now,
    accepted_to_ms: await times.load(now()),
    onAccepted: time_ms => times.note(time_ms),
  });
  log('started', { bridge_id: config.bridge_id, port: link.port });
  await spool.load().catch((error: unknown) => log('spool_failed', { error: nameError(error) }));
  const parts = [
    ...(options.measure === false ? [] : [{ name: 'watcher', run: (signal: AbortSignal) => watcher.run(signal) }]),
    ...(options.report === false ? [] : [{ name: 'reporter', run: (signal: AbortSignal) => reporter.run(signal) }]),
  ];
  const running = runParts(parts, log, random);
  const tunnelling = runParts([{ name: 'tunnel', run: signal => tunnel.run(signal) }], log, random);
  const stop = async (finish_ms = FINISH_MS) => {
    const finished = Promise.all([running.stop(), link.stop(), tools.queue.stop()]);
    const is_finished = await Promise.race([finished.then(() => true), wait(finish_ms)]);
    // what was answered last left through the tunnel
    await Promise.all([tunnelling.stop(), tools.pool.close()]);
    if (!is_finished) await Promise.race([finished, wait(500)]);
    link.drop();
    await Promise.all([tools.journal.save(), times.save()]).finally(() => lock.release());
    log('stopped', { is_finished });
  };
  return { name: config.name, port: link.port, stop };
}

const readSettings = <T>(settings: boolean | T | undefined) => (typeof settings === 'object' ? settings : undefined);

/**
 * What the link's handlers don't know by themselves. A router that isn't watched as it is spoken of now is news that the
 * cloud has. An apply of thousands is cleaned up after at once. Health also tells of the routers that are watched and were
 * never applied to, and of those just being connected.
 */
function addWatched(
  handlers: LinkHandlers,
  { journal, pool, queue }: BridgeTools,
  { watched, watcher, askForNews }: { watched: WatchedStore; watcher: Watcher; askForNews: () => void },
): LinkHandlers {
  const asked = new Map<string, string>();
  const noteRouter = (router: RouterAccess) => {
    const access = JSON.stringify(router);
    const known = watched.current?.routers.find(({ id }) => id === router.id);
    if ((known && JSON.stringify(known) === access) || asked.get(router.id) === access) return;
    asked.set(router.id, access);
    askForNews();
  };
  const tellState = (id: string): (typeof ROUTER_STATES)[number] => {
    const state = pool.getState(id);
    // one that is just being tried again after a failure is not at work
    return queue.isBusy(id) && (state === 'connected' || state === 'idle') ? 'working' : state;
  };
  return {
    ...handlers,
    probe: request => {
      noteRouter(request.router);
      return handlers.probe(request);
    },
    read: request => {
      noteRouter(request.router);
      return handlers.read(request);
    },
    apply: async request => {
      noteRouter(request.router);
      const answer = await handlers.apply(request);
      if (request.entries.length >= MANY_ENTRIES) setImmediate(collectGarbage);
      return answer;
    },
    health: async () => {
      const ids = new Set(watched.current?.routers.map(({ id }) => id));
      // one that was given up is no more than a number in the journal
      for (const id of journal.router_ids) if (tellState(id) !== 'idle') ids.add(id);
      const routers = Array.from(ids, id => ({ id, state: tellState(id), revision: journal.getRevision(id) }));
      return { ...(await handlers.health()), routers };
    },
    seen: async () => ({ routers: watcher.listSeen() }),
  };
}

/** A part that fails in a way that nobody foresaw is started again, and the others go on. */
function runParts(parts: readonly Part[], log: Log, random: () => number): { stop(): Promise<void> } {
  const controller = new AbortController();
  const { signal } = controller;
  const keepRunning = async (part: Part) => {
    const backoff = new Backoff({ first_ms: 1_000, most_ms: 60_000, random });
    while (!signal.aborted) {
      try {
        return await part.run(signal);
      } catch (error) {
        log('part_failed', { part: part.name, error: nameError(error) });
        await pause(backoff.next(), signal);
      }
    }
  };
  const running = Promise.all(parts.map(keepRunning));
  return {
    stop: async () => {
      controller.abort();
      await running;
    },
  };
}

/** False after a while; keeps nothing alive. */
function wait(time_ms: number): Promise<false> {
  return new Promise(resolve => setTimeout(() => resolve(false), time_ms).unref());
}

function readOptions(args: string[]): RunOptions | null {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '8790' },
      state: { type: 'string' },
      cloudflared: { type: 'string' },
      'measure-every': { type: 'string', default: '300' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return null;
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error(`--port must be 0 to 65535; got ${values.port}`);
  const every_s = Number(values['measure-every']);
  if (!(every_s >= 1 && every_s <= 3600)) {
    throw new Error(`--measure-every must be 1 to 3600 seconds; got ${values['measure-every']}`);
  }
  const command = values.cloudflared ?? (process.env.RUKUN_CLOUDFLARED || 'cloudflared');
  return {
    port,
    state_dir: chooseStateDir(values.state),
    tunnel: { token: process.env.TUNNEL_TOKEN, command },
    measure_interval_ms: every_s * 1000,
  };
}

function describeStartError(error: unknown, port: number): string {
  if (error instanceof SetupError) return error.message;
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'EADDRINUSE') return `port ${port} is already in use: stop what listens there or choose another --port`;
  if (code === 'EACCES') return `not allowed to open port ${port} or to read the state folder: ${String(error)}`;
  return error instanceof Error ? error.message : String(error);
}
