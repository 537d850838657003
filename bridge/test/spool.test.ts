import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MeasurementBatch, type RouterMeasurement } from '../../src/protocol/messages.ts';
import { type Disk, DISK } from '../files.ts';
import { makeLog } from '../log.ts';
import { lookAtSpool, Spool, type SpoolOptions } from '../spool.ts';

let state_dir = '';
let now_ms = 0;
let log_lines: string[] = [];

beforeEach(async () => {
  state_dir = await mkdtemp(join(tmpdir(), 'rukun-spool-'));
  now_ms = 1_700_000_000_000;
  log_lines = [];
});

afterEach(() => rm(state_dir, { recursive: true }));

const ROUTER = randomUUID();

const open = (options: Partial<SpoolOptions> = {}) =>
  new Spool({ state_dir, log: makeLog(line => log_lines.push(line)), now: () => now_ms++, ...options });

const measured = (error: string | null = null): RouterMeasurement => ({
  router_id: ROUTER,
  host: '10.0.0.1',
  port: 8728,
  tls_fingerprint: null,
  status: 'online',
  error,
  latency_ms: 1,
  identity: null,
  board_name: null,
  version: null,
  uptime_seconds: 1,
  pools: null,
  lines: null,
});

const add = (spool: Spool, counter: string | null = null, note: string | null = null) =>
  spool.add({
    routers: [measured(note)],
    devices: [],
    counters: new Map(counter === null ? [] : [[ROUTER, counter]]),
  });

async function listFiles(): Promise<string[]> {
  const [id = ''] = await readdir(join(state_dir, 'spool'));
  return (await readdir(join(state_dir, 'spool', id))).sort();
}

async function findFile(pattern: RegExp): Promise<string> {
  const [id = ''] = await readdir(join(state_dir, 'spool'));
  const name = (await listFiles()).find(file => pattern.test(file)) ?? '';
  return join(state_dir, 'spool', id, name);
}

const readNumber = async (spool: Spool) => (await spool.readOldest())?.number ?? null;

describe('a spool', () => {
  test('gives batches back oldest first, numbered without gaps, across restarts', async () => {
    let spool = open();
    for (let i = 1; i <= 3; i++) expect(await add(spool)).toBe(i);
    const text = (await spool.readOldest())?.text ?? '';
    const batch = MeasurementBatch.parse(JSON.parse(text));
    expect(batch).toMatchObject({ number: 1, measured_at_ms: 1_700_000_000_000, routers: [measured()] });
    await spool.forget(1);
    spool = open();
    await spool.load();
    expect(spool.waiting).toBe(2);
    expect(await readNumber(spool)).toBe(2);
    await spool.forget(2);
    await spool.forget(3);
    expect(await readNumber(spool)).toBeNull();
    // the last number is kept although nothing waits
    spool = open();
    expect(await add(spool)).toBe(4);
    expect(MeasurementBatch.parse(JSON.parse((await spool.readOldest())?.text ?? '')).spool_id).toBe(batch.spool_id);
    expect(await listFiles()).toEqual([expect.stringMatching(/^batch-000000000004-\d+\.json$/)]);
  });

  test('is for us alone to read', async () => {
    const spool = open();
    await add(spool, '[]');
    for (const file of await listFiles()) {
      const { mode } = await stat(await findFile(new RegExp(file)));
      expect(mode & 0o777).toBe(0o600);
    }
  });

  test('keeps the newest counters of each router, and those of no other', async () => {
    let spool = open();
    expect(await spool.readCounters(ROUTER)).toBeNull();
    await add(spool, '"one"');
    await add(spool, '"two"');
    await add(spool);
    await spool.forget(1);
    spool = open();
    expect(await spool.readCounters(ROUTER)).toBe('"two"');
    expect((await listFiles()).filter(name => name.startsWith('counters'))).toHaveLength(1);
    await spool.keepCounters(new Set());
    expect(await spool.readCounters(ROUTER)).toBeNull();
    expect((await listFiles()).filter(name => name.startsWith('counters'))).toHaveLength(0);
  });

  test('sets a damaged batch aside and gives the next', async () => {
    const spool = open();
    for (let i = 0; i < 3; i++) await add(spool);
    const path = await findFile(/^batch-0+1-/);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('online', 'offlin'));
    await writeFile(await findFile(/^batch-0+3-/), '');
    expect(await readNumber(spool)).toBe(2);
    await spool.forget(2);
    expect(await readNumber(spool)).toBeNull();
    expect(log_lines.filter(line => line.includes('"batch_set_aside"'))).toHaveLength(2);
    // a number is never used again, not even that of a damaged one
    expect(await add(open())).toBe(4);
  });

  test('does not trust damaged counters', async () => {
    const spool = open();
    await add(spool, '[["a",1,0,"x",10,10]]');
    await writeFile(await findFile(/^counters-/), `${'0'.repeat(64)}\n[["a",1,0,"x",99,10]]`);
    expect(await spool.readCounters(ROUTER)).toBeNull();
    expect(log_lines.join()).toContain('counters_damaged');
    await add(spool, '"new"');
    expect(await spool.readCounters(ROUTER)).toBe('"new"');
  });

  test('when full drops the oldest, counts them and says so', async () => {
    let spool = open({ most_bytes: 1500 });
    for (let i = 1; i <= 12; i++) expect(await add(spool)).toBe(i);
    const first = (await readNumber(spool)) ?? 0;
    expect(first).toBeGreaterThan(6);
    expect(spool.dropped).toBe(first - 1);
    expect(JSON.parse(log_lines.at(-1) ?? '')).toMatchObject({ event: 'batches_dropped', last: first - 1 });
    // by its size alone: a clock that is put right by years makes nothing old
    spool = open({ most_bytes: 1500 });
    await spool.load();
    const { waiting } = spool;
    now_ms += 20 * 365 * 86_400_000;
    spool = open();
    expect(await add(spool)).toBe(13);
    expect(await readNumber(spool)).toBe(first);
    expect(await lookAtSpool(state_dir)).toEqual({
      waiting: waiting + 1,
      bytes: expect.any(Number),
      set_aside: [],
      oldest_ms: JSON.parse((await spool.readOldest())?.text ?? '').measured_at_ms,
    });
  });

  test('one that the cloud refuses for good holds nothing up', async () => {
    const spool = open();
    await add(spool);
    await add(spool);
    await spool.setRefusedAside(1);
    expect(await readNumber(spool)).toBe(2);
    expect((await listFiles())[0]).toMatch(/\.refused$/);
  });

  test('what is set aside counts as full, too', async () => {
    const spool = open({ most_bytes: 1500 });
    for (let i = 0; i < 12; i++) {
      await add(spool);
      await spool.setRefusedAside(i + 1);
    }
    const left = (await lookAtSpool(state_dir)).set_aside;
    expect(left.length).toBeLessThan(6);
    expect(left.at(-1)).toContain('batch-000000000012');
  });

  test('one that is put off comes last, under a number of its own', async () => {
    let spool = open();
    for (const note of ['one', 'two', 'three']) await add(spool, null, note);
    expect(await spool.putOff(1)).toBe(4);
    spool = open();
    await spool.load();
    expect(spool.numbers).toEqual([2, 3, 4]);
    await spool.forget(2);
    await spool.forget(3);
    const last = MeasurementBatch.parse(JSON.parse((await spool.readOldest())?.text ?? ''));
    expect(last).toMatchObject({ number: 4, routers: [{ error: 'one' }] });
    // alone it need not go anywhere
    expect(await spool.putOff(4)).toBe(4);
  });

  test('what is too large for one batch goes into several, also within one router', async () => {
    const most_batch_bytes = 20_000;
    const spool = open({ most_batch_bytes });
    // four bytes a letter
    const name = '𝄞'.repeat(50);
    const line = { name, session_id: '1', address: null, uptime_seconds: 1, interval_seconds: 1, upload_bytes: 1 };
    const lines = Array.from({ length: 200 }, (_, at) => ({ ...line, download_bytes: at }));
    const devices = Array.from({ length: 200 }, (_, at) => ({
      device_id: randomUUID(),
      status: 'online' as const,
      latency_ms: at,
    }));
    const routers = [measured(), { ...measured(), lines }];
    const number = await spool.add({ routers, devices, counters: new Map([[ROUTER, '"all"']]) });
    expect(number).toBeGreaterThan(3);
    const batches: MeasurementBatch[] = [];
    for (let i = 1; i <= number; i++) {
      const { text = '' } = (await spool.readOldest()) ?? {};
      expect(Buffer.byteLength(text)).toBeLessThan(most_batch_bytes + 500);
      batches.push(MeasurementBatch.parse(JSON.parse(text)));
      await spool.forget(i);
    }
    expect(spool.waiting).toBe(0);
    expect(batches.map(batch => batch.number)).toEqual(batches.map((_, at) => at + 1));
    const told = batches.flatMap(batch => batch.routers.flatMap(router => router.lines ?? []));
    expect(told).toEqual(lines);
    expect(batches.flatMap(batch => batch.devices)).toHaveLength(200);
  });

  test('begins under a new id when somebody deleted the batches and left the rest', async () => {
    let spool = open();
    await add(spool, '"1"');
    await add(spool, '"2"');
    const { text = '' } = (await spool.readOldest()) ?? {};
    for (let i = 0; i < 2; i++) await rm(await findFile(/^batch-/));
    spool = open();
    expect(await add(spool)).toBe(1);
    const again = JSON.parse((await spool.readOldest())?.text ?? '') as { spool_id: string };
    expect(again.spool_id).not.toBe((JSON.parse(text) as { spool_id: string }).spool_id);
    expect(await spool.readCounters(ROUTER)).toBeNull();
  });
});

class Crash extends Error {}

/** A disk that fails at its n-th step, half done, and at all after it. */
function makeCrashingDisk(steps: number, is_done: boolean): Disk {
  let left = steps;
  const step = async (half: () => Promise<unknown>) => {
    if (left-- > 0) return;
    if (left === -1) await half();
    throw new Crash();
  };
  const nothing = async () => undefined;
  return {
    read: async path => (await step(nothing), DISK.read(path)),
    list: async folder => (await step(nothing), DISK.list(folder)),
    makeFolder: async path => (await step(nothing), DISK.makeFolder(path)),
    write: async (path, text) => {
      await step(() => DISK.write(path, text.slice(0, text.length / 2)));
      await DISK.write(path, text);
    },
    // either may be done when the power fails, or not: both are tried
    rename: async (from, to) => (
      await step(() => (is_done ? DISK.rename(from, to) : nothing())),
      DISK.rename(from, to)
    ),
    remove: async path => (await step(() => (is_done ? DISK.remove(path) : nothing())), DISK.remove(path)),
    syncFolder: async path => (await step(nothing), DISK.syncFolder(path)),
  };
}

/** Of a size that two routers don't fit in. */
const PARTS = 400;

/** A router whose one counter stands at `total`; what the batches say must add up to it. */
class Story {
  readonly taken = new Map<number, number>();
  total = 0;

  async measure(spool: Spool): Promise<void> {
    this.total += 100;
    const before = Number((await spool.readCounters(ROUTER)) ?? 0);
    // two halves, each in a batch of its own
    const half = measured(String((this.total - before) / 2));
    await spool.add({ routers: [half, half], devices: [], counters: new Map([[ROUTER, String(this.total)]]) });
  }

  /** Only what the cloud surely doesn't have: under its new number it would count again. */
  async putOff(spool: Spool): Promise<void> {
    await spool.load();
    const [first] = spool.numbers;
    if (first !== undefined && !this.taken.has(first)) await spool.putOff(first);
  }

  /** As the cloud does: what isn't above the last number is taken for taken. */
  async send(spool: Spool): Promise<boolean> {
    const oldest = await spool.readOldest();
    if (!oldest) return false;
    const batch = MeasurementBatch.parse(JSON.parse(oldest.text));
    if (batch.number > Math.max(0, ...this.taken.keys())) this.taken.set(batch.number, Number(batch.routers[0]?.error));
    await spool.forget(batch.number);
    return true;
  }
}

describe('a crash', () => {
  test('at any step of the disk loses nothing and doubles nothing', async () => {
    let crashes = 0;
    for (let steps = 0; steps < 80; steps++) {
      for (const [is_restarted, is_done] of [
        [true, true],
        [true, false],
        [false, true],
        [false, false],
      ] as const) {
        await rm(join(state_dir, 'spool'), { recursive: true, force: true });
        const story = new Story();
        await story.measure(open({ most_batch_bytes: PARTS }));
        const disk = makeCrashingDisk(steps, is_done);
        // one process that goes on after a failure, or a new one after a crash
        const spool = open({ disk: is_restarted ? disk : failOnce(disk), most_batch_bytes: PARTS });
        const works = [
          () => story.measure(spool),
          () => story.send(spool),
          () => story.putOff(spool),
          () => story.measure(spool),
          () => story.send(spool),
          () => story.send(spool),
          () => story.measure(spool),
        ];
        let has_crashed = false;
        for (const work of works) {
          const is_crashed = await work().then(() => false, isCrash);
          crashes += is_crashed ? 1 : 0;
          has_crashed ||= is_crashed;
          if (is_crashed && is_restarted) break;
        }
        const after = is_restarted || !has_crashed ? open({ most_batch_bytes: PARTS }) : spool;
        await story.measure(after);
        while (await story.send(after));
        expect([...story.taken.values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(story.total);
        expect(await listFiles()).toHaveLength(2);
      }
    }
    expect(crashes).toBeGreaterThan(90);
  });
});

function isCrash(error: unknown): true {
  if (!(error instanceof Crash)) throw error;
  return true;
}

/** Works again after its one failure. */
function failOnce(crashing: Disk): Disk {
  let is_over = false;
  const attempt =
    <A extends unknown[], T>(fails: (...args: A) => Promise<T>, works: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      if (is_over) return works(...args);
      return fails(...args).catch((error: unknown) => {
        is_over = true;
        throw error;
      });
    };
  return {
    read: attempt(crashing.read, DISK.read),
    list: attempt(crashing.list, DISK.list),
    makeFolder: attempt(crashing.makeFolder, DISK.makeFolder),
    write: attempt(crashing.write, DISK.write),
    rename: attempt(crashing.rename, DISK.rename),
    remove: attempt(crashing.remove, DISK.remove),
    syncFolder: attempt(crashing.syncFolder, DISK.syncFolder),
  };
}
