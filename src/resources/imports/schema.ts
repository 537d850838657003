import { z } from 'zod';
import { Id, Instant, QueryBoolean } from '../../http/fields.ts';
import { Job } from '../jobs/index.ts';
import { IMPORT_KINDS, ITEM_OUTCOMES } from './table.ts';

export const FileImportQuery = z.strictObject({
  router_id: Id.optional().describe(
    'The router that the export is of: its secrets are adopted there. Without one, customers have no router yet.',
  ),
  dry_run: QueryBoolean.optional().describe('Only say what would become of each line.'),
  filter_disabled: QueryBoolean.optional().describe('Skip disabled secrets; else they become suspended customers.'),
});

export const FileImportBody = z
  .string()
  .min(1)
  .describe('A RouterOS export (`/export` or `/ppp export`; v7: with `show-sensitive`, to bring the passwords).')
  .meta({ id: 'RouterOsExport' });

export const RouterImportInput = z
  .strictObject({
    router_id: Id,
    kind: z
      .enum(IMPORT_KINDS)
      .describe('`secrets` become customers (and plans for their profiles), `profiles` plans, `pools` address pools.'),
    filter_disabled: z.boolean().optional().describe('Skip disabled secrets; else they become suspended customers.'),
    generate_bills: z
      .boolean()
      .optional()
      .describe(
        'Of `secrets`: invoices the new customers for the present month. Who is on a plan without a price is reported by that job.',
      ),
    dry_run: z.boolean().optional().describe('Only say what would become of each entry.'),
    force: z.boolean().optional().describe('Also when this router had an import of this kind today.'),
  })
  .meta({ id: 'RouterImportInput' });

const Refused = z.object({ line: z.int(), name: z.string(), reason: z.string() });

export const ImportPreview = z
  .object({
    creates: z.array(
      z.object({
        line: z.int().describe('In the file, from 1; of a router: in the copy that is kept of it.'),
        name: z.string(),
        full_name: z.string().nullable().describe('Of the customer, where it becomes one.'),
        profile: z.string().nullable(),
        status: z.enum(['active', 'suspended']).nullable(),
        notes: z.array(z.string()),
      }),
    ),
    skips: z.array(Refused),
    conflicts: z.array(Refused),
    plans: z
      .array(
        z.object({
          line: z.int().nullable(),
          name: z.string(),
          profile_name: z.string(),
          download_kbps: z.int().nullable(),
          upload_kbps: z.int().nullable(),
          rate_limit: z.string().nullable(),
          notes: z.array(z.string()),
        }),
      )
      .describe('New plans, unpriced and switched off until somebody prices them.'),
    ignored: z.array(z.object({ lines: z.array(z.int()), menu: z.string(), reason: z.string() })),
  })
  .meta({ id: 'ImportPreview' });

export const ImportJob = Job.extend({ import_id: Id, dry_run: z.boolean(), preview: ImportPreview }).meta({
  id: 'ImportJob',
});

export const Import = z
  .object({
    id: Id,
    job_id: Id,
    router_id: Id.nullable(),
    kind: z.enum(IMPORT_KINDS),
    source: z.enum(['file', 'router']),
    dry_run: z.boolean(),
    creates: z.int(),
    skips: z.int(),
    conflicts: z.int(),
    has_copy: z.boolean().describe('What was on the router before is kept: see /imports/:id/copy.'),
    undone_at: Instant.nullable(),
    undo_job_id: Id.nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Import' });

export const ImportItem = z
  .object({
    line: z.int(),
    name: z.string(),
    outcome: z.enum(ITEM_OUTCOMES),
    reason: z.string().nullable(),
    customer_id: Id.nullable(),
    entity_id: Id.nullable().describe('The plan or pool that was made of it.'),
  })
  .meta({ id: 'ImportItem' });
