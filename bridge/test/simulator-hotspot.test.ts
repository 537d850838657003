import { describe, expect, it } from 'vitest';
import { callControl, makeClock, startAndLogIn } from './simulator-client.ts';

const SETUP = `/ip pool add name=hs ranges=10.5.0.2-10.5.0.9
/ip hotspot user profile
add name=harian rate-limit=512k/1M address-pool=hs shared-users=2 address-list=tamu
/ip hotspot user
add name=tamu profile=harian
add name=lain server=hs2 password=x
add name=habis limit-uptime=1h limit-bytes-total=1000
add name=mati disabled=yes
`;

async function prepare() {
  const clock = makeClock();
  const [client, simulator] = await startAndLogIn({ now: clock.now, control_port: 0 });
  expect(simulator.router.load(SETUP).problems).toEqual([]);
  const post = async (path: string, body: unknown) => {
    const { status, text } = await callControl(simulator, 'POST', path, body);
    return { status, body: JSON.parse(text) as Record<string, unknown> };
  };
  return { clock, client, simulator, post };
}

describe('hotspot users', () => {
  it('who log in are active, with what the profile brings, and count', async () => {
    const { client, clock, post } = await prepare();
    const { status, body } = await post('/hotspot-login', { name: 'tamu', mac: 'aa:bb:cc:00:00:01' });
    expect(status).toBe(200);
    await post('/traffic', { name: 'tamu', upload_bytes: 1500, download_bps: 9_000_000 });
    clock.now_ms += 8000;
    const [active] = await client.rows('/ip/hotspot/active/print', '?user=tamu');
    expect(active).toMatchObject({
      '.id': body.id,
      server: 'hotspot1',
      user: 'tamu',
      address: '10.5.0.2',
      'mac-address': 'AA:BB:CC:00:00:01',
      uptime: '8s',
      'bytes-in': '1500',
      'bytes-out': '1000000',
      'packets-in': '2',
      'packets-out': '1000',
    });
    const counters = { uptime: '8s', 'bytes-in': '1500', 'bytes-out': '1000000' };
    expect((await client.rows('/ip/hotspot/user/print', '?name=tamu'))[0]).toMatchObject(counters);
    expect((await client.rows('/queue/simple/print'))[0]).toMatchObject({
      name: '<hotspot-tamu>',
      target: '10.5.0.2/32',
      'max-limit': '512000/1000000',
      bytes: '1500/1000000',
    });
    expect(await client.rows('/ip/firewall/address-list/print')).toMatchObject([{ list: 'tamu', address: '10.5.0.2' }]);
    expect(await client.rows('/ip/pool/used/print')).toMatchObject([{ pool: 'hs', owner: 'hotspot' }]);
  });

  it('are logged out over the control port or by a remove; their own counters go on', async () => {
    const { client, clock, post } = await prepare();
    for (let round = 1; round <= 2; round++) {
      await post('/hotspot-login', { name: 'tamu' });
      await post('/traffic', { name: 'tamu', upload_bytes: 100 });
      clock.now_ms += 5000;
      const [active] = await client.rows('/ip/hotspot/active/print');
      expect(active).toMatchObject({ uptime: '5s', 'bytes-in': '100' });
      if (round === 1) expect((await post('/hotspot-logout', { name: 'tamu' })).body).toEqual({ ended: 1 });
      else await client.ret('/ip/hotspot/active/remove', `=.id=${active?.['.id']}`);
      for (const menu of ['/ip/hotspot/active', '/queue/simple', '/ip/pool/used', '/ip/firewall/address-list'])
        expect(await client.ret(`${menu}/print`, '=count-only=')).toBe('0');
      const use = { uptime: `${round * 5}s`, 'bytes-in': String(round * 100) };
      expect((await client.rows('/ip/hotspot/user/print', '?name=tamu'))[0]).toMatchObject(use);
    }
    expect((await post('/hotspot-logout', { name: 'tamu' })).body).toEqual({ ended: 0 });
  });

  it.each([
    [{ name: 'nobody' }, 'no hotspot user named nobody for the server hotspot1'],
    [{ name: 'lain' }, 'no hotspot user named lain for the server hotspot1'],
    [{ name: 'mati' }, 'the hotspot user mati is disabled'],
  ])('are refused: %j', async (body, error) => {
    const { post } = await prepare();
    expect(await post('/hotspot-login', body)).toEqual({ status: 409, body: { error } });
    expect((await post('/hotspot-login', { name: 'lain', server: 'hs2' })).status).toBe(200);
    expect((await post('/hotspot-login', {})).status).toBe(400);
  });

  it('of one name on two servers are two users', async () => {
    const { client, post } = await prepare();
    await client.ret('/ip/hotspot/user/add', '=name=lain');
    for (const server of ['hs1', 'hs2'])
      expect((await post('/hotspot-login', { name: 'lain', server })).status).toBe(200);
    const [first] = await client.rows('/ip/hotspot/active/print', '?server=hs2');
    await post('/traffic', { name: 'lain', upload_bytes: 10 });
    await client.ret('/ip/hotspot/active/remove', `=.id=${first?.['.id']}`);
    await post('/traffic', { name: 'lain', upload_bytes: 5 });
    const used = await client.rows('/ip/hotspot/user/print', '?name=lain', '=.proplist=server,bytes-in');
    expect(used).toEqual([
      { server: 'hs2', 'bytes-in': '10' },
      { server: 'all', 'bytes-in': '15' },
    ]);
  });

  it('share as their profile allows, and are shut out when used up', async () => {
    const { client, clock, post } = await prepare();
    const logIn = async (name: string) => (await post('/hotspot-login', { name })).body.error;
    expect([await logIn('tamu'), await logIn('tamu')]).toEqual([undefined, undefined]);
    expect(await logIn('tamu')).toBe('no more sessions are allowed for user tamu');
    expect(await logIn('habis')).toBe(undefined);
    await post('/traffic', { name: 'habis', download_bytes: 1000 });
    await post('/hotspot-logout', { name: 'habis' });
    expect(await logIn('habis')).toBe('user habis has reached traffic limit');
    await client.ret('/ip/hotspot/user/unset', '=.id=habis', '=value-name=limit-bytes-total');
    expect(await logIn('habis')).toBe(undefined);
    clock.now_ms += 3_600_000;
    await post('/hotspot-logout', { name: 'habis' });
    expect(await logIn('habis')).toBe('user habis has reached uptime limit');
  });
});
