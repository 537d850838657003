import type { Context } from '../context.ts';
import { wakeProvisioning } from '../queues/wake.ts';
import type { NewEvent } from './event.ts';

/**
 * After a commit: wakes those who act on it. Only a wake-up: what must be done stands in rows already, and the
 * sweep finds it if this is lost.
 */
export function announce(ctx: Context, events: readonly NewEvent[]): void {
  const routers = new Set(events.flatMap(event => event.routers ?? []));
  if (routers.size > 0) ctx.defer(wakeProvisioning(ctx, [...routers]));
}
