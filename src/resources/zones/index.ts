import { z } from 'zod';
import { crud } from '../../http/crud.ts';
import { Id, Instant, line } from '../../http/fields.ts';
import { contains, during } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { zones } from './table.ts';

export { zones } from './table.ts';

const ZoneInput = z.strictObject({ name: line(100) }).meta({ id: 'ZoneInput' });
const Zone = z.object({ id: Id, name: z.string(), created_at: Instant, updated_at: Instant }).meta({ id: 'Zone' });

/** Areas of the ISP, for filters, forecasts and collectors. */
export const zonesResource: Resource = {
  path: '/zones',
  routes: crud({
    name: 'zone',
    plural: 'zones',
    table: zones,
    permissions: { read: 'customers:read', write: 'customers:write' },
    row: Zone,
    input: ZoneInput,
    list: {
      filters: { created_at: during(zones.created_at) },
      sort: ['name', 'created_at'],
      default_sort: 'name',
      search: contains(zones.name),
    },
  }).routes,
};
