import { and, eq, isNotNull, isNull, lt, or } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { AppError } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import { findDrift } from '../provisioning/drift.ts';
import { routers } from '../resources/routers/table.ts';

/** Looks at each router a few times a day by itself; what it finds is told of, and repaired when an admin says so. */

const CHECK_EVERY_MS = 6 * 60 * 60_000;
/** Of one round of the sweep, which comes every 5 minutes. */
const MOST_AT_ONCE = 5;

export const selectUncheckedRouters = (ctx: Context) =>
  ctx.db.orm
    .select({ id: routers.id })
    .from(routers)
    .where(
      and(
        eq(routers.is_active, true),
        eq(routers.status, 'online'),
        isNotNull(routers.bridge_id),
        or(isNull(routers.drift_checked_at), lt(routers.drift_checked_at, toIso(ctx.now - CHECK_EVERY_MS))),
      ),
    )
    .orderBy(routers.drift_checked_at)
    .limit(MOST_AT_ONCE);

/** A router that is away just now is looked at once it is back. */
export async function checkDrift(ctx: Context, router_id: string): Promise<void> {
  try {
    await findDrift(ctx, router_id);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
}
