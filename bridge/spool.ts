/**
 * Batches of measurements on their way to the cloud, and how far each router's sessions were counted with them.
 *
 *   spool/<spool id>/batch-<number>-<time>.json    waits for the cloud
 *                    batch-<number>-<time>.taken   the newest, when the cloud has it: keeps the number
 *                    batch-<number>-<time>.damaged, .refused   set aside for a person to look at
 *                    counters-<router id>-<number>.json
 *
 * Counters are written before the batch of their number and count only once that is there: then both do or neither.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MeasurementBatch } from '../src/protocol/messages.ts';
import { addHash, checkHash, type Disk, DISK, replaceFile } from './files.ts';
import type { Log } from './log.ts';

export const SPOOL_FOLDER = 'spool';
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;
const BATCH = /^batch-(\d{12})-(\d+)\.(json|taken|damaged|refused)$/;
const COUNTERS = /^counters-([\da-f-]{36})-(\d{12})\.json$/;
const MOST_AGE_MS = 7 * 24 * 3_600_000;
const MOST_BYTES = 256 * 1024 * 1024;
const MOST_SET_ASIDE = 10;

type Suffix = 'json' | 'taken' | 'damaged' | 'refused';

export interface SpoolOptions {
  state_dir: string;
  log: Log;
  now: () => number;
  disk?: Disk;
  most_bytes?: number;
  most_age_ms?: number;
}

interface Stored {
  number: number;
  measured_at_ms: number;
  bytes: number;
}

export interface NewBatch {
  routers: MeasurementBatch['routers'];
  devices: MeasurementBatch['devices'];
  /** Router's id → its counters after this batch. */
  counters: ReadonlyMap<string, string>;
}

export class Spool {
  readonly #options: SpoolOptions;
  readonly #disk: Disk;
  #folder = '';
  #spool_id = '';
  #newest = 0;
  #is_loaded = false;
  /** Oldest first. */
  #waiting: Stored[] = [];
  #taken: Stored | null = null;
  #set_aside: { number: number; path: string }[] = [];
  /** Router's id → the number of its counters that hold. */
  #counters = new Map<string, number>();
  #last: Promise<unknown> = Promise.resolve();
  #dropped = 0;

  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#disk = options.disk ?? DISK;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Batches that were lost because the spool was full, since this process began. */
  get dropped(): number {
    return this.#dropped;
  }

  load(): Promise<void> {
    return this.#inTurn(async () => undefined);
  }

  /** On disk when it resolves, as are its counters. Answers its number. */
  add({ routers, devices, counters }: NewBatch): Promise<number> {
    return this.#inTurn(async () => {
      const number = this.#newest + 1;
      const measured_at_ms = this.#options.now();
      const batch = { spool_id: this.#spool_id, number, measured_at_ms, routers, devices } satisfies MeasurementBatch;
      for (const [id, text] of counters) await replaceFile(this.#nameCounters(id, number), addHash(text), this.#disk);
      const text = addHash(JSON.stringify(batch));
      const stored: Stored = { number, measured_at_ms, bytes: text.length };
      await replaceFile(this.#nameBatch(stored, 'json'), text, this.#disk);
      this.#newest = number;
      this.#waiting.push(stored);
      await this.#removeTaken();
      for (const id of counters.keys()) await this.#noteCounters(id, number);
      await this.#dropOldest();
      return number;
    });
  }

  /** The oldest that waits, as the JSON it is; null when none does. A damaged one is set aside. */
  readOldest(): Promise<{ number: number; text: string } | null> {
    return this.#inTurn(async () => {
      for (;;) {
        const [stored] = this.#waiting;
        if (!stored) return null;
        const file = await this.#disk.read(this.#nameBatch(stored, 'json'));
        const text = file === null ? null : checkHash(file);
        if (text !== null) return { number: stored.number, text };
        await this.#setAside(stored, 'damaged');
      }
    });
  }

  /** The cloud has it. */
  forget(number: number): Promise<void> {
    return this.#inTurn(async () => {
      const stored = this.#waiting.find(waiting => waiting.number === number);
      if (!stored) return;
      if (number === this.#newest) {
        await this.#disk.rename(this.#nameBatch(stored, 'json'), this.#nameBatch(stored, 'taken'));
        this.#taken = stored;
      } else await this.#disk.remove(this.#nameBatch(stored, 'json'));
      this.#waiting = this.#waiting.filter(waiting => waiting !== stored);
    });
  }

  /** The cloud will never take it: it must not hold up the rest. */
  setRefusedAside(number: number): Promise<void> {
    return this.#inTurn(async () => {
      const stored = this.#waiting.find(waiting => waiting.number === number);
      if (stored) await this.#setAside(stored, 'refused');
    });
  }

  /** Null where nothing is known of how far this router was counted. */
  readCounters(router_id: string): Promise<string | null> {
    return this.#inTurn(async () => {
      const number = this.#counters.get(router_id);
      if (number === undefined) return null;
      const file = await this.#disk.read(this.#nameCounters(router_id, number));
      const text = file === null ? null : checkHash(file);
      if (text === null) this.#options.log('counters_damaged', { router_id });
      return text;
    });
  }

  /** Forgets the counters of all other routers. */
  keepCounters(router_ids: ReadonlySet<string>): Promise<void> {
    return this.#inTurn(async () => {
      for (const [id, number] of this.#counters) {
        if (router_ids.has(id)) continue;
        await this.#disk.remove(this.#nameCounters(id, number));
        this.#counters.delete(id);
      }
    });
  }

  /** One after another; after a failure the disk is looked at anew, since it tells what was done. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      if (!this.#is_loaded) await this.#load();
      this.#is_loaded = false;
      const result = await work();
      this.#is_loaded = true;
      return result;
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #load(): Promise<void> {
    const root = join(this.#options.state_dir, SPOOL_FOLDER);
    const [id = randomUUID()] = await listSpools(root);
    this.#use(root, id);
    let files = await this.#disk.list(this.#folder);
    // somebody deleted the batches and left their counters: numbers must not begin again under the same id
    const has_batches = files.some(({ name }) => BATCH.test(name));
    if (!has_batches && files.some(({ name }) => Number(COUNTERS.exec(name)?.[2] ?? 0) > 1)) {
      await rm(this.#folder, { recursive: true });
      this.#use(root, randomUUID());
      files = [];
    }
    await this.#disk.makeFolder(this.#folder);
    await this.#loadBatches(files);
    await this.#loadCounters(files);
  }

  #use(root: string, spool_id: string): void {
    this.#spool_id = spool_id;
    this.#folder = join(root, spool_id);
  }

  async #loadBatches(files: readonly { name: string; bytes: number }[]): Promise<void> {
    [this.#newest, this.#waiting, this.#taken, this.#set_aside] = [0, [], null, []];
    const batches = files.flatMap(({ name, bytes }) => {
      const [, number, time, suffix] = BATCH.exec(name) ?? [];
      if (number === undefined) return [];
      return [{ number: Number(number), measured_at_ms: Number(time), bytes, suffix: suffix as Suffix, name }];
    });
    batches.sort((a, b) => a.number - b.number);
    this.#newest = batches.at(-1)?.number ?? 0;
    for (const { suffix, name, ...stored } of batches) {
      if (suffix === 'json') this.#waiting.push(stored);
      else if (suffix === 'taken' && stored.number < this.#newest) await this.#disk.remove(join(this.#folder, name));
      else if (suffix === 'taken') this.#taken = stored;
      else this.#set_aside.push({ number: stored.number, path: join(this.#folder, name) });
    }
  }

  async #loadCounters(files: readonly { name: string }[]): Promise<void> {
    this.#counters = new Map();
    for (const { name } of files) {
      const [, id = '', digits = ''] = COUNTERS.exec(name) ?? [];
      const number = Number(digits);
      if (name.endsWith('.new') || number > this.#newest) await this.#disk.remove(join(this.#folder, name));
      else if (id !== '') await this.#noteCounters(id, number);
    }
  }

  /** Of two counters of one router the newer hold. */
  async #noteCounters(router_id: string, number: number): Promise<void> {
    const other = this.#counters.get(router_id);
    this.#counters.set(router_id, Math.max(number, other ?? 0));
    if (other === undefined || other === number) return;
    await this.#disk.remove(this.#nameCounters(router_id, Math.min(number, other)));
  }

  async #removeTaken(): Promise<void> {
    if (!this.#taken) return;
    await this.#disk.remove(this.#nameBatch(this.#taken, 'taken'));
    this.#taken = null;
  }

  async #dropOldest(): Promise<void> {
    const { most_bytes = MOST_BYTES, most_age_ms = MOST_AGE_MS, log, now } = this.#options;
    let bytes = this.#waiting.reduce((sum, stored) => sum + stored.bytes, 0);
    const dropped: number[] = [];
    // the newest stays, whatever its size: it keeps the number
    while (this.#waiting.length > 1) {
      const [oldest] = this.#waiting;
      if (!oldest || (bytes <= most_bytes && now() - oldest.measured_at_ms <= most_age_ms)) break;
      await this.#disk.remove(this.#nameBatch(oldest, 'json'));
      this.#waiting.shift();
      bytes -= oldest.bytes;
      dropped.push(oldest.number);
    }
    if (dropped.length === 0) return;
    this.#dropped += dropped.length;
    const [first = 0] = dropped;
    log('batches_dropped', {
      first,
      last: dropped.at(-1) ?? 0,
      count: dropped.length,
      dropped_until_now: this.#dropped,
    });
  }

  async #setAside(stored: Stored, suffix: 'damaged' | 'refused'): Promise<void> {
    const path = this.#nameBatch(stored, suffix);
    this.#options.log('batch_set_aside', { number: stored.number, why: suffix });
    await this.#disk.rename(this.#nameBatch(stored, 'json'), path);
    this.#waiting = this.#waiting.filter(waiting => waiting !== stored);
    this.#set_aside.push({ number: stored.number, path });
    const [oldest] = this.#set_aside;
    if (!oldest || this.#set_aside.length <= MOST_SET_ASIDE || oldest.number === this.#newest) return;
    await this.#disk.remove(oldest.path);
    this.#set_aside.shift();
  }

  #nameBatch({ number, measured_at_ms }: Stored, suffix: Suffix): string {
    return join(this.#folder, `batch-${pad(number)}-${measured_at_ms}.${suffix}`);
  }

  #nameCounters(router_id: string, number: number): string {
    return join(this.#folder, `counters-${router_id}-${pad(number)}.json`);
  }
}

/** For the doctor: what waits, without touching anything. */
export async function lookAtSpool(
  state_dir: string,
): Promise<{ waiting: number; bytes: number; oldest_ms: number | null }> {
  const root = join(state_dir, SPOOL_FOLDER);
  const [id] = await listSpools(root);
  const files = id === undefined ? [] : await DISK.list(join(root, id));
  const waiting = files.flatMap(({ name, bytes }) => {
    const [, , time, suffix] = BATCH.exec(name) ?? [];
    return suffix === 'json' ? [{ bytes, time_ms: Number(time) }] : [];
  });
  const oldest_ms = waiting.length === 0 ? null : Math.min(...waiting.map(({ time_ms }) => time_ms));
  return { waiting: waiting.length, bytes: waiting.reduce((sum, { bytes }) => sum + bytes, 0), oldest_ms };
}

/** There is one, unless somebody put another there by hand. */
async function listSpools(root: string): Promise<string[]> {
  return (await readdir(root).catch(() => [])).filter(name => UUID.test(name)).sort();
}

const pad = (number: number) => String(number).padStart(12, '0');
