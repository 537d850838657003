import './quiet-env.ts';
import { createServer, type Socket } from 'node:net';
import { unwrap } from '../client/index.ts';
import { BenchNetwork, listen, median, waitForEntries } from './bench-network.ts';

/**
 * `node scripts/bench-routers.ts` (a part of `npm run bench`): ten routers of which one takes connections and never
 * answers. How long it takes until the nine others hold a new line each, as a ratio to the same with all ten healthy.
 * The ten are one simulated router, each with a plan of its own; the silent one's line is changed first.
 */

const ROUTERS = 10;
const ROUNDS = 3;
const say = (line: string) => process.stdout.write(`${line}\n`);

/** How long it takes until all lines but that of the silent router are confirmed; ms. */
async function measure(network: BenchNetwork, slug: string, silent_port: number | null): Promise<number> {
  const client = await network.signUp(slug);
  // a router takes twenty connections, and a bridge keeps its own: each time there are new ones
  const { port: router_port } = await network.startRouter();
  await network.startBridge(client);
  const customers: string[] = [];
  for (let at = 0; at < ROUTERS; at++) {
    const port = at === 0 && silent_port !== null ? silent_port : router_port;
    const router_id = await network.addRouter(client, `r${at}`, port);
    const speed = { download_kbps: 10_000, upload_kbps: 2000, price: 1 };
    const plan = unwrap(await client.POST('/api/v1/service-plans', { body: { name: `${slug} ${at}`, ...speed } }));
    const line = { pppoe_username: `${slug}-${at}`, pppoe_password: network.password, router_id };
    const person = { full_name: 'Budi', phone: '081234567', address: 'x', service_plan_id: plan.id };
    const customer = unwrap(await client.POST('/api/v1/customers', { body: { ...person, ...line } }));
    customers.push(customer.id);
  }
  const began = performance.now();
  for (const id of customers)
    unwrap(await client.POST('/api/v1/customers/{id}/activate', { params: { path: { id } }, body: {} }));
  await waitForEntries(client, silent_port === null ? ROUTERS : ROUTERS - 1);
  const took_ms = performance.now() - began;
  network.endPrograms();
  return took_ms;
}

const network = await BenchNetwork.start(2 * ROUNDS);
const sockets = new Set<Socket>();
const silence = createServer(socket => void sockets.add(socket.on('error', () => {})));
try {
  const silent_port = await listen(silence);
  const times: Record<'healthy' | 'silent', number[]> = { healthy: [], silent: [] };
  for (let round = 0; round < ROUNDS; round++) {
    times.healthy.push(await measure(network, `healthy-${round}`, null));
    times.silent.push(await measure(network, `silent-${round}`, silent_port));
  }
  const [healthy, silent] = [median(times.healthy), median(times.silent)];
  say(`ten routers, a new line on each, median of ${ROUNDS}:`);
  say(`  all ten healthy, until the ten are confirmed:    ${Math.round(healthy)} ms`);
  say(
    `  one of them silent, until the nine are confirmed: ${Math.round(silent)} ms (${(silent / healthy).toFixed(2)} ×)`,
  );
} finally {
  for (const socket of sockets) socket.destroy();
  silence.close();
  await network.stop();
}
