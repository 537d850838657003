import './quiet-env.ts';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { unwrap, type RukunClient } from '../client/index.ts';
import type { Order, Report } from './bench-live-sockets.ts';
import { cpuOf, findWorkerds, memoryOf } from './process-cost.ts';
import { BenchNetwork, importSecrets } from './bench-network.ts';
import { makeRouterExport } from './demo-isp.ts';
import { findFault, proveCheck, readSeq, Tally } from './live-tally.ts';

/**
 * `node scripts/bench-live.ts [--sockets 10,1000,5000] [--receivers 1] [--writes 100] [--deflate] [--proxied]` (a part
 * of `npm run bench`): how long a change takes to reach everybody who looks on, how many events a second a provider's
 * hub hands out, what it costs when all come back at once, and workerd's memory. All sockets are one admin's; each is
 * checked to have got each event once and in order.
 */

const { values: options } = parseArgs({
  options: {
    sockets: { type: 'string', default: '10,1000,5000' },
    receivers: { type: 'string', default: '1' },
    writes: { type: 'string', default: '100' },
    events: { type: 'string', default: '500' },
    deflate: { type: 'boolean', default: false },
    proxied: { type: 'boolean', default: false },
  },
});
const [WRITES, EVENTS, RECEIVERS] = [Number(options.writes), Number(options.events), Number(options.receivers)];
const AT_ONCE = 32;
const PATIENCE_MS = 180_000;

const say = (line: string) => process.stdout.write(`${line}\n`);
const now = () => performance.timeOrigin + performance.now();
const rank = (sorted: ArrayLike<number>, share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!; // prettier-ignore
const sort = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const ms = (value: number) => (Math.abs(value) < 10 ? value.toFixed(1) : String(Math.round(value)));
const count = (value: number) => Math.round(value).toLocaleString('en');

/** The processes that hold the sockets. */
class Receivers {
  readonly #children: ChildProcess[];

  constructor(amount: number) {
    const file = path.join(import.meta.dirname, 'bench-live-sockets.ts');
    this.#children = Array.from({ length: amount }, () => fork(file, { serialization: 'advanced' }));
  }

  get amount(): number {
    return this.#children.length;
  }

  async #ask(make: (index: number) => Order): Promise<(Report | null)[]> {
    return await Promise.all(
      this.#children.map(async (child, index) => {
        const ended = new AbortController();
        const answered = once(child, 'message', { signal: ended.signal });
        child.once('exit', () => ended.abort(new Error('a receiver ended')));
        child.send(make(index));
        const [report] = (await answered) as [Report | null];
        child.removeAllListeners('exit');
        return report;
      }),
    );
  }

  async open(url: string, token: string, sockets: number, since?: number): Promise<void> {
    const share = (index: number) => Math.floor((sockets + index) / this.amount);
    const rest = { url, token, at_once: AT_ONCE, deflate: options.deflate, ...(since !== undefined && { since }) };
    await this.#ask(index => ({ order: 'open', sockets: share(index), ...rest }));
  }

  /** Counts from here. */
  mark = () => this.#ask(() => ({ order: 'mark' }));
  close = () => this.#ask(() => ({ order: 'close' }));

  /** Once all have got that event. */
  async wait(seq: number): Promise<Outcome> {
    const reports = (await this.#ask(() => ({ order: 'wait', seq, patience_ms: PATIENCE_MS }))) as Report[];
    return {
      last_at: Float64Array.from(reports.flatMap(({ last_at }) => [...last_at])).sort(),
      opened_at: Float64Array.from(reports.flatMap(({ opened_at }) => [...opened_at])).sort(),
      first_at: Math.min(...reports.map(({ first_at }) => first_at || Infinity)),
      told: reports.flatMap(({ told }) => told),
      cpu_s: reports.reduce((total, { cpu_s }) => total + cpu_s, 0),
      closed: JSON.stringify(reports.map(({ closed }) => closed)),
    };
  }

  end(): void {
    for (const child of this.#children) child.kill();
  }
}

type Outcome = Omit<Report, 'closed'> & { closed: string };

/** One more socket: it knows which seq a change got. */
class Observer {
  last = 0;
  readonly #socket: WebSocket;
  readonly #seqs = new Map<string, number>();
  readonly #waiting = new Map<string, (seq: number) => void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (frame: Buffer) => this.#take(frame));
  }

  static async open(url: string, token: string): Promise<Observer> {
    const observer = new Observer(openSocket(url, token));
    await once(observer.#socket, 'open');
    return observer;
  }

  #take(frame: Buffer): void {
    const seq = readSeq(frame);
    if (seq === null) return;
    this.last = seq;
    const { data } = JSON.parse(frame.toString()) as { data: { notes?: string } };
    if (!data.notes) return;
    this.#seqs.set(data.notes, seq);
    this.#waiting.get(data.notes)?.(seq);
  }

  async seqOf(notes: string): Promise<number> {
    const seq = this.#seqs.get(notes);
    if (seq !== undefined) return seq;
    const late = AbortSignal.timeout(PATIENCE_MS);
    return new Promise((resolve, reject) => {
      this.#waiting.set(notes, resolve);
      late.onabort = () => reject(new Error(`no event tells of ${notes}`));
    });
  }

  close(): void {
    this.#socket.close();
  }
}

function openSocket(url: string, token: string, query = ''): WebSocket {
  return new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws${query}`, ['rukun.v1', `bearer.${token}`], {
    perMessageDeflate: false,
  });
}

/** What there is between two seqs as a replay tells it: from the database, whatever sockets got live. */
async function replay(url: string, token: string, since: number, until: number): Promise<Tally> {
  const tally = new Tally();
  const socket = openSocket(url, token, `?since=${since}`);
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', code => reject(new Error(`a replay was closed with ${code}`)));
    socket.on('message', (frame: Buffer) => {
      const seq = readSeq(frame);
      if (seq !== null && seq <= until) tally.add(seq);
      if (seq !== null && seq >= until) resolve();
    });
  });
  socket.removeAllListeners('close').close();
  return tally;
}

/** A provider with customers, and somebody who looks on. */
interface Stage {
  network: BenchNetwork;
  workerd: number;
  receivers: Receivers;
  client: RukunClient;
  token: string;
  observer: Observer;
  customers: string[];
}

let notes_made = 0;

async function writeNote({ client, customers }: Stage): Promise<string> {
  const id = customers[notes_made % customers.length]!;
  const notes = `note ${++notes_made}`;
  unwrap(await client.PUT('/api/v1/customers/{id}', { params: { path: { id } }, body: { notes } }));
  return notes;
}

/** The seq of a change that is made now: all that was committed before has a lower one. */
const writeLast = async (stage: Stage) => stage.observer.seqOf(await writeNote(stage));

let faults = 0;

async function check({ network, token }: Stage, got: Outcome, since: number, until: number): Promise<Tally> {
  const wanted = await replay(network.url, token, since, until);
  const wrong = got.told.flatMap(told => findFault(told, wanted) ?? []);
  if (wrong.length > 0)
    say(`  WRONG: ${wrong.length} of ${got.told.length} sockets, e.g. ${wrong[0]}; closed: ${got.closed}`);
  faults += wrong.length;
  return wanted;
}

async function measureCommits(stage: Stage): Promise<void> {
  const { receivers, observer } = stage;
  const since = await writeLast(stage);
  await receivers.wait(since);
  await receivers.mark();
  const samples: Record<string, number[]> = {};
  const note = (what: string, value: number) => (samples[what] ??= []).push(value);
  let got: Outcome | null = null;
  for (let at = 0; at < WRITES; at++) {
    const sent = now();
    const notes = await writeNote(stage);
    const answered = now();
    got = await receivers.wait(await observer.seqOf(notes));
    note('answer', answered - sent);
    for (const [from, what] of [
      [sent, 'sent'],
      [answered, 'answered'],
    ] as const)
      // prettier-ignore
      for (const [who, share] of [['first', 0], ['median', 0.5], ['last', 1]] as const) // prettier-ignore
        note(`${what} ${who}`, rank(got.last_at, share) - from);
    await sleep(5);
  }
  await check(stage, got!, since, observer.last);
  const cell = (what: string) => {
    const sorted = sort(samples[what]!);
    return `${ms(rank(sorted, 0.5))} / ${ms(rank(sorted, 0.99))}`.padStart(13);
  };
  const row = (what: string) => ['first', 'median', 'last'].map(who => cell(`${what} ${who}`)).join('');
  say(`  commit → socket, ms, p50 / p99 of ${WRITES}        first       median         last`);
  say(`    from sending the request        ${row('sent')}    (its answer: ${cell('answer').trim()})`);
  say(`    from having its answer          ${row('answered')}`);
}

/** All sockets have all that `commitMany` commits, and how fast. */
async function measureFlood(stage: Stage, what: string, commitMany: () => Promise<unknown>): Promise<void> {
  const { receivers, workerd } = stage;
  const since = await writeLast(stage);
  const before = await receivers.wait(since);
  await receivers.mark();
  const began = now();
  const cpu_before = cpuOf(workerd);
  await commitMany();
  const committed = now();
  const until = await writeLast(stage);
  const got = await receivers.wait(until);
  const cpu_s = cpuOf(workerd) - cpu_before;
  const wanted = await check(stage, got, since, until);
  tellFlood(what, got, wanted.count, {
    began,
    committed,
    workerd_s: cpu_s,
    receiver_s: got.cpu_s - before.cpu_s,
    workerd_mb: memoryOf(workerd),
  });
}

interface Spent {
  began: number;
  committed: number;
  workerd_s: number;
  receiver_s: number;
  workerd_mb: number;
}

function tellFlood(what: string, got: Outcome, events: number, spent: Spent): void {
  const messages = events * got.told.length;
  const ended = rank(got.last_at, 1);
  const wall_s = (ended - got.first_at) / 1000;
  say(`  ${what}: ${count(events)} events × ${count(got.told.length)} sockets = ${count(messages)} messages`);
  say(
    `    ${count(messages / wall_s)} messages/s from the first to the last (${wall_s.toFixed(2)} s); committed after ${ms(spent.committed - spent.began)} ms, the last had all after ${ms(ended - spent.began)} ms`,
  );
  say(
    `    CPU: workerd ${((spent.workerd_s * 1e6) / messages).toFixed(1)} µs a message (${Math.round((100 * spent.workerd_s) / wall_s)} %), receivers ${((spent.receiver_s * 1e6) / messages).toFixed(1)} µs (${Math.round((100 * spent.receiver_s) / wall_s / RECEIVERS)} % of a core each); workerd holds ${Math.round(spent.workerd_mb)} MB`,
  );
}

async function writeInParallel(stage: Stage): Promise<void> {
  let left = EVENTS;
  const writer = async () => {
    while (left-- > 0) await writeNote(stage);
  };
  await Promise.all(Array.from({ length: 16 }, writer));
}

let files = 0;

/** Usernames of their own, or nobody would be new. */
const importMany = ({ client }: Stage) =>
  importSecrets(client, makeRouterExport(EVENTS).replaceAll('@melati', `@bulk${++files}`));

async function measureReturn(stage: Stage, sockets: number): Promise<void> {
  const { receivers, workerd, network, token } = stage;
  const since = await writeLast(stage);
  await receivers.wait(since);
  await receivers.close();
  await importMany(stage);
  const until = await writeLast(stage);
  const cpu_before = cpuOf(workerd);
  const began = now();
  await receivers.open(network.url, token, sockets, since);
  const got = await receivers.wait(until);
  const cpu_s = cpuOf(workerd) - cpu_before;
  const { count: events } = await check(stage, got, since, until);
  const [opened, ended] = [rank(got.opened_at, 1) - began, rank(got.last_at, 1) - began];
  const messages = events * sockets;
  say(`  all come back at once, ${count(events)} events missed each: ${count(messages)} messages`);
  say(
    `    all are back after ${ms(opened)} ms; the median has all after ${ms(rank(got.last_at, 0.5) - began)} ms, the last after ${ms(ended)} ms: ${count((messages / ended) * 1000)} messages/s; workerd ${((cpu_s * 1e6) / messages).toFixed(1)} µs CPU a message, and holds ${Math.round(memoryOf(workerd))} MB`,
  );
}

async function measure(network: BenchNetwork, receivers: Receivers, sockets: number): Promise<void> {
  const workerd = findWorkerds()[0]!;
  // a token lives for 15 minutes: a new one each time
  const { client, session } = await network.signIn('bench-live');
  const token = session.access_token;
  const query = { per_page: 100 };
  const customers = unwrap(await client.GET('/api/v1/customers', { params: { query } })).map(({ id }) => id);
  const memory_before = memoryOf(workerd);
  const observer = await Observer.open(network.url, token);
  const stage: Stage = { network, workerd, receivers, client, token, observer, customers };
  const [began, cpu_before] = [now(), cpuOf(workerd)];
  await receivers.open(network.url, token, sockets);
  const [took, cpu_s] = [now() - began, cpuOf(workerd) - cpu_before];
  say(
    `\n${count(sockets)} sockets: opened in ${ms(took)} ms (${((cpu_s * 1e3) / sockets).toFixed(2)} ms CPU of workerd each); workerd holds ${Math.round(memory_before)} MB without, ${Math.round(memoryOf(workerd))} MB with them`,
  );
  await measureCommits(stage);
  if (sockets >= 1000) {
    await measureFlood(stage, `${EVENTS} writes, 16 on their way at once`, () => writeInParallel(stage));
    await measureFlood(stage, `an import of ${EVENTS}`, () => importMany(stage));
    await measureReturn(stage, sockets);
  }
  await receivers.close();
  observer.close();
}

proveCheck();
const network = await BenchNetwork.start(1, undefined, { direct: !options.proxied });
const receivers = new Receivers(RECEIVERS);
try {
  const client = await network.signUp('bench-live');
  await importSecrets(client, makeRouterExport(100));
  for (const sockets of options.sockets.split(',').map(Number)) await measure(network, receivers, sockets);
  if (faults > 0) throw new Error(`${faults} sockets didn't get what they should`);
} finally {
  receivers.end();
  await network.stop();
}
