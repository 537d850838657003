/** What may be read of each menu: RouterOS names. Never a password, and of a profile no script. */
import type { ReadKind } from '../../src/protocol/messages.ts';
import { KINDS } from '../../src/protocol/kinds.ts';

type MenuKind = Exclude<ReadKind, 'resource' | 'traffic'>;

interface Table {
  menu: string;
  columns: readonly string[];
}

export const TABLES: Readonly<Record<MenuKind, Table>> = {
  secrets: {
    menu: '/ppp/secret',
    columns: [
      'name',
      'service',
      'profile',
      'remote-address',
      'local-address',
      'caller-id',
      'disabled',
      'comment',
      'last-logged-out',
      'last-caller-id',
      'last-disconnect-reason',
      'limit-bytes-in',
      'limit-bytes-out',
      'routes',
      'ipv6-routes',
      'remote-ipv6-prefix',
    ],
  },
  profiles: {
    menu: '/ppp/profile',
    columns: [
      'name',
      'default',
      // whatever an apply may set
      ...Object.keys(KINDS.ppp_profile.properties),
      'incoming-filter',
      'outgoing-filter',
      'interface-list',
      'bridge',
      'bridge-horizon',
      'bridge-learning',
      'bridge-path-cost',
      'bridge-port-priority',
      'bridge-port-trusted',
      'bridge-port-vid',
      'remote-ipv6-prefix-pool',
      'remote-ipv6-prefix-reuse',
      'dhcpv6-pd-pool',
      'dhcpv6-lease-time',
      'dhcpv6-use-radius',
      'comment',
    ],
  },
  pools: { menu: '/ip/pool', columns: ['name', 'ranges', 'next-pool', 'used', 'comment'] },
  queues: {
    menu: '/queue/simple',
    columns: [
      'name',
      'target',
      'dst',
      'parent',
      'max-limit',
      'limit-at',
      'burst-limit',
      'burst-threshold',
      'burst-time',
      'bucket-size',
      'priority',
      'queue',
      'packet-marks',
      'time',
      'rate',
      'bytes',
      'disabled',
      'invalid',
      'dynamic',
      'comment',
    ],
  },
  active: {
    menu: '/ppp/active',
    columns: ['name', 'service', 'caller-id', 'address', 'uptime', 'session-id', 'encoding', 'radius'],
  },
};

const RESOURCE_OWN = [
  'board-name',
  'version',
  'uptime',
  'cpu-load',
  'cpu-count',
  'free-memory',
  'total-memory',
  'free-hdd-space',
  'total-hdd-space',
  'architecture-name',
];

/** One row out of three menus; `name` is the identity's. The clock is for people to look at, never to reckon with. */
export const RESOURCE = {
  own: RESOURCE_OWN,
  identity: ['name'],
  clock: ['date', 'time', 'time-zone-name', 'gmt-offset'],
  columns: ['name', ...RESOURCE_OWN, 'date', 'time', 'time-zone-name', 'gmt-offset'],
} as const;

export const TRAFFIC_COLUMNS: readonly string[] = [
  'name',
  'session-id',
  'address',
  'caller-id',
  'uptime',
  'interface',
  'rx-bits-per-second',
  'tx-bits-per-second',
  'rx-byte',
  'tx-byte',
];
