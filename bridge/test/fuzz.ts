/**
 * Throws broken bytes of real conversations at the decoder and at live connections.
 * `node bridge/test/fuzz.ts [--seconds 30] [--seed N] [--cases N]`; a failure names the seed that brings it again.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { inspect, parseArgs } from 'node:util';
import { decodeText, encodeSentence, ProtocolError, readAttributes, SentenceDecoder } from '../routeros/codec.ts';
import { RouterConnection, RouterError } from '../routeros/connection.ts';
import { startSimulator } from '../simulator/server.ts';

const PASSWORD = 'router-Pa55word-7731';
const COMMAND_TIMEOUT_MS = 40;
/** Far above what the time limits of a connection add up to, also on a machine that stands still now and then. */
const HANG_MS = 60_000;
const LANES = 24;

type Random = (below: number) => number;

/** mulberry32: small, and the same everywhere. */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const SCRIPT = `/ip pool add name=rumah ranges=10.10.0.10-10.10.0.250
/ppp profile add name=paket-10m local-address=10.10.0.1 remote-address=rumah rate-limit=5M/10M
${Array.from({ length: 12 }, (_, at) => `/ppp secret add name=user-${at} password=x profile=paket-10m comment="a = b ${at}"`).join('\n')}
/ppp secret add name=panjang password=x comment="${'kata '.repeat(60)}"
`;

/** The same commands each time, so that the tags of a recorded conversation fit. */
function converse(connection: RouterConnection): Promise<unknown>[] {
  return [
    connection.print('/ppp/secret', { proplist: ['.id', 'name', 'comment'] }),
    connection.print('/ppp/secret'),
    connection.print('/ppp/secret', { count_only: true }),
    connection.add('/ppp/secret', { name: 'baru', password: 'rahasia-sekali' }),
    connection.add('/ppp/secret', { name: 'baru', password: 'rahasia-sekali' }),
    connection.set('/ppp/secret', '*1', { disabled: 'yes' }),
    connection.set('/ppp/secret', '*FFFF', { disabled: 'yes' }),
    connection.unset('/ppp/secret', '*1', 'comment'),
    connection.remove('/ppp/secret', '*2'),
    connection.print('/ppp/secret', { query: ['?name=nobody'] }),
    connection.print('/ppp/active', { proplist: ['name'] }),
    connection.run('/no/such/thing'),
    connection.listen('/ppp/secret', () => undefined),
    connection.print('/system/resource'),
    connection.print('/queue/simple', { proplist: ['name'] }),
    connection.set('/ppp/profile', '*0', { 'only-one': 'maybe' }),
    connection.print('/interface', { proplist: ['name', 'rx-byte'] }),
    connection.print('/system/identity', { proplist: ['name'] }),
  ];
}

export interface Conversation {
  sign_in: Buffer;
  rest: Buffer;
}

/** What real (simulated) routers say to all that, old and new. */
export async function recordConversations(): Promise<Conversation[]> {
  const conversations: Conversation[] = [];
  for (const version of ['6.48', '7.16', '7.18']) {
    const simulator = await startSimulator({ port: 0, username: 'rukun', password: PASSWORD, version });
    simulator.router.load(SCRIPT);
    simulator.router.dial('user-3');
    const said: Buffer[] = [];
    const recorder = createServer(near => {
      const far = connect(simulator.port, '127.0.0.1', () => near.pipe(far));
      far.on('data', (chunk: Buffer) => {
        said.push(chunk);
        near.write(chunk);
      });
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.on('close', () => far.destroy());
    });
    const port = await listen(recorder);
    const connection = await RouterConnection.open({ host: '127.0.0.1', port, username: 'rukun', password: PASSWORD });
    const sign_in = Buffer.concat(said.splice(0));
    await Promise.allSettled(converse(connection));
    await connection.close();
    conversations.push({ sign_in, rest: Buffer.concat(said) });
    await new Promise(resolve => recorder.close(resolve));
    await simulator.stop();
  }
  return conversations;
}

const RESERVED_AND_HUGE = [
  'f8',
  'ff',
  'f0ffffffff',
  'efffffff',
  'dfffff',
  'bfff',
  '80',
  'c0',
  'e0',
  'f0',
  '00',
  '0000',
];
const WORDS = [
  '!re',
  '!done',
  '!trap',
  '!fatal',
  '!empty',
  '!',
  '!xyz',
  '.tag=',
  '.tag=3',
  '.tag=99',
  '=',
  '==',
  '=ret=zz',
];

/** One to six wounds: bits, bytes, cuts, repeats, splices, false lengths, strange sentences. */
export function wound(bytes: Buffer, other: Buffer, random: Random): Buffer {
  let wounded = Buffer.from(bytes);
  for (let times = 1 + random(6); times > 0; times--) {
    const at = random(wounded.length + 1);
    const to = Math.min(wounded.length, at + random(random(4) === 0 ? 400 : 12));
    const [before, middle, after] = [wounded.subarray(0, at), wounded.subarray(at, to), wounded.subarray(to)];
    const between = (...parts: Buffer[]) => Buffer.concat([before, ...parts, after]);
    const pick = <T>(things: readonly T[]) => things[random(things.length)] as T;
    switch (random(9)) {
      case 0:
        if (at < wounded.length) wounded[at]! ^= 1 << random(8);
        break;
      case 1:
        wounded = between();
        break;
      case 2:
        wounded = between(middle, ...Array.from({ length: 1 + random(4) }, () => middle));
        break;
      case 3:
        wounded = between(Buffer.from(Array.from({ length: random(40) }, () => random(256))));
        break;
      case 4:
        wounded = between(middle, Buffer.from(pick(RESERVED_AND_HUGE), 'hex'));
        break;
      case 5:
        wounded = between(other.subarray(random(other.length), random(other.length)));
        break;
      case 6:
        wounded = between(
          middle,
          Buffer.from(encodeSentence(Array.from({ length: 1 + random(4) }, () => pick(WORDS)))),
        );
        break;
      case 7:
        wounded = Buffer.concat([after, middle, before]);
        break;
      default:
        wounded = Buffer.from(before);
    }
  }
  return wounded.subarray(0, 200_000);
}

/** At most some hundred pieces: the small ones are somewhere in the midst of large ones. */
function cut(bytes: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = [];
  const most = [1, 3, 50, 1448, 100_000][random(5)] as number;
  const small_from = random(bytes.length + 1);
  for (let at = 0; at < bytes.length;) {
    const is_small = at >= small_from && at < small_from + most * 200;
    const size = is_small ? 1 + random(most) : 1 + random(100_000);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Any cutting gives the same sentences and the same end, and what was understood can be said again. */
export function fuzzDecoder(conversations: readonly Conversation[], random: Random): void {
  const pick = () => conversations[random(conversations.length)] as Conversation;
  const start = random(4000);
  const bytes = wound(pick().rest.subarray(start, start + 3000), pick().rest, random);
  const options = { max_word_bytes: 5000, max_sentence_bytes: 20_000, max_sentence_words: 200 };
  const whole = decode([bytes], options);
  const pieces = decode(cut(bytes, random), options);
  if (JSON.stringify(whole) !== JSON.stringify(pieces)) throw new Error('another cutting was understood differently');
  const again = decode([Buffer.concat(whole.sentences.map(words => encodeSentence(words.map(toBytes))))], options);
  if (JSON.stringify(again.sentences) !== JSON.stringify(whole.sentences)) throw new Error('said again, it is another');
}

const toBytes = (hex: string) => Buffer.from(hex, 'hex');

function decode(pieces: readonly Buffer[], options: ConstructorParameters<typeof SentenceDecoder>[0]) {
  const decoder = new SentenceDecoder(options);
  const found: Uint8Array[][] = [];
  let fault: string | null = null;
  for (const piece of pieces) {
    try {
      found.push(...decoder.push(piece));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (fault === null) found.push(...error.sentences);
      fault = error.message;
    }
  }
  for (const words of found) {
    for (const [key, value] of readAttributes(words)) decodeText(Buffer.from(`${key}${value}`));
  }
  return { sentences: found.map(words => words.map(word => Buffer.from(word).toString('hex'))), fault };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

interface Plan {
  sign_in: Buffer;
  pieces: Buffer[];
  /** What the peer does when all is said. */
  end: 'silent' | 'end' | 'destroy';
}

/** A place where one case after another is tried. */
export class Lane {
  readonly #server = createServer(socket => this.#serve(socket));
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #plan: Plan = { sign_in: Buffer.alloc(0), pieces: [], end: 'end' };

  async start(): Promise<void> {
    this.#port = await listen(this.#server);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  /** All promises settle in time, every failure is a RouterError without the password in it. */
  async fuzzConnection(conversations: readonly Conversation[], random: Random): Promise<void> {
    const pick = () => conversations[random(conversations.length)] as Conversation;
    const { sign_in, rest } = pick();
    const is_sign_in_whole = random(8) > 0;
    this.#plan = {
      sign_in: is_sign_in_whole ? sign_in : wound(sign_in, rest, random),
      pieces: cut(wound(rest, pick().rest, random), random),
      end: (['silent', 'end', 'destroy'] as const)[random(3)] ?? 'end',
    };
    const options = { host: '127.0.0.1', port: this.#port, username: 'rukun', password: PASSWORD };
    // where the peer ends it, that alone must settle everything: no timer comes to help
    const command_timeout_ms = this.#plan.end === 'silent' || !is_sign_in_whole ? COMMAND_TIMEOUT_MS : 10 * HANG_MS;
    const limits = { connect_timeout_ms: 2000, command_timeout_ms };
    const opening = RouterConnection.open({ ...options, ...limits, ...(random(2) ? { keepalive_ms: 50 } : {}) });
    const [opened] = await settle([opening]);
    if (opened?.status === 'rejected') return checkFailure(opened.reason);
    const connection = await opening;
    for (const result of await settle(converse(connection))) {
      if (result.status === 'rejected') checkFailure(result.reason);
    }
    await settle([connection.close()]);
    if (!connection.closed) throw new Error('a closed connection says that it is open');
  }

  #serve(socket: Socket): void {
    const { sign_in, pieces, end } = this.#plan;
    this.#sockets.add(socket.setNoDelay(true));
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.once('data', () => {
      socket.write(sign_in);
      socket.once('data', () => {
        for (const piece of pieces) socket.write(piece);
        if (end === 'end') socket.end();
        else if (end === 'destroy') setImmediate(() => socket.destroy());
      });
    });
  }
}

async function settle(promises: readonly Promise<unknown>[]): Promise<PromiseSettledResult<unknown>[]> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('a promise never settled')), HANG_MS);
  });
  try {
    return await Promise.race([Promise.allSettled(promises), hang]);
  } finally {
    clearTimeout(timer);
  }
}

function checkFailure(error: unknown): void {
  if (!(error instanceof RouterError)) throw new Error(`not a RouterError: ${String(error)}`, { cause: error });
  for (const secret of [PASSWORD, 'rahasia-sekali']) {
    if (error.message.includes(secret)) throw new Error(`a password is told: ${error.message}`);
  }
}

export interface FuzzResult {
  decoder_cases: number;
  connection_cases: number;
  /** The seed of the case that failed, and why. */
  failure: { seed: number; error: unknown } | null;
}

/** Case n runs from seed + n. The decoder gets nine tenths of the cases, since it is so much faster. */
export async function fuzz(options: { seed: number; cases: number; until_ms: number }): Promise<FuzzResult> {
  const { seed, cases, until_ms } = options;
  const conversations = await recordConversations();
  const result: FuzzResult = { decoder_cases: 0, connection_cases: 0, failure: null };
  const loose: unknown[] = [];
  const note = (error: unknown) => void loose.push(error);
  process.on('unhandledRejection', note).on('uncaughtException', note);
  const lanes = Array.from({ length: Math.min(LANES, cases) }, () => new Lane());
  await Promise.all(lanes.map(lane => lane.start()));
  let next = 0;
  const runLane = async (lane: Lane) => {
    while (next < cases && performance.now() < until_ms && !result.failure) {
      const case_seed = seed + next++;
      const random = makeRandom(case_seed);
      try {
        if (case_seed % 10 > 0) fuzzDecoder(conversations, random);
        else await lane.fuzzConnection(conversations, random);
        if (loose.length > 0) throw new Error('thrown where nobody could catch it', { cause: loose[0] });
      } catch (error) {
        result.failure ??= { seed: case_seed, error };
      }
      if (case_seed % 10 > 0) result.decoder_cases++;
      else result.connection_cases++;
    }
  };
  await Promise.all(lanes.map(runLane));
  await Promise.all(lanes.map(lane => lane.stop()));
  process.off('unhandledRejection', note).off('uncaughtException', note);
  return result;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: 'string' }, seed: { type: 'string' }, cases: { type: 'string' } },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
  const cases = Number(values.cases ?? Infinity);
  const started_ms = performance.now();
  const until_ms = started_ms + Number(values.seconds ?? 30) * 1000;
  const { decoder_cases, connection_cases, failure } = await fuzz({ seed, cases, until_ms });
  const seconds = (performance.now() - started_ms) / 1000;
  const rss_mb = Math.round(process.memoryUsage().rss / 1e6);
  const rates = [decoder_cases, connection_cases].map(count => `${count} (${Math.round(count / seconds)}/s)`);
  process.stdout.write(`seed ${seed}: decoder ${rates[0]}, connections ${rates[1]}, ${rss_mb} MB\n`);
  if (!failure) return;
  process.stdout.write(`FAILED: node bridge/test/fuzz.ts --cases 1 --seed ${failure.seed}\n`);
  process.stdout.write(`${inspect(failure.error)}\n`);
  process.exitCode = 1;
}

if (process.argv[1] === import.meta.filename) await main();
