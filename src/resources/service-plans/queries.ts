import { eq, getTableColumns, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { mustHold, RaceLost, type Write } from '../../db/commit.ts';
import { service_plan_settings, service_plans, UNSET_PLAN_SETTINGS, type PlanForLine, type PlanRow } from './table.ts';

/** Plans as a change of a line needs them; what nobody set is as it is unset. */
export const selectPlansForLines = (ctx: Context, where: SQL) =>
  ctx.db.orm
    .select({
      ...getTableColumns(service_plans),
      shaping: sql<
        PlanForLine['shaping']
      >`coalesce(${service_plan_settings.shaping}, ${UNSET_PLAN_SETTINGS.shaping})`.as('shaping'),
      is_unlimited: sql`coalesce(${service_plan_settings.is_unlimited}, 0)`.mapWith(Boolean).as('is_unlimited'),
      queue_name_template:
        sql<string>`coalesce(${service_plan_settings.queue_name_template}, ${UNSET_PLAN_SETTINGS.queue_name_template})`.as(
          'queue_name_template',
        ),
      address_pool: service_plan_settings.address_pool,
      settings_updated_at: sql<number | null>`${service_plan_settings.updated_at}`.as('settings_updated_at'),
    })
    .from(service_plans)
    .leftJoin(service_plan_settings, eq(service_plan_settings.plan_id, service_plans.id))
    .where(where);

/**
 * A fee is taken from the plan: where one was priced or closed meanwhile, it is decided again. One that is gone is the
 * foreign key's to tell.
 */
export function plansMustBeAsRead(...plans: readonly Pick<PlanRow, 'id' | 'updated_at'>[]): Write {
  const as_read = JSON.stringify(plans.map(({ id, updated_at }) => [id, Date.parse(updated_at)]));
  const is_other = sql`SELECT 1 FROM json_each(${as_read}) AS v
    JOIN ${service_plans} AS p ON p.id = v.value ->> 0 WHERE p.updated_at <> v.value ->> 1`;
  return mustHold(sql`NOT EXISTS (${is_other})`, new RaceLost());
}
