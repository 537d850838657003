import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { simulate } from '../simulator/command.ts';
import { decodeWindows1252, encodeText, encodeWindows1252 } from '../simulator/text.ts';
import { encodeSentence } from '../routeros/codec.ts';
import {
  callControl,
  logIn,
  makeClock,
  makeFolder,
  namesOf,
  open,
  openTls,
  start,
  startAndLogIn,
} from './simulator-client.ts';
import { makeSkipTime } from './skip-time.ts';

describe('clock skew', () => {
  it('puts the clock, dates and log off, and no uptime or time-out', async () => {
    const clock = makeClock();
    const [client, simulator] = await startAndLogIn({ now: clock.now, faults: { clock_skew_seconds: -86_400 } });
    simulator.router.load('/ppp secret add name=a');
    simulator.router.dial('a');
    await client.ret('/ip/firewall/address-list/add', '=list=x', '=address=10.0.0.1', '=timeout=1h');
    clock.now_ms += 60_000;
    expect((await client.rows('/system/clock/print'))[0]).toMatchObject({ date: '2026-09-25', time: '20:01:00' });
    expect((await client.rows('/log/print')).at(-1)?.time).toBe('2026-09-25 20:00:00');
    expect((await client.rows('/system/resource/print'))[0]?.uptime).toBe('1m');
    expect((await client.rows('/ppp/active/print'))[0]?.uptime).toBe('1m');
    const [entry] = await client.rows('/ip/firewall/address-list/print');
    expect(entry).toMatchObject({ 'creation-time': '2026-09-25 20:00:00', timeout: '59m' });
    expect(await client.ret('/export')).toMatch(/^# 2026-09-25 20:01:00/);
    simulator.router.hangUp('a');
    expect((await client.rows('/ppp/secret/print'))[0]?.['last-logged-out']).toBe('2026-09-25 20:01:00');
    simulator.setFaults({ clock_skew_seconds: 0 });
    expect((await client.rows('/system/clock/print'))[0]?.date).toBe('2026-09-26');
    expect((await client.rows('/system/resource/print'))[0]?.uptime).toBe('1m');
  });

  it('can be set over the control port, either way', async () => {
    const simulator = await start({ control_port: 0 });
    const set = async (clock_skew_seconds: unknown) =>
      (await callControl(simulator, 'POST', '/faults', { clock_skew_seconds })).status;
    expect([await set(3600), await set(-3600), await set(1.5), await set(1e12)]).toEqual([200, 200, 400, 400]);
    expect(simulator.router.readClock() - simulator.router.now()).toBe(-3_600_000);
  });
});

describe('comments that are not UTF-8', () => {
  it('go out as windows-1252 where they can, and come in so', async () => {
    const [client, simulator] = await startAndLogIn();
    await client.ret('/ppp/secret/add', '=name=a', '=comment=Café €5');
    await client.ret('/ppp/secret/add', '=name=b', '=comment=Ibu Sri 🏠');
    simulator.setFaults({ windows_1252: true });
    const chunks: Buffer[] = [];
    client.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await client.rows('/ppp/secret/print', '=.proplist=comment');
    const sent = Buffer.concat(chunks);
    expect(sent.includes(Buffer.from('=comment=Caf\xe9 \x805', 'latin1'))).toBe(true);
    expect(sent.includes(Buffer.from('=comment=Ibu Sri 🏠'))).toBe(true);

    const word = Buffer.from('=comment=na\xefve \x93q\x94', 'latin1');
    client.socket.write(encodeSentence(['/ppp/secret/set', '=.id=*1', word]));
    await client.take();
    expect(simulator.router.rows('/ppp/secret')[0]?.comment).toBe('naïve “q”');
  });

  it('lose no byte, whatever it is, and UTF-8 comes back as it came', async () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    expect(encodeWindows1252(decodeWindows1252(all))).toEqual(all);
    expect(decodeWindows1252(Uint8Array.of(0x80, 0x9f, 0xe9))).toBe('€Ÿé');
    expect(encodeWindows1252('a\udcff')).toEqual(Uint8Array.of(0x61, 0xff));
    expect(encodeWindows1252('é🏠')).toEqual(encodeText('é🏠'));
    const [client] = await startAndLogIn({ faults: { windows_1252: true }, password: 'rahasia' });
    await client.ret('/ppp/secret/add', '=name=a', '=comment=Café 🏠');
    expect((await client.rows('/ppp/secret/print'))[0]?.comment).toBe('Café 🏠');
  });

  it('leave a password alone', async () => {
    const simulator = await start({ password: 'rahásia', faults: { windows_1252: true } });
    expect(await open(simulator).ret('/login', '=name=admin', '=password=rahásia')).toBe('');
  });
});

describe('a reboot', () => {
  it('over the API ends sessions and connections, refuses for a while, and keeps the configuration', async () => {
    const clock = makeClock();
    const [client, simulator] = await startAndLogIn({ now: clock.now, faults: { down_ms: 600_000 } });
    const other = await logIn(simulator);
    simulator.router.load(
      '/ip hotspot user add name=h\n/ppp profile add name=p rate-limit=1M/1M address-list=x\n/ppp secret add name=a profile=p\n' +
        '/queue simple add name=q target=10.112.112.2',
    );
    simulator.router.dial('a');
    simulator.router.logInHotspot('h');
    simulator.router.useTraffic('a', { upload_bytes: 500 });
    await client.ret('/ip/firewall/address-list/add', '=list=y', '=address=10.0.0.1', '=timeout=1h');
    await client.ret('/ip/firewall/address-list/add', '=list=y', '=address=10.0.0.2');
    expect(simulator.router.rows('/queue/simple')[0]?.bytes).toBe('500/0');
    clock.now_ms += 5000;
    const skipTime = makeSkipTime();
    expect((await client.run('/system/reboot')).map(({ kind }) => kind)).toEqual(['!done']);
    await Promise.all([client.waitForClose(), other.waitForClose()]);
    for (const more_ms of [0, 300_000]) {
      skipTime(more_ms);
      await open(simulator).waitForClose();
    }
    skipTime(300_000);
    const again = await logIn(simulator);
    for (const menu of ['/ppp/active', '/ip/hotspot/active', '/ip/pool/used'])
      expect(await again.ret(`${menu}/print`, '=count-only=')).toBe('0');
    expect(await again.rows('/queue/simple/print')).toMatchObject([{ name: 'q', bytes: '0/0' }]);
    expect(await again.rows('/ip/firewall/address-list/print')).toMatchObject([{ address: '10.0.0.2' }]);
    expect(await again.rows('/interface/print', '?type=pppoe-in')).toEqual([]);
    expect(namesOf(await again.rows('/ppp/secret/print'))).toEqual(['a']);
    expect((await again.rows('/system/resource/print'))[0]?.uptime).toBe('0s');
    expect((await again.rows('/log/print'))[0]?.message).toBe('router rebooted');
    expect(simulator.router.dial('a')).toMatch(/^\*/);
  });

  it('over the control port takes its own time, and works over TLS too', async () => {
    const simulator = await start({ control_port: 0, tls: 'anonymous' });
    const tls = { ciphers: 'ADH:@SECLEVEL=0', maxVersion: 'TLSv1.2' } as const;
    const client = await logIn(simulator, openTls(simulator, tls));
    expect((await callControl(simulator, 'POST', '/reboot', { down_ms: -1 })).status).toBe(400);
    expect((await callControl(simulator, 'POST', '/reboot', { down_ms: 60_000 })).status).toBe(200);
    await client.waitForClose();
    await openTls(simulator, tls).waitForClose();
    await callControl(simulator, 'POST', '/reboot', { down_ms: 0 });
    const again = await logIn(simulator, openTls(simulator, tls));
    expect((await again.run('/system/reboot')).map(({ kind }) => kind)).toEqual(['!done']);
    await again.waitForClose();
  });

  it('needs the right to write', async () => {
    const [client] = await startAndLogIn({ faults: { read_only_user: true } });
    expect(await client.trap('/system/reboot')).toBe('not enough permissions (9)');
    expect(await client.rows('/system/identity/print')).toHaveLength(1);
  });
});

describe('find and get', () => {
  it('give ids and single values', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load('/ppp secret\nadd name=a comment=x\nadd name=b disabled=yes password=p\n');
    expect(await client.ret('/ppp/secret/find')).toBe('*1;*2');
    expect(await client.ret('/ppp/secret/find', '?disabled=yes')).toBe('*2');
    expect(await client.ret('/ppp/secret/get', '=.id=*1', '=value-name=comment')).toBe('x');
    expect(await client.ret('/ppp/secret/get', '=number=b', '=value-name=disabled')).toBe('true');
    expect(await client.ret('/ppp/secret/get', '=.id=*2', '=value-name=comment')).toBe('');
    expect(await client.ret('/ppp/secret/get', '=.id=*1')).toContain('.id=*1;name=a;service=any');
    expect(await client.ret('/system/identity/get', '=value-name=name')).toBe('MikroTik');
    expect(await client.trap('/ppp/secret/get', '=.id=*9', '=value-name=name')).toBe('no such item');
    expect(await client.trap('/ppp/secret/get', '=.id=*1', '=value-name=nope')).toContain('value-name');
    simulator.setFaults({ no_sensitive: true });
    expect(await client.ret('/ppp/secret/get', '=.id=*2', '=value-name=password')).toBe('');
  });
});

describe('queries for a flag', () => {
  it.each([
    ['?disabled=yes', 'b'],
    ['?disabled=true', 'b'],
    ['?disabled=no', 'ac'],
    ['?disabled=false', 'ac'],
    ['?=disabled=yes', 'b'],
    ['?dynamic=no', ''],
    ['?comment=yes', 'a'],
    ['?comment=true', 'c'],
  ])('%s matches %s', async (query, expected) => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load('/ppp secret\nadd name=a comment=yes\nadd name=b disabled=yes\nadd name=c comment=true\n');
    expect(namesOf(await client.rows('/ppp/secret/print', query)).join('')).toBe(expected);
  });

  it('reach what only the router writes', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load(
      '/ppp profile add name=p rate-limit=1M/1M\n/ppp secret add name=a profile=p\n/queue simple add name=q target=10.0.0.1',
    );
    simulator.router.dial('a');
    expect(namesOf(await client.rows('/queue/simple/print', '?dynamic=yes'))).toEqual(['<pppoe-a>']);
    expect(namesOf(await client.rows('/queue/simple/print', '?dynamic=no'))).toEqual(['q']);
    expect(namesOf(await client.rows('/ppp/profile/print', '?default=yes'))).toHaveLength(2);
  });
});

describe('profiles', () => {
  it('leave change-tcp-mss to the default profile, which says yes', async () => {
    const [client] = await startAndLogIn();
    await client.ret('/ppp/profile/add', '=name=p', '=address-list=x');
    const read = async () => (await client.rows('/ppp/profile/print')).map(row => row['change-tcp-mss']);
    expect(await read()).toEqual(['yes', 'yes', 'default']);
    expect((await client.rows('/ppp/profile/print', '?name=p'))[0]?.['use-ipv6']).toBe('yes');
    await client.ret('/ppp/profile/set', '=.id=p', '=change-tcp-mss=yes', '=address-list=');
    expect(await read()).toEqual(['yes', 'yes', 'yes']);
    expect((await client.rows('/ppp/profile/print', '?name=p'))[0]?.['address-list']).toBe('');
    const text = await client.ret('/ppp/profile/export');
    expect(text).toContain('add change-tcp-mss=yes name=p');
    expect(text).not.toContain('set');
    await client.ret('/ppp/profile/set', '=.id=*0', '=change-tcp-mss=default');
    expect(await client.ret('/ppp/profile/export')).toContain('set *0 change-tcp-mss=default');
  });
});

describe('every menu of the list', () => {
  const READ = ['print', 'getall', 'listen', 'find', 'get'];
  const LIST = [...READ, 'add', 'set', 'unset', 'remove'];
  const SWITCHED = [...LIST, 'enable', 'disable'];
  it.each<[string, string[]]>([
    ['/system/identity', [...READ, 'set']],
    ['/system/resource', READ],
    ['/system/clock', [...READ, 'set']],
    ['/system/routerboard', READ],
    ['/system/package', READ],
    ['/interface', [...READ, 'set', 'enable', 'disable', 'monitor-traffic']],
    ['/ppp/secret', SWITCHED],
    ['/ppp/profile', LIST],
    ['/ppp/active', [...READ, 'remove']],
    ['/ip/pool', LIST],
    ['/ip/pool/used', READ],
    ['/queue/simple', [...SWITCHED, 'move']],
    ['/ip/firewall/address-list', SWITCHED],
    ['/ip/firewall/nat', [...SWITCHED, 'move']],
    ['/ip/firewall/filter', [...SWITCHED, 'move']],
    ['/ip/hotspot/user', SWITCHED],
    ['/ip/hotspot/user/profile', LIST],
    ['/ip/hotspot/active', [...READ, 'remove']],
    ['/ip/address', SWITCHED],
    ['/radius', [...SWITCHED, 'move']],
    ['/log', READ],
  ])('%s has %j', async (menu, verbs) => {
    const [client] = await startAndLogIn();
    for (const verb of verbs) {
      client.send(`${menu}/${verb}`, '=.proplist=.id', '=paint=', `.tag=${verb}`);
      const [first] = await client.takeTagged(verb, 1);
      // Known, and refused for the parameter; an unknown verb would be "no such command".
      expect([verb, first?.values.message]).not.toEqual([verb, 'no such command']);
    }
    expect(await client.trap(`${menu}/explode`)).toBe('no such command');
  });
});

describe('the command', () => {
  it('takes every switch, and says what is wrong with one', async () => {
    const state = join(await makeFolder(), 'router.rsc');
    const controller = new AbortController();
    let output = '';
    const write = process.stdout.write.bind(process.stdout);
    process.stdout.write = ((text: string) => ((output += text), true)) as typeof process.stdout.write;
    try {
      const switches = ['--tls', '--chunk-bytes', '7', '--delay-ms', '1', '--max-sessions', '3', '--clock-skew=-60'];
      const more = ['--windows-1252', '--down-ms', '5', '--read-only', '--no-sensitive', '--close-after-write', '2'];
      const running = simulate(
        ['--password', 'x', '--port', '0', '--control-port', '0', '--state', state, ...switches, ...more],
        controller.signal,
      );
      while (!output.includes('control port')) await new Promise(resolve => setTimeout(resolve, 10));
      const control_port = Number(/control port on 127\.0\.0\.1:(\d+)/.exec(output)?.[1]);
      const response = await fetch(`http://127.0.0.1:${control_port}/info`);
      const info = (await response.json()) as { tls_fingerprint: string };
      expect(info).toMatchObject({
        tls: 'self-signed',
        faults: {
          chunk_bytes: 7,
          delay_ms: 1,
          max_sessions: 3,
          clock_skew_seconds: -60,
          windows_1252: true,
          down_ms: 5,
          read_only_user: true,
          no_sensitive: true,
          close_after_write: 2,
          refuse: false,
          silent_after_accept: false,
        },
      });
      expect(output).toContain(info.tls_fingerprint);
      expect(await readFile(`${state}.tls.pem`, 'utf8')).toContain('PRIVATE KEY');
      controller.abort();
      expect(await running).toBe(0);
    } finally {
      process.stdout.write = write;
    }
    const none = new AbortController().signal;
    for (const wrong of [['--chunk-bytes', 'x'], ['--clock-skew=1.5'], ['--tls', '--tls-adh'], ['--delay-ms=-1']])
      expect(await simulate(['--password', 'x', '--port', '0', ...wrong], none)).toBe(2);
  });
});
