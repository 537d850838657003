/** What we keep on routers: where each kind stands, how it is found again, and what of it may be set from outside. */

/** In the order in which one leans on another: a pool before the profile that gives out its addresses. */
export const ENTRY_KINDS = [
  'ip_pool',
  'ppp_profile',
  'ppp_secret',
  'simple_queue',
  'address_list',
  'filter_rule',
  'nat_rule',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export type EntryMenu =
  | '/ip/pool'
  | '/ppp/profile'
  | '/ppp/secret'
  | '/queue/simple'
  | '/ip/firewall/address-list'
  | '/ip/firewall/filter'
  | '/ip/firewall/nat';

interface KindFacts {
  menu: EntryMenu;
  /** `list_address`: the key is both, with a space between. `marker`: the router has no key for it but our marker. */
  found_by: 'name' | 'list_address' | 'marker';
  /**
   * All that may be set from outside, and how it is emptied: some versions refuse a `set` to nothing where `unset` is
   * what takes a value away. Never what the router runs as a script (`on-up`, `on-down`).
   */
  properties: Readonly<Record<string, 'set' | 'unset'>>;
  /** One may lean on another of its kind: they are made in the order in which they come. */
  one_by_one?: true;
  /** Of a new one, beside what is desired. */
  when_new?: Readonly<Record<string, string>>;
}

const RULE = {
  chain: 'set',
  action: 'set',
  protocol: 'unset',
  'src-address-list': 'unset',
  'dst-address-list': 'unset',
  'dst-port': 'unset',
  'src-port': 'unset',
  'src-address': 'unset',
  'dst-address': 'unset',
  'in-interface': 'unset',
  'out-interface': 'unset',
  'in-interface-list': 'unset',
  'out-interface-list': 'unset',
  'connection-state': 'unset',
  disabled: 'set',
} as const;

export const KINDS: Readonly<Record<EntryKind, KindFacts>> = {
  ip_pool: {
    menu: '/ip/pool',
    found_by: 'name',
    properties: { ranges: 'set', 'next-pool': 'set' },
    one_by_one: true,
  },
  ppp_profile: {
    menu: '/ppp/profile',
    found_by: 'name',
    properties: {
      'local-address': 'unset',
      'remote-address': 'unset',
      'rate-limit': 'unset',
      'address-list': 'set',
      'only-one': 'set',
      'dns-server': 'unset',
      'wins-server': 'unset',
      'session-timeout': 'unset',
      'idle-timeout': 'unset',
      'parent-queue': 'unset',
      'queue-type': 'unset',
      'insert-queue-before': 'unset',
      'change-tcp-mss': 'set',
      'use-compression': 'set',
      'use-encryption': 'set',
      'use-ipv6': 'set',
      'use-mpls': 'set',
      'use-upnp': 'set',
      'use-vj-compression': 'set',
    },
  },
  ppp_secret: {
    menu: '/ppp/secret',
    found_by: 'name',
    properties: { profile: 'set', disabled: 'set', 'remote-address': 'unset' },
    when_new: { service: 'pppoe' },
  },
  simple_queue: {
    menu: '/queue/simple',
    found_by: 'name',
    properties: {
      target: 'set',
      'max-limit': 'set',
      'limit-at': 'set',
      'burst-limit': 'set',
      'burst-threshold': 'set',
      'burst-time': 'set',
      priority: 'set',
      parent: 'set',
      queue: 'set',
      disabled: 'set',
    },
  },
  address_list: { menu: '/ip/firewall/address-list', found_by: 'list_address', properties: { disabled: 'set' } },
  filter_rule: { menu: '/ip/firewall/filter', found_by: 'marker', properties: RULE },
  nat_rule: {
    menu: '/ip/firewall/nat',
    found_by: 'marker',
    properties: { ...RULE, 'to-addresses': 'unset', 'to-ports': 'unset' },
  },
};

/** `isolir 10.0.0.5` → the two of them. */
export function splitListKey(key: string): { list: string; address: string } {
  const at = key.lastIndexOf(' ');
  return { list: key.slice(0, Math.max(0, at)), address: key.slice(at + 1) };
}
