import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Table } from '../simulator/table.ts';
import { callControl, logIn, makeClock, start, startAndLogIn } from './simulator-client.ts';
import type { RawClient, Values } from './simulator-client.ts';

const SETUP = `/ip pool add name=p ranges=10.9.0.2-10.9.0.99
/ppp profile add name=paket rate-limit="1M/2M 2M/4M 1M/2M 8/8" remote-address=p
/ppp profile add name=bebas remote-address=p
/ppp secret add name=budi profile=paket
/ppp secret add name=siti profile=bebas
`;

async function prepare() {
  const clock = makeClock();
  const [client, simulator] = await startAndLogIn({ now: clock.now, control_port: 0 });
  expect(simulator.router.load(SETUP).problems).toEqual([]);
  const post = async (path: string, body: unknown) => {
    const { status, text } = await callControl(simulator, 'POST', path, body);
    return { status, body: JSON.parse(text) as unknown };
  };
  return { clock, client, simulator, router: simulator.router, post };
}

const readInterface = async (client: RawClient, name: string) =>
  (await client.rows('/interface/print', '=stats=', `?name=${name}`))[0] ?? {};
const readQueue = async (client: RawClient, name: string) =>
  (await client.rows('/queue/simple/print', `?name=${name}`))[0] ?? {};
const bytesOf = (row: Values) => [row['rx-byte'], row['tx-byte']].map(Number);

describe('a session', () => {
  it('has a dynamic address, whose network is the customer’s, while it lasts', async () => {
    const { client, post } = await prepare();
    const read = () => client.rows('/ip/address/print', '?dynamic=true');
    expect(await read()).toEqual([]);
    await post('/dial', { name: 'siti' });
    const [row, ...more] = await read();
    expect(more).toEqual([]);
    expect(row).toMatchObject({ address: '10.112.112.1/32', network: '10.9.0.2', interface: '<pppoe-siti>' });
    await post('/hang-up', { name: 'siti' });
    expect(await read()).toEqual([]);
  });
});

describe('traffic', () => {
  it('moved at once shows in the interface and in the queue, upload first', async () => {
    const { client, post } = await prepare();
    expect((await post('/dial', { name: 'budi' })).status).toBe(200);
    const moved = await post('/traffic', { name: 'budi', upload_bytes: 1500, download_bytes: 20_000 });
    const shown = { upload_bytes: 1500, download_bytes: 20_000, upload_bps: 12_000, download_bps: 160_000 };
    expect(moved).toEqual({ status: 200, body: { sessions: [shown] } });
    const traffic = { 'rx-byte': '1500', 'tx-byte': '20000', 'rx-packet': '2', 'tx-packet': '20', type: 'pppoe-in' };
    expect(await readInterface(client, '<pppoe-budi>')).toMatchObject(traffic);
    expect(await readQueue(client, '<pppoe-budi>')).toMatchObject({ bytes: '1500/20000', packets: '2/20' });
  });

  it('of a steady rate follows the clock, and what a profile allows', async () => {
    const { client, post, clock } = await prepare();
    await post('/dial', { name: 'budi' });
    await post('/dial', { name: 'siti' });
    for (const name of ['budi', 'siti']) await post('/traffic', { name, upload_bps: 800_000, download_bps: 8_000_000 });
    clock.now_ms += 10_000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([1_000_000, 2_500_000]);
    expect(bytesOf(await readInterface(client, '<pppoe-siti>'))).toEqual([1_000_000, 10_000_000]);
    const queue = await readQueue(client, '<pppoe-budi>');
    expect(queue).toMatchObject({ rate: '800000/2000000', 'packet-rate': '100/250', bytes: '1000000/2500000' });
    await post('/traffic', { name: 'budi', download_bps: 0 });
    clock.now_ms += 1000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([1_100_000, 2_500_000]);
    clock.now_ms -= 60_000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([1_100_000, 2_500_000]);
    clock.now_ms += 1000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([1_200_000, 2_500_000]);
  });

  it('of a new session begins at 0', async () => {
    const { client, post, clock } = await prepare();
    await post('/dial', { name: 'budi' });
    await post('/traffic', { name: 'budi', upload_bytes: 5, download_bytes: 7, upload_bps: 8000 });
    clock.now_ms += 1000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([1005, 7]);
    expect((await post('/hang-up', { name: 'budi' })).body).toEqual({ ended: 1 });
    await post('/dial', { name: 'budi' });
    clock.now_ms += 1000;
    expect(bytesOf(await readInterface(client, '<pppoe-budi>'))).toEqual([0, 0]);
    expect((await readQueue(client, '<pppoe-budi>')).bytes).toBe('0/0');
  });

  it('is counted by a queue for its address, over sessions, from when the queue came', async () => {
    const { client, post, clock } = await prepare();
    await post('/dial', { name: 'siti', address: '10.7.0.5' });
    await post('/traffic', { name: 'siti', upload_bytes: 1, download_bytes: 2 });
    await client.ret('/queue/simple/add', '=name=s', '=target=10.7.0.5', '=max-limit=1M/4M');
    await client.ret('/queue/simple/add', '=name=all', '=target=10.7.0.0/24,10.9.0.0/24');
    await post('/traffic', { name: 'siti', upload_bytes: 10, download_bytes: 20, download_bps: 8_000_000 });
    expect(await readQueue(client, 's')).toMatchObject({ bytes: '10/20' });
    // Beside the profile, the queue made for the address holds it back too.
    clock.now_ms += 1000;
    expect(await readQueue(client, 's')).toMatchObject({ bytes: '10/500020', rate: '0/4000000' });
    await client.ret('/queue/simple/set', '=.id=s', '=max-limit=0/0');
    clock.now_ms += 1000;
    expect(await readQueue(client, 's')).toMatchObject({ bytes: '10/1500020', rate: '0/8000000' });
    await post('/hang-up', { name: 'siti' });
    await post('/dial', { name: 'siti', address: '10.7.0.5' });
    await post('/dial', { name: 'budi' });
    for (const name of ['siti', 'budi']) await post('/traffic', { name, upload_bytes: 90 });
    expect((await readQueue(client, 's')).bytes).toBe('100/1500020');
    expect((await readQueue(client, 'all')).bytes).toBe('190/1500020');
    await client.ret('/queue/simple/set', '=.id=s', '=target=10.7.0.6');
    expect((await readQueue(client, 's')).bytes).toBe('100/1500020');
  });

  it('is refused for who is not online, and in numbers that are none', async () => {
    const { post } = await prepare();
    expect(await post('/traffic', { name: 'budi', upload_bps: 1 })).toEqual({
      status: 409,
      body: { error: 'budi is not logged in' },
    });
    await post('/dial', { name: 'budi' });
    const wrong = [{}, { upload_bps: -1 }, { upload_bytes: 1.5 }, { download_bps: '1' }];
    for (const body of wrong) expect((await post('/traffic', { name: 'budi', ...body })).status).toBe(400);
    expect((await post('/traffic', { upload_bps: 1 })).status).toBe(400);
    expect((await post('/dial', { name: 'siti', address: 'nowhere' })).status).toBe(400);
  });

  it('adds up: what the sessions show is what was moved, and no count ever falls', async () => {
    const name = fc.constantFrom('budi', 'siti');
    const amount = fc.nat({ max: 1_000_000 });
    const step = fc.oneof(
      fc.record({ act: fc.constantFrom('dial', 'hang-up'), name, up: amount, down: amount }),
      fc.record({ act: fc.constant('move'), name, up: amount, down: amount }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
        const { router, stop } = await start();
        router.load(`${SETUP}/queue simple add name=all target=10.9.0.0/24`);
        const moved = { up: 0, down: 0 };
        let before = [0, 0];
        for (const { act, name: user, up, down } of steps) {
          const is_online = router.rows('/ppp/active').some(row => row.name === user);
          if (act === 'dial' && !is_online) router.dial(user);
          else if (act === 'hang-up') router.hangUp(user);
          else if (is_online) {
            router.useTraffic(user, { upload_bytes: up, download_bytes: down });
            moved.up += up;
            moved.down += down;
          }
          const counted = (router.rows('/queue/simple').find(row => row.name === 'all')?.bytes ?? '')
            .split('/')
            .map(Number);
          expect(counted.every((count, at) => count >= (before[at] ?? 0))).toBe(true);
          before = counted;
        }
        expect(before).toEqual(steps.length === 0 ? [0, 0] : [moved.up, moved.down]);
        await stop();
      }),
      { numRuns: 30 },
    );
  });

  it('of any steady rate counts what rate and time make, however often it is read', async () => {
    const reads = fc.array(fc.nat({ max: 5000 }), { minLength: 1, maxLength: 10 });
    const rate = fc.nat({ max: 3_000_000 });
    await fc.assert(
      fc.asyncProperty(reads, rate, rate, async (waits_ms, upload_bps, download_bps) => {
        const clock = makeClock();
        const { router, stop } = await start({ now: clock.now });
        router.load(SETUP);
        router.dial('budi');
        router.useTraffic('budi', { upload_bps, download_bps });
        for (const wait_ms of waits_ms) {
          clock.now_ms += wait_ms;
          router.useTraffic('budi', { upload_bps });
          router.rows('/interface');
        }
        const seconds = waits_ms.reduce((sum, wait_ms) => sum + wait_ms, 0) / 1000;
        const row = router.rows('/interface').find(({ name }) => name === '<pppoe-budi>') ?? {};
        const [up = -1, down = -1] = bytesOf(row);
        expect(Math.abs(up - (Math.min(upload_bps, 1e6) / 8) * seconds)).toBeLessThan(1.01);
        expect(Math.abs(down - (Math.min(download_bps, 2e6) / 8) * seconds)).toBeLessThan(1.01);
        await stop();
      }),
      { numRuns: 30 },
    );
  });
});

describe('monitor-traffic', () => {
  const FIELDS = [
    'name',
    ...['rx-packets-per-second', 'rx-bits-per-second', 'fp-rx-packets-per-second', 'fp-rx-bits-per-second'],
    ...['rx-drops-per-second', 'rx-errors-per-second'],
    ...['tx-packets-per-second', 'tx-bits-per-second', 'fp-tx-packets-per-second', 'fp-tx-bits-per-second'],
    ...['tx-drops-per-second', 'tx-queue-drops-per-second', 'tx-errors-per-second'],
  ];

  it.each(['=once=', '=once', '=once=yes'])('with %s gives one record', async once => {
    const { client, post } = await prepare();
    await post('/dial', { name: 'budi' });
    await post('/traffic', { name: 'budi', upload_bps: 500_000, download_bps: 9_000_000 });
    const records = await client.rows('/interface/monitor-traffic', '=interface=<pppoe-budi>', once);
    expect(records.map(record => Object.keys(record))).toEqual([FIELDS]);
    expect(records[0]).toMatchObject({
      name: '<pppoe-budi>',
      'rx-bits-per-second': '500000',
      'tx-bits-per-second': '2000000',
      'rx-packets-per-second': '63',
    });
  });

  it('takes several interfaces, ids, and all together', async () => {
    const { client, post } = await prepare();
    for (const name of ['budi', 'siti']) {
      await post('/dial', { name });
      await post('/traffic', { name, upload_bps: 100 });
    }
    const words = ['/interface/monitor-traffic', '=once='];
    const several = await client.rows(...words, '=interface=*1,<pppoe-siti>,aggregate');
    expect(several.map(({ name }) => name)).toEqual(['ether1', '<pppoe-siti>', undefined]);
    expect(several.map(row => row['rx-bits-per-second'])).toEqual(['0', '100', '200']);
    const [short] = await client.rows(...words, '=interface=ether1', '=.proplist=name,tx-bits-per-second');
    expect(short).toEqual({ name: 'ether1', 'tx-bits-per-second': '0' });
  });

  it('lasts as long as it is told', async () => {
    const [client] = await startAndLogIn();
    const words = ['/interface/monitor-traffic', '=interface=ether1'];
    const started = performance.now();
    const records = await client.rows(...words, '=interval=30ms', '=duration=90ms');
    expect(records.map(record => record['.section'])).toEqual(['0', '1', '2']);
    expect(performance.now() - started).toBeGreaterThan(85);
    const slow = performance.now();
    expect(await client.rows(...words, '=duration=1')).toHaveLength(1);
    expect(performance.now() - slow).toBeGreaterThan(950);
  });

  it('goes on without end until it is cancelled, while others are answered', async () => {
    const { client, post } = await prepare();
    await post('/dial', { name: 'budi' });
    client.send('/interface/monitor-traffic', '=interface=<pppoe-budi>', '=interval=15ms', '.tag=M');
    expect((await client.takeTagged('M', 3)).at(-1)?.values['rx-bits-per-second']).toBe('0');
    await post('/traffic', { name: 'budi', upload_bps: 40_000 });
    // some may have been on their way
    let shown: string | undefined;
    while (shown !== '40000') shown = (await client.takeTagged('M', 1))[0]?.values['rx-bits-per-second'];
    expect(await client.rows('/system/identity/print')).toHaveLength(1);
    client.send('/cancel', '=tag=M');
    expect((await client.take()).map(({ kind }) => kind)).toEqual(['!done']);
    const left = await client.take('M');
    expect(left.slice(-2).map(({ kind }) => kind)).toEqual(['!trap', '!done']);
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(client.replies).toEqual([]);
  });

  it('ends when its interface goes', async () => {
    const { client, post } = await prepare();
    await post('/dial', { name: 'budi' });
    client.send('/interface/monitor-traffic', '=interface=<pppoe-budi>', '=interval=10ms', '.tag=M');
    await post('/hang-up', { name: 'budi' });
    expect((await client.take('M')).slice(-2)).toMatchObject([
      { kind: '!trap', values: { message: 'no such item' } },
      { kind: '!done' },
    ]);
  });

  it.each([
    [['=interface=nope', '=once='], 'input does not match any value of interface'],
    [['=interface=', '=once='], 'input does not match any value of interface'],
    [['=once='], 'missing =interface='],
    [['=interface=ether1', '=duration=x'], 'invalid value for argument duration'],
    [['=interface=ether1', '=interval=0'], 'invalid value for argument interval'],
    [['=interface=ether1', '=paint=x'], 'unknown parameter paint'],
  ])('answers %j with "%s"', async (words, message) => {
    const [client] = await startAndLogIn();
    expect(await client.trap('/interface/monitor-traffic', ...words)).toBe(message);
    expect(await client.trap('/queue/simple/monitor-traffic')).toBe('no such command');
  });
});

describe('print of 10,000 rows', () => {
  it('goes through the rows once, also with sessions, queues and traffic', async () => {
    const simulator = await start();
    const { router } = simulator;
    const secrets = Array.from({ length: 3000 }, (_, index) => `add name=u${index} profile=x`);
    const queues = Array.from(
      { length: 7000 },
      (_, index) => `add name=q${index} target=10.3.${index >> 8}.${index & 255}`,
    );
    router.load(
      `/ppp profile add name=x rate-limit=1M/1M\n/ppp secret\n${secrets.join('\n')}\n/queue simple\n${queues.join('\n')}`,
    );
    for (let index = 0; index < 3000; index++)
      router.dial(`u${index}`, { address: `10.3.${index >> 8}.${index & 255}` });
    const client = await logIn(simulator);
    const scan = vi.spyOn(Table.prototype, 'all');
    onTestFinished(() => scan.mockRestore());
    expect(await client.rows('/queue/simple/print')).toHaveLength(10_000);
    expect(await client.rows('/queue/simple/print', '=.proplist=name,bytes', '?bytes=0/0')).toHaveLength(10_000);
    expect(await client.rows('/interface/print', '?type=pppoe-in')).toHaveLength(3000);
    expect(scan).toHaveBeenCalledTimes(3);
  });
});
