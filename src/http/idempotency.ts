import { sql } from 'drizzle-orm';
import type { Context } from '../context.ts';
import { commit } from '../db/commit.ts';
import { AppError } from '../errors.ts';
import { hashText } from '../protocol/signature.ts';
import type { AnyDefinition, HonoCtx } from './definition.ts';

/**
 * `Idempotency-Key`: what was done with it is stored in the batch that did it (db/commit), so that the same request sent
 * again, also at the same moment, does nothing more and gets the same answer.
 */

export const IDEMPOTENCY_HEADER = 'Idempotency-Key';

/** Notes in the context which key this request has; db/session looks it up with the first read. */
export async function takeIdempotencyKey(c: HonoCtx, { idempotency }: AnyDefinition, body: unknown): Promise<void> {
  if (!idempotency) return;
  const key = c.req.header(IDEMPOTENCY_HEADER);
  if (key === undefined && idempotency.key === 'optional') return;
  const complaint = key === undefined ? 'is required' : 'is not 1 to 200 visible ASCII characters';
  if (key === undefined || !/^[\x21-\x7e]{1,200}$/.test(key))
    throw new AppError('VALIDATION_ERROR', undefined, { [IDEMPOTENCY_HEADER]: [complaint] });
  const body_hash = await hashText(JSON.stringify(body ?? null));
  c.var.ctx.idempotency = {
    key,
    route: `${c.req.method} ${c.req.path}`,
    body_hash,
    is_checked: false,
    subject_id: null,
  };
}

/** The answer, for whoever sends the same again. Lost, it is made anew from the row that was made. */
export function keepAnswer(ctx: Context, data: unknown): void {
  const key = ctx.idempotency?.key;
  if (key === undefined) return;
  const update = sql`UPDATE idempotency_keys SET response = ${JSON.stringify(data)} WHERE key = ${key}`;
  ctx.defer(commit({ ...ctx, idempotency: null }, [ctx.db.orm.run(update)]));
}
