/** Gathers measurements until there are enough for a batch, or they have waited long enough. */
import { DeviceMeasurement, LineMeasurement, RouterMeasurement } from '../../src/protocol/messages.ts';
import type { Log } from '../log.ts';
import type { NewBatch, Spool } from '../spool.ts';

/** What is measured leaves in several batches, so that neither side holds all of it at once. */
const MOST_LINES = 2_000;
const MOST_ROUTERS = 200;
const MOST_DEVICES = 2_000;
const MOST_POOLS = 1_000;

export interface BatchTools {
  spool: Spool;
  log: Log;
  /** Something is on disk for the cloud. */
  onBatch: () => void;
}

export class OpenBatch {
  readonly #tools: BatchTools;
  readonly #wait_ms: number;
  #routers: RouterMeasurement[] = [];
  #devices: DeviceMeasurement[] = [];
  #counters = new Map<string, string>();
  #lines = 0;
  #timer: NodeJS.Timeout | null = null;
  #failure: unknown = null;

  constructor(tools: BatchTools, wait_ms: number) {
    this.#tools = tools;
    this.#wait_ms = wait_ms;
  }

  /** One that the cloud wouldn't understand is left out, and its counters stay where they are. */
  async addRouter(router: RouterMeasurement, counters: string | null): Promise<void> {
    const checked = checkRouter(router, this.#tools.log);
    if (!checked) return;
    this.#routers.push(checked);
    if (counters !== null) this.#counters.set(router.router_id, counters);
    this.#lines += router.lines?.length ?? 0;
    await this.#noteMore(this.#lines >= MOST_LINES || this.#routers.length >= MOST_ROUTERS);
  }

  async addDevice(device: DeviceMeasurement): Promise<void> {
    const checked = DeviceMeasurement.safeParse(device);
    if (!checked.success) return logInvalid(this.#tools.log, { device_id: device.device_id }, checked.error);
    this.#devices.push(checked.data);
    await this.#noteMore(this.#devices.length >= MOST_DEVICES);
  }

  /** Writes what is gathered, and tells of what went wrong with it or before. */
  async finish(): Promise<void> {
    await this.#close();
    if (this.#failure !== null) throw this.#failure;
  }

  async #noteMore(is_full: boolean): Promise<void> {
    if (is_full) return await this.#close();
    this.#timer ??= setTimeout(() => void this.#close(), this.#wait_ms);
  }

  async #close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    const batch: NewBatch = { routers: this.#routers, devices: this.#devices, counters: this.#counters };
    [this.#routers, this.#devices, this.#counters, this.#lines, this.#timer] = [[], [], new Map(), 0, null];
    if (batch.routers.length === 0 && batch.devices.length === 0) return;
    try {
      await this.#tools.spool.add(batch);
      this.#tools.onBatch();
    } catch (error) {
      this.#failure ??= error;
    }
  }
}

/** As the cloud will read it, too long texts cut; null, and a word in the log, where it wouldn't. */
export function checkRouter(router: RouterMeasurement, log: Log): RouterMeasurement | null {
  const { lines, pools, ...facts } = router;
  const rest = { ...facts, pools: pools?.slice(0, MOST_POOLS) ?? null, lines: null };
  const checked = RouterMeasurement.safeParse(rest);
  if (!checked.success) {
    logInvalid(log, { router_id: router.router_id }, checked.error);
    return null;
  }
  // one by one, and left as they are: a copy of thousands would be another peak of memory
  for (const [at, line] of (lines ?? []).entries()) {
    const { error } = LineMeasurement.safeParse(line);
    if (!error) continue;
    logInvalid(log, { router_id: router.router_id, line: at }, error);
    return null;
  }
  return { ...checked.data, lines };
}

interface Invalid {
  issues: readonly { path: readonly PropertyKey[]; code: string }[];
}

function logInvalid(log: Log, what: Record<string, string | number>, { issues: [issue] }: Invalid): void {
  log('measurement_dropped', { ...what, field: issue?.path.join('.') ?? '', why: issue?.code ?? '' });
}
