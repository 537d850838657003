import { z } from 'zod';
import { Id, Instant, IpAddress, Kbps, line, Money, note } from '../../http/fields.ts';
import { parseRateLimit } from '../../lib/routeros/values.ts';
import { QUEUE_NAME_WORDS } from '../../provisioning/desired.ts';
import { CONNECTION_MODES, SHAPINGS } from './table.ts';

const RouterText = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^[\x20-\x7e]+$/, 'is not plain ASCII');

function limitsBoth(text: string): boolean {
  const limit = parseRateLimit(text);
  return limit === null || (limit.rx_bps > 0 && limit.tx_bps > 0);
}

export const PlanInput = z
  .strictObject({
    name: line(100),
    profile_name: RouterText.optional().describe(
      'Name of the PPP profile on the routers; default: the name as a slug.',
    ),
    description: note(1000).nullable().optional(),
    download_kbps: Kbps,
    upload_kbps: Kbps,
    rate_limit: RouterText.refine(text => parseRateLimit(text) !== null, 'is not a RouterOS rate limit')
      .refine(limitsBoth, 'has a speed of 0, which routers take for none at all')
      .nullable()
      .optional()
      .describe('RouterOS text, upload first (`5M/20M`); wins over the speeds. Leave it out in general.'),
    price: Money.describe('A month, in whole units of the provider’s currency.'),
    billing_cycle: z.literal('monthly').optional(),
    is_active: z.boolean().optional(),
    features: z.array(line(200)).max(50).optional(),
    sort_order: z.int().min(-1_000_000).max(1_000_000).optional(),
  })
  .meta({ id: 'ServicePlanInput' });

export const Plan = z
  .object({
    id: Id,
    name: z.string(),
    profile_name: z.string(),
    description: z.string().nullable(),
    download_kbps: z.int().nullable().describe('Null: unlimited, or only `rate_limit` can say it (imported plans).'),
    upload_kbps: z.int().nullable(),
    rate_limit: z.string().nullable(),
    price: z.int().nullable().describe('Null: not priced yet; only by import.'),
    billing_cycle: z.enum(['monthly']),
    is_active: z.boolean(),
    features: z.array(z.string()),
    sort_order: z.int(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'ServicePlan' });

const optional = {
  kbps: Kbps.nullable(),
  count: z.int().positive().max(1_000_000).nullable(),
  name: RouterText.nullable(),
};

const QueueNameTemplate = line(100)
  .refine(
    text => [...text.matchAll(/\{(\w*)\}/g)].every(([, word]) => QUEUE_NAME_WORDS.some(known => known === word)),
    `knows ${QUEUE_NAME_WORDS.map(word => `{${word}}`).join(', ')} and no other words in braces`,
  )
  .refine(text => text.includes('{customer_code}'), 'must hold {customer_code}: two queues can’t have one name')
  .describe('Name of a line’s simple queue on the router.');

export const PlanSettingsInput = z
  .strictObject({
    burst_download_kbps: optional.kbps,
    burst_upload_kbps: optional.kbps,
    burst_threshold_download_kbps: optional.kbps,
    burst_threshold_upload_kbps: optional.kbps,
    burst_time_seconds: z.int().min(1).max(3600).nullable(),
    priority: z.int().min(1).max(8).describe('1 goes first, 8 last.'),
    queue_type: optional.name,
    parent_queue: optional.name,
    address_pool: optional.name.describe('The profile’s remote-address: a pool on the router, or an address.'),
    local_address: optional.name.describe('The router’s own address on the line: an address or a pool.'),
    dns_servers: z.array(IpAddress).max(8),
    connection_mode: z.enum(CONNECTION_MODES),
    vlan_id: z.int().min(1).max(4094).nullable(),
    max_devices: optional.count.describe('1: the second sign-in ends the first (`only-one`).'),
    max_connections: optional.count,
    session_timeout: z.int().positive().max(31_536_000).nullable().describe('Seconds.'),
    is_unlimited: z.boolean().describe('No rate limit on the router: shaped elsewhere, or not at all.'),
    monthly_quota_gb: optional.count,
    fup_threshold_gb: optional.count,
    fup_download_kbps: optional.kbps,
    fup_upload_kbps: optional.kbps,
    grace_period_days: z.int().min(0).max(365).nullable(),
    duration_days: z.int().positive().max(3660).nullable(),
    area_coverage: z.array(line(100)).max(200),
    time_restrictions: z.record(line(50), z.union([z.string().max(200), z.number(), z.boolean()])),
    addons: z.array(line(200)).max(50),
    shaping: z
      .enum(SHAPINGS)
      .describe(
        'What holds a line to its speed: its PPP profile (a new speed holds from the next sign-in), or a simple queue of its ' +
          'own (it holds at once, and no session ends; each line needs a static_ip).',
      ),
    queue_name_template: QueueNameTemplate,
    auto_apply_to_router: z
      .boolean()
      .describe(
        'A change goes to the routers at once; else with the next change of a line. How lines are shaped always does.',
      ),
  })
  .partial()
  .meta({ id: 'ServicePlanSettingsInput' });

export const PlanSettings = z
  .object({
    plan_id: Id,
    burst_download_kbps: z.int().nullable(),
    burst_upload_kbps: z.int().nullable(),
    burst_threshold_download_kbps: z.int().nullable(),
    burst_threshold_upload_kbps: z.int().nullable(),
    burst_time_seconds: z.int().nullable(),
    priority: z.int(),
    queue_type: z.string().nullable(),
    parent_queue: z.string().nullable(),
    address_pool: z.string().nullable(),
    local_address: z.string().nullable(),
    dns_servers: z.array(z.string()),
    connection_mode: z.enum(CONNECTION_MODES),
    vlan_id: z.int().nullable(),
    max_devices: z.int().nullable(),
    max_connections: z.int().nullable(),
    session_timeout: z.int().nullable(),
    is_unlimited: z.boolean(),
    monthly_quota_gb: z.int().nullable(),
    fup_threshold_gb: z.int().nullable(),
    fup_download_kbps: z.int().nullable(),
    fup_upload_kbps: z.int().nullable(),
    grace_period_days: z.int().nullable(),
    duration_days: z.int().nullable(),
    area_coverage: z.array(z.string()),
    time_restrictions: z.record(z.string(), z.unknown()),
    addons: z.array(z.unknown()),
    shaping: z.enum(SHAPINGS),
    queue_name_template: z.string(),
    auto_apply_to_router: z.boolean(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'ServicePlanSettings' });

export const PlanChange = z
  .object({
    id: Id,
    plan_id: Id,
    changed_by: Id.nullable(),
    changes: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])),
    effective_at: Instant,
    created_at: Instant,
  })
  .meta({ id: 'ServicePlanChange' });
