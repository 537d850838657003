import './quiet-env.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap, type RukunClient } from '../client/index.ts';
import { BenchNetwork, billMonth, importSecrets, median, nextMonth, pricePlans } from './bench-network.ts';
import { makeRouterExport } from './demo-isp.ts';

/**
 * `node scripts/bench-billing.ts` (a part of `npm run bench`): what it costs to invoice 10,000 customers, and to take
 * money from one of them, in round trips, statements and rows, as D1 counts them.
 */

const CUSTOMERS = 10_000;
const PAYMENTS = 50;
const say = (line: string) => process.stdout.write(`${line}\n`);

interface Cost {
  request_id?: string;
  job_id?: string;
  duration_ms: number;
  round_trips: number;
  statements: number;
  rows_read: number;
  rows_written: number;
}

const costs = new Map<string, Cost>();

function note(line: string): void {
  const cost = line.startsWith('{') ? (JSON.parse(line) as Cost) : undefined;
  const id = cost?.job_id ?? cost?.request_id;
  if (cost && id) costs.set(id, cost);
}

async function costOf(id: string): Promise<Cost> {
  for (let tries = 0; !costs.has(id) && tries < 200; tries++) await sleep(10);
  const cost = costs.get(id);
  if (!cost) throw new Error(`the Worker's log says nothing of ${id}`);
  return cost;
}

const tell = (what: string, { round_trips, statements, rows_read, rows_written }: Cost, ms: number) =>
  say(
    `  ${what.padEnd(44)} ${round_trips} round trips, ${statements} statements, ${rows_read} rows read, ${rows_written} written, ${Math.round(ms)} ms`,
  );

async function run(client: RukunClient, period: string, what: string): Promise<void> {
  const { id, succeeded } = await billMonth(client, period);
  const cost = await costOf(id);
  tell(`${what}: ${succeeded} invoices`, cost, cost.duration_ms);
}

async function pay(client: RukunClient): Promise<void> {
  const customers = unwrap(await client.GET('/api/v1/customers', { params: { query: { per_page: PAYMENTS } } }));
  const times: number[] = [];
  let last = '';
  for (const { id } of customers) {
    const began = performance.now();
    const answer = await client.POST('/api/v1/customers/{id}/payments', {
      params: { path: { id }, header: { 'Idempotency-Key': crypto.randomUUID() } },
      body: { amount: 100_000, payment_method: 'cash' },
    });
    times.push(performance.now() - began);
    unwrap(answer);
    last = answer.response.headers.get('x-request-id')!;
  }
  tell('a payment at the counter, of a part of a due', await costOf(last), median(times));
}

/** What pages of money cost, with an invoice and a due of each customer there. */
async function readLists({ url }: BenchNetwork, token: string, month: string): Promise<void> {
  const routes = [
    '/payments',
    '/payments?page=900',
    '/payments?status=pending',
    `/payments?period=${month}&page=500`,
    '/payments/stats',
    '/invoices',
    `/invoices?period=${month}`,
    '/receipts',
    '/customers?payment_status=pending',
  ];
  say('pages of ten');
  for (const route of routes) {
    const began = performance.now();
    const response = await fetch(`${url}/api/v1${route}`, { headers: { Authorization: `Bearer ${token}` } });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${route}: ${response.status}`);
    const ms = performance.now() - began;
    tell(route, await costOf(response.headers.get('x-request-id')!), ms);
  }
}

const network = await BenchNetwork.start(1, note);
try {
  const client = await network.signUp('bench-billing');
  await importSecrets(client, makeRouterExport(CUSTOMERS));
  await pricePlans(client);
  const next = nextMonth();
  say(`invoicing ${CUSTOMERS} customers`);
  await run(client, next, 'a month');
  await run(client, next, 'the same month again');
  await pay(client);
  const { session } = await network.signIn('bench-billing');
  await readLists(network, session.access_token, next);
} finally {
  await network.stop();
}
