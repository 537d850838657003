// What a print shows beside the settings: counters, states and times, which only the router writes.
import { readHotspotUse } from './hotspot.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { countPacketRate, countPackets } from './traffic.ts';
import type { Flow } from './traffic.ts';
import { addressToNumber, formatDuration, numberToAddress } from './values.ts';
import { formatDate } from './version.ts';

type Facts = [name: string, value: string][];
type Describe = (router: SimulatedRouter, row: Row) => Facts;

const NEVER_MS = 0;

export function listFacts(router: SimulatedRouter, path: string, row: Row): Facts {
  return DESCRIBE[path]?.(router, row) ?? [];
}

export function readZone(router: SimulatedRouter): string {
  return router.table('/system/clock').first()?.values.get('time-zone-name') ?? 'UTC';
}

function showDate(router: SimulatedRouter, time_ms: number): string {
  return formatDate(time_ms, router.version, time_ms === NEVER_MS ? 'UTC' : readZone(router));
}

// Uptimes count whole seconds.
export function formatUptime(router: SimulatedRouter, since_ms: number): string {
  return formatDuration(Math.max(0, Math.floor((router.now() - since_ms) / 1000) * 1000));
}

const numberFact = (row: Row, name: string) => Number(row.facts.get(name) ?? NEVER_MS);

function describeRule(_router: SimulatedRouter, row: Row): Facts {
  return [
    ['bytes', '0'],
    ['packets', '0'],
    ['invalid', 'false'],
    ['dynamic', String(row.dynamic)],
  ];
}

const PAIRED_COUNTERS = ['bytes', 'packets', 'dropped', 'rate', 'packet-rate', 'queued-bytes', 'queued-packets'];

const writePair = ({ up, down }: Flow, convert = (value: number) => value) => `${convert(up)}/${convert(down)}`;

function describeQueue(router: SimulatedRouter, row: Row): Facts {
  const { bytes, bits_per_second } = router.traffic.readQueue(row);
  const counted: Record<string, string> = {
    bytes: writePair(bytes),
    packets: writePair(bytes, countPackets),
    rate: writePair(bits_per_second, Math.round),
    'packet-rate': writePair(bits_per_second, countPacketRate),
  };
  const counters = PAIRED_COUNTERS.flatMap((name): Facts => [
    [name, counted[name] ?? '0/0'],
    [`total-${name}`, '0'],
  ]);
  return [...counters, ['invalid', 'false'], ['dynamic', String(row.dynamic)]];
}

function describeSecret(router: SimulatedRouter, row: Row): Facts {
  const facts: Facts = [['last-logged-out', showDate(router, numberFact(row, 'last_logged_out_ms'))]];
  if (router.isVersion(7, 0)) {
    facts.push(['last-caller-id', row.facts.get('last-caller-id') ?? '']);
    facts.push(['last-disconnect-reason', row.facts.get('last-disconnect-reason') ?? '']);
  }
  return facts;
}

function describeAddress(_router: SimulatedRouter, row: Row): Facts {
  const [address = '0.0.0.0', length = '32'] = (row.values.get('address') ?? '').split('/');
  const size = 2 ** (32 - Number(length));
  const network = numberToAddress(Math.floor(addressToNumber(address) / size) * size);
  return [
    // of a point-to-point address it is the other end, which stands among the values
    ...(row.values.has('network') ? [] : ([['network', network]] as Facts)),
    ['actual-interface', row.values.get('interface') ?? ''],
    ['invalid', 'false'],
    ['dynamic', String(row.dynamic)],
  ];
}

// Nothing is lost here, and nothing takes the fast path.
const ALWAYS_0 = [
  ...['rx-drop', 'tx-drop', 'tx-queue-drop', 'rx-error', 'tx-error'],
  ...['fp-rx-byte', 'fp-tx-byte', 'fp-rx-packet', 'fp-tx-packet'],
];

function describeInterface(_router: SimulatedRouter, row: Row): Facts {
  const default_name = row.facts.get('default-name');
  const facts: Facts = default_name === undefined ? [] : [['default-name', default_name]];
  const { up, down } = row.meter?.read().bytes ?? { up: 0, down: 0 };
  facts.push(['rx-byte', String(up)], ['tx-byte', String(down)]);
  facts.push(['rx-packet', String(countPackets(up))], ['tx-packet', String(countPackets(down))]);
  for (const counter of ALWAYS_0) facts.push([counter, '0']);
  const is_running = row.values.get('disabled') !== 'true' && default_name !== 'ether5';
  return [...facts, ['running', String(is_running)], ['dynamic', String(row.dynamic)]];
}

function describeListEntry(router: SimulatedRouter, row: Row): Facts {
  const expires_ms = numberFact(row, 'expires_ms');
  const timeout: Facts = row.facts.has('expires_ms')
    ? [['timeout', formatUptime(router, 2 * router.now() - expires_ms)]]
    : [];
  return [
    ...timeout,
    ['creation-time', showDate(router, numberFact(row, 'created_ms'))],
    ['dynamic', String(row.dynamic)],
  ];
}

function describeClock(router: SimulatedRouter): Facts {
  const zone = readZone(router);
  const [date = '', time = ''] = formatDate(router.readClock(), router.version, zone).split(' ');
  const parts = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' }).formatToParts(
    router.readClock(),
  );
  const offset = parts.find(part => part.type === 'timeZoneName')?.value.replace('GMT', '') || '+00:00';
  return [
    ['time', time],
    ['date', date],
    ['gmt-offset', offset],
    ['dst-active', 'false'],
  ];
}

function describeResource(router: SimulatedRouter): Facts {
  return [
    ['uptime', formatUptime(router, router.started_ms)],
    ['version', `${router.version} (${router.isVersion(7, 0) ? 'stable' : 'long-term'})`],
    ['build-time', formatDate(Date.UTC(2026, 0, 15, 9, 0, 0), router.version)],
    ['factory-software', router.isVersion(7, 0) ? '7.1' : '6.44.6'],
    ['free-memory', '805306368'],
    ['total-memory', '1073741824'],
    ['cpu', 'ARM'],
    ['cpu-count', '4'],
    ['cpu-frequency', '1400'],
    ['cpu-load', '3'],
    ['free-hdd-space', '89128960'],
    ['total-hdd-space', '134217728'],
    ['write-sect-since-reboot', '1024'],
    ['write-sect-total', '2048'],
    ['bad-blocks', '0'],
    ['architecture-name', 'arm'],
    ['board-name', 'Simulated'],
    ['platform', 'MikroTik'],
  ];
}

function describeRouterboard(router: SimulatedRouter): Facts {
  return [
    ['routerboard', 'true'],
    ['board-name', 'Simulated'],
    ['model', 'SIMULATED'],
    ['serial-number', 'SIM000000001'],
    ['firmware-type', 'simulated'],
    ['factory-firmware', router.version],
    ['current-firmware', router.version],
    ['upgrade-firmware', router.version],
  ];
}

const showCounters = (bytes_in: number, bytes_out: number): Facts => [
  ['bytes-in', String(bytes_in)],
  ['bytes-out', String(bytes_out)],
  ['packets-in', String(countPackets(bytes_in))],
  ['packets-out', String(countPackets(bytes_out))],
];

function describeHotspotUser(router: SimulatedRouter, row: Row): Facts {
  const { uptime_ms, bytes_in, bytes_out } = readHotspotUse(router, row);
  const uptime = formatDuration(Math.floor(uptime_ms / 1000) * 1000);
  return [['uptime', uptime], ...showCounters(bytes_in, bytes_out), ['dynamic', 'false']];
}

function describeHotspotSession(router: SimulatedRouter, row: Row): Facts {
  const { bytes, bits_per_second } = row.meter?.read() ?? { bytes: { up: 0, down: 0 }, bits_per_second: null };
  const uptime = formatUptime(router, numberFact(row, 'created_ms'));
  const is_busy = bits_per_second !== null && bits_per_second.up + bits_per_second.down > 0;
  return [['uptime', uptime], ['idle-time', is_busy ? '0s' : uptime], ...showCounters(bytes.up, bytes.down)];
}

function describeBuiltin(_router: SimulatedRouter, row: Row): Facts {
  return [['default', String(row.builtin)]];
}

const DESCRIBE: Record<string, Describe> = {
  '/interface': describeInterface,
  '/ip/address': describeAddress,
  '/ip/firewall/address-list': describeListEntry,
  '/ip/firewall/filter': describeRule,
  '/ip/firewall/nat': describeRule,
  '/ip/hotspot/active': describeHotspotSession,
  '/ip/hotspot/user': describeHotspotUser,
  '/ip/hotspot/user/profile': describeBuiltin,
  '/log': (router, row) => [['time', showDate(router, numberFact(row, 'created_ms'))]],
  '/ppp/active': (router, row) => [
    ['uptime', formatUptime(router, numberFact(row, 'created_ms'))],
    ['encoding', ''],
  ],
  '/ppp/profile': describeBuiltin,
  '/ppp/secret': describeSecret,
  '/queue/simple': describeQueue,
  '/system/clock': describeClock,
  '/system/package': router => [
    ['version', router.version],
    ['scheduled', ''],
    ['disabled', 'false'],
  ],
  '/system/resource': describeResource,
  '/system/routerboard': describeRouterboard,
};
