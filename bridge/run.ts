// `rukun-bridge run`: the daemon.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { applyDesired, type BridgeTools } from './apply/apply.ts';
import { probeRouter } from './apply/probe.ts';
import { type PoolOptions, RouterPool } from './apply/router-pool.ts';
import { RouterQueue } from './apply/router-queue.ts';
import { makeSealedOpener } from './apply/sealed.ts';
import { chooseStateDir, readBridgeVersion, requireConfig, RouterJournal, SetupError } from './config.ts';
import { type LinkHandlers, startLink } from './link.ts';
import { type Log, makeLog } from './log.ts';

const HELP = `Usage: rukun-bridge run [options]

Takes Rukun's requests on this machine only (127.0.0.1) and makes the routers hold what they must.

  --port N      where it listens; 0 takes any free port (8790)
  --state DIR   where this bridge keeps what it needs (RUKUN_BRIDGE_STATE, else ./rukun-bridge-state)
  --help        this text

It logs JSON lines to stderr and ends within 10 seconds of SIGTERM or Ctrl+C.
`;

/** Together with closing the connections (1 s) well below the 10 s that a supervisor waits. */
const FINISH_MS = 8_000;

export interface BridgeOptions {
  state_dir: string;
  port: number;
  log: Log;
  /** The wall clock; Date.now unless told. */
  now?: () => number;
  pool?: PoolOptions;
}

export interface RunningBridge {
  name: string;
  port: number;
  /** Finishes what runs, for a while, and closes all connections. */
  stop(finish_ms?: number): Promise<void>;
}

export async function run(args: string[], signal: AbortSignal): Promise<number> {
  let options: { port: number; state_dir: string } | null;
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

export async function startBridge({ state_dir, port, log, now, pool }: BridgeOptions): Promise<RunningBridge> {
  const config = await requireConfig(state_dir);
  const journal = new RouterJournal(state_dir);
  await journal.load();
  const tools: BridgeTools = {
    journal,
    pool: new RouterPool(pool),
    queue: new RouterQueue(),
    openSealed: await makeSealedOpener(config.private_key),
  };
  const handlers = makeHandlers(tools, { bridge_id: config.bridge_id, version: await readBridgeVersion(), log });
  const link = await startLink({ port, signing_secret: config.signing_secret, handlers, log, now });
  log('started', { bridge_id: config.bridge_id, port: link.port });
  const stop = async (finish_ms = FINISH_MS) => {
    const finished = Promise.all([link.stop(), tools.queue.stop()]);
    const is_finished = await Promise.race([finished.then(() => true), wait(finish_ms)]);
    await tools.pool.close();
    if (!is_finished) await Promise.race([finished, wait(500)]);
    link.drop();
    await journal.save();
    log('stopped', { is_finished });
  };
  return { name: config.name, port: link.port, stop };
}

function makeHandlers(tools: BridgeTools, about: { bridge_id: string; version: string; log: Log }): LinkHandlers {
  const started_ms = performance.now();
  const { journal, pool, queue } = tools;
  return {
    apply: async request => {
      const answer = await applyDesired(tools, request);
      const bad = [...answer.profiles, ...answer.items].filter(({ error }) => error !== null).length;
      const { revision, sessions_ended, commands_sent } = answer;
      const counts = { items: answer.items.length, bad, sessions_ended, commands_sent };
      about.log('applied', { router_id: request.router.id, revision, ...counts });
      return answer;
    },
    probe: request => probeRouter(tools, request),
    health: async () => ({
      version: about.version,
      bridge_id: about.bridge_id,
      uptime_seconds: Math.floor((performance.now() - started_ms) / 1000),
      routers: journal.router_ids.map(id => ({
        id,
        state: queue.isBusy(id) ? 'working' : pool.getState(id),
        revision: journal.getRevision(id),
      })),
    }),
  };
}

/** False after a while; keeps nothing alive. */
function wait(time_ms: number): Promise<false> {
  return new Promise(resolve => setTimeout(() => resolve(false), time_ms).unref());
}

function readOptions(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '8790' },
      state: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return null;
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error(`--port must be 0 to 65535; got ${values.port}`);
  return { port, state_dir: chooseStateDir(values.state) };
}

function describeStartError(error: unknown, port: number): string {
  if (error instanceof SetupError) return error.message;
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'EADDRINUSE') return `port ${port} is already in use: stop what listens there or choose another --port`;
  if (code === 'EACCES') return `not allowed to open port ${port} or to read the state folder: ${String(error)}`;
  return error instanceof Error ? error.message : String(error);
}
