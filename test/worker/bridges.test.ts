import { expect, test } from 'vitest';
import { TestBridge, TestTenant } from '../support/world.ts';

/** Where a bridge may be: a host name of its own behind a tunnel; loopback only in development. */

test('the address of a bridge is a tunnel’s host name, and nothing inside some network or of our own', async () => {
  const tenant = await TestTenant.signUp();
  const ask = (url: string) => tenant.call('POST', '/bridges', { body: { name: url, url } });
  for (const url of ['https://bridge.melati.example', 'https://bridge.melati.example:8443', 'http://127.0.0.1:8790'])
    expect((await ask(url)).status, url).toBe(201);
  const refused = [
    'http://bridge.melati.example',
    'https://127.0.0.1',
    'https://127.0.0.2',
    'https://10.0.0.1',
    'https://169.254.169.254',
    'https://2130706433',
    'https://[::1]',
    'https://[::ffff:7f00:1]',
    'https://localhost.',
    'https://router',
    'https://x.localhost',
    'https://rukun.test',
    'https://api.rukun.test',
    'https://user:secret@bridge.melati.example',
    'https://bridge.melati.example/path',
    'https://bridge.melati.example/?a=b',
    'ftp://bridge.melati.example',
    'no address',
  ];
  for (const url of refused) {
    const { status, error } = await ask(url);
    expect([status, Object.keys(error?.details ?? {})], url).toEqual([400, ['url']]);
  }
  expect(await tenant.get('/bridges')).toHaveLength(3);
});

test('who is online is what the bridge last told of the line’s router; where it told of no lines, nobody knows', async () => {
  const tenant = await TestTenant.signUp();
  const bridge = await TestBridge.enrol(tenant);
  const access = { host: '10.0.0.1', username: 'api', password: 'rahasia-router', bridge_id: bridge.id };
  const router = await tenant.post('/routers', { ...access, name: 'Menara' });
  const plan = await tenant.addPlan();
  const [siti, budi] = [await tenant.addCustomer(plan.id), await tenant.addCustomer(plan.id)];
  let number = 0;
  const tell = async (status: string, names: string[] | null) => {
    const traffic = { session_id: '1', address: null, uptime_seconds: 60, interval_seconds: 60, upload_bytes: 1, download_bytes: 1 }; // prettier-ignore
    const facts = { identity: null, board_name: null, version: null, uptime_seconds: null, pools: null };
    const lines = names?.map(name => ({ name, ...traffic })) ?? null;
    const seen = { router_id: router.id, status, error: null, latency_ms: 1, ...facts, lines };
    const measured_at_ms = Date.now() + ++number;
    const batch = { spool_id: bridge.id, number, measured_at_ms, routers: [seen], devices: [] };
    expect((await bridge.report({ batch })).status).toBe(200);
  };
  const found = async (online: boolean) =>
    (await tenant.get('/customers', { online, sort: 'customer_code' })).map((each: { id: string }) => each.id);
  const shows = async (online: string[], offline: string[]) =>
    expect([await found(true), await found(false)]).toEqual([online, offline]);
  await shows([], []);
  await tell('online', [siti.pppoe_username, 'tak-dikenal']);
  await shows([siti.id], [budi.id]);
  await tell('online', [budi.pppoe_username, siti.pppoe_username]);
  await shows([siti.id, budi.id], []);
  await tell('online', []);
  await shows([], [siti.id, budi.id]);
  await tell('offline', null);
  await shows([], []);
  await tell('online', [budi.pppoe_username]);
  await shows([budi.id], [siti.id]);
});
