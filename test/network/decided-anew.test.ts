import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  clearFaults,
  dialIn,
  emptyRouter,
  findRow,
  findSecret,
  isOnline,
  loadOnRouter,
  makeFaults,
  NetworkTenant,
  readMenu,
  settle,
  uniqueName,
  withBridgeCalls,
} from '../support/network-world.ts';

/** What was decided from what is no longer so is decided again: between the read and the write somebody else came. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const ourQueues = async () => (await readMenu('/queue/simple')).filter(row => row.comment?.startsWith('rukun:'));

/** Runs `first` just before the batch that holds such a statement goes to the database, once. */
async function actBefore<T>(
  world: NetworkTenant,
  statement: RegExp,
  first: () => Promise<unknown>,
  run: () => Promise<T>,
): Promise<T> {
  const shape = Object.getPrototypeOf(await world.tenant.database()) as { withSession: D1Database['withSession'] };
  const { withSession } = shape;
  let waits = true;
  shape.withSession = function (this: D1Database, ...how: Parameters<D1Database['withSession']>) {
    const session = withSession.apply(this, how);
    const batch = session.batch.bind(session);
    session.batch = async <R>(list: D1PreparedStatement[]) => {
      const is_it = list.some(each => statement.test((each as unknown as { statement?: string }).statement ?? ''));
      if (waits && is_it) {
        waits = false;
        await first();
      }
      return batch<R>(list);
    };
    return session;
  };
  try {
    return await run();
  } finally {
    shape.withSession = withSession;
    expect(waits, 'the statement was never sent').toBe(false);
  }
}

test('P27 who resumes while the isolir settings change is not put back into the walled garden', async () => {
  const world = await NetworkTenant.make();
  await world.tenant.put('/settings', { suspension_policy: 'isolir' });
  const plan = await world.addPlan();
  const line = await world.addLine(plan.id);
  await world.tenant.post(`/customers/${line.id}/suspend`, {});
  await settle(world);
  await actBefore(
    world,
    /update "settings"/i,
    () => world.tenant.post(`/customers/${line.id}/resume`, {}),
    () => world.tenant.put('/settings', { isolir_download_kbps: 99 }),
  );
  await settle(world);
  expect(await findSecret(line.pppoe_username)).toMatchObject({ profile: plan.profile_name });
});

test('P26 who is activated, or ends, while the plan is put on queues has the queue that it must have', async () => {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan();
  const ends = await world.addLine(plan.id, { static_ip: '10.70.0.1' });
  const begins = await world.tenant.addCustomer(plan.id, { static_ip: '10.70.0.2', pppoe_username: uniqueName() });
  await actBefore(
    world,
    /insert into "service_plan_settings"/i,
    async () => {
      await world.tenant.post(`/customers/${ends.id}/terminate`, {});
      await world.tenant.post(`/customers/${begins.id}/activate`, {});
    },
    () => world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'simple_queue' }),
  );
  await settle(world);
  expect((await ourQueues()).map(row => row.name)).toEqual([begins.customer_code]);
  // and the other way round: the plan changes while the line is decided
  const late = await world.tenant.addCustomer(plan.id, { static_ip: '10.70.0.3', pppoe_username: uniqueName() });
  await actBefore(
    world,
    /update "customers"/i,
    () => world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'profile' }),
    () => world.tenant.post(`/customers/${late.id}/activate`, {}),
  );
  await settle(world);
  expect(await ourQueues()).toEqual([]);
});

test('how lines are shaped goes to all of them at once, also where a plan’s changes wait', async () => {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan();
  const line = await world.addLine(plan.id, { static_ip: '10.71.0.1' });
  const path = `/service-plans/${plan.id}/advanced`;
  await world.tenant.put(path, { shaping: 'simple_queue', auto_apply_to_router: false });
  await settle(world);
  expect((await ourQueues()).map(row => row.name)).toEqual([line.customer_code]);
});

test('a session that began under the other way of shaping ends, so that something holds it', async () => {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan();
  const line = await world.addLine(plan.id, { static_ip: '10.72.0.1' });
  for (const shaping of ['simple_queue', 'profile'] as const) {
    expect(await dialIn(line.pppoe_username)).toBe(true);
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping });
    await settle(world);
    expect(await isOnline(line.pppoe_username), shaping).toBe(false);
  }
  // another name for the queue ends nothing
  await world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'simple_queue' });
  await settle(world);
  await dialIn(line.pppoe_username);
  await world.tenant.put(`/service-plans/${plan.id}/advanced`, { queue_name_template: 'q-{customer_code}' });
  await settle(world);
  expect(await isOnline(line.pppoe_username)).toBe(true);
});

test('a line that has lost its address is suspended and resumed all the same, and its queue says what is the matter', async () => {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan();
  await world.tenant.put(`/service-plans/${plan.id}/advanced`, { shaping: 'simple_queue' });
  const line = await world.addLine(plan.id, { static_ip: '10.73.0.1' });
  await world.query('UPDATE customers SET static_ip = NULL WHERE id = ?1', line.id);
  for (const verb of ['suspend', 'resume']) await world.tenant.post(`/customers/${line.id}/${verb}`, {});
  const state = await world.waitFor(line.id, 'failed');
  expect(state.items.find(item => item.kind === 'simple_queue')!.last_error).toContain('static_ip');
  const refused = await world.tenant.call('PUT', `/customers/${line.id}`, { body: { static_ip: '2001:db8::1', connection_type: 'static' } }); // prettier-ignore
  expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['static_ip']]);
});

test('a plan change that waits for its date is refused now where it could not be made then', async () => {
  const world = await NetworkTenant.make();
  const [plain, queued] = [await world.addPlan(), await world.addPlan()];
  await world.tenant.put(`/service-plans/${queued.id}/advanced`, { shaping: 'simple_queue' });
  const line = await world.addLine(plain.id);
  const body = { service_plan_id: queued.id, effective_date: '2099-01-01' };
  const refused = await world.tenant.call('POST', `/customers/${line.id}/change-plan`, { body });
  expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['static_ip']]);
});

test('a rate limit that nobody can read is that line’s trouble, and not its router’s', async () => {
  const world = await NetworkTenant.make();
  const [odd, plain] = [await world.addPlan(), await world.addPlan()];
  await world.tenant.put(`/service-plans/${odd.id}/advanced`, { shaping: 'simple_queue' });
  const line = await world.addLine(odd.id, { static_ip: '10.74.0.1' });
  await world.query("UPDATE service_plans SET rate_limit = 'ngawur' WHERE id = ?1", odd.id);
  await world.query('UPDATE provisioning SET next_attempt_at = 1, generation = generation + 1');
  await world.addLine(plain.id);
  await world.look();
  const { items } = await world.waitFor(line.id, 'failed');
  expect(items.find(item => item.kind === 'simple_queue')!.last_error).toContain('ngawur');
  expect((await world.tenant.get(`/routers/${world.router_id}/drift`)).counts.in_sync).toBeGreaterThan(1);
});

test('a secret that somebody removed, and whose password nobody knows, is no secret that is in sync', async () => {
  const world = await NetworkTenant.make();
  const line = await world.addLine((await world.addPlan()).id);
  await world.query('UPDATE customers SET pppoe_password = NULL WHERE id = ?1', line.id);
  await loadOnRouter(`/ppp secret\nremove [find name=${line.pppoe_username}]\n`);
  await world.tenant.get(`/routers/${world.router_id}/drift`);
  expect(await world.read(line.id)).toMatchObject({ status: 'drifted', items: [{ last_error: expect.stringContaining('password') }] }); // prettier-ignore
  await world.tenant.post(`/routers/${world.router_id}/reconcile`, { mode: 'repair' });
  expect((await world.read(line.id)).status).toBe('failed');
});

test('an entry that lost our mark and must go is a conflict until an admin adopts it: then it goes', async () => {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan();
  const place = { connection_type: 'static', static_ip: '10.75.0.1', router_id: world.router_id };
  const { id } = await world.tenant.addCustomer(plan.id, place);
  await world.tenant.post(`/customers/${id}/activate`, {});
  await world.tenant.post(`/customers/${id}/suspend`, {});
  await world.waitFor(id);
  await loadOnRouter('/ip firewall address-list\nset [find address=10.75.0.1] comment=tangan\n');
  await world.tenant.post(`/customers/${id}/resume`, {});
  const { items } = await world.waitFor(id, 'conflict');
  expect(await readMenu('/ip/firewall/address-list')).toMatchObject([{ comment: 'tangan' }]);
  await world.tenant.post(`/provisioning/${items[0]!.id}/adopt`);
  await world.waitFor(id);
  expect(await readMenu('/ip/firewall/address-list')).toEqual([]);
});

test('a plan’s profile is not made of the one of the suspended', async () => {
  const world = await NetworkTenant.make();
  await world.tenant.put('/settings', { suspension_policy: 'isolir' });
  const suspended = await world.addLine((await world.addPlan()).id);
  await world.tenant.post(`/customers/${suspended.id}/suspend`, {});
  await settle(world);
  await world.tenant.put('/settings', { isolir_profile: 'blokir' });
  await settle(world);
  const plan = await world.addPlan({ profile_name: 'isolir' });
  const line = await world.tenant.addCustomer(plan.id, { pppoe_username: uniqueName() });
  await world.tenant.post(`/customers/${line.id}/activate`, {});
  await world.waitFor(line.id, 'conflict');
  expect(await findRow('/ppp/profile', 'isolir')).toMatchObject({ comment: 'rukun:isolir' });
});

test('a bridge that is there and has no answer in time is not away: its router is slow', async () => {
  const world = await NetworkTenant.make();
  const line = await world.addLine((await world.addPlan()).id);
  const timeOut = () => {
    throw new DOMException('too late', 'TimeoutError');
  };
  await withBridgeCalls(
    async () => {
      const answer = await world.tenant.call('POST', `/customers/${line.id}/provisioning/sync`);
      expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
      expect(answer.error.message).toContain('slow');
    },
    { before: timeOut, paths: /apply/ },
  );
  expect((await world.tenant.get(`/bridges/${world.bridge_id}`)).status).toBe('online');
  expect(await world.tenant.get('/monitoring/alerts', { status: 'open' })).toEqual([]);
  expect((await world.tenant.get(`/routers/${world.router_id}`)).circuit.failures).toBe(1);
});

test('P27 a suspension that the router refused ends the session once it is made, also of a secret that somebody removed', async () => {
  const world = await NetworkTenant.make();
  const line = await world.addLine((await world.addPlan()).id);
  expect(await dialIn(line.pppoe_username)).toBe(true);
  await makeFaults({ read_only_user: true });
  await world.tenant.post(`/customers/${line.id}/suspend`, {});
  await world.waitFor(line.id, 'failed');
  await clearFaults();
  await loadOnRouter(`/ppp secret\nremove [find name=${line.pppoe_username}]\n`);
  await world.tenant.post(`/customers/${line.id}/provisioning/sync`);
  expect(await findSecret(line.pppoe_username)).toMatchObject({ disabled: 'true' });
  expect(await isOnline(line.pppoe_username)).toBe(false);
});
