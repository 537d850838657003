import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit } from '../../db/commit.ts';
import type { Endpoint, Page } from '../../http/definition.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, queryInt } from '../../http/fields.ts';
import { SearchTerm } from '../../http/list.ts';
import { fold } from '../../lib/text.ts';
import type { ReadKind } from '../../protocol/messages.ts';
import { askRouter, findRouter } from '../../provisioning/ask-router.ts';
import { disconnectUser, readRouter } from '../../provisioning/bridge-client.ts';
import { Freshness, freshnessOf, MaxAge } from '../../provisioning/freshness.ts';
import { listLiveRows, type LiveRow } from '../../provisioning/live-rows.ts';

/**
 * What a router shows now, asked through its bridge. Each answer says how old it is; where the router can't be read the
 * answer is a refusal, and what it holds is unknown: never an empty list.
 */

const LiveQuery = z.strictObject({
  page: queryInt({ min: 1, max: 1_000_000 }).default(1),
  per_page: queryInt({ min: 1, max: 100 }).default(10),
  search: SearchTerm.optional().describe('In any text of a row.'),
  max_age: MaxAge,
});

interface LiveList<S extends z.ZodObject> {
  id: string;
  summary: string;
  what: ReadKind;
  row: S;
  toWire(row: LiveRow): z.input<S>;
}

function liveList<S extends z.ZodObject>({ id, summary, what, row, toWire }: LiveList<S>): Endpoint {
  return endpoint({
    id: `routers.${id}`,
    summary,
    description: 'Live: read through the bridge. 502 or 503 when that fails: what the router holds is then unknown.',
    needs: 'routers:live',
    query: LiveQuery,
    returns: { list: row, meta: Freshness },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
    run: async (ctx, { params, query }): Promise<Page<z.input<S>>> => {
      const reached = await findRouter(ctx, params.id);
      const question = { what, name: null, most_age_ms: query.max_age * 1000 };
      const answer = await askRouter(ctx, reached, () => readRouter(ctx, reached, question));
      const rows = listLiveRows(answer).map(toWire);
      const term = query.search === undefined ? null : fold(query.search);
      const found = term === null ? rows : rows.filter(each => holdsText(each, term));
      const start = (query.page - 1) * query.per_page;
      const page = found.slice(start, start + query.per_page);
      return { rows: page, total: found.length, meta: freshnessOf(ctx, answer.age_ms) };
    },
  });
}

const holdsText = (row: object, term: string): boolean =>
  Object.values(row).some(value => typeof value === 'string' && fold(value).includes(term));

const nameOf = (row: LiveRow) => row.text('name') ?? '';

const Session = z
  .object({
    name: z.string().describe('PPPoE name.'),
    service: z.string().nullable(),
    caller_id: z.string().nullable().describe('MAC address of the subscriber’s router.'),
    address: z.string().nullable(),
    uptime_seconds: z.int().nullable(),
    session_id: z.string().nullable(),
    encoding: z.string().nullable(),
    is_radius: z.boolean(),
  })
  .meta({ id: 'LiveSession' });

const Secret = z
  .object({
    name: z.string(),
    service: z.string().nullable(),
    profile: z.string().nullable(),
    local_address: z.string().nullable(),
    remote_address: z.string().nullable(),
    caller_id: z.string().nullable(),
    is_disabled: z.boolean(),
    comment: z.string().nullable(),
    last_logged_out: z.string().nullable().describe('By the router’s own clock, as it writes it.'),
  })
  .meta({ id: 'LiveSecret' });

const Profile = z
  .object({
    name: z.string(),
    rate_limit: z.string().nullable(),
    local_address: z.string().nullable(),
    remote_address: z.string().nullable(),
    dns_server: z.string().nullable(),
    only_one: z.string().nullable(),
    session_timeout_seconds: z.int().nullable(),
    address_list: z.string().nullable(),
    parent_queue: z.string().nullable(),
    queue_type: z.string().nullable(),
    comment: z.string().nullable(),
  })
  .meta({ id: 'LiveProfile' });

const Pool = z
  .object({
    name: z.string(),
    ranges: z.string().nullable(),
    next_pool: z.string().nullable(),
    used: z.int().nullable().describe('Addresses given out now.'),
    comment: z.string().nullable(),
  })
  .meta({ id: 'LivePool' });

const Queue = z
  .object({
    name: z.string(),
    target: z.string().nullable(),
    parent: z.string().nullable(),
    max_upload_bps: z.int().nullable().describe('0: no limit.'),
    max_download_bps: z.int().nullable().describe('0: no limit.'),
    upload_bps: z.int().nullable().describe('Its rate now.'),
    download_bps: z.int().nullable().describe('Its rate now.'),
    upload_bytes: z.int().nullable(),
    download_bytes: z.int().nullable(),
    is_disabled: z.boolean(),
    is_dynamic: z.boolean(),
    comment: z.string().nullable(),
  })
  .meta({ id: 'LiveQueue' });

const Resource = z
  .object({
    ...Freshness.shape,
    identity: z.string().nullable(),
    board_name: z.string().nullable(),
    version: z.string().nullable(),
    architecture: z.string().nullable(),
    uptime_seconds: z.int().nullable(),
    cpu_load_percent: z.int().nullable(),
    cpu_count: z.int().nullable(),
    free_memory_bytes: z.int().nullable(),
    total_memory_bytes: z.int().nullable(),
    free_disk_bytes: z.int().nullable(),
    total_disk_bytes: z.int().nullable(),
  })
  .meta({ id: 'LiveResource' });

const SessionName = z.string().min(1).max(255);
const Disconnected = z.object({ name: z.string(), sessions_ended: z.int().min(0) }).meta({ id: 'DisconnectedSession' });

async function disconnect(ctx: Context, router_id: string, name: string): Promise<z.input<typeof Disconnected>> {
  const reached = await findRouter(ctx, router_id);
  const { sessions_ended } = await askRouter(ctx, reached, () => disconnectUser(ctx, reached, name));
  if (sessions_ended > 0)
    await commit(ctx, [], {
      type: 'router.session_disconnected',
      action: 'update',
      entity_id: router_id,
      data: { name, sessions_ended },
    });
  return { name, sessions_ended };
}

export const live_routes: Record<string, Endpoint> = {
  'GET /:id/sessions': liveList({
    id: 'sessions',
    summary: 'Who is online on a router',
    what: 'active',
    row: Session,
    toWire: row => ({
      name: nameOf(row),
      service: row.text('service'),
      caller_id: row.text('caller-id'),
      address: row.text('address'),
      uptime_seconds: row.seconds('uptime'),
      session_id: row.text('session-id'),
      encoding: row.text('encoding'),
      is_radius: row.flag('radius'),
    }),
  }),
  'POST /:id/sessions/:name/disconnect': endpoint({
    id: 'routers.disconnect',
    summary: 'End the live sessions of one PPP user',
    description: 'Who may still sign in dials in again at once. Nobody online of that name: `sessions_ended` is 0.',
    needs: 'sessions:disconnect',
    params: z.strictObject({ id: Id, name: SessionName }),
    returns: { one: Disconnected },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
    run: (ctx, { params }) => disconnect(ctx, params.id, params.name),
  }),
  'GET /:id/secrets': liveList({
    id: 'secrets',
    summary: 'The PPP secrets on a router, without passwords',
    what: 'secrets',
    row: Secret,
    toWire: row => ({
      name: nameOf(row),
      service: row.text('service'),
      profile: row.text('profile'),
      local_address: row.text('local-address'),
      remote_address: row.text('remote-address'),
      caller_id: row.text('caller-id') || null,
      is_disabled: row.flag('disabled'),
      comment: row.text('comment'),
      last_logged_out: row.text('last-logged-out'),
    }),
  }),
  'GET /:id/profiles': liveList({
    id: 'profiles',
    summary: 'The PPP profiles on a router',
    what: 'profiles',
    row: Profile,
    toWire: row => ({
      name: nameOf(row),
      rate_limit: row.text('rate-limit') || null,
      local_address: row.text('local-address'),
      remote_address: row.text('remote-address'),
      dns_server: row.text('dns-server') || null,
      only_one: row.text('only-one'),
      session_timeout_seconds: row.seconds('session-timeout'),
      address_list: row.text('address-list') || null,
      parent_queue: row.text('parent-queue'),
      queue_type: row.text('queue-type'),
      comment: row.text('comment'),
    }),
  }),
  'GET /:id/pools': liveList({
    id: 'pools',
    summary: 'The address pools on a router',
    what: 'pools',
    row: Pool,
    toWire: row => ({
      name: nameOf(row),
      ranges: row.text('ranges'),
      next_pool: row.text('next-pool'),
      used: row.count('used'),
      comment: row.text('comment'),
    }),
  }),
  'GET /:id/queues': liveList({
    id: 'queues',
    summary: 'The simple queues on a router',
    what: 'queues',
    row: Queue,
    toWire: toQueue,
  }),
  'GET /:id/resource': endpoint({
    id: 'routers.resource',
    summary: 'Load, memory and uptime of a router',
    needs: 'routers:live',
    query: z.strictObject({ max_age: MaxAge }),
    returns: { one: Resource },
    errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
    run: (ctx, { params, query }) => readResource(ctx, params.id, query.max_age),
  }),
};

function toQueue(row: LiveRow): z.input<typeof Queue> {
  const [limit, rate, bytes] = ['max-limit', 'rate', 'bytes'].map(property => row.pair(property));
  return {
    name: nameOf(row),
    target: row.text('target'),
    parent: row.text('parent'),
    max_upload_bps: limit?.[0] ?? null,
    max_download_bps: limit?.[1] ?? null,
    upload_bps: rate?.[0] ?? null,
    download_bps: rate?.[1] ?? null,
    upload_bytes: bytes?.[0] ?? null,
    download_bytes: bytes?.[1] ?? null,
    is_disabled: row.flag('disabled'),
    is_dynamic: row.flag('dynamic'),
    comment: row.text('comment'),
  };
}

async function readResource(ctx: Context, router_id: string, max_age_s: number): Promise<z.input<typeof Resource>> {
  const reached = await findRouter(ctx, router_id);
  const question = { what: 'resource' as const, name: null, most_age_ms: max_age_s * 1000 };
  const answer = await askRouter(ctx, reached, () => readRouter(ctx, reached, question));
  const [row] = listLiveRows(answer);
  return {
    ...freshnessOf(ctx, answer.age_ms),
    identity: row?.text('name') ?? null,
    board_name: row?.text('board-name') ?? null,
    version: row?.text('version') ?? null,
    architecture: row?.text('architecture-name') ?? null,
    uptime_seconds: row?.seconds('uptime') ?? null,
    cpu_load_percent: row?.count('cpu-load') ?? null,
    cpu_count: row?.count('cpu-count') ?? null,
    free_memory_bytes: row?.count('free-memory') ?? null,
    total_memory_bytes: row?.count('total-memory') ?? null,
    free_disk_bytes: row?.count('free-hdd-space') ?? null,
    total_disk_bytes: row?.count('total-hdd-space') ?? null,
  };
}
