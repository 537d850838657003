import { and, eq, isNotNull, isNull, lt, ne, or, sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { unauthorized } from '../../errors.ts';
import { tellOnce } from '../../events/announce.ts';
import type { TransientData } from '../../events/realtime/catalogue.ts';
import { toIso } from '../../lib/time.ts';
import type { MeasurementBatch, ReportAnswer, ReportRequest, Watched } from '../../protocol/messages.ts';
import { hashText } from '../../protocol/signature.ts';
import { accessOf, describeAccess, isReachable, sealForBridge } from '../../provisioning/bridge-client.ts';
import { observeBridge, observeDevices, observeRouters, trustFirst } from '../../provisioning/observe.ts';
import { wakeReturned } from '../../provisioning/settle-circuit.ts';
import { devices, type DeviceRow } from '../devices/table.ts';
import { line_measurements } from '../monitoring/table.ts';
import { routers, type RouterRow } from '../routers/table.ts';
import { goOnRotating } from './rotate.ts';
import { bridges, type BridgeRow } from './table.ts';

/** A bridge's own call: it lives, this is what it measured; and the answer says what it is to watch over. */
export async function takeReport(ctx: Context, report: ReportRequest): Promise<ReportAnswer> {
  const { actor } = ctx;
  if (actor.kind !== 'bridge') throw unauthorized();
  const { orm } = ctx.db;
  const [[bridge], its_routers, its_devices] = await read(
    ctx,
    orm.select().from(bridges).where(eq(bridges.id, actor.id)),
    orm
      .select()
      .from(routers)
      .where(and(eq(routers.bridge_id, actor.id), eq(routers.is_active, true)))
      .orderBy(routers.id),
    orm
      .select()
      .from(devices)
      .where(and(eq(devices.bridge_id, actor.id), isNotNull(devices.ip_address), ne(devices.status, 'maintenance')))
      .orderBy(devices.id),
  );
  if (!bridge) throw unauthorized();
  const { batch, version } = report;
  if (report.is_check) return { batch_taken: false, watched: null };
  const is_new = batch !== null && (bridge.spool_id !== batch.spool_id || batch.number > bridge.spool_number);
  // one that we couldn't reach isn't back because it reaches us
  const is_here = bridge.status !== 'offline' || (await isReachable(ctx, bridge));
  const heard = ctx.db.orm
    .update(bridges)
    .set({ version, last_heartbeat_at: toIso(ctx.now) })
    .where(eq(bridges.id, bridge.id));
  const writes: Write[] = [
    spendTime(ctx, bridge.id, actor.signed_at_ms!),
    ...(is_here ? observeBridge(ctx, bridge, { version }) : [heard]),
    ...(is_new ? storeBatch(ctx, bridge, batch, its_routers) : []),
  ];
  wakeReturned(ctx, await commit(ctx, writes));
  if (bridge.next_signing_secret !== null) ctx.defer(goOnRotating(ctx, bridge));
  if (is_new)
    tellOnce(ctx, 'monitoring:update', ...ofBridge(batch, its_routers).map(router => summarize(batch, router)));
  return { batch_taken: batch !== null, watched: await describeWatched(ctx, report, bridge, its_routers, its_devices) };
}

/** A report that isn't newer than the last one is a replay. */
function spendTime(ctx: Context, bridge_id: string, last_report_ms: number): Write {
  const is_newer = or(isNull(bridges.last_report_ms), lt(bridges.last_report_ms, last_report_ms));
  const spend = ctx.db.orm
    .update(bridges)
    .set({ last_report_ms })
    .where(and(eq(bridges.id, bridge_id), is_newer));
  return mustChange(spend, unauthorized('A newer report than this one was here before.'));
}

/** A row holds 2 MB, and a line's text may be long, in whatever script. */
const LINES_PER_ROW = 500;

const ofBridge = (batch: MeasurementBatch, its_routers: readonly RouterRow[]) =>
  batch.routers.filter(({ router_id }) => its_routers.some(row => row.id === router_id));

/** All lines together, on average since the last round. */
function summarize(
  { measured_at_ms }: MeasurementBatch,
  { router_id, status, latency_ms, lines }: MeasurementBatch['routers'][number],
): TransientData<'monitoring:update'> {
  const kbpsOf = (which: 'download_bytes' | 'upload_bytes') =>
    lines &&
    Math.round(lines.reduce((sum, line) => sum + (line[which] * 8) / Math.max(1, line.interval_seconds), 0) / 1000);
  return {
    router_id,
    measured_at: toIso(measured_at_ms),
    status,
    latency_ms,
    lines_online: lines && lines.length,
    download_kbps: kbpsOf('download_bytes'),
    upload_kbps: kbpsOf('upload_bytes'),
  };
}

function storeBatch(
  ctx: Context,
  bridge: BridgeRow,
  batch: MeasurementBatch,
  its_routers: readonly RouterRow[],
): Write[] {
  const { spool_id, number } = batch;
  // a clock that is a little fast must not make all that follows look late
  const at_ms = Math.min(batch.measured_at_ms, ctx.now);
  const not_yet = or(isNull(bridges.spool_id), ne(bridges.spool_id, spool_id), lt(bridges.spool_number, number));
  const claim = ctx.db.orm
    .update(bridges)
    .set({
      spool_id,
      spool_number: number,
      last_measured_at: sql`max(coalesce(${bridges.last_measured_at}, 0), ${at_ms})`,
    })
    .where(and(eq(bridges.id, bridge.id), not_yet));
  const ours = ofBridge(batch, its_routers);
  const place = (seen: { host?: string; port?: number }) => ({
    bridge_id: bridge.id,
    host: seen.host,
    port: seen.port,
  });
  return [
    mustChange(claim, new RaceLost()),
    ...observeRouters(
      ctx,
      ours.map(({ router_id, status, error, identity, board_name, version, ...seen }) => {
        const facts = status === 'online' && version !== null ? { identity, board_name, version } : undefined;
        return { router_id, status, error, at_ms, facts, seen_by: place(seen) };
      }),
    ),
    ...observeDevices(
      ctx,
      batch.devices.map(({ device_id, status, latency_ms, host, port }) => {
        return { device_id, status, latency_ms, at_ms, seen_by: { bridge_id: bridge.id, host, port } };
      }),
    ),
    ...ours.flatMap(({ router_id, tls_fingerprint }) => {
      const is_trusted = its_routers.some(row => row.id === router_id && row.tls_fingerprint !== null);
      return tls_fingerprint === null || is_trusted ? [] : trustFirst(ctx, router_id, tls_fingerprint);
    }),
    ...ours.flatMap(router => storeRouter(ctx, router, { at_ms, spool_id, number })),
  ];
}

function storeRouter(
  ctx: Context,
  { router_id, pools, lines }: MeasurementBatch['routers'][number],
  { at_ms, spool_id, number }: { at_ms: number; spool_id: string; number: number },
): Write[] {
  const writes: Write[] = pools !== null && pools.length > 0 ? [noteUse(ctx, router_id, pools, at_ms)] : [];
  // that nobody is online is worth a row: without one the round before would be the last that is known
  for (let at = 0; lines !== null && (at === 0 || at < lines.length); at += LINES_PER_ROW) {
    const row = { measured_at: toIso(at_ms), router_id, spool_id, number, part: at / LINES_PER_ROW };
    writes.push(ctx.db.orm.insert(line_measurements).values({ ...row, lines: lines.slice(at, at + LINES_PER_ROW) }));
  }
  return writes;
}

/** What changes no more than the time is written once an hour: what ticks must not write at each tick. */
const USE_IS_FRESH_MS = 60 * 60_000;

function noteUse(
  ctx: Context,
  router_id: string,
  pools: readonly { name: string; used: number }[],
  at_ms: number,
): Write {
  return ctx.db.orm.run(sql`
    UPDATE ip_pools SET used = r.used, used_at = ${at_ms}
    FROM (SELECT value ->> 'name' AS name, value ->> 'used' AS used FROM json_each(${JSON.stringify(pools)})) AS r
    WHERE ip_pools.router_id = ${router_id} AND ip_pools.name = r.name
      AND (used_at IS NULL OR used_at < ${at_ms - USE_IS_FRESH_MS} OR (ip_pools.used <> r.used AND used_at <= ${at_ms}))`);
}

/** Null when the bridge holds just this already. */
async function describeWatched(
  ctx: Context,
  report: ReportRequest,
  bridge: BridgeRow,
  its_routers: readonly RouterRow[],
  its_devices: readonly DeviceRow[],
): Promise<Watched | null> {
  const watched_devices = its_devices.map(({ id, ip_address, port }) => ({ id, host: ip_address!, port }));
  // sealed passwords tell of a change as well as open ones
  const facts = [bridge.public_key, its_routers.map(row => [accessOf(row), row.password]), watched_devices];
  const tag = await hashText(JSON.stringify(facts));
  if (tag === report.watched_tag) return null;
  const passwords: Record<string, string> = {};
  for (const router of its_routers) {
    // one that doesn't open is told of where it is used: it can't be watched
    const access = await describeAccess(ctx, router).catch(() => null);
    if (access) passwords[router.id] = access.password;
  }
  return {
    tag,
    routers: its_routers.filter(row => Object.hasOwn(passwords, row.id)).map(accessOf),
    devices: watched_devices,
    sealed_passwords: await sealForBridge(bridge, passwords),
  };
}
