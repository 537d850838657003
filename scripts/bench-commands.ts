import './quiet-env.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap, type RukunClient } from '../client/index.ts';
import {
  BenchNetwork,
  importSecrets,
  median,
  waitForEntries,
  type Applied,
  type BenchBridge,
} from './bench-network.ts';
import { makeRouterExport } from './demo-isp.ts';

/**
 * `node scripts/bench-commands.ts` (a part of `npm run bench`): what bringing a router to what it must hold costs, in
 * commands sent to it; and how long a session outlives its suspension, as a ratio to reading one customer.
 */

const SUSPENSIONS = 15;
const say = (line: string) => process.stdout.write(`${line}\n`);

const sum = (applied: readonly Applied[], of: 'commands_sent' | 'entries') =>
  applied.reduce((total, each) => total + each[of], 0);

/** What the applies cost that came of it. */
async function tell(what: string, bridge: BenchBridge, run: () => Promise<void>): Promise<void> {
  const before = bridge.applied.length;
  await run();
  const applied = bridge.applied.slice(before);
  const calls = `${applied.length} ${applied.length === 1 ? 'call' : 'calls'}`;
  say(`  ${what.padEnd(48)} ${sum(applied, 'commands_sent')} commands, ${sum(applied, 'entries')} entries in ${calls}`);
}

const listCustomers = async (client: RukunClient) =>
  unwrap(await client.GET('/api/v1/customers', { params: { query: { status: 'active', per_page: 100 } } }));

async function measureCommands(network: BenchNetwork): Promise<void> {
  const client = await network.signUp('bench-commands');
  const router = await network.startRouter('/ip pool\nadd name=pool-pppoe ranges=10.10.0.2-10.10.7.254\n');
  const bridge = await network.startBridge(client);
  const id = await network.addRouter(client, 'r', router.port);
  const by_id = { params: { path: { id } } };
  say('commands sent to a router');
  await tell('1,000 customers made', bridge, async () => {
    await importSecrets(client, makeRouterExport(1000), id);
    await waitForEntries(client, 1000);
  });
  await importSecrets(client, makeRouterExport(2000), id);
  await waitForEntries(client, 2000);
  await tell('2,000 secrets looked at, nothing to do (drift)', bridge, async () => {
    unwrap(await client.GET('/api/v1/routers/{id}/drift', by_id));
  });
  await tell('2,000 secrets applied anew, nothing to do', bridge, async () => {
    for (const is_active of [false, true])
      unwrap(await client.PUT('/api/v1/routers/{id}', { ...by_id, body: { is_active } }));
    await sleep(500);
    await waitForEntries(client, 2000);
  });
  const [first] = await listCustomers(client);
  const one = { params: { path: { id: first!.id } } };
  await tell('one of 2,000 suspended', bridge, async () => {
    unwrap(await client.POST('/api/v1/customers/{id}/suspend', { ...one, body: {} }));
    await sleep(300);
    await waitForEntries(client, 2000);
  });
  await tell('one of 2,000 compared (drift of a customer)', bridge, async () => {
    unwrap(await client.GET('/api/v1/customers/{id}/drift', one));
  });
  await measureSuspensions(client, router.control_url);
}

async function measureSuspensions(client: RukunClient, control_url: string): Promise<void> {
  const isOnline = async (name: string) => {
    const rows = (await (await fetch(`${control_url}/rows?menu=/ppp/active`)).json()) as { name: string }[];
    return rows.some(row => row.name === name);
  };
  const [reads, drops]: [number[], number[]] = [[], []];
  for (const { id, pppoe_username } of (await listCustomers(client)).slice(0, SUSPENSIONS)) {
    const dialled = await fetch(`${control_url}/dial`, {
      method: 'POST',
      body: JSON.stringify({ name: pppoe_username }),
    });
    if (!dialled.ok) throw new Error(await dialled.text());
    const one = { params: { path: { id } } };
    let began = performance.now();
    unwrap(await client.GET('/api/v1/customers/{id}', one));
    reads.push(performance.now() - began);
    began = performance.now();
    unwrap(await client.POST('/api/v1/customers/{id}/suspend', { ...one, body: {} }));
    while (await isOnline(pppoe_username!)) await sleep(2);
    drops.push(performance.now() - began);
  }
  const [read, drop] = [median(reads), median(drops)];
  say(`from the call that suspends to the dropped session, median of ${drops.length}: ${Math.round(drop)} ms`);
  say(`  (${(drop / read).toFixed(1)} × reading a customer, ${read.toFixed(1)} ms)`);
}

const network = await BenchNetwork.start(1);
try {
  await measureCommands(network);
} finally {
  await network.stop();
}
