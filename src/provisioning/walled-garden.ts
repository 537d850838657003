import type { DesiredRow, PoolState, RuleState, SuspensionSettings } from './desired.ts';

/** The walled garden of the suspended on one router: a pool for the isolir profile, and the firewall around it. Pure. */

export const ISOLIR_SETUP = 'isolir';

export interface WalledGarden {
  pool_ranges: string;
  /** The router's own, towards the suspended. */
  local_address: string;
  /** Web server that shows the isolir page whatever host it is asked for; null: nothing is redirected. */
  page_address: string | null;
  page_port: number;
  /** Reachable by the suspended beside DNS and the page: addresses or prefixes. */
  allowed_addresses: readonly string[];
}

const LIST = '{isolir_address_list}';
export const allowList = (settings: SuspensionSettings): string => `${settings.isolir_address_list}-allow`;

/** Rules are numbered in the order in which they must stand. */
export function isolirEntries(router_id: string, settings: SuspensionSettings, garden: WalledGarden): DesiredRow[] {
  const own = { customer_id: null, router_id, setup: ISOLIR_SETUP };
  const pool: PoolState = { ranges: garden.pool_ranges, next_pool: null, local_address: garden.local_address };
  const list = allowList(settings);
  const reachable = new Set([...(garden.page_address ? [garden.page_address] : []), ...garden.allowed_addresses]);
  const filter = (part: string, desired: RuleState): DesiredRow => ({
    ...own,
    kind: 'filter_rule',
    key: `isolir:${part}`,
    desired: { chain: 'forward', 'src-address-list': LIST, ...desired },
  });
  return [
    { ...own, kind: 'ip_pool', key: settings.isolir_pool, desired: pool },
    ...[...reachable].map((address): DesiredRow => ({
      ...own,
      kind: 'address_list',
      key: `${list} ${address}`,
      desired: { list, address },
    })),
    filter('1-dns-udp', { action: 'accept', protocol: 'udp', 'dst-port': '53' }),
    filter('2-dns-tcp', { action: 'accept', protocol: 'tcp', 'dst-port': '53' }),
    filter('3-page', { action: 'accept', 'dst-address-list': `${LIST}-allow` }),
    filter('4-drop', { action: 'drop' }),
    ...(garden.page_address === null ? [] : [redirect(own, garden.page_address, garden.page_port)]),
  ]; // prettier-ignore
}

/** Only what is asked for in the open: HTTPS can't be redirected. */
const redirect = (
  own: { customer_id: null; router_id: string; setup: string },
  page: string,
  port: number,
): DesiredRow => ({
  ...own,
  kind: 'nat_rule',
  key: 'isolir:5-redirect',
  desired: {
    chain: 'dstnat',
    action: 'dst-nat',
    protocol: 'tcp',
    'dst-port': '80',
    'src-address-list': LIST,
    // what may be reached is reached
    'dst-address-list': `!${LIST}-allow`,
    'to-addresses': page,
    'to-ports': String(port),
  },
});
