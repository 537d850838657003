import { eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import { ROLES } from '../../auth/permissions.ts';
import type { Context } from '../../context.ts';
import { commit, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField } from '../../errors.ts';
import { diffChanges, type Changes } from '../../events/event.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Email, Id, Instant, Kbps, line, note, Phone } from '../../http/fields.ts';
import { isNumberPattern, seriesOf } from '../../billing/numbers.ts';
import type { Resource } from '../../http/resource.ts';
import { businessDate } from '../../lib/time.ts';
import { followIsolir } from '../../provisioning/isolir.ts';
import type { DesiredChange } from '../../provisioning/set-desired.ts';
import { SETTINGS_ID, settings, type SettingsRow } from './table.ts';

export { settings, SETTINGS_ID, type SettingsRow } from './table.ts';

const RouterName = line(60).regex(/^[\w.-]+$/, 'is not a RouterOS name of letters, digits, dots, hyphens');

const NumberPattern = line(60)
  .refine(
    isNumberPattern,
    'is not text with one {number} (or {number:6}) apart from other digits, and {year} and {month} where wanted',
  )
  .describe('Counts anew for each year or month that it names; at least four digits unless told: `{number:6}`.');

/** Of a page, as browsers say it: no path, no trailing slash. */
function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text;
}

const Origin = z.string().max(200).refine(isOrigin, 'is not an origin like https://panel.example.com');

const SettingsInput = z
  .strictObject({
    business_name: line(120),
    phone: Phone.nullable(),
    email: Email.nullable(),
    address: note(500).nullable(),
    country: z
      .string()
      .regex(/^[A-Z]{2}$/, 'is not an ISO 3166 code of two letters')
      .describe('Tells what a phone number with a leading 0 means.'),
    suspension_policy: z
      .enum(['disable', 'isolir'])
      .describe('What suspending does on the router: the secret disabled, or put on the isolir profile.'),
    isolir_profile: RouterName.refine(
      name => !name.startsWith('default'),
      'is a profile that each router has of its own',
    ).describe('Name of the PPP profile of the suspended.'),
    isolir_pool: RouterName.describe(
      'Name of the pool from which the suspended get their addresses, on routers with the set-up `isolir`.',
    ),
    isolir_address_list: RouterName.describe(
      'Address list that the suspended are on: by their profile while they are connected, or as an entry (static addresses).',
    ),
    isolir_download_kbps: Kbps,
    isolir_upload_kbps: Kbps,
    invoice_number_pattern: NumberPattern,
    receipt_number_pattern: NumberPattern,
    invoice_days_before_due: z.int().min(0).max(28).describe('When the daily job issues an invoice.'),
    grace_days: z
      .int()
      .min(0)
      .max(90)
      .describe('Whole days after the due date before an unpaid line is suspended; a plan’s own go before.'),
    tax_rate_bp: z
      .int()
      .min(0)
      .max(10_000)
      .describe('Hundredths of a percent, on top of what is charged; 0: no tax. See `tax_presets`.'),
    bill_suspended_periods: z.boolean().describe('False: days on which a line was suspended are not charged.'),
    payment_instructions: note(2000)
      .nullable()
      .describe('How to pay: stands on invoices and on the page of the suspended.'),
    allowed_origins: z
      .array(Origin)
      .max(20)
      .transform(origins => [...new Set(origins)])
      .describe('Origins whose pages may call the API in browsers, at the provider’s own subdomain (CORS).'),
    second_factor_roles: z
      .array(z.enum(ROLES))
      .max(ROLES.length)
      .transform(roles => ROLES.filter(role => roles.includes(role)))
      .describe('Who must set up a second factor: without it a new sign-in or renewal may do nothing else.'),
  })
  .partial()
  .meta({ id: 'SettingsInput' });

const TaxPreset = z.object({ name: z.string(), country: z.string(), tax_rate_bp: z.int() });

/** Known ones, off unless somebody puts them in. */
const TAX_PRESETS: readonly z.infer<typeof TaxPreset>[] = [{ name: 'PPN 11 %', country: 'ID', tax_rate_bp: 1100 }];

const Settings = z
  .object({
    id: Id,
    business_name: z.string(),
    phone: z.string().nullable(),
    email: z.string().nullable(),
    address: z.string().nullable(),
    country: z.string(),
    suspension_policy: z.enum(['disable', 'isolir']),
    isolir_profile: z.string(),
    isolir_pool: z.string(),
    isolir_address_list: z.string(),
    isolir_download_kbps: z.int(),
    isolir_upload_kbps: z.int(),
    invoice_number_pattern: z.string(),
    receipt_number_pattern: z.string(),
    invoice_days_before_due: z.int(),
    grace_days: z.int(),
    tax_rate_bp: z.int(),
    tax_presets: z.array(TaxPreset).describe('What may be put into `tax_rate_bp` where it applies.'),
    bill_suspended_periods: z.boolean(),
    payment_instructions: z.string().nullable(),
    allowed_origins: z.array(z.string()),
    second_factor_roles: z.array(z.enum(ROLES)),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Settings' });

const toSettings = (row: SettingsRow): z.input<typeof Settings> => ({ ...row, tax_presets: [...TAX_PRESETS] });

type Sent = z.output<typeof SettingsInput>;

/** The statement that reads the settings, for whoever needs them in the same round trip. */
export const selectSettings = (ctx: Context) => ctx.db.orm.select().from(settings).where(eq(settings.id, SETTINGS_ID));

async function getSettings(ctx: Context): Promise<SettingsRow> {
  const [[row]] = await read(ctx, selectSettings(ctx));
  return row!;
}

/** Lines that are isolated now get the new rate, list or profile name as well. */
async function changeIsolir(ctx: Context, before: SettingsRow, sent: Sent, changes: Changes): Promise<DesiredChange> {
  if (!Object.keys(changes).some(field => field.startsWith('isolir_'))) return { writes: [], routers: [] };
  const after = { ...before, ...sent };
  const [plans, pools] = await read(
    ctx,
    ctx.db.orm.all(sql`SELECT 1 FROM service_plans WHERE profile_name = ${after.isolir_profile}`),
    ctx.db.orm.all(sql`SELECT 1 FROM ip_pools WHERE name = ${after.isolir_pool}`),
  );
  if (plans.length > 0) throw invalidField('isolir_profile', 'is the profile of a plan');
  if (pools.length > 0) throw invalidField('isolir_pool', 'is a pool of one of the routers');
  return followIsolir(ctx, before, after);
}

/** A new pattern doesn't lead to numbers that stand already: its series is new, or one of its own. */
async function checkPatterns(ctx: Context, sent: Sent): Promise<void> {
  for (const [kind, table] of [
    ['invoice', 'invoices'],
    ['receipt', 'receipts'],
  ] as const) {
    const pattern = sent[`${kind}_number_pattern`];
    if (pattern === undefined) continue;
    const { sequence, before, after } = seriesOf(kind, pattern, businessDate(ctx));
    const [known, taken] = await read(
      ctx,
      ctx.db.orm.all(sql`SELECT 1 FROM sequences WHERE name = ${sequence}`),
      ctx.db.orm.all(sql`SELECT 1 FROM ${sql.raw(table)} WHERE substr(number, 1, length(${before})) = ${before}
        AND (${after} = '' OR substr(number, -length(${after})) = ${after}) LIMIT 1`),
    );
    if (known.length === 0 && taken.length > 0)
      throw invalidField(`${kind}_number_pattern`, 'gives numbers that exist already');
  }
}

async function updateSettings(ctx: Context, body: Sent): Promise<SettingsRow> {
  const before = await getSettings(ctx);
  const write = updateRow(ctx, settings, before, body);
  const changes = diffChanges(before, body);
  if (Object.keys(changes).length === 0) return before;
  await checkPatterns(ctx, body);
  const isolir = await changeIsolir(ctx, before, body, changes);
  const [[row]] = (await commit(ctx, [write, ...isolir.writes], {
    type: 'settings.updated',
    action: 'update',
    entity_id: SETTINGS_ID,
    changes,
    routers: isolir.routers,
  })) as [[SettingsRow]];
  return row;
}

export const settingsResource: Resource = {
  path: '/settings',
  routes: {
    'GET /': endpoint({
      id: 'settings.get',
      summary: 'The provider’s settings',
      needs: 'settings:read',
      returns: { one: Settings },
      run: async ctx => toSettings(await getSettings(ctx)),
    }),
    'PUT /': endpoint({
      id: 'settings.update',
      summary: 'Change settings',
      description: 'A new suspension policy holds for whoever is suspended from then on.',
      needs: 'settings:write',
      body: SettingsInput,
      returns: { one: Settings },
      errors: ['CONFLICT'],
      run: async (ctx, { body }) => toSettings(await updateSettings(ctx, body)),
    }),
  },
};
