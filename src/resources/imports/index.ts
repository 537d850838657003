import { eq } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { read } from '../../db/session.ts';
import { lacks, notFound } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id } from '../../http/fields.ts';
import { exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { Job } from '../jobs/index.ts';
import { importFile, importFromRouter } from './actions.ts';
import { FileImportBody, FileImportQuery, Import, ImportItem, ImportJob, RouterImportInput } from './schema.ts';
import { IMPORT_KINDS, import_items, imports, ITEM_OUTCOMES } from './table.ts';
import { undoImport } from './undo.ts';

const MOST_FILE_BYTES = 16 * 1024 * 1024;

const import_list = list({
  table: imports,
  filters: { router_id: exactly(imports.router_id, Id), kind: exactly(imports.kind, z.enum(IMPORT_KINDS)) },
  sort: ['created_at'],
  default_sort: '-created_at',
  fields: Object.keys(Import.shape),
});

const item_list = list({
  table: import_items,
  filters: { outcome: exactly(import_items.outcome, z.enum(ITEM_OUTCOMES)) },
  sort: ['line'],
  default_sort: 'line',
  ties: [import_items.line],
  fields: Object.keys(ImportItem.shape),
  omit: ['data'],
});

type ImportRow = typeof imports.$inferSelect;

const toImport = ({ copy_key, ...row }: ImportRow): z.input<typeof Import> => ({ ...row, has_copy: copy_key !== null });

async function findImport(ctx: Context, id: string): Promise<ImportRow> {
  const [[row]] = await read(ctx, ctx.db.orm.select().from(imports).where(eq(imports.id, id)));
  if (!row) throw notFound('import');
  return row;
}

async function getCopy(ctx: Context, id: string): Promise<Response> {
  const { copy_key } = await findImport(ctx, id);
  const stored = copy_key ? await ctx.env.FILES.get(copy_key) : null;
  if (!stored) throw lacks('copy of this import');
  return new Response(stored.body, {
    headers: { 'content-type': 'text/plain; charset=utf-8', 'content-disposition': `attachment; filename="${id}.rsc"` },
  });
}

export const importsResource: Resource = {
  path: '/imports',
  routes: {
    'POST /file': endpoint({
      id: 'imports.file',
      summary: 'Import a RouterOS export: secrets become customers on plans made from their profiles',
      description:
        'Start with `dry_run=true`. Nothing in the file is dropped in silence: each line is created, skipped, in ' +
        'conflict or ignored, with its reason. The answer’s `id` is the job’s; follow it at /jobs/:id.',
      needs: 'imports:write',
      query: FileImportQuery,
      accepts: 'text',
      most_bytes: MOST_FILE_BYTES,
      body: FileImportBody,
      returns: { one: ImportJob },
      status: 202,
      errors: ['DUPLICATE_ENTRY'],
      run: (ctx, { query, body }) => importFile(ctx, query, body),
    }),
    'POST /': endpoint({
      id: 'imports.router',
      summary: 'Import secrets, profiles or pools from a router itself',
      description:
        'Reads the router now, through its bridge. Start with `dry_run`. What was there is kept (/imports/:id/copy), and ' +
        'the import can be undone. Passwords never leave the bridge: customers keep the one that the router has; import ' +
        'an export file to bring them. One import of a kind, router and day, unless forced.',
      needs: 'imports:write',
      body: RouterImportInput,
      returns: { one: ImportJob },
      status: 202,
      errors: ['ROUTER_UNREACHABLE', 'BRIDGE_OFFLINE', 'DUPLICATE_ENTRY', 'CONFLICT'],
      run: (ctx, { body }) => importFromRouter(ctx, body),
    }),
    'POST /:id/undo': endpoint({
      id: 'imports.undo',
      summary: 'Undo an import',
      description:
        'Takes back what it made and nobody has worked with since; the rest is kept, and says so. On the router only ' +
        'our marks go: the job is done once the router confirmed that.',
      needs: 'imports:write',
      returns: { one: Job },
      status: 202,
      errors: ['INVALID_TRANSITION', 'CONFLICT'],
      run: (ctx, { params }) => undoImport(ctx, params.id),
    }),
    'GET /:id/copy': endpoint({
      id: 'imports.copy',
      summary: 'What was on the router before an import',
      description: 'As a RouterOS export, without passwords.',
      needs: 'imports:write',
      returns: { file: ['text/plain'] },
      run: (ctx, { params }) => getCopy(ctx, params.id),
    }),
    'GET /': endpoint({
      id: 'imports.list',
      summary: 'List imports',
      needs: 'imports:write',
      query: import_list.query,
      returns: { list: Import },
      run: async (ctx, { query }) => {
        const { rows, total } = await import_list.readPage(ctx, query);
        return { rows: rows.map(toImport), total };
      },
    }),
    'GET /:id': endpoint({
      id: 'imports.get',
      summary: 'Get an import',
      needs: 'imports:write',
      returns: { one: Import },
      run: async (ctx, { params }) => toImport(await findImport(ctx, params.id)),
    }),
    'GET /:id/items': endpoint({
      id: 'imports.items',
      summary: 'What became of each secret of the file',
      needs: 'imports:write',
      query: item_list.query,
      returns: { list: ImportItem },
      run: (ctx, { params, query }) =>
        item_list.readPage(ctx, query, {
          where: eq(import_items.import_id, params.id),
          owner: ctx.db.orm.select({ id: imports.id }).from(imports).where(eq(imports.id, params.id)),
          what: 'import',
        }),
    }),
  },
};
