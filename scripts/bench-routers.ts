import './quiet-env.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRukunClient, signIn, unwrap, type RukunClient } from '../client/index.ts';
import { makePassword } from './demo.ts';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker } from './local-worker.ts';

/**
 * `node scripts/bench-routers.ts` (a part of `npm run bench`): ten routers of which one takes connections and never
 * answers. How long it takes until the nine others hold a new line each, as a ratio to the same with all ten healthy.
 * The ten are one simulated router, each with a plan of its own; the silent one's line is changed first.
 */

const ROUTERS = 10;
const ROUNDS = 3;
const state_dir = mkdtempSync(path.join(tmpdir(), 'rukun-bench-routers-'));
const say = (line: string) => process.stdout.write(`${line}\n`);
const password = makePassword();
const children: ChildProcess[] = [];

async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  return port;
}

async function startProgram(args: string[], env: Record<string, string> = {}): Promise<void> {
  const child = spawn(process.execPath, ['bridge/main.ts', ...args], {
    env: { ...process.env, ...env, RUKUN_END_WITH_PARENT: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  for await (const chunk of child.stdout!) if (String(chunk).includes('listening on')) break;
}

async function signUp(url: string, slug: string): Promise<RukunClient> {
  const email = `admin@${slug}.example`;
  const body = { slug, name: slug, admin_name: 'Bench', admin_email: email, admin_password: password };
  unwrap(await createRukunClient({ url }).POST('/api/v1/tenants', { body }));
  return (await signIn({ url, tenant: slug }, { email, password })).client;
}

async function startBridge(url: string, client: RukunClient): Promise<void> {
  const port = await findFreePort();
  const body = { name: 'b', url: `http://127.0.0.1:${port}` };
  const { id } = unwrap(await client.POST('/api/v1/bridges', { body }));
  const { token } = unwrap(await client.POST('/api/v1/bridges/{id}/enroll', { params: { path: { id } } }));
  const state = path.join(state_dir, `bridge-${port}`);
  const env = { ...process.env, RUKUN_ENROLMENT_TOKEN: token };
  const enrol = ['bridge/main.ts', 'enroll', '--url', url, '--state', state];
  await once(spawn(process.execPath, enrol, { env, stdio: 'ignore' }), 'exit');
  await startProgram(['run', '--port', String(port), '--state', state]);
}

/** A router takes twenty connections, and a bridge keeps its own: each time there are new ones. */
async function startRouter(): Promise<number> {
  const port = await findFreePort();
  const rsc = path.join(state_dir, `router-${port}.rsc`);
  const simulate = ['simulate', '--port', String(port), '--user', 'r', '--password-env', 'RP', '--state', rsc];
  await startProgram(simulate, { RP: password });
  return port;
}

/** How long it takes until all lines but that of the silent router are confirmed; ms. */
async function measure(url: string, slug: string, silent_port: number | null): Promise<number> {
  const client = await signUp(url, slug);
  const router_port = await startRouter();
  await startBridge(url, client);
  const customers: string[] = [];
  for (let at = 0; at < ROUTERS; at++) {
    const port = at === 0 && silent_port !== null ? silent_port : router_port;
    const access = { name: `r${at}`, host: '127.0.0.1', port, username: 'r', password };
    const router = unwrap(await client.POST('/api/v1/routers', { body: access }));
    const speed = { download_kbps: 10_000, upload_kbps: 2000, price: 1 };
    const plan = unwrap(await client.POST('/api/v1/service-plans', { body: { name: `${slug} ${at}`, ...speed } }));
    const line = { pppoe_username: `${slug}-${at}`, pppoe_password: password, router_id: router.id };
    const person = { full_name: 'Budi', phone: '081234567', address: 'x', service_plan_id: plan.id };
    const customer = unwrap(await client.POST('/api/v1/customers', { body: { ...person, ...line } }));
    customers.push(customer.id);
  }
  const began = performance.now();
  for (const id of customers)
    unwrap(await client.POST('/api/v1/customers/{id}/activate', { params: { path: { id } }, body: {} }));
  const wanted = silent_port === null ? ROUTERS : ROUTERS - 1;
  for (;;) {
    const query = { status: 'in_sync', per_page: 1 } as const;
    const { data } = await client.GET('/api/v1/provisioning', { params: { query } });
    if ((data?.meta.total ?? 0) >= wanted) break;
    await sleep(10);
  }
  const took_ms = performance.now() - began;
  for (const child of children.splice(0)) child.kill();
  return took_ms;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

buildWorker(path.join(state_dir, 'build'));
const worker = await serveWorker({
  build_dir: path.join(state_dir, 'build'),
  port: await findFreePort(),
  pool_size: 2 * ROUNDS,
  bindings: { ...(await makeSecrets()), SIGNUP: 'open', LIMIT_SIGNUP_PER_HOUR: '100', LIMIT_SIGNIN_PER_MINUTE: '100', LIMIT_USER_PER_MINUTE: '100000', LIMIT_ADDRESS_PER_MINUTE: '100000', ALLOW_LOOPBACK_BRIDGE: 'yes' }, // prettier-ignore
});
const sockets = new Set<Socket>();
const silence = createServer(socket => void sockets.add(socket.on('error', () => {})));
try {
  const silent_port = await listen(silence);
  const times: Record<'healthy' | 'silent', number[]> = { healthy: [], silent: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.healthy.push(await measure(worker.url, `healthy-${round}`, null));
    times.silent.push(await measure(worker.url, `silent-${round}`, silent_port));
  }
  const [healthy, silent] = [median(times.healthy), median(times.silent)];
  say(`ten routers, a new line on each, median of ${ROUNDS}:`);
  say(`  all ten healthy, until the ten are confirmed:    ${Math.round(healthy)} ms`);
  say(
    `  one of them silent, until the nine are confirmed: ${Math.round(silent)} ms (${(silent / healthy).toFixed(2)} ×)`,
  );
} finally {
  for (const child of children) child.kill();
  for (const socket of sockets) socket.destroy();
  silence.close();
  await worker.stop();
  rmSync(state_dir, { recursive: true });
}
