import './quiet-env.ts';
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from 'wrangler';
import { listPoolBindings } from './local-pool.ts';

/**
 * The built Worker on one workerd, through the Miniflare API, from the same wrangler.toml that is deployed. Cheaper and
 * quieter than `wrangler dev`: no proxy in front, no watcher.
 */

const ROOT = path.resolve(import.meta.dirname, '..');
const CONFIG = path.join(ROOT, 'wrangler.toml');
const MODULE_TYPES: Record<string, 'ESModule' | 'Text' | 'CompiledWasm'> = {
  '.js': 'ESModule',
  '.sql': 'Text',
  '.wasm': 'CompiledWasm',
};

/** Bundles the Worker as a deployment would, into `out_dir`. */
export function buildWorker(out_dir: string): void {
  rmSync(out_dir, { recursive: true, force: true });
  const wrangler = path.join(ROOT, 'node_modules/wrangler/wrangler-dist/cli.js');
  const args = ['--no-warnings', wrangler, 'deploy', '--dry-run', '--outdir', out_dir];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the Worker could not be built\n${stdout}\n${stderr}`);
}

/** Miniflare hands a queue's batches over one after the other: a router that hangs must not hold up the next one. */
const QUEUES = { QUEUE_PATIENCE_MS: '250' };

/** For programs that ask more in a minute than people do. */
export const WIDE_LIMITS = {
  LIMIT_SIGNUP_PER_HOUR: '100',
  LIMIT_SIGNIN_PER_MINUTE: '1000',
  LIMIT_USER_PER_MINUTE: '1000000',
  LIMIT_ADDRESS_PER_MINUTE: '1000000',
};

export interface ServeOptions {
  build_dir: string;
  /** 0: no port; talk to it by `fetch`. */
  port: number;
  /** Where D1, Durable Objects, queues and R2 are kept; nothing is kept without one. */
  state_dir?: string;
  pool_size: number;
  bindings: Record<string, string>;
  /** For measuring: workerd itself listens, with neither Miniflare's entry nor the assets in front. */
  direct?: boolean;
  /** For counting: each invocation of the Worker and of its Durable Objects is a line of the log too. */
  trace?: boolean;
  /** Gets each line that the Worker prints. */
  onLog?: (line: string) => void;
}

/** What a line of the log says of an invocation. */
export interface Invocation {
  /** The class of the Durable Object; null: the Worker. */
  entrypoint: string | null;
  /** fetch, alarm, message, close, scheduled, queue, or the name of what was called. */
  invoked: string;
}

const TRACER = `export default {
  tail(traces) {
    for (const { entrypoint, executionModel, event } of traces) {
      const invoked = event?.rpcMethod ?? event?.getWebSocketEvent?.webSocketEventType ??
        (event?.request ? 'fetch' : event?.queue ? 'queue' : event?.cron !== undefined ? 'scheduled' : event?.scheduledTime ? 'alarm' : 'other');
      const is_object = executionModel === 'durableObject';
      console.log(JSON.stringify({ entrypoint: is_object ? entrypoint ?? '?' : null, invoked }));
    }
  },
};`;

export interface LocalWorker {
  url: string;
  fetch(path: string): Promise<Response>;
  /** What the clock would do every few minutes, now. */
  runCrons(): Promise<void>;
  stop(): Promise<void>;
}

export async function serveWorker(options: ServeOptions): Promise<LocalWorker> {
  const config = unstable_readConfig({ config: CONFIG });
  const { workerOptions } = unstable_getMiniflareWorkerOptions(CONFIG);
  const pool = Object.fromEntries(listPoolBindings(options.pool_size).map(name => [name, name.toLowerCase()]));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      port: options.port,
      cf: false,
      log: new Log(LogLevel.ERROR),
      ...(options.state_dir && { resourcePersistencePath: options.state_dir }),
      handleStructuredLogs: ({ message }) => options.onLog?.(message),
      workers: [
        {
          name: config.name,
          ...(options.direct ? { ...workerOptions, assets: undefined } : workerOptions),
          bindings: { ...(workerOptions.bindings as Record<string, string>), ...QUEUES, ...options.bindings },
          d1Databases: { DIRECTORY_DB: 'directory', ...pool },
          modules: listModules(options.build_dir),
          modulesRoot: options.build_dir,
          ...(options.direct && { unsafeDirectSockets: [{ host: '127.0.0.1', port: 0 }] }),
          ...(options.trace && { tails: ['tracer'] }),
        },
        ...(options.trace
          ? [{ name: 'tracer', modules: true, script: TRACER, compatibilityDate: config.compatibility_date! }]
          : []),
      ],
    }),
  );
  const entry = await miniflare.ready;
  const url = String(options.direct ? await miniflare.unsafeGetDirectURL() : entry).replace(/\/$/, '');
  const crons = config.triggers.crons ?? [];
  const runCron = async (cron: string) => {
    const worker = await miniflare.getWorker();
    await worker.scheduled({ cron, scheduledTime: new Date() });
  };
  const stopCrons = tickCrons(crons, runCron);
  return {
    url,
    fetch: async target => (await miniflare.dispatchFetch(`http://localhost${target}`)) as unknown as Response,
    runCrons: async () => {
      for (const cron of crons) await runCron(cron);
    },
    stop: async () => {
      stopCrons();
      await miniflare.dispose();
    },
  };
}

/** The bundle is index.js (worker.js) and what it imports under hashed names; the entry comes first. */
function listModules(build_dir: string) {
  return readdirSync(build_dir)
    .filter(file => MODULE_TYPES[path.extname(file)])
    .sort((a, b) => Number(b === 'worker.js') - Number(a === 'worker.js'))
    .map(file => ({ type: MODULE_TYPES[path.extname(file)]!, path: path.join(build_dir, file) }));
}

/** Nothing local fires crons by itself. Ours are all of the form `*\/N * * * *`: every N minutes. */
function tickCrons(crons: readonly string[], runCron: (cron: string) => Promise<void>): () => void {
  const timers = crons.map(cron => {
    const minutes = Number(/^\*\/(\d+) \* \* \* \*$/.exec(cron)?.[1]);
    if (!minutes) throw new Error(`no ticker for the cron ${cron}`);
    return setInterval(() => void runCron(cron), minutes * 60_000);
  });
  return () => timers.forEach(clearInterval);
}
