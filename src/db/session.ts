import { eq, type SQL, sql } from 'drizzle-orm';
import type { BatchItem, BatchResponse } from 'drizzle-orm/batch';
import { drizzle, type DrizzleD1Database } from 'drizzle-orm/d1';
import { isInGoodStanding, type Standing } from '../auth/standing.ts';
import type { Context, Idempotency } from '../context.ts';
import { AppError, unauthorized } from '../errors.ts';
import { refresh_tokens, users } from '../resources/users/table.ts';
import { makeStats, type DatabaseStats } from './stats.ts';

export type Statement = BatchItem<'sqlite'>;

/** One tenant's (or the directory's) database for the length of one request. */
export interface Database {
  orm: DrizzleD1Database;
  session: D1DatabaseSession;
  stats: DatabaseStats;
  /** Hand it back in X-D1-Bookmark to read one's own writes from the nearest replica. */
  bookmark(): string | null;
  actor_checked: boolean;
}

/**
 * `start`: a bookmark, `first-primary` (fresh, for writers) or `first-unconstrained` (nearest, for readers). `stats` count on
 * where an earlier opening left off.
 */
export function openDatabase(d1: D1Database, start: string, stats = makeStats()): Database {
  const session = d1.withSession(start);
  return {
    orm: query_builder,
    session,
    stats,
    bookmark: () => session.getBookmark(),
    actor_checked: false,
  };
}

/** Drizzle only builds statements here; it could not run one by itself, outside of a counted batch. */
const query_builder = drizzle({ prepare: () => null } as unknown as D1Database);

/** What every statement of drizzle can do; its types keep it to themselves. */
interface Preparable {
  _prepare(): {
    getQuery(): { sql: string; params: unknown[] };
    mapResult(result: unknown, is_from_batch: boolean): unknown;
    /** Columns that the statement selects. */
    fields?: readonly unknown[];
  };
}

/** Several statements in one round trip and one snapshot; all of them happen, or none. */
export async function runTogether<const T extends readonly Statement[]>(db: Database, statements: T) {
  const prepared = statements.map(statement => (statement as unknown as Preparable)._prepare());
  const queries = prepared.map(each => each.getQuery());
  db.stats.round_trips += 1;
  db.stats.statements += statements.length;
  const results = await db.session.batch(queries.map(query => db.session.prepare(query.sql).bind(...query.params)));
  const mapped = results.map((result, index) => {
    db.stats.rows_read += result.meta.rows_read;
    db.stats.rows_written += result.meta.rows_written;
    const [row] = result.results as object[];
    const { fields } = prepared[index]!;
    // D1 gives a row by column name: of two columns of one name only one would come, and all behind it be shifted
    if (row && fields && Object.keys(row).length !== fields.length)
      throw new Error(`a name twice: ${queries[index]!.sql}`);
    // raw SQL gives its rows as they are (drizzle's own batch can't bind the parameters of raw statements)
    return 'method' in queries[index]! ? result.results : prepared[index]!.mapResult(result, true);
  });
  return mapped as unknown as { -readonly [K in keyof T]: BatchResponse<[T[K]]>[0] };
}

/** Asked with the first read of a request, at no extra trip: nothing that follows is trusted before it. */
interface Preliminary {
  statement: Statement;
  judge(rows: unknown[]): void;
}

/** Whether the user may still act: deactivated, changed role or password since the token was made. */
function askStanding({ actor, db }: Context): Preliminary[] {
  if (actor.kind !== 'user' || db.actor_checked) return [];
  const statement = db.orm
    .select({
      is_active: users.is_active,
      role: users.role,
      tokens_valid_from: users.tokens_valid_from,
      session_is_over: sessionIsOver(actor.session_id).mapWith(Boolean).as('session_is_over'),
    })
    .from(users)
    .where(eq(users.id, actor.id));
  const judge = ([user]: (Omit<Standing, 'tokens_valid_from'> & { tokens_valid_from: string })[]) => {
    const standing = user ? { ...user, tokens_valid_from: Date.parse(user.tokens_valid_from) } : null;
    if (!isInGoodStanding(standing, actor)) throw unauthorized();
    db.actor_checked = true;
  };
  return [{ statement, judge } as unknown as Preliminary];
}

/** What was done with this Idempotency-Key before; it isn't done again. */
export class DoneBefore extends Error {
  readonly subject_id: string;
  readonly response: string | null;

  constructor({ subject_id, response }: { subject_id: string; response: string | null }) {
    super('done before');
    this.subject_id = subject_id;
    this.response = response;
  }
}

/** How long a key means the same. */
export const IDEMPOTENCY_MS = 24 * 60 * 60_000;

interface KnownKey extends Omit<Idempotency, 'is_checked' | 'subject_id'> {
  user_id: string;
  subject_id: string;
  response: string | null;
}

function askIdempotency({ idempotency, actor, db, now }: Context): Preliminary[] {
  if (!idempotency || idempotency.is_checked || actor.kind !== 'user') return [];
  const { key, route, body_hash } = idempotency;
  const statement = db.orm.all(
    sql`SELECT * FROM idempotency_keys WHERE key = ${key} AND created_at > ${now - IDEMPOTENCY_MS}`,
  );
  const judge = ([known]: KnownKey[]) => {
    idempotency.is_checked = true;
    if (!known) return;
    const is_same = known.user_id === actor.id && known.route === route && known.body_hash === body_hash;
    if (!is_same) throw new AppError('CONFLICT', 'This Idempotency-Key was used for another request.');
    throw new DoneBefore(known);
  };
  return [{ statement, judge } as unknown as Preliminary];
}

/** Reads for an endpoint: one round trip, whatever their number. What is read is shown to nobody who isn't let in. */
export async function read<const T extends readonly Statement[]>(ctx: Context, ...statements: T) {
  const first = [...askStanding(ctx), ...askIdempotency(ctx)];
  const reading = runTogether(ctx.db, [...first.map(({ statement }) => statement), ...statements]);
  const [results] = (await Promise.all([reading, ctx.admission.granted()])) as unknown as [unknown[][], void];
  first.forEach(({ judge }, at) => judge(results[at]!));
  return results.slice(first.length) as unknown as Awaited<ReturnType<typeof runTogether<T>>>;
}

/** True in SQL while the acting user may still act; for the guard of a write. */
export function actorMayAct(actor: Extract<Context['actor'], { kind: 'user' }>): SQL {
  return sql`EXISTS (SELECT 1 FROM ${users} WHERE ${users.id} = ${actor.id} AND ${users.is_active} = 1
    AND ${users.role} = ${actor.role} AND ${users.tokens_valid_from} <= ${actor.token_issued_at})
    AND NOT ${sessionIsOver(actor.session_id)}`;
}

/** True in SQL once a session was ended: asked of an index that holds the ended ones alone. */
export const sessionIsOver = (session_id: string | SQL): SQL<boolean> =>
  sql`EXISTS (SELECT 1 FROM ${refresh_tokens} AS t WHERE t.family_id = ${session_id} AND t.revoked_at IS NOT NULL)`;
