import { and, asc, eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, mustHold, RaceLost, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, invalidField, notFound } from '../../errors.ts';
import type { Endpoint } from '../../http/definition.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant, line } from '../../http/fields.ts';
import { canonicalPrefix } from '../../lib/routeros/values.ts';
import { holdsAddress, parsePoolRanges } from '../../lib/routeros/pool-ranges.ts';
import { Difference, type Outcome } from '../../protocol/messages.ts';
import { applyDesired } from '../../provisioning/apply.ts';
import { ISOLIR_SETUP, isolirEntries, type WalledGarden } from '../../provisioning/walled-garden.ts';
import { lookAhead, wantedRef } from '../../provisioning/look-ahead.ts';
import { mustBeAsRead, setRouterEntries } from '../../provisioning/set-desired.ts';
import {
  provisioning,
  PROVISIONING_KINDS,
  PROVISIONING_STATUSES,
  type ProvisioningRow,
} from '../provisioning/table.ts';
import { selectSettings, type SettingsRow } from '../settings/index.ts';
import { routers } from './table.ts';

/** Set-ups of a router: entries of its own that are looked at first, made on request, and taken back on request. */

const Template = z.enum([ISOLIR_SETUP]).describe('`isolir`: the walled garden of the suspended.');

const Variables = z
  .strictObject({
    pool_ranges: line(2000).describe('Addresses of the suspended. Default 10.254.0.2-10.254.15.254.'),
    local_address: z.ipv4().describe('The router’s own address towards them. Default 10.254.0.1.'),
    page_address: z
      .ipv4('is not an IPv4 address; its port goes into page_port')
      .nullable()
      .describe(
        'Web server that shows the isolir page whatever host it is asked for: plain HTTP is redirected there. HTTPS can’t ' +
          'be. Without one nothing is redirected.',
      ),
    page_port: z.int().min(1).max(65535).describe('Default 80.'),
    allowed_addresses: z
      .array(z.union([z.ipv4(), z.cidrv4()]))
      .max(50)
      .describe('Reachable by the suspended beside DNS and the page: addresses or prefixes.'),
  })
  .partial();

const SetupOrder = z
  .strictObject({
    template: Template,
    mode: z.enum(['plan', 'apply']).describe('`plan` only says what would be done on the router.'),
    variables: Variables.optional(),
  })
  .meta({ id: 'RouterSetupOrder' });

const Rollback = z
  .strictObject({
    template: Template,
    force: z.boolean().optional().describe('Also while suspended lines lean on it.'),
  })
  .meta({ id: 'RouterSetupRollback' });

const STEPS = ['add', 'change', 'remove', 'none', 'conflict', 'failed'] as const;

const STEP_OF: Readonly<Record<Outcome, (typeof STEPS)[number]>> = {
  added: 'add',
  changed: 'change',
  removed: 'remove',
  unchanged: 'none',
  absent: 'none',
  conflict: 'conflict',
  failed: 'failed',
};

const RouterSetup = z
  .object({
    router_id: Id,
    template: Template,
    plan: z
      .array(
        z.object({
          kind: z.enum([...PROVISIONING_KINDS, 'ppp_profile']),
          key: z.string(),
          step: z.enum(STEPS),
          error: z.string().nullable(),
          differences: z.array(Difference),
        }),
      )
      .describe('Of mode `plan`: what would be done. Empty otherwise.'),
    entries: z
      .array(
        z.object({
          provisioning_id: Id,
          kind: z.enum(PROVISIONING_KINDS),
          key: z.string(),
          is_wanted: z.boolean(),
          status: z.enum(PROVISIONING_STATUSES),
          error: z.string().nullable().describe('In the router’s words where it has said something.'),
          next_attempt_at: Instant.nullable(),
        }),
      )
      .describe('What stands for the set-up now. An entry that waits is tried again by itself.'),
  })
  .meta({ id: 'RouterSetup' });

type Setup = z.input<typeof RouterSetup>;

function toGarden(sent: z.output<typeof Variables> = {}): WalledGarden {
  const parsed = parsePoolRanges(sent.pool_ranges ?? '10.254.0.2-10.254.15.254');
  if (typeof parsed === 'string') throw invalidField('variables.pool_ranges', parsed);
  const local_address = sent.local_address ?? '10.254.0.1';
  if (holdsAddress(parsed.ranges, local_address))
    throw invalidField('variables.local_address', 'is one of the addresses of the pool');
  const { page_address = null, page_port = 80 } = sent;
  const allowed_addresses = (sent.allowed_addresses ?? []).map((text, at) => {
    const prefix = canonicalPrefix(text);
    if (prefix === null) throw invalidField(`variables.allowed_addresses.${at}`, 'lets everybody through');
    return prefix;
  });
  return { pool_ranges: parsed.ranges, local_address, page_address, page_port, allowed_addresses };
}

async function readSetup(ctx: Context, router_id: string) {
  const [[router], [settings], rows, pools, [leaning]] = await read(
    ctx,
    ctx.db.orm.select({ id: routers.id }).from(routers).where(eq(routers.id, router_id)),
    selectSettings(ctx),
    ctx.db.orm
      .select()
      .from(provisioning)
      .where(and(eq(provisioning.router_id, router_id), eq(provisioning.setup, ISOLIR_SETUP)))
      .orderBy(asc(provisioning.kind), asc(provisioning.key)),
    ctx.db.orm.all<{ name: string }>(sql`SELECT name FROM ip_pools WHERE router_id = ${router_id}`),
    ctx.db.orm.all<{ count: number }>(sql`
      SELECT count(*) AS count FROM provisioning WHERE router_id = ${router_id} AND desired IS NOT NULL
        AND customer_id IS NOT NULL AND (kind = 'address_list'
          OR (kind = 'ppp_secret' AND desired ->> 'profile' = (SELECT isolir_profile FROM settings)))`),
  );
  if (!router) throw notFound('router');
  return { settings: settings!, rows, pools, leaning: leaning!.count };
}

async function setUpRouter(ctx: Context, router_id: string, order: z.output<typeof SetupOrder>): Promise<Setup> {
  const garden = toGarden(order.variables);
  const { settings, rows, pools } = await readSetup(ctx, router_id);
  if (pools.some(pool => pool.name === settings.isolir_pool))
    throw invalidField('template', `needs the pool "${settings.isolir_pool}", which is another one on this router`);
  const wanted = isolirEntries(router_id, settings, garden);
  if (order.mode === 'plan')
    return { ...(await describeSetup(ctx, router_id)), plan: await planIsolir(ctx, settings, router_id, garden, rows) };
  const { writes, routers: touched } = setRouterEntries(ctx, rows, wanted, false);
  if (touched.length === 0) return applySetup(ctx, router_id);
  await commit(ctx, [...stillAsRead(router_id, rows, settings), ...writes], {
    type: 'router.set_up',
    action: 'update',
    entity_id: router_id,
    data: { template: order.template, ...garden },
    routers: touched,
  });
  return applySetup(ctx, router_id);
}

/** Of two admins who set it up at once, or who change the settings meanwhile, the later one is decided again. */
const stillAsRead = (router_id: string, rows: readonly ProvisioningRow[], settings: SettingsRow): Write[] => [
  mustBeAsRead(sql`router_id = ${router_id} AND setup = ${ISOLIR_SETUP}`, rows),
  mustHold(sql`(SELECT updated_at FROM settings) = ${Date.parse(settings.updated_at)}`, new RaceLost()),
];

async function planIsolir(
  ctx: Context,
  settings: SettingsRow,
  router_id: string,
  garden: WalledGarden,
  rows: readonly ProvisioningRow[],
) {
  const wanted = isolirEntries(router_id, settings, garden);
  const pool = { name: settings.isolir_pool, local_address: garden.local_address, is_gone: false };
  const kept = new Set(wanted.map(wantedRef));
  const unwanted = rows.filter(row => row.desired !== null && !kept.has(wantedRef(row)));
  const results = await lookAhead(ctx, router_id, wanted, unwanted, pool);
  const named_rows = [...wanted, ...unwanted];
  return results.map(({ ref, outcome, error, differences }): Setup['plan'][number] => {
    const row = named_rows.find(each => wantedRef(each) === ref);
    const named = row ?? { kind: 'ppp_profile' as const, key: settings.isolir_profile };
    return { kind: named.kind, key: named.key, step: STEP_OF[outcome], error, differences };
  });
}

async function takeSetupBack(ctx: Context, router_id: string, is_forced: boolean): Promise<Setup> {
  const { rows, settings, leaning } = await readSetup(ctx, router_id);
  if (leaning > 0 && !is_forced)
    throw new AppError(
      'CONFLICT',
      `${leaning} suspended ${leaning === 1 ? 'line leans' : 'lines lean'} on it: without it they are free, or have no address. \`force\` takes it back all the same.`,
    );
  const { writes, routers: touched } = setRouterEntries(ctx, rows, [], false);
  if (touched.length > 0)
    await commit(ctx, [...stillAsRead(router_id, rows, settings), ...writes], {
      type: 'router.setup_taken_back',
      action: 'update',
      entity_id: router_id,
      data: { template: ISOLIR_SETUP },
      routers: touched,
    });
  return applySetup(ctx, router_id);
}

/** Now, where the router can be reached; what can't be done now is done later, and the entries say so. */
async function applySetup(ctx: Context, router_id: string): Promise<Setup> {
  await applyDesired(ctx, router_id);
  return describeSetup(ctx, router_id);
}

async function describeSetup(ctx: Context, router_id: string): Promise<Setup> {
  const { rows } = await readSetup(ctx, router_id);
  const shown = rows.filter(row => row.desired !== null || row.status !== 'in_sync');
  return {
    router_id,
    template: ISOLIR_SETUP,
    plan: [],
    entries: shown.map(({ id, kind, key, desired, status, last_error, next_attempt_at }) => ({
      provisioning_id: id,
      kind,
      key,
      is_wanted: desired !== null,
      status,
      error: last_error,
      next_attempt_at,
    })),
  };
}

export const setup_routes: Record<string, Endpoint> = {
  'POST /:id/setup': endpoint({
    id: 'routers.setUp',
    summary: 'Plan or make a set-up of a router',
    description:
      '`isolir`: a pool for the profile of the suspended, and firewall rules for everybody on their address list: DNS, the ' +
      'page and the allowed addresses are reachable, nothing else. Names come from the settings. Made again with other ' +
      'variables it is changed to them.',
    needs: 'routers:write',
    body: SetupOrder,
    returns: { one: RouterSetup },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE', 'CONFLICT'],
    run: (ctx, { params, body }) => setUpRouter(ctx, params.id, body),
  }),
  'POST /:id/setup/rollback': endpoint({
    id: 'routers.takeSetupBack',
    summary: 'Take a set-up back: what it made is removed from the router',
    needs: 'routers:write',
    body: Rollback,
    returns: { one: RouterSetup },
    errors: ['CONFLICT'],
    run: (ctx, { params, body }) => takeSetupBack(ctx, params.id, body.force ?? false),
  }),
};
