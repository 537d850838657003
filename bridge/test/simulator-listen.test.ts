import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Simulator } from '../simulator/server.ts';
import { logIn, makeClock, namesOf, start, startAndLogIn } from './simulator-client.ts';
import type { RawClient, Reply, Values } from './simulator-client.ts';

const INTERRUPTED = { category: '2', message: 'interrupted' };
const kindsOf = (replies: Reply[]) => replies.map(({ kind }) => kind);
const settle = () => new Promise(resolve => setTimeout(resolve, 20));

async function openListener(client: RawClient, ...words: string[]): Promise<void> {
  client.send(...words);
  // Answered in order: once this is, the listening has begun.
  await client.run('/system/identity/print');
}

/** All that was sent until now has come there: this is answered at once, whatever waits. */
async function reachSimulator(client: RawClient): Promise<void> {
  client.send('/cancel', '=tag=nothing', '.tag=reached');
  await client.takeTagged('reached', 1);
}

describe('listen', () => {
  it('sends the whole record on every change, and .dead when it goes', async () => {
    const [client, simulator] = await startAndLogIn({ version: '7.18' });
    const other = await logIn(simulator);
    await openListener(client, '/ppp/secret/listen', '.tag=L');
    const id = await other.ret('/ppp/secret/add', '=name=budi', '=password=p');
    await other.ret('/ppp/secret/set', `=.id=${id}`, '=comment=RT 01');
    await other.ret('/ppp/secret/disable', `=.id=${id}`);
    await other.ret('/ppp/secret/remove', `=.id=${id}`);
    const events = await client.takeTagged('L', 4);
    expect(kindsOf(events)).toEqual(['!re', '!re', '!re', '!re']);
    expect(events[0]?.values).toMatchObject({ '.id': id, name: 'budi', profile: 'default', disabled: 'false' });
    expect(events[1]?.values).toMatchObject({ name: 'budi', comment: 'RT 01' });
    expect(events[2]?.values).toMatchObject({ name: 'budi', comment: 'RT 01', disabled: 'true' });
    expect(events[3]?.values).toEqual({ '.id': id, '.dead': 'true', '.tag': 'L' });
  });

  it('tells a connection of its own change after the answer to it', async () => {
    const [client] = await startAndLogIn();
    await openListener(client, '/ppp/secret/listen', '.tag=L');
    client.send('/ppp/secret/add', '=name=a', '.tag=A');
    while (client.replies.length < 2) await settle();
    expect(client.replies.map(({ kind, values }) => [kind, values['.tag']])).toEqual([
      ['!done', 'A'],
      ['!re', 'L'],
    ]);
  });

  it('said yes for .dead before version 6', async () => {
    const [client, simulator] = await startAndLogIn({ version: '5.26' });
    await openListener(client, '/ip/pool/listen', '.tag=L');
    simulator.router.load('/ip pool add name=p ranges=10.0.0.2');
    await client.ret('/ip/pool/remove', '=.id=*1');
    expect((await client.takeTagged('L', 2))[1]?.values).toEqual({ '.id': '*1', '.dead': 'yes', '.tag': 'L' });
  });

  it('keeps to its query and its proplist', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load('/ppp secret\nadd name=a\nadd name=b disabled=yes\n');
    await openListener(client, '/ppp/secret/listen', '?disabled=yes', '=.proplist=.id,name', '.tag=L');
    await client.ret('/ppp/secret/set', '=.id=*1', '=comment=x');
    await client.ret('/ppp/secret/disable', '=.id=*1');
    await client.ret('/ppp/secret/enable', '=.id=*2');
    await client.ret('/ppp/secret/enable', '=.id=*2');
    await client.ret('/ppp/secret/remove', '=.id=*2');
    await client.ret('/ppp/secret/remove', '=.id=*1');
    expect((await client.takeTagged('L', 3)).map(({ values }) => values)).toEqual([
      { '.id': '*1', name: 'a', '.tag': 'L' },
      { '.id': '*2', '.dead': 'true', '.tag': 'L' },
      { '.id': '*1', '.dead': 'true', '.tag': 'L' },
    ]);
    await settle();
    expect(client.replies).toEqual([]);
  });

  it('tells of sessions that come and go, with their dynamic rows, and of the secret', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load(
      '/ppp profile add name=p rate-limit=1M/2M address-list=aktif\n/ppp secret add name=a profile=p',
    );
    const menus = ['/ppp/active', '/interface', '/queue/simple', '/ip/firewall/address-list', '/log'];
    for (const menu of menus) await openListener(client, `${menu}/listen`, `.tag=${menu}`);
    simulator.router.dial('a', { address: '10.0.0.9' });
    for (const menu of menus) {
      const [event] = await client.takeTagged(menu, 1);
      expect(event?.kind).toBe('!re');
      expect(event?.values).not.toHaveProperty('.dead');
    }
    await openListener(client, '/ppp/secret/listen', '.tag=S');
    simulator.router.hangUp('a');
    for (const menu of menus.slice(0, -1)) expect((await client.takeTagged(menu, 1))[0]?.values['.dead']).toBe('true');
    expect((await client.takeTagged('S', 1))[0]?.values['last-disconnect-reason']).toBe('user-request');
  });

  it('tells of list entries that run out', async () => {
    const clock = makeClock();
    const [client] = await startAndLogIn({ now: clock.now });
    await openListener(client, '/ip/firewall/address-list/listen', '.tag=L');
    await client.ret('/ip/firewall/address-list/add', '=list=x', '=address=10.0.0.1', '=timeout=1m');
    clock.now_ms += 60_000;
    expect((await client.takeTagged('L', 2)).map(({ values }) => values['.dead'])).toEqual([undefined, 'true']);
  });

  it('is what print does with follow-only, and after its rows with follow', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load('/ppp secret add name=a');
    client.send('/ppp/secret/print', '=follow=', '=.proplist=name', '.tag=F');
    client.send('/ppp/secret/print', '=follow-only=', '=.proplist=name', '.tag=O');
    client.send('/ppp/secret/print', '=interval=10ms', '=count-only=', '.tag=C');
    client.send('/ppp/secret/print', '=interval=10ms', '=.proplist=name', '.tag=I');
    expect(await client.takeTagged('C', 1)).toMatchObject([{ kind: '!done', values: { ret: '1' } }]);
    await client.ret('/ppp/secret/add', '=name=b');
    expect(namesOf((await client.takeTagged('F', 2)).map(({ values }) => values))).toEqual(['a', 'b']);
    expect(namesOf((await client.takeTagged('O', 1)).map(({ values }) => values))).toEqual(['b']);
    const repeated = await client.takeTagged('I', 3);
    expect(repeated.map(({ values }) => [values.name, values['.section']])[0]).toEqual(['a', '0']);
    expect(new Set(repeated.map(({ values }) => values['.section'])).size).toBeGreaterThan(1);
    client.send('/ppp/secret/print', '=interval=10ms', '?name=nobody', '.tag=E');
    expect(kindsOf(await client.takeTagged('E', 2))).toEqual(['!empty', '!empty']);
  });

  it('refuses what it does not know', async () => {
    const [client] = await startAndLogIn();
    expect(await client.trap('/ppp/secret/listen', '=paint=')).toBe('unknown parameter paint');
    expect(await client.trap('/ppp/nothing/listen')).toBe('no such command prefix');
  });
});

describe('a mirror kept from listen', () => {
  const key = (row: Values) => row['.id'] ?? '';
  // Times and counters move without an event; the order of rows is not told.
  const VOLATILE = ['uptime', 'idle-time', 'timeout', '.tag'];
  const strip = (row: Values) => Object.fromEntries(Object.entries(row).filter(([name]) => !VOLATILE.includes(name)));
  const sortRows = (rows: Values[]) => rows.map(strip).sort((a, b) => key(a).localeCompare(key(b)));
  const MENUS = [
    '/ppp/secret',
    '/ppp/active',
    '/interface',
    '/queue/simple',
    '/ip/firewall/address-list',
    '/ip/pool/used',
  ];

  const user = fc.constantFrom('a', 'b', 'c');
  const action = fc.oneof(
    fc.record({ act: fc.constantFrom('dial', 'hang-up', 'add', 'remove', 'disable', 'enable'), name: user }),
    fc.record({ act: fc.constantFrom('rename', 'comment'), name: user, to: user }),
    fc.record({ act: fc.constantFrom('queue', 'unqueue', 'list', 'rename-profile'), name: user }),
    fc.record({ act: fc.constant('load'), name: user }),
  );

  async function act(client: RawClient, { router }: Simulator, step: { act: string; name: string; to?: string }) {
    const { name, to = '' } = step;
    const id = router.rows('/ppp/secret').find(row => row.name === name)?.['.id'] ?? '*99';
    if (step.act === 'dial') {
      try {
        router.dial(name);
      } catch {
        // not there, disabled, or already online
      }
    } else if (step.act === 'hang-up') router.hangUp(name);
    else if (step.act === 'add') await client.run('/ppp/secret/add', `=name=${name}`, '=profile=*1');
    else if (step.act === 'rename') await client.run('/ppp/secret/set', `=.id=${id}`, `=name=${to}`);
    else if (step.act === 'comment') await client.run('/ppp/secret/set', `=.id=${id}`, `=comment=${to}`);
    else if (step.act === 'queue') await client.run('/queue/simple/add', `=name=${name}`, '=target=10.0.0.1');
    else if (step.act === 'unqueue') await client.run('/queue/simple/remove', `=.id=${name}`);
    else if (step.act === 'list')
      await client.run('/ip/firewall/address-list/add', '=list=x', `=address=${name}`, '=timeout=1d');
    else if (step.act === 'rename-profile') await client.run('/ppp/profile/set', '=.id=*1', `=name=paket-${name}`);
    else if (step.act === 'load') router.load(`/ppp secret add name=${name} profile=default`);
    else await client.run(`/ppp/secret/${step.act}`, `=.id=${id}`);
  }

  it.each([[[]], [['?dynamic=true']], [['?name=a', '?name=b', '?#|']]])(
    'with %j equals what print shows, whatever happens',
    async queries => {
      const runSteps = async (steps: { act: string; name: string; to?: string }[]) => {
        const simulator = await start();
        const client = await logIn(simulator);
        const mirrors = new Map(MENUS.map(menu => [menu, new Map<string, Values>()]));
        simulator.router.load(
          '/ip pool add name=p ranges=10.9.0.2-10.9.0.9\n' +
            '/ppp profile add name=paket rate-limit=1M/2M remote-address=p address-list=aktif only-one=yes\n' +
            '/ppp secret add name=a profile=paket',
        );
        for (const menu of MENUS) {
          for (const row of await client.rows(`${menu}/print`, ...queries)) mirrors.get(menu)?.set(key(row), row);
          client.send(`${menu}/listen`, ...queries, `.tag=${menu}`);
        }
        const other = await logIn(simulator);
        for (const step of steps) await act(other, simulator, step);
        // Answered after all that was sent before it.
        client.send('/system/identity/print', '.tag=end');
        await client.takeTagged('end', 2);
        for (const { kind, values } of client.replies.splice(0)) {
          expect(kind).toBe('!re');
          const mirror = mirrors.get(values['.tag'] ?? '');
          if (values['.dead'] === undefined) mirror?.set(key(values), values);
          else expect(mirror?.delete(key(values))).toBe(true);
        }
        for (const menu of MENUS) {
          const shown = await other.rows(`${menu}/print`, ...queries);
          expect(sortRows([...(mirrors.get(menu)?.values() ?? [])])).toEqual(sortRows(shown));
        }
        client.socket.destroy();
        await simulator.stop();
      };
      await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 25 }), runSteps), { numRuns: 40 });
    },
  );
});

describe('cancel', () => {
  it.each([
    ['7.18', ['!trap L', '!done C', '!empty L', '!done L']],
    ['7.16', ['!trap L', '!done C', '!done L']],
  ])('interrupts the command of its tag, in %s with %j', async (version, replies) => {
    const [client] = await startAndLogIn({ version });
    await openListener(client, '/ppp/secret/listen', '.tag=L');
    await openListener(client, '/ppp/profile/listen', '.tag=M');
    client.send('/cancel', '=tag=L', '.tag=C');
    while (client.replies.length < replies.length) await settle();
    expect(client.replies[0]).toEqual({ kind: '!trap', bare: [], values: { ...INTERRUPTED, '.tag': 'L' } });
    expect(client.replies.splice(0).map(({ kind, values }) => `${kind} ${values['.tag']}`)).toEqual(replies);
    await client.ret('/ppp/secret/add', '=name=a');
    await client.ret('/ppp/profile/add', '=name=p');
    expect((await client.takeTagged('M', 1))[0]?.values.name).toBe('p');
    expect(client.replies).toEqual([]);
  });

  it('without a tag interrupts all of this connection and nothing of another', async () => {
    const [client, simulator] = await startAndLogIn();
    const other = await logIn(simulator);
    await openListener(other, '/ppp/secret/listen', '.tag=X');
    for (const tag of ['1', '2']) await openListener(client, '/ppp/secret/listen', `.tag=${tag}`);
    client.send('/interface/monitor-traffic', '=interface=ether1', '.tag=3');
    client.send('/cancel', '.tag=C');
    expect(kindsOf(await client.takeTagged('C', 1))).toEqual(['!done']);
    for (const tag of ['1', '2'])
      expect(kindsOf(await client.takeTagged(tag, 3))).toEqual(['!trap', '!empty', '!done']);
    expect(kindsOf(await client.takeTagged('3', 3))).toEqual(['!re', '!trap', '!done']);
    await client.ret('/ppp/secret/add', '=name=a');
    expect((await other.takeTagged('X', 1))[0]?.values.name).toBe('a');
    expect([client.replies, other.replies]).toEqual([[], []]);
  });

  it('of a tag that runs nothing is just done', async () => {
    const [client] = await startAndLogIn();
    expect(kindsOf(await client.run('/cancel', '=tag=nope'))).toEqual(['!done']);
    expect(kindsOf(await client.run('/cancel'))).toEqual(['!done']);
  });

  it('stops a command that still waits, which then never happens', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.setFaults({ delay_ms: 3_600_000 });
    client.send('/ppp/secret/add', '=name=a', '.tag=A');
    await reachSimulator(client);
    simulator.setFaults({ delay_ms: 50 });
    client.send('/ppp/secret/add', '=name=b', '.tag=B');
    client.send('/cancel', '=tag=A', '.tag=C');
    expect((await client.takeTagged('A', 2))[0]?.values).toEqual({ ...INTERRUPTED, '.tag': 'A' });
    expect(kindsOf(await client.takeTagged('B', 1))).toEqual(['!done']);
    expect(namesOf(simulator.router.rows('/ppp/secret'))).toEqual(['b']);
  });

  it('needs a login', async () => {
    const simulator = await start();
    const { open } = await import('./simulator-client.ts');
    expect(kindsOf(await open(simulator).run('/cancel'))).toEqual(['!fatal']);
  });
});

describe('the end of a connection', () => {
  it('releases all it had under way', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const [client, simulator] = await startAndLogIn();
    const watched: string[] = [];
    const original = simulator.router.watch.bind(simulator.router);
    simulator.router.watch = (path, watcher) => {
      watched.push(path);
      const unwatch = original(path, watcher);
      return () => {
        watched.splice(watched.indexOf(path), 1);
        unwatch();
      };
    };
    await openListener(client, '/ppp/secret/listen', '.tag=1');
    await openListener(client, '/ip/firewall/address-list/listen', '.tag=2');
    client.send('/interface/monitor-traffic', '=interface=ether1', '=interval=10ms', '.tag=3');
    await client.takeTagged('3', 1);
    vi.advanceTimersByTime(10);
    await client.takeTagged('3', 1);
    expect(watched).toHaveLength(2);
    const other = await logIn(simulator);
    simulator.setFaults({ delay_ms: 60 });
    client.send('/ppp/secret/add', '=name=late', '.tag=4');
    await reachSimulator(client);
    client.socket.destroy();
    while (simulator.readInfo().connections > 1) await new Promise(resolve => setImmediate(resolve));
    expect(watched).toEqual([]);
    let checks = 0;
    simulator.router.dropExpired = () => void checks++;
    vi.advanceTimersByTime(10_000);
    expect(checks).toBe(0);
    simulator.setFaults({ delay_ms: 0 });
    expect(await other.ret('/ppp/secret/print', '=count-only=')).toBe('0');
  });
});
