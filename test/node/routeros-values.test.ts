import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULTS,
  equalValues,
  formatRateLimit,
  normaliseAddress,
  parseBoolean,
  parseDuration,
  parseRate,
  parseRateLimit,
} from '../../src/lib/routeros/values.ts';
import { formatDuration } from '../../bridge/simulator/values.ts';

const RUNS = { numRuns: 300 };

describe('parseRate', () => {
  it.each([
    ['5M', 5_000_000],
    ['512k', 512_000],
    ['512K', 512_000],
    ['5000000', 5_000_000],
    ['1G', 1_000_000_000],
    ['1.5M', 1_500_000],
    ['0', 0],
    [' 2M ', 2_000_000],
    ['', null],
    ['M', null],
    ['-1M', null],
    ['5MB', null],
    ['5M/5M', null],
    ['unlimited', null],
  ])('%j is %j', (text, bps) => expect(parseRate(text)).toBe(bps));
});

describe('parseRateLimit', () => {
  it('reads every part', () => {
    expect(parseRateLimit('5M/20M 10M/40M 4M/16M 8/16 3 1M/2M')).toEqual({
      rx_bps: 5e6,
      tx_bps: 20e6,
      burst_rx_bps: 10e6,
      burst_tx_bps: 40e6,
      threshold_rx_bps: 4e6,
      threshold_tx_bps: 16e6,
      burst_time_rx_s: 8,
      burst_time_tx_s: 16,
      priority: 3,
      min_rx_bps: 1e6,
      min_tx_bps: 2e6,
    });
  });
  it('takes one figure for both directions and missing parts for 0', () => {
    expect(parseRateLimit('10M 20M')).toMatchObject({ rx_bps: 10e6, tx_bps: 10e6, burst_tx_bps: 20e6, priority: 8 });
    expect(parseRateLimit('10M 20M')).toMatchObject({ threshold_rx_bps: 0, burst_time_rx_s: 0, min_rx_bps: 0 });
  });
  it.each(['', 'x', '5M/', '/5M', '5M/5M/5M', '5M x', '5M 1M 1M 1 9', '5M 1M 1M 1 8 1M 1M'])('%j is none', text =>
    expect(parseRateLimit(text)).toBeNull(),
  );
});

describe('formatRateLimit', () => {
  const plan = { upload_kbps: 5000, download_kbps: 20_000 };
  const burst = { ...plan, burst_upload_kbps: 10_000, burst_download_kbps: 40_000 };
  const threshold = { burst_threshold_upload_kbps: 4000, burst_threshold_download_kbps: 16_000 };
  it.each([
    [plan, '5M/20M'],
    [{ upload_kbps: 512, download_kbps: 2000 }, '512k/2M'],
    [{ upload_kbps: 1_000_000, download_kbps: 1_500 }, '1G/1500k'],
    [{ ...burst, ...threshold, burst_time_seconds: 8, priority: 8 }, '5M/20M 10M/40M 4M/16M 8/8 8'],
    [{ ...burst, ...threshold, burst_time_seconds: 8 }, '5M/20M 10M/40M 4M/16M 8/8'],
    [burst, '5M/20M 10M/40M'],
    [{ ...burst, burst_time_seconds: 8 }, '5M/20M 10M/40M 5M/20M 8/8'],
    [{ ...plan, priority: 8 }, '5M/20M'],
    [{ ...plan, priority: 3 }, '5M/20M 0/0 0/0 0/0 3'],
    [{ ...plan, burst_upload_kbps: null, priority: null }, '5M/20M'],
    [{ upload_kbps: 0, download_kbps: 0, priority: 1 }, ''],
    [{ upload_kbps: 0, download_kbps: 20_000 }, '4G/20M'],
  ])('%j is %j', (speeds, text) => expect(formatRateLimit(speeds)).toBe(text));
  it('is read back as the same speeds', () => {
    const kbps = fc.integer({ min: 1, max: 4_000_000 });
    fc.assert(
      fc.property(kbps, kbps, fc.integer({ min: 1, max: 8 }), (upload_kbps, download_kbps, priority) => {
        const text = formatRateLimit({ upload_kbps, download_kbps, burst_upload_kbps: upload_kbps, priority });
        expect(parseRateLimit(text)).toMatchObject({
          rx_bps: upload_kbps * 1000,
          tx_bps: download_kbps * 1000,
          burst_rx_bps: upload_kbps * 1000,
          priority,
        });
      }),
      RUNS,
    );
  });
});

describe('durations', () => {
  it.each([
    ['1d2h3m4s', 93_784],
    ['1w', 604_800],
    ['1w2d', 777_600],
    ['00:30:00', 1800],
    ['1d00:00:05', 86_405],
    ['30', 30],
    ['30s', 30],
    ['5m', 300],
    ['100ms', 0.1],
    ['1s500ms', 1.5],
    ['none', 0],
    ['0s', 0],
    ['', null],
    ['x', null],
    ['4s3m', null],
    ['-5s', null],
  ])('%j is %j seconds', (text, seconds) => expect(parseDuration(text)).toBe(seconds));
  it('that the simulated router writes, as RouterOS does, are read back', () => {
    expect(formatDuration(93_784_000)).toBe('1d2h3m4s');
    expect(formatDuration(0)).toBe('0s');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 }), seconds => {
        expect(parseDuration(formatDuration(seconds * 1000))).toBe(seconds);
      }),
      RUNS,
    );
  });
});

describe('normaliseAddress', () => {
  it.each([
    ['10.0.0.1/32', '10.0.0.1'],
    [' 10.0.0.0/24', '10.0.0.0/24'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8::/64', '2001:db8::/64'],
    ['::/0', '::/0'],
    ['::1/128', '::1'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['FE80::1%ether1', 'fe80::1%ether1'],
    ['Pool-A', 'Pool-A'],
    ['10.0.0.300', '10.0.0.300'],
    ['10.0.0.1/33', '10.0.0.1/33'],
    ['1::2::3', '1::2::3'],
    ['', ''],
  ])('%j is %j', (text, normal) => expect(normaliseAddress(text)).toBe(normal));
  it('changes nothing when done twice', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), text => {
        const once = normaliseAddress(text);
        expect(normaliseAddress(once)).toBe(once);
      }),
      RUNS,
    );
  });
});

describe('parseBoolean', () => {
  it.each([
    ['yes', true],
    ['true', true],
    ['no', false],
    ['false', false],
    ['maybe', null],
  ])('%j is %j', (text, flag) => expect(parseBoolean(text)).toBe(flag));
});

describe('equalValues', () => {
  it.each<[string, string, string | undefined, string | undefined]>([
    ['/ppp/secret', 'disabled', 'false', undefined],
    ['/ppp/secret', 'disabled', 'true', 'yes'],
    ['/ppp/secret', 'profile', 'default', undefined],
    ['/ppp/secret', 'service', 'any', ''],
    ['/ppp/secret', 'limit-bytes-in', undefined, '0'],
    ['/ppp/secret', 'caller-id', 'aa:bb:cc:dd:ee:ff', 'AA:BB:CC:DD:EE:FF'],
    ['/ppp/secret', 'remote-address', '10.0.0.1', '10.0.0.1/32'],
    ['/ppp/profile', 'rate-limit', '5M/20M', '5000000/20000000'],
    ['/ppp/profile', 'rate-limit', '10M', '10M/10M 0/0 0/0 0/0 8'],
    ['/ppp/profile', 'rate-limit', '', undefined],
    ['/ppp/profile', 'rate-limit', '5M/20M 10M/40M 4M/16M 8', '5M/20M  10000k/40M 4M/16M 8s/8s'],
    ['/ppp/profile', 'dns-server', '8.8.8.8,1.1.1.1', '1.1.1.1, 8.8.8.8'],
    ['/ppp/profile', 'address-list', 'b,a', 'a,b'],
    ['/ppp/profile', 'session-timeout', '1d', '24:00:00'],
    ['/ppp/profile', 'session-timeout', '0s', undefined],
    ['/ppp/profile', 'only-one', undefined, 'default'],
    ['/ppp/profile', 'only-one', 'true', 'yes'],
    ['/ppp/profile', 'use-ipv6', 'yes', 'true'],
    ['/queue/simple', 'max-limit', '5M/20M', '5000000/20000000'],
    ['/queue/simple', 'max-limit', '0/0', undefined],
    ['/queue/simple', 'burst-time', '8/8', '8s/8s'],
    ['/queue/simple', 'priority', '8', undefined],
    ['/queue/simple', 'queue', 'default-small', undefined],
    ['/queue/simple', 'target', '10.0.0.1/32,10.0.0.0/24', '10.0.0.0/24,10.0.0.1'],
    ['/ip/pool', 'next-pool', 'none', undefined],
    ['/ip/pool', 'ranges', '10.0.0.0/24', '10.0.0.0-10.0.0.255'],
    ['/ip/pool', 'ranges', '10.0.0.5', '10.0.0.5-10.0.0.5'],
    ['/ip/hotspot/user', 'server', 'all', undefined],
    ['/ip/hotspot/user', 'limit-uptime', '1h', '3600'],
  ])('%s %s: %j equals %j', (menu, property, a, b) => {
    expect(equalValues(menu, property, a, b)).toBe(true);
    expect(equalValues(menu, property, b, a)).toBe(true);
  });
  it.each<[string, string, string | undefined, string | undefined]>([
    ['/ppp/secret', 'name', 'true', 'yes'],
    ['/ppp/secret', 'password', '8', '8/8'],
    ['/ppp/secret', 'comment', 'a,b', 'b,a'],
    ['/ppp/secret', 'disabled', 'yes', undefined],
    ['/ppp/secret', 'profile', '10M', undefined],
    ['/ppp/secret', 'profile', '10M', '10000000'],
    ['/ppp/profile', 'rate-limit', '5M/20M', '20M/5M'],
    ['/ppp/profile', 'rate-limit', '5M/20M', undefined],
    ['/ppp/profile', 'rate-limit', '5M/20M', '5M/20M 0/0 0/0 0/0 3'],
    ['/ppp/secret', 'remote-address', 'Pool', 'pool'],
    ['/ip/pool', 'ranges', '10.0.0.0/24', '10.0.0.0/23'],
  ])('%s %s: %j differs from %j', (menu, property, a, b) => {
    expect(equalValues(menu, property, a, b)).toBe(false);
  });
  it('holds of every value and itself, of every default and its absence, and both ways', () => {
    const menu = fc.constantFrom(...Object.keys(DEFAULTS));
    const property = fc.constantFrom(
      'rate-limit',
      'ranges',
      'disabled',
      'dns-server',
      'target',
      'timeout',
      'constructor',
    );
    fc.assert(
      fc.property(menu, property, fc.string(), fc.string(), (path, name, a, b) => {
        expect(equalValues(path, name, a, a)).toBe(true);
        expect(equalValues(path, name, a, b)).toBe(equalValues(path, name, b, a));
      }),
      RUNS,
    );
    for (const [path, defaults] of Object.entries(DEFAULTS))
      for (const [name, value] of Object.entries(defaults))
        expect(equalValues(path, name, value, undefined)).toBe(true);
  });
});
