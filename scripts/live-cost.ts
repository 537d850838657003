import './quiet-env.ts';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { unwrap } from '../client/index.ts';
import { BenchNetwork, importSecrets, median } from './bench-network.ts';
import { makeRouterExport } from './demo-isp.ts';
import type { Invocation } from './local-worker.ts';

/**
 * `node scripts/live-cost.ts` (a part of `npm run bench`): what a day of ten open dashboards costs at Cloudflare's list
 * prices. How often each thing that happens wakes the hub, and for how long, is counted; how often it happens is assumed.
 */

const HUB = 'TenantHub';
const DASHBOARDS = 10;
const HOURS = 12;
/** Beyond what the plan includes; US$. */
const PRICES = { request: 0.15e-6, gb_s: 12.5e-6 };
const MEMORY_GB = 0.128;
/** An object sleeps after ten seconds of rest. Cloudflare bills none of them, says its documentation. */
const REST_S = 10;
/** Incoming messages are billed as a twentieth of a request. */
const MESSAGES_A_REQUEST = 20;

const say = (line: string) => process.stdout.write(`${line}\n`);

let invocations: Invocation[] = [];

function note(line: string): void {
  if (!line.includes('"invoked"')) return;
  invocations.push(JSON.parse(line) as Invocation);
}

/** What one of them makes the hub do: the average of some, with a rest after each, so that none rides with another. */
interface Cost {
  what: string;
  wakes: number;
  /** As billed. */
  requests: number;
  /** How long it took from outside, where the hub was woken: it can't have run for longer. */
  active_ms: number;
  invoked: string;
}

/** Not counted: it comes a quarter of an hour later. */
const ALARM: Cost = { what: 'an alarm', wakes: 1, requests: 1, active_ms: 5, invoked: '1 × alarm' };

const REPEATS = 10;
const isMessage = ({ invoked }: Invocation) => invoked === 'message' || invoked === 'close';

async function count(what: string, act: (at: number) => Promise<unknown>): Promise<Cost> {
  await sleep(500);
  invocations = [];
  const times: number[] = [];
  for (let at = 0; at < REPEATS; at++) {
    const began = performance.now();
    await act(at);
    times.push(performance.now() - began);
    await sleep(300);
  }
  const of_hub = invocations.filter(({ entrypoint }) => entrypoint === HUB);
  const messages = of_hub.filter(isMessage).length;
  const kinds = Object.entries(Object.groupBy(of_hub, ({ invoked }) => invoked));
  return {
    what,
    wakes: of_hub.length / REPEATS,
    requests: (of_hub.length - messages + messages / MESSAGES_A_REQUEST) / REPEATS,
    active_ms: of_hub.length > 0 ? median(times) : 0,
    invoked: kinds.map(([kind, list]) => `${list!.length / REPEATS} × ${kind}`).join(', ') || 'nothing',
  };
}

async function openSocket(url: string, token: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws`, ['rukun.v1', `bearer.${token}`]);
  await once(socket, 'open');
  return socket;
}

async function countAll(network: BenchNetwork): Promise<{ cost: Cost; a_day: number; why: string }[]> {
  const client = await network.signUp('live-cost');
  await importSecrets(client, makeRouterExport(20));
  const { session } = await network.signIn('live-cost');
  const token = session.access_token;
  const customers = unwrap(await client.GET('/api/v1/customers', { params: { query: { per_page: 20 } } }));
  const sockets: WebSocket[] = [];
  for (let at = 0; at < DASHBOARDS; at++) sockets.push(await openSocket(network.url, token));
  const answer = (socket: WebSocket, message: string) => {
    const answered = once(socket, 'message');
    socket.send(message);
    return answered;
  };
  const ping = await count('each sends a ping', () => Promise.all(sockets.map(socket => answer(socket, 'ping'))));
  const auth = await count('a fresh token', at => answer(sockets[at]!, JSON.stringify({ type: 'auth', token })));
  const commit = await count('a commit', async at => {
    const { id } = customers[at]!;
    const seen = Promise.all(sockets.map(socket => once(socket, 'message')));
    unwrap(await client.PUT('/api/v1/customers/{id}', { params: { path: { id } }, body: { notes: `at ${at}` } }));
    await seen;
  });
  const read = await count('a page is read', () => client.GET('/api/v1/customers'));
  const sweep = await count('a sweep', () => network.runCrons());
  const visit = await count('comes and goes', async () => {
    const socket = await openSocket(network.url, token);
    socket.close();
    await once(socket, 'close');
  });
  const rest = await count('a second of rest', () => sleep(1000));
  const tokens_a_day = Math.ceil((DASHBOARDS * HOURS * 60) / 14);
  return [
    { cost: visit, a_day: DASHBOARDS * 5, why: 'each five times' },
    { cost: ping, a_day: HOURS * 120, why: 'every 30 s' },
    { cost: auth, a_day: tokens_a_day, why: 'each every 14 minutes' },
    { cost: ALARM, a_day: tokens_a_day, why: 'assumed: one for each token that could end' },
    { cost: commit, a_day: 2000, why: 'of a provider with some thousand customers' },
    { cost: read, a_day: 20_000, why: 'what dashboards read' },
    { cost: sweep, a_day: 288, why: 'every five minutes, day and night' },
    { cost: rest, a_day: 86_400, why: '' },
  ];
}

const network = await BenchNetwork.start(1, note, { direct: true, trace: true });
try {
  const rows = await countAll(network);
  say(
    `ten dashboards, open ${HOURS} hours a day: what happens, how often a day, what of the hub each time (counted, of ${REPEATS}), how long (at most)`,
  );
  for (const { cost, a_day, why } of rows)
    say(
      `  ${cost.what.padEnd(20)} ${String(a_day).padStart(5)}  ${cost.invoked.padEnd(28)} ${cost.active_ms.toFixed(1).padStart(6)} ms  ${why}`,
    );
  const sum = (of: (row: (typeof rows)[number]) => number) => rows.reduce((total, row) => total + of(row), 0);
  const requests = sum(({ cost, a_day }) => cost.requests * a_day);
  const wakes = sum(({ cost, a_day }) => cost.wakes * a_day);
  const active_s = sum(({ cost, a_day }) => (cost.active_ms / 1000) * a_day);
  const awake_s = Math.min(86_400, active_s + wakes * REST_S);
  const a_month = (seconds: number) => 30 * (requests * PRICES.request + seconds * MEMORY_GB * PRICES.gb_s);
  say(
    `  ${Math.round(requests)} requests to the hub a day as billed (20 messages are one), ${Math.round(wakes)} wake-ups`,
  );
  say(
    `  it runs for ${active_s.toFixed(1)} s a day at most, and Cloudflare says that rest isn't billed: US$ ${a_month(active_s).toFixed(4)} a month at list prices`,
  );
  say(
    `  at worst, ${REST_S} s of rest billed after each wake-up: ${Math.round(awake_s)} s a day, US$ ${a_month(awake_s).toFixed(2)} a month`,
  );
} finally {
  await network.stop();
}
