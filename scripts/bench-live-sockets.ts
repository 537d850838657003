import { WebSocket } from 'ws';
import { readSeq, Tally } from './live-tally.ts';

/** A part of bench-live.ts: a process of its own that holds sockets and notes what each gets, and when. */

export interface OpenOrder {
  order: 'open';
  url: string;
  token: string;
  sockets: number;
  /** Replays what came after. */
  since?: number;
  /** Upgrades on their way at once. */
  at_once: number;
  /** Offers compression, as browsers do. */
  deflate: boolean;
}

/** Answered once each socket has got that seq, or patience ends. */
export interface WaitOrder {
  order: 'wait';
  seq: number;
  patience_ms: number;
}

export type Order = OpenOrder | WaitOrder | { order: 'mark' } | { order: 'close' };

/** Times are those of the clock that all processes share; ms. */
export interface Report {
  /** When each socket got its newest. */
  last_at: Float64Array;
  /** When the first of all came since the mark. */
  first_at: number;
  opened_at: Float64Array;
  told: { count: number; hash: number; disorder: number }[];
  /** Since this process began; seconds. */
  cpu_s: number;
  closed: Record<string, number>;
}

const now = () => performance.timeOrigin + performance.now();
const answer = (report: Report | null) => process.send!(report);

let sockets: WebSocket[] = [];
let tallies: Tally[] = [];
let last_at = new Float64Array();
let opened_at = new Float64Array();
let first_at = 0;
let closed: Record<string, number> = {};
let waiting: { seq: number; left: number; alarm: NodeJS.Timeout } | null = null;

function settle(is_late = false): void {
  if (!waiting || (waiting.left > 0 && !is_late)) return;
  clearTimeout(waiting.alarm);
  waiting = null;
  const { user, system } = process.cpuUsage();
  const told = tallies.map(({ count, hash, disorder }) => ({ count, hash, disorder }));
  answer({ last_at, first_at, opened_at, told, cpu_s: (user + system) / 1e6, closed });
}

function take(index: number, frame: Buffer): void {
  const seq = readSeq(frame);
  if (seq === null) return;
  const at = now();
  const tally = tallies[index]!;
  const was_behind = waiting !== null && tally.last < waiting.seq;
  tally.add(seq);
  last_at[index] = at;
  first_at ||= at;
  if (was_behind && seq >= waiting!.seq) waiting!.left--;
  settle();
}

function openOne({ url, token, since, deflate }: OpenOrder, index: number): Promise<void> {
  const target = `${url.replace('http', 'ws')}/api/v1/ws${since === undefined ? '' : `?since=${since}`}`;
  const socket = new WebSocket(target, ['rukun.v1', `bearer.${token}`], {
    perMessageDeflate: deflate,
    skipUTF8Validation: true,
  });
  sockets[index] = socket;
  tallies[index] = new Tally();
  socket.on('message', (frame: Buffer) => take(index, frame));
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      opened_at[index] = now();
      resolve();
    });
    socket.once('close', code => (closed[code] = (closed[code] ?? 0) + 1));
    socket.on('error', reject);
  });
}

async function openAll(order: OpenOrder): Promise<void> {
  [sockets, tallies, closed, first_at] = [[], [], {}, 0];
  [last_at, opened_at] = [new Float64Array(order.sockets), new Float64Array(order.sockets)];
  let next = 0;
  const openInTurn = async () => {
    while (next < order.sockets) await openOne(order, next++);
  };
  await Promise.all(Array.from({ length: order.at_once }, openInTurn));
  answer(null);
}

/** Says goodbye; who gets no answer to that hangs up. */
async function closeAll(): Promise<void> {
  const alarm = setTimeout(() => sockets.forEach(socket => socket.terminate()), 5000);
  await Promise.all(
    sockets.map(socket => {
      if (socket.readyState === WebSocket.CLOSED) return null;
      const gone = new Promise(resolve => socket.once('close', resolve));
      socket.close();
      return gone;
    }),
  );
  clearTimeout(alarm);
  answer(null);
}

process.on('message', (message: Order) => {
  if (message.order === 'open') void openAll(message);
  else if (message.order === 'close') void closeAll();
  else if (message.order === 'mark') {
    first_at = 0;
    for (let at = 0; at < tallies.length; at++) [tallies[at]!.count, tallies[at]!.hash] = [0, 0];
    answer(null);
  } else {
    const { seq, patience_ms } = message;
    const alarm = setTimeout(() => settle(true), patience_ms);
    waiting = { seq, left: tallies.filter(({ last }) => last < seq).length, alarm };
    settle();
  }
});
process.on('disconnect', () => process.exit());
