/**
 * Batches of measurements on their way to the cloud, and how far each router's sessions were counted with them.
 *
 *   spool/<spool id>/batch-<number>-<time>.json    waits for the cloud
 *                    batch-<number>-<time>.taken   the newest, when the cloud has it: keeps the number
 *                    batch-<number>-<time>.damaged, .refused   set aside for a person to look at
 *                    batch-<number>-<time>.part    waits, once there is one with a higher number; otherwise it is nothing
 *                    counters-<router id>-<number>.json
 *
 * Counters are written before the batch of their number and count only once that is there: then both do or neither.
 * A batch's number is the one in its name: one that is put off is renamed to the highest, since the cloud takes no number
 * below the last that it took.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MeasurementBatch } from '../src/protocol/messages.ts';
import { addHash, checkHash, type Disk, DISK, replaceFile } from './files.ts';
import type { Log } from './log.ts';
import { packBatch } from './pack-batch.ts';

export const SPOOL_FOLDER = 'spool';
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;
const BATCH = /^batch-(\d{12})-(\d+)\.(json|taken|damaged|refused|part)$/;
/** In a batch's text, right after the spool's id. */
const NUMBER = /"number":\d+/;
const MOST_HEAD = 200;
const COUNTERS = /^counters-([\da-f-]{36})-(\d{12})\.json$/;
const MOST_BYTES = 256 * 1024 * 1024;
/** Far below what the cloud reads of one report. */
const MOST_BATCH_BYTES = 4 * 1024 * 1024;

type Suffix = 'json' | 'taken' | 'damaged' | 'refused' | 'part';

export interface SpoolOptions {
  state_dir: string;
  log: Log;
  now: () => number;
  disk?: Disk;
  most_bytes?: number;
  most_batch_bytes?: number;
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
  #set_aside: (Stored & { suffix: Suffix })[] = [];
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

  /** Of those that wait, oldest first. */
  get numbers(): number[] {
    return this.#waiting.map(({ number }) => number);
  }

  /** Batches that were lost because the spool was full, since this process began. */
  get dropped(): number {
    return this.#dropped;
  }

  load(): Promise<void> {
    return this.#inTurn(async () => undefined);
  }

  /** On disk when it resolves, as are its counters; one that is too large becomes several. Answers the last number. */
  add({ routers, devices, counters }: NewBatch): Promise<number> {
    return this.#inTurn(async () => {
      const { now, most_batch_bytes = MOST_BATCH_BYTES } = this.#options;
      const measured_at_ms = now();
      const parts: Stored[] = [];
      const contents = packBatch({ routers, devices }, most_batch_bytes);
      const number = this.#newest + contents.length;
      for (const [at, content] of contents.entries()) {
        const is_last = at === contents.length - 1;
        const head = { spool_id: this.#spool_id, number: this.#newest + 1 + at, measured_at_ms };
        const json = JSON.stringify({ ...head, ...content } satisfies MeasurementBatch);
        const part: Stored = { number: head.number, measured_at_ms, bytes: Buffer.byteLength(json) };
        if (is_last) {
          for (const [id, count] of counters)
            await replaceFile(this.#nameCounters(id, number), addHash(count), this.#disk);
        }
        await replaceFile(this.#nameBatch(part, is_last ? 'json' : 'part'), addHash(json), this.#disk);
        parts.push(part);
      }
      for (const part of parts.slice(0, -1)) await this.#rename(part, 'part', 'json');
      this.#newest = number;
      this.#waiting.push(...parts);
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
        if (text !== null) return { number: stored.number, text: setNumber(text, stored.number) };
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
        await this.#rename(stored, 'json', 'taken');
        this.#taken = stored;
      } else await this.#disk.remove(this.#nameBatch(stored, 'json'));
      this.#waiting = this.#waiting.filter(waiting => waiting !== stored);
    });
  }

  /** It is in the way of the others now: it comes after all of them, under another number, which it answers. */
  putOff(number: number): Promise<number> {
    return this.#inTurn(async () => {
      const stored = this.#waiting.find(waiting => waiting.number === number);
      if (!stored || this.#waiting.length === 1) return number;
      const last: Stored = { ...stored, number: this.#newest + 1 };
      await this.#disk.rename(this.#nameBatch(stored, 'json'), this.#nameBatch(last, 'json'));
      await this.#disk.syncFolder(this.#folder);
      this.#newest = last.number;
      this.#waiting = [...this.#waiting.filter(waiting => waiting !== stored), last];
      await this.#removeTaken();
      return last.number;
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
    this.#newest = batches.findLast(({ suffix }) => suffix !== 'part')?.number ?? 0;
    for (const { suffix, name, ...stored } of batches) {
      const is_left = stored.number >= this.#newest;
      if (suffix === 'json') this.#waiting.push(stored);
      else if (suffix === 'part' && !is_left) {
        await this.#rename(stored, 'part', 'json');
        this.#waiting.push(stored);
      } else if (suffix === 'part' || (suffix === 'taken' && !is_left))
        await this.#disk.remove(join(this.#folder, name));
      else if (suffix === 'taken') this.#taken = stored;
      else this.#set_aside.push({ ...stored, suffix });
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
    const { most_bytes = MOST_BYTES, log } = this.#options;
    const all = [...this.#set_aside, ...this.#waiting];
    let bytes = all.reduce((sum, stored) => sum + stored.bytes, 0);
    const dropped: number[] = [];
    for (const oldest of all.sort((a, b) => a.number - b.number)) {
      // the newest stays, whatever its size: it keeps the number
      if (bytes <= most_bytes || oldest.number === this.#newest) break;
      const suffix = this.#set_aside.find(({ number }) => number === oldest.number)?.suffix ?? 'json';
      await this.#disk.remove(this.#nameBatch(oldest, suffix));
      this.#set_aside = this.#set_aside.filter(({ number }) => number !== oldest.number);
      this.#waiting = this.#waiting.filter(({ number }) => number !== oldest.number);
      bytes -= oldest.bytes;
      dropped.push(oldest.number);
    }
    if (dropped.length === 0) return;
    this.#dropped += dropped.length;
    const [first = 0] = dropped;
    const last = dropped.at(-1) ?? 0;
    log('batches_dropped', { first, last, count: dropped.length, dropped_until_now: this.#dropped });
  }

  async #setAside(stored: Stored, suffix: 'damaged' | 'refused'): Promise<void> {
    this.#options.log('batch_set_aside', { number: stored.number, why: suffix });
    await this.#rename(stored, 'json', suffix);
    this.#waiting = this.#waiting.filter(waiting => waiting !== stored);
    this.#set_aside.push({ ...stored, suffix });
  }

  async #rename(stored: Stored, from: Suffix, to: Suffix): Promise<void> {
    await this.#disk.rename(this.#nameBatch(stored, from), this.#nameBatch(stored, to));
  }

  #nameBatch({ number, measured_at_ms }: Stored, suffix: Suffix): string {
    return join(this.#folder, `batch-${pad(number)}-${measured_at_ms}.${suffix}`);
  }

  #nameCounters(router_id: string, number: number): string {
    return join(this.#folder, `counters-${router_id}-${pad(number)}.json`);
  }
}

/** A large text isn't copied where it's right already. */
function setNumber(text: string, number: number): string {
  const [written] = NUMBER.exec(text.slice(0, MOST_HEAD)) ?? [];
  const wanted = `"number":${number}`;
  return written === wanted ? text : text.replace(NUMBER, wanted);
}

/** For the doctor: what waits, without touching anything. */
export async function lookAtSpool(
  state_dir: string,
): Promise<{ waiting: number; bytes: number; oldest_ms: number | null; set_aside: string[] }> {
  const root = join(state_dir, SPOOL_FOLDER);
  const [id] = await listSpools(root);
  const files = id === undefined ? [] : await DISK.list(join(root, id));
  const waiting = files.flatMap(({ name, bytes }) => {
    const [, , time, suffix] = BATCH.exec(name) ?? [];
    return suffix === 'json' ? [{ bytes, time_ms: Number(time) }] : [];
  });
  const oldest_ms = waiting.length === 0 ? null : Math.min(...waiting.map(({ time_ms }) => time_ms));
  const set_aside = files
    .map(({ name }) => name)
    .filter(name => /^(damaged|refused)$/.test(BATCH.exec(name)?.[3] ?? ''));
  const bytes = waiting.reduce((sum, stored) => sum + stored.bytes, 0);
  return { waiting: waiting.length, bytes, oldest_ms, set_aside };
}

/** There is one, unless somebody put another there by hand. */
async function listSpools(root: string): Promise<string[]> {
  return (await readdir(root).catch(() => [])).filter(name => UUID.test(name)).sort();
}

const pad = (number: number) => String(number).padStart(12, '0');
