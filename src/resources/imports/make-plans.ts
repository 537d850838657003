import type { Context } from '../../context.ts';
import { insertMany } from '../../db/bulk.ts';
import { createdChanges, type NewEvent } from '../../events/event.ts';
import { toIso } from '../../lib/time.ts';
import { profileProperties } from '../../provisioning/desired.ts';
import {
  service_plan_settings,
  service_plans,
  UNSET_PLAN_SETTINGS,
  type PlanRow,
  type PlanSettingsRow,
} from '../service-plans/table.ts';
import type { PlanDraft } from './rules.ts';

/** Plans from profiles; adds their ids to `plan_ids`. */
export function makePlans(ctx: Context, drafts: readonly PlanDraft[], plan_ids: Map<string, string>) {
  const at = toIso(ctx.now);
  const plans: PlanRow[] = [];
  const settings: PlanSettingsRow[] = [];
  for (const draft of drafts) {
    const id = ctx.newId();
    plan_ids.set(draft.profile_name, id);
    plans.push({
      id,
      name: draft.name,
      profile_name: draft.profile_name,
      description: null,
      download_kbps: draft.download_kbps,
      upload_kbps: draft.upload_kbps,
      rate_limit: draft.rate_limit,
      price: null,
      billing_cycle: 'monthly',
      is_active: false,
      features: [],
      sort_order: 0,
      created_at: at,
      updated_at: at,
    });
    settings.push({
      ...UNSET_PLAN_SETTINGS,
      ...draft.settings,
      managed: profileProperties(draft.settings),
      plan_id: id,
      created_at: at,
      updated_at: at,
    });
  }
  const events = plans.map((plan): NewEvent => ({
    type: 'plan.created',
    action: 'create',
    entity_id: plan.id,
    changes: createdChanges(plan),
  })); // prettier-ignore
  const writes = [...insertMany(ctx.db, service_plans, plans), ...insertMany(ctx.db, service_plan_settings, settings)];
  return { writes, events };
}
