import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRukunClient, signIn, unwrap, type RukunClient } from '../client/index.ts';
import { makePassword } from './demo.ts';
import { makeRouterExport } from './demo-isp.ts';
import { measureSecretPrints } from '../bridge/test/measure-secrets.ts';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker } from './local-worker.ts';

/**
 * `npm run bench`: what reads cost with 10,000 customers (round trips, rows, and time as a ratio to a route that does
 * nothing), how long an import of 1,000 secrets takes from upload to the router's confirmation, what one silent router of
 * ten costs the others, and the bridge's memory.
 */

const CUSTOMERS = 10_000;
const REPEATS = 30;
const state_dir = mkdtempSync(path.join(tmpdir(), 'rukun-bench-'));
const say = (line: string) => process.stdout.write(`${line}\n`);

interface LogLine {
  request_id?: string;
  round_trips?: number;
  rows_read?: number;
}
const log = new Map<string, LogLine>();

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

const password = makePassword();

async function signUp(url: string, slug: string): Promise<RukunClient> {
  const email = `admin@${slug}.example`;
  const body = { slug, name: slug, admin_name: 'Bench', admin_email: email, admin_password: password };
  unwrap(await createRukunClient({ url }).POST('/api/v1/tenants', { body }));
  return (await signIn({ url, tenant: slug }, { email, password })).client;
}

async function importSecrets(client: RukunClient, count: number, router_id?: string) {
  const job = unwrap(
    await client.POST('/api/v1/imports/file', {
      params: { query: { router_id } },
      body: makeRouterExport(count),
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

interface Measured {
  route: string;
  ms: number;
  round_trips: number;
  rows_read: number;
}

/** The median of some calls; what each cost in the database is in the Worker's own log line. */
async function measure(url: string, token: string, route: string): Promise<Measured> {
  const times: number[] = [];
  let request_id = '';
  for (let i = 0; i < REPEATS; i++) {
    const began = performance.now();
    const response = await fetch(url + route, { headers: { Authorization: `Bearer ${token}` } });
    await response.arrayBuffer();
    times.push(performance.now() - began);
    if (!response.ok) throw new Error(`${route}: ${response.status}`);
    request_id = response.headers.get('x-request-id')!;
  }
  for (let tries = 0; !log.has(request_id) && tries < 100; tries++) await sleep(10);
  const { round_trips = 0, rows_read = 0 } = log.get(request_id) ?? {};
  return { route, ms: times.sort((a, b) => a - b)[REPEATS >> 1]!, round_trips, rows_read };
}

async function benchReads(url: string): Promise<void> {
  const client = await signUp(url, 'bench-reads');
  const began = performance.now();
  const imported = await importSecrets(client, CUSTOMERS);
  say(`import of ${imported} secrets, upload to last customer: ${Math.round(performance.now() - began)} ms`);
  const { session } = await signIn({ url, tenant: 'bench-reads' }, { email: 'admin@bench-reads.example', password });
  const [customer] = unwrap(await client.GET('/api/v1/customers', { params: { query: { page: 500 } } }));
  const plan = customer!.service_plan_id;
  const routes = [
    '/healthz',
    '/api/v1/auth/me',
    '/api/v1/customers',
    '/api/v1/customers?per_page=100',
    '/api/v1/customers?page=900',
    '/api/v1/customers?status=suspended',
    '/api/v1/customers?status=active&page=500',
    `/api/v1/customers?service_plan_id=${plan}`,
    '/api/v1/customers?sort=full_name',
    '/api/v1/customers?search=budi%20santoso',
    '/api/v1/customers?search=agus9981%40melati',
    '/api/v1/customers?search=rw',
    `/api/v1/customers/${customer!.id}`,
    `/api/v1/customers/${customer!.id}/provisioning`,
    `/api/v1/customers/${customer!.id}/audit-logs`,
    `/api/v1/customers/${customer!.id}/payments`,
    '/api/v1/customers/stats',
    '/api/v1/service-plans?is_active=all',
    `/api/v1/service-plans/${plan}`,
    `/api/v1/service-plans/${plan}/advanced`,
    '/api/v1/zones',
    '/api/v1/routers',
    '/api/v1/bridges',
    '/api/v1/users',
    '/api/v1/settings',
    '/api/v1/jobs',
    '/api/v1/imports',
    '/api/v1/audit-logs',
    '/api/v1/audit-logs?page=900',
  ];
  const bare = await measure(url, session.access_token, '/healthz');
  say(`\nreads with ${CUSTOMERS} customers (time: median of ${REPEATS}, as a ratio to /healthz)`);
  say('round trips  rows read   ratio  route');
  for (const route of routes) {
    const { ms, round_trips, rows_read } = await measure(url, session.access_token, route);
    const name = route.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, ':id');
    say(
      `${String(round_trips).padStart(11)} ${String(rows_read).padStart(10)} ${(ms / bare.ms).toFixed(1).padStart(7)}  ${name}`,
    );
  }
}

const children: ChildProcess[] = [];

async function startProgram(args: string[], env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['bridge/main.ts', ...args], {
    env: { ...process.env, ...env, RUKUN_END_WITH_PARENT: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  for await (const chunk of child.stdout!) if (String(chunk).includes('listening on')) break;
  return child;
}

/** Resident memory in MB, as Linux tells it. */
const memoryOf = (child: ChildProcess) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;

async function benchAdoption(url: string): Promise<void> {
  const client = await signUp(url, 'bench-router');
  const [router_port, bridge_port] = [await findFreePort(), await findFreePort()];
  const rsc = path.join(state_dir, 'empty.rsc');
  await startProgram(
    ['simulate', '--port', String(router_port), '--user', 'r', '--password-env', 'RP', '--state', rsc],
    { RP: password },
  );
  const bridge = unwrap(
    await client.POST('/api/v1/bridges', { body: { name: 'b', url: `http://127.0.0.1:${bridge_port}` } }),
  );
  const { token } = unwrap(await client.POST('/api/v1/bridges/{id}/enroll', { params: { path: { id: bridge.id } } }));
  const bridge_state = path.join(state_dir, 'bridge');
  const enrol = ['bridge/main.ts', 'enroll', '--url', url, '--state', bridge_state];
  await once(
    spawn(process.execPath, enrol, { env: { ...process.env, RUKUN_ENROLMENT_TOKEN: token }, stdio: 'ignore' }),
    'exit',
  );
  const daemon = await startProgram(['run', '--port', String(bridge_port), '--state', bridge_state]);
  const access = { host: '127.0.0.1', port: router_port, username: 'r', password };
  const router = unwrap(await client.POST('/api/v1/routers', { body: { name: 'r', ...access } }));
  const idle = memoryOf(daemon);
  const began = performance.now();
  await importSecrets(client, 1000, router.id);
  const imported = performance.now();
  const list = { params: { query: { action: 'apply', per_page: 1 } } };
  for (;;) {
    const { data } = await client.GET('/api/v1/audit-logs', list);
    if ((data?.meta.total ?? 0) >= 1000) break;
    await sleep(50);
  }
  say(`\nimport of 1000 secrets, upload to last customer: ${Math.round(imported - began)} ms`);
  say(
    `… and until the router confirmed them all (an empty one: 1000 secrets made): ${Math.round(performance.now() - began)} ms`,
  );
  say(`memory of the bridge: ${Math.round(idle)} MB idle, ${Math.round(memoryOf(daemon))} MB after 1000 secrets`);
}

buildWorker(path.join(state_dir, 'build'));
const worker = await serveWorker({
  build_dir: path.join(state_dir, 'build'),
  port: await findFreePort(),
  pool_size: 2,
  bindings: { ...(await makeSecrets()), SIGNUP: 'open', ALLOW_LOOPBACK_BRIDGE: 'yes' },
  onLog: line => {
    const entry = line.startsWith('{') ? (JSON.parse(line) as LogLine) : {};
    if (entry.request_id) log.set(entry.request_id, entry);
  },
});
async function benchPrints(): Promise<void> {
  say('\nprinting a router with 2,000 secrets: rows, commands, bytes');
  for (const { what, rows, commands, bytes } of await measureSecretPrints(2000))
    say(`  ${what.padEnd(32)} ${rows} ${commands} ${bytes}`);
}

/** Programs of their own, since each looks at a process by itself. */
async function runProgram(file: string, ...args: string[]): Promise<void> {
  say(`\n${file} ${args.join(' ')}`);
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  await once(child, 'exit');
}

try {
  await benchReads(worker.url);
  await benchAdoption(worker.url);
  await benchPrints();
  await runProgram('scripts/bench-routers.ts');
  await runProgram('bridge/test/fuzz.ts', '--seconds', '10');
  await runProgram('bridge/test/memory-check.ts');
} finally {
  for (const child of children) child.kill();
  await worker.stop();
  rmSync(state_dir, { recursive: true });
}
