/** What the values of RouterOS mean: rates, durations, booleans, addresses, and when two of them are the same. */

const RATE_UNITS: Record<string, number> = { '': 1, k: 1_000, m: 1_000_000, g: 1_000_000_000 };

/** Bits per second of `5M`, `512k`, `5000000`; null when the text is no rate. Units are decimal. */
export function parseRate(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)$/i.exec(text.trim());
  if (!match) return null;
  return Math.round(Number(match[1]) * (RATE_UNITS[(match[2] ?? '').toLowerCase()] ?? 1));
}

/** `rx` is what the router receives, that is, what the customer uploads. */
export interface RateLimit {
  rx_bps: number;
  tx_bps: number;
  burst_rx_bps: number;
  burst_tx_bps: number;
  threshold_rx_bps: number;
  threshold_tx_bps: number;
  burst_time_rx_s: number;
  burst_time_tx_s: number;
  priority: number;
  min_rx_bps: number;
  min_tx_bps: number;
}

type Pair = readonly [number, number];
const NO_PAIR: Pair = [0, 0];

/** `a/b`, or `a` alone for both directions. */
function parsePair(text: string | undefined, parse: (part: string) => number | null): Pair | null {
  if (text === undefined) return NO_PAIR;
  const parts = text.split('/');
  if (parts.length > 2) return null;
  const first = parse(parts[0] ?? '');
  const second = parts.length === 2 ? parse(parts[1] ?? '') : first;
  return first === null || second === null ? null : [first, second];
}

function parsePriority(text: string | undefined): number | null {
  if (text === undefined) return 8;
  return /^[1-8]$/.test(text) ? Number(text) : null;
}

/** Reads `rx[/tx] [burst] [threshold] [time] [priority] [min]`; null when the text is no such thing. */
export function parseRateLimit(text: string): RateLimit | null {
  const parts = text.trim().split(/\s+/);
  if (parts[0] === '' || parts.length > 6) return null;
  const rate = parsePair(parts[0], parseRate);
  const burst = parsePair(parts[1], parseRate);
  const threshold = parsePair(parts[2], parseRate);
  const time = parsePair(parts[3], parseDuration);
  const priority = parsePriority(parts[4]);
  const min = parsePair(parts[5], parseRate);
  if (!rate || !burst || !threshold || !time || priority === null || !min) return null;
  return {
    rx_bps: rate[0],
    tx_bps: rate[1],
    burst_rx_bps: burst[0],
    burst_tx_bps: burst[1],
    threshold_rx_bps: threshold[0],
    threshold_tx_bps: threshold[1],
    burst_time_rx_s: time[0],
    burst_time_tx_s: time[1],
    priority,
    min_rx_bps: min[0],
    min_tx_bps: min[1],
  };
}

export interface SpeedPlan {
  upload_kbps: number;
  download_kbps: number;
  burst_upload_kbps?: number | null;
  burst_download_kbps?: number | null;
  burst_threshold_upload_kbps?: number | null;
  burst_threshold_download_kbps?: number | null;
  burst_time_seconds?: number | null;
  priority?: number | null;
}

/** Stands for "no limit" where only the other direction has one: RouterOS 6 holds rates in 32 bits. */
const UNLIMITED_SIDE_KBPS = 4_000_000;

function formatKbps(kbps: number): string {
  if (kbps === 0) return '0';
  if (!Number.isInteger(kbps)) return String(Math.round(kbps * 1000));
  if (kbps % 1_000_000 === 0) return `${kbps / 1_000_000}G`;
  return kbps % 1_000 === 0 ? `${kbps / 1_000}M` : `${kbps}k`;
}

function formatPair(upload_kbps: number, download_kbps: number): string {
  return `${formatKbps(upload_kbps)}/${formatKbps(download_kbps)}`;
}

/** The `rate-limit` text of a plan's speeds; empty when neither direction is limited. */
export function formatRateLimit(plan: SpeedPlan): string {
  const { upload_kbps, download_kbps } = plan;
  if (upload_kbps <= 0 && download_kbps <= 0) return '';
  const upload = upload_kbps > 0 ? upload_kbps : UNLIMITED_SIDE_KBPS;
  const download = download_kbps > 0 ? download_kbps : UNLIMITED_SIDE_KBPS;
  const parts = [formatPair(upload, download)];
  const burst = formatPair(plan.burst_upload_kbps ?? 0, plan.burst_download_kbps ?? 0);
  if (burst !== '0/0') {
    const threshold = [plan.burst_threshold_upload_kbps, plan.burst_threshold_download_kbps] as const;
    const time_s = plan.burst_time_seconds ?? 0;
    const is_threshold_set = Boolean(threshold[0] || threshold[1]);
    parts.push(burst);
    if (is_threshold_set || time_s > 0 || plan.priority) {
      parts.push(formatPair(threshold[0] || upload, threshold[1] || download));
    }
    if (time_s > 0 || plan.priority) parts.push(`${time_s}/${time_s}`);
    if (plan.priority) parts.push(String(plan.priority));
  } else if (plan.priority && plan.priority !== 8) {
    parts.push('0/0', '0/0', '0/0', String(plan.priority));
  }
  return parts.join(' ');
}

const DURATION =
  /^(?:(\d+)w)?(?:(\d+)d)?(?:(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?|(\d+):(\d+):(\d+(?:\.\d+)?))$/;

/** Seconds of `1d2h3m4s`, `1w`, `00:30:00`, `1d00:00:05`, `30`, `none`; null when the text is no duration. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === 'none') return 0;
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed);
  const match = trimmed === '' ? null : DURATION.exec(trimmed);
  if (!match) return null;
  const [weeks, days, hours, minutes, seconds, milliseconds, clock_h, clock_m, clock_s] = match
    .slice(1)
    .map(part => Number(part ?? 0)) as [number, number, number, number, number, number, number, number, number];
  const whole_s = ((weeks * 7 + days) * 24 + hours + clock_h) * 3600 + (minutes + clock_m) * 60;
  return whole_s + seconds + clock_s + milliseconds / 1000;
}

export function parseBoolean(text: string): boolean | null {
  const word = text.trim().toLowerCase();
  if (word === 'yes' || word === 'true') return true;
  return word === 'no' || word === 'false' ? false : null;
}

function parseIpv4(text: string): number[] | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every(part => /^\d{1,3}$/.test(part) && Number(part) < 256)) return null;
  return parts.map(Number);
}

function parseIpv6(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const read = (half: string): number[] | null => {
    if (half === '') return [];
    const groups: number[] = [];
    const parts = half.split(':');
    for (const [index, part] of parts.entries()) {
      const bytes = index === parts.length - 1 ? parseIpv4(part) : null;
      if (bytes) groups.push((bytes[0]! << 8) | bytes[1]!, (bytes[2]! << 8) | bytes[3]!);
      else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(parseInt(part, 16));
      else return null;
    }
    return groups;
  };
  const head = read(halves[0] ?? '');
  const tail = halves.length === 2 ? read(halves[1] ?? '') : [];
  if (!head || !tail) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** RFC 5952: lower case, the first longest run of two zero groups or more is `::`. */
function formatIpv6(groups: readonly number[]): string {
  let best_start = -1;
  let best_length = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best_length) [best_start, best_length] = [start, length];
  }
  const hex = groups.map(group => group.toString(16));
  if (best_start < 0) return hex.join(':');
  return `${hex.slice(0, best_start).join(':')}::${hex.slice(best_start + best_length).join(':')}`;
}

/** An IPv4 or IPv6 address (or prefix) in its one canonical form, a host's `/32` or `/128` dropped.
 *  Any other text, such as the name of a pool, comes back as it is. */
export function normaliseAddress(text: string): string {
  const trimmed = text.trim();
  const match = /^([0-9a-f.:]+)(%[^/]+)?(?:\/(\d{1,3}))?$/i.exec(trimmed);
  if (!match) return trimmed;
  const [, body = '', scope = '', prefix] = match;
  const ipv4 = parseIpv4(body);
  const ipv6 = ipv4 ? null : parseIpv6(body);
  const bits = ipv4 ? 32 : 128;
  if ((!ipv4 && !ipv6) || (prefix !== undefined && Number(prefix) > bits)) return trimmed;
  const address = ipv4 ? ipv4.join('.') : formatIpv6(ipv6 ?? []);
  return `${address}${scope}${prefix === undefined || Number(prefix) === bits ? '' : `/${Number(prefix)}`}`;
}

/** An IPv4 address or prefix as RouterOS keeps it: no `/32`, and no bits of a host. Null: it is none, or every address. */
export function canonicalPrefix(text: string): string | null {
  const [address = '', length = '32'] = text.split('/');
  const bytes = parseIpv4(address);
  const bits = Number(length);
  if (!bytes || !(bits >= 1 && bits <= 32)) return null;
  const number = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const first = number - (number % 2 ** (32 - bits));
  return normaliseAddress(`${[24, 16, 8, 0].map(shift => Math.floor(first / 2 ** shift) % 256).join('.')}/${bits}`);
}

/** What RouterOS takes a property to be when it is not set. */
export const DEFAULTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '/ppp/secret': {
    profile: 'default',
    service: 'any',
    'caller-id': '',
    disabled: 'no',
    'limit-bytes-in': '0',
    'limit-bytes-out': '0',
  },
  '/ppp/profile': {
    'change-tcp-mss': 'default',
    'use-compression': 'default',
    'use-encryption': 'default',
    'use-ipv6': 'yes',
    'use-mpls': 'default',
    'use-upnp': 'default',
    'use-vj-compression': 'default',
    'only-one': 'default',
  },
  '/queue/simple': {
    'max-limit': '0/0',
    'limit-at': '0/0',
    'burst-limit': '0/0',
    'burst-threshold': '0/0',
    'burst-time': '0s/0s',
    priority: '8/8',
    parent: 'none',
    queue: 'default-small/default-small',
    disabled: 'no',
  },
  '/ip/pool': { 'next-pool': 'none' },
  '/ip/hotspot/user': { profile: 'default', server: 'all', disabled: 'no' },
  '/ip/firewall/address-list': { disabled: 'no' },
  '/ip/firewall/filter': { disabled: 'no' },
  '/ip/firewall/nat': { disabled: 'no' },
};

function normaliseWith(text: string, parse: (part: string) => number | null): string {
  const pair = parsePair(text, part => parse(part.trim()));
  return pair ? pair.join('/') : text;
}

function normaliseList(text: string, normaliseItem: (item: string) => string): string {
  const items = text.split(',').map(item => normaliseItem(item.trim()));
  return [...new Set(items.filter(item => item !== ''))].sort().join(',');
}

/** `a-b`, one address or a prefix, as the range `a-b` a pool holds. */
function normaliseRange(text: string): string {
  const [first = '', last] = text.split('-').map(normaliseAddress);
  if (last !== undefined) return `${first}-${last}`;
  const [address = '', prefix] = first.split('/');
  const bytes = parseIpv4(address);
  if (!bytes) return first;
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const size = 2 ** (32 - Number(prefix ?? 32));
  const start = value - (value % size);
  const write = (ip: number) => [24, 16, 8, 0].map(shift => Math.floor(ip / 2 ** shift) % 256).join('.');
  return `${write(start)}-${write(start + size - 1)}`;
}

function normaliseRateLimit(text: string): string {
  const limit = parseRateLimit(text === '' ? '0' : text);
  return limit ? Object.values(limit).join(' ') : text.trim().replace(/\s+/g, ' ');
}

function normaliseFlag(text: string): string {
  const flag = parseBoolean(text);
  return flag === null ? text : flag ? 'yes' : 'no';
}

function normaliseSeconds(text: string): string {
  return String(parseDuration(text === '' ? '0' : text) ?? text);
}

function repeatSingle(text: string): string {
  return text === '' || text.includes('/') ? text : `${text}/${text}`;
}

const normaliseRatePair = (text: string) => normaliseWith(text === '' ? '0' : text, parseRate);
const normaliseCount = (text: string) => (text === '' ? '0' : /^\d+$/.test(text) ? String(BigInt(text)) : text);
const normaliseMac = (text: string) => (/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text) ? text.toUpperCase() : text);

/** How each property that we manage is written in one form; what is not named here is compared as text. */
const NORMALISERS: Readonly<Record<string, (text: string) => string>> = {
  disabled: normaliseFlag,
  'only-one': normaliseFlag,
  'change-tcp-mss': normaliseFlag,
  'rate-limit': normaliseRateLimit,
  'max-limit': normaliseRatePair,
  'limit-at': normaliseRatePair,
  'burst-limit': normaliseRatePair,
  'burst-threshold': normaliseRatePair,
  'burst-time': text => normaliseWith(text === '' ? '0' : text, parseDuration),
  'session-timeout': normaliseSeconds,
  'idle-timeout': normaliseSeconds,
  'keepalive-timeout': normaliseSeconds,
  'limit-uptime': normaliseSeconds,
  timeout: normaliseSeconds,
  priority: repeatSingle,
  queue: repeatSingle,
  'limit-bytes-in': normaliseCount,
  'limit-bytes-out': normaliseCount,
  'limit-bytes-total': normaliseCount,
  'address-list': text => normaliseList(text, item => item),
  'dns-server': text => normaliseList(text, normaliseAddress),
  'wins-server': text => normaliseList(text, normaliseAddress),
  target: text => normaliseList(text, normaliseAddress),
  ranges: text => normaliseList(text, normaliseRange),
  'to-addresses': normaliseAddress,
  'to-ports': text => text.replace(/^(\d+)-\1$/, '$1'),
  'local-address': normaliseAddress,
  'remote-address': normaliseAddress,
  address: normaliseAddress,
  'caller-id': normaliseMac,
  'mac-address': normaliseMac,
};

function normaliseValue(menu: string, property: string, value: string | undefined): string {
  const text = value === undefined || value === '' ? (DEFAULTS[menu]?.[property] ?? '') : value;
  const known = Object.hasOwn(NORMALISERS, property) ? NORMALISERS[property] : undefined;
  const normalise = known ?? (property.startsWith('use-') ? normaliseFlag : null);
  return normalise ? normalise(text) : text;
}

/** Whether two values of one managed property say the same; undefined is "not set". */
export function equalValues(menu: string, property: string, a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  return normaliseValue(menu, property, a) === normaliseValue(menu, property, b);
}
