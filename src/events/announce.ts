import type { Ambient, Context, Tenant } from '../context.ts';
import { logFailure } from '../log.ts';
import type { TransientData, TransientName } from './realtime/catalogue.ts';

/** From what happens to the tenant's hub, which tells those who act on it and those who listen. */

export const hubOf = ({ env, tenant }: Pick<Ambient, 'env'> & { tenant: Pick<Tenant, 'id'> }) =>
  env.TENANT_HUB.get(env.TENANT_HUB.idFromName(tenant.id));

/**
 * After a commit: there is something new in the log. Only a wake-up: what must be done stands in rows and events already,
 * and the sweep comes by if this is lost.
 */
export const announce = (ctx: Context): void => wakeHub(ctx, ctx.tenant);

/** It looks for what is new, and whether its provider is served at all. */
export function wakeHub(ambient: Ambient, tenant: Pick<Tenant, 'id' | 'slug'>): void {
  ambient.defer(
    hubOf({ env: ambient.env, tenant })
      .wake(tenant.id)
      .catch((error: unknown) => logFailure({ object: 'hub', tenant: tenant.slug }, error)),
  );
}

/** Tells those who listen now, and nobody later: for what is over soon. */
export function tellOnce<N extends TransientName>(ctx: Context, event: N, ...list: TransientData<N>[]): void {
  if (list.length === 0) return;
  const told = hubOf(ctx).publish(ctx.tenant.id, event, list);
  ctx.defer(told.catch((error: unknown) => logFailure({ object: 'hub', tenant: ctx.tenant.slug }, error)));
}
