import './quiet-env.ts';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRukunClient, signIn, unwrap } from '../client/index.ts';
import { makePassword } from './demo.ts';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker, WIDE_LIMITS, type LocalWorker } from './local-worker.ts';
import { cpuOf, findWorkerds } from './process-cost.ts';

/**
 * What the limiter adds to a request: the built Worker against the same Worker that asks nobody, in alternation, with a read
 * and a write. CPU is that of workerd, Durable Objects and databases included.
 */

const ROUNDS = 12;
const REQUESTS = 400;
const AT_ONCE = 8;
const say = (line: string) => process.stdout.write(`${line}\n`);

/** Where the Worker asks; and a limiter that everybody passes, at no cost. */
const ASKS = /soon\(limiter\.ask\(\{ caller, counts(: \w+)?, now \}\)\)/;
const NOBODY =
  '(limiter, Promise.resolve({ admitted: true, refused_by: null, retry_after_ms: 0, policies: [], counted_at: now, blocks: [], tokens_valid_from: 0, unreported: [] }))';

interface Side {
  name: string;
  worker: LocalWorker;
  workerd: number;
  headers: Record<string, string>;
  zone: string;
}

async function startSide(name: string, folder: string, has_limiter: boolean): Promise<Side> {
  const build_dir = path.join(folder, name);
  buildWorker(build_dir);
  const bundle = path.join(build_dir, 'worker.js');
  const text = readFileSync(bundle, 'utf8');
  if (!ASKS.test(text)) throw new Error('the bundle asks the limiter in other words: see ASKS');
  if (!has_limiter) writeFileSync(bundle, text.replace(ASKS, NOBODY));
  const known = new Set(safeWorkerds());
  const bindings = {
    ...(await makeSecrets(Date.now())),
    SIGNUP: 'open',
    PASSWORD_COST: '4',
    LOG_REQUESTS: 'no',
    ...WIDE_LIMITS,
  };
  const worker = await serveWorker({ build_dir, port: 0, pool_size: 1, bindings, direct: true });
  const workerd = safeWorkerds().find(pid => !known.has(pid))!;
  const admin = { admin_email: 'a@bench.example', admin_password: makePassword() };
  const options = { url: worker.url, tenant: 'bench' };
  const body = { slug: 'bench', name: 'Bench', admin_name: 'A', ...admin };
  unwrap(await createRukunClient(options).POST('/api/v1/tenants', { body }));
  const { session, client } = await signIn(options, { email: admin.admin_email, password: admin.admin_password });
  const zone = unwrap(await client.POST('/api/v1/zones', { body: { name: 'RW 02' } })).id;
  return { name, worker, workerd, headers: { Authorization: `Bearer ${session.access_token}` }, zone };
}

function safeWorkerds(): number[] {
  try {
    return findWorkerds();
  } catch {
    return [];
  }
}

const ACTS: Record<string, (side: Side, at: number) => Promise<Response>> = {
  'GET /zones/:id': ({ worker, headers, zone }) => fetch(`${worker.url}/api/v1/zones/${zone}`, { headers }),
  'PUT /zones/:id': ({ worker, headers, zone }, at) =>
    fetch(`${worker.url}/api/v1/zones/${zone}`, {
      method: 'PUT',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: `RW ${at}` }),
    }),
};

interface Cost {
  cpu_us: number;
  median_ms: number;
}

let next = 0;

async function measure(side: Side, act: string, at_once: number): Promise<Cost> {
  const times: number[] = [];
  const before = cpuOf(side.workerd);
  let left = REQUESTS;
  const work = async () => {
    while (left-- > 0) {
      const began = performance.now();
      const response = await ACTS[act]!(side, ++next);
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${act}: ${response.status}`);
      times.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: at_once }, work));
  const cpu_us = ((cpuOf(side.workerd) - before) * 1e6) / REQUESTS;
  return { cpu_us, median_ms: times.sort((a, b) => a - b)[times.length >> 1]! };
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

const folder = mkdtempSync(path.join(tmpdir(), 'rukun-door-'));
const sides = [await startSide('with', folder, true), await startSide('without', folder, false)];
try {
  say(`${ROUNDS} rounds of ${REQUESTS} requests each, in alternation; medians`);
  for (const act of Object.keys(ACTS)) {
    // two who write to the same row at once decide anew: one after the other
    const at_once = act.startsWith('PUT') ? 1 : AT_ONCE;
    const costs = new Map(sides.map(side => [side.name, [] as Cost[]]));
    for (const side of sides) await measure(side, act, at_once);
    for (let round = 0; round < ROUNDS; round++)
      for (const side of round % 2 ? sides.toReversed() : sides)
        costs.get(side.name)!.push(await measure(side, act, at_once));
    const [cpu, times] = (['cpu_us', 'median_ms'] as const).map(of =>
      sides.map(side => median(costs.get(side.name)!.map(cost => cost[of]))),
    ) as [number[], number[]];
    say(
      `${act}: workerd ${Math.round(cpu[0]!)} µs CPU with the limiter, ${Math.round(cpu[1]!)} without (× ${(cpu[0]! / cpu[1]!).toFixed(2)}); ` +
        `${times[0]!.toFixed(2)} ms, ${times[1]!.toFixed(2)} without (× ${(times[0]! / times[1]!).toFixed(2)}), ${at_once} at once`,
    );
  }
} finally {
  for (const { worker } of sides) await worker.stop();
  rmSync(folder, { recursive: true });
}
