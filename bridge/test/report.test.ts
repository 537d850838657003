import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MeasurementBatch, ReportRequest } from '../../src/protocol/messages.ts';
import { NONCE_HEADER, signAnswer, SIGNATURE_HEADER } from '../../src/protocol/signature.ts';
import { type Disk, DISK } from '../files.ts';
import { BridgeKeys } from '../keys.ts';
import { makeLog } from '../log.ts';
import type { PostText } from '../post-text.ts';
import { Reporter, type ReporterOptions } from '../report.ts';
import { Spool } from '../spool.ts';
import { WatchedStore } from '../watched.ts';
import { eventually } from '../../test/support/eventually.ts';
import { TestBridge } from './bridge-client.ts';

interface CloudAnswer {
  status: number;
  is_unsigned?: boolean;
  is_left?: boolean;
  watched?: unknown;
}

let state_dir = '';
let bridge: TestBridge;
let log_lines: string[] = [];
let reports: ReportRequest[] = [];
/** What the cloud keeps: by number, and none below the highest. */
let stored: MeasurementBatch[] = [];
let say: (report: ReportRequest) => CloudAnswer = () => ({ status: 200 });
let stop: () => Promise<void> = async () => undefined;

beforeEach(async () => {
  bridge = await TestBridge.make();
  state_dir = await mkdtemp(join(tmpdir(), 'rukun-report-'));
  [log_lines, reports, stored] = [[], [], []];
  say = () => ({ status: 200 });
});

afterEach(async () => {
  await stop();
  await rm(state_dir, { recursive: true });
  await bridge.end();
});

const post: PostText = async (_url, headers, body) => {
  const report = JSON.parse(body) as ReportRequest;
  reports.push(report);
  const { status, is_unsigned, is_left, watched = null } = say(report);
  const { batch } = report;
  if (status === 200 && batch && !is_left && batch.number > (stored.at(-1)?.number ?? 0)) stored.push(batch);
  const data = { batch_taken: batch !== null && !is_left, watched };
  const text = JSON.stringify(status === 200 ? { success: true, data } : { success: false });
  const secret = is_unsigned ? 'another' : bridge.config.signing_secret;
  const signature = await signAnswer(secret, headers[NONCE_HEADER] ?? '', status, text);
  return { status, text, headers: { [SIGNATURE_HEADER]: signature } };
};

/** Batches are told apart by their device's latency. */
async function start(batches: number, options: ReporterOptions = {}, disk?: Disk): Promise<Spool> {
  const log = makeLog(line => log_lines.push(line));
  const spool = new Spool({ state_dir, log, now: Date.now });
  for (let i = 1; i <= batches; i++) await addBatch(spool, i);
  const keys = new BridgeKeys({ state_dir, config: bridge.config, log });
  const watched = new WatchedStore({ state_dir, keys, log, disk });
  const waits = { interval_ms: 30, first_wait_ms: 2, most_wait_ms: 4, first_retry_ms: 30, most_retry_ms: 60 };
  const tools = {
    config: bridge.config,
    keys,
    version: '1',
    spool,
    watched,
    post,
    log,
    now: Date.now,
    random: Math.random,
  };
  const reporter = new Reporter(tools, { ...waits, ...options });
  const controller = new AbortController();
  const running = reporter.run(controller.signal);
  stop = async () => {
    controller.abort();
    await running;
  };
  return spool;
}

const addBatch = (spool: Spool, mark: number) => {
  const device = { device_id: '00000000-0000-4000-8000-000000000000', status: 'online' as const, latency_ms: mark };
  return spool.add({ routers: [], devices: [device], counters: new Map() });
};
const markOf = (batch: MeasurementBatch | null) => batch?.devices[0]?.latency_ms ?? null;
const listStored = () => stored.map(markOf);

async function listFiles(): Promise<string[]> {
  const [id = ''] = await readdir(join(state_dir, 'spool'));
  return await readdir(join(state_dir, 'spool', id));
}

test('a cloud that refuses every report for minutes costs nothing', async () => {
  say = () => ({ status: 400 });
  const spool = await start(15, { most_refusals: 1 });
  await eventually(() => expect(reports.length).toBeGreaterThan(30));
  expect(spool.waiting).toBe(15);
  say = () => ({ status: 200 });
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(listStored()).toEqual(Array.from({ length: 15 }, (_, at) => at + 1));
});

test('one that refuses every batch and takes heartbeats, too: all come later, each once', async () => {
  say = ({ batch }) => ({ status: batch ? 400 : 200 });
  // none is set aside, however often it is tried until the cloud is mended
  const spool = await start(12, { most_refusals: 1_000 });
  await eventually(() => expect(reports.filter(({ batch }) => batch === null).length).toBeGreaterThan(12));
  say = () => ({ status: 200 });
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(listStored().sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(Array.from({ length: 12 }, (_, at) => at + 1));
});

test('a batch that is refused again and again is set aside, and kept', async () => {
  say = ({ batch }) => ({ status: (markOf(batch) ?? 0) > 2 ? 422 : 200 });
  const spool = await start(15, { most_refusals: 3, first_retry_ms: 5, most_retry_ms: 5 });
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(listStored()).toEqual([1, 2]);
  expect((await listFiles()).filter(name => name.endsWith('.refused'))).toHaveLength(13);
});

test.each([{ status: 500 }, { status: 413, is_unsigned: true }, { status: 200, is_left: true }])(
  'a batch that gets %o holds up neither the others nor the heartbeats',
  async answer => {
    say = ({ batch }) => (markOf(batch) === 1 ? answer : { status: 200 });
    const spool = await start(4);
    await eventually(() => expect(listStored()).toEqual([2, 3, 4]));
    const heartbeats = () => reports.filter(({ batch }) => batch === null).length;
    const before = heartbeats();
    await eventually(() => expect(heartbeats()).toBeGreaterThan(before + 2));
    // later ones go before it, and it has its turn when the cloud is mended
    await addBatch(spool, 5);
    await eventually(() => expect(listStored()).toEqual([2, 3, 4, 5]));
    await eventually(() => expect(spool.waiting).toBe(1));
    say = () => ({ status: 200 });
    await eventually(() => expect(listStored()).toEqual([2, 3, 4, 5, 1]));
    await eventually(() => expect(spool.waiting).toBe(0));
    expect(log_lines.join()).toContain('batch_put_off');
  },
);

test('a cloud that is away is no fault of the batch', async () => {
  say = () => ({ status: 503, is_unsigned: true });
  const spool = await start(2);
  await eventually(() => expect(reports.length).toBeGreaterThan(20));
  expect(log_lines.join()).not.toContain('batch_put_off');
  say = () => ({ status: 200 });
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(listStored()).toEqual([1, 2]);
});

test('one whose answer was lost is not sent under another number', async () => {
  let tries = 0;
  say = ({ batch }) => ({ status: markOf(batch) === 1 && tries++ < 3 ? 503 : 200 });
  const spool = await start(2);
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(stored.map(({ number }) => number)).toEqual([1, 2]);
});

test('a full disk and news from the cloud at once: the news hold, and the batches go', async () => {
  const watched = { tag: 't', routers: [], devices: [], sealed_passwords: 'x' };
  say = ({ watched_tag }) => ({ status: 200, watched: watched_tag === 't' ? null : watched });
  const write = () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
  const spool = await start(5, {}, { ...DISK, write });
  await eventually(() => expect(spool.waiting).toBe(0));
  expect(reports.at(-1)?.watched_tag).toBe('t');
  expect(log_lines.filter(line => line.includes('watched_not_kept'))).toHaveLength(1);
});

test('without a spool there are heartbeats all the same', async () => {
  await writeFile(join(state_dir, 'spool'), 'not a folder');
  await start(0);
  await eventually(() => expect(reports.length).toBeGreaterThan(3));
  expect(log_lines.filter(line => line.includes('spool_failed'))).toHaveLength(1);
  await rm(join(state_dir, 'spool'));
});
