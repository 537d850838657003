import { eq, sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit, type Write } from '../db/commit.ts';
import { read } from '../db/session.ts';
import { AppError, notFound } from '../errors.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import { BridgeCallFailed } from './bridge-client.ts';
import { circuitState } from './circuit.ts';
import { observeBridge, observeFailure, observeRouters, type RouterObservation } from './observe.ts';
import { wakeReturned } from './settle-circuit.ts';

/** A router, and the bridge that reaches it. */
export interface Reached {
  router: RouterRow;
  bridge: BridgeRow;
}

export async function findRouter(ctx: Context, router_id: string): Promise<Reached> {
  const [[router], [bridge]] = await read(ctx, ...selectRouter(ctx, router_id));
  return checkReached(router, bridge);
}

/** For callers that read something else in the same round trip. */
export const selectRouter = (ctx: Context, router_id: string) =>
  [
    ctx.db.orm.select().from(routers).where(eq(routers.id, router_id)),
    ctx.db.orm
      .select()
      .from(bridges)
      .where(sql`${bridges.id} = (SELECT bridge_id FROM ${routers} WHERE ${routers.id} = ${router_id})`),
  ] as const;

export function checkReached(router: RouterRow | undefined, bridge: BridgeRow | undefined): Reached {
  if (!router) throw notFound('router');
  if (!bridge) throw new AppError('BRIDGE_OFFLINE', 'The router has no bridge: enrol one, and name it in bridge_id.');
  return { router, bridge };
}

interface HowToAsk<T> {
  /** Asks also a router that is left alone for a while. */
  in_any_case?: boolean;
  learn?: (answer: T) => RouterObservation['facts'];
}

/**
 * One question to a router, for somebody who waits for the answer. That it answered, or didn't, is kept: a failed
 * question is an error, never an empty answer.
 */
export async function askRouter<T>(
  ctx: Context,
  { router, bridge }: Reached,
  ask: () => Promise<T>,
  { in_any_case = false, learn }: HowToAsk<T> = {},
): Promise<T> {
  if (!in_any_case) refuseOpenCircuit(ctx, router);
  const keep = (writes: Write[]) =>
    commit({ ...ctx, actor: { kind: 'bridge', id: bridge.id, name: bridge.name } }, writes);
  try {
    const answer = await ask();
    const facts = learn?.(answer);
    // who looks again and again writes nothing
    const is_known = router.status === 'online' && router.circuit === null && bridge.status === 'online';
    if (facts !== undefined || !is_known) {
      const observed = { router_id: router.id, status: 'online', error: null, at_ms: ctx.now, facts } as const;
      wakeReturned(ctx, await keep([...observeBridge(ctx, bridge), ...observeRouters(ctx, [observed])]));
    }
    return answer;
  } catch (error) {
    if (!(error instanceof BridgeCallFailed)) throw error;
    await keep(observeFailure(ctx, bridge, router, error));
    throw toAppError(error);
  }
}

/** Nobody is kept waiting for a router that has just failed again and again. */
function refuseOpenCircuit(ctx: Context, { name, circuit, last_error }: RouterRow): void {
  if (circuitState(circuit, ctx.now) !== 'open') return;
  const { failures, since, open_until } = circuit!;
  throw new AppError(
    'ROUTER_UNREACHABLE',
    `Router "${name}" has failed since ${since} (${failures} times in a row${last_error ? `: ${last_error}` : ''}). ` +
      `It is asked again at ${open_until}; POST /routers/:id/test asks it now.`,
  );
}

/** What a caller who asked for a live answer is told. */
export function toAppError(failure: BridgeCallFailed): AppError {
  if (failure.code === 'BRIDGE_OFFLINE' || failure.code === 'NOT_ENROLLED')
    return new AppError('BRIDGE_OFFLINE', failure.message);
  return new AppError('ROUTER_UNREACHABLE', failure.message);
}
