import { eq, sql, type SQL } from 'drizzle-orm';
import type { SQLiteTable, SQLiteColumn } from 'drizzle-orm/sqlite-core';
import type { Context } from '../context.ts';
import { AppError, errorText, Fault, fromDatabaseError, unauthorized } from '../errors.ts';
import { announce } from '../events/announce.ts';
import { followAtOnce } from '../events/consequences.ts';
import { insertEvents, type NewEvent } from '../events/event.ts';
import { toIso } from '../lib/time.ts';
import { actorMayAct, IDEMPOTENCY_MS, runTogether, type Database, type Statement } from './session.ts';

/** A write, or a condition, that fails the whole batch with its error when it doesn't hold. */
export interface Guarded {
  statement?: Statement;
  holds: SQL;
  otherwise: Error;
}

export type Write = Statement | Guarded;

/** Somebody wrote between our read and our write: nothing was stored, read again and decide again. */
export class RaceLost extends Error {}

/** The tenant was restored into another database since the directory was read: nothing was stored, look it up again. */
export class StaleTenant extends Error {}

/** The statement must change a row, or nothing of the batch happens and the caller gets this error. */
export const mustChange = (statement: Statement, otherwise: Error): Guarded => ({
  statement,
  holds: sql`changes() > 0`,
  otherwise,
});

/** This must be true when the batch runs. */
export const mustHold = (holds: SQL, otherwise: Error): Guarded => ({ holds, otherwise });

interface VersionedTable extends SQLiteTable {
  id: SQLiteColumn;
  updated_at: SQLiteColumn;
}

/**
 * Changes a row that was read as `before`, and only if it still is as it was read; else the action runs again.
 * `updated_at` always rises, so that it serves as the row's version (ETag).
 */
export function updateRow<T extends VersionedTable>(
  ctx: Context,
  table: T,
  before: { id: string; updated_at: string },
  patch: Partial<T['$inferInsert']>,
): Guarded {
  checkIfMatch(ctx, before);
  const updated_at = toIso(Math.max(ctx.now, Date.parse(before.updated_at) + 1));
  const statement = ctx.db.orm
    .update(table)
    .set({ ...patch, updated_at } as never)
    .where(sql`${eq(table.id, before.id)} AND ${eq(table.updated_at, before.updated_at)}`)
    .returning();
  return mustChange(statement as unknown as Statement, new RaceLost());
}

export function checkIfMatch(ctx: Context, row: { updated_at: string }): void {
  if (ctx.if_match !== null && ctx.if_match !== row.updated_at) throw new AppError('CONFLICT');
}

/**
 * The only way to write to a tenant's database: rows and the events that tell of them in one batch, all or nothing,
 * with guards that the database is still this tenant's and that the user may still act. Gives each write's rows.
 */
export async function commit(ctx: Context, wanted: readonly Write[], ...events: NewEvent[]): Promise<unknown[][]> {
  if (wanted.length === 0 && events.length === 0) return [];
  await ctx.admission.granted();
  const writes = [...wanted, ...rememberKey(ctx)];
  const { db, tenant, actor } = ctx;
  const guards: { holds: SQL; otherwise: Error }[] = [
    { holds: sql`(SELECT epoch FROM tenant_state) = ${tenant.epoch}`, otherwise: new StaleTenant() },
  ];
  if (actor.kind === 'user') guards.push({ holds: actorMayAct(actor), otherwise: unauthorized() });
  const statements: Statement[] = guards.map((guard, index) => guardStatement(db, index, guard.holds));
  const positions = writes.map(write => {
    if (!('holds' in write)) return statements.push(write) - 1;
    const at = write.statement ? statements.push(write.statement) - 1 : -1;
    statements.push(guardStatement(db, guards.length, write.holds));
    guards.push(write);
    return at;
  });
  statements.push(...insertEvents(ctx, events));
  const results = await runGuarded(db, statements, guards);
  await followAtOnce(ctx, events);
  announce(ctx);
  return positions.slice(0, wanted.length).map(at => (at < 0 ? [] : (results[at] as unknown[])));
}

/** What the request makes, for its Idempotency-Key. */
export function nameMade({ idempotency }: Context, id: string): void {
  if (idempotency) idempotency.subject_id = id;
}

/** What the request's Idempotency-Key did. Another one with that key may be faster. */
function rememberKey({ idempotency, actor, db, now }: Context): Write[] {
  if (!idempotency || actor.kind !== 'user') return [];
  const { key, route, body_hash, subject_id } = idempotency;
  if (subject_id === null) throw new Fault(`nobody said what ${route} makes`);
  const insert = db.orm.run(sql`
    INSERT INTO idempotency_keys (key, user_id, route, body_hash, subject_id, created_at)
    VALUES (${key}, ${actor.id}, ${route}, ${body_hash}, ${subject_id}, ${now})
    ON CONFLICT (key) DO UPDATE SET user_id = excluded.user_id, route = excluded.route, body_hash = excluded.body_hash,
      subject_id = excluded.subject_id, response = NULL, created_at = excluded.created_at
    WHERE idempotency_keys.created_at <= ${now - IDEMPOTENCY_MS}`);
  return [mustChange(insert, new RaceLost())];
}

/** A batch on the directory: the same guards, without a tenant. */
export async function commitDirectory(db: Database, writes: readonly Write[]): Promise<void> {
  const guards: Guarded[] = [];
  const statements = writes.flatMap(write => {
    if (!('holds' in write)) return [write];
    guards.push(write);
    const guard = guardStatement(db, guards.length - 1, write.holds);
    return write.statement ? [write.statement, guard] : [guard];
  });
  await runGuarded(db, statements, guards);
}

function guardStatement(db: Database, index: number, holds: SQL): Statement {
  return db.orm.run(sql`INSERT INTO guard (name, ok) SELECT ${String(index)}, ${holds}`);
}

async function runGuarded(db: Database, statements: Statement[], guards: readonly { otherwise: Error }[]) {
  try {
    return (await runTogether(db, statements)) as unknown[];
  } catch (error) {
    const broken = /guard:(\d+)/.exec(errorText(error));
    throw (broken && guards[Number(broken[1])]?.otherwise) || (fromDatabaseError(error) ?? error);
  }
}
