import { formatRateLimit } from '../lib/routeros/values.ts';
import type { DesiredProfile, SecretState } from '../protocol/messages.ts';
import { ISOLIR_MARKER, planMarker } from './markers.ts';

/** From what the office says to what the routers must hold. Pure; knows nothing of how it gets there. */

export interface CustomerLine {
  status: 'pending_activation' | 'active' | 'suspended' | 'terminated';
  connection_type: 'pppoe' | 'hotspot' | 'static';
  router_id: string | null;
  pppoe_username: string | null;
  static_ip: string | null;
}

export interface SuspensionSettings {
  suspension_policy: 'disable' | 'isolir';
  isolir_profile: string;
  isolir_address_list: string;
  isolir_download_kbps: number;
  isolir_upload_kbps: number;
}

export interface DesiredRow {
  router_id: string;
  kind: 'ppp_secret';
  key: string;
  desired: SecretState;
}

/** What must be on which router for a customer; an empty list when nothing may be. */
export function desiredRows(
  customer: CustomerLine,
  plan: { profile_name: string },
  settings: SuspensionSettings,
): DesiredRow[] {
  const { status, router_id, pppoe_username, static_ip } = customer;
  if (customer.connection_type !== 'pppoe' || !router_id || !pppoe_username) return [];
  if (status !== 'active' && status !== 'suspended') return [];
  const suspended = status === 'suspended';
  const isolated = suspended && settings.suspension_policy === 'isolir';
  const desired: SecretState = {
    profile: isolated ? settings.isolir_profile : plan.profile_name,
    disabled: suspended && !isolated,
    // its own address would take it past the walled garden
    remote_address: isolated ? (static_ip ? '' : null) : static_ip,
  };
  return [{ router_id, kind: 'ppp_secret', key: pppoe_username, desired }];
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
  return {
    'local-address': settings.local_address ?? '',
    'remote-address': settings.address_pool ?? '',
    'dns-server': settings.dns_servers.join(','),
    'parent-queue': settings.parent_queue ?? '',
    'queue-type': settings.queue_type ?? '',
    'session-timeout': settings.session_timeout ? `${settings.session_timeout}s` : '',
    'only-one': settings.max_devices === 1 ? 'yes' : '',
  };
}

/** Properties of the profile that these settings say something of. */
export const profileProperties = (settings: PlanSettingsLine): string[] =>
  Object.entries(settingsFields(settings)).flatMap(([property, value]) => (value === '' ? [] : [property]));

/** The speed is always ours. Of the rest what the plan says, or said once; anything else is left as the router has it. */
export function describePlanProfile(plan: PlanLine, settings: PlanSettingsLine | null, adopt: boolean): DesiredProfile {
  const fields: Record<string, string> = { 'rate-limit': planRateLimit(plan, settings) };
  for (const [property, value] of Object.entries(settings ? settingsFields(settings) : {})) {
    if (value !== '') fields[property] = value;
    // this one can't be unset: it has a value that says nothing
    else if (settings?.managed?.includes(property)) fields[property] = property === 'only-one' ? 'default' : '';
  }
  return { name: plan.profile_name, marker: planMarker(plan.id), adopt, release: false, fields };
}

/** A profile that was adopted and is given back. */
export const describeReleasedProfile = (plan: { id: string; profile_name: string }): DesiredProfile => ({
  name: plan.profile_name,
  marker: planMarker(plan.id),
  adopt: false,
  release: true,
  fields: {},
});

export function describeIsolirProfile(settings: SuspensionSettings): DesiredProfile {
  const rate_limit = formatRateLimit({
    upload_kbps: settings.isolir_upload_kbps,
    download_kbps: settings.isolir_download_kbps,
  });
  return {
    name: settings.isolir_profile,
    marker: ISOLIR_MARKER,
    adopt: false,
    release: false,
    fields: { 'rate-limit': rate_limit, 'address-list': settings.isolir_address_list },
  };
}
