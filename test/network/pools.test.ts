import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  clearFaults,
  emptyRouter,
  findProfile,
  findRow,
  loadOnRouter,
  NetworkTenant,
  readMenu,
  settle,
  uniqueName,
  waitUntil,
} from '../support/network-world.ts';

/** Address pools: what the office says is brought to the routers, and no more lines are put on one than it holds. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const findPool = (name: string) => findRow('/ip/pool', name);

async function makePool(world: NetworkTenant, fields: Record<string, unknown> = {}) {
  const body = { router_id: world.router_id, name: uniqueName('pool'), ranges: '10.50.0.0/24', ...fields };
  const pool = await world.tenant.post('/ip-pools', body);
  return pool as { id: string; name: string };
}

async function makePlanOn(world: NetworkTenant, address_pool: string) {
  const plan = await world.addPlan();
  await world.tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool, local_address: '10.50.255.1' });
  return plan;
}

describe('pools', () => {
  test('are made, changed, renamed and removed on the router, each with its marker; a next one before it', async () => {
    const world = await NetworkTenant.make();
    const second = await makePool(world, { ranges: '10.51.0.0/24' });
    const first = await makePool(world, { next_pool: second.name });
    await settle(world);
    expect(await findPool(first.name)).toMatchObject({
      ranges: '10.50.0.0-10.50.0.255',
      'next-pool': second.name,
      comment: `rukun:pool:${first.name}`,
    });
    await world.tenant.put(`/ip-pools/${first.id}`, { ranges: '10.50.1.10-20', next_pool: null });
    await settle(world);
    expect(await findPool(first.name)).toMatchObject({ ranges: '10.50.1.10-10.50.1.20', 'next-pool': 'none' });
    const name = uniqueName('pool');
    await world.tenant.put(`/ip-pools/${first.id}`, { name });
    await settle(world);
    expect([await findPool(first.name), (await findPool(name))?.ranges]).toEqual([undefined, '10.50.1.10-10.50.1.20']);
    expect((await world.tenant.call('DELETE', `/ip-pools/${first.id}`)).status).toBe(200);
    await settle(world);
    expect((await readMenu('/ip/pool')).map(row => row.name)).toEqual([second.name]);
  });

  test('stand before the profile that gives out their addresses, in one apply', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/system identity set name=r\n');
    const plan = await makePlanOn(world, 'rumah');
    await makePool(world, { name: 'rumah' });
    const line = await world.addLine(plan.id);
    expect(await findProfile(plan.profile_name)).toMatchObject({ 'remote-address': 'rumah' });
    expect((await world.read(line.id)).status).toBe('in_sync');
  });

  test('one that is there already and not ours is a conflict, and is left as it is', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/ip pool\nadd name=lama ranges=10.60.0.2-10.60.0.9\n');
    const before = await findPool('lama');
    await makePool(world, { name: 'lama' });
    const [row] = await waitUntil(
      () => world.query<{ status: string }>("SELECT status FROM provisioning WHERE key = 'lama'"),
      rows => rows[0]?.status === 'conflict',
      'a conflict',
    );
    expect(row!.status).toBe('conflict');
    expect(await findPool('lama')).toEqual(before);
  });

  test('P17 one that lines or another pool lean on can’t go, nor be called otherwise', async () => {
    const world = await NetworkTenant.make();
    const [used, next] = [await makePool(world), await makePool(world, { ranges: '10.52.0.0/24' })];
    await makePool(world, { ranges: '10.53.0.0/24', next_pool: next.name });
    await world.addLine((await makePlanOn(world, used.name)).id);
    for (const pool of [used, next]) {
      const gone = await world.tenant.call('DELETE', `/ip-pools/${pool.id}`);
      expect([gone.status, gone.error.code]).toEqual([409, 'IN_USE']);
      const renamed = await world.tenant.call('PUT', `/ip-pools/${pool.id}`, { body: { name: uniqueName() } });
      expect([renamed.status, renamed.error.code]).toEqual([409, 'IN_USE']);
      expect(await findPool(pool.name)).toBeDefined();
    }
  });

  test('no more lines are put on a pool than it and its next hold; a static address takes none; also at once', async () => {
    const world = await NetworkTenant.make();
    const next = await makePool(world, { ranges: '10.54.0.1-10.54.0.2' });
    const pool = await makePool(world, { ranges: '10.55.0.1-10.55.0.2', next_pool: next.name });
    const plan = await makePlanOn(world, pool.name);
    await world.addLine(plan.id, { static_ip: '10.56.0.1' });
    const waiting: string[] = [];
    for (let at = 0; at < 7; at++)
      waiting.push((await world.tenant.addCustomer(plan.id, { pppoe_username: uniqueName() })).id);
    const answers = await Promise.all(
      waiting.map(id => world.tenant.call('POST', `/customers/${id}/activate`, { body: {} })),
    );
    expect(answers.map(answer => answer.status).sort()).toEqual([200, 200, 200, 200, 409, 409, 409]);
    const full = answers.find(answer => answer.status === 409)!;
    expect(full.error).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(pool.name) });
    const left = waiting[answers.indexOf(full)]!;
    const served = waiting[answers.findIndex(answer => answer.status === 200)]!;
    await world.tenant.post(`/customers/${served}/terminate`, {});
    await world.tenant.post(`/customers/${left}/activate`, {});
    // suspended it keeps its place, and resumes into it
    await world.tenant.post(`/customers/${left}/suspend`, {});
    await world.tenant.post(`/customers/${left}/resume`, {});
  });

  test('imported they become ours, and undone they are given back as they were', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter('/ip pool\nadd name=lama ranges=10.60.0.2-10.60.0.9 comment=tangan\n');
    const { import_id } = await world.tenant.post('/imports', {
      router_id: world.router_id,
      kind: 'pools',
      dry_run: false,
    });
    await settle(world);
    expect(await findPool('lama')).toMatchObject({ comment: 'tangan rukun:pool:lama' });
    await world.tenant.post(`/imports/${import_id}/undo`, {});
    await waitUntil(
      async () => (await findPool('lama'))?.comment,
      comment => comment === 'tangan',
      'the pool is given back',
    );
    expect(await world.tenant.get('/ip-pools')).toEqual([]);
  });

  test('the pool of the suspended stays with its set-up, whatever is imported', async () => {
    const world = await NetworkTenant.make();
    await world.tenant.post(`/routers/${world.router_id}/setup`, { template: 'isolir', mode: 'apply' });
    await world.tenant.post('/imports', { router_id: world.router_id, kind: 'pools', dry_run: false });
    expect(await world.tenant.get('/ip-pools')).toEqual([]);
    await world.tenant.put('/settings', { isolir_download_kbps: 128 });
    await world.tenant.post(`/routers/${world.router_id}/setup/rollback`, { template: 'isolir' });
    expect(await findPool('pool-isolir')).toBeUndefined();
  });

  test('lines of plans that share a pool through its next one share its addresses', async () => {
    const world = await NetworkTenant.make();
    const next = await makePool(world, { ranges: '10.57.0.1' });
    const first = await makePool(world, { ranges: '10.58.0.1', next_pool: next.name });
    const [plan, other] = [await makePlanOn(world, first.name), await makePlanOn(world, next.name)];
    await world.addLine(plan.id);
    await world.addLine(other.id);
    const { id } = await world.tenant.addCustomer(plan.id, { pppoe_username: uniqueName() });
    expect((await world.tenant.call('POST', `/customers/${id}/activate`, { body: {} })).status).toBe(409);
  });
});
