import { eq, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import type { Statement } from '../db/session.ts';
import { insertEventsFrom } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import { openAlerts, resolveAlerts } from '../resources/alerts/index.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { devices, type DeviceRow } from '../resources/devices/table.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import type { BridgeCallFailed } from './bridge-client.ts';
import { closesCircuit, countFailure, endWaitsOfReturned } from './settle-circuit.ts';

/**
 * Who is there and who isn't. Observations change rows, tell of the change and open or resolve alerts, in one batch and by
 * conditions in the statements, so that they may race, repeat and come late. A few statements for any number of them; what
 * is as it was is written a few times an hour at most, since nothing that ticks may write at each tick.
 */

export interface RouterObservation {
  router_id: string;
  status: 'online' | 'offline';
  error: string | null;
  /** Epoch ms. An older one than what is known changes nothing. */
  at_ms: number;
  facts?: Partial<Pick<RouterRow, 'identity' | 'board_name' | 'version'>>;
  /** Whose measurement it is, and where it looked: of a router that was moved since, it says nothing. */
  seen_by?: { bridge_id: string; host?: string; port?: number };
}

export interface DeviceObservation {
  device_id: string;
  status: 'online' | 'offline';
  latency_ms: number | null;
  at_ms: number;
  seen_by: { bridge_id: string; host?: string; port?: number | null };
}

/** How old a status may become before it is written again though nothing has changed. */
const REWRITE_AFTER_MS = 15 * 60_000;

interface Kind {
  entity: 'router' | 'device';
  table: SQL;
  /** Of row `t` and observation `o`: whether it is to be watched at all, and what else must fit. */
  fits: SQL;
  alert: { type: 'router_offline' | 'device_offline'; severity: 'critical' | 'warning'; message: SQL };
}

const ROUTER: Kind = {
  entity: 'router',
  table: sql`routers`,
  fits: sql`t.is_active = 1 AND (o.host IS NULL OR (t.host = o.host AND t.port = o.port))`,
  alert: {
    type: 'router_offline',
    severity: 'critical',
    message: sql`'Router "' || t.name || '" is offline: ' || coalesce(o.error, 'no answer')`,
  },
};

const DEVICE: Kind = {
  entity: 'device',
  table: sql`devices`,
  fits: sql`t.status <> 'maintenance' AND t.ip_address = o.host AND t.port IS o.port`,
  alert: {
    type: 'device_offline',
    severity: 'warning',
    message: sql`'Device "' || t.device_name || '" does not answer at ' || t.ip_address`,
  },
};

/** Observation `o` of row `t` that is newer than all that is known. */
const news = ({ table, fits }: Kind, observations: SQL): SQL => sql`
  ${observations} AS o JOIN ${table} AS t ON t.id = o.id AND ${fits}
    AND (o.bridge_id IS NULL OR t.bridge_id = o.bridge_id)
    AND (t.status_at IS NULL OR t.status_at <= o.at)
    AND coalesce((SELECT last_measured_at FROM bridges WHERE bridges.id = t.bridge_id), 0) <= o.at`;

export function observeRouters(ctx: Context, list: readonly RouterObservation[]): Statement[] {
  if (list.length === 0) return [];
  const json = JSON.stringify(
    list.map(({ router_id, status, error, at_ms, facts = {}, seen_by }) => ({
      id: router_id, status, error, at: at_ms, ...facts, has_facts: facts.version ? 1 : 0, ...seen_by, alert_id: ctx.newId(),
    })),
  ); // prettier-ignore
  const known = news(ROUTER, readObservations(json, ['error', 'identity', 'board_name', 'version', 'has_facts']));
  const fact = (column: SQL): SQL => sql`CASE n.has_facts WHEN 1 THEN n.${column} ELSE routers.${column} END`;
  const update = ctx.db.orm.run(sql`
    UPDATE routers SET status = n.status, status_at = n.at, last_error = n.error,
      circuit = CASE WHEN ${closesCircuit(sql`routers`, sql`n`)} THEN NULL ELSE routers.circuit END,
      last_seen_at = CASE n.status WHEN 'online' THEN n.at ELSE last_seen_at END,
      identity = ${fact(sql`identity`)}, board_name = ${fact(sql`board_name`)}, version = ${fact(sql`version`)}
    FROM (SELECT o.* FROM ${known}) AS n
    WHERE routers.id = n.id AND (routers.status <> n.status OR routers.last_error IS NOT n.error
      OR (routers.circuit IS NOT NULL AND ${closesCircuit(sql`routers`, sql`n`)})
      OR routers.status_at IS NULL OR routers.status_at < n.at - ${REWRITE_AFTER_MS}
      OR (n.has_facts = 1 AND (routers.identity IS NOT n.identity OR routers.board_name IS NOT n.board_name
        OR routers.version IS NOT n.version)))`);
  return [...tell(ctx, ROUTER, known), endWaitsOfReturned(ctx, known), update];
}

export function observeDevices(ctx: Context, list: readonly DeviceObservation[]): Statement[] {
  if (list.length === 0) return [];
  const json = JSON.stringify(
    list.map(({ device_id, status, latency_ms, at_ms, seen_by }) => ({
      id: device_id, status, latency_ms, at: at_ms, ...seen_by, alert_id: ctx.newId(),
    })),
  ); // prettier-ignore
  const known = news(DEVICE, readObservations(json, ['latency_ms']));
  const update = ctx.db.orm.run(sql`
    UPDATE devices SET status = n.status, status_at = n.at, latency_ms = n.latency_ms,
      last_seen_at = CASE n.status WHEN 'online' THEN n.at ELSE last_seen_at END
    FROM (SELECT o.* FROM ${known}) AS n
    WHERE devices.id = n.id AND (devices.status <> n.status
      OR devices.status_at IS NULL OR devices.status_at < n.at - ${REWRITE_AFTER_MS})`);
  return [...tell(ctx, DEVICE, known), update];
}

function readObservations(json: string, more: readonly string[]): SQL {
  const names = ['id', 'status', 'at', 'alert_id', 'bridge_id', 'host', 'port', ...more];
  const columns = sql.join(
    names.map(name => sql`value ->> ${sql.raw(`'${name}'`)} AS ${sql.raw(name)}`),
    sql`, `,
  );
  return sql`(SELECT ${columns} FROM json_each(${json}))`;
}

/** The alerts, and the events of all that changes; before the rows themselves do. */
function tell(ctx: Context, { entity, alert }: Kind, known: SQL): Statement[] {
  const opening = sql`SELECT o.alert_id AS id, t.id AS entity_id, ${alert.message} AS message, o.at AS at
    FROM ${known} WHERE o.status = 'offline'`;
  const back = sql`SELECT t.id AS entity_id, o.at AS at FROM ${known} WHERE o.status = 'online'`;
  const { type, severity } = alert;
  return [
    ...openAlerts(ctx, { type, severity, entity_type: entity }, opening),
    ...resolveAlerts(ctx, type, back),
    tellStatus(
      ctx,
      entity,
      sql`SELECT t.id AS id, t.status AS old, o.status AS new FROM ${known} WHERE t.status <> o.status`,
    ),
  ];
}

/** It answered just now. */
export function observeBridge(ctx: Context, bridge: BridgeRow, also: Partial<BridgeRow> = {}): Statement[] {
  const this_one = eq(bridges.id, bridge.id);
  const update = ctx.db.orm
    .update(bridges)
    .set({ status: 'online', last_heartbeat_at: toIso(ctx.now), ...also })
    .where(this_one) as unknown as Statement;
  return [
    ...resolveAlerts(ctx, 'bridge_offline', sql`SELECT ${bridge.id} AS entity_id, ${ctx.now} AS at`),
    tellStatus(ctx, 'bridge', sql`SELECT id, status AS old, 'online' AS new FROM ${bridges} WHERE ${this_one} AND status <> 'online'`),
    update,
  ]; // prettier-ignore
}

/** A bridge reports every 5 minutes; one that was silent for longer than two of these is away. */
export const BRIDGE_SILENT_AFTER_MS = 12 * 60_000;

/**
 * It didn't answer, or is silent. One that still reports tells of its routers and devices itself; of those of a silent one
 * nothing is known any more. What it told since `ctx.now`, while the call went on, is newer than this.
 */
export function loseBridge(ctx: Context, bridge: BridgeRow, error: string): Statement[] {
  const not_since = sql`id = ${bridge.id} AND coalesce(last_heartbeat_at, 0) <= ${ctx.now}`;
  const here = sql`SELECT 1 FROM bridges WHERE ${not_since}`;
  const silent = sql`SELECT 1 FROM bridges WHERE ${not_since}
    AND coalesce(last_heartbeat_at, 0) < ${ctx.now - BRIDGE_SILENT_AFTER_MS}`;
  const opening = sql`SELECT ${ctx.newId()} AS id, ${bridge.id} AS entity_id,
    ${`Bridge "${bridge.name}" is offline: ${error}`} AS message, ${ctx.now} AS at WHERE EXISTS (${here})`;
  const its = (table: SQL): SQL =>
    sql`bridge_id = ${bridge.id} AND status IN ('online', 'offline') AND coalesce(${table}.status_at, 0) <= ${ctx.now}
      AND EXISTS (${silent})`;
  const forget = (entity: string, table: SQL) => [
    tellStatus(ctx, entity, sql`SELECT id, status AS old, 'unknown' AS new FROM ${table} WHERE ${its(table)}`),
    ctx.db.orm.run(sql`UPDATE ${table} SET status = 'unknown', status_at = ${ctx.now} WHERE ${its(table)}`),
  ];
  return [
    ...openAlerts(ctx, { type: 'bridge_offline', severity: 'critical', entity_type: 'bridge' }, opening),
    ...forget('router', sql`routers`),
    ...forget('device', sql`devices`),
    tellStatus(ctx, 'bridge', sql`SELECT id, status AS old, 'offline' AS new FROM bridges WHERE ${not_since} AND status <> 'offline'`),
    ctx.db.orm.run(sql`UPDATE bridges SET status = 'offline' WHERE ${not_since}`),
  ]; // prettier-ignore
}

/** What a call that failed says of the two. That it was too busy, or had something newer, says nothing of a router. */
export function observeFailure(
  ctx: Context,
  bridge: BridgeRow,
  router: RouterRow,
  { code, message }: BridgeCallFailed,
): Statement[] {
  // nobody was asked: a bridge that hasn't enrolled yet isn't missed, and what we can't open is no fault of a bridge
  if (code === 'NOT_ENROLLED') return [];
  const offline = { router_id: router.id, status: 'offline', error: message, at_ms: ctx.now } as const;
  if (code === 'NOT_ASKED') return observeRouters(ctx, [offline]);
  if (code === 'BRIDGE_OFFLINE') return [...loseBridge(ctx, bridge, message), countFailure(ctx, router, false)];
  if (code === 'TIMED_OUT') return [countFailure(ctx, router, false), ...observeBridge(ctx, bridge)];
  // one that refuses us is there, but as good as away
  const is_away = code === 'ROUTER_UNREACHABLE' || code === 'ROUTER_REFUSED';
  const away = () => [...observeRouters(ctx, [offline]), countFailure(ctx, router, code === 'ROUTER_REFUSED')];
  return [...(is_away ? away() : []), ...observeBridge(ctx, bridge)];
}

/** A certificate is trusted on first use: from then on no other one is, until an admin says so. */
export function trustFirst(ctx: Context, router_id: string, fingerprint: string): Statement[] {
  const has_none = sql`id = ${router_id} AND use_tls = 1 AND tls_anonymous_dh = 0 AND tls_fingerprint IS NULL`;
  return [
    insertEventsFrom(
      ctx,
      { type: 'router.updated', action: 'update' },
      sql`SELECT id AS entity_id, NULL AS customer_id,
        json_object('tls_fingerprint', json_array(NULL, ${fingerprint})) AS changes FROM routers WHERE ${has_none}`,
    ),
    ctx.db.orm.run(sql`UPDATE routers SET tls_fingerprint = ${fingerprint}, updated_at = max(${ctx.now}, updated_at + 1)
      WHERE ${has_none}`),
  ];
}

/** It is switched off, or looked for elsewhere from now on: nobody misses it where it was. */
export function forgetRouter(ctx: Context, router_id: string): Statement[] {
  return [
    ...resolveAlerts(ctx, 'router_offline', sql`SELECT ${router_id} AS entity_id, ${ctx.now} AS at`),
    tellStatus(ctx, 'router', sql`SELECT id, status AS old, 'unknown' AS new FROM ${routers}
      WHERE id = ${router_id} AND status <> 'unknown'`),
    ctx.db.orm
      .update(routers)
      .set({ status: 'unknown', status_at: null, last_error: null, circuit: sql`NULL` })
      .where(eq(routers.id, router_id)) as unknown as Statement,
  ]; // prettier-ignore
}

/** The same of a device. The event of the change tells of the status that was read; what was seen since is told here. */
export function forgetDevice(ctx: Context, { id, status }: Pick<DeviceRow, 'id' | 'status'>): Statement[] {
  return [
    ...resolveAlerts(ctx, 'device_offline', sql`SELECT ${id} AS entity_id, ${ctx.now} AS at`),
    tellStatus(ctx, 'device', sql`SELECT id, status AS old, 'unknown' AS new FROM ${devices}
      WHERE id = ${id} AND status IN ('online', 'offline') AND status <> ${status}`),
  ]; // prettier-ignore
}

/** `router.status` and the like: `rows` selects id, old and new. */
function tellStatus(ctx: Context, entity: string, rows: SQL): Statement {
  return insertEventsFrom(
    ctx,
    { type: `${entity}.status`, action: 'update' },
    sql`SELECT id AS entity_id, NULL AS customer_id, json_object('status', json_array(old, new)) AS changes
      FROM (${rows})`,
  );
}
