import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { encodeSentence, SentenceDecoder } from '../routeros/codec.ts';
import type { Simulator } from '../simulator/server.ts';
import { Table } from '../simulator/table.ts';
import { namesOf, open, start, startAndLogIn } from './simulator-client.ts';
import type { RawClient } from './simulator-client.ts';

describe('login', () => {
  it.each([
    ['6.48', 'cannot log in'],
    ['7.18', 'invalid user name or password (6)'],
  ])('with a wrong password answers as %s does and closes', async (version, message) => {
    const client = open(await start({ version }));
    expect(await client.trap('/login', '=name=admin', '=password=salah')).toBe(message);
    await client.waitForClose();
  });

  it('with a wrong name looks the same', async () => {
    const client = open(await start());
    expect(await client.trap('/login', '=name=root', '=password=rahasia')).toBe('invalid user name or password (6)');
    await client.waitForClose();
  });

  it('is needed first', async () => {
    const client = open(await start());
    expect(await client.run('/ppp/secret/print')).toEqual([{ kind: '!fatal', bare: ['not logged in'], values: {} }]);
    await client.waitForClose();
  });

  it('before 6.43 takes the challenge, even from a client that sent the password', async () => {
    const simulator = await start({ version: '6.40', old_login: true });
    for (const first of [['/login'], ['/login', '=name=admin', '=password=rahasia']]) {
      const client = open(simulator);
      const challenge = Buffer.from(await client.ret(...first), 'hex');
      expect(challenge.length).toBe(16);
      const digest = createHash('md5').update('\0').update('rahasia').update(challenge).digest('hex');
      expect(await client.ret('/login', '=name=admin', `=response=00${digest}`)).toBe('');
      expect(await client.rows('/system/identity/print')).toEqual([{ name: 'MikroTik' }]);
    }
    const client = open(simulator);
    await client.ret('/login');
    expect(await client.trap('/login', '=name=admin', `=response=00${'0'.repeat(32)}`)).toBe('cannot log in');
  });

  it('without a name or password is answered with a challenge to this day, and no response to it is right', async () => {
    const client = open(await start({ version: '7.18' }));
    const challenge = Buffer.from(await client.ret('/login'), 'hex');
    expect(challenge.length).toBe(16);
    const digest = createHash('md5').update('\0').update('rahasia').update(challenge).digest('hex');
    const refusal = await client.trap('/login', '=name=admin', `=response=00${digest}`);
    expect(refusal).toBe('invalid user name or password (6)');
  });

  it('ends with /quit', async () => {
    const [client] = await startAndLogIn();
    expect(await client.run('/quit')).toEqual([
      { kind: '!fatal', bare: ['session terminated on request'], values: {} },
    ]);
    await client.waitForClose();
  });
});

it('a tag comes right after the reply’s word, as some clients rely on', async () => {
  const simulator = await start();
  const socket = connect(simulator.port, '127.0.0.1');
  socket.write(encodeSentence(['/login', '=name=admin', '=password=rahasia', '.tag=a'].map(word => Buffer.from(word))));
  socket.write(encodeSentence(['/system/identity/print', '.tag=b'].map(word => Buffer.from(word))));
  const decoder = new SentenceDecoder();
  const sentences: string[][] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    sentences.push(...decoder.push(chunk).map(words => words.map(word => Buffer.from(word).toString())));
    if (sentences.length === 3) break;
  }
  expect(sentences).toEqual([
    ['!done', '.tag=a'],
    ['!re', '.tag=b', '=name=MikroTik'],
    ['!done', '.tag=b'],
  ]);
});

describe('tables', () => {
  it('give every row an id that is never used again, in upper-case hex', async () => {
    const [client] = await startAndLogIn();
    const ids: string[] = [];
    for (let index = 0; index < 11; index++) {
      const id = await client.ret('/ppp/secret/add', `=name=u${index}`);
      ids.push(id);
      if (index === 9) expect(await client.ret('/ppp/secret/remove', `=.id=${id}`)).toBe('');
    }
    expect(ids.slice(-2)).toEqual(['*A', '*B']);
  });

  it.each([
    ['/ppp/secret', ['=name=a'], 'failure: secret with the same name already exists'],
    ['/ppp/profile', ['=name=a'], 'failure: profile with the same name already exists'],
    ['/ppp/profile', ['=name=default'], 'failure: profile with the same name already exists'],
    ['/ip/pool', ['=name=a', '=ranges=10.0.0.2-10.0.0.9'], 'failure: pool with such name exists'],
    ['/queue/simple', ['=name=a', '=target=10.0.0.2'], 'failure: already have such name'],
    ['/ip/firewall/address-list', ['=list=a', '=address=10.0.0.2'], 'failure: already have such entry'],
    ['/ip/hotspot/user', ['=name=a'], 'failure: already have user with this name for this server'],
  ])('%s refuses a second %j', async (menu, words, message) => {
    const [client] = await startAndLogIn();
    if (words[0] !== '=name=default') await client.ret(`${menu}/add`, ...words);
    expect(await client.trap(`${menu}/add`, ...words)).toBe(message);
  });

  it('refuse a taken name in set too, and free a name that was given up', async () => {
    const [client] = await startAndLogIn();
    const first = await client.ret('/ppp/secret/add', '=name=a');
    const second = await client.ret('/ppp/secret/add', '=name=b');
    const taken = 'failure: secret with the same name already exists';
    expect(await client.trap('/ppp/secret/set', `=.id=${second}`, '=name=a')).toBe(taken);
    expect(await client.trap('/ppp/secret/set', `=.id=${first},${second}`, '=name=c')).toBe(taken);
    expect(await client.ret('/ppp/secret/set', `=.id=${first}`, '=name=a')).toBe('');
    expect(await client.ret('/ppp/secret/set', `=.id=${first}`, '=name=c')).toBe('');
    expect(await client.ret('/ppp/secret/set', `=.id=${second}`, '=name=a')).toBe('');
    expect(namesOf(await client.rows('/ppp/secret/print'))).toEqual(['c', 'a']);
  });

  it('allow the same hotspot user on another server and the same address in another list', async () => {
    const [client] = await startAndLogIn();
    await client.ret('/ip/hotspot/user/add', '=name=a');
    await client.ret('/ip/hotspot/user/add', '=name=a', '=server=hs1');
    await client.ret('/ip/firewall/address-list/add', '=list=isolir', '=address=10.0.0.2');
    await client.ret('/ip/firewall/address-list/add', '=list=vip', '=address=10.0.0.2');
    const same = await client.trap('/ip/firewall/address-list/add', '=list=vip', '=address=10.0.0.2/32');
    expect(same).toBe('failure: already have such entry');
  });

  it.each([
    [['/ppp/secret/add', '=name=a', '=profile=nope'], 'input does not match any value of profile'],
    [['/ppp/secret/add', '=name=a', '=remote-address=nope'], 'invalid value for argument remote-address'],
    [['/ppp/secret/add', '=name=a', '=colour=red'], 'unknown parameter colour'],
    [['/ppp/secret/add', '=name=a', '=constructor=x'], 'unknown parameter constructor'],
    [['/ppp/secret/add'], 'missing =name='],
    [['/ppp/secret/add', '=name=a', '=service=carrier-pigeon'], 'input does not match any value of service'],
    [['/ppp/secret/add', '=name=a', '=disabled=maybe'], 'invalid value for argument disabled'],
    [['/ppp/profile/add', '=name=a', '=remote-address=nope'], 'invalid value for argument remote-address'],
    [['/ppp/profile/add', '=name=a', '=rate-limit=fast'], 'invalid value for argument rate-limit'],
    [['/queue/simple/add', '=target=10.0.0.1', '=max-limit=1x/1x'], 'invalid value for argument max-limit'],
    [['/queue/simple/add', '=target=10.0.0.1', '=parent=nope'], 'input does not match any value of parent'],
    [['/ip/pool/add', '=name=a', '=ranges=10.0.0.9-10.0.0.2'], 'invalid value for argument ranges'],
    [['/ip/hotspot/user/add', '=name=a', '=profile=nope'], 'input does not match any value of profile'],
    [['/ppp/secret/set', '=.id=*99', '=disabled=yes'], 'no such item'],
    [['/ppp/secret/remove', '=.id=*99'], 'no such item'],
    [['/ppp/secret/remove'], 'missing =.id='],
    [['/ppp/nothing/print'], 'no such command prefix'],
    [['/ppp/secret/explode'], 'no such command'],
    [['/system/resource/set', '=uptime=1'], 'no such command'],
    [['/ppp/active/add', '=name=a'], 'no such command'],
    [['/ppp/profile/remove', '=.id=*0'], 'failure: can not remove default item'],
    [['/ppp/profile/remove', '=.id=*FFFFFFFE'], 'failure: can not remove default item'],
  ])('answer %j with "%s"', async (words, message) => {
    const [client] = await startAndLogIn();
    expect(await client.trap(...words)).toBe(message);
    expect(await client.ret('/ppp/secret/print', '=count-only=')).toBe('0');
  });

  it('say "no such item (4)" in version 6', async () => {
    const [client] = await startAndLogIn({ version: '6.48' });
    expect(await client.trap('/ppp/secret/remove', '=.id=*99')).toBe('no such item (4)');
  });

  it('change nothing when one of several ids is missing', async () => {
    const [client] = await startAndLogIn();
    const id = await client.ret('/ppp/secret/add', '=name=a');
    await client.trap('/ppp/secret/remove', `=.id=${id},*99`);
    await client.trap('/ppp/secret/set', `=.id=${id},*99`, '=disabled=yes');
    expect((await client.rows('/ppp/secret/print'))[0]?.disabled).toBe('false');
  });

  it('take set, enable, disable and remove for several ids at once', async () => {
    const [client] = await startAndLogIn();
    const ids = [await client.ret('/ppp/secret/add', '=name=a'), await client.ret('/ppp/secret/add', '=name=b')].join();
    const read = async (field: string) => (await client.rows('/ppp/secret/print')).map(row => row[field]);
    await client.ret('/ppp/secret/disable', `=.id=${ids}`);
    expect(await read('disabled')).toEqual(['true', 'true']);
    await client.ret('/ppp/secret/enable', `=.id=${ids}`);
    expect(await read('disabled')).toEqual(['false', 'false']);
    await client.ret('/ppp/secret/set', `=.id=${ids}`, '=comment=x');
    expect(await read('comment')).toEqual(['x', 'x']);
    await client.ret('/ppp/secret/remove', `=.id=${ids}`);
    expect(await read('name')).toEqual([]);
  });

  it('unset', async () => {
    const [client] = await startAndLogIn();
    const id = await client.ret('/ppp/secret/add', '=name=a', '=remote-address=10.0.0.5', '=comment=x');
    await client.ret('/ppp/secret/unset', `=.id=${id}`, '=value-name=remote-address');
    const [row] = await client.rows('/ppp/secret/print');
    expect(row).not.toHaveProperty('remote-address');
    expect(row?.comment).toBe('x');
    const refused = await client.trap('/ppp/secret/unset', `=.id=${id}`, '=value-name=name');
    expect(refused).toBe('input does not match any value of value-name');
  });

  it('keep followers of a renamed row, and show the id of one that is gone', async () => {
    const [client] = await startAndLogIn();
    const id = await client.ret('/ppp/profile/add', '=name=paket-10');
    await client.ret('/ppp/secret/add', '=name=a', '=profile=paket-10');
    await client.ret('/ppp/profile/set', `=.id=${id}`, '=name=paket-20');
    expect((await client.rows('/ppp/secret/print'))[0]?.profile).toBe('paket-20');
    await client.ret('/ppp/profile/remove', `=.id=${id}`);
    expect((await client.rows('/ppp/secret/print'))[0]?.profile).toBe(id);
  });

  it('keep the order of rules, with place-before and move', async () => {
    const [client] = await startAndLogIn();
    const add = (comment: string, ...more: string[]) =>
      client.ret('/ip/firewall/filter/add', '=chain=forward', `=comment=${comment}`, ...more);
    const first = await add('a');
    await add('b');
    const third = await add('c', `=place-before=${first}`);
    const read = async () => (await client.rows('/ip/firewall/filter/print')).map(row => row.comment).join('');
    expect(await read()).toBe('cab');
    await client.ret('/ip/firewall/filter/move', `=numbers=${third}`);
    expect(await read()).toBe('abc');
  });

  it('refuse writes from a read-only user, at once when it is switched', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.setFaults({ read_only_user: true });
    for (const verb of ['add', 'set', 'remove', 'enable']) {
      expect(await client.trap(`/ppp/secret/${verb}`, '=name=a')).toBe('not enough permissions (9)');
    }
    expect(await client.ret('/ppp/secret/print', '=count-only=')).toBe('0');
  });
});

describe('sessions', () => {
  async function prepare(): Promise<[RawClient, Simulator]> {
    const [client, simulator] = await startAndLogIn();
    await client.ret('/ip/pool/add', '=name=p', '=ranges=10.9.0.2-10.9.0.3');
    await client.ret(
      '/ppp/profile/add',
      '=name=paket',
      '=remote-address=p',
      '=rate-limit=1M/2M',
      '=address-list=aktif',
    );
    for (const name of ['a', 'b', 'c']) await client.ret('/ppp/secret/add', `=name=${name}`, '=profile=paket');
    return [client, simulator];
  }

  it('bring their dynamic rows, and take them along when removed', async () => {
    const [client, simulator] = await prepare();
    simulator.router.dial('a', { caller_id: 'AA:BB:CC:00:00:01' });
    const [active] = await client.rows('/ppp/active/print', '?name=a');
    expect(active).toMatchObject({
      name: 'a',
      service: 'pppoe',
      address: '10.9.0.2',
      'caller-id': 'AA:BB:CC:00:00:01',
    });
    expect(await client.rows('/ip/pool/used/print')).toMatchObject([{ pool: 'p', address: '10.9.0.2' }]);
    const [queue] = await client.rows('/queue/simple/print', '?dynamic=true');
    expect(queue).toMatchObject({ name: '<pppoe-a>', 'max-limit': '1000000/2000000' });
    expect(await client.trap('/queue/simple/remove', `=.id=${queue?.['.id']}`)).toBe('failure: can not remove dynamic');
    expect(await client.rows('/ip/firewall/address-list/print')).toMatchObject([{ list: 'aktif', dynamic: 'true' }]);
    expect(await client.ret('/ppp/active/remove', `=.id=${active?.['.id']}`)).toBe('');
    for (const menu of ['/ppp/active', '/ip/pool/used', '/queue/simple', '/ip/firewall/address-list']) {
      expect(await client.ret(`${menu}/print`, '=count-only=')).toBe('0');
    }
    const [secret] = await client.rows('/ppp/secret/print', '?name=a');
    expect(secret).toMatchObject({ 'last-caller-id': 'AA:BB:CC:00:00:01', 'last-disconnect-reason': 'admin-reset' });
    expect(secret?.['last-logged-out']).not.toMatch(/^1970/);
  });

  it('outlive a change of the secret, and are refused to a disabled or unknown one', async () => {
    const [client, simulator] = await prepare();
    simulator.router.dial('a');
    await client.ret('/ppp/secret/disable', '=.id=*1');
    expect(await client.rows('/ppp/active/print')).toHaveLength(1);
    expect(simulator.router.hangUp('a')).toBe(1);
    expect(() => simulator.router.dial('a')).toThrow('disabled');
    expect(() => simulator.router.dial('nobody')).toThrow('no secret');
    expect(await client.rows('/ppp/active/print')).toHaveLength(0);
  });

  it('never share an address, and end when the pool is used up', async () => {
    const [client, simulator] = await prepare();
    simulator.router.dial('a');
    simulator.router.dial('b');
    expect(() => simulator.router.dial('c')).toThrow('no address is left');
    expect((await client.rows('/ppp/active/print')).map(row => row.address)).toEqual(['10.9.0.2', '10.9.0.3']);
    simulator.router.hangUp('a');
    simulator.router.dial('c');
    expect((await client.rows('/ppp/active/print', '?name=c'))[0]?.address).toBe('10.9.0.2');
  });
});

describe('10,000 secrets', () => {
  it('are added, found by name and printed without a wait that grows', async () => {
    const [client] = await startAndLogIn();
    // what grows with the rows is to go through all of them
    const scan = vi.spyOn(Table.prototype, 'all');
    onTestFinished(() => scan.mockRestore());
    for (let index = 0; index < 10_000; index++)
      client.send('/ppp/secret/add', `=name=user${index}`, '=comment=rukun:C');
    for (let index = 0; index < 10_000; index++) await client.take();
    for (let index = 0; index < 2_000; index++)
      client.send('/ppp/secret/print', `?name=user${index * 5}`, '=.proplist=.id');
    for (let index = 0; index < 2_000; index++) expect((await client.take())[0]?.values['.id']).toBeDefined();
    expect(await client.trap('/ppp/secret/add', '=name=user9999')).toContain('already exists');
    expect(scan).not.toHaveBeenCalled();
    expect(await client.rows('/ppp/secret/print')).toHaveLength(10_000);
    expect(scan).toHaveBeenCalledTimes(1);
  });
});
