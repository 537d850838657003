import { and, eq, inArray, isNull, lte, or, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import type { Statement } from '../db/session.ts';
import { insertEventsFrom } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import { openAlert, resolveAlert } from '../resources/alerts/index.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { devices, type DeviceRow } from '../resources/devices/table.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import type { BridgeCallFailed } from './bridge-client.ts';

/**
 * Who is there and who isn't: each observation changes the row, tells of the change and opens or resolves its alert, in
 * one batch and by conditions in the statements, so that observations may race, repeat and come late.
 */

export interface RouterObservation {
  /** `unknown` when its bridge is away: that says nothing of the router, so alerts stay as they are. */
  status: RouterRow['status'];
  error: string | null;
  /** Epoch ms. An older one than the last changes nothing. */
  at_ms: number;
  facts?: Partial<Pick<RouterRow, 'identity' | 'board_name' | 'version'>>;
}

export function observeRouter(ctx: Context, router: RouterRow, observed: RouterObservation): Statement[] {
  const { status, error, at_ms, facts } = observed;
  const is_news = and(eq(routers.id, router.id), or(isNull(routers.status_at), lte(routers.status_at, toIso(at_ms))))!;
  const subject = { type: 'router_offline', entity_type: 'router', entity_id: router.id } as const;
  const seen = sql`EXISTS (SELECT 1 FROM ${routers} WHERE ${is_news})`;
  const alert =
    status === 'offline'
      ? openAlert(
          ctx,
          { ...subject, severity: 'critical', message: `Router "${router.name}" is offline: ${error ?? 'no answer'}` },
          at_ms,
          seen,
        )
      : status === 'online'
        ? resolveAlert(ctx, subject, at_ms, seen)
        : [];
  const update = ctx.db.orm
    .update(routers)
    .set({
      status,
      status_at: toIso(at_ms),
      last_error: error,
      ...(status === 'online' && { last_seen_at: toIso(at_ms) }),
      ...facts,
    })
    .where(is_news) as unknown as Statement;
  return [...alert, tellStatus(ctx, 'router', sql`${routers}`, status, is_news), update];
}

export function observeDevice(
  ctx: Context,
  device: DeviceRow,
  observed: { status: 'online' | 'offline'; latency_ms: number | null; at_ms: number },
): Statement[] {
  const { status, latency_ms, at_ms } = observed;
  const is_news = and(
    eq(devices.id, device.id),
    sql`${devices.status} <> 'maintenance'`,
    or(isNull(devices.status_at), lte(devices.status_at, toIso(at_ms))),
  )!;
  const subject = { type: 'device_offline', entity_type: 'device', entity_id: device.id } as const;
  const seen = sql`EXISTS (SELECT 1 FROM ${devices} WHERE ${is_news})`;
  const message = `Device "${device.device_name}" does not answer at ${device.ip_address}`;
  const alert =
    status === 'offline'
      ? openAlert(ctx, { ...subject, severity: 'warning', message }, at_ms, seen)
      : resolveAlert(ctx, subject, at_ms, seen);
  const update = ctx.db.orm
    .update(devices)
    .set({
      status,
      status_at: toIso(at_ms),
      latency_ms,
      ...(status === 'online' && { last_seen_at: toIso(at_ms) }),
    })
    .where(is_news) as unknown as Statement;
  return [...alert, tellStatus(ctx, 'device', sql`${devices}`, status, is_news), update];
}

/** It answered just now. */
export function observeBridge(ctx: Context, bridge: BridgeRow, also: Partial<BridgeRow> = {}): Statement[] {
  const this_one = eq(bridges.id, bridge.id);
  const subject = { type: 'bridge_offline', entity_type: 'bridge', entity_id: bridge.id } as const;
  const update = ctx.db.orm
    .update(bridges)
    .set({ status: 'online', last_heartbeat_at: toIso(ctx.now), ...also })
    .where(this_one) as unknown as Statement;
  return [
    ...resolveAlert(ctx, subject, ctx.now),
    tellStatus(ctx, 'bridge', sql`${bridges}`, 'online', this_one),
    update,
  ];
}

/** It didn't answer, or was silent too long: of its routers and devices nothing is known any more. */
export function loseBridge(ctx: Context, bridge: BridgeRow, error: string, when: SQL = sql`true`): Statement[] {
  const this_one = and(eq(bridges.id, bridge.id), when)!;
  const its_routers = and(
    eq(routers.bridge_id, bridge.id),
    inArray(routers.status, ['online', 'offline']),
    sql`EXISTS (SELECT 1 FROM ${bridges} WHERE ${this_one})`,
  )!;
  const its_devices = and(
    eq(devices.bridge_id, bridge.id),
    inArray(devices.status, ['online', 'offline']),
    sql`EXISTS (SELECT 1 FROM ${bridges} WHERE ${this_one})`,
  )!;
  const subject = { type: 'bridge_offline', entity_type: 'bridge', entity_id: bridge.id } as const;
  const alert = { ...subject, severity: 'critical', message: `Bridge "${bridge.name}" is offline: ${error}` } as const;
  return [
    ...openAlert(ctx, alert, ctx.now, sql`EXISTS (SELECT 1 FROM ${bridges} WHERE ${this_one})`),
    tellStatus(ctx, 'router', sql`${routers}`, 'unknown', its_routers),
    ctx.db.orm
      .update(routers)
      .set({ status: 'unknown', status_at: toIso(ctx.now), last_error: error })
      .where(its_routers) as unknown as Statement,
    tellStatus(ctx, 'device', sql`${devices}`, 'unknown', its_devices),
    ctx.db.orm
      .update(devices)
      .set({ status: 'unknown', status_at: toIso(ctx.now) })
      .where(its_devices) as unknown as Statement,
    tellStatus(ctx, 'bridge', sql`${bridges}`, 'offline', this_one),
    ctx.db.orm.update(bridges).set({ status: 'offline' }).where(this_one) as unknown as Statement,
  ];
}

/** What a call that failed says of the two. That it was too busy, or had something newer, says nothing of a router. */
export function observeFailure(
  ctx: Context,
  bridge: BridgeRow,
  router: RouterRow,
  { code, message }: BridgeCallFailed,
): Statement[] {
  if (code === 'BRIDGE_OFFLINE') return loseBridge(ctx, bridge, message);
  // one that refuses us is there, but as good as away
  const is_away = code === 'ROUTER_UNREACHABLE' || code === 'ROUTER_REFUSED';
  const observed = { status: 'offline', error: message, at_ms: ctx.now } as const;
  return [...(is_away ? observeRouter(ctx, router, observed) : []), ...observeBridge(ctx, bridge)];
}

/** It is switched off on purpose: nobody misses it. */
export function forgetRouter(ctx: Context, router_id: string): Statement[] {
  const this_one = eq(routers.id, router_id);
  return [
    ...resolveAlert(ctx, { type: 'router_offline', entity_type: 'router', entity_id: router_id }, ctx.now),
    tellStatus(ctx, 'router', sql`${routers}`, 'unknown', this_one),
    ctx.db.orm
      .update(routers)
      .set({ status: 'unknown', status_at: null, last_error: null })
      .where(this_one) as unknown as Statement,
  ];
}

/** `router.status` and the like, for each row that will change; before the change is made. */
function tellStatus(ctx: Context, entity: string, table: SQL, status: string, rows: SQL): Statement {
  return insertEventsFrom(
    ctx,
    { type: `${entity}.status`, action: 'update' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object('status', json_array(status, ${status})) AS changes
      FROM ${table} WHERE ${rows} AND status <> ${status}`,
  );
}
