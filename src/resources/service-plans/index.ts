import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { crud } from '../../http/crud.ts';
import { endpoint } from '../../http/endpoint.ts';
import { queryInt } from '../../http/fields.ts';
import { contains, during, exactly, list, within } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { getPlanSettings, preparePlan, togglePlan, updatePlanSettings } from './actions.ts';
import { Plan, PlanChange, PlanInput, PlanSettings, PlanSettingsInput } from './schema.ts';
import { service_plan_changes, service_plans } from './table.ts';

export { plansMustBeAsRead, selectPlansForLines } from './queries.ts';

const plans = crud({
  name: 'plan',
  plural: 'plans',
  table: service_plans,
  permissions: { read: 'plans:read', write: 'plans:write' },
  row: Plan,
  input: PlanInput,
  list: {
    filters: {
      is_active: {
        ...exactly(service_plans.is_active, z.enum(['true', 'false', 'all'])),
        fallback: 'true',
        toValue: text => (text === 'all' ? undefined : text === 'true'),
      },
      price: within(service_plans.price, queryInt()),
      created_at: during(service_plans.created_at),
    },
    sort: ['sort_order', 'name', 'price', 'created_at'],
    default_sort: 'sort_order',
    search: contains(service_plans.name, service_plans.profile_name, service_plans.description),
    ties: [service_plans.name],
  },
  prepare: preparePlan,
});

const plan_changes = list({
  table: service_plan_changes,
  filters: {},
  sort: ['created_at'],
  default_sort: '-created_at',
  fields: Object.keys(PlanChange.shape),
});

export const servicePlansResource: Resource = {
  path: '/service-plans',
  routes: {
    ...plans.routes,
    'POST /:id/toggle': endpoint({
      id: 'plans.toggle',
      summary: 'Switch a plan on or off for new customers',
      needs: 'plans:write',
      returns: { one: Plan },
      errors: ['CONFLICT'],
      run: async (ctx, { params }) => togglePlan(ctx, await plans.find(ctx, params.id)),
    }),
    'GET /:id/advanced': endpoint({
      id: 'plans.settings',
      summary: 'What the router needs beyond the speed',
      needs: 'plans:read',
      returns: { one: PlanSettings },
      run: (ctx, { params }) => getPlanSettings(ctx, params.id),
    }),
    'PUT /:id/advanced': endpoint({
      id: 'plans.updateSettings',
      summary: 'Change a plan’s router settings; its customers’ lines follow',
      needs: 'plans:write',
      body: PlanSettingsInput,
      returns: { one: PlanSettings },
      errors: ['CONFLICT'],
      run: (ctx, { params, body }) => updatePlanSettings(ctx, params.id, body),
    }),
    'GET /:id/changes': endpoint({
      id: 'plans.changes',
      summary: 'History of a plan',
      needs: 'plans:read',
      query: plan_changes.query,
      returns: { list: PlanChange },
      run: (ctx, { params, query }) =>
        plan_changes.readPage(ctx, query, {
          where: eq(service_plan_changes.plan_id, params.id),
          owner: plans.select(ctx, params.id),
          what: 'plan',
        }),
    }),
  },
};
