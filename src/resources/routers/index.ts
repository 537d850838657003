import { and, eq, isNull, ne, sql } from 'drizzle-orm';
import { z } from 'zod';
import { seal } from '../../auth/sealing.ts';
import type { Context } from '../../context.ts';
import { commit, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { crud, type Prepared, type Target } from '../../http/crud.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant, line, QueryBoolean, MASK, secretText } from '../../http/fields.ts';
import { contains, during, exactly } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { askRouter, findRouter } from '../../provisioning/ask-router.ts';
import { probeRouter } from '../../provisioning/bridge-client.ts';
import { CIRCUIT_STATES, circuitState } from '../../provisioning/circuit.ts';
import { forgetRouter, trustFirst } from '../../provisioning/observe.ts';
import { raiseRouter } from '../../provisioning/set-desired.ts';
import { closeCircuit } from '../../provisioning/settle-circuit.ts';
import { ProbeAnswer } from '../../protocol/messages.ts';
import { bridges, CONNECTION_STATES } from '../bridges/index.ts';
import { provisioning } from '../provisioning/table.ts';
import { drift_routes } from './drift.ts';
import { live_routes } from './live.ts';
import { setup_routes } from './setup.ts';
import { routers, type RouterRow } from './table.ts';

const Host = z
  .string()
  .trim()
  .toLowerCase()
  .max(253)
  .pipe(
    z.union(
      [
        z.ipv4(),
        z.ipv6(),
        z.string().regex(/^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/),
      ],
      'is neither an IP address nor a host name',
    ),
  );

const RouterInput = z
  .strictObject({
    name: line(100),
    host: Host.describe('As the bridge reaches it: an IP address or a host name.'),
    port: z.int().min(1).max(65535).optional().describe('Default 8728, or 8729 with TLS.'),
    use_tls: z.boolean().optional(),
    tls_fingerprint: z
      .string()
      .toLowerCase()
      .transform(text => text.replaceAll(':', ''))
      .pipe(z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 fingerprint'))
      .nullable()
      .optional()
      .describe(
        'SHA-256 of the certificate: no other one is accepted. Without one, the first that the router shows is kept.',
      ),
    tls_anonymous_dh: z
      .boolean()
      .optional()
      .describe(
        'With TLS: the router has no certificate (anonymous Diffie-Hellman). Anybody in between can read along.',
      ),
    username: line(100),
    password: secretText(200).describe('Sealed; never comes back.'),
    bridge_id: Id.nullable().optional().describe('Default: the only bridge, where there is one.'),
    location: line(200).nullable().optional(),
    is_active: z.boolean().optional(),
    is_default: z.boolean().optional().describe('New PPPoE customers are put on it. The first router is.'),
  })
  .meta({ id: 'RouterInput' });

const Router = z
  .object({
    id: Id,
    name: z.string(),
    host: z.string(),
    port: z.int(),
    use_tls: z.boolean(),
    tls_fingerprint: z.string().nullable(),
    tls_anonymous_dh: z.boolean(),
    username: z.string(),
    password: z.literal(MASK),
    has_password: z.literal(true),
    bridge_id: Id.nullable(),
    location: z.string().nullable(),
    is_active: z.boolean(),
    is_default: z.boolean(),
    status: z.enum(CONNECTION_STATES).describe('As it was when last spoken to.'),
    last_seen_at: Instant.nullable(),
    circuit: z
      .object({
        state: z.enum(CIRCUIT_STATES),
        failures: z.int().min(0).describe('Calls in a row that failed.'),
        open_until: Instant.nullable().describe('When it is asked again by itself.'),
      })
      .describe('`open`: it failed again and again, and is left alone for a while; `half_open`: it is asked next.'),
    drift_checked_at: Instant.nullable().describe('When what it holds was last compared with what it must hold.'),
    identity: z.string().nullable(),
    board_name: z.string().nullable(),
    version: z.string().nullable(),
    last_error: z.string().nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Router' });

const toRouter = (row: RouterRow, { now }: Context): z.input<typeof Router> => {
  const { failures, open_until } = row.circuit ?? { failures: 0, open_until: null };
  const circuit = { state: circuitState(row.circuit, now), failures, open_until };
  return { ...row, password: MASK, has_password: true, circuit };
};

async function prepareRouter(
  ctx: Context,
  sent: Partial<z.output<typeof RouterInput>>,
  { id, before }: Target<typeof routers>,
): Promise<Prepared<typeof routers>> {
  const { orm } = ctx.db;
  const [its_bridge, all_bridges, [others], [former]] = await read(
    ctx,
    orm
      .select({ id: bridges.id })
      .from(bridges)
      .where(eq(bridges.id, sent.bridge_id ?? '')),
    orm.select({ id: bridges.id }).from(bridges).limit(2),
    orm.all<{ count: number }>(sql`SELECT count(*) AS count FROM ${routers}`),
    orm
      .select()
      .from(routers)
      .where(and(eq(routers.is_default, true), ne(routers.id, id))),
  );
  if (sent.bridge_id && its_bridge.length === 0) throw invalidField('bridge_id', 'names no bridge');
  const columns: Prepared<typeof routers>['columns'] = { ...sent };
  if (sent.password !== undefined)
    columns.password = await seal(ctx, { row_id: id, column: 'password' }, sent.password);
  const taken = sent.is_default && former ? takeDefault(ctx, former) : {};
  if (before) return recheck(ctx, before, columns, taken);
  const use_tls = sent.use_tls ?? false;
  const only_bridge = all_bridges.length === 1 ? all_bridges[0]!.id : null;
  return {
    ...taken,
    columns: {
      status: 'unknown',
      is_active: true,
      is_default: others!.count === 0,
      port: use_tls ? 8729 : 8728,
      ...columns,
      use_tls,
      bridge_id: sent.bridge_id === undefined ? only_bridge : sent.bridge_id,
    },
  };
}

/** Columns that say where a router is and how to get in. */
const ACCESS = [
  'host',
  'port',
  'use_tls',
  'tls_fingerprint',
  'tls_anonymous_dh',
  'username',
  'password',
  'bridge_id',
  'is_active',
] as const;

/** Where it is looked for: elsewhere, it may be another one. */
const PLACE = ['host', 'port', 'bridge_id'] as const;

function recheck(
  ctx: Context,
  before: RouterRow,
  columns: Partial<RouterRow>,
  taken: Pick<Prepared<typeof routers>, 'writes_before' | 'events'>,
): Prepared<typeof routers> {
  const differs = ACCESS.some(column => columns[column] !== undefined && columns[column] !== before[column]);
  if (!differs) return { ...taken, columns };
  const is_elsewhere = PLACE.some(column => columns[column] !== undefined && columns[column] !== before[column]);
  const writes = columns.is_active === false || is_elsewhere ? forgetRouter(ctx, before.id) : [];
  return {
    ...taken,
    columns,
    // what failed so far says nothing of how it is reached from now on
    writes_before: [...(taken.writes_before ?? []), closeCircuit(ctx, before.id)],
    writes: [...writes, ...raiseRouter(ctx, before.id)],
    routers: [before.id],
  };
}

/** One router is the default: making another one it takes it from this one, in the same batch and before. */
function takeDefault(ctx: Context, former: RouterRow): Pick<Prepared<typeof routers>, 'writes_before' | 'events'> {
  const write = updateRow({ ...ctx, if_match: null }, routers, former, { is_default: false });
  const changes = { is_default: [true, false] as [boolean, boolean] };
  return {
    writes_before: [write],
    events: [{ type: 'router.updated', action: 'update', entity_id: former.id, changes }],
  };
}

const routers_crud = crud({
  name: 'router',
  plural: 'routers',
  table: routers,
  permissions: { read: 'routers:read', write: 'routers:write' },
  row: Router,
  input: RouterInput,
  list: {
    filters: {
      status: exactly(routers.status, z.enum(CONNECTION_STATES)),
      is_active: exactly(routers.is_active, QueryBoolean),
      bridge_id: exactly(routers.bridge_id, Id),
      created_at: during(routers.created_at),
    },
    sort: ['name', 'created_at'],
    default_sort: 'name',
    search: contains(routers.name, routers.host, routers.location),
  },
  toWire: toRouter,
  secrets: ['password'],
  prepare: prepareRouter,
  // what it was confirmed to hold no more needs no memory once the router is gone
  beforeDelete: (ctx, row) => [
    ...forgetRouter(ctx, row.id),
    ctx.db.orm
      .delete(provisioning)
      .where(and(eq(provisioning.router_id, row.id), isNull(provisioning.desired), eq(provisioning.status, 'in_sync'))),
  ],
});

const RouterTest = ProbeAnswer.meta({ id: 'RouterTest' });

/** Connects and signs in now; what was learned is kept on the router's row. */
async function testRouter(ctx: Context, id: string): Promise<z.input<typeof RouterTest>> {
  const reached = await findRouter(ctx, id);
  const answer = await askRouter(ctx, reached, () => probeRouter(ctx, reached), {
    in_any_case: true,
    learn: ({ identity, board_name, version }) => ({ identity, board_name, version }),
  });
  if (answer.tls_fingerprint !== null) await commit(ctx, trustFirst(ctx, id, answer.tls_fingerprint));
  return answer;
}

export const routersResource: Resource = {
  path: '/routers',
  routes: {
    ...routers_crud.routes,
    ...live_routes,
    ...drift_routes,
    ...setup_routes,
    'POST /:id/test': endpoint({
      id: 'routers.test',
      summary: 'Connect and sign in now',
      needs: 'routers:live',
      returns: { one: RouterTest },
      errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE'],
      run: (ctx, { params }) => testRouter(ctx, params.id),
    }),
  },
};
