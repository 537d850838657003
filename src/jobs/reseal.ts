import { desc, eq, sql } from 'drizzle-orm';
import { currentKeys, fingerprintSecret, isSameSecret, seal, unseal } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import { commit, commitDirectory, mustHold, RaceLost } from '../db/commit.ts';
import { runTogether, type Statement } from '../db/session.ts';
import { Fault } from '../errors.ts';
import { toIso } from '../lib/time.ts';
import { logFailure } from '../log.ts';
import { commitProgress, jobs, tellProgress, type JobRow } from '../resources/jobs/index.ts';
import { openDirectory } from '../tenancy/directory.ts';
import {
  columnWith,
  HASH_PLACES,
  isOfOtherKey,
  SEALED_PLACES,
  valueOf,
  type HashPlace,
  type KeptPlace,
} from './sealed-places.ts';

/**
 * After the sealing key has changed: what older keys sealed is sealed anew, some hundred values at a time; each part is
 * stored with how far it is, so that a run that stops goes on there. The directory is told once nothing old is left:
 * only then may the older keys go.
 */

const MOST_VALUES = 500;
const MOST_RACES = 50;
/** Beyond it somebody writes old values all the time; the sweep sends another message. */
const MOST_PASSES = 5;
const MOST_ERRORS = 100;
/** What can't be opened is looked at again so often: its key may have been put back. */
const LOOK_AGAIN_MS = 24 * 60 * 60_000;

const PLACES: readonly (KeptPlace | HashPlace)[] = [...SEALED_PLACES, ...HASH_PLACES];

/** How far it is; `kid` is the key that it is for. */
interface Progress {
  kid: string;
  place: number;
  cursor: string;
  passes: number;
}

type Keys = ReturnType<typeof currentKeys>;

export async function reseal(ctx: Context, most_values = MOST_VALUES): Promise<void> {
  const keys = currentKeys(ctx);
  for (let races = 0; ;) {
    const [[job]] = await runTogether(ctx.db, [
      ctx.db.orm
        .select()
        .from(jobs)
        .where(eq(jobs.kind, 'reseal'))
        .orderBy(desc(jobs.created_at), desc(jobs.id))
        .limit(1),
    ]);
    try {
      const is_over = !job || job.finished_at !== null;
      const has_more = is_over ? await begin(ctx, keys, job ?? null) : await goOn(ctx, keys, job, most_values);
      if (!has_more) return;
    } catch (error) {
      // another delivery of the same message was faster: look again
      if (!(error instanceof RaceLost) || ++races > MOST_RACES) throw error;
    }
  }
}

/** Without a row for those who have nothing old. */
async function begin(ctx: Context, keys: Keys, last: JobRow | null): Promise<boolean> {
  const is_for_this = (last?.result as Progress | null)?.kid === keys.kid;
  const is_recent = last !== null && Date.parse(last.finished_at!) > ctx.now - LOOK_AGAIN_MS;
  if (last?.status === 'failed' && is_for_this && is_recent) return false;
  const { old, old_hashes, is_importing } = await countOld(ctx, keys);
  if (old + old_hashes === 0) {
    if (!is_importing) await noteDone(ctx, keys);
    return false;
  }
  const at = toIso(ctx.now);
  const job: JobRow = {
    id: ctx.newId(),
    kind: 'reseal',
    subject_id: null,
    status: 'running',
    total: old,
    succeeded: 0,
    failed: 0,
    errors: [],
    result: atStart(keys.kid),
    created_by: null,
    started_at: at,
    finished_at: null,
    created_at: at,
    updated_at: at,
  };
  const is_only = sql`NOT EXISTS (SELECT 1 FROM ${jobs} WHERE kind = 'reseal' AND finished_at IS NULL)`;
  await commit(ctx, [mustHold(is_only, new RaceLost()), ctx.db.orm.insert(jobs).values(job)]);
  tellProgress(ctx, job);
  return true;
}

const atStart = (kid: string, passes = 0) => ({ kid, place: 0, cursor: '', passes }) satisfies Progress;

/** False when there is nothing more to do now. */
async function goOn(ctx: Context, keys: Keys, job: JobRow, most_values: number): Promise<boolean> {
  const progress = job.result as unknown as Progress;
  if (progress.kid !== keys.kid) {
    // a later message is at work for a newer key already
    if (keys.current_kids.includes(progress.kid)) return false;
    await commitProgress(ctx, job, { result: atStart(keys.kid) });
    return true;
  }
  for (let { place, cursor } = progress; place < PLACES.length; place++, cursor = '') {
    const rows = await readOld(ctx, keys, PLACES[place]!, { cursor, most_values });
    if (rows.length === 0) continue;
    await takePart(ctx, job, { ...progress, place, cursor: rows.at(-1)!.key }, rows);
    return true;
  }
  return endPass(ctx, keys, job);
}

interface OldRow {
  key: string;
  row_id: string;
  value: string;
  /** The sealed secret that a hash is of. */
  secret: string | null;
}

async function readOld(
  ctx: Context,
  keys: Keys,
  place: KeptPlace | HashPlace,
  { cursor, most_values }: { cursor: string; most_values: number },
): Promise<OldRow[]> {
  const [table, key, row_id] = [place.table, place.key, place.row_id].map(name => sql.identifier(name));
  const secret = 'secret' in place ? place.secret : sql`NULL`;
  const [rows] = await runTogether(ctx.db, [
    ctx.db.orm.all<OldRow>(sql`
      SELECT ${key} AS key, ${row_id} AS row_id, ${valueOf(place)} AS value, ${secret} AS secret FROM ${table}
      WHERE ${key} > ${cursor} AND ${isOfOtherKey(place, keys.current_kids)} ORDER BY ${key} LIMIT ${most_values}`),
  ]);
  return rows;
}

async function takePart(ctx: Context, job: JobRow, progress: Progress, rows: readonly OldRow[]): Promise<void> {
  const place = PLACES[progress.place]!;
  const next = await Promise.all(rows.map(row => renew(ctx, place, row)));
  const renewed = rows.flatMap((row, at) => (next[at] === null ? [] : [{ ...row, next: next[at]! }]));
  // a hash that isn't the secret's any more says so with any key
  const unopened = 'secret' in place ? [] : rows.filter((_, at) => next[at] === null);
  const errors = unopened.map(({ key }) => `${place.table} ${key}: ${place.sealed_as} ${UNOPENED}`);
  const succeeded = job.succeeded + ('secret' in place ? 0 : renewed.length);
  const failed = job.failed + unopened.length;
  const patch = {
    succeeded,
    failed,
    // one that was written since they were counted makes it one more
    total: Math.max(job.total, succeeded + failed),
    errors: [...job.errors, ...errors].slice(0, MOST_ERRORS),
    result: { ...progress },
  };
  await commitProgress(ctx, job, patch, replaceValues(ctx, place, renewed));
}

const UNOPENED = 'can’t be opened with the sealing keys of this deployment: set it anew.';

/** Null: it can't be opened; or, of a hash, the secret isn't that one any more. */
async function renew(ctx: Context, place: KeptPlace | HashPlace, { row_id, value, secret }: OldRow) {
  const bound = { row_id, column: place.sealed_as };
  const open = (sealed: string) => unseal(ctx.env, bound, sealed).catch(() => null);
  if (!('secret' in place)) {
    const plain = await open(value);
    return plain === null ? null : seal(ctx, bound, plain);
  }
  const plain = secret === null ? null : await open(secret);
  const is_same = plain !== null && (await isSameSecret(ctx.env, bound, plain, value));
  return is_same ? fingerprintSecret(ctx, bound, plain) : null;
}

/** What somebody changed since it was read stays as it is now. No row counts as changed: it says what it said. */
function replaceValues(ctx: Context, place: KeptPlace, rows: readonly (OldRow & { next: string })[]): Statement[] {
  const [table, key, name] = [place.table, place.key, place.column].map(each => sql.identifier(each));
  const encoded = rows.map(row => JSON.stringify([row.key, row.value, row.next]));
  return chunkJson(encoded).map(chunk =>
    ctx.db.orm.run(sql`
      UPDATE ${table} SET ${name} = ${columnWith(place, sql`r.next_value`)}
      FROM (SELECT value ->> 0 AS its_key, value ->> 1 AS old_value, value ->> 2 AS next_value FROM json_each(${chunk})) AS r
      WHERE ${key} = r.its_key AND ${valueOf(place)} = r.old_value`),
  );
}

/** How many values and hashes are of older keys; and whether an import is under way, which may still bring one along. */
async function countOld(ctx: Context, keys: Keys) {
  const unfinished = sql`SELECT 1 FROM ${jobs} WHERE kind = 'import' AND finished_at IS NULL`;
  const [[importing], ...counts] = await runTogether(ctx.db, [
    ctx.db.orm.all<{ is_so: number }>(sql`SELECT EXISTS (${unfinished}) AS is_so`),
    ...PLACES.map(place =>
      ctx.db.orm.all<{ count: number }>(sql`
        SELECT count(*) AS count FROM ${sql.identifier(place.table)} WHERE ${isOfOtherKey(place, keys.current_kids)}`),
    ),
  ]);
  const sum = (from: number, to: number) => counts.slice(from, to).reduce((all, [row]) => all + row!.count, 0);
  const sealed = SEALED_PLACES.length;
  return { old: sum(0, sealed), old_hashes: sum(sealed, PLACES.length), is_importing: importing!.is_so === 1 };
}

async function endPass(ctx: Context, keys: Keys, job: JobRow): Promise<boolean> {
  const { old, is_importing } = await countOld(ctx, keys);
  const { passes } = job.result as unknown as Progress;
  if (old > job.failed) {
    // somebody who began before the key changed has written since
    const has_more = passes < MOST_PASSES;
    const result = atStart(keys.kid, has_more ? passes + 1 : 0);
    await commitProgress(ctx, job, { total: job.succeeded + old, failed: 0, errors: [], result });
    return has_more;
  }
  if (old > 0) return fail(ctx, keys, job);
  if (is_importing) {
    // what it brings is looked for from the start, by the sweep's next message
    await commitProgress(ctx, job, { result: atStart(keys.kid) });
    return false;
  }
  await end(ctx, job, 'completed', { type: 'secrets.resealed', count: job.succeeded });
  await noteDone(ctx, keys);
  return false;
}

/** What can't be opened stays as it is, for its key may come back; people see it under /jobs. */
async function fail(ctx: Context, keys: Keys, job: JobRow): Promise<false> {
  await end(ctx, job, 'failed', { type: 'secrets.not_opened', count: job.failed });
  const where = { job: 'reseal', tenant: ctx.tenant.slug, kid: keys.kid };
  logFailure(where, new Fault(`${job.failed} sealed values can’t be opened`));
  return false;
}

type Told = { type: 'secrets.resealed' | 'secrets.not_opened'; count: number };

const end = (ctx: Context, job: JobRow, status: 'completed' | 'failed', { type, count }: Told): Promise<unknown> =>
  commitProgress(ctx, job, { status, finished_at: toIso(ctx.now) }, [], {
    type,
    action: 'update',
    entity_id: job.id,
    data: { count },
  });

/** From then on the sweep sends no message for that key, and the older ones are of no use here. */
async function noteDone(ctx: Context, { kid, current_kids }: Keys): Promise<void> {
  const db = await openDirectory(ctx.env);
  const done = db.orm.run(sql`
    UPDATE tenants SET sealing_kid = ${kid} WHERE id = ${ctx.tenant.id}
      AND coalesce(sealing_kid, '') NOT IN (SELECT value FROM json_each(${JSON.stringify(current_kids)}))`);
  await commitDirectory(db, [done]);
}
