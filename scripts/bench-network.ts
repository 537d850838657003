import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRukunClient, signIn, unwrap, type RukunClient } from '../client/index.ts';
import { makePassword } from './demo.ts';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker, type LocalWorker, type ServeOptions, WIDE_LIMITS } from './local-worker.ts';

/** What the benchmarks run on: a Worker with its databases, bridges and simulated routers as programs of their own. */

/** A line of a bridge's log: what one apply cost. */
export interface Applied {
  entries: number;
  bad: number;
  sessions_ended: number;
  commands_sent: number;
}

export interface BenchBridge {
  child: ChildProcess;
  /** Newest last. */
  applied: Applied[];
}

export interface BenchRouter {
  port: number;
  control_url: string;
}

export async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  return port;
}

export class BenchNetwork {
  readonly url: string;
  readonly state_dir: string;
  readonly password: string;
  readonly children: ChildProcess[] = [];
  readonly #worker: LocalWorker;

  private constructor(worker: LocalWorker, state_dir: string) {
    this.url = worker.url;
    this.state_dir = state_dir;
    this.password = makePassword();
    this.#worker = worker;
  }

  static async start(
    tenants: number,
    onLog?: (line: string) => void,
    options: Pick<ServeOptions, 'direct' | 'trace'> = {},
  ): Promise<BenchNetwork> {
    const state_dir = mkdtempSync(path.join(tmpdir(), 'rukun-bench-'));
    const build_dir = path.join(state_dir, 'build');
    buildWorker(build_dir);
    const worker = await serveWorker({
      build_dir,
      port: await findFreePort(),
      pool_size: tenants,
      bindings: { ...(await makeSecrets(Date.now())), SIGNUP: 'open', ALLOW_LOOPBACK_BRIDGE: 'yes', ...WIDE_LIMITS },
      ...(onLog && { onLog }),
      ...options,
    });
    return new BenchNetwork(worker, state_dir);
  }

  /** A provider of its own, with a database of its own. */
  async register(slug: string): Promise<void> {
    const email = `admin@${slug}.example`;
    const body = { slug, name: slug, admin_name: 'Bench', admin_email: email, admin_password: this.password };
    unwrap(await createRukunClient({ url: this.url }).POST('/api/v1/tenants', { body }));
  }

  async signUp(slug: string): Promise<RukunClient> {
    await this.register(slug);
    return (await this.signIn(slug)).client;
  }

  signIn(slug: string) {
    return signIn({ url: this.url, tenant: slug }, { email: `admin@${slug}.example`, password: this.password });
  }

  /** An empty one, unless told what stands there. */
  async startRouter(rsc = ''): Promise<BenchRouter> {
    const [port, control_port] = [await findFreePort(), await findFreePort()];
    const state = path.join(this.state_dir, `router-${port}.rsc`);
    if (rsc !== '') writeFileSync(state, rsc);
    const access = [
      '--port',
      String(port),
      '--user',
      'r',
      '--password-env',
      'RP',
      '--control-port',
      String(control_port),
    ];
    await this.#startProgram(['simulate', ...access, '--state', state], { RP: this.password });
    return { port, control_url: `http://127.0.0.1:${control_port}` };
  }

  async addRouter(client: RukunClient, name: string, port: number): Promise<string> {
    const access = { name, host: '127.0.0.1', port, username: 'r', password: this.password };
    return unwrap(await client.POST('/api/v1/routers', { body: access })).id;
  }

  /** Enrolled, and running. */
  async startBridge(client: RukunClient): Promise<BenchBridge> {
    const port = await findFreePort();
    const body = { name: 'b', url: `http://127.0.0.1:${port}` };
    const { id } = unwrap(await client.POST('/api/v1/bridges', { body }));
    const { token } = unwrap(await client.POST('/api/v1/bridges/{id}/enroll', { params: { path: { id } } }));
    const state = path.join(this.state_dir, `bridge-${port}`);
    const env = { ...process.env, RUKUN_ENROLMENT_TOKEN: token };
    const enrol = ['bridge/main.ts', 'enroll', '--url', this.url, '--state', state];
    await once(spawn(process.execPath, enrol, { env, stdio: 'ignore' }), 'exit');
    const applied: Applied[] = [];
    const note = (line: string) => {
      const told = line.startsWith('{') ? (JSON.parse(line) as { event: string } & Applied) : null;
      if (told?.event === 'applied') applied.push(told);
    };
    const child = await this.#startProgram(['run', '--port', String(port), '--state', state], {}, note);
    return { child, applied };
  }

  /** Resolves once it says that it listens. */
  async #startProgram(
    args: string[],
    env: Record<string, string>,
    onLine: (line: string) => void = () => {},
  ): Promise<ChildProcess> {
    const child = spawn(process.execPath, ['bridge/main.ts', ...args], {
      env: { ...process.env, ...env, RUKUN_END_WITH_PARENT: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.children.push(child);
    // it says on one that it listens, and logs on the other
    createInterface({ input: child.stderr! }).on('line', onLine);
    const lines = createInterface({ input: child.stdout! });
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`bridge/main.ts ${args[0]} ended`)));
      lines.on('line', line => {
        if (line.includes('listening on')) resolve();
      });
    });
    return child;
  }

  runCrons(): Promise<void> {
    return this.#worker.runCrons();
  }

  endPrograms(): void {
    for (const child of this.children.splice(0)) child.kill();
  }

  async stop(): Promise<void> {
    this.endPrograms();
    await this.#worker.stop();
    rmSync(this.state_dir, { recursive: true });
  }
}

/** Until the routers have confirmed so many entries, and none is left that waits. */
export async function waitForEntries(client: RukunClient, wanted: number): Promise<void> {
  const count = async (status: 'in_sync' | 'pending') => {
    const query = { status, per_page: 1 } as const;
    return (await client.GET('/api/v1/provisioning', { params: { query } })).data?.meta.total ?? 0;
  };
  while ((await count('in_sync')) < wanted) await sleep(10);
}

/** A router's export becomes customers; gives how many, once the last one is there. */
export async function importSecrets(client: RukunClient, rsc: string, router_id?: string): Promise<number> {
  const job = unwrap(
    await client.POST('/api/v1/imports/file', {
      params: { query: { router_id } },
      body: rsc,
      bodySerializer: text => text,
      headers: { 'Content-Type': 'text/plain' },
    }),
  );
  for (;;) {
    const { finished_at, succeeded } = unwrap(
      await client.GET('/api/v1/jobs/{id}', { params: { path: { id: job.id } } }),
    );
    if (finished_at) return succeeded;
    await sleep(20);
  }
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Imported plans have no price yet. */
export async function pricePlans(client: RukunClient): Promise<void> {
  const query = { is_active: 'all' as const, per_page: 100 };
  const plans = unwrap(await client.GET('/api/v1/service-plans', { params: { query } }));
  for (const { id } of plans)
    unwrap(await client.PUT('/api/v1/service-plans/{id}', { params: { path: { id } }, body: { price: 150_000 } }));
}

export function nextMonth(): string {
  const month = new Date().toISOString().slice(0, 7);
  return new Date(Date.parse(`${month}-01`) + 32 * 86_400_000).toISOString().slice(0, 7);
}

/** Invoices all who are served; gives the job once it is done. */
export async function billMonth(client: RukunClient, period: string) {
  const { id } = unwrap(await client.POST('/api/v1/billing/run', { body: { period } }));
  for (;;) {
    const job = unwrap(await client.GET('/api/v1/jobs/{id}', { params: { path: { id } } }));
    if (job.status === 'completed') return job;
    if (job.finished_at) throw new Error(`the billing run ended as ${job.status}`);
    await sleep(50);
  }
}
