import type { AnyDefinition, HonoCtx, Page } from './definition.ts';
import { answerPage, type HtmlPage } from './page.ts';

/** What goes out: the envelope, chosen fields, entity tags and the database's bookmark. */

/** What goes out has passed its schema: a column that nobody declared can't leak. */
export async function answer(
  c: HonoCtx,
  definition: AnyDefinition,
  query: Record<string, unknown>,
  result: unknown,
): Promise<Response> {
  const { returns, status = 200 } = definition;
  if ('html' in returns) return answerPage(c, result as HtmlPage, status);
  if ('socket' in returns) return result as Response;
  const bookmark = definition.needs === 'platform' ? null : c.var.ctx.db.bookmark();
  if (bookmark) c.header('X-D1-Bookmark', bookmark);
  if ('file' in returns || result instanceof Response) return answerFile(c, result as Response);
  if ('list' in returns) {
    const { rows, total, meta: more } = result as Page<unknown>;
    const data = rows.map(row => chooseFields(returns.list.parse(row), query.fields as string[] | undefined));
    const [page, per_page] = [(query.page as number) ?? 1, (query.per_page as number) ?? rows.length];
    const pages = { page, per_page, total, total_pages: Math.ceil(total / per_page) };
    const meta = { ...pages, ...returns.meta?.parse(more) };
    return c.json({ success: true, data, meta }, status);
  }
  const data = returns.one.parse(result);
  const body = JSON.stringify({ success: true, data });
  const etag = await makeEtag(data, body);
  if (etag) c.header('ETag', etag);
  if (etag && isKnown(c, etag)) return c.body(null, 304);
  return c.body(body, status, { 'Content-Type': 'application/json' });
}

/**
 * A file, through the context: a Response of its own would come without the headers that were set before it. Nothing of it
 * where it is known already.
 */
async function answerFile(c: HonoCtx, { body, headers }: Response): Promise<Response> {
  const etag = headers.get('etag');
  if (!etag || !isKnown(c, etag)) return c.newResponse(body, 200, Object.fromEntries(headers));
  await body?.cancel();
  return c.body(null, 304, { ETag: etag, 'Cache-Control': headers.get('cache-control') ?? 'no-cache' });
}

/** What was read before is still so. */
function isKnown(c: HonoCtx, etag: string): boolean {
  const known = c.req.method === 'GET' ? (c.req.header('if-none-match') ?? '').split(',') : [];
  // a proxy that compresses marks a tag as weak
  return known.some(tag => tag.trim().replace(/^W\//, '') === etag);
}

/**
 * A single row's tag: its version (when people last changed it, which rises with every change; If-Match compares that)
 * and a hash of all that is shown, observations too.
 */
async function makeEtag(data: unknown, body: string): Promise<string | null> {
  const at = (data as { updated_at?: unknown } | null)?.updated_at;
  if (typeof at !== 'string') return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(body)));
  const hash = Array.from(digest.subarray(0, 8), byte => byte.toString(16).padStart(2, '0')).join('');
  return `"${Date.parse(at).toString(36)}.${hash}"`;
}

/** The `updated_at` that a tag of ours stands for. */
export function parseVersion(etag: string): string | null {
  const match = /^(?:W\/)?"([0-9a-z]{1,10})\.[0-9a-f]{16}"$/.exec(etag.trim());
  return match ? new Date(Number.parseInt(match[1]!, 36)).toISOString() : null;
}

function chooseFields(row: unknown, fields: string[] | undefined): unknown {
  if (!fields) return row;
  return Object.fromEntries(fields.map(field => [field, (row as Record<string, unknown>)[field]]));
}
