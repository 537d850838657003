import type { ExportFile, ExportItem } from '../../lib/routeros/export-file.ts';
import {
  equalValues,
  formatRateLimit,
  parseBoolean,
  parseDuration,
  parseRateLimit,
} from '../../lib/routeros/values.ts';
import { IpAddress } from '../../http/fields.ts';
import { planProfileFields, type PlanLine, type PlanSettingsLine } from '../../provisioning/desired.ts';
import { readMarker } from '../../provisioning/diff.ts';
import { customerMarker } from '../../provisioning/markers.ts';

/** From a RouterOS export to customers and plans, and a reason for whatever doesn't become one. Pure. */

interface Known {
  plan: PlanLine & { name: string };
  settings: PlanSettingsLine | null;
}

export interface KnownState {
  /** PPPoE name → customer code, of customers who aren't terminated. */
  taken_names: ReadonlyMap<string, string>;
  /** By profile name. */
  plans: ReadonlyMap<string, Known>;
  plan_names: ReadonlySet<string>;
  isolir_profile: string;
}

export interface PlanDraft {
  /** Line of its profile in the file; null for a built-in profile that the file doesn't mention. */
  line: number | null;
  name: string;
  profile_name: string;
  download_kbps: number | null;
  upload_kbps: number | null;
  rate_limit: string | null;
  settings: Omit<PlanSettingsLine, 'priority'> & { priority: number };
  /** What of the profile the plan doesn't hold: it stays as it is on the router. */
  notes: string[];
}

export interface SecretDraft {
  line: number;
  name: string;
  full_name: string;
  profile: string;
  password: string | null;
  disabled: boolean;
  static_ip: string | null;
  notes: string[];
}

export interface Refused {
  line: number;
  name: string;
  reason: string;
}

export interface ImportPlan {
  creates: SecretDraft[];
  skips: Refused[];
  conflicts: Refused[];
  /** Plans to be made: unpriced and switched off, until somebody prices them. */
  plans: PlanDraft[];
  /** Lines that an import of secrets has no use for. */
  ignored: { lines: number[]; menu: string; reason: string }[];
}

const BUILT_IN = ['default', 'default-encryption'];
const MOST_NAME_CHARACTERS = 200;
const isAddress = (text: string): boolean => IpAddress.safeParse(text).success;

export interface ImportOptions {
  filter_disabled: boolean;
  /** The secrets, and the profiles that they are on, become ours on their router. */
  adopts: boolean;
}

export function planImport(file: ExportFile, known: KnownState, options: ImportOptions): ImportPlan {
  const profiles = collectProfiles(file);
  const plan: ImportPlan = { creates: [], skips: [], conflicts: [], plans: [], ignored: [] };
  const judged = new Map<string, { problem: string | null; draft: PlanDraft | null }>();
  const lines_of = new Map<string, number>();
  const { secrets, crowded } = splitByLine(file.items.filter(isSecret));
  for (const item of secrets) {
    const name = item.props.get('name') ?? '';
    const profile = item.props.get('profile') ?? 'default';
    const refused = refuseSecret(item, name, lines_of, known, options);
    if (!lines_of.has(name)) lines_of.set(name, item.line);
    if (refused) {
      plan[refused.kind].push({ line: item.line, name, reason: refused.reason });
      continue;
    }
    if (!judged.has(profile)) judged.set(profile, judgeProfile(profile, profiles.get(profile), known, options));
    const { problem, draft } = judged.get(profile)!;
    if (problem) {
      plan.conflicts.push({ line: item.line, name, reason: problem });
      continue;
    }
    if (draft && !plan.plans.includes(draft)) plan.plans.push(draft);
    plan.creates.push(draftSecret(item, name, profile));
  }
  plan.ignored = listIgnored(file, crowded, item => tellProfile(item, profiles, plan.plans, known));
  return plan;
}

const isSecret = (item: ExportItem) => item.menu === '/ppp/secret' && item.verb === 'add';

/** What becomes of a secret is told by its line: of several on one line (`add …; add …`) only the first is taken. */
function splitByLine(items: readonly ExportItem[]) {
  const lines = new Set<number>();
  const crowded = new Set<ExportItem>();
  for (const item of items) {
    if (lines.has(item.line)) crowded.add(item);
    lines.add(item.line);
  }
  return { secrets: items.filter(item => !crowded.has(item)), crowded };
}

/** Why a profile makes no plan; null where it does. */
function tellProfile(
  item: ExportItem,
  profiles: ReadonlyMap<string, ExportItem>,
  plans: readonly PlanDraft[],
  known: KnownState,
): string | null {
  const name = nameOfProfile(item);
  if (!name) return 'has no name';
  if (profiles.get(name) !== item) return `says what line ${profiles.get(name)!.line} says otherwise`;
  if (plans.some(draft => draft.profile_name === name)) return null;
  const existing = known.plans.get(name);
  if (existing) return `plan "${existing.plan.name}" has this profile already`;
  if (name === known.isolir_profile) return 'is the profile of the suspended';
  return 'no secret that is imported is on it';
}

/** Profiles by name; the built-in ones are `set`, by id, by name or by a query. */
export function collectProfiles(file: ExportFile): Map<string, ExportItem> {
  const profiles = new Map<string, ExportItem>();
  for (const item of file.items.filter(found => found.menu === '/ppp/profile')) {
    const name = nameOfProfile(item);
    if (name) profiles.set(name, item);
  }
  return profiles;
}

export function nameOfProfile(item: ExportItem): string | null {
  if (item.verb === 'add') return item.props.get('name') ?? null;
  return item.verb === 'set' ? builtInName(item.target) : null;
}

function builtInName(target: string | null): string | null {
  if (target === null) return null;
  if (target === '*0' || /^\[\s*find\s+default\s*=\s*"?yes"?\s*\]$/.test(target)) return 'default';
  if (/^\*F{7}E$/i.test(target)) return 'default-encryption';
  return BUILT_IN.find(name => target === name || new RegExp(`\\bname="?${name}"?\\s*\\]$`).test(target)) ?? null;
}

function listIgnored(
  file: ExportFile,
  crowded: ReadonlySet<ExportItem>,
  tellProfile: (item: ExportItem) => string | null,
): ImportPlan['ignored'] {
  const groups = new Map<string, ImportPlan['ignored'][number]>();
  const ignore = (line: number, menu: string, reason: string) => {
    const key = `${menu}\n${reason}`;
    const group = groups.get(key) ?? { lines: [], menu, reason };
    group.lines.push(line);
    groups.set(key, group);
  };
  for (const item of file.items) {
    const reason = tellIgnored(item, crowded, tellProfile);
    if (reason !== null) ignore(item.line, item.menu, reason);
  }
  // what an unread line says may hold a secret: only where it is and why it wasn't read
  for (const unread of file.unread) ignore(unread.line, '', unread.reason);
  return [...groups.values()];
}

function tellIgnored(
  item: ExportItem,
  crowded: ReadonlySet<ExportItem>,
  tellProfile: (item: ExportItem) => string | null,
): string | null {
  if (crowded.has(item)) return 'a second secret on one line: give it a line of its own';
  if (isSecret(item)) return null;
  const is_profile = item.menu === '/ppp/profile' && (item.verb === 'add' || nameOfProfile(item) !== null);
  if (is_profile) return tellProfile(item);
  return item.menu.startsWith('/ppp/') ? `\`${item.verb}\` makes no entry` : 'is not about PPPoE';
}

function refuseSecret(
  item: ExportItem,
  name: string,
  lines_of: ReadonlyMap<string, number>,
  known: KnownState,
  options: ImportOptions,
): { kind: 'skips' | 'conflicts'; reason: string } | null {
  const skip = (reason: string) => ({ kind: 'skips' as const, reason });
  const conflict = (reason: string) => ({ kind: 'conflicts' as const, reason });
  if (name === '') return skip('has no name');
  if (name.length > MOST_NAME_CHARACTERS) return skip(`has a name of more than ${MOST_NAME_CHARACTERS} characters`);
  const earlier = lines_of.get(name);
  if (earlier !== undefined) return conflict(`line ${earlier} has a secret of that name already`);
  const service = item.props.get('service') ?? 'any';
  if (service !== 'any' && service !== 'pppoe') return skip(`is for ${service}, not for PPPoE`);
  const taken_by = known.taken_names.get(name);
  if (taken_by && readMarker(item.props.get('comment')) === customerMarker(taken_by))
    return skip(`is customer ${taken_by} already`);
  if (taken_by) return conflict(`customer ${taken_by} has that PPPoE name already`);
  if (options.filter_disabled && isDisabled(item)) return skip('is disabled');
  if (item.props.get('profile') === known.isolir_profile)
    return skip(
      `is on the isolir profile "${known.isolir_profile}", which doesn't say its plan: put it on its own profile first`,
    );
  return null;
}

const isDisabled = (item: ExportItem) => parseBoolean(item.props.get('disabled') ?? 'no') === true;

/** A plan that is there must say what the profile says; else adopting would change subscribers' speeds. */
export function judgeProfile(
  name: string,
  profile: ExportItem | undefined,
  known: KnownState,
  { adopts }: ImportOptions,
) {
  const existing = known.plans.get(name);
  // an export leaves out what is as it was built in
  const is_in_file = profile !== undefined || BUILT_IN.includes(name);
  if (existing) {
    if (!is_in_file && adopts) return { problem: `its profile "${name}" is not in the file`, draft: null };
    return { problem: is_in_file ? comparePlan(existing, profile) : null, draft: null };
  }
  if (!is_in_file) return { problem: `its profile "${name}" is not in the file`, draft: null };
  return { problem: null, draft: draftPlan(name, profile, known.plan_names) };
}

function comparePlan({ plan, settings }: Known, profile: ExportItem | undefined): string | null {
  if (settings?.shaping === 'simple_queue')
    return `plan "${plan.name}" holds its lines by simple queues, which an import doesn’t make`;
  const fields = planProfileFields(plan, settings);
  const says = (property: string) => profile?.props.get(property) ?? '';
  const differs = Object.keys(fields).find(key => !equalValues('/ppp/profile', key, says(key), fields[key]));
  if (!differs) return null;
  const place = profile ? `its profile on line ${profile.line}` : 'its profile, which the file leaves as built in,';
  return `plan "${plan.name}" says ${differs}=${fields[differs] || 'none'}, ${place} says ${says(differs) || 'none'}`;
}

const HELD = new Set(
  `name comment rate-limit local-address remote-address dns-server session-timeout parent-queue queue-type only-one`.split(
    ' ',
  ),
);

function chooseName(profile_name: string, plan_names: ReadonlySet<string>): string {
  let name = profile_name;
  for (let number = 1; plan_names.has(name); number++)
    name = `${profile_name} (router${number > 1 ? ` ${number}` : ''})`;
  return name;
}

function draftPlan(profile_name: string, profile: ExportItem | undefined, plan_names: ReadonlySet<string>): PlanDraft {
  const get = (property: string) => profile?.props.get(property) || null;
  const rate_limit = get('rate-limit');
  const timeout_s = parseDuration(get('session-timeout') ?? '0s');
  const session_timeout = timeout_s !== null && Number.isInteger(timeout_s) && timeout_s > 0 ? timeout_s : null;
  const only_one = get('only-one') === 'yes';
  const unmanaged = [...(profile?.props.keys() ?? [])].filter(property => !HELD.has(property));
  const speeds = speedsOf(rate_limit);
  return {
    line: profile?.line ?? null,
    name: chooseName(profile_name, plan_names),
    profile_name,
    ...speeds.plan,
    settings: {
      ...speeds.settings,
      queue_type: get('queue-type'),
      parent_queue: get('parent-queue'),
      address_pool: get('remote-address'),
      local_address: get('local-address'),
      dns_servers: get('dns-server')?.split(',').filter(Boolean) ?? [],
      session_timeout,
      max_devices: only_one ? 1 : null,
      is_unlimited: rate_limit === null,
    },
    notes: unmanaged.length > 0 ? [`stays as it is on the router, not managed: ${unmanaged.join(', ')}`] : [],
  };
}

const toKbps = (bps: number): number | null => (bps > 0 && bps % 1000 === 0 ? bps / 1000 : null);

/** The plan's fields where they can say the limit exactly; else the router's own text. */
function speedsOf(text: string | null) {
  const limit = text === null ? null : parseRateLimit(text);
  const none = {
    burst_download_kbps: null,
    burst_upload_kbps: null,
    burst_threshold_download_kbps: null,
    burst_threshold_upload_kbps: null,
    burst_time_seconds: null,
    priority: 8,
  };
  const [upload_kbps, download_kbps] = limit ? [toKbps(limit.rx_bps), toKbps(limit.tx_bps)] : [null, null];
  const bare = { upload_kbps, download_kbps, rate_limit: text };
  const is_whole = limit !== null && Number.isInteger(limit.burst_time_rx_s);
  if (!is_whole || upload_kbps === null || download_kbps === null) return { plan: bare, settings: none };
  const burst = limit.burst_rx_bps > 0 || limit.burst_tx_bps > 0;
  const settings = burst
    ? {
        burst_download_kbps: toKbps(limit.burst_tx_bps),
        burst_upload_kbps: toKbps(limit.burst_rx_bps),
        burst_threshold_download_kbps: toKbps(limit.threshold_tx_bps),
        burst_threshold_upload_kbps: toKbps(limit.threshold_rx_bps),
        burst_time_seconds: limit.burst_time_rx_s || null,
        priority: limit.priority,
      }
    : { ...none, priority: limit.priority };
  const said = formatRateLimit({ upload_kbps, download_kbps, ...settings });
  if (!equalValues('/ppp/profile', 'rate-limit', text!, said)) return { plan: bare, settings: none };
  return { plan: { upload_kbps, download_kbps, rate_limit: null }, settings };
}

const SECRET_HELD = new Set('name password profile service comment disabled remote-address'.split(' '));

function draftSecret(item: ExportItem, name: string, profile: string): SecretDraft {
  const { props } = item;
  const comment = (props.get('comment') ?? '').trim();
  const marker = readMarker(comment);
  const by_hand = (marker ? comment.slice(0, -marker.length) : comment)
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .trim();
  const remote_address = props.get('remote-address') || null;
  const is_address = remote_address !== null && isAddress(remote_address);
  const password = props.get('password') || null;
  const unmanaged = [...props.keys()].filter(property => !SECRET_HELD.has(property));
  if (remote_address && !is_address) unmanaged.push('remote-address');
  const notes = [
    ...(password === null ? ['has no password in the file: what the router has stays'] : []),
    ...(unmanaged.length > 0 ? [`stays as it is on the router, not managed: ${unmanaged.join(', ')}`] : []),
  ];
  return {
    line: item.line,
    name,
    full_name: (by_hand || name).slice(0, 120),
    profile,
    password,
    disabled: isDisabled(item),
    static_ip: is_address ? remote_address : null,
    notes,
  };
}
