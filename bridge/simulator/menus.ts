// What the simulated router knows of each menu: its fields and defaults, keys, references and trap texts.
import {
  address_list,
  address_or_pool,
  byte_count,
  choice,
  duration,
  duration_or,
  flag,
  integer,
  ip_address,
  list_address,
  needed_text,
  pair,
  prefix,
  ranges,
  rate,
  rate_limit,
  reference,
  targets,
  text,
} from './values.ts';
import type { Kind } from './values.ts';
import { firewall_fields, nat_fields } from './firewall-fields.ts';

export interface Field {
  kind: Kind;
  /** What reads back when it was never set; without one the field is then not sent at all. */
  default?: string;
  /** Sent only to users with the `sensitive` policy, and left out of exports unless asked for. */
  sensitive?: true;
}

export type Verb =
  | ('add' | 'set' | 'unset' | 'remove' | 'enable' | 'disable' | 'move')
  | ('print' | 'getall' | 'listen' | 'find' | 'get' | 'export')
  | 'monitor-traffic';

export interface BuiltinRow {
  id: string;
  values: Record<string, string>;
  /** How an export's `set` names it. */
  target: string;
}

export interface Menu {
  path: string;
  fields: Record<string, Field>;
  verbs: readonly Verb[];
  /** One record, no ids: /system/identity and the like. */
  single?: true;
  /** Together unique; with the trap's text where they aren't. */
  key?: readonly string[];
  duplicate?: string;
  required?: readonly string[];
  /** Looked up without a scan. */
  indexed?: readonly string[];
  builtin?: readonly BuiltinRow[];
  /** Part of an export. */
  exported?: true;
}

const READ = ['print', 'getall', 'listen', 'find', 'get'] as const;
const SETTINGS = [...READ, 'set', 'export'] as const;
const LIST = [...READ, 'add', 'set', 'unset', 'remove', 'enable', 'disable', 'export'] as const;
const ORDERED = [...LIST, 'move'] as const;

const disabled: Field = { kind: flag, default: 'false' };
const comment: Field = { kind: text };
const name: Field = { kind: needed_text };
const yes_no_default: Field = { kind: choice('default', 'yes', 'no'), default: 'default' };

const interface_menu: Menu = {
  path: '/interface',
  fields: { name, type: { kind: text }, mtu: { kind: text, default: 'auto' }, disabled, comment },
  verbs: [...READ, 'set', 'enable', 'disable', 'monitor-traffic'],
  key: ['name'],
  duplicate: 'failure: already have interface with such name',
  indexed: ['name'],
};

const pool: Menu = {
  path: '/ip/pool',
  fields: {
    name,
    ranges: { kind: ranges },
    'next-pool': { kind: reference('/ip/pool', 'none'), default: 'none' },
    comment,
  },
  verbs: LIST.filter(verb => verb !== 'enable' && verb !== 'disable'),
  key: ['name'],
  duplicate: 'failure: pool with such name exists',
  required: ['name', 'ranges'],
  indexed: ['name'],
  exported: true,
};

const profile: Menu = {
  path: '/ppp/profile',
  fields: {
    name,
    'local-address': { kind: address_or_pool },
    'remote-address': { kind: address_or_pool },
    bridge: { kind: text },
    'use-mpls': yes_no_default,
    'use-compression': yes_no_default,
    'use-encryption': { kind: choice('default', 'yes', 'no', 'required'), default: 'default' },
    'use-ipv6': { kind: choice('default', 'yes', 'no', 'required'), default: 'yes' },
    'use-upnp': yes_no_default,
    'only-one': yes_no_default,
    'change-tcp-mss': yes_no_default,
    'rate-limit': { kind: rate_limit },
    'session-timeout': { kind: duration },
    'idle-timeout': { kind: duration },
    'dns-server': { kind: address_list },
    'wins-server': { kind: address_list },
    'incoming-filter': { kind: text },
    'outgoing-filter': { kind: text },
    'parent-queue': { kind: reference('/queue/simple', 'none') },
    'queue-type': { kind: text },
    'insert-queue-before': { kind: text },
    'address-list': { kind: text, default: '' },
    'on-up': { kind: text, default: '' },
    'on-down': { kind: text, default: '' },
    comment,
  },
  verbs: LIST.filter(verb => verb !== 'enable' && verb !== 'disable'),
  key: ['name'],
  duplicate: 'failure: profile with the same name already exists',
  required: ['name'],
  indexed: ['name'],
  builtin: [
    { id: '*0', values: { name: 'default', 'change-tcp-mss': 'yes' }, target: '*0' },
    {
      id: '*FFFFFFFE',
      values: { name: 'default-encryption', 'use-encryption': 'yes', 'change-tcp-mss': 'yes' },
      target: '*FFFFFFFE',
    },
  ],
  exported: true,
};

const secret: Menu = {
  path: '/ppp/secret',
  fields: {
    name,
    service: { kind: choice('any', 'async', 'l2tp', 'ovpn', 'pppoe', 'pptp', 'sstp'), default: 'any' },
    'caller-id': { kind: text, default: '' },
    password: { kind: text, default: '', sensitive: true },
    profile: { kind: reference('/ppp/profile'), default: 'default' },
    'local-address': { kind: address_or_pool },
    'remote-address': { kind: address_or_pool },
    'remote-ipv6-prefix': { kind: text },
    routes: { kind: text, default: '' },
    'ipv6-routes': { kind: text, default: '' },
    'limit-bytes-in': { kind: byte_count, default: '0' },
    'limit-bytes-out': { kind: byte_count, default: '0' },
    disabled,
    comment,
  },
  verbs: LIST,
  key: ['name'],
  duplicate: 'failure: secret with the same name already exists',
  required: ['name'],
  indexed: ['name'],
  exported: true,
};

const queue: Menu = {
  path: '/queue/simple',
  fields: {
    name,
    target: { kind: targets, default: '' },
    dst: { kind: text },
    parent: { kind: reference('/queue/simple', 'none'), default: 'none' },
    'packet-marks': { kind: text, default: '' },
    priority: { kind: pair(integer(1, 8)), default: '8/8' },
    queue: { kind: pair(needed_text), default: 'default-small/default-small' },
    'limit-at': { kind: pair(rate), default: '0/0' },
    'max-limit': { kind: pair(rate), default: '0/0' },
    'burst-limit': { kind: pair(rate), default: '0/0' },
    'burst-threshold': { kind: pair(rate), default: '0/0' },
    'burst-time': { kind: pair(duration), default: '0s/0s' },
    'bucket-size': { kind: pair(needed_text), default: '0.1/0.1' },
    time: { kind: text },
    'total-queue': { kind: text, default: 'default-small' },
    'total-limit-at': { kind: rate },
    'total-max-limit': { kind: rate },
    disabled,
    comment,
  },
  verbs: ORDERED,
  key: ['name'],
  duplicate: 'failure: already have such name',
  required: ['target'],
  indexed: ['name', 'target'],
  exported: true,
};

const list_entry: Menu = {
  path: '/ip/firewall/address-list',
  fields: { list: name, address: { kind: list_address }, timeout: { kind: duration }, disabled, comment },
  verbs: LIST,
  key: ['list', 'address'],
  duplicate: 'failure: already have such entry',
  required: ['list', 'address'],
  indexed: ['address', 'list'],
  exported: true,
};

const hotspot_profile: Menu = {
  path: '/ip/hotspot/user/profile',
  fields: {
    name,
    'address-pool': { kind: reference('/ip/pool', 'none'), default: 'none' },
    'session-timeout': { kind: duration },
    'idle-timeout': { kind: duration_or('none'), default: 'none' },
    'keepalive-timeout': { kind: duration_or('none'), default: '2m' },
    'status-autorefresh': { kind: duration, default: '1m' },
    'shared-users': { kind: { parse: raw => (/^(\d+|unlimited)$/.test(raw) ? raw : null) }, default: '1' },
    'rate-limit': { kind: rate_limit },
    'add-mac-cookie': { kind: flag, default: 'true' },
    'mac-cookie-timeout': { kind: duration, default: '3d' },
    'address-list': { kind: text, default: '' },
    'parent-queue': { kind: reference('/queue/simple', 'none') },
    'queue-type': { kind: text },
    'insert-queue-before': { kind: text },
    'incoming-filter': { kind: text },
    'outgoing-filter': { kind: text },
    'transparent-proxy': { kind: flag, default: 'false' },
    'on-login': { kind: text },
    'on-logout': { kind: text },
  },
  verbs: LIST.filter(verb => verb !== 'enable' && verb !== 'disable'),
  key: ['name'],
  duplicate: 'failure: profile with the same name already exists',
  required: ['name'],
  indexed: ['name'],
  builtin: [{ id: '*0', values: { name: 'default' }, target: '[ find default=yes ]' }],
  exported: true,
};

const hotspot_user: Menu = {
  path: '/ip/hotspot/user',
  fields: {
    server: { kind: needed_text, default: 'all' },
    name,
    password: { kind: text, default: '', sensitive: true },
    address: { kind: ip_address },
    'mac-address': { kind: text },
    profile: { kind: reference('/ip/hotspot/user/profile'), default: 'default' },
    routes: { kind: text },
    email: { kind: text },
    'limit-uptime': { kind: duration },
    'limit-bytes-in': { kind: byte_count },
    'limit-bytes-out': { kind: byte_count },
    'limit-bytes-total': { kind: byte_count },
    disabled,
    comment,
  },
  verbs: LIST,
  key: ['server', 'name'],
  duplicate: 'failure: already have user with this name for this server',
  required: ['name'],
  indexed: ['name'],
  exported: true,
};

const ip_menu: Menu = {
  path: '/ip/address',
  fields: {
    address: { kind: prefix },
    network: { kind: ip_address },
    interface: { kind: reference('/interface') },
    disabled,
    comment,
  },
  verbs: LIST,
  key: ['address', 'interface'],
  duplicate: 'failure: already have such address',
  required: ['address', 'interface'],
  indexed: ['address'],
  exported: true,
};

const radius: Menu = {
  path: '/radius',
  fields: {
    service: { kind: text, default: '' },
    'called-id': { kind: text, default: '' },
    domain: { kind: text, default: '' },
    address: { kind: ip_address },
    secret: { kind: text, default: '', sensitive: true },
    'authentication-port': { kind: integer(1, 65535), default: '1812' },
    'accounting-port': { kind: integer(1, 65535), default: '1813' },
    timeout: { kind: duration, default: '300ms' },
    'accounting-backup': { kind: flag, default: 'false' },
    realm: { kind: text, default: '' },
    protocol: { kind: choice('udp', 'radsec'), default: 'udp' },
    certificate: { kind: needed_text, default: 'none' },
    'src-address': { kind: ip_address, default: '0.0.0.0' },
    disabled,
    comment,
  },
  verbs: ORDERED,
  required: ['address'],
  exported: true,
};

const readOnly = (path: string, fields: string[], indexed: string[] = [], extra: Verb[] = []): Menu => ({
  path,
  fields: Object.fromEntries(fields.map(field => [field, { kind: text }])),
  verbs: [...READ, ...extra],
  indexed,
});

const ACTIVE = ['name', 'service', 'caller-id', 'address', 'session-id', 'limit-bytes-in', 'limit-bytes-out', 'radius'];

const HOTSPOT_ACTIVE = ['server', 'user', 'address', 'mac-address', 'login-by', 'radius'];

/** In the order of an export: what is referred to comes before what refers to it. */
const ALL_MENUS: readonly Menu[] = [
  interface_menu,
  pool,
  hotspot_profile,
  queue,
  profile,
  readOnly('/ip/pool/used', ['pool', 'address', 'owner', 'info']),
  readOnly('/ip/hotspot/active', HOTSPOT_ACTIVE, ['user', 'address'], ['remove']),
  ip_menu,
  list_entry,
  { path: '/ip/firewall/filter', fields: firewall_fields, verbs: ORDERED, required: ['chain'], exported: true },
  { path: '/ip/firewall/nat', fields: nat_fields, verbs: ORDERED, required: ['chain'], exported: true },
  hotspot_user,
  secret,
  readOnly('/ppp/active', ACTIVE, ['name', 'address'], ['remove']),
  radius,
  {
    path: '/system/clock',
    single: true,
    fields: {
      'time-zone-autodetect': { kind: flag, default: 'true' },
      'time-zone-name': { kind: { parse: raw => (isTimeZone(raw) ? raw : null) }, default: 'UTC' },
    },
    verbs: SETTINGS,
    exported: true,
  },
  {
    path: '/system/identity',
    single: true,
    fields: { name: { kind: needed_text, default: 'MikroTik' } },
    verbs: SETTINGS,
    exported: true,
  },
  { path: '/system/resource', single: true, fields: {}, verbs: READ },
  { path: '/system/routerboard', single: true, fields: {}, verbs: READ },
  readOnly('/system/package', ['name', 'version', 'build-time', 'scheduled', 'disabled'], ['name']),
  readOnly('/log', ['time', 'buffer', 'topics', 'message']),
];

export const MENUS: ReadonlyMap<string, Menu> = new Map(ALL_MENUS.map(menu => [menu.path, menu]));

function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}

/** The fields anywhere that name a row of this menu, so that a renamed row keeps its followers. */
export function listReferrers(path: string): [menu: string, field: string][] {
  const referrers: [string, string][] = [];
  for (const menu of MENUS.values()) {
    for (const [field, { kind }] of Object.entries(menu.fields)) {
      if (kind.refers_to === path) referrers.push([menu.path, field]);
    }
  }
  return referrers;
}
