import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeSentence } from '../routeros/codec.ts';
import { simulate } from '../simulator/command.ts';
import { MENUS } from '../simulator/menus.ts';
import { callControl, logIn, namesOf, open, start, startAndLogIn } from './simulator-client.ts';

describe('faults', () => {
  it('answer one byte at a time', async () => {
    const [client, simulator] = await startAndLogIn();
    await client.ret('/ppp/secret/add', '=name=a', `=comment=${'é'.repeat(500)}`);
    simulator.setFaults({ chunk_bytes: 1 });
    expect((await client.rows('/ppp/secret/print'))[0]?.comment).toBe('é'.repeat(500));
  });

  it('take commands one byte at a time', async () => {
    const [client] = await startAndLogIn();
    for (const byte of encodeSentence(['/ppp/secret/add', '=name=a'])) {
      client.socket.write(Uint8Array.of(byte));
      await new Promise(resolve => setImmediate(resolve));
    }
    expect((await client.take())[0]?.values.ret).toBe('*1');
  });

  it('close after a write, once, with the write done', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.setFaults({ close_after_write: true });
    await expect(client.run('/ppp/secret/add', '=name=a')).rejects.toThrow('connection closed');
    const next = await logIn(simulator);
    expect(await next.ret('/ppp/secret/print', '=count-only=')).toBe('1');
    expect(await next.ret('/ppp/secret/add', '=name=b')).toBe('*2');
    simulator.setFaults({ close_after_write: 2 });
    await expect(next.run('/ppp/secret/remove', '=.id=*1')).rejects.toThrow('connection closed');
    const third = await logIn(simulator);
    await expect(third.run('/ppp/secret/set', '=.id=*2', '=name=c')).rejects.toThrow('connection closed');
    expect(namesOf(simulator.router.rows('/ppp/secret'))).toEqual(['c']);
  });

  it('delay, stay silent, refuse and drop', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.setFaults({ delay_ms: 60 });
    const started = performance.now();
    await client.run('/ppp/secret/print');
    expect(performance.now() - started).toBeGreaterThan(50);
    simulator.setFaults({ delay_ms: 0, silent_after_accept: true });
    const silent = open(simulator);
    silent.send('/login', '=name=admin', '=password=rahasia');
    await new Promise(resolve => setTimeout(resolve, 80));
    expect([silent.is_closed, silent.replies.length]).toEqual([false, 0]);
    simulator.setFaults({ silent_after_accept: false, refuse: true });
    await open(simulator).waitForClose();
    simulator.setFaults({ refuse: false });
    simulator.dropConnections();
    await client.waitForClose();
    await silent.waitForClose();
    await logIn(simulator);
  });

  it('hold no more connections than max_sessions', async () => {
    const [, simulator] = await startAndLogIn({ faults: { max_sessions: 1 } });
    await open(simulator).waitForClose();
    simulator.setFaults({ max_sessions: 2 });
    await logIn(simulator);
  });

  it('of a peer that speaks no RouterOS end its connection only', async () => {
    const [client, simulator] = await startAndLogIn();
    const stranger = open(simulator);
    stranger.socket.write(Uint8Array.of(0xff, 0xfe));
    await stranger.waitForClose();
    expect(await client.rows('/ppp/profile/print')).toHaveLength(2);
  });
});

describe('any commands', () => {
  const verbs = [
    'add',
    'set',
    'unset',
    'remove',
    'enable',
    'disable',
    'move',
    'print',
    'getall',
    'find',
    'get',
    'listen',
    'monitor-traffic',
    'export',
    'nothing',
    '',
  ];
  const command = fc.tuple(fc.constantFrom(...MENUS.keys(), '', '/ppp', '/x'), fc.constantFrom(...verbs));
  const key = fc.constantFrom('.id', 'name', 'numbers', 'value-name', 'profile', 'address', 'list', 'ranges', 'target');
  const other_key = fc.constantFrom(
    'interface',
    'interval',
    'disabled',
    'comment',
    'timeout',
    '.proplist',
    'destination',
    'place-before',
    'x',
  );
  const value = fc.oneof(
    fc.constantFrom('a', 'b', '*1', '*0', '*0,*1', 'yes', '10.0.0.1', '10.0.0.1-10.0.0.9', ''),
    fc.string(),
  );
  const attribute = fc.tuple(fc.oneof(key, other_key), value).map(([name, text]) => `=${name}=${text}`);
  const operations = fc.string({ unit: fc.constantFrom('!', '&', '|', '.', '0', '1', '9', 'x') });
  const query = fc.oneof(
    operations.map(text => `?#${text}`),
    fc.tuple(fc.constantFrom('?', '?=', '?<', '?>', '?-'), attribute).map(([sign, word]) => sign + word.slice(1)),
  );

  it('are answered with one end each, leave the defaults standing and can be exported and loaded', async () => {
    const failures: string[] = [];
    const [client, simulator] = await startAndLogIn({ report: message => failures.push(message) });
    const sentence = fc.tuple(command, fc.array(attribute, { maxLength: 5 }), fc.array(query, { maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(sentence, async ([[menu, verb], attributes, queries]) => {
        client.send(`${menu}/${verb}`, ...attributes, ...queries, '.tag=1');
        // Ends what goes on without end; anything else is done by then.
        client.send('/cancel', '.tag=2');
        expect((await client.take('2')).map(({ kind }) => kind)).toEqual(['!done']);
        expect((await client.take('1')).at(-1)?.kind).toBe('!done');
        expect(client.replies).toEqual([]);
      }),
      { numRuns: 3_000 },
    );
    expect(failures).toEqual([]);
    expect(namesOf(simulator.router.rows('/ppp/profile')).slice(0, 2)).toEqual(['default', 'default-encryption']);
    const text = simulator.router.export({ show_sensitive: true });
    const copy = await start();
    const lines = text.split('\n');
    expect(copy.router.load(text).problems.map(problem => ({ ...problem, text: lines[problem.line - 1] }))).toEqual([]);
    expect(copy.router.export({ show_sensitive: true }).replace(/^#.*\n/, '')).toBe(text.replace(/^#.*\n/, ''));
  });
});

describe('the control port', () => {
  it('dials, hangs up, shows rows and the export, and switches faults', async () => {
    const [client, simulator] = await startAndLogIn({ control_port: 0 });
    await client.ret('/ppp/secret/add', '=name=a', '=password=p');
    expect((await callControl(simulator, 'POST', '/dial', { name: 'a' })).status).toBe(200);
    expect((await callControl(simulator, 'POST', '/dial', { name: 'x' })).status).toBe(409);
    expect(JSON.parse((await callControl(simulator, 'GET', '/rows?menu=/ppp/active')).text)).toMatchObject([
      { name: 'a' },
    ]);
    expect(JSON.parse((await callControl(simulator, 'POST', '/hang-up', { name: 'a' })).text)).toEqual({ ended: 1 });
    expect((await callControl(simulator, 'GET', '/export?show_sensitive=1')).text).toContain('password=p');
    expect((await callControl(simulator, 'GET', '/rows?menu=/nope')).status).toBe(404);
    expect((await callControl(simulator, 'POST', '/faults', { read_only_user: true })).status).toBe(200);
    expect(await client.trap('/ppp/secret/add', '=name=b')).toBe('not enough permissions (9)');
    for (const wrong of [{ nope: 1 }, { delay_ms: 'x' }, { read_only_user: 1 }, []]) {
      expect((await callControl(simulator, 'POST', '/faults', wrong)).status).toBe(400);
    }
    await callControl(simulator, 'POST', '/drop-connections');
    await client.waitForClose();
  });

  it('loads an export, and says which of its lines are not in the router now', async () => {
    const simulator = await start({ control_port: 0 });
    const rsc = '/ppp secret\nadd name=a password=p comment="Caf\\C3\\A9"\nadd name=b profile=nope\nadd name=a\nfoo\n';
    const { status, text } = await callControl(simulator, 'POST', '/load', rsc);
    const { applied, problems } = JSON.parse(text) as { applied: number; problems: { line: number }[] };
    expect([status, applied, problems.map(({ line }) => line).sort()]).toEqual([200, 2, [3, 4, 5]]);
    expect(namesOf(simulator.router.rows('/ppp/secret'))).toEqual(['a', 'b']);
    expect(simulator.router.rows('/ppp/secret')[0]?.comment).toBe('Café');
  });

  it('answers nobody who names another host', async () => {
    const simulator = await start({ control_port: 0 });
    expect((await callControl(simulator, 'GET', '/export', undefined, { host: 'evil.example' })).status).toBe(403);
    expect(
      (await callControl(simulator, 'GET', '/export', undefined, { origin: 'http://localhost:3000' })).status,
    ).toBe(403);
    expect((await callControl(simulator, 'GET', '/export', undefined, { host: 'localhost:1' })).status).toBe(200);
  });
});

describe('the command', () => {
  it('explains itself, and starts with a password only', async () => {
    const none = new AbortController().signal;
    expect(await simulate(['--help'], none)).toBe(0);
    expect(await simulate([], none)).toBe(2);
    expect(await simulate(['--password-env', 'RUKUN_TEST_NOT_SET'], none)).toBe(2);
    expect(await simulate(['--password', 'x', '--port', '99999'], none)).toBe(2);
  });

  it('says so when the port is taken', async () => {
    const simulator = await start();
    const code = await simulate(['--password', 'x', '--port', String(simulator.port)], new AbortController().signal);
    expect(code).toBe(1);
  });

  it('runs until it is told to end', async () => {
    const controller = new AbortController();
    const running = simulate(['--password', 'x', '--port', '0'], controller.signal);
    setTimeout(() => controller.abort(), 100);
    expect(await running).toBe(0);
  });
});
