import { and, eq, ne } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { crud, type Prepared, type Target } from '../../http/crud.ts';
import { Id, Instant, line, note } from '../../http/fields.ts';
import { exactly } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { parsePoolRanges } from '../../lib/routeros/pool-ranges.ts';
import { routers } from '../routers/table.ts';
import { ip_pools } from './table.ts';

export { ip_pools, type IpPoolRow } from './table.ts';

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
  const [found, others] = await read(
    ctx,
    ctx.db.orm.select({ id: routers.id }).from(routers).where(eq(routers.id, router_id)),
    ctx.db.orm
      .select({ name: ip_pools.name })
      .from(ip_pools)
      .where(and(eq(ip_pools.router_id, router_id), ne(ip_pools.id, id))),
  );
  if (found.length === 0) throw invalidField('router_id', 'names no router');
  const next_pool = sent.next_pool;
  if (next_pool && !others.some(pool => pool.name === next_pool))
    throw invalidField('next_pool', 'names no other pool of this router');
  return { columns: { ...sent, ...parsed } };
}

/** Address pools of the routers, as the office knows them. */
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
      filters: { router_id: exactly(ip_pools.router_id, Id) },
      sort: ['name', 'created_at'],
      default_sort: 'name',
    },
    prepare: preparePool,
  }).routes,
};
