import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  clearFaults,
  dialIn,
  emptyRouter,
  findProfile,
  findRow,
  isOnline,
  loadOnRouter,
  NetworkTenant,
  readMenu,
  settle,
  uniqueName,
  withBridgeCalls,
} from '../support/network-world.ts';

/** Lines held to their speed by simple queues of their own, where the plan says so. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const findQueue = (name: string) => findRow('/queue/simple', name);

let next_address = 1;
const newAddress = () => `10.40.${next_address >> 8}.${next_address++ & 255}`;

async function makeQueuedPlan(world: NetworkTenant, speed: object = {}, settings: object = {}) {
  const plan = await world.addPlan({ download_kbps: 20_000, upload_kbps: 5_000, ...speed });
  await world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'simple_queue', ...settings });
  return plan;
}

describe('simple queues', () => {
  test('P26 a line has a queue of its own, upload first, and a profile without a speed', async () => {
    const world = await NetworkTenant.make();
    const plan = await makeQueuedPlan(world, {}, { priority: 3, queue_name_template: '{customer_code} {full_name}' });
    const line = await world.addLine(plan.id, { static_ip: '10.41.0.9' });
    const name = `${line.customer_code} Budi Santoso`;
    expect(await findQueue(name)).toMatchObject({
      target: '10.41.0.9/32',
      'max-limit': '5000000/20000000',
      priority: '3/3',
      comment: `rukun:${line.customer_code}`,
    });
    expect((await findProfile(plan.profile_name))?.['rate-limit'] ?? '').toBe('');
    expect((await world.read(line.id)).items.map(item => item.kind).sort()).toEqual(['ppp_secret', 'simple_queue']);
    // another name, another queue: the old one goes
    await world.tenant.put(`/customers/${line.id}`, { full_name: 'Siti' });
    await settle(world);
    expect([await findQueue(name), (await findQueue(`${line.customer_code} Siti`))?.target]).toEqual([
      undefined,
      '10.41.0.9/32',
    ]);
  });

  test('P26 a speed changes at once: the plan’s, or another plan’s, and no session ends', async () => {
    const world = await NetworkTenant.make();
    const [slow, fast] = [await makeQueuedPlan(world), await makeQueuedPlan(world, { download_kbps: 50_000 })];
    const line = await world.addLine(slow.id, { static_ip: newAddress() });
    expect(await dialIn(line.pppoe_username)).toBe(true);
    await world.tenant.put(`/service-plans/${slow.id}`, { download_kbps: 30_000 });
    await settle(world);
    expect(await findQueue(line.customer_code)).toMatchObject({ 'max-limit': '5000000/30000000' });
    await world.tenant.post(`/customers/${line.id}/change-plan`, { service_plan_id: fast.id });
    await settle(world);
    expect(await findQueue(line.customer_code)).toMatchObject({ 'max-limit': '5000000/50000000' });
    expect(await findRow('/ppp/secret', line.pppoe_username)).toMatchObject({ profile: fast.profile_name });
    expect(await isOnline(line.pppoe_username)).toBe(true);
    // a plan that gives the session something else ends it
    const other = await makeQueuedPlan(world, {}, { session_timeout: 3600 });
    await world.tenant.post(`/customers/${line.id}/change-plan`, { service_plan_id: other.id });
    await settle(world);
    expect(await isOnline(line.pppoe_username)).toBe(false);
  });

  test('switching a plan over makes the queues of all its lines, and back takes them away', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const lines = [];
    for (let at = 0; at < 3; at++) lines.push(await world.addLine(plan.id, { static_ip: newAddress() }));
    const queues = async () =>
      (await readMenu('/queue/simple')).filter(row => row.comment?.startsWith('rukun:')).length;
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'simple_queue' });
    await settle(world);
    expect(await queues()).toBe(3);
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { is_unlimited: true });
    await settle(world);
    expect(await queues()).toBe(0);
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { is_unlimited: false, shaping: 'profile' });
    await settle(world);
    expect(await queues()).toBe(0);
    expect(await findProfile(plan.profile_name)).toMatchObject({ 'rate-limit': expect.stringContaining('5M/20M') });
  });

  test('P09 a line without an address of its own can’t have one: refused by name, for the line and for the plan', async () => {
    const world = await NetworkTenant.make();
    const [queued, plain] = [await makeQueuedPlan(world), await world.addPlan()];
    const waiting = await world.tenant.addCustomer(queued.id, { pppoe_username: uniqueName() });
    const refused = await world.tenant.call('POST', `/customers/${waiting.id}/activate`, { body: {} });
    expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['static_ip']]);
    await world.addLine(plain.id);
    const path = `/service-plans/${plain.id}/advanced`;
    const all = await world.tenant.call('PUT', path, { body: { shaping: 'simple_queue' } });
    expect([all.status, Object.keys(all.error.details!)]).toEqual([400, ['shaping']]);
    expect((await world.tenant.get(path)).shaping).toBe('profile');
    const names: [string, number][] = [
      ['{full_name}', 400],
      ['{customer_code} {phone}', 400],
      ['q-{customer_code}', 200],
    ];
    for (const [queue_name_template, status] of names)
      expect((await world.tenant.call('PUT', path, { body: { queue_name_template } })).status).toBe(status);
  });

  test('P27 P28 suspended it stays as it is; terminated it goes', async () => {
    const world = await NetworkTenant.make();
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    const plan = await makeQueuedPlan(world);
    const fixed = await world.tenant.addCustomer(plan.id, {
      connection_type: 'static',
      static_ip: newAddress(),
      router_id: world.router_id,
    });
    await world.tenant.post(`/customers/${fixed.id}/activate`, {});
    await world.waitFor(fixed.id);
    expect(await findQueue(fixed.customer_code)).toMatchObject({ 'max-limit': '5000000/20000000' });
    await world.tenant.post(`/customers/${fixed.id}/suspend`, {});
    await world.waitFor(fixed.id);
    expect(await findQueue(fixed.customer_code)).toMatchObject({ 'max-limit': '5000000/20000000' });
    expect(await readMenu('/ip/firewall/address-list')).toHaveLength(1);
    await world.tenant.post(`/customers/${fixed.id}/terminate`, {});
    await settle(world);
    expect(await readMenu('/queue/simple')).toEqual([]);
    expect(await readMenu('/ip/firewall/address-list')).toEqual([]);
  });

  test('P29a a queue of that name that isn’t ours is a conflict until an admin adopts it; others are not looked at', async () => {
    const world = await NetworkTenant.make();
    const plan = await makeQueuedPlan(world);
    const line = await world.tenant.addCustomer(plan.id, { static_ip: '10.42.0.1', pppoe_username: uniqueName() });
    await loadOnRouter(`/queue simple
add name=${line.customer_code} target=10.42.0.1 max-limit=1M/1M comment=tangan
add name=tetangga target=10.42.0.2 max-limit=1M/1M
`);
    const before = await readMenu('/queue/simple');
    await world.tenant.post(`/customers/${line.id}/activate`, {});
    await world.waitFor(line.id, 'conflict');
    expect(await readMenu('/queue/simple')).toEqual(before);
    const drift = await world.tenant.get(`/customers/${line.id}/drift`);
    const queue = drift.routers[0].items.find((item: { kind: string }) => item.kind === 'simple_queue');
    expect(queue).toMatchObject({ state: 'conflict', observed: { 'max-limit': '1000000/1000000', comment: 'tangan' } });
  });
});

describe('drift of one customer', () => {
  test('is found without printing a table: two rows are asked for by name', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const line = await world.addLine(plan.id);
    for (let at = 0; at < 3; at++) await world.addLine(plan.id);
    await loadOnRouter(`/ppp secret\nset [find name=${line.pppoe_username}] disabled=yes\n`);
    await withBridgeCalls(async calls => {
      const { routers } = await world.tenant.get(`/customers/${line.id}/drift`);
      expect(routers).toMatchObject([
        {
          router_id: world.router_id,
          error: null,
          items: [
            {
              key: line.pppoe_username,
              state: 'differs',
              differences: [{ property: 'disabled', desired: 'no', observed: 'true' }],
              observed: { disabled: 'true', profile: plan.profile_name, comment: `rukun:${line.customer_code}` },
            },
          ],
        },
      ]);
      expect(calls).toHaveLength(1);
      expect(calls[0]!.answer).toMatchObject({ commands_sent: 2, strays: [] });
    });
    const shown = await world.read(line.id);
    expect(shown).toMatchObject({ status: 'drifted', items: [{ last_error: expect.stringContaining('disabled') }] });
    await world.tenant.post(`/customers/${line.id}/provisioning/sync`);
    const { routers } = await world.tenant.get(`/customers/${line.id}/drift`);
    expect(routers[0].items).toMatchObject([{ state: 'in_sync', observed: { disabled: 'false' } }]);
  });
});
