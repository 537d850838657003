import { and, eq, isNull, ne, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { mustHold, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { AppError, invalidField } from '../../errors.ts';
import { crud, type Prepared, type Target } from '../../http/crud.ts';
import { Id, Instant, line, note } from '../../http/fields.ts';
import { contains, during, exactly } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { parsePoolRanges } from '../../lib/routeros/pool-ranges.ts';
import { describePool } from '../../provisioning/desired.ts';
import { dropEntries, setRouterEntries } from '../../provisioning/set-desired.ts';
import { provisioning } from '../provisioning/table.ts';
import { routers } from '../routers/table.ts';
import { selectSettings } from '../settings/index.ts';
import { ip_pools, type IpPoolRow } from './table.ts';

export { checkPoolRoom } from './capacity.ts';

const IpPoolInput = z
  .strictObject({
    router_id: Id,
    name: line(100),
    ranges: line(2000).describe(
      '`192.168.1.0/24`, `192.168.1.10-192.168.1.200`, `192.168.1.10-200`, or several with commas between.',
    ),
    next_pool: line(100)
      .nullable()
      .optional()
      .describe('Name of the pool of this router that is used once it is full.'),
    notes: note().nullable().optional(),
  })
  .meta({ id: 'IpPoolInput' });

const IpPool = z
  .object({
    id: Id,
    router_id: Id,
    name: z.string(),
    ranges: z.string().describe('As RouterOS writes them.'),
    next_pool: z.string().nullable(),
    size: z.int().describe('Addresses in the ranges.'),
    used: z.int().nullable().describe('Given out when the router was last read; null: not known.'),
    used_at: Instant.nullable(),
    notes: z.string().nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'IpPool' });

async function preparePool(
  ctx: Context,
  sent: Partial<z.output<typeof IpPoolInput>>,
  { id, before }: Target<typeof ip_pools>,
): Promise<Prepared<typeof ip_pools>> {
  const parsed = sent.ranges === undefined ? null : parsePoolRanges(sent.ranges);
  if (typeof parsed === 'string') throw invalidField('ranges', parsed);
  const router_id = sent.router_id ?? before?.router_id ?? '';
  const name = sent.name ?? before?.name ?? '';
  const [found, others, [settings], rows] = await read(
    ctx,
    ctx.db.orm.select({ id: routers.id }).from(routers).where(eq(routers.id, router_id)),
    ctx.db.orm
      .select({ name: ip_pools.name })
      .from(ip_pools)
      .where(and(eq(ip_pools.router_id, router_id), ne(ip_pools.id, id))),
    selectSettings(ctx),
    ctx.db.orm
      .select()
      .from(provisioning)
      .where(and(eq(provisioning.kind, 'ip_pool'), isNull(provisioning.setup), before ? isPool(before) : sql`0`)),
  );
  if (found.length === 0) throw invalidField('router_id', 'names no router');
  if (name === settings!.isolir_pool) throw invalidField('name', 'is the pool of the suspended (isolir_pool)');
  const next_pool = sent.next_pool;
  if (next_pool && !others.some(pool => pool.name === next_pool))
    throw invalidField('next_pool', 'names no other pool of this router');
  const columns = { ...sent, ...parsed };
  const { ranges, ...pool } = { next_pool: null, ranges: '', ...before, ...columns };
  const wanted = describePool({ router_id, name, ranges, next_pool: pool.next_pool });
  const { writes, routers: touched } = setRouterEntries(ctx, rows, [wanted], false);
  return { columns, writes: [...(before ? keepUsed(before, { router_id, name }) : []), ...writes], routers: touched };
}

type PoolName = Pick<IpPoolRow, 'router_id' | 'name'>;

/** The row that stands for it among what its router must hold. */
const isPool = ({ router_id, name }: PoolName): SQL =>
  and(eq(provisioning.router_id, router_id), eq(provisioning.kind, 'ip_pool'), eq(provisioning.key, name))!;

/** A pool may not go, nor be called otherwise, while a plan's lines on the router get their addresses from it. */
function keepUsed(pool: PoolName, after: PoolName | null): Write[] {
  if (after?.name === pool.name && after.router_id === pool.router_id) return [];
  const lines = sql`
    SELECT 1 FROM customers AS c JOIN service_plan_settings AS s ON s.plan_id = c.service_plan_id
    WHERE c.router_id = ${pool.router_id} AND c.deleted_at IS NULL AND c.status IN ('active', 'suspended')
      AND s.address_pool = ${pool.name}`;
  const chains = sql`SELECT 1 FROM ip_pools WHERE router_id = ${pool.router_id} AND next_pool = ${pool.name}`;
  const used = new AppError(
    'IN_USE',
    `Pool "${pool.name}" is used: by lines on the router, or as another pool’s next.`,
  );
  return [mustHold(sql`NOT EXISTS (${lines}) AND NOT EXISTS (${chains})`, used)];
}

/** Address pools of the routers: what the office says of them is brought to the routers. */
export const ipPoolsResource: Resource = {
  path: '/ip-pools',
  routes: crud({
    name: 'ip_pool',
    plural: 'ip-pools',
    table: ip_pools,
    permissions: { read: 'routers:read', write: 'routers:write' },
    row: IpPool,
    input: IpPoolInput,
    list: {
      filters: { router_id: exactly(ip_pools.router_id, Id), created_at: during(ip_pools.created_at) },
      sort: ['name', 'created_at'],
      default_sort: 'name',
      search: contains(ip_pools.name, ip_pools.ranges),
    },
    prepare: preparePool,
    routersOf: pool => [pool.router_id],
    beforeDelete: (ctx, pool) => [...keepUsed(pool, null), ...dropEntries(ctx, pool.router_id, isPool(pool))],
  }).routes,
};
