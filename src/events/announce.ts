import type { Context } from '../context.ts';
import { logFailure } from '../log.ts';
import type { TransientData, TransientName } from './realtime/catalogue.ts';

/** From what happens to the tenant's hub, which tells those who act on it and those who listen. */

export const hubOf = ({ env, tenant }: Pick<Context, 'env' | 'tenant'>) =>
  env.TENANT_HUB.get(env.TENANT_HUB.idFromName(tenant.id));

/**
 * After a commit: there is something new in the log. Only a wake-up: what must be done stands in rows and events already,
 * and the sweep comes by if this is lost.
 */
export function announce(ctx: Context): void {
  ctx.defer(
    hubOf(ctx)
      .wake(ctx.tenant.id)
      .catch((error: unknown) => logFailure({ object: 'hub', tenant: ctx.tenant.slug }, error)),
  );
}

/** Tells those who listen now, and nobody later: for what is over soon. */
export function tellOnce<N extends TransientName>(ctx: Context, event: N, ...list: TransientData<N>[]): void {
  if (list.length === 0) return;
  const told = hubOf(ctx).publish(ctx.tenant.id, event, list);
  ctx.defer(told.catch((error: unknown) => logFailure({ object: 'hub', tenant: ctx.tenant.slug }, error)));
}
