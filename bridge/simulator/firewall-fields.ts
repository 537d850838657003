// The firewall's many matchers: kept as text, since nothing here filters packets.
import type { Field } from './menus.ts';
import { flag, needed_text, text } from './values.ts';

const COMMON = [
  'src-address',
  'dst-address',
  'src-address-list',
  'dst-address-list',
  'src-address-type',
  'dst-address-type',
  'src-mac-address',
  'protocol',
  'src-port',
  'dst-port',
  'any-port',
  'in-interface',
  'out-interface',
  'in-interface-list',
  'out-interface-list',
  'in-bridge-port',
  'out-bridge-port',
  'in-bridge-port-list',
  'out-bridge-port-list',
  'connection-mark',
  'connection-type',
  'connection-limit',
  'connection-bytes',
  'connection-rate',
  'packet-mark',
  'packet-size',
  'routing-mark',
  'routing-table',
  'per-connection-classifier',
  'layer7-protocol',
  'content',
  'tls-host',
  'hotspot',
  'icmp-options',
  'ipv4-options',
  'ipsec-policy',
  'ingress-priority',
  'priority',
  'dscp',
  'ttl',
  'tcp-mss',
  'fragment',
  'limit',
  'dst-limit',
  'nth',
  'psd',
  'random',
  'realm',
  'time',
  'jump-target',
  'address-list',
  'address-list-timeout',
] as const;

function makeFields(own: readonly string[]): Record<string, Field> {
  const texts = [...COMMON, ...own].map((field): [string, Field] => [field, { kind: text }]);
  return {
    chain: { kind: needed_text },
    action: { kind: needed_text, default: 'accept' },
    ...Object.fromEntries(texts),
    log: { kind: flag, default: 'false' },
    'log-prefix': { kind: text, default: '' },
    disabled: { kind: flag, default: 'false' },
    comment: { kind: text },
  };
}

export const firewall_fields = makeFields([
  'connection-state',
  'connection-nat-state',
  'tcp-flags',
  'reject-with',
  'p2p',
]);
export const nat_fields = makeFields([
  'to-addresses',
  'to-ports',
  'randomise-ports',
  'same-not-by-dst',
  'socks5-server',
]);
