import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { fingerprintSecret, seal } from '../../auth/sealing.ts';
import type { Context } from '../../context.ts';
import { chunkJson, insertMany } from '../../db/bulk.ts';
import { commit, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { createdChanges, type NewEvent } from '../../events/event.ts';
import { parseExport, type ExportFile } from '../../lib/routeros/export-file.ts';
import { toIso } from '../../lib/time.ts';
import { profileProperties } from '../../provisioning/desired.ts';
import { jobs, toJob, type JobRow } from '../jobs/index.ts';
import { routers } from '../routers/table.ts';
import {
  service_plan_settings,
  service_plans,
  UNSET_PLAN_SETTINGS,
  type PlanRow,
  type PlanSettingsRow,
} from '../service-plans/table.ts';
import { selectSettings } from '../settings/index.ts';
import { planImport, type ImportPlan, type KnownState, type PlanDraft, type SecretDraft } from './rules.ts';
import type { FileImportQuery, ImportJob } from './schema.ts';
import { import_items, imports, type ItemData } from './table.ts';

type Options = z.output<typeof FileImportQuery>;

/** Says what becomes of each line; unless it is a dry run, stores that, and the job goes on from there. */
export async function importFile(ctx: Context, query: Options, text: string): Promise<z.input<typeof ImportJob>> {
  const options = { ...query, dry_run: query.dry_run ?? false, filter_disabled: query.filter_disabled ?? false };
  const file = parseExport(text);
  const { known, plan_ids } = await readKnownState(ctx, options, file);
  const plan = planImport(file, known, { ...options, adopts: options.router_id !== undefined });
  const at = toIso(ctx.now);
  const import_id = ctx.newId();
  const done = options.dry_run || plan.creates.length === 0;
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'import',
    subject_id: import_id,
    status: done ? 'completed' : 'queued',
    total: plan.creates.length,
    succeeded: 0,
    failed: 0,
    errors: [],
    result: countsOf(plan),
    created_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    started_at: done ? at : null,
    finished_at: done ? at : null,
    created_at: at,
    updated_at: at,
  };
  const record = {
    ...countsOf(plan),
    id: import_id,
    job_id: job.id,
    router_id: options.router_id ?? null,
    kind: 'secrets' as const,
    source: 'file' as const,
    options: { filter_disabled: options.filter_disabled },
    dry_run: options.dry_run,
    created_at: at,
    updated_at: at,
  };
  const writes: Write[] = [ctx.db.orm.insert(jobs).values(job), ctx.db.orm.insert(imports).values(record)];
  const made = options.dry_run ? { writes: [], events: [] } : makePlans(ctx, plan.plans, plan_ids);
  const items = await describeItems(ctx, import_id, plan, options.dry_run ? null : plan_ids);
  const event: NewEvent = {
    type: 'import.created',
    action: 'create',
    entity_id: import_id,
    changes: createdChanges(record),
  };
  await commit(ctx, [...writes, ...made.writes, ...insertMany(ctx.db, import_items, items)], ...made.events, event);
  if (!done) ctx.defer(ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'import', job_id: job.id }));
  return { ...toJob(job), import_id, dry_run: options.dry_run, preview: previewOf(plan) };
}

const countsOf = (plan: ImportPlan) => ({
  creates: plan.creates.length,
  skips: plan.skips.length,
  conflicts: plan.conflicts.length,
});

function previewOf(plan: ImportPlan): z.input<typeof ImportJob>['preview'] {
  return {
    ...plan,
    creates: plan.creates.map(({ password: _password, disabled, ...draft }) => ({
      ...draft,
      status: disabled ? ('suspended' as const) : ('active' as const),
    })),
  };
}

/** What is there already of what the file names. */
async function readKnownState(ctx: Context, options: Options, file: ExportFile) {
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
      .where(eq(routers.id, options.router_id ?? '')),
    selectSettings(ctx),
    orm.select().from(service_plans),
    orm.select().from(service_plan_settings),
    ...names.map(takenNames),
  );
  if (options.router_id && !router) throw invalidField('router_id', 'names no router');
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

/** Plans from profiles; adds their ids to `plan_ids`. */
function makePlans(ctx: Context, drafts: readonly PlanDraft[], plan_ids: Map<string, string>) {
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

/** A row for each secret of the file. Without `plan_ids` it is a dry run, and nothing is kept to create from. */
async function describeItems(ctx: Context, import_id: string, plan: ImportPlan, plan_ids: Map<string, string> | null) {
  const base = { import_id, reason: null, data: null, customer_id: null };
  const creates = await Promise.all(
    plan.creates.map(async draft => ({
      ...base,
      line: draft.line,
      name: draft.name,
      outcome: 'create' as const,
      reason: draft.notes.join('; ') || null,
      ...(plan_ids && (await prepareCustomer(ctx, draft, plan_ids.get(draft.profile)!))),
    })),
  );
  const refused = (list: ImportPlan['skips'], outcome: 'skip' | 'conflict') =>
    list.map(item => ({ ...base, ...item, outcome }));
  return [...creates, ...refused(plan.skips, 'skip'), ...refused(plan.conflicts, 'conflict')];
}

/** The customer's id is made here, so that its password can be sealed for it before anything is stored. */
async function prepareCustomer(ctx: Context, draft: SecretDraft, service_plan_id: string) {
  const customer_id = ctx.newId();
  const place = { row_id: customer_id, column: 'pppoe_password' };
  const { full_name, profile, disabled, static_ip, password } = draft;
  const [sealed_password, secret_hash] =
    password === null
      ? [null, null]
      : await Promise.all([seal(ctx.env, place, password), fingerprintSecret(ctx.env, place, password)]);
  const data: ItemData = { full_name, service_plan_id, profile, disabled, static_ip, sealed_password, secret_hash };
  return { customer_id, data };
}
