import { z } from 'zod';
import { queryInt } from './fields.ts';
import type { Page } from './definition.ts';

/** Pages of what is few enough to be at hand as a whole; tables have `list`. */

export const Paging = z.strictObject({
  page: queryInt({ min: 1 }).default(1),
  per_page: queryInt({ min: 1, max: 100 }).default(10),
});

export const pageOf = <T>(all: readonly T[], { page, per_page }: z.output<typeof Paging>): Page<T> => ({
  rows: all.slice((page - 1) * per_page, page * per_page),
  total: all.length,
});
