import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LiveEventName } from '../../client/index.ts';
import { jobsToShow } from '../../web/live/jobs.ts';
import { Figure } from '../../web/live/figure.ts';
import { dayOf, makeFormat } from '../../web/live/format.ts';
import { isolate, splitIsolated } from '../../web/live/isolate.ts';
import { slugOfHost } from '../../web/live/provider.ts';
import { tell, type LoggedMessage } from '../../web/live/sentences.ts';

/** What of the dashboard needs no browser. */

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

describe('a figure', () => {
  let truth = 0;
  let reads: number[];
  let shown: number[];
  let most_at_once: number;
  let fails: boolean;

  /** A read takes 300 ms, and tells what was so when it began. */
  function makeFigure(): Figure<number> {
    let at_once = 0;
    return new Figure({
      read: async () => {
        reads.push(Math.round(performance.now()));
        most_at_once = Math.max(most_at_once, ++at_once);
        const value = truth;
        await sleep(300);
        at_once--;
        if (fails) throw new Error('away');
        return value;
      },
      show: value => void shown.push(value),
      onFailure: () => true,
      backoff: { first_ms: 2000, most_ms: 8000 },
    });
  }

  beforeEach(() => {
    vi.useFakeTimers();
    vi.setSystemTime(0);
    [truth, reads, shown, most_at_once, fails] = [0, [], [], 0, false];
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it('is read at once, then ever more rarely while it goes on changing, never twice side by side; the last read is of the end', async () => {
    const figure = makeFigure();
    const began = performance.now();
    for (truth = 1; truth < 40; truth++) {
      figure.touch();
      await vi.advanceTimersByTimeAsync(100);
    }
    figure.touch();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(reads.map(at => at - Math.round(began))).toEqual([0, 1000, 3000, 7000]);
    expect(most_at_once).toBe(1);
    expect(shown.at(-1)).toBe(40);
    // after a rest as at first
    await vi.advanceTimersByTimeAsync(20_000);
    reads = [];
    for (let times = 0; times < 12; times++) {
      figure.touch();
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(reads).toHaveLength(2);
  });

  it('of a storm of ten minutes is read a few times a minute', async () => {
    const figure = makeFigure();
    for (let seconds = 0; seconds < 600; seconds++) {
      figure.touch();
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(reads.length).toBeLessThan(56);
    expect(reads.length).toBeGreaterThan(45);
  });

  it('that was refused for now waits as long as it was told', async () => {
    let tries = 0;
    const figure = new Figure({
      read: async () => {
        tries++;
        throw Object.assign(new Error('too many'), { retry_after_ms: 40_000 });
      },
      show: () => {},
      onFailure: () => true,
    });
    figure.touch();
    await vi.advanceTimersByTimeAsync(39_000);
    expect(tries).toBe(1);
    await vi.advanceTimersByTimeAsync(1500);
    expect(tries).toBe(2);
    figure.stop();
  });

  it('that changed while it was read is read again', async () => {
    const figure = makeFigure();
    figure.touch();
    await vi.advanceTimersByTimeAsync(100);
    truth = 7;
    figure.touch();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(shown).toEqual([0, 7]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads).toHaveLength(2);
  });

  it('that can’t be read is tried again, later and later; at once when the network is back', async () => {
    // how long it waits is drawn: otherwise a read may be under way when the network is back, and another follows
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const figure = makeFigure();
    fails = true;
    figure.touch();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads.length).toBeGreaterThan(5);
    expect(reads.length).toBeLessThan(20);
    const tries = reads.length;
    fails = false;
    figure.readAnew();
    await vi.advanceTimersByTimeAsync(400);
    expect(reads).toHaveLength(tries + 1);
    expect(shown).toEqual([0]);
  });

  it('that is stopped is silent', async () => {
    const figure = makeFigure();
    figure.touch();
    figure.touch();
    figure.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(shown).toEqual([]);
    expect(reads).toHaveLength(1);
  });
});

describe('slugOfHost', () => {
  it.each([
    ['melati.localhost', 'melati'],
    ['melati.rukun.example', 'melati'],
    ['rukun.example', null],
    ['localhost', null],
    ['127.0.0.1', null],
    ['[::1]', null],
    ['www.rukun.example', null],
    ['rukun.ayu.workers.dev', null],
    ['a.b.rukun.example', null],
  ])('%s → %s', (host, slug) => expect(slugOfHost(host)).toBe(slug));
});

describe('figures and times', () => {
  const jayapura = { currency: 'IDR', timezone: 'Asia/Jayapura' };
  const id = makeFormat('id', jayapura);
  const en = makeFormat('en', jayapura);

  it('are written as people write them', () => {
    expect([id.money(1_500_000), en.money(1_500_000)]).toEqual(['Rp1.500.000', 'Rp1,500,000']);
    expect(makeFormat('en', { ...jayapura, currency: 'USD' }).money(1999)).toBe('US$19.99');
    expect([id.speed(84_300_000), id.speed(1_250_000_000), en.speed(999)]).toEqual([
      '84,3\u00a0Mbps',
      '1,25\u00a0Gbps',
      '999\u00a0bps',
    ]);
  });

  it('are of the provider’s zone', () => {
    const now = Date.parse('2026-11-20T16:30:00Z');
    expect(dayOf(now, 'Asia/Jayapura')).toBe('2026-11-21');
    expect(en.time('2001-11-20T16:30:05Z')).toBe('21 Nov 01:30:05');
    expect(id.time('2001-11-20T16:30:05Z')).toBe('21 Nov 01.30.05');
  });
});

describe('a sentence', () => {
  const known = {
    router: (id: string) => (id === 'r1' ? 'Gerbang' : null),
    money: (amount: number) => `Rp${amount}`,
  };
  const say = (event: LiveEventName, data: object, language: 'id' | 'en' = 'id') =>
    tell({ event, data: { id: 'x', ...data }, timestamp: '', seq: 1 } as LoggedMessage, language, known).text;

  it.each<[LiveEventName, object, string, string]>([
    ['customer:created', { full_name: 'Eko' }, 'Pelanggan baru: Eko', 'New customer: Eko'],
    [
      'customer:status',
      { customer_name: 'Citra Rahayu', status: 'active', previous: { status: 'suspended' } },
      'Citra Rahayu aktif kembali',
      'Citra Rahayu is active again',
    ],
    ['customer:status', { status: 'suspended' }, 'seorang pelanggan diisolir', 'a customer was put on isolir'],
    [
      'payment:updated',
      { customer_name: 'Citra Rahayu', status: 'paid' },
      'Tagihan Citra Rahayu lunas',
      'Bill of Citra Rahayu is paid',
    ],
    [
      'receipt:created',
      { customer_name: 'Citra Rahayu', amount: 5 },
      'Uang masuk Rp5 dari Citra Rahayu',
      'Money in Rp5 from Citra Rahayu',
    ],
    ['router:status', { name: 'Gerbang', status: 'offline' }, 'Router Gerbang terputus', 'Router Gerbang is offline'],
    [
      'router:status',
      { name: 'Gerbang', status: 'unknown', happened: 'created' },
      'Router Gerbang ditambahkan',
      'Router Gerbang was added',
    ],
    [
      'bridge:status',
      { name: 'Kantor', status: null, happened: 'deleted' },
      'Bridge Kantor dihapus',
      'Bridge Kantor was removed',
    ],
    [
      'provisioning:status',
      { customer_id: 'c1', customer_name: 'Citra Rahayu', router_name: 'Gerbang', status: 'in_sync' },
      'Router Gerbang sudah sesuai untuk Citra Rahayu',
      'Router Gerbang is up to date for Citra Rahayu',
    ],
    [
      'alert:opened',
      { type: 'router_offline', entity_type: 'router', entity_id: 'r1' },
      'Peringatan: router terputus (Gerbang)',
      'Alert: a router is offline (Gerbang)',
    ],
    [
      'alert:resolved',
      { type: 'drift' },
      'Teratasi: isi router diubah orang',
      'Solved: somebody changed what a router holds',
    ],
    [
      'payment:updated',
      { amount: 3, happened: 'updated', previous: { amount: 5 } },
      'Sisa tagihan seorang pelanggan: Rp3',
      'Left of the bill of a customer: Rp3',
    ],
    [
      'provisioning:status',
      { key: 'pool-isolir', status: null },
      'Router: isi untuk pool-isolir sudah dicabut',
      'Router: the entry of pool-isolir is gone',
    ],
  ])('%s %o', (event, data, id, en) => {
    expect(splitIsolated(say(event, data)).join('')).toBe(id);
    expect(splitIsolated(say(event, data, 'en')).join('')).toBe(en);
  });

  it.each<[LiveEventName, object]>([
    ['customer:created', { full_name: 'NAME' }],
    ['payment:created', { customer_name: 'NAME', amount: 333_331 }],
    ['device:status', { device_name: 'NAME', status: 'online' }],
    ['provisioning:status', { key: 'NAME', status: 'failed' }],
    ['alert:opened', { type: 'another', message: 'NAME' }],
  ])('of %s keeps the direction of a name to the name', (event, data) => {
    for (const language of ['id', 'en'] as const) {
      const turned = JSON.parse(JSON.stringify(data).replace('NAME', '\u2069\u202emoc.live')) as object;
      expect(splitIsolated(say(event, turned, language))[1]).toBe('\u202emoc.live');
      expect(say(event, data, language)).toContain(isolate('NAME'));
    }
  });

  it('is found for whatever a server of another age may say', () => {
    const events: LiveEventName[] = ['customer:status', 'payment:updated', 'router:status', 'provisioning:status', 'alert:opened', 'ticket:updated']; // prettier-ignore
    const word = fc.oneof(fc.string(), fc.constantFrom('constructor', '__proto__', 'toString', null, undefined));
    const data = fc.record({
      amount: fc.option(fc.integer(), { nil: undefined }),
      status: word,
      happened: word,
      type: word,
      previous: fc.option(fc.record({ status: word }), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.constantFrom(...events, 'olt:exploded' as LiveEventName), data, (event, fields) => {
        expect(typeof say(event, fields)).toBe('string');
      }),
      { numRuns: 500 },
    );
  });
});

it('shows jobs that run, and the last that ended for a while', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');
  const job = (id: string, status: string, minutes_ago: number) =>
    ({ id, status, finished_at: new Date(now - minutes_ago * 60_000).toISOString() }) as never;
  const jobs = [1, 2, 3, 4].map(at => job(`ended ${at}`, 'completed', at));
  const shown = jobsToShow([...jobs, job('old', 'failed', 20), job('running', 'running', 500)], now);
  expect(shown.map(({ id }) => id)).toEqual(['running', 'ended 1', 'ended 2', 'ended 3']);
});
