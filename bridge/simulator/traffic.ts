// What customers use: steady rates and bytes moved at once, counted by the clock when somebody reads, without timers.
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { addressToNumber } from './values.ts';

/** Seen from the customer: `up` is what the router receives. */
export interface Flow {
  up: number;
  down: number;
}

export interface Reading {
  bytes: Flow;
  bits_per_second: Flow;
}

export interface TrafficChange {
  upload_bps?: number;
  download_bps?: number;
  upload_bytes?: number;
  download_bytes?: number;
}

const PACKET_BYTES = 1000;
const BURST_MS = 1000;

export const countPackets = (bytes: number) => Math.ceil(bytes / PACKET_BYTES);
export const countPacketRate = (bits_per_second: number) => Math.round(bits_per_second / 8 / PACKET_BYTES);

const addFlows = (a: Flow, b: Flow): Flow => ({ up: a.up + b.up, down: a.down + b.down });
const subtractFlows = (a: Flow, b: Flow): Flow => ({ up: a.up - b.up, down: a.down - b.down });
const takeSmaller = (a: Flow, b: Flow): Flow => ({ up: Math.min(a.up, b.up), down: Math.min(a.down, b.down) });

function sumReadings(readings: Iterable<Reading>): Reading {
  const sum: Reading = { bytes: { up: 0, down: 0 }, bits_per_second: { up: 0, down: 0 } };
  for (const { bytes, bits_per_second } of readings) {
    sum.bytes = addFlows(sum.bytes, bytes);
    sum.bits_per_second = addFlows(sum.bits_per_second, bits_per_second);
  }
  return sum;
}

/** `5000000/10000000`, where 0 is no limit. */
function readLimit(max_limit: string | null | undefined): Flow {
  const [up = 0, down = 0] = (max_limit ?? '').split('/').map(Number);
  return { up: up || Infinity, down: down || Infinity };
}

/** One session's traffic, from 0 on. */
export class Meter {
  readonly #now: () => number;
  /** What the profile allowed when the session began; a router doesn't look again. */
  readonly own_limit: Flow;
  #limit: Flow;
  #wanted: Flow = { up: 0, down: 0 };
  #counted: Flow = { up: 0, down: 0 };
  #since_ms: number;
  #burst: Flow = { up: 0, down: 0 };
  #burst_ms = -Infinity;

  constructor(now: () => number, max_limit: string | null) {
    this.#now = now;
    this.own_limit = readLimit(max_limit);
    this.#limit = this.own_limit;
    this.#since_ms = now();
  }

  read(): Reading {
    this.#settle();
    const { up, down } = this.#counted;
    const burst = this.#readBurst();
    const rate = this.#getRate();
    return {
      bytes: { up: Math.floor(up), down: Math.floor(down) },
      bits_per_second: { up: rate.up + burst.up * 8, down: rate.down + burst.down * 8 },
    };
  }

  apply({ upload_bps, download_bps, upload_bytes = 0, download_bytes = 0 }: TrafficChange): void {
    this.#settle();
    this.#wanted = { up: upload_bps ?? this.#wanted.up, down: download_bps ?? this.#wanted.down };
    if (upload_bytes === 0 && download_bytes === 0) return;
    const moved = { up: upload_bytes, down: download_bytes };
    this.#counted = addFlows(this.#counted, moved);
    this.#burst = addFlows(this.#readBurst(), moved);
    this.#burst_ms = this.#now();
  }

  setLimit(limit: Flow): void {
    this.#settle();
    this.#limit = limit;
  }

  #getRate(): Flow {
    return takeSmaller(this.#wanted, this.#limit);
  }

  // Bytes moved at once show in the rates for a second, as a peak would.
  #readBurst(): Flow {
    return this.#now() - this.#burst_ms < BURST_MS ? this.#burst : { up: 0, down: 0 };
  }

  // At every reading, so that no count falls when the clock is put back.
  #settle(): void {
    const now_ms = this.#now();
    const seconds = Math.max(0, now_ms - this.#since_ms) / 1000;
    const rate = this.#getRate();
    this.#counted = addFlows(this.#counted, { up: (rate.up * seconds) / 8, down: (rate.down * seconds) / 8 });
    this.#since_ms = now_ms;
  }
}

interface AddressTraffic {
  ended: Flow;
  live: Set<Meter>;
}

interface QueueStart {
  target: string;
  /** What its targets had moved when the queue came. */
  bytes: Flow;
}

/** All sessions' traffic by address, which is what the simple queues count that a person made. */
export class Traffic {
  readonly #router: SimulatedRouter;
  readonly #addresses = new Map<string, AddressTraffic>();
  #queue_starts = new WeakMap<Row, QueueStart>();

  constructor(router: SimulatedRouter) {
    this.#router = router;
    router.table('/queue/simple').watch((row, is_gone) => this.#followQueue(row, is_gone));
  }

  begin(address: string, max_limit: string | null): Meter {
    const meter = new Meter(this.#router.now, max_limit);
    const known = this.#addresses.get(address) ?? { ended: { up: 0, down: 0 }, live: new Set() };
    known.live.add(meter);
    this.#addresses.set(address, known);
    meter.setLimit(this.#findLimit(address, meter));
    return meter;
  }

  end(address: string, meter: Meter): void {
    const known = this.#addresses.get(address);
    if (known?.live.delete(meter)) known.ended = addFlows(known.ended, meter.read().bytes);
  }

  readQueue(row: Row): Reading {
    if (row.meter !== null) return row.meter.read();
    const { bytes, bits_per_second } = this.#readTargets(row.values.get('target') ?? '');
    const start = this.#queue_starts.get(row);
    return { bytes: start === undefined ? bytes : subtractFlows(bytes, start.bytes), bits_per_second };
  }

  /** All counters from 0 on, as after a reboot; the sessions must have ended. */
  reset(): void {
    this.#addresses.clear();
    this.#queue_starts = new WeakMap();
    for (const row of this.#router.table('/queue/simple').all()) this.#followQueue(row, false);
  }

  #followQueue(row: Row, is_gone: boolean): void {
    if (row.dynamic) return;
    const target = row.values.get('target') ?? '';
    const start = this.#queue_starts.get(row);
    if (start?.target !== target) {
      const { bytes } = this.#readTargets(target);
      const kept = start && subtractFlows(this.#readTargets(start.target).bytes, start.bytes);
      this.#queue_starts.set(row, { target, bytes: kept === undefined ? bytes : subtractFlows(bytes, kept) });
    }
    if (is_gone) this.#queue_starts.delete(row);
    for (const address of new Set([target, start?.target ?? target].flatMap(listHosts))) this.#limitAddress(address);
  }

  #limitAddress(address: string): void {
    for (const meter of this.#addresses.get(address)?.live ?? []) meter.setLimit(this.#findLimit(address, meter));
  }

  #findLimit(address: string, meter: Meter): Flow {
    let limit = meter.own_limit;
    for (const row of this.#router.table('/queue/simple').find('target', `${address}/32`)) {
      if (row.dynamic || row.values.get('disabled') === 'true') continue;
      limit = takeSmaller(limit, readLimit(row.values.get('max-limit')));
    }
    return limit;
  }

  #readTargets(target: string): Reading {
    const found = new Set<AddressTraffic>();
    for (const part of target.split(',')) {
      const [host] = listHosts(part);
      if (host === undefined) this.#listWithin(part).forEach(known => found.add(known));
      else if (this.#addresses.has(host)) found.add(this.#addresses.get(host) as AddressTraffic);
    }
    return sumReadings(
      [...found].flatMap(({ ended, live }) => [
        { bytes: ended, bits_per_second: { up: 0, down: 0 } },
        ...[...live].map(meter => meter.read()),
      ]),
    );
  }

  #listWithin(prefix: string): AddressTraffic[] {
    const [network = '', length] = prefix.split('/');
    if (length === undefined || !/^[\d.]+$/.test(network)) return [];
    const size = 2 ** (32 - Number(length));
    const number = Math.floor(addressToNumber(network) / size);
    return [...this.#addresses]
      .filter(([address]) => Math.floor(addressToNumber(address) / size) === number)
      .map(([, known]) => known);
  }
}

/** The single addresses among a queue's targets. */
function listHosts(target: string): string[] {
  return target
    .split(',')
    .filter(part => /^[\d.]+\/32$/.test(part))
    .map(part => part.slice(0, -3));
}
