import { z } from 'zod';
import type { Context } from '../context.ts';
import { Instant, queryInt } from '../http/fields.ts';
import { toIso } from '../lib/time.ts';

/** How old a live answer is, and how old it may be. */

export const Freshness = z.object({
  read_at: Instant.describe('When the router was read.'),
  age_seconds: z.int().min(0).describe('How long ago that was when this was answered.'),
});

/** A bridge gives what it read a moment ago again, so that ten who look at once cost a router one read. */
export const MaxAge = queryInt({ min: 0, max: 60 })
  .default(5)
  .describe('Seconds: what was read no longer ago than this may come again. 0 reads now.');

export const freshnessOf = (ctx: Context, age_ms: number): z.input<typeof Freshness> => ({
  read_at: toIso(ctx.now + ctx.elapsed_ms() - age_ms),
  age_seconds: Math.floor(age_ms / 1000),
});
