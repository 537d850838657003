import { and, eq, gte, isNull, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { fingerprintSecret, seal } from '../../auth/sealing.ts';
import type { Context } from '../../context.ts';
import { insertMany } from '../../db/bulk.ts';
import { commit, mustHold, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, invalidField } from '../../errors.ts';
import { createdChanges, type NewEvent } from '../../events/event.ts';
import { parseExport } from '../../lib/routeros/export-file.ts';
import { localDate, startOfDate, toIso } from '../../lib/time.ts';
import { describePool } from '../../provisioning/desired.ts';
import { setRouterEntries } from '../../provisioning/set-desired.ts';
import { selectSettings } from '../settings/index.ts';
import { checkReached, selectRouter } from '../../provisioning/ask-router.ts';
import { ip_pools, type IpPoolRow } from '../ip-pools/table.ts';
import { jobs, tellProgress, toJob, type JobRow } from '../jobs/index.ts';
import { copyRouter } from './copy.ts';
import { readKnownState } from './known.ts';
import { makePlans } from './make-plans.ts';
import { planPools, planProfiles, type PoolPlan } from './network-rules.ts';
import { stillRuns, unfinishedImport } from './running.ts';
import { planImport, type ImportPlan, type SecretDraft } from './rules.ts';
import type { FileImportQuery, ImportJob, RouterImportInput } from './schema.ts';
import { import_items, imports, type ItemData } from './table.ts';

type ImportRow = typeof imports.$inferSelect;
type ImportItemRow = typeof import_items.$inferInsert;
type Preview = z.input<typeof ImportJob>['preview'];

/** What is imported, and how. */
interface Order {
  kind: ImportRow['kind'];
  source: ImportRow['source'];
  router_id: string | null;
  text: string;
  dry_run: boolean;
  filter_disabled: boolean;
  /** Only where the router has had no import of this kind today. */
  once_a_day: boolean;
  /** Invoices the new customers once they are there. */
  generate_bills?: boolean;
}

/** What comes of it: everything but the import's own rows. */
interface Outcome {
  preview: Preview;
  items: ImportItemRow[];
  writes: Write[];
  events: NewEvent[];
  plan_ids: string[];
  /** Entries that the job has yet to make. */
  to_do: number;
}

export function importFile(ctx: Context, query: z.output<typeof FileImportQuery>, text: string) {
  const { router_id = null, dry_run = false, filter_disabled = false } = query;
  return startImport(ctx, {
    kind: 'secrets',
    source: 'file',
    router_id,
    text,
    dry_run,
    filter_disabled,
    once_a_day: false,
  });
}

/** Reads the router now; what it holds then is kept as the copy. */
export async function importFromRouter(ctx: Context, body: z.output<typeof RouterImportInput>) {
  const { router_id, kind, dry_run = false, filter_disabled = false, generate_bills = false, force = false } = body;
  if (generate_bills && kind !== 'secrets')
    throw invalidField('generate_bills', 'is for secrets, which become customers');
  const once_a_day = !force && !dry_run;
  const [[router], [bridge], [earlier]] = await read(
    ctx,
    ...selectRouter(ctx, router_id),
    ctx.db.orm
      .select({ id: imports.id })
      .from(imports)
      .where(madeToday(ctx, router_id, kind))
      .limit(1),
  );
  if (!router) throw invalidField('router_id', 'names no router');
  if (!router.is_active) throw new AppError('CONFLICT', `Router "${router.name}" is switched off.`);
  if (once_a_day && earlier) throw hadOneToday();
  const text = await copyRouter(ctx, checkReached(router, bridge), kind);
  const order = { kind, source: 'router' as const, router_id, text, dry_run, filter_disabled };
  return startImport(ctx, { ...order, generate_bills, once_a_day });
}

const hadOneToday = () =>
  new AppError('CONFLICT', 'This router had an import of this kind today: undo that one, or send `force`.');

const madeToday = (ctx: Context, router_id: string, kind: ImportRow['kind']) =>
  and(
    eq(imports.router_id, router_id),
    eq(imports.kind, kind),
    gte(imports.created_at, toIso(startOfDate(localDate(ctx.now, ctx.tenant.timezone), ctx.tenant.timezone))),
    eq(imports.source, 'router'),
    eq(imports.dry_run, false),
    isNull(imports.undone_at),
  )!;

/** Says what becomes of each entry; unless it is a dry run, stores that, and the job goes on from there. */
async function startImport(ctx: Context, order: Order): Promise<z.input<typeof ImportJob>> {
  const { kind, source, router_id, dry_run, filter_disabled } = order;
  const import_id = ctx.newId();
  const outcome = await OUTCOMES[kind](ctx, order, import_id);
  const { preview } = outcome;
  const counts = {
    creates: preview.creates.length,
    skips: preview.skips.length,
    conflicts: preview.conflicts.length,
  };
  const at = toIso(ctx.now);
  const done = dry_run || outcome.to_do === 0;
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'import',
    subject_id: import_id,
    status: done ? 'completed' : 'queued',
    total: counts.creates,
    succeeded: done && !dry_run ? counts.creates : 0,
    failed: 0,
    errors: [],
    result: counts,
    created_by: ctx.actor.kind === 'user' ? ctx.actor.id : null,
    started_at: done ? at : null,
    finished_at: done ? at : null,
    created_at: at,
    updated_at: at,
  };
  const record: ImportRow = {
    ...counts,
    id: import_id,
    job_id: job.id,
    router_id,
    kind,
    source,
    options: { filter_disabled, generate_bills: order.generate_bills ?? false },
    dry_run,
    plan_ids: dry_run ? [] : outcome.plan_ids,
    copy_key: source === 'router' && !dry_run ? copyKey(ctx, import_id) : null,
    undone_at: null,
    undo_job_id: null,
    created_at: at,
    updated_at: at,
  };
  // kept before anything is changed
  if (record.copy_key) await ctx.env.FILES.put(record.copy_key, order.text);
  const had_none = sql`NOT EXISTS (SELECT 1 FROM ${imports} WHERE ${madeToday(ctx, router_id ?? '', kind)})`;
  const writes: Write[] = [
    ...(order.once_a_day ? [mustHold(had_none, hadOneToday())] : []),
    ...(dry_run ? [] : [mustHold(sql`NOT EXISTS (${unfinishedImport(router_id)})`, stillRuns())]),
    ctx.db.orm.insert(jobs).values(job),
    ctx.db.orm.insert(imports).values(record),
    ...(dry_run ? [] : outcome.writes),
    ...insertMany(ctx.db, import_items, outcome.items),
  ];
  const created: NewEvent = {
    type: 'import.created',
    action: 'create',
    entity_id: import_id,
    changes: createdChanges(record),
  };
  try {
    await commit(ctx, writes, ...(dry_run ? [] : outcome.events), created);
  } catch (error) {
    if (record.copy_key) await ctx.env.FILES.delete(record.copy_key);
    throw error;
  }
  tellProgress(ctx, job);
  if (!done) ctx.defer(ctx.env.JOBS_QUEUE.send({ tenant_id: ctx.tenant.id, kind: 'import', job_id: job.id }));
  return { ...toJob(job), import_id, dry_run, preview };
}

const copyKey = (ctx: Context, import_id: string) => `tenants/${ctx.tenant.id}/imports/${import_id}.rsc`;

const OUTCOMES: Record<ImportRow['kind'], (ctx: Context, order: Order, import_id: string) => Promise<Outcome>> = {
  secrets: importSecrets,
  profiles: importProfiles,
  pools: importPools,
};

async function importSecrets(ctx: Context, order: Order, import_id: string): Promise<Outcome> {
  const file = parseExport(order.text);
  const { known, plan_ids } = await readKnownState(ctx, order.router_id, file);
  const plan = planImport(file, known, { filter_disabled: order.filter_disabled, adopts: order.router_id !== null });
  const made = makePlans(ctx, plan.plans, plan_ids);
  return {
    preview: {
      ...plan,
      creates: plan.creates.map(({ password: _password, disabled, ...draft }) => ({
        ...draft,
        status: disabled ? ('suspended' as const) : ('active' as const),
      })),
    },
    items: await describeSecrets(ctx, import_id, plan, order.dry_run ? null : plan_ids),
    ...made,
    plan_ids: plan.plans.map(draft => plan_ids.get(draft.profile_name)!),
    to_do: plan.creates.length,
  };
}

async function importProfiles(ctx: Context, order: Order, import_id: string): Promise<Outcome> {
  const file = parseExport(order.text);
  const { known, plan_ids } = await readKnownState(ctx, order.router_id, file);
  const plan = planProfiles(file, known);
  const made = makePlans(ctx, plan.plans, plan_ids);
  const ids = plan.plans.map(draft => plan_ids.get(draft.profile_name)!);
  const creates = plan.plans.map(draft => ({ line: draft.line!, name: draft.profile_name, notes: draft.notes }));
  return {
    preview: {
      ...plan,
      creates: creates.map(entry => ({ ...entry, full_name: null, profile: entry.name, status: null })),
    },
    items: listItems(order, import_id, creates, ids, plan),
    ...made,
    plan_ids: ids,
    to_do: 0,
  };
}

async function importPools(ctx: Context, order: Order, import_id: string): Promise<Outcome> {
  const [known, [settings]] = await read(
    ctx,
    ctx.db.orm
      .select({ name: ip_pools.name, ranges: ip_pools.ranges })
      .from(ip_pools)
      .where(eq(ip_pools.router_id, order.router_id!)),
    selectSettings(ctx),
  );
  const by_name = new Map(known.map(({ name, ranges }) => [name, ranges]));
  const plan = planPools(parseExport(order.text), by_name, settings!.isolir_pool);
  const at = toIso(ctx.now);
  const rows = plan.pools.map(({ name, ranges, size, next_pool, notes }): IpPoolRow => {
    const pool = { router_id: order.router_id!, name, ranges, next_pool, size, used: null, used_at: null, notes };
    return { id: ctx.newId(), ...pool, created_at: at, updated_at: at };
  });
  const creates = plan.pools.map(({ line, name, ranges }) => ({ line, name, notes: [ranges] }));
  const events = rows.map((row): NewEvent => ({
    type: 'ip_pool.created',
    action: 'create',
    entity_id: row.id,
    changes: createdChanges(row),
    routers: [row.router_id],
  })); // prettier-ignore
  // what the router has already becomes ours
  const { writes } = setRouterEntries(ctx, [], rows.map(describePool), true);
  const { skips, conflicts, ignored } = plan;
  return {
    preview: {
      creates: creates.map(entry => ({ ...entry, full_name: null, profile: null, status: null })),
      plans: [],
      skips,
      conflicts,
      ignored,
    },
    items: listItems(
      order,
      import_id,
      creates,
      rows.map(row => row.id),
      plan,
    ),
    writes: [...insertMany(ctx.db, ip_pools, rows), ...writes],
    events,
    plan_ids: [],
    to_do: 0,
  };
}

/** Of plans and pools, which are made at once. */
function listItems(
  order: Order,
  import_id: string,
  creates: readonly { line: number; name: string; notes: readonly string[] }[],
  ids: readonly string[],
  { skips, conflicts }: Pick<PoolPlan, 'skips' | 'conflicts'>,
): ImportItemRow[] {
  const base = { import_id, data: null, customer_id: null };
  const made = creates.map(({ line, name, notes }, at): ImportItemRow => ({
    ...base,
    line,
    name,
    outcome: order.dry_run ? 'create' : 'created',
    reason: notes.join('; ') || null,
    entity_id: order.dry_run ? null : ids[at]!,
  })); // prettier-ignore
  const refused = (list: ImportPlan['skips'], outcome: 'skip' | 'conflict') =>
    list.map(({ line, name, reason }): ImportItemRow => ({ ...base, line, name, outcome, reason, entity_id: null }));
  return [...made, ...refused(skips, 'skip'), ...refused(conflicts, 'conflict')];
}

/** A row for each secret of the file. Without `plan_ids` it is a dry run, and nothing is kept to create from. */
async function describeSecrets(
  ctx: Context,
  import_id: string,
  plan: ImportPlan,
  plan_ids: Map<string, string> | null,
) {
  const base = { import_id, reason: null, data: null, customer_id: null, entity_id: null };
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
      : await Promise.all([seal(ctx, place, password), fingerprintSecret(ctx, place, password)]);
  const data: ItemData = { full_name, service_plan_id, profile, disabled, static_ip, sealed_password, secret_hash };
  return { customer_id, data };
}
