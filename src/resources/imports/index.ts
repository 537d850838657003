import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { read } from '../../db/session.ts';
import { notFound } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import { exactly, list } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { importFile } from './actions.ts';
import { FileImportBody, FileImportQuery, Import, ImportItem, ImportJob } from './schema.ts';
import { import_items, imports, ITEM_OUTCOMES } from './table.ts';

const MOST_FILE_BYTES = 16 * 1024 * 1024;

const import_list = list({
  table: imports,
  filters: {},
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
    'GET /': endpoint({
      id: 'imports.list',
      summary: 'List imports',
      needs: 'imports:write',
      query: import_list.query,
      returns: { list: Import },
      run: (ctx, { query }) => import_list.readPage(ctx, query),
    }),
    'GET /:id': endpoint({
      id: 'imports.get',
      summary: 'Get an import',
      needs: 'imports:write',
      returns: { one: Import },
      run: async (ctx, { params }) => {
        const [[row]] = await read(ctx, ctx.db.orm.select().from(imports).where(eq(imports.id, params.id)));
        if (!row) throw notFound('import');
        return row;
      },
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
