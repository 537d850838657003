import { and, eq, isNull, sql } from 'drizzle-orm';
import { z } from 'zod';
import { seal } from '../../auth/sealing.ts';
import type { Context } from '../../context.ts';
import { mustHold } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { crud, type Prepared, type Target } from '../../http/crud.ts';
import { endpoint } from '../../http/endpoint.ts';
import {
  DateText,
  Id,
  Instant,
  IpAddress,
  Latitude,
  line,
  Longitude,
  MASK,
  Masked,
  MoneyOrZero,
  note,
  secretText,
} from '../../http/fields.ts';
import { exactly } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { forgetDevice } from '../../provisioning/observe.ts';
import { bridges } from '../bridges/table.ts';
import { customers } from '../customers/table.ts';
import { DEVICE_STATUSES, DEVICE_TYPES, devices, type DeviceRow } from './table.ts';

const MacAddress = z
  .string()
  .trim()
  .regex(/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/, 'is not a MAC address')
  .transform(text => text.toUpperCase().replaceAll('-', ':'));

const Port = z.int().min(1).max(65535);

const DeviceInput = z
  .strictObject({
    device_name: line(100),
    device_type: z.enum(DEVICE_TYPES),
    serial_number: line(100).nullable().optional(),
    mac_address: MacAddress.nullable().optional(),
    brand: line(100).nullable().optional(),
    model: line(100).nullable().optional(),
    firmware_version: line(100).nullable().optional(),
    ip_address: IpAddress.nullable().optional().describe('As the bridge reaches it; without one it isn’t watched.'),
    port: Port.nullable().optional().describe('TCP port that the check asks; default: the usual ones in turn.'),
    username: line(100).nullable().optional(),
    password: secretText(200).nullable().optional().describe('Sealed; never comes back.'),
    subnet_mask: z.ipv4().nullable().optional(),
    gateway: IpAddress.nullable().optional(),
    location: line(200).nullable().optional(),
    latitude: Latitude.nullable().optional(),
    longitude: Longitude.nullable().optional(),
    status: z
      .enum(['maintenance', 'unknown'])
      .optional()
      .describe('`maintenance`: no check changes it, and no alert is raised; `unknown` ends that.'),
    bridge_id: Id.nullable()
      .optional()
      .describe('The bridge that checks it. Default: the only bridge, where there is one.'),
    customer_id: Id.nullable().optional(),
    parent_device_id: Id.nullable().optional(),
    installation_date: DateText.nullable().optional(),
    warranty_until: DateText.nullable().optional(),
    purchase_price: MoneyOrZero.nullable().optional(),
    notes: note().nullable().optional(),
  })
  .meta({ id: 'DeviceInput' });

const DeviceStatus = z
  .object({
    id: Id,
    status: z.enum(DEVICE_STATUSES),
    status_at: Instant.nullable().describe('When it was last seen to be so.'),
    last_seen_at: Instant.nullable(),
    latency_ms: z.int().nullable(),
    age_seconds: z.int().nullable().describe('How old `status` is; null when it was never checked.'),
  })
  .meta({ id: 'DeviceStatus' });

const Device = z
  .object({
    id: Id,
    device_name: z.string(),
    device_type: z.enum(DEVICE_TYPES),
    serial_number: z.string().nullable(),
    mac_address: z.string().nullable(),
    brand: z.string().nullable(),
    model: z.string().nullable(),
    firmware_version: z.string().nullable(),
    ip_address: z.string().nullable(),
    port: z.int().nullable(),
    username: z.string().nullable(),
    password: Masked,
    has_password: z.boolean(),
    subnet_mask: z.string().nullable(),
    gateway: z.string().nullable(),
    location: z.string().nullable(),
    latitude: z.number().nullable(),
    longitude: z.number().nullable(),
    status: z.enum(DEVICE_STATUSES),
    status_at: Instant.nullable(),
    last_seen_at: Instant.nullable(),
    latency_ms: z.int().nullable(),
    bridge_id: Id.nullable(),
    customer_id: Id.nullable(),
    parent_device_id: Id.nullable(),
    installation_date: DateText.nullable(),
    warranty_until: DateText.nullable(),
    purchase_price: z.int().nullable(),
    notes: z.string().nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Device' });

const toDevice = (row: DeviceRow): z.input<typeof Device> => ({
  ...row,
  password: row.password === null ? null : MASK,
  has_password: row.password !== null,
});

async function prepareDevice(
  ctx: Context,
  sent: Partial<z.output<typeof DeviceInput>>,
  { id, before }: Target<typeof devices>,
): Promise<Prepared<typeof devices>> {
  const { orm } = ctx.db;
  if (sent.parent_device_id === id) throw invalidField('parent_device_id', 'is the device itself');
  const [bridge, all_bridges, customer, parent] = await read(
    ctx,
    orm
      .select({ id: bridges.id })
      .from(bridges)
      .where(eq(bridges.id, sent.bridge_id ?? '')),
    orm.select({ id: bridges.id }).from(bridges).limit(2),
    orm
      .select({ id: customers.id })
      .from(customers)
      .where(and(eq(customers.id, sent.customer_id ?? ''), isNull(customers.deleted_at))),
    orm
      .select({ id: devices.id })
      .from(devices)
      .where(eq(devices.id, sent.parent_device_id ?? '')),
  );
  if (sent.bridge_id && bridge.length === 0) throw invalidField('bridge_id', 'names no bridge');
  if (sent.customer_id && customer.length === 0) throw invalidField('customer_id', 'names no customer');
  if (sent.parent_device_id && parent.length === 0) throw invalidField('parent_device_id', 'names no device');
  const columns: Prepared<typeof devices>['columns'] = { ...sent };
  if (typeof sent.password === 'string')
    columns.password = await seal(ctx, { row_id: id, column: 'password' }, sent.password);
  // who is deleted meanwhile isn't given a device any more
  const is_there = sql`EXISTS (SELECT 1 FROM customers WHERE id = ${sent.customer_id ?? null} AND deleted_at IS NULL)`;
  const is_assigned = sent.customer_id ? [mustHold(is_there, invalidField('customer_id', 'names no customer'))] : [];
  if (!before) {
    const only_bridge = all_bridges.length === 1 ? all_bridges[0]!.id : null;
    return {
      columns: {
        status: 'unknown',
        ...columns,
        bridge_id: sent.bridge_id === undefined ? only_bridge : sent.bridge_id,
      },
    };
  }
  const { status: wanted, ...others } = columns;
  // nobody knows better than the checks whether it answers: `unknown` only ends the maintenance
  const status = wanted === 'unknown' && before.status !== 'maintenance' ? undefined : wanted;
  const is_elsewhere = PLACE.some(key => sent[key] !== undefined && sent[key] !== before[key]);
  const starts_anew =
    (status !== undefined && status !== before.status) || (is_elsewhere && before.status !== 'maintenance');
  if (!starts_anew) return { columns: others, writes: is_assigned };
  return {
    columns: { ...others, status: status ?? 'unknown', status_at: null },
    writes_before: forgetDevice(ctx, before),
    writes: is_assigned,
  };
}

/** Where it is looked for: elsewhere, it may be another one. */
const PLACE = ['ip_address', 'port', 'bridge_id'] as const;

const devices_crud = crud({
  name: 'device',
  plural: 'devices',
  table: devices,
  permissions: { read: 'devices:read', write: 'devices:write' },
  row: Device,
  input: DeviceInput,
  list: {
    filters: {
      device_type: exactly(devices.device_type, z.enum(DEVICE_TYPES)),
      status: exactly(devices.status, z.enum(DEVICE_STATUSES)),
      bridge_id: exactly(devices.bridge_id, Id),
      customer_id: exactly(devices.customer_id, Id),
    },
    sort: ['device_name', 'created_at'],
    default_sort: 'device_name',
  },
  toWire: toDevice,
  secrets: ['password'],
  prepare: prepareDevice,
  beforeDelete: (ctx, row) => forgetDevice(ctx, row),
});

/** Equipment in the field, and whether it answers. */
export const devicesResource: Resource = {
  path: '/devices',
  routes: {
    ...devices_crud.routes,
    'GET /:id/status': endpoint({
      id: 'devices.status',
      summary: 'Whether a device answers, and how old that is',
      needs: 'devices:read',
      returns: { one: DeviceStatus },
      run: async (ctx, { params }) => {
        const { id, status, status_at, last_seen_at, latency_ms } = await devices_crud.find(ctx, params.id);
        const age_seconds =
          status_at === null ? null : Math.max(0, Math.floor((ctx.now - Date.parse(status_at)) / 1000));
        return { id, status, status_at, last_seen_at, latency_ms, age_seconds };
      },
    }),
  },
};
