import './quiet-env.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap, type RukunClient } from '../client/index.ts';
import { measureSecretPrints } from '../bridge/test/measure-secrets.ts';
import {
  BenchNetwork,
  billMonth,
  importSecrets,
  median,
  nextMonth,
  pricePlans,
  waitForEntries,
} from './bench-network.ts';
import { makeRouterExport } from './demo-isp.ts';

/**
 * `npm run bench`: what reads cost with 10,000 customers (round trips, rows, and time as a ratio to a route that does
 * nothing), how long an import of 1,000 secrets takes from upload to the router's confirmation, the commands sent to
 * routers, what the limiter adds to a request, what one silent router costs the others, the bridge's memory, and what the live socket takes and costs.
 */

const CUSTOMERS = 10_000;
const REPEATS = 30;
const SIGN_UPS = 5;
const say = (line: string) => process.stdout.write(`${line}\n`);

interface LogLine {
  request_id?: string;
  round_trips?: number;
  rows_read?: number;
}
const log = new Map<string, LogLine>();

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

/** A month's invoices and dues, and what some have paid: one of each by its path, with what else has one. */
async function fillMoney(client: RukunClient, customer_ids: readonly string[]): Promise<string[]> {
  await pricePlans(client);
  const job = await billMonth(client, nextMonth());
  const body = { amount: 100_000, payment_method: 'cash' as const };
  for (const id of customer_ids)
    unwrap(
      await client.POST('/api/v1/customers/{id}/payments', {
        params: { path: { id }, header: { 'Idempotency-Key': crypto.randomUUID() } },
        body,
      }),
    );
  const [payment] = unwrap(await client.GET('/api/v1/payments', { params: { query: { status: 'paid' } } }));
  const [invoice] = unwrap(await client.GET('/api/v1/invoices'));
  const [receipt] = unwrap(await client.GET('/api/v1/receipts'));
  const bridge = unwrap(await client.POST('/api/v1/bridges', { body: { name: 'Kantor' } }));
  return [
    `/api/v1/payments/${payment!.id}`,
    `/api/v1/payments/${payment!.id}/receipt`,
    `/api/v1/invoices/${invoice!.id}`,
    `/api/v1/receipts/${receipt!.id}`,
    `/api/v1/jobs/${job.id}`,
    `/api/v1/bridges/${bridge.id}`,
  ];
}

/** One of what a provider has few of, by its path; and the lists of what else there is. */
async function addFew(client: RukunClient): Promise<string[]> {
  const zone = unwrap(await client.POST('/api/v1/zones', { body: { name: 'RW 01' } }));
  const access = { host: '10.0.0.1', username: 'api', password: 'x', is_active: false };
  const router = unwrap(await client.POST('/api/v1/routers', { body: { name: 'Menara', ...access } }));
  const device = unwrap(await client.POST('/api/v1/devices', { body: { device_name: 'OLT', device_type: 'olt' } }));
  const pool = unwrap(
    await client.POST('/api/v1/ip-pools', { body: { router_id: router.id, name: 'p', ranges: '10.0.0.2-10.0.0.9' } }),
  );
  const [user] = unwrap(await client.GET('/api/v1/users'));
  const [done] = unwrap(await client.GET('/api/v1/imports'));
  return [
    `/api/v1/zones/${zone.id}`,
    `/api/v1/routers/${router.id}`,
    '/api/v1/devices',
    `/api/v1/devices/${device.id}`,
    `/api/v1/devices/${device.id}/status`,
    '/api/v1/ip-pools',
    `/api/v1/ip-pools/${pool.id}`,
    `/api/v1/users/${user!.id}`,
    `/api/v1/users/${user!.id}/sessions`,
    '/api/v1/auth/sessions',
    '/api/v1/security/blocks',
    '/api/v1/monitoring/alerts',
    `/api/v1/imports/${done!.id}`,
    `/api/v1/imports/${done!.id}/items`,
    '/api/v1/audit-logs/export?entity_type=zone',
  ];
}

/** With the password's cost of production: it is most of it. */
async function benchSignUps(network: BenchNetwork): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < SIGN_UPS; i++) {
    const began = performance.now();
    await network.register(`bench-sign-up-${i}`);
    times.push(performance.now() - began);
  }
  say(`\na provider signs up (median of ${SIGN_UPS}): ${Math.round(median(times))} ms`);
}

async function benchReads(network: BenchNetwork): Promise<void> {
  const { url } = network;
  const client = await network.signUp('bench-reads');
  const began = performance.now();
  const imported = await importSecrets(client, makeRouterExport(CUSTOMERS));
  say(`import of ${imported} secrets, upload to last customer: ${Math.round(performance.now() - began)} ms`);
  const { session } = await network.signIn('bench-reads');
  const some = unwrap(await client.GET('/api/v1/customers', { params: { query: { page: 500 } } }));
  const [customer] = some;
  const plan = customer!.service_plan_id;
  const of_one = await fillMoney(
    client,
    some.map(({ id }) => id),
  );
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
    ...['payments', 'plan-changes', 'tickets', 'usage'].map(name => `/api/v1/customers/${customer!.id}/${name}`),
    '/api/v1/customers?payment_status=pending',
    '/api/v1/customers?online=true',
    '/api/v1/customers?device_type=onu',
    ...of_one,
    ...(await addFew(client)),
    '/api/v1/provisioning',
    '/api/v1/payments',
    '/api/v1/payments?page=900',
    '/api/v1/payments/stats',
    '/api/v1/receipts',
    '/api/v1/invoices',
    '/api/v1/customers/stats',
    '/api/v1/service-plans?is_active=all',
    `/api/v1/service-plans/${plan}`,
    `/api/v1/service-plans/${plan}/advanced`,
    `/api/v1/service-plans/${plan}/changes`,
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

/** Resident memory in MB, as Linux tells it. */
const memoryOf = (child: ChildProcess) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;

async function benchAdoption(network: BenchNetwork): Promise<void> {
  const client = await network.signUp('bench-router');
  const { port } = await network.startRouter('/ip pool\nadd name=pool-pppoe ranges=10.10.0.2-10.10.7.254\n');
  const { child } = await network.startBridge(client);
  const router_id = await network.addRouter(client, 'r', port);
  const idle = memoryOf(child);
  const began = performance.now();
  await importSecrets(client, makeRouterExport(1000), router_id);
  const imported = performance.now();
  await waitForEntries(client, 1000);
  say(`\nimport of 1000 secrets, upload to last customer: ${Math.round(imported - began)} ms`);
  say(
    `… and until the router confirmed them all (an empty one: 1000 secrets made): ${Math.round(performance.now() - began)} ms`,
  );
  say(`memory of the bridge: ${Math.round(idle)} MB idle, ${Math.round(memoryOf(child))} MB after 1000 secrets`);
}

async function benchPrints(): Promise<void> {
  say('\nprinting a router with 2,000 secrets: rows, commands, bytes');
  for (const { what, rows, commands, bytes } of await measureSecretPrints(2000))
    say(`  ${what.padEnd(32)} ${rows} ${commands} ${bytes}`);
}

const children: ChildProcess[] = [];

/** Programs of their own, since each looks at a process by itself. */
async function runProgram(file: string, ...args: string[]): Promise<void> {
  say(`\n${file} ${args.join(' ')}`);
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${file} failed`);
}

const network = await BenchNetwork.start(2 + SIGN_UPS, line => {
  const entry = line.startsWith('{') ? (JSON.parse(line) as LogLine) : {};
  if (entry.request_id) log.set(entry.request_id, entry);
});
try {
  await benchSignUps(network);
  await benchReads(network);
  await benchAdoption(network);
  await benchPrints();
  await runProgram('scripts/bench-door.ts');
  await runProgram('scripts/bench-billing.ts');
  await runProgram('scripts/bench-commands.ts');
  await runProgram('scripts/bench-routers.ts');
  await runProgram('scripts/bench-live.ts', '--sockets', '10,1000');
  await runProgram('scripts/live-cost.ts');
  await runProgram('bridge/test/fuzz.ts', '--seconds', '10');
  await runProgram('bridge/test/memory-check.ts');
} finally {
  for (const child of children) child.kill();
  await network.stop();
}
