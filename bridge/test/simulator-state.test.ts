import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Simulator } from '../simulator/server.ts';
import { eventually } from '../../test/support/eventually.ts';
import { makeFolder, namesOf, start, startAndLogIn } from './simulator-client.ts';

const SAMPLE = `# 2026-09-26 20:00:00 by RouterOS 7.16
/interface bridge
add name=bridge1
/interface ethernet
set [ find default-name=ether1 ] comment="ke ISP" name=ether1-wan
/ip pool
add name=pool1 next-pool=pool2 ranges=10.10.0.2-10.10.0.254
add name=pool2 ranges=10.20.0.2-10.20.0.254
/queue simple
add max-limit=5M/10M name=q1 target=10.10.0.9/32
add name=semua target=""
/ppp profile
set *0 only-one=yes
add name="Paket 10 Mbps" local-address=10.10.0.1 remote-address=pool1 rate-limit=5M/10M
/ip address
add address=10.10.0.1/24 interface=bridge1
/ppp secret
add comment="Budi \\"RT 01\\" rukun:C001" disabled=yes name=budi password="p w\\$1" profile=\\
    "Paket 10 Mbps" service=pppoe
/system identity
set name=Gateway-RT05
`;

describe('exports', () => {
  it('load what they wrote: twice the same text, in either version', async () => {
    for (const version of ['6.48', '7.18']) {
      const first = await start({ version });
      expect(first.router.load(SAMPLE).problems).toEqual([]);
      const writeExport = (from: Simulator) => from.router.export({ show_sensitive: true }).replace(/^#.*\n/, '');
      const text = writeExport(first);
      const second = await start({ version });
      expect(second.router.load(text).problems).toEqual([]);
      expect(writeExport(second)).toBe(text);
      for (const menu of ['/ppp/secret', '/ppp/profile', '/ip/pool', '/queue/simple', '/ip/address', '/interface']) {
        expect(second.router.rows(menu)).toEqual(first.router.rows(menu));
      }
      expect(text).toContain('add name=bridge1');
      expect(text).toContain('add name=semua target=""');
    }
  });

  it('are understood value by value', async () => {
    const [client, simulator] = await startAndLogIn();
    simulator.router.load(SAMPLE);
    expect((await client.rows('/ppp/secret/print'))[0]).toMatchObject({
      name: 'budi',
      password: 'p w$1',
      profile: 'Paket 10 Mbps',
      comment: 'Budi "RT 01" rukun:C001',
      disabled: 'true',
    });
    expect((await client.rows('/ip/pool/print'))[1]).toMatchObject({ name: 'pool1', 'next-pool': 'pool2' });
    expect((await client.rows('/ppp/profile/print', '?.id=*0'))[0]?.['only-one']).toBe('yes');
    expect((await client.rows('/ip/address/print'))[0]).toMatchObject({ interface: 'bridge1', network: '10.10.0.0' });
    expect((await client.rows('/interface/print'))[0]).toMatchObject({ name: 'ether1-wan', 'default-name': 'ether1' });
    expect((await client.rows('/queue/simple/print'))[0]?.['max-limit']).toBe('5000000/10000000');
  });

  it('hide passwords in version 7 unless asked, and come over the API', async () => {
    const [client, simulator] = await startAndLogIn({ version: '7.18' });
    simulator.router.load(SAMPLE);
    expect(await client.ret('/export')).not.toContain('p w');
    expect(await client.ret('/export', '=show-sensitive=')).toContain('password=');
    const part = await client.ret('/ppp/secret/export');
    expect(part).toContain('name=budi');
    expect(part).not.toContain('pool1');
  });

  it('report the line that fails and go on', async () => {
    const { router } = await start();
    const text = '/ppp secret\nadd name=a profile=gone\nadd name=a\nadd name=b\n';
    const { problems } = router.load(text);
    expect(problems.map(({ reason }) => reason).sort()).toEqual([
      'failure: secret with the same name already exists',
      'input does not match any value of profile',
    ]);
    expect(
      router
        .rows('/ppp/secret')
        .map(row => row.name)
        .sort(),
    ).toEqual(['a', 'b']);
  });

  it('are the state file, read at the start and written at the stop', async () => {
    const state_file = join(await makeFolder(), 'router.rsc');
    await writeFile(state_file, SAMPLE);
    const [client, simulator] = await startAndLogIn({ state_file });
    await client.ret('/ppp/secret/add', '=name=siti', '=password=rahasia2', '=profile=Paket 10 Mbps');
    await simulator.stop();
    expect(await readFile(state_file, 'utf8')).toContain('name=siti');
    const [again] = await startAndLogIn({ state_file });
    expect(namesOf(await again.rows('/ppp/secret/print', '?password=rahasia2'))).toEqual(['siti']);
    expect(await again.rows('/system/identity/print')).toEqual([{ name: 'Gateway-RT05' }]);
  });
});

describe('the state file', () => {
  it('is written soon after a change, for nobody else to read', async () => {
    const state_file = join(await makeFolder(), 'router.rsc');
    const [client] = await startAndLogIn({ state_file });
    await client.ret('/ppp/secret/add', '=name=siti', '=password=pw');
    const read = async () => expect(await readFile(state_file, 'utf8')).toContain('name=siti password=pw');
    await eventually(read);
    expect((await stat(state_file)).mode & 0o077).toBe(0);
  });

  it('is copied before lines are lost that could not be loaded, and they are told', async () => {
    const state_file = join(await makeFolder(), 'router.rsc');
    const text = '/ppp secret\nadd name=a profile=gone\n:put "hello"\n';
    await writeFile(state_file, text);
    const told: string[] = [];
    await start({ state_file, report: message => told.push(message) });
    expect(told).toHaveLength(2);
    expect(await readFile(`${state_file}.orig`, 'utf8')).toBe(text);
  });
});
