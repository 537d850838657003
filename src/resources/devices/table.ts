import { integer, real, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { date, id, instant, timestamps } from '../../db/columns.ts';

export const DEVICE_TYPES = ['olt', 'onu', 'router', 'switch', 'access_point'] as const;
export const DEVICE_STATUSES = ['unknown', 'online', 'offline', 'maintenance'] as const;

/** Equipment in the field whose reachability a bridge looks after. */
export const devices = sqliteTable('devices', {
  id: id(),
  device_name: text('device_name').notNull(),
  device_type: text('device_type', { enum: DEVICE_TYPES }).notNull(),
  serial_number: text('serial_number'),
  mac_address: text('mac_address'),
  brand: text('brand'),
  model: text('model'),
  firmware_version: text('firmware_version'),
  ip_address: text('ip_address'),
  port: integer('port'),
  username: text('username'),
  /** Sealed. */
  password: text('password'),
  subnet_mask: text('subnet_mask'),
  gateway: text('gateway'),
  location: text('location'),
  latitude: real('latitude'),
  longitude: real('longitude'),
  /** `maintenance` is set by people, and no check changes it. */
  status: text('status', { enum: DEVICE_STATUSES }).notNull().default('unknown'),
  status_at: instant('status_at'),
  last_seen_at: instant('last_seen_at'),
  latency_ms: integer('latency_ms'),
  bridge_id: text('bridge_id'),
  customer_id: text('customer_id'),
  parent_device_id: text('parent_device_id'),
  installation_date: date('installation_date'),
  warranty_until: date('warranty_until'),
  purchase_price: integer('purchase_price'),
  notes: text('notes'),
  ...timestamps,
});

export type DeviceRow = typeof devices.$inferSelect;
