import type { BridgeTools } from '../apply/apply.ts';
import { BridgeFailure } from '../apply/failure.ts';
import type { RouterAccess } from '../../src/protocol/messages.ts';

export interface TurnLimits {
  /** From asking to the answer. */
  limit_ms: number;
  /** What has begun in time is finished, however long that takes. */
  is_finished: boolean;
  /** The place in the row is free again: also for who was told "no" long before. */
  onOver?: () => void;
}

/**
 * Does the work when nobody else is at the router. After its time the asker is told so: what had not begun then never
 * begins, and what runs learns it by the signal.
 */
export async function takeTurn<T>(
  { queue }: BridgeTools,
  router: RouterAccess,
  { limit_ms, is_finished, onOver }: TurnLimits,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  let has_begun = false;
  const { promise: given_up, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    if (has_begun && is_finished) return;
    const what = has_begun ? 'did not answer' : 'is busy: its turn did not come';
    const message = `the router at ${router.host}:${router.port} ${what} within ${Math.ceil(limit_ms / 1000)} s`;
    const failure = new BridgeFailure(has_begun ? 'ROUTER_UNREACHABLE' : 'ROUTER_BUSY', message);
    reject(failure);
    late.abort(failure);
  }, limit_ms);
  const turn = queue.run(router.id, async () => {
    late.signal.throwIfAborted();
    has_begun = true;
    return await work(late.signal);
  });
  // also the loser of the race, whose failure nobody sees
  const leave = () => onOver?.();
  turn.then(leave, leave);
  given_up.catch(() => undefined);
  try {
    return await Promise.race([turn, given_up]);
  } finally {
    clearTimeout(timer);
  }
}
