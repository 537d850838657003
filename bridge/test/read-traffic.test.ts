import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startSimulator } from '../simulator/server.ts';
import { passwordOf, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { closeRouters, type Handler, startRouter } from './canned-router.ts';

/** The rates and counters of a subscriber's sessions, and of nobody else's. */

const ROUTER = `/ip pool add name=rumah ranges=10.10.0.10-10.10.0.250
/ppp profile add name=paket-10m local-address=10.10.0.1 remote-address=rumah rate-limit=5M/10M
/ppp secret add name=budi password=${passwordOf('budi')} profile=paket-10m service=pppoe
`;

let bridge: TestBridge;

beforeEach(async () => {
  bridge = await TestBridge.make();
  await bridge.start();
});

afterEach(async () => {
  await bridge.end();
  await closeRouters();
  expect(bridge.listToldSecrets()).toEqual([]);
});

describe('traffic', () => {
  interface Live {
    active: Record<string, string>[];
    addresses: Record<string, string>[];
    interfaces: Record<string, string>[];
    /** The interfaces vanish after they were listed. */
    is_going?: boolean;
  }
  const BOTH: Live = {
    active: [
      { '.id': '*80000001', name: 'budi', service: 'pppoe', 'session-id': '0x81', address: '10.10.0.5', uptime: '2h' },
      { '.id': '*80000009', name: 'budi', service: 'pppoe', 'session-id': '0x89', address: '10.10.0.6', uptime: '5m' },
    ],
    addresses: [],
    interfaces: [
      { '.id': '*F1', name: '<pppoe-budi>', type: 'pppoe-in', dynamic: 'true', 'rx-byte': '100', 'tx-byte': '900' },
      { '.id': '*F9', name: '<pppoe-budi-1>', type: 'pppoe-in', dynamic: 'true', 'rx-byte': '7', 'tx-byte': '8' },
    ],
  };

  /** Rows that match any of the `?p=v` words; enough of a router for what is asked here. */
  const answerRows = (rows: readonly Record<string, string>[], words: readonly string[]) => {
    const pairs = words.flatMap(word => /^\?([^=#]+)=(.*)$/.exec(word) ?? []);
    const wanted = Array.from(
      { length: pairs.length / 3 },
      (_, at) => [pairs[at * 3 + 1]!, pairs[at * 3 + 2]!] as const,
    );
    return rows.filter(row => wanted.length === 0 || wanted.some(([property, value]) => row[property] === value));
  };

  const readLive = async (live: Live, name = 'budi') => {
    const handle: Handler = (words, peer) => {
      const menus = {
        '/ppp/active/print': live.active,
        '/ip/address/print': live.addresses,
        '/interface/print': live.interfaces,
      };
      if (words[0] === '/interface/monitor-traffic') {
        const own = live.interfaces.find(row => words.includes(`=interface=${row['.id']}`));
        if (own && !live.is_going)
          peer.reply('!re', `=name=${own.name}`, `=rx-bits-per-second=${own['rx-byte']}1`, '=tx-bits-per-second=2');
        else peer.reply('!trap', '=message=input does not match any value of interface');
      } else {
        for (const row of answerRows(menus[words[0] as keyof typeof menus] ?? [], words)) {
          peer.reply('!re', ...Object.entries(row).map(([property, value]) => `=${property}=${value}`));
        }
      }
      peer.reply('!done');
    };
    const canned = await startRouter(handle);
    const rows = await bridge.readRows('traffic', { name, router: { id: randomUUID(), port: canned.options.port } });
    expect(canned.received.some(words => words[0]!.includes('monitor') && !words.includes('=once='))).toBe(false);
    return rows;
  };
  const summary = (rows: Record<string, string>[]) =>
    rows.map(row => [row['session-id'], row.interface, row['rx-bits-per-second']]);

  test('a row for each session, with its own rates and counters', async () => {
    const rows = await readLive(BOTH);
    expect(rows[0]).toEqual({
      name: 'budi',
      'session-id': '0x81',
      address: '10.10.0.5',
      uptime: '2h',
      interface: '<pppoe-budi>',
      'rx-bits-per-second': '1001',
      'tx-bits-per-second': '2',
      'rx-byte': '100',
      'tx-byte': '900',
    });
    expect(rows[1]).toMatchObject({ 'session-id': '0x89', interface: '<pppoe-budi-1>', 'rx-bits-per-second': '71' });
  });

  test('the address of a session names its interface surely', async () => {
    const addresses = [
      { network: '10.10.0.5', interface: '<pppoe-budi-1>', dynamic: 'true' },
      { network: '10.10.0.6', interface: '<pppoe-budi>', dynamic: 'true' },
      { network: '10.10.0.6', interface: 'ether1', dynamic: 'false' },
    ];
    expect(summary(await readLive({ ...BOTH, addresses }))).toEqual([
      ['0x81', '<pppoe-budi-1>', '71'],
      ['0x89', '<pppoe-budi>', '1001'],
    ]);
  });

  test('nobody gets the rates of another', async () => {
    const other = { '.id': '*80000004', name: 'budi-1', service: 'pppoe', 'session-id': '0x84', address: '10.10.0.9' };
    const [first, second] = [BOTH.active[0]!, BOTH.active[1]!];
    // <pppoe-budi-1> is the session of budi-1
    const taken = { ...BOTH, active: [first, other] };
    expect(summary(await readLive(taken))).toEqual([['0x81', '<pppoe-budi>', '1001']]);
    expect(summary(await readLive(taken, 'budi-1'))).toEqual([['0x84', '<pppoe-budi-1>', '71']]);
    // three sessions and two interfaces: whose is whose?
    const unclear = await readLive({ ...BOTH, active: [first, second, other] });
    expect(summary(unclear)).toEqual([
      ['0x81', undefined, undefined],
      ['0x89', undefined, undefined],
    ]);
    for (const name of ['<pppoe-budiman>', '<pppoe-budi-x>', '<l2tp-budi>', 'budi', '<pppoe-budi>-1>']) {
      const interfaces = [{ ...BOTH.interfaces[0]!, name }];
      expect(summary(await readLive({ ...BOTH, active: [first], interfaces }))).toEqual([
        ['0x81', undefined, undefined],
      ]);
    }
    // one that is just going, or just coming
    expect(summary(await readLive({ ...BOTH, active: [first] }))).toEqual([['0x81', undefined, undefined]]);
    const ether = { '.id': '*1', name: 'ether1', type: 'ether', dynamic: 'false', 'rx-byte': '5' };
    const addresses = [{ network: '10.10.0.5', interface: 'ether1', dynamic: 'false' }];
    const interfaces = [ether, BOTH.interfaces[0]!];
    const of_ether = await readLive({ active: [first], addresses, interfaces });
    expect(summary(of_ether)).toEqual([['0x81', '<pppoe-budi>', '1001']]);
    const by_hand = BOTH.interfaces.map(row => ({ ...row, dynamic: 'false' }));
    expect(summary(await readLive({ ...BOTH, interfaces: by_hand }))).toEqual(summary(unclear));
  });

  test('an interface that has just gone leaves its session without rates; no session, no rows', async () => {
    const rows = await readLive({
      ...BOTH,
      active: [BOTH.active[0]!],
      interfaces: [BOTH.interfaces[0]!],
      is_going: true,
    });
    expect(rows).toMatchObject([{ 'session-id': '0x81', interface: '<pppoe-budi>' }]);
    expect(rows[0]).not.toHaveProperty('rx-bits-per-second');
    expect(await readLive({ active: [], addresses: [], interfaces: [] })).toEqual([]);
  });
});

describe('traffic of the simulated router', () => {
  test.each(['6.48', '7.18'])('%s: the rates and counters of each session, and of nobody else', async version => {
    const other = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD, version });
    onTestFinished(() => other.stop());
    other.router.load(`${ROUTER}\n/ppp secret add name=budi-1 password=x profile=default`);
    ['budi', 'budi-1'].forEach(name => other.router.dial(name));
    other.router.useTraffic('budi', { upload_bytes: 1000, download_bytes: 9000, upload_bps: 8000 });
    other.router.useTraffic('budi-1', { upload_bytes: 5, download_bytes: 7 });
    const router = { id: randomUUID(), port: other.port };
    const [budi, ...more] = await bridge.readRows('traffic', { name: 'budi', router });
    expect(more).toEqual([]);
    expect(budi).toMatchObject({ name: 'budi', interface: '<pppoe-budi>', 'tx-byte': '9000' });
    expect(Number(budi?.['rx-bits-per-second'])).toBeGreaterThanOrEqual(8000);
    expect(Number(budi?.['rx-byte'])).toBeGreaterThanOrEqual(1000);
    const [second] = await bridge.readRows('traffic', { name: 'budi-1', router });
    expect(second).toMatchObject({ interface: '<pppoe-budi-1>', 'rx-byte': '5', 'tx-byte': '7' });
    other.router.hangUp('budi');
    expect(await bridge.readRows('traffic', { name: 'budi', router })).toEqual([]);
  });
});
