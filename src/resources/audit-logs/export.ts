import { and, desc, lt, sql } from 'drizzle-orm';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { events } from '../../events/event.ts';
import { writeCsvLine } from '../../lib/csv.ts';
import { localDate } from '../../lib/time.ts';
import { AuditLog, audit_list } from './list.ts';

/** The audit log as a table to keep: what the list's filters leave, newest first, written while it is read. */

/** The filters of the list; all its rows and columns. */
export const ExportQuery = audit_list.query.omit({ page: true, per_page: true, sort: true, fields: true });

const MOST_ROWS = 10_000;
const ROWS_AT_ONCE = 500;
const COLUMNS = Object.keys(AuditLog.shape) as (keyof typeof AuditLog.shape)[];

type Row = typeof events.$inferSelect;

export async function exportAuditLog(ctx: Context, query: unknown): Promise<Response> {
  const where = audit_list.where(ctx, query);
  const page = (before: number) =>
    ctx.db.orm
      .select()
      .from(events)
      .where(and(where, lt(events.seq, before)))
      .orderBy(desc(events.seq))
      .limit(ROWS_AT_ONCE);
  const over = sql`SELECT 1 FROM ${events}${where ? sql` WHERE ${where}` : sql``} LIMIT 1 OFFSET ${MOST_ROWS}`;
  const [first, too_many] = await read(ctx, page(Number.MAX_SAFE_INTEGER), ctx.db.orm.all(over));
  if (too_many.length > 0)
    throw invalidField('created_at_from', `is needed, or another filter: more than ${MOST_ROWS} entries match`);
  const readMore = async (before: number) => (await read(ctx, page(before)))[0];
  const name = `audit-log-${localDate(ctx.now, ctx.tenant.timezone)}.csv`;
  return new Response(writeRows(first, readMore), {
    headers: {
      'Content-Type': 'text/csv; charset=utf-8',
      'Content-Disposition': `attachment; filename="${name}"`,
      'Cache-Control': 'no-store',
    },
  });
}

/** A page is read when the one before it was taken: what is added meanwhile is newer than all of them. */
function writeRows(first: Row[], readMore: (before: number) => Promise<Row[]>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let rows = first;
  return new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode(writeCsvLine(COLUMNS)));
    },
    async pull(controller) {
      const lines = rows.map(row => AuditLog.parse(row)).map(row => writeCsvLine(COLUMNS.map(column => row[column])));
      if (lines.length > 0) controller.enqueue(encoder.encode(lines.join('')));
      if (rows.length < ROWS_AT_ONCE) return controller.close();
      rows = await readMore(rows.at(-1)!.seq);
      if (rows.length === 0) controller.close();
    },
  });
}
