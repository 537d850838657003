import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  clearFaults,
  DEAD_PORT,
  dialIn,
  emptyRouter,
  findSecret,
  isOnline,
  loadOnRouter,
  makeFaults,
  NetworkTenant,
  takeRouterAway,
  useTraffic,
  withBridgeCalls,
} from '../support/network-world.ts';

/** What a router shows now: read through the real bridge, each answer with its age; a failed read is never empty. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const SECRETS = `/ppp profile
add name=p10 rate-limit=2M/10M remote-address=pool-a
/ip pool
add name=pool-a ranges=10.9.0.2-10.9.0.20
/ppp secret
add name=budi password=rahasia-budi profile=p10 comment="Budi Santoso"
add name=siti password=rahasia-siti profile=p10 disabled=yes
add name="agus santoso" password=rahasia-agus service=pppoe
/queue simple
add name=q-kantor target=10.9.9.1/32 max-limit=5M/20M
`;

/** Pools stand before the profiles that name them. */
const loadSecrets = async () => {
  const [profiles, pools, ...rest] = SECRETS.split(/^(?=\/)/m);
  await loadOnRouter([pools, profiles, ...rest].join(''));
};

const LISTS = ['sessions', 'secrets', 'profiles', 'pools', 'queues'];

describe('live views', () => {
  test('each shows what is there, with its age and in pages', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    await loadSecrets();
    expect(await dialIn('budi')).toBe(true);
    const see = async (what: string, query = {}) => {
      const answer = await tenant.call('GET', `/routers/${router_id}/${what}`, { query });
      const { status, data, text } = answer;
      const meta = answer.meta as typeof answer.meta & { age_seconds: number; read_at: string };
      expect(status, text).toBe(200);
      expect(text).not.toContain('rahasia');
      expect(meta.age_seconds).toBeLessThan(60);
      expect(Math.abs(Date.parse(meta.read_at) - Date.now())).toBeLessThan(60_000);
      return { data, meta };
    };
    const sessions = await see('sessions');
    expect(sessions.data).toMatchObject([{ name: 'budi', service: 'pppoe', address: '10.9.0.2', is_radius: false }]);
    expect(sessions.data[0].uptime_seconds).toBeGreaterThanOrEqual(0);
    const secrets = await see('secrets', { per_page: 2, max_age: 0 });
    expect(secrets.meta).toMatchObject({ page: 1, per_page: 2, total: 3, total_pages: 2 });
    expect(secrets.data.map((row: { name: string }) => row.name)).toEqual(['budi', 'siti']);
    expect(secrets.data[1]).toMatchObject({ is_disabled: true, profile: 'p10' });
    const found = await see('secrets', { search: 'SANTOSO' });
    expect(found.data.map((row: { name: string }) => row.name)).toEqual(['budi', 'agus santoso']);
    expect((await see('profiles')).data.find((row: { name: string }) => row.name === 'p10')).toMatchObject({
      rate_limit: '2M/10M',
      remote_address: 'pool-a',
    });
    expect((await see('pools')).data).toMatchObject([{ name: 'pool-a', ranges: '10.9.0.2-10.9.0.20', used: 1 }]);
    const queues = (await see('queues')).data;
    expect(queues.find((row: { name: string }) => row.name === 'q-kantor')).toMatchObject({
      max_upload_bps: 5_000_000,
      max_download_bps: 20_000_000,
      is_dynamic: false,
    });
    expect(queues.find((row: { name: string }) => row.name === '<pppoe-budi>')).toMatchObject({ is_dynamic: true });
    const resource = await tenant.get(`/routers/${router_id}/resource`);
    expect(resource).toMatchObject({ identity: 'MikroTik', cpu_count: 4, age_seconds: expect.any(Number) });
    expect(resource.total_memory_bytes).toBeGreaterThan(resource.free_memory_bytes);
  });

  test('ten who look at once cost the router one read, unless they ask for a fresh one', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    await loadSecrets();
    const look = (max_age: number) => tenant.get(`/routers/${router_id}/secrets`, { max_age });
    await look(0);
    await loadOnRouter('/ppp secret\nadd name=baru password=rahasia-baru\n');
    expect(await look(60)).toHaveLength(3);
    expect(await look(0)).toHaveLength(4);
  });

  test('a router that is away, a bridge that is away and no bridge are refusals, never an empty list', async () => {
    const { tenant, router_id, ...world } = await NetworkTenant.make();
    await loadSecrets();
    expect(await tenant.get(`/routers/${router_id}/secrets`)).toHaveLength(3);
    await takeRouterAway();
    for (const what of [...LISTS, 'resource']) {
      const answer = await tenant.call('GET', `/routers/${router_id}/${what}`, { query: { max_age: 0 } });
      expect([answer.status, answer.error.code], answer.text).toEqual([502, 'ROUTER_UNREACHABLE']);
    }
    await clearFaults();
    await tenant.put(`/bridges/${world.bridge_id}`, { url: `http://127.0.0.1:${DEAD_PORT}` });
    const offline = await tenant.call('GET', `/routers/${router_id}/sessions`);
    expect([offline.status, offline.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    await tenant.put(`/routers/${router_id}`, { bridge_id: null });
    const none = await tenant.call('GET', `/routers/${router_id}/sessions`);
    expect([none.status, none.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
  });

  test('passwords are not even sent by the bridge', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    await loadSecrets();
    await withBridgeCalls(async calls => {
      for (const what of LISTS) await tenant.get(`/routers/${router_id}/${what}`, { max_age: 0 });
      expect(calls).toHaveLength(LISTS.length);
      expect(JSON.stringify(calls.map(call => call.answer))).not.toContain('rahasia');
    });
  });

  test('each is one round trip to the database, and writes nothing while the router stays online', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    await tenant.post(`/routers/${router_id}/test`);
    const before = await tenant.get(`/routers/${router_id}`);
    for (const what of [...LISTS, 'resource']) await tenant.get(`/routers/${router_id}/${what}`);
    expect(await tenant.get(`/routers/${router_id}`)).toEqual(before);
  });
});

describe('disconnecting', () => {
  test('ends the live session and says how many; nobody online is 0', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    await loadSecrets();
    await dialIn('agus santoso');
    const path = `/routers/${router_id}/sessions/${encodeURIComponent('agus santoso')}/disconnect`;
    expect(await tenant.post(path)).toEqual({ name: 'agus santoso', sessions_ended: 1 });
    expect(await isOnline('agus santoso')).toBe(false);
    expect(await findSecret('agus santoso')).toBeDefined();
    expect(await tenant.post(path)).toEqual({ name: 'agus santoso', sessions_ended: 0 });
    const told = await tenant.get('/audit-logs', { entity_id: router_id });
    const events = told.filter((row: { type: string }) => row.type === 'router.session_disconnected');
    expect(events).toMatchObject([{ user_id: tenant.admin.id, data: { name: 'agus santoso', sessions_ended: 1 } }]);
  });

  test('a viewer may not', async () => {
    const { tenant, router_id } = await NetworkTenant.make();
    const { token } = await tenant.addUser('viewer');
    const answer = await tenant.call('POST', `/routers/${router_id}/sessions/budi/disconnect`, { token });
    expect(answer.status).toBe(403);
  });
});

describe('traffic of one customer', () => {
  test('who is online has rates and counters; who is not has none; who can’t be asked for is unknown', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const plan = await world.addPlan({ download_kbps: 10_000, upload_kbps: 2_000 });
    const customer = await world.addLine(plan.id);
    const path = `/customers/${customer.id}/traffic`;
    expect(await tenant.get(path, { max_age: 0 })).toMatchObject({
      is_online: false,
      download_bps: 0,
      upload_bps: 0,
      sessions: [],
    });
    await dialIn(customer.pppoe_username);
    await useTraffic({ name: customer.pppoe_username, upload_bps: 1_000_000, download_bps: 8_000_000 });
    const live_rates = await tenant.get(path, { max_age: 0 });
    expect(live_rates).toMatchObject({ is_online: true, download_bps: 8_000_000, upload_bps: 1_000_000 });
    await useTraffic({ name: customer.pppoe_username, upload_bytes: 5_000, download_bytes: 70_000 });
    const live = await tenant.get(path, { max_age: 0 });
    expect(live.sessions).toHaveLength(1);
    expect(live.sessions[0].download_bytes).toBeGreaterThanOrEqual(70_000);
    expect(live.sessions[0].upload_bytes).toBeGreaterThanOrEqual(5_000);
    await makeFaults({ refuse: true });
    await takeRouterAway();
    const unknown = await tenant.call('GET', path, { query: { max_age: 0 } });
    expect([unknown.status, unknown.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
  });

  test('who has ended isn’t shown what the next holder of the name does', async () => {
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const plan = await world.addPlan();
    const first = await world.addLine(plan.id);
    await tenant.post(`/customers/${first.id}/terminate`, {});
    await world.addLine(plan.id, { pppoe_username: first.pppoe_username });
    await dialIn(first.pppoe_username);
    const answer = await tenant.call('GET', `/customers/${first.id}/traffic`);
    expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
  });

  test('a customer without a line on a router is a 409', async () => {
    const { tenant } = await NetworkTenant.make();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id, { router_id: null });
    const answer = await tenant.call('GET', `/customers/${customer.id}/traffic`);
    expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
  });
});
