import { and, eq, sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit, mustChange, RaceLost, type Write } from '../db/commit.ts';
import type { Statement } from '../db/session.ts';
import { toIso } from '../lib/time.ts';
import { wakeProvisioning } from '../queues/wake.ts';
import { routers, type RouterRow } from '../resources/routers/table.ts';
import { circuitState, LONGEST_AT, openFor_ms } from './circuit.ts';

/** Opens and closes circuits, and moves what waits for them: by conditions in the statements, since all of it may race. */

const nowOf = (ctx: Context): number => ctx.now + ctx.elapsed_ms();

/** One failure more in a row, as seen where the router stood then. One that was seen there since isn't away. */
export function countFailure(ctx: Context, { id, host, port, bridge_id }: RouterRow, is_refused: boolean): Statement {
  const [now, random] = [nowOf(ctx), ctx.random()];
  const untils = Array.from({ length: LONGEST_AT }, (_, before) => {
    const open_ms = openFor_ms(before + 1, random, is_refused);
    return open_ms === null ? null : toIso(now + open_ms);
  });
  const before = sql`coalesce(circuit ->> 'failures', 0)`;
  return ctx.db.orm.run(sql`
    UPDATE routers SET circuit = json_object('failures', ${before} + 1, 'since', coalesce(circuit ->> 'since', ${toIso(now)}),
      'open_until', ${JSON.stringify(untils)} ->> min(${before}, ${sql.raw(String(LONGEST_AT - 1))}))
    WHERE id = ${id} AND host = ${host} AND port = ${port} AND bridge_id IS ${bridge_id}
      AND NOT (status = 'online' AND coalesce(status_at, 0) > ${ctx.now})`);
}

/** Of observation `seen` of a router's row: it was there, and isn't behind a bridge that can't be reached from here. */
export const closesCircuit = (row: SQL, seen: SQL): SQL => sql`(${seen}.status = 'online'
  AND NOT EXISTS (SELECT 1 FROM bridges AS b WHERE b.id = ${row}.bridge_id AND b.status = 'offline'))`;

/** What waits for routers only because they were away is due at once. */
const endWaits = (ctx: Context, router_ids: SQL): Statement =>
  ctx.db.orm.run(sql`
    UPDATE provisioning SET next_attempt_at = ${ctx.now}
    WHERE status IN ('pending', 'drifted') AND next_attempt_at > ${ctx.now} AND router_id IN (${router_ids})
    RETURNING router_id AS returned_router_id`);

/** Of routers (rows `t`) that are seen (observations `o`) to be back; before their rows say so. */
export const endWaitsOfReturned = (ctx: Context, observed: SQL): Statement =>
  endWaits(
    ctx,
    sql`SELECT t.id FROM ${observed}
      WHERE ${closesCircuit(sql`t`, sql`o`)} AND (t.status <> 'online' OR t.circuit IS NOT NULL)`,
  );

/** The bridge is reached otherwise from now on: what failed so far says nothing of its routers. */
export const retryBridge = (ctx: Context, bridge_id: string): Statement[] => [
  endWaits(ctx, sql`SELECT id FROM routers WHERE bridge_id = ${bridge_id}`),
  ctx.db.orm.run(sql`UPDATE routers SET circuit = NULL WHERE bridge_id = ${bridge_id} AND circuit IS NOT NULL`),
];

export const closeCircuit = (ctx: Context, router_id: string): Write =>
  ctx.db.orm
    .update(routers)
    .set({ circuit: sql`NULL` })
    .where(eq(routers.id, router_id));

/** After a commit, with what it gave: routers where something needn't wait any longer. */
export function wakeReturned(ctx: Context, results: readonly unknown[][]): void {
  const rows = results.flat() as { returned_router_id?: string }[];
  const router_ids = new Set(rows.flatMap(row => row.returned_router_id ?? []));
  if (router_ids.size > 0) ctx.defer(wakeProvisioning(ctx, [...router_ids]));
}

/** As long as a bridge call may take, and what comes with it. */
const PROBE_MS = 100_000;

/**
 * Null: the router may be asked. Else when (epoch ms), and what is due there waits until then. Where its time has come,
 * one asks, and whoever comes meanwhile waits for what comes of it.
 */
export async function holdBack(ctx: Context, router: RouterRow): Promise<number | null> {
  const now = nowOf(ctx);
  const state = circuitState(router.circuit, now);
  if (state === 'closed') return null;
  if (state === 'half_open' && (await takeProbe(ctx, router, now))) return null;
  const until = state === 'open' ? Date.parse(router.circuit!.open_until!) : now + PROBE_MS;
  // closed in between: what is due stays so
  const open_until = sql`(SELECT circuit ->> 'open_until' FROM routers WHERE id = ${router.id})`;
  const wait = ctx.db.orm.run(sql`
    UPDATE provisioning SET next_attempt_at = ${until}
    WHERE router_id = ${router.id} AND status <> 'in_sync' AND next_attempt_at <= ${ctx.now}
      AND ${open_until} > ${toIso(now)}`);
  await commit(ctx, [wait]);
  return until;
}

/** False: another one asks already. */
async function takeProbe(ctx: Context, { id, circuit }: RouterRow, now: number): Promise<boolean> {
  const asking = sql`json_set(${routers.circuit}, '$.open_until', ${toIso(now + PROBE_MS)})`;
  const as_read = sql`${routers.circuit} ->> 'open_until' = ${circuit!.open_until}`;
  const take = ctx.db.orm
    .update(routers)
    .set({ circuit: asking })
    .where(and(eq(routers.id, id), as_read));
  try {
    await commit(ctx, [mustChange(take, new RaceLost())]);
    return true;
  } catch (error) {
    if (!(error instanceof RaceLost)) throw error;
    return false;
  }
}
