import { eq, getTableColumns, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { service_plan_settings, service_plans, UNSET_PLAN_SETTINGS, type PlanForLine } from './table.ts';

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
