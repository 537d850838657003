import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeText } from '../simulator/text.ts';
import { formatDuration, parseDuration, parseRate } from '../simulator/values.ts';
import { namesOf, startAndLogIn } from './simulator-client.ts';

describe('values', () => {
  it('of a secret read back with their defaults', async () => {
    const [client] = await startAndLogIn({ version: '7.18' });
    await client.ret('/ppp/secret/add', '=name=budi', '=password=p=w', '=service=pppoe', '=disabled=yes');
    expect(await client.rows('/ppp/secret/print')).toEqual([
      {
        '.id': '*1',
        name: 'budi',
        service: 'pppoe',
        'caller-id': '',
        password: 'p=w',
        profile: 'default',
        routes: '',
        'ipv6-routes': '',
        'limit-bytes-in': '0',
        'limit-bytes-out': '0',
        'last-logged-out': '1970-01-01 00:00:00',
        'last-caller-id': '',
        'last-disconnect-reason': '',
        disabled: 'true',
      },
    ]);
  });

  it('are dated as version 6 does', async () => {
    const [client] = await startAndLogIn({ version: '6.48' });
    await client.ret('/ppp/secret/add', '=name=budi');
    expect((await client.rows('/ppp/secret/print'))[0]?.['last-logged-out']).toBe('jan/01/1970 00:00:00');
    expect((await client.rows('/system/clock/print'))[0]?.date).toMatch(/^[a-z]{3}\/\d\d\/\d{4}$/);
  });

  it('of queues are plain bits, of profiles as given, and durations short', async () => {
    const [client] = await startAndLogIn();
    await client.ret('/queue/simple/add', '=name=q', '=target=10.0.0.2', '=max-limit=5M/512k', '=burst-time=8/90');
    expect((await client.rows('/queue/simple/print', '?name=q'))[0]).toMatchObject({
      target: '10.0.0.2/32',
      'max-limit': '5000000/512000',
      'limit-at': '0/0',
      'burst-time': '8s/1m30s',
      priority: '8/8',
      parent: 'none',
      queue: 'default-small/default-small',
      disabled: 'false',
      dynamic: 'false',
    });
    const limit = '5M/10M 10M/20M 4M/8M 16/16 8 1M/1M';
    await client.ret(
      '/ppp/profile/add',
      '=name=p',
      `=rate-limit=${limit}`,
      '=session-timeout=26:00:00',
      '=only-one=yes',
    );
    const [profile] = await client.rows('/ppp/profile/print', '?name=p');
    expect(profile).toMatchObject({
      'rate-limit': limit,
      'session-timeout': '1d2h',
      'only-one': 'yes',
      'change-tcp-mss': 'default',
    });
  });

  it('hold =, new lines, UTF-8 and bytes that are not UTF-8', async () => {
    const [client] = await startAndLogIn();
    const comment = 'a=b=\nIbu Sri 🏠 \udc80\udcff';
    await client.ret('/ppp/secret/add', '=name=a', `=comment=${comment}`);
    const [row] = await client.rows('/ppp/secret/print');
    expect(encodeText(row?.comment ?? '')).toEqual(encodeText(comment));
  });

  it('that are secret are neither sent nor asked for without the sensitive policy', async () => {
    const [client, simulator] = await startAndLogIn();
    await client.ret('/ppp/secret/add', '=name=a', '=password=p');
    expect(await client.rows('/ppp/secret/print', '?password=p', '=.proplist=password')).toEqual([{ password: 'p' }]);
    simulator.setFaults({ no_sensitive: true });
    expect((await client.rows('/ppp/secret/print'))[0]).not.toHaveProperty('password');
    expect(await client.rows('/ppp/secret/print', '?password=p')).toEqual([]);
    expect(await client.ret('/export', '=show-sensitive=')).not.toContain('password');
  });
});

describe('durations and rates', () => {
  it.each([
    ['90', '1m30s'],
    ['1d2h', '1d2h'],
    ['26:00:00', '1d2h'],
    ['1d02:00:00', '1d2h'],
    ['00:05', '5m'],
    ['300ms', '300ms'],
    ['14d', '2w'],
    ['0', '0s'],
  ])('%s reads back as %s', (raw, shown) => {
    expect(formatDuration(parseDuration(raw) ?? -1)).toBe(shown);
  });

  it.each(['', 'x', '1y', '-5', '1:2:3:4', '5 m'])('"%s" is no duration', raw => {
    expect(parseDuration(raw)).toBe(null);
  });

  it('any duration shown is read back as the same', () => {
    fc.assert(fc.property(fc.nat(), time_ms => parseDuration(formatDuration(time_ms)) === time_ms));
  });

  it('k, M and G are thousands', () => {
    expect(['5M', '512k', '1.5M', '1G', '7', '', '5X', '-1'].map(parseRate)).toEqual([
      5e6,
      512e3,
      15e5,
      1e9,
      7,
      null,
      null,
      null,
    ]);
  });
});

describe('print', () => {
  it.each([
    ['7.18', ['!empty', '!done']],
    ['7.18.2', ['!empty', '!done']],
    ['7.16', ['!done']],
    ['6.48', ['!done']],
  ])('of nothing in %s is %j', async (version, kinds) => {
    const [client] = await startAndLogIn({ version });
    expect((await client.run('/ppp/secret/print')).map(reply => reply.kind)).toEqual(kinds);
    expect((await client.run('/ppp/secret/getall', '?name=x')).map(reply => reply.kind)).toEqual(kinds);
    expect(await client.ret('/ppp/secret/print', '=count-only=')).toBe('0');
  });

  it('sends the tag back on each reply', async () => {
    const [client] = await startAndLogIn();
    for (const words of [['/ppp/profile/print'], ['/ppp/secret/print'], ['/no/such'], ['/ppp/secret/add', '=name=a']]) {
      const replies = await client.run(...words, '.tag=t 1');
      expect(replies.every(reply => reply.values['.tag'] === 't 1')).toBe(true);
    }
  });

  it('gives only what .proplist names', async () => {
    const [client] = await startAndLogIn();
    const rows = await client.rows('/ppp/profile/print', '=.proplist=.id,name,nothing', '?name=default');
    expect(rows).toEqual([{ '.id': '*0', name: 'default' }]);
  });

  it('takes detail and stats, and no word it does not know', async () => {
    const [client] = await startAndLogIn();
    expect(await client.rows('/ppp/profile/print', '=detail=', '=stats=')).toHaveLength(2);
    expect(await client.trap('/ppp/profile/print', '=paint=')).toBe('unknown parameter paint');
  });

  it.each<[string[], string]>([
    [[], 'abcd'],
    [['?comment'], 'ab'],
    [['?-comment'], 'cd'],
    [['?name=b'], 'b'],
    [['?=name=b'], 'b'],
    [['?.id=*3'], 'c'],
    [['?disabled=true'], 'bd'],
    [['?disabled=true', '?comment'], 'b'],
    [['?limit-bytes-in>5'], ''],
    [['?>limit-bytes-in=5'], 'bc'],
    [['?<limit-bytes-in=90'], 'abd'],
    [['?name=a', '?name=c', '?#|'], 'ac'],
    [['?name=a', '?#!'], 'bcd'],
    [['?name=a', '?name=b', '?#|!'], 'cd'],
    [['?disabled=true', '?comment', '?#&'], 'b'],
    [['?disabled=true', '?comment', '?#&!'], 'acd'],
    [['?name=a', '?#.!|'], 'abcd'],
    [['?name=a', '?name=b', '?name=c', '?#||'], 'abc'],
    [['?name=a', '?name=b', '?#1'], 'a'],
    [['?name=a', '?name=b', '?#1.|'], 'a'],
    [['?name=a', '?name=b', '?#1.!&!|'], 'acd'],
    [['?#|'], 'abcd'],
    [['?name=nobody'], ''],
    [['?nothing=x'], ''],
    [['?comment=one=1'], 'a'],
  ])('selects by %j: %s', async (queries, expected) => {
    const [client] = await startAndLogIn();
    await client.ret('/ppp/secret/add', '=name=a', '=comment=one=1');
    await client.ret('/ppp/secret/add', '=name=b', '=comment=two', '=disabled=yes', '=limit-bytes-in=10');
    await client.ret('/ppp/secret/add', '=name=c', '=limit-bytes-in=100');
    await client.ret('/ppp/secret/add', '=name=d', '=disabled=yes');
    expect(namesOf(await client.rows('/ppp/secret/print', ...queries)).join('')).toBe(expected);
    expect(await client.ret('/ppp/secret/print', '=count-only=', ...queries)).toBe(String(expected.length));
  });

  it('answers the menus of the system', async () => {
    const [client] = await startAndLogIn({ version: '7.16', identity: 'pusat' });
    expect(await client.rows('/system/identity/print')).toEqual([{ name: 'pusat' }]);
    await client.ret('/system/identity/set', '=name=gateway');
    expect(await client.rows('/system/identity/print')).toEqual([{ name: 'gateway' }]);
    expect((await client.rows('/system/resource/print'))[0]).toMatchObject({ version: '7.16 (stable)' });
    expect((await client.rows('/system/routerboard/print'))[0]).toMatchObject({ routerboard: 'true' });
    expect((await client.rows('/system/package/print'))[0]).toMatchObject({ name: 'routeros', version: '7.16' });
    await client.ret('/system/clock/set', '=time-zone-name=Asia/Jakarta');
    expect((await client.rows('/system/clock/print'))[0]).toMatchObject({ 'gmt-offset': '+07:00' });
    expect(await client.rows('/interface/print', '?type=ether')).toHaveLength(5);
    expect((await client.rows('/log/print')).at(-1)?.message).toBe('user admin logged in from 127.0.0.1 via api');
    for (const menu of ['/ip/pool/used', '/ip/hotspot/active', '/ip/address', '/radius', '/ip/firewall/nat']) {
      expect(await client.ret(`${menu}/print`, '=count-only=')).toBe('0');
    }
  });
});
