import { eq, sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { chunkJson } from '../../db/bulk.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import type { ExportFile } from '../../lib/routeros/export-file.ts';
import { routers } from '../routers/table.ts';
import { service_plan_settings, service_plans, type PlanRow, type PlanSettingsRow } from '../service-plans/table.ts';
import { selectSettings } from '../settings/index.ts';
import type { KnownState } from './rules.ts';

/** What is there already of what the file names. */
export async function readKnownState(ctx: Context, router_id: string | null, file: ExportFile) {
  const { orm } = ctx.db;
  const secrets = file.items.filter(item => item.menu === '/ppp/secret');
  const names = chunkJson(secrets.map(item => JSON.stringify(item.props.get('name') ?? '')));
  const takenNames = (chunk: string) =>
    orm.all<{ name: string; code: string }>(sql`
      SELECT pppoe_username AS name, customer_code AS code FROM customers
      WHERE pppoe_username IN (SELECT value FROM json_each(${chunk})) AND status <> 'terminated' AND deleted_at IS NULL`);
  const [[router], [settings], plans, plan_settings, ...taken] = await read(
    ctx,
    orm
      .select({ id: routers.id })
      .from(routers)
      .where(eq(routers.id, router_id ?? '')),
    selectSettings(ctx),
    orm.select().from(service_plans),
    orm.select().from(service_plan_settings),
    ...names.map(takenNames),
  );
  if (router_id && !router) throw invalidField('router_id', 'names no router');
  const settings_of = new Map((plan_settings as PlanSettingsRow[]).map(row => [row.plan_id, row]));
  const rows = plans as PlanRow[];
  const known: KnownState = {
    taken_names: new Map((taken as { name: string; code: string }[][]).flat().map(({ name, code }) => [name, code])),
    plans: new Map(rows.map(plan => [plan.profile_name, { plan, settings: settings_of.get(plan.id) ?? null }])),
    plan_names: new Set(rows.map(plan => plan.name)),
    isolir_profile: settings!.isolir_profile,
  };
  return { known, plan_ids: new Map(rows.map(plan => [plan.profile_name, plan.id])) };
}
