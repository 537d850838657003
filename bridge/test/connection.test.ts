import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type ConnectionOptions, RouterConnection, type RouterError, type Row } from '../routeros/connection.ts';
import { type SimulatorOptions, startSimulator } from '../simulator/server.ts';
import { eventually } from '../../test/support/eventually.ts';
import {
  catchError,
  closeRouters,
  type Handler,
  open,
  openWith,
  type Peer,
  sentence,
  sockets,
  startRouter,
  startServer,
} from './canned-router.ts';

afterEach(closeRouters);

const wait = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));
const answerDone: Handler = (_words, peer) => peer.reply('!done');

describe('signing in', () => {
  it('is one sentence of exactly these bytes', async () => {
    const bytes: number[] = [];
    const server = createServer(socket => {
      sockets.push(socket);
      socket.on('data', chunk => {
        bytes.push(...(chunk as Buffer));
        socket.write(Buffer.from([5, 0x21, 0x64, 0x6f, 0x6e, 0x65, 0])); // !done
      });
    });
    const port = await startServer(server);
    const connection = await openWith({ host: '127.0.0.1', port, username: 'a', password: 'b' });
    expect(Buffer.from(bytes).toString('latin1')).toBe('\x06/login\x07=name=a\x0b=password=b\0');
    expect(connection).toMatchObject({ closed: false, commands_sent: 1, bytes_received: 7, tls_fingerprint: null });
  });

  it('answers the challenge of routers before 6.43', async () => {
    const challenge = '0123456789abcdef0123456789abcdef';
    const router = await startRouter(
      (words, peer) => {
        if (words.some(word => word.startsWith('=password='))) return peer.reply('!done', `=ret=${challenge}`);
        const clear = Buffer.concat([Buffer.from([0]), Buffer.from('pa55=wörd'), Buffer.from(challenge, 'hex')]);
        const expected = `=response=00${createHash('md5').update(clear).digest('hex')}`;
        if (words.includes(expected)) peer.reply('!done');
        else peer.reply('!trap', '=message=cannot log in');
      },
      { is_login_ours: true },
    );
    await open(router);
    expect(router.received).toHaveLength(2);
  });

  it.each(['zz', 'abc', ''])('refuses the challenge %j', async challenge => {
    const router = await startRouter((_words, peer) => peer.reply('!done', `=ret=${challenge}`), {
      is_login_ours: true,
    });
    expect((await catchError(open(router))).kind).toBe('protocol');
  });

  it.each([
    ['=message=invalid user name or password (6)', 'invalid user name or password (6)'],
    ['=message=cannot log in', 'cannot log in'],
    ['=message=bad pa55=wörd given', 'bad *** given'],
  ])('tries a wrong password exactly once: %s', async (word, message) => {
    const router = await startRouter(
      (_words, peer) => {
        peer.reply('!trap', word);
        peer.reply('!done');
      },
      { is_login_ours: true },
    );
    const error = await catchError(open(router));
    expect(error).toMatchObject({ kind: 'login', message, outcome_unknown: false });
    await wait(50);
    expect(router).toMatchObject({ connections: 1, received: { length: 1 } });
  });

  it('takes a fatal answer to it', async () => {
    const answer =
      (text: string): Handler =>
      (_words, peer) =>
        void peer.socket.end(sentence('!fatal', text));
    const wrong = await startRouter(answer('invalid user name or password'), { is_login_ours: true });
    expect(await catchError(open(wrong))).toMatchObject({ kind: 'login' });
    const full = await startRouter(answer('too many sessions'), { is_login_ours: true });
    expect(await catchError(open(full))).toMatchObject({ kind: 'lost', message: 'too many sessions' });
  });

  it('ends in time where the router accepts and is silent, closes, or is not there', async () => {
    const silent = await startRouter(() => undefined, { is_login_ours: true });
    expect((await catchError(open(silent, { command_timeout_ms: 50 }))).kind).toBe('timeout');
    const closing = await startRouter((_words, peer) => void peer.socket.destroy(), { is_login_ours: true });
    expect((await catchError(open(closing))).kind).toBe('lost');
    expect((await catchError(open(silent, { port: 1 }))).kind).toBe('unreachable');
  });

  it('can be given up', async () => {
    const silent = await startRouter(() => undefined, { is_login_ours: true });
    const abort = new AbortController();
    const opening = RouterConnection.open(silent.options, abort.signal);
    await eventually(() => expect(silent.received).toHaveLength(1));
    abort.abort();
    expect((await catchError(opening)).kind).toBe('lost');
    expect((await catchError(RouterConnection.open(silent.options, abort.signal))).kind).toBe('unreachable');
  });
});

describe('commands', () => {
  it('print asks for what it is told and reads rows', async () => {
    const router = await startRouter((_words, peer) => {
      peer.reply('!re', '=.id=*1A', '=comment=a=b=\nc', '=profile=', '=disabled=false');
      peer.reply('!re', Buffer.from('=.id=*1B'), Buffer.concat([Buffer.from('=comment=Caf'), Buffer.from([0xe9])]));
      peer.reply('!done');
    });
    const connection = await open(router);
    const options = { proplist: ['.id', 'comment'], query: ['?name=x', '?disabled=no', '?#|'], detail: true };
    expect(await connection.print('/ppp/secret', options)).toEqual([
      { '.id': '*1A', comment: 'a=b=\nc', profile: '', disabled: 'false' },
      { '.id': '*1B', comment: 'Café' },
    ]);
    expect(router.received[1]!.slice(0, -1)).toEqual([
      '/ppp/secret/print',
      '=.proplist=.id,comment',
      '=detail=',
      '?name=x',
      '?disabled=no',
      '?#|',
    ]);
  });

  it('print takes no rows, !empty, and a count', async () => {
    const router = await startRouter((words, peer) => {
      if (words.includes('=count-only=')) return peer.reply('!done', '=ret=42');
      if (words[0] === '/ip/pool/print') peer.reply('!empty');
      peer.reply('!done');
    });
    const connection = await open(router);
    expect(await connection.print('/ip/pool')).toEqual([]);
    expect(await connection.print('/ppp/secret')).toEqual([]);
    expect(await connection.print('/ppp/secret', { count_only: true })).toEqual([{ ret: '42' }]);
  });

  it('writes are these words', async () => {
    const router = await startRouter((words, peer) =>
      words[0]!.endsWith('/add') ? peer.reply('!done', '=ret=*1A') : peer.reply('!done'),
    );
    const connection = await open(router);
    expect(await connection.add('/ppp/secret', { name: 'budi', comment: 'x=\ny' })).toBe('*1A');
    await connection.set('/ppp/secret', '*1A', { disabled: 'yes' });
    await connection.unset('/ppp/secret', '*1A', 'rate-limit');
    await connection.remove('/ppp/secret', '*1A');
    expect(await connection.run('/system/reboot')).toEqual([]);
    expect(router.received.slice(1).map(words => words.slice(0, -1))).toEqual([
      ['/ppp/secret/add', '=name=budi', '=comment=x=\ny'],
      ['/ppp/secret/set', '=.id=*1A', '=disabled=yes'],
      ['/ppp/secret/unset', '=.id=*1A', '=value-name=rate-limit'],
      ['/ppp/secret/remove', '=.id=*1A'],
      ['/system/reboot'],
    ]);
    expect(connection.commands_sent).toBe(6);
  });

  it('an add without an id leaves its outcome open; an empty word is refused before it is sent', async () => {
    const connection = await open(await startRouter(answerDone));
    expect(await catchError(connection.add('/ip/pool', {}))).toMatchObject({ kind: 'protocol', outcome_unknown: true });
    expect(await catchError(connection.run('/ip/pool/print', ['']))).toMatchObject({ kind: 'protocol' });
    expect(connection.commands_sent).toBe(2);
  });

  it('a trap rejects with the words of the router, and its !done disturbs nothing', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/ip/pool/print') return peer.reply('!done');
      peer.reply('!trap', '=category=4', '=message=failure: secret with the same name already exists');
      peer.reply('!done');
    });
    const connection = await open(router);
    const error = await catchError(connection.add('/ppp/secret', { name: 'x', password: 'secret' }));
    expect(error).toMatchObject({
      kind: 'trap',
      category: 4,
      message: 'failure: secret with the same name already exists',
      outcome_unknown: false,
    });
    expect(await connection.print('/ip/pool')).toEqual([]);
  });

  it('a trap without reason or category, and one that holds a password', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/a/add') peer.reply('!trap', '=category=x');
      else peer.reply('!trap', '=message=hunter2 is no good password');
    });
    const connection = await open(router);
    expect(await catchError(connection.add('/a', {}))).toMatchObject({ category: null, kind: 'trap' });
    const error = await catchError(connection.set('/ppp/secret', '*1', { password: 'hunter2' }));
    expect(error.message).toBe('*** is no good password');
  });

  it.each([
    'failure: secret with the same name already exists',
    'failure: profile with the same name already exists',
    'failure: pool with such name exists',
    'failure: already have such name',
    'failure: already have such entry',
    'failure: already have user with this name for this server',
    'no such item',
    'no such item (4)',
    'input does not match any value of profile',
    'invalid value for argument remote-address',
    'unknown parameter x',
    'no such command prefix',
    'not enough permissions (9)',
  ])('"%s" comes through whole, whatever the password is', async text => {
    const connection = await open(await startRouter((_words, peer) => peer.reply('!trap', `=message=${text}`)));
    for (const password of ['e', 'address', 'such', 'x']) {
      expect(await catchError(connection.set('/ppp/secret', '*1', { password }))).toMatchObject({ message: text });
    }
  });

  it('tells many commands apart, with at most 16 in flight and every tag once', async () => {
    const held: { name: string; peer: Peer }[] = [];
    let [count, most] = [0, 0];
    const router = await startRouter((words, peer) => {
      held.push({ name: words[1]!, peer });
      most = Math.max(most, held.length);
      if (++count < 500 && held.length !== 16) return;
      // Answered in bundles and backwards, so that answers cross; before that, more could come.
      setTimeout(() => {
        for (const { name, peer: to } of held.splice(0).reverse()) {
          to.reply('!re', `=name=${name}`);
          to.reply('!done');
        }
      }, 2);
    });
    const connection = await open(router);
    const asked = Array.from({ length: 500 }, (_, index) => connection.run('/x/print', [`?name=${index}`]));
    const answers = await Promise.all(asked);
    expect(answers.map(rows => rows[0]!['name'])).toEqual(answers.map((_, index) => `?name=${index}`));
    expect(most).toBe(16);
    const tags = router.received.slice(1).map(words => words.at(-1));
    expect(new Set(tags).size).toBe(500);
  });

  it('ignores unknown replies, strange tags and replies without one', async () => {
    const router = await startRouter((_words, peer) => {
      peer.socket.write(sentence('!re', '.tag=999', '=name=no'));
      peer.socket.write(sentence('!done'));
      peer.socket.write(sentence('!trap', '=message=no'));
      peer.socket.write(Buffer.from([0, 0, 0]));
      peer.reply('!progress', '=x=y');
      peer.reply('!re', '=name=yes');
      peer.reply('!done');
      peer.reply('!done');
    });
    const connection = await open(router);
    expect(await connection.print('/ip/pool')).toEqual([{ name: 'yes' }]);
    expect(await connection.print('/ip/pool')).toEqual([{ name: 'yes' }]);
  });
});

describe('bytes of any cut and size', () => {
  it.each([1, 2, 7, 1000])('reads answers that come %i bytes at a time', async size => {
    const write = (socket: Socket, bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size));
    };
    const long = 'é'.repeat(10_000);
    const handle: Handler = (_words, peer) => {
      peer.reply('!re', `=comment=${long}`);
      peer.reply('!done', '=ret=*1');
    };
    const connection = await open(await startRouter(handle, { write }));
    expect(await connection.run('/x/print')).toEqual([{ comment: long }, { ret: '*1' }]);
  });

  it('reads and writes words of 20 kB, and 10,000 rows', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/x/add') return peer.reply('!done', '=ret=*1');
      for (let index = 0; index < 10_000; index++) peer.reply('!re', `=.id=*${index.toString(16)}`, '=name=budi');
      peer.reply('!done');
    });
    const connection = await open(router);
    await connection.add('/x', { source: 'x'.repeat(20_000) });
    expect(router.received[1]![1]).toBe(`=source=${'x'.repeat(20_000)}`);
    const rows = await connection.print('/x');
    expect(rows).toHaveLength(10_000);
    expect(rows[9_999]).toEqual({ '.id': '*270f', name: 'budi' });
    expect(connection.bytes_received).toBeGreaterThan(250_000);
  });

  it('reads text in the code page of the router, where it is not UTF-8', async () => {
    const router = await startRouter((_words, peer) => {
      peer.reply('!re', Buffer.concat([Buffer.from('=comment='), Buffer.from([0xcf, 0xf0, 0xe8])]), '=name=Ibu Śri 🏠');
      peer.reply('!trap', Buffer.concat([Buffer.from('=message='), Buffer.from([0xcd, 0xe5, 0xf2])]));
    });
    const connection = await open(router, { code_page: 'windows-1251' });
    const rows: unknown[] = [];
    await connection.listen('/x', row => rows.push(row));
    expect(await catchError(connection.print('/x'))).toMatchObject({ message: 'Нет' });
    expect(rows).toEqual([{ comment: 'При', name: 'Ibu Śri 🏠' }]);
  });

  it.each([
    ['short rows', ['!re', '=name=x'], 'more than can be held'],
    ['long rows', ['!re', `=name=${'x'.repeat(60_000)}`], 'more than can be held'],
    ['rows of nothing', ['!re'], 'more than can be held'],
    ['one row', [`=name=${'x'.repeat(60_000)}`], 'the sentence is too long'],
    ['words of one letter', ['x'], 'too many words'],
  ])('gives a router up that sends %s without end, before the memory is full', async (_, words, reason) => {
    const router = await startRouter((_words, peer) => {
      const is_row = words[0] === '!re';
      const row = is_row ? sentence('!re', `.tag=${peer.tag}`, ...words.slice(1)) : sentence(...words).subarray(0, -1);
      const many = Buffer.concat(Array.from({ length: Math.ceil(1_000_000 / row.length) }, () => row));
      const pour = () => {
        while (!peer.socket.destroyed && peer.socket.write(many));
      };
      peer.socket.on('drain', pour);
      pour();
    });
    const connection = await open(router, { command_timeout_ms: 600_000 });
    const error = await catchError(connection.print('/x'));
    expect(error).toMatchObject({ kind: 'protocol', message: expect.stringContaining(reason), outcome_unknown: false });
    expect(connection.bytes_received).toBeLessThan(80_000_000);
  });

  it('holds the rows of many prints, one after the other, without end', async () => {
    const text = 'x'.repeat(20_000);
    const router = await startRouter((_words, peer) => {
      for (let row = 0; row < 200; row++) peer.reply('!re', `=source=${text}`);
      peer.reply('!done');
    });
    const connection = await open(router);
    for (let turn = 0; turn < 20; turn++) expect(await connection.print('/x')).toHaveLength(200);
    expect(connection.bytes_received).toBeGreaterThan(64 * 1024 * 1024);
  });

  it('drops a peer that sends a reserved length byte, but believes what came before it', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] !== '/x/add') return;
      peer.socket.write(Buffer.concat([sentence('!done', `.tag=${peer.tag}`, '=ret=*7'), Buffer.from([0xf8, 1, 2])]));
    });
    const connection = await open(router);
    const writing = connection.set('/x', '*1', {});
    const reading = connection.print('/x');
    expect(await connection.add('/x', {})).toBe('*7');
    expect(await catchError(writing)).toMatchObject({ kind: 'protocol', outcome_unknown: true });
    expect(await catchError(reading)).toMatchObject({ kind: 'protocol', outcome_unknown: false });
    expect(connection.closed).toBe(true);
  });
});

describe('when answers do not come', () => {
  it('each command has its time; the connection lives on; late answers are ignored', async () => {
    const late: Peer[] = [];
    const router = await startRouter((words, peer) => {
      if (words[0] === '/late/print') late.push(peer);
      else if (words[0] === '/silent/set') return;
      else peer.reply('!done');
    });
    const options: ConnectionOptions = { ...router.options };
    const connection = await openWith(options);
    options.command_timeout_ms = 100;
    const silent = connection.set('/silent', '*1', {});
    expect(await catchError(connection.print('/late'))).toMatchObject({ kind: 'timeout', outcome_unknown: false });
    expect(await catchError(silent)).toMatchObject({ kind: 'timeout', outcome_unknown: true });
    options.command_timeout_ms = 60_000;
    await eventually(() => expect(late).toHaveLength(1));
    late[0]!.reply('!re', '=name=late');
    late[0]!.reply('!done');
    expect(await connection.print('/ip/pool')).toEqual([]);
    // What was read without end is cancelled; a write never is.
    const cancelled = router.received.filter(words => words[0] === '/cancel').map(words => words[1]);
    expect(cancelled).toEqual([`=tag=${late[0]!.tag}`]);
  });

  it('a router that goes away rejects everything, and says which outcomes are open', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/last/print') peer.socket.destroy();
    });
    const connection = await open(router);
    const write = connection.add('/ppp/secret', { name: 'x' });
    const read = connection.print('/ppp/secret');
    const others = Array.from({ length: 13 }, () => connection.remove('/x', '*1'));
    const last = connection.print('/last');
    const unsent = connection.set('/x', '*1', {});
    expect(await catchError(write)).toMatchObject({ kind: 'lost', outcome_unknown: true });
    expect(await catchError(read)).toMatchObject({ kind: 'lost', outcome_unknown: false });
    for (const other of others) expect(await catchError(other)).toMatchObject({ kind: 'lost', outcome_unknown: true });
    expect(await catchError(last)).toMatchObject({ kind: 'lost' });
    expect(await catchError(unsent)).toMatchObject({ kind: 'lost', outcome_unknown: false });
    expect(connection.closed).toBe(true);
    const after = await catchError(connection.set('/x', '*1', {}));
    expect(after).toMatchObject({ kind: 'lost', outcome_unknown: false });
    expect((await catchError(connection.listen('/x', () => undefined))).kind).toBe('lost');
  });

  it('!fatal ends all that waits, in its own words', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/b/print') peer.socket.end(sentence('!fatal', 'session terminated on request'));
    });
    const connection = await open(router);
    const [first, second] = [connection.set('/a', '*1', {}), connection.print('/b')];
    const message = 'session terminated on request';
    expect(await catchError(first)).toMatchObject({ kind: 'lost', message, outcome_unknown: true });
    expect(await catchError(second)).toMatchObject({ kind: 'lost', message });
  });

  it('close() ends it, also with a peer that keeps its side open, and twice', async () => {
    const router = await startRouter(() => undefined);
    const connection = await open(router);
    const reading = connection.print('/x');
    await Promise.all([connection.close(), connection.close()]);
    await connection.close();
    expect(connection.closed).toBe(true);
    expect((await catchError(reading)).kind).toBe('lost');
  });

  it('an idle router that no longer answers is noticed', async () => {
    const router = await startRouter(() => undefined);
    const connection = await open(router, { keepalive_ms: 50 });
    await eventually(() => expect(connection.closed).toBe(true));
    await eventually(() => expect(router.received[1]?.[0]).toBe('/system/identity/print'));
  });

  it('no failure that nobody looks at reaches the process', async () => {
    const failures: unknown[] = [];
    const note = (reason: unknown) => failures.push(reason);
    process.on('unhandledRejection', note);
    process.on('uncaughtException', note);
    const router = await startRouter((words, peer) => {
      if (words[0] === '/bye/print') peer.socket.resetAndDestroy();
      else peer.reply('!trap', '=message=no');
    });
    const connection = await open(router);
    void connection.add('/x', {});
    void connection.print('/x');
    void connection.listen('/x', () => undefined);
    void connection.set('/x', '*1', {});
    await wait(30);
    void connection.print('/bye');
    void connection.remove('/x', '*1');
    await wait(50);
    void connection.unset('/x', '*1', 'y');
    void connection.listen('/x', () => undefined);
    void RouterConnection.open({ ...router.options, port: 1 });
    await wait(50);
    process.off('unhandledRejection', note);
    process.off('uncaughtException', note);
    expect(failures).toEqual([]);
  });
});

describe('listen', () => {
  const startListening: Handler = (words, peer) => {
    if (words[0]!.endsWith('/listen')) {
      peer.reply('!re', '=.id=*1', '=name=a');
      peer.reply('!re', '=.id=*1', '=.dead=true');
    } else if (words[0] === '/cancel') {
      const tag = words[1]!.slice('=tag='.length);
      peer.socket.write(sentence('!trap', `.tag=${tag}`, '=category=2', '=message=interrupted'));
      peer.reply('!done');
      peer.socket.write(sentence('!done', `.tag=${tag}`));
    } else peer.reply('!done');
  };

  it('hands rows on until it is cancelled, without a time limit', async () => {
    const router = await startRouter(startListening);
    const options: ConnectionOptions = { ...router.options };
    const connection = await openWith(options);
    options.command_timeout_ms = 50;
    const rows: unknown[] = [];
    const ends: unknown[] = [];
    const on_end = (error: RouterError | null) => void ends.push(error);
    const listener = await connection.listen('/ppp/active', row => rows.push(row), { proplist: ['name'], on_end });
    await eventually(() => expect(rows).toHaveLength(2));
    await wait(100);
    options.command_timeout_ms = 60_000;
    expect(ends).toEqual([]);
    expect(rows).toEqual([
      { '.id': '*1', name: 'a' },
      { '.id': '*1', '.dead': 'true' },
    ]);
    await listener.cancel();
    await listener.cancel();
    expect(ends).toEqual([null]);
    expect(await connection.print('/ip/pool')).toEqual([]);
    const words = router.received[1]!;
    expect(words.slice(0, 2)).toEqual(['/ppp/active/listen', '=.proplist=name']);
    expect(router.received.find(received => received[0] === '/cancel')![1]).toBe(`=tag=${words.at(-1)!.slice(5)}`);
  });

  it('takes none of the 16 places', async () => {
    const connection = await open(await startRouter(startListening));
    for (let index = 0; index < 20; index++) await connection.listen('/ppp/active', () => undefined);
    expect(await connection.print('/ip/pool')).toEqual([]);
  });

  it('says why it ended: a trap, a lost router, a reader that throws', async () => {
    const router = await startRouter((words, peer) => {
      if (words[0] === '/trap/listen') peer.reply('!trap', '=message=not enough permissions (9)');
      else if (words[0] === '/row/listen') peer.reply('!re', '=a=b');
      else if (words[0] === '/bye/print') peer.socket.destroy();
    });
    const connection = await open(router);
    const ends: Record<string, RouterError | null> = {};
    const listen = (name: string, onRow: () => void) =>
      connection.listen(`/${name}`, onRow, {
        on_end: error => {
          ends[name] = error;
          throw new Error('of no interest');
        },
      });
    await listen('trap', () => undefined);
    await listen('row', () => {
      throw new Error('broken reader');
    });
    await listen('quiet', () => undefined);
    await catchError(connection.print('/bye'));
    expect(ends['trap']).toMatchObject({ kind: 'trap', message: 'not enough permissions (9)' });
    expect(ends['row']).toMatchObject({ kind: 'protocol' });
    expect(ends['quiet']).toMatchObject({ kind: 'lost' });
  });
});

describe('the simulated router', () => {
  const connect = async (options: Partial<SimulatorOptions>) => {
    const simulator = await startSimulator({ port: 0, username: 'rukun', password: 'pa55wörd', ...options });
    onTestFinished(() => simulator.stop());
    const access: ConnectionOptions = {
      host: '127.0.0.1',
      port: simulator.port,
      username: 'rukun',
      password: 'pa55wörd',
    };
    return { simulator, access, connection: await openWith(access) };
  };

  it.each([
    ['6.48', true],
    ['7.16', false],
    ['7.18', false],
  ])('%s (old login: %s) is listened to until that is cancelled, byte by byte', async (version, old_login) => {
    const { simulator, connection } = await connect({ version, old_login, faults: { chunk_bytes: 1 } });
    const [rows, ends]: [Row[], unknown[]] = [[], []];
    const options = { proplist: ['.id', 'name', 'comment'], on_end: (error: unknown) => void ends.push(error) };
    const listener = await connection.listen('/ppp/secret', row => rows.push(row), options);
    const id = await connection.add('/ppp/secret', { name: 'budi', comment: 'a = b\nc' });
    await connection.remove('/ppp/secret', id);
    await eventually(() => expect(rows.length).toBeGreaterThan(1));
    await listener.cancel();
    expect(rows[0]).toMatchObject({ '.id': id, name: 'budi', comment: 'a = b\nc' });
    expect(rows.at(-1)).toMatchObject({ '.id': id, '.dead': expect.stringMatching(/^(true|yes)$/) });
    expect(ends).toEqual([null]);
    const heard = rows.length;
    simulator.router.load('/ppp secret add name=sari');
    expect(await connection.print('/ppp/secret', { query: ['?name=sari'], proplist: ['name'] })).toEqual([
      { name: 'sari' },
    ]);
    expect(rows).toHaveLength(heard);
  });

  it('that monitors without end is cancelled when the time of the command is over', async () => {
    const { simulator, access, connection } = await connect({});
    const words = ['=interface=ether1', '=interval=50ms'];
    access.command_timeout_ms = 200;
    expect(await catchError(connection.run('/interface/monitor-traffic', words))).toMatchObject({ kind: 'timeout' });
    access.command_timeout_ms = 60_000;
    // answered in order: after this nothing is on its way
    await connection.print('/system/identity');
    const before = connection.bytes_received;
    await wait(300);
    expect(connection.bytes_received).toBe(before);
    expect(connection.closed).toBe(false);
    expect(simulator.readInfo().connections).toBe(1);
  });

  it('that writes windows-1252 is read, and a name of plain letters is found', async () => {
    const { simulator, connection } = await connect({});
    simulator.router.load('/ppp secret add name=budi comment="Café Ménara"');
    simulator.setFaults({ windows_1252: true });
    const rows = await connection.print('/ppp/secret', { query: ['?name=budi'], proplist: ['comment'] });
    expect(rows).toEqual([{ comment: 'Café Ménara' }]);
  });
});
