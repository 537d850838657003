import { formatRateLimit, parseRateLimit } from '../lib/routeros/values.ts';
import { KINDS } from '../protocol/kinds.ts';
import type { DesiredEntry } from '../protocol/messages.ts';
import { ISOLIR_MARKER, planMarker } from './markers.ts';

/** From what the office says to what the routers must hold. Pure; knows nothing of how it gets there. */

export interface CustomerLine {
  id: string;
  customer_code: string;
  full_name: string;
  status: 'pending_activation' | 'active' | 'suspended' | 'terminated';
  connection_type: 'pppoe' | 'hotspot' | 'static';
  router_id: string | null;
  pppoe_username: string | null;
  static_ip: string | null;
}

/** What of a plan decides which entries a line of it has. */
export interface LinePlan {
  profile_name: string;
  shaping: 'profile' | 'simple_queue';
  is_unlimited: boolean;
  queue_name_template: string;
}

export interface SuspensionSettings {
  suspension_policy: 'disable' | 'isolir';
  isolir_profile: string;
  isolir_pool: string;
  isolir_address_list: string;
  isolir_download_kbps: number;
  isolir_upload_kbps: number;
}

/** `profile` names the plan, or the profile of the suspended: what it says is looked up when it is applied. */
export type SecretState = {
  profile: string;
  disabled: boolean;
  /** Null: not managed. Empty: to be unset. */
  remote_address: string | null;
};
export type QueueState = {
  profile: string;
  /** Address or prefix; null: the line has none that stays, and a queue can't hold on to it. */
  target: string | null;
};
export type ListState = {
  list: string;
  address: string;
};
export type PoolState = {
  ranges: string;
  next_pool: string | null;
  /** Of the pool of the suspended: the router's own address towards them. */
  local_address: string | null;
};
/** RouterOS property → value; `{isolir_address_list}` in a value stands for what the settings say. */
export type RuleState = Record<string, string>;

export type DesiredRow = { customer_id: string | null; router_id: string; key: string; setup?: string } & (
  | { kind: 'ppp_secret'; desired: SecretState }
  | { kind: 'simple_queue'; desired: QueueState }
  | { kind: 'address_list'; desired: ListState }
  | { kind: 'ip_pool'; desired: PoolState }
  | { kind: 'filter_rule' | 'nat_rule'; desired: RuleState }
);

export const describePool = (
  pool: { router_id: string; name: string } & Pick<PoolState, 'ranges' | 'next_pool'>,
): DesiredRow => ({
  customer_id: null,
  router_id: pool.router_id,
  kind: 'ip_pool',
  key: pool.name,
  desired: { ranges: pool.ranges, next_pool: pool.next_pool, local_address: null },
});

/** What must be on which router for a customer; an empty list when nothing may be. */
export function desiredRows(customer: CustomerLine, plan: LinePlan, settings: SuspensionSettings): DesiredRow[] {
  const { id: customer_id, status, router_id, connection_type } = customer;
  if (!router_id || (status !== 'active' && status !== 'suspended')) return [];
  const place = { customer_id, router_id };
  if (connection_type === 'pppoe')
    return [...secretRows(customer, plan, settings, place), ...queueRows(customer, plan, place)];
  if (connection_type === 'static') return staticRows(customer, plan, settings, place);
  return [];
}

type Place = { customer_id: string; router_id: string };

function secretRows(
  { pppoe_username, status, static_ip }: CustomerLine,
  plan: LinePlan,
  settings: SuspensionSettings,
  place: Place,
): DesiredRow[] {
  if (!pppoe_username) return [];
  const suspended = status === 'suspended';
  const isolated = suspended && settings.suspension_policy === 'isolir';
  const desired: SecretState = {
    profile: isolated ? settings.isolir_profile : plan.profile_name,
    disabled: suspended && !isolated,
    // its own address would take it past the walled garden
    remote_address: isolated ? (static_ip ? '' : null) : static_ip,
  };
  return [{ ...place, kind: 'ppp_secret', key: pppoe_username, desired }];
}

/** Where the plan says so; a plan without limits needs none. It stays while the line is suspended: others cut it off. */
function queueRows(customer: CustomerLine, plan: LinePlan, place: Place): DesiredRow[] {
  if (plan.shaping !== 'simple_queue' || plan.is_unlimited) return [];
  const key = nameQueue(plan.queue_name_template, customer);
  const desired = { profile: plan.profile_name, target: customer.static_ip };
  return [{ ...place, kind: 'simple_queue', key, desired }];
}

/** A line without a sign-in is suspended by the address list, whatever the policy: nothing of it could be disabled. */
function staticRows(customer: CustomerLine, plan: LinePlan, settings: SuspensionSettings, place: Place): DesiredRow[] {
  const { static_ip: address, status } = customer;
  const queues = queueRows(customer, plan, place);
  if (status !== 'suspended' || !address) return queues;
  const list = settings.isolir_address_list;
  return [...queues, { ...place, kind: 'address_list', key: `${list} ${address}`, desired: { list, address } }];
}

/** Words that a plan's template of queue names may hold. */
export const QUEUE_NAME_WORDS = ['customer_code', 'full_name', 'pppoe_username'] as const;

function nameQueue(template: string, customer: CustomerLine): string {
  return template.replaceAll(/\{(\w+)\}/g, (text, word: string) => {
    const known = QUEUE_NAME_WORDS.find(name => name === word);
    return known ? (customer[known] ?? '') : text;
  });
}

export interface PlanLine {
  id: string;
  profile_name: string;
  download_kbps: number | null;
  upload_kbps: number | null;
  rate_limit: string | null;
}

export interface PlanSettingsLine {
  burst_download_kbps: number | null;
  burst_upload_kbps: number | null;
  burst_threshold_download_kbps: number | null;
  burst_threshold_upload_kbps: number | null;
  burst_time_seconds: number | null;
  priority: number;
  queue_type: string | null;
  parent_queue: string | null;
  address_pool: string | null;
  local_address: string | null;
  dns_servers: string[];
  session_timeout: number | null;
  max_devices: number | null;
  is_unlimited: boolean;
  shaping?: 'profile' | 'simple_queue';
  /** Properties that were set once. */
  managed?: readonly string[];
}

/** The plan's own text where it has one, else from its speeds; RouterOS names the customer's upload first. */
export function planRateLimit(plan: PlanLine, settings: PlanSettingsLine | null): string {
  if (plan.rate_limit !== null) return plan.rate_limit;
  if (settings?.is_unlimited || plan.download_kbps === null || plan.upload_kbps === null) return '';
  return formatRateLimit({
    upload_kbps: plan.upload_kbps,
    download_kbps: plan.download_kbps,
    burst_upload_kbps: settings?.burst_upload_kbps ?? undefined,
    burst_download_kbps: settings?.burst_download_kbps ?? undefined,
    burst_threshold_upload_kbps: settings?.burst_threshold_upload_kbps ?? undefined,
    burst_threshold_download_kbps: settings?.burst_threshold_download_kbps ?? undefined,
    burst_time_seconds: settings?.burst_time_seconds ?? undefined,
    priority: settings?.priority ?? 8,
  });
}

/** What the settings say of a profile beyond the speed, in RouterOS words; an empty value says nothing. */
function settingsFields(settings: PlanSettingsLine): Record<string, string> {
  const is_queued = settings.shaping === 'simple_queue';
  return {
    'local-address': settings.local_address ?? '',
    'remote-address': settings.address_pool ?? '',
    'dns-server': settings.dns_servers.join(','),
    'parent-queue': is_queued ? '' : (settings.parent_queue ?? ''),
    'queue-type': is_queued ? '' : (settings.queue_type ?? ''),
    'session-timeout': settings.session_timeout ? `${settings.session_timeout}s` : '',
    'only-one': settings.max_devices === 1 ? 'yes' : '',
  };
}

/** Properties of the profile that these settings say something of. */
export const profileProperties = (settings: PlanSettingsLine): string[] =>
  Object.entries(settingsFields(settings)).flatMap(([property, value]) => (value === '' ? [] : [property]));

/** The speed is ours; of the rest what the plan says, or said once; anything else is left as the router has it. */
export function planProfileFields(plan: PlanLine, settings: PlanSettingsLine | null): Record<string, string> {
  const is_queued = settings?.shaping === 'simple_queue';
  const fields: Record<string, string> = { 'rate-limit': is_queued ? '' : planRateLimit(plan, settings) };
  for (const [property, value] of Object.entries(settings ? settingsFields(settings) : {})) {
    if (value !== '') fields[property] = value;
    // this one can't be unset: it has a value that says nothing
    else if (settings?.managed?.includes(property)) fields[property] = property === 'only-one' ? 'default' : '';
  }
  return fields;
}

const profile = (name: string, marker: string): DesiredEntry => ({
  ref: profileRef(name),
  generation: 0,
  kind: 'ppp_profile',
  key: name,
  marker,
  adopt: false,
  was_ours: false,
  fields: {},
  release: false,
  leans_on: null,
  line: null,
});

/** Profiles are no rows of their own: they come along with what leans on them. */
export const profileRef = (name: string): string => `profile:${name}`;

export function describePlanProfile(plan: PlanLine, settings: PlanSettingsLine | null, adopt: boolean): DesiredEntry {
  return { ...profile(plan.profile_name, planMarker(plan.id)), adopt, fields: planProfileFields(plan, settings) };
}

/** A profile that was adopted and is given back. */
export const describeReleasedProfile = (plan: { id: string; profile_name: string }): DesiredEntry => ({
  ...profile(plan.profile_name, planMarker(plan.id)),
  fields: null,
  release: true,
});

const isolirRate = (settings: SuspensionSettings): string =>
  formatRateLimit({ upload_kbps: settings.isolir_upload_kbps, download_kbps: settings.isolir_download_kbps });

/** Where the suspended get their addresses on one router: null where no set-up was ever made, `is_gone` once it was taken back. */
export type IsolirPool = { name: string; local_address: string; is_gone: boolean } | null;

export function describeIsolirProfile(settings: SuspensionSettings, pool: IsolirPool, adopt: boolean): DesiredEntry {
  const fields = {
    'rate-limit': isolirRate(settings),
    'address-list': settings.isolir_address_list,
    ...(pool && {
      'local-address': pool.is_gone ? '' : pool.local_address,
      'remote-address': pool.is_gone ? '' : pool.name,
    }),
  };
  return { ...profile(settings.isolir_profile, ISOLIR_MARKER), adopt, fields };
}

/** RouterOS knows a queue's limits one by one; zero is none. */
function queueLimits(rate_limit: string): Record<string, string> | null {
  const limit = parseRateLimit(rate_limit === '' ? '0' : rate_limit);
  if (!limit) return null;
  const pair = (rx: number, tx: number) => `${rx}/${tx}`;
  return {
    'max-limit': pair(limit.rx_bps, limit.tx_bps),
    'limit-at': pair(limit.min_rx_bps, limit.min_tx_bps),
    'burst-limit': pair(limit.burst_rx_bps, limit.burst_tx_bps),
    'burst-threshold': pair(limit.threshold_rx_bps, limit.threshold_tx_bps),
    'burst-time': `${limit.burst_time_rx_s}s/${limit.burst_time_tx_s}s`,
    priority: pair(limit.priority, limit.priority),
  };
}

export interface Speeds {
  plan: PlanLine;
  settings: PlanSettingsLine | null;
}

/** One kind of queue for both directions, or one for each. */
const pairOf = (queue_type: string): string => (queue_type.includes('/') ? queue_type : `${queue_type}/${queue_type}`);
const QUEUE = 'default-small/default-small';

/** Target and limits; upload first. Null: nobody can read the plan's rate limit. */
export function queueFields(target: string, { plan, settings }: Speeds): Record<string, string> | null {
  const limits = queueLimits(planRateLimit(plan, settings));
  return (
    limits && {
      target,
      disabled: 'no',
      ...limits,
      parent: settings?.parent_queue ?? 'none',
      queue: settings?.queue_type ? pairOf(settings.queue_type) : QUEUE,
    }
  );
}

export function secretFields({ profile, disabled, remote_address }: SecretState): Record<string, string> {
  const fields: Record<string, string> = { profile, disabled: disabled ? 'yes' : 'no' };
  if (remote_address !== null) fields['remote-address'] = remote_address;
  return fields;
}

export const poolFields = ({ ranges, next_pool }: PoolState): Record<string, string> => ({
  ranges,
  'next-pool': next_pool ?? 'none',
});

/** A disabled rule would leave the suspended as free as none. */
export const ruleFields = (
  kind: 'filter_rule' | 'nat_rule',
  rule: RuleState,
  settings: SuspensionSettings,
): Record<string, string> => {
  // what somebody adds to a rule narrows it
  const nothing_else = Object.fromEntries(Object.keys(KINDS[kind].properties).map(property => [property, '']));
  const fill = (value: string) => value.replaceAll('{isolir_address_list}', settings.isolir_address_list);
  return {
    ...nothing_else,
    ...Object.fromEntries(Object.entries(rule).map(([property, value]) => [property, fill(value)])),
    disabled: 'no',
  };
};
