import { sql } from 'drizzle-orm';
import type { Context } from '../context.ts';

/**
 * Takes `count` numbers of a sequence and gives the last one. For codes that go into events and comments: taken in the
 * action's read round trip, so that a write that fails leaves a gap.
 */
export const takeFromSequence = (ctx: Context, name: string, count = 1) =>
  ctx.db.orm.all<{ value: number }>(sql`
    INSERT INTO sequences (name, value) VALUES (${name}, ${count})
    ON CONFLICT (name) DO UPDATE SET value = value + ${count} RETURNING value`);
