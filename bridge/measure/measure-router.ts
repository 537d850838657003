/** One look at one router, in its turn with everything else that is done there. */
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
  with_sessions: boolean;
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

/** Null where the turn didn't come in time, or the bridge is stopping: then nothing is known. */
export async function lookAtRouter(
  tools: MeasureTools,
  router: RouterAccess,
  password: string,
  { with_sessions, limit_ms, signal }: LookOptions,
): Promise<Look | null> {
  const late = new AbortController();
  const giveUp = () => late.abort();
  const timer = setTimeout(giveUp, limit_ms);
  signal.addEventListener('abort', giveUp);
  const given_up = Promise.withResolvers<null>();
  let has_begun = false;
  const turn = tools.queue.run(router.id, async () => {
    if (late.signal.aborted) return null;
    has_begun = true;
    late.signal.addEventListener('abort', () => void tools.pool.discard(router.id));
    const look = await readRouter(tools.pool, router, password, with_sessions, late.signal);
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

async function readRouter(
  pool: RouterPool,
  router: RouterAccess,
  password: string,
  with_sessions: boolean,
  signal: AbortSignal,
): Promise<Look> {
  const look: Look = { facts: describeUnknown(router), sessions: null, is_refused: false };
  const hold = new RouterHold(pool, router, password, { is_watching: true, signal }, signal);
  try {
    await hold.run(async connection => {
      const latency_ms = await timeAnswer(connection);
      look.facts = { ...look.facts, status: 'online', latency_ms };
      look.facts = { ...look.facts, ...(await readFacts(connection)) };
      if (!with_sessions) return;
      const { sessions, error } = await readSessions(connection);
      look.sessions = sessions;
      look.facts.error = error && `the bytes of its lines can't be read: ${error}`;
      look.facts.pools = await readPoolUse(connection);
    });
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    look.is_refused = error.kind === 'login';
    look.facts.error = describeFailure(error, router, signal);
    // one that answered and then was too slow, or didn't let us read, is there all the same
    const is_there = signal.aborted || error.kind === 'timeout' || isRefusal(error);
    if (!is_there) look.facts.status = 'offline';
  } finally {
    hold.release();
  }
  return look;
}

function describeUnknown({ id }: RouterAccess): Look['facts'] {
  const nothing = {
    latency_ms: null,
    identity: null,
    board_name: null,
    version: null,
    uptime_seconds: null,
    pools: null,
  };
  return { router_id: id, status: 'offline', error: null, ...nothing };
}

function describeFailure(error: RouterError, router: RouterAccess, signal: AbortSignal): string {
  if (signal.aborted) return `the router at ${router.host}:${router.port} did not answer all questions in time`;
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
