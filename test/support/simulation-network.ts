import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startSimulator } from '../../bridge/simulator/server.ts';
import type { FromBridge, ToBridge } from './bridge-process.ts';
import type { SimulationOptions, TestRouterAccess } from './network.ts';

/** The Node side of the simulation: a bridge that can be restarted and killed, two routers, and what steers them. */

const BRIDGE_PROCESS = new URL('./bridge-process.ts', import.meta.url).pathname;

/** One bridge after the other on the same port and folder; the next process is loaded before it is needed. */
class RestartableBridge {
  readonly #state_dir: string;
  #port = 0;
  #running: ChildProcess | null = null;
  #spare: ChildProcess = fork(BRIDGE_PROCESS);

  constructor(state_dir: string) {
    this.#state_dir = state_dir;
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const child = this.#spare;
    this.#running = child;
    child.send({ start: { state_dir: this.#state_dir, port: this.#port } } satisfies ToBridge);
    const [answer] = (await once(child, 'message')) as [FromBridge];
    if ('error' in answer) throw new Error(`the bridge doesn't start: ${answer.error}`);
    this.#port = answer.port;
    this.#spare = fork(BRIDGE_PROCESS);
  }

  /** `kill` leaves it no moment to finish or save anything. */
  async end(how: 'stop' | 'kill'): Promise<void> {
    const child = this.#running;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    if (how === 'kill') child.kill('SIGKILL');
    else child.send('stop' satisfies ToBridge);
    await ended;
  }

  async stop(): Promise<void> {
    this.#spare.kill('SIGKILL');
    await this.end('stop');
  }
}

async function startControl(bridge: RestartableBridge) {
  const steer = async (request: IncomingMessage): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (url.pathname === '/restart') {
      await bridge.end(url.searchParams.get('how') === 'kill' ? 'kill' : 'stop');
      await bridge.start();
    } else if (url.pathname === '/say') {
      const chunks = await request.toArray();
      process.stdout.write(`${Buffer.concat(chunks as Buffer[]).toString('utf8')}\n`);
    } else throw new Error(`nothing here: ${url.pathname}`);
  };
  const server = createServer((request, response) => {
    steer(request).then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async () => {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}

async function startRouter(credentials: { username: string; password: string }) {
  const simulator = await startSimulator({ port: 0, control_port: 0, ...credentials });
  const access: TestRouterAccess = {
    host: '127.0.0.1',
    port: simulator.port,
    ...credentials,
    control_url: `http://127.0.0.1:${simulator.control_port}`,
  };
  return { access, stop: () => simulator.stop() };
}

/** `state_dir`: of a bridge that has enrolled. */
export async function startSimulationNetwork(state_dir: string, credentials: { username: string; password: string }) {
  const bridge = new RestartableBridge(state_dir);
  const routers = await Promise.all([startRouter(credentials), startRouter(credentials)]);
  await bridge.start();
  const control = await startControl(bridge);
  return {
    bridge_url: `http://127.0.0.1:${bridge.port}`,
    routers: routers.map(router => router.access),
    control_url: control.url,
    stop: async () => {
      await Promise.all([control.stop(), bridge.stop()]);
      await Promise.all(routers.map(router => router.stop()));
    },
  };
}

const TESTED_SEED = 51159122;

/** As scripts/simulate.ts hands them on. In `npm test` always the same ones: others are for `npm run simulate`. */
export function readSimulationOptions(environment: NodeJS.ProcessEnv = process.env): SimulationOptions {
  const { SIMULATION_SEED, SIMULATION_SCHEDULES, SIMULATION_PATH, SIMULATION_STEPS, SIMULATION_SHRINK_SECONDS } =
    environment;
  return {
    seed: Number(SIMULATION_SEED || TESTED_SEED),
    schedules: Number(SIMULATION_SCHEDULES || 25),
    path: SIMULATION_PATH ?? '',
    steps: SIMULATION_STEPS ? (JSON.parse(SIMULATION_STEPS) as { do: string }[]) : null,
    shrink_seconds: Number(SIMULATION_SHRINK_SECONDS ?? 60),
    is_told: SIMULATION_SCHEDULES !== undefined,
  };
}
