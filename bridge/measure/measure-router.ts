/** Looks at one router, each in its turn with everything else that is done there. */
import type { RouterAccess, RouterMeasurement } from '../../src/protocol/messages.ts';
import { BridgeFailure, explainRouterError, isRefusal } from '../apply/failure.ts';
import { RouterHold } from '../apply/hold-router.ts';
import { readFacts } from '../apply/probe.ts';
import type { RouterPool } from '../apply/router-pool.ts';
import type { RouterQueue } from '../apply/router-queue.ts';
import { readKind } from '../read/read-router.ts';
import type { RouterConnection } from '../routeros/connection.ts';
import { RouterError } from '../routeros/errors.ts';
import type { SessionReading } from './counters.ts';
import { readSessions } from './read-sessions.ts';

export interface MeasureTools {
  pool: RouterPool;
  queue: RouterQueue;
}

export interface LookOptions {
  /** For the turn and the look together. */
  limit_ms: number;
  signal: AbortSignal;
}

export interface Look {
  /** Without lines: those come from the sessions and what was counted before. */
  facts: Omit<RouterMeasurement, 'lines'>;
  sessions: SessionReading[] | null;
  is_refused: boolean;
}

/** How often it is seen, within `silent_ms`, whether anything came. */
const SILENT_PARTS = 5;

/**
 * Whether it is there, and what it is: a few small questions, answered within `answer_ms` once its turn has come. Null
 * where the turn didn't come in time, the bridge is stopping, or a connection that stood says nothing more: then nothing
 * is known.
 */
export async function greetRouter(
  { pool, queue }: MeasureTools,
  router: RouterAccess,
  password: string,
  { answer_ms, ...options }: LookOptions & { answer_ms: number },
): Promise<Look | null> {
  return await lookInTurn({ pool, queue }, router.id, { ...options, work_ms: answer_ms }, async late => {
    const look: Look = { facts: describeUnknown(router), sessions: null, is_refused: false };
    const was_open = pool.getState(router.id) === 'connected';
    let visits = 0;
    // to sign in was an answer
    let has_answered = false;
    const is_there = await visit(pool, router, password, late, look, async connection => {
      if (!was_open || visits++ > 0) has_answered = true;
      look.facts.tls_fingerprint = connection.tls_fingerprint;
      const latency_ms = await timeAnswer(connection);
      has_answered = true;
      look.facts = { ...look.facts, status: 'online', latency_ms };
      look.facts = { ...look.facts, ...(await readFacts(connection)) };
    });
    if (late.aborted && was_open && !has_answered) return null;
    look.facts.status = is_there && has_answered ? 'online' : 'offline';
    return look;
  });
}

/** Its lines and pools, after it was greeted. What was known stays where its turn didn't come. */
export async function readLines(
  { pool, queue }: MeasureTools,
  router: RouterAccess,
  password: string,
  greeted: Look,
  { onSilent, silent_ms, ...options }: LookOptions & { onSilent: () => void; silent_ms: number },
): Promise<Look | null> {
  return await lookInTurn({ pool, queue }, router.id, options, async late => {
    const look: Look = { ...greeted, facts: { ...greeted.facts } };
    const is_there = await visit(pool, router, password, late, look, async connection => {
      const stopWatching = watchSilence(connection, silent_ms, onSilent);
      try {
        const { sessions, error } = await readSessions(connection);
        look.sessions = sessions;
        look.facts.error = error && `the bytes of its lines can't be read: ${error}`;
        look.facts.pools = await readPoolUse(connection);
      } finally {
        stopWatching();
      }
    });
    if (!is_there) look.facts.status = 'offline';
    return look;
  });
}

interface Turn extends LookOptions {
  /** From the beginning of the turn on, instead of what is left. */
  work_ms?: number;
}

async function lookInTurn(
  { pool, queue }: MeasureTools,
  router_id: string,
  { limit_ms, work_ms, signal }: Turn,
  work: (late: AbortSignal) => Promise<Look | null>,
): Promise<Look | null> {
  const late = new AbortController();
  const giveUp = () => late.abort();
  let timer = setTimeout(giveUp, limit_ms);
  signal.addEventListener('abort', giveUp);
  const given_up = Promise.withResolvers<null>();
  let has_begun = false;
  const turn = queue.run(router_id, async () => {
    if (late.signal.aborted) return null;
    has_begun = true;
    if (work_ms !== undefined) {
      clearTimeout(timer);
      timer = setTimeout(giveUp, work_ms);
    }
    late.signal.addEventListener('abort', () => void pool.discard(router_id));
    const look = await work(late.signal);
    return signal.aborted ? null : look;
  });
  late.signal.addEventListener('abort', () => !has_begun && given_up.resolve(null));
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([turn, given_up.promise]);
  } catch (error) {
    // too much waits there already, or the bridge is stopping
    if (error instanceof BridgeFailure) return null;
    throw error;
  } finally {
    // a timer that is left behind would hold all that was read in memory
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}

/** Answers whether the router is there; what it couldn't do is told in the look. */
async function visit(
  pool: RouterPool,
  router: RouterAccess,
  password: string,
  late: AbortSignal,
  look: Look,
  work: (connection: RouterConnection) => Promise<void>,
): Promise<boolean> {
  const hold = new RouterHold(pool, router, password, { is_watching: true, signal: late }, late);
  try {
    await hold.run(work);
    return true;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    look.is_refused = error.kind === 'login';
    look.facts.error = describeFailure(error, router, late);
    // one that answered and then was too slow, or didn't let us read, is there all the same
    return late.aborted || error.kind === 'timeout' || isRefusal(error);
  } finally {
    hold.release();
  }
}

function watchSilence(connection: RouterConnection, silent_ms: number, onSilent: () => void): () => void {
  let [bytes, parts] = [connection.bytes_received, 0];
  const timer = setInterval(() => {
    parts = connection.bytes_received === bytes ? parts + 1 : 0;
    bytes = connection.bytes_received;
    if (parts >= SILENT_PARTS) onSilent();
  }, silent_ms / SILENT_PARTS);
  return () => clearInterval(timer);
}

function describeUnknown({ id, host, port }: RouterAccess): Look['facts'] {
  const nothing = {
    tls_fingerprint: null,
    latency_ms: null,
    identity: null,
    board_name: null,
    version: null,
    uptime_seconds: null,
    pools: null,
  };
  return { router_id: id, host, port, status: 'offline', error: null, ...nothing };
}

function describeFailure(error: RouterError, router: RouterAccess, late: AbortSignal): string {
  if (late.aborted) return `the router at ${router.host}:${router.port} did not answer all questions in time`;
  const explained = explainRouterError(error, router);
  return explained instanceof Error ? explained.message : error.message;
}

/** Pools whose count the router refuses are left out: of them nothing is known. */
async function readPoolUse(connection: RouterConnection): Promise<RouterMeasurement['pools']> {
  try {
    const { properties, rows } = await readKind(connection, 'pools', null);
    const [name_at, used_at] = [properties.indexOf('name'), properties.indexOf('used')];
    return rows.flatMap(row => {
      const [name, used] = [row[name_at], Number(row[used_at] ?? NaN)];
      return name && Number.isSafeInteger(used) && used >= 0 ? [{ name, used }] : [];
    });
  } catch (error) {
    if (isRefusal(error)) return null;
    throw error;
  }
}

/** The time from asking something small to its answer, whatever that is. */
async function timeAnswer(connection: RouterConnection): Promise<number> {
  const started_ms = performance.now();
  await connection.print('/system/identity', { proplist: ['name'] }).catch((error: unknown) => {
    if (!isRefusal(error)) throw error;
  });
  return Math.round(performance.now() - started_ms);
}
