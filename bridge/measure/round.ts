/** One round of measuring: every router's lines and every device, onto the disk in batches. */
import type { DeviceMeasurement, RouterAccess, RouterMeasurement, Watched } from '../../src/protocol/messages.ts';
import type { NewBatch, Spool } from '../spool.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { countLines, readCounters, writeCounters } from './counters.ts';
import { Lanes } from './lanes.ts';
import type { Look } from './measure-router.ts';
import { reachDevice } from './reach-device.ts';

const DEVICES_AT_ONCE = 20;
/** A round of many lines leaves in several batches, so that neither side holds all of it at once. */
const LINES_A_BATCH = 2_000;
const MANY_SESSIONS = 200;

export interface RoundOptions {
  spool: Spool;
  /** Something is on disk for the cloud. */
  onBatch: () => void;
  lanes: Lanes;
  routers: readonly RouterAccess[];
  devices: Watched['devices'];
  device_limit_ms: number;
  look: (router: RouterAccess) => Promise<Look | null>;
  signal: AbortSignal;
}

export async function measureRound(options: RoundOptions): Promise<void> {
  const { spool, lanes, routers } = options;
  const batch = new OpenBatch(options);
  const measured = routers.map(router =>
    lanes.run(async () => {
      const look = await options.look(router);
      if (!look) return;
      const { lines, counters } = await countSessions(spool, look);
      await batch.add({ ...look.facts, lines }, counters);
      if (look.sessions && look.sessions.length >= MANY_SESSIONS) collectGarbage();
    }),
  );
  const reached = reachDevices(options).then(devices => batch.addDevices(devices));
  const results = await Promise.allSettled([...measured, reached]);
  await batch.close();
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function countSessions(spool: Spool, { facts, sessions }: Look) {
  if (sessions === null) return { lines: null, counters: null };
  const stored = await spool.readCounters(facts.router_id);
  const { lines, counters } = countLines(stored === null ? null : readCounters(stored), sessions);
  return { lines, counters: writeCounters(counters) };
}

class OpenBatch {
  readonly #options: RoundOptions;
  #routers: RouterMeasurement[] = [];
  #devices: DeviceMeasurement[] = [];
  #counters = new Map<string, string>();
  #lines = 0;

  constructor(options: RoundOptions) {
    this.#options = options;
  }

  async add(router: RouterMeasurement, counters: string | null): Promise<void> {
    this.#routers.push(router);
    if (counters !== null) this.#counters.set(router.router_id, counters);
    this.#lines += router.lines?.length ?? 0;
    if (this.#lines >= LINES_A_BATCH) await this.close();
  }

  addDevices(devices: DeviceMeasurement[]): void {
    this.#devices = devices;
  }

  /** Writes what is gathered; what comes later goes into another one. */
  async close(): Promise<void> {
    const batch: NewBatch = { routers: this.#routers, devices: this.#devices, counters: this.#counters };
    [this.#routers, this.#devices, this.#counters, this.#lines] = [[], [], new Map(), 0];
    if (batch.routers.length === 0 && batch.devices.length === 0) return;
    await this.#options.spool.add(batch);
    this.#options.onBatch();
  }
}

async function reachDevices({ devices, device_limit_ms, signal }: RoundOptions): Promise<DeviceMeasurement[]> {
  const lanes = new Lanes(DEVICES_AT_ONCE);
  const reached = devices.map(({ id, host, port }) =>
    lanes.run(async () => {
      const reach = () => reachDevice(host, port, device_limit_ms, signal);
      const first = await reach();
      // one lost packet is no outage
      return { device_id: id, ...(first.status === 'online' ? first : await reach()) };
    }),
  );
  const all = await Promise.all(reached);
  // those that were cut short are not known
  return signal.aborted ? [] : all;
}
