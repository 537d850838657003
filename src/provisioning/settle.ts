import { sql, type SQL } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { chunkJson } from '../db/bulk.ts';
import type { Statement } from '../db/session.ts';
import { insertEventsFrom, type NewEvent } from '../events/event.ts';
import type { EntryResult } from '../protocol/messages.ts';
import type { ProvisioningRow } from '../resources/provisioning/table.ts';

/**
 * What a router said of rows is stored, and told, of those alone that still are as they were when it was asked: one that
 * was raised meanwhile waits for the next answer.
 */

export interface Settled {
  row_id: string;
  generation: number;
  status: ProvisioningRow['status'];
  outcome: EntryResult['outcome'];
  error: string | null;
  observed: EntryResult['observed'];
  next_attempt_ms: number | null;
}

export interface Applied extends Settled {
  attempts: number;
  /** Keyed, of the password that was found in place; null: nothing was found out about it. */
  secret_hash: string | null;
}

const FIELDS = ['row_id', 'generation', 'status', 'outcome', 'error', 'observed', 'attempts', 'next_attempt_ms', 'secret_hash'] as const; // prettier-ignore

/** The results as rows of SQL, in as few parameters as fit. */
function toRows(list: readonly Settled[]): SQL[] {
  const columns = sql.join(
    FIELDS.map((name, at) => sql`value ->> ${sql.raw(String(at))} AS ${sql.raw(name)}`),
    sql`, `,
  );
  const encoded = list.map(each => JSON.stringify(FIELDS.map(name => (each as Applied)[name] ?? null)));
  return chunkJson(encoded).map(chunk => sql`(SELECT ${columns} FROM json_each(${chunk}))`);
}

const held = (ctx: Context): SQL => sql`
  last_applied_at = CASE r.status WHEN 'in_sync' THEN ${ctx.now} ELSE last_applied_at END,
  is_held = CASE r.status WHEN 'in_sync' THEN provisioning.desired IS NOT NULL ELSE is_held END`;

function tell(ctx: Context, event: Pick<NewEvent, 'type' | 'action'>, results: SQL, still: SQL): Statement {
  return insertEventsFrom(
    ctx,
    event,
    sql`SELECT p.id AS entity_id, p.customer_id, json_object('status', json_array(p.status, r.status)) AS changes,
        json_object('router_id', p.router_id, 'kind', p.kind, 'key', p.key, 'outcome', r.outcome, 'error', r.error) AS data
      FROM provisioning AS p JOIN ${results} AS r ON r.row_id = p.id
      WHERE ${still} AND (p.status <> r.status OR p.last_error IS NOT r.error)`,
    { with_data: true },
  );
}

export function storeApplied(ctx: Context, list: readonly Applied[]): Statement[] {
  return toRows(list).flatMap(results => [
    tell(ctx, { type: 'provisioning.applied', action: 'apply' }, results, sql`p.generation = r.generation`),
    ctx.db.orm.run(sql`
      UPDATE provisioning SET
        status = r.status, observed_generation = r.generation, attempts = r.attempts,
        next_attempt_at = r.next_attempt_ms, last_error = r.error, observed = r.observed,
        secret_hash = coalesce(r.secret_hash, provisioning.secret_hash), observed_at = ${ctx.now}, adopt = adopt AND r.status <> 'in_sync',
        ${held(ctx)}, updated_at = ${ctx.now}
      FROM ${results} AS r WHERE provisioning.id = r.row_id AND provisioning.generation = r.generation`),
  ]);
}

/** After a look: what is to be tried again by itself is left to tell by itself how that went. */
export function storeLooked(ctx: Context, list: readonly Settled[]): Statement[] {
  const still = sql`p.generation = r.generation AND p.next_attempt_at IS NULL`;
  return toRows(list).flatMap(results => [
    tell(ctx, { type: 'provisioning.looked', action: 'update' }, results, still),
    ctx.db.orm.run(sql`
      UPDATE provisioning SET status = r.status, last_error = r.error, observed = r.observed, observed_at = ${ctx.now},
        next_attempt_at = r.next_attempt_ms,
        ${held(ctx)}, updated_at = ${ctx.now}
      FROM ${results} AS r
      WHERE provisioning.id = r.row_id AND provisioning.generation = r.generation AND provisioning.next_attempt_at IS NULL`),
  ]);
}
