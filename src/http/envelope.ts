import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.ts';

/** The shapes that every answer has. */

export const PageMeta = z
  .object({
    page: z.int().min(1),
    per_page: z.int().min(1).max(100),
    total: z.int().min(0).describe('Exact number of rows that match.'),
    total_pages: z.int().min(0),
  })
  .meta({ id: 'PageMeta' });

export const ErrorAnswer = z
  .object({
    success: z.literal(false),
    error: z.object({
      code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
      message: z.string(),
      details: z.record(z.string(), z.array(z.string())).optional().describe('A field’s path → its complaints.'),
      request_id: z.string(),
    }),
  })
  .meta({ id: 'Error' });

export const dataAnswer = <T extends z.ZodType>(data: T) => z.object({ success: z.literal(true), data });

export const listAnswer = <T extends z.ZodType>(item: T, more?: z.ZodObject) => {
  const meta = more ? z.object({ ...PageMeta.shape, ...more.shape }) : PageMeta;
  return z.object({ success: z.literal(true), data: z.array(item), meta });
};
