import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { seal } from '../../src/auth/sealing.ts';
import { SIGNATURE_HEADER } from '../../src/protocol/signature.ts';
import { sweepTenant } from '../../src/jobs/sweep.ts';
import type { ProvisioningMessage } from '../../src/queues/wake.ts';
import {
  clearFaults,
  DEAD_PORT,
  dialIn,
  dropConnections,
  findProfile,
  findSecret,
  isOnline,
  loadOnRouter,
  makeFaults,
  makeTestContext,
  NetworkTenant,
  readMenu,
  recordQueue,
  takeRouterAway,
  uniqueName,
  waitUntil,
  withBridgeCalls,
  type RouterRow,
} from '../support/network-world.ts';
import { SILENT_HUB, silenceHub } from '../support/hub.ts';

afterEach(clearFaults);

const PASSWORD = 'rahasia-123';

/** Text as people type it into a form: trimmed, no control characters, not empty. */
const typed = (maxLength: number) =>
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength })
    .map(text => text.replace(/[\u0000-\u001f\u007f]/g, '').trim())
    .filter(text => text !== '' && text.length <= maxLength && text.isWellFormed());

const kbps = fc.integer({ min: 1, max: 1_000_000 });
const address = fc.ipV4();

describe('a line on its router', () => {
  test('P25 activating a customer makes its PPPoE secret', async () => {
    const world = await NetworkTenant.make();
    const line = fc.record({
      name: typed(20),
      password: typed(40),
      static_ip: fc.option(address, { nil: undefined }),
      plan: fc.record({ download_kbps: kbps, upload_kbps: kbps }),
    });
    await fc.assert(
      fc.asyncProperty(line, async ({ name, password, static_ip, plan: speeds }) => {
        const plan = await world.addPlan(speeds);
        const pppoe_username = `${uniqueName()}${name}`.trim();
        const customer = await world.tenant.addCustomer(plan.id, {
          pppoe_username,
          pppoe_password: password,
          static_ip,
        });
        expect(await world.read(customer.id)).toMatchObject({ status: 'none', items: [] });
        await world.tenant.post(`/customers/${customer.id}/activate`, {});
        const { items } = await world.waitFor(customer.id);
        expect(items).toMatchObject([{ key: pppoe_username, attempts: 0, next_attempt_at: null, last_error: null }]);
        expect(items[0]!.last_applied_at).not.toBeNull();
        expect(await findSecret(pppoe_username)).toMatchObject({
          password,
          service: 'pppoe',
          profile: plan.profile_name,
          disabled: 'false',
          comment: `rukun:${customer.customer_code}`,
          ...(static_ip && { 'remote-address': static_ip }),
        });
        const profile = await findProfile(plan.profile_name);
        expect(profile?.comment).toBe(`rukun:plan:${plan.id.slice(0, 8)}`);
        expect(readPair(profile!['rate-limit']!)).toEqual([speeds.upload_kbps * 1000, speeds.download_kbps * 1000]);
      }),
      { numRuns: 100 },
    );
  });

  test('P26 changing the plan changes the profile', async () => {
    const world = await NetworkTenant.make();
    const plans = [await world.addPlan(), await world.addPlan({ download_kbps: 50_000 }), await world.addPlan()];
    const { id, pppoe_username } = await world.addLine(plans[0].id);
    let current = 0;
    const change = fc.record({ to: fc.nat(2), by_put: fc.boolean(), dialled: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(change, async ({ to, by_put, dialled }) => {
        if (dialled) await dialIn(pppoe_username);
        const was_online = await isOnline(pppoe_username);
        const service_plan_id = plans[to].id;
        if (by_put) await world.tenant.put(`/customers/${id}`, { service_plan_id });
        else if (to !== current) await world.tenant.post(`/customers/${id}/change-plan`, { service_plan_id });
        await world.waitFor(id);
        expect((await findSecret(pppoe_username))?.profile).toBe(plans[to].profile_name);
        // the new speed holds from the next dial-in on, so the session must end; and only then
        if (was_online) expect(await isOnline(pppoe_username)).toBe(to === current);
        current = to;
      }),
      { numRuns: 50 },
    );
  });

  test('P26 changing the speed of a plan changes its profile, and ends no session', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id, pppoe_username } = await world.addLine(plan.id);
    await dialIn(pppoe_username);
    await fc.assert(
      fc.asyncProperty(kbps, kbps, async (download_kbps, upload_kbps) => {
        await world.tenant.put(`/service-plans/${plan.id}`, { download_kbps, upload_kbps });
        await world.waitFor(id);
        const { 'rate-limit': rate_limit } = (await findProfile(plan.profile_name))!;
        expect(readPair(rate_limit!)).toEqual([upload_kbps * 1000, download_kbps * 1000]);
        expect(await isOnline(pppoe_username)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test.each(['disable', 'isolir'] as const)(
    'P27 suspending under the policy "%s" ends the session, resuming brings the plan back',
    async policy => {
      const world = await NetworkTenant.make();
      const isolir = uniqueName('isolir');
      const list = uniqueName('list');
      await world.tenant.put('/settings', {
        suspension_policy: policy,
        isolir_profile: isolir,
        isolir_address_list: list,
        isolir_download_kbps: 64,
        isolir_upload_kbps: 32,
      });
      const plans = [await world.addPlan(), await world.addPlan()];
      const line = fc.record({
        static_ip: fc.option(address, { nil: null }),
        dialled: fc.boolean(),
        moves: fc.boolean(),
      });
      const suspended = { disable: { disabled: 'true' }, isolir: { disabled: 'false', profile: isolir } }[policy];
      await fc.assert(
        fc.asyncProperty(line, async ({ static_ip, dialled, moves }) => {
          const { id, pppoe_username } = await world.addLine(plans[0].id, { static_ip });
          if (dialled) expect(await dialIn(pppoe_username)).toBe(true);
          await world.tenant.post(`/customers/${id}/suspend`, {});
          await world.waitFor(id);
          expect(await findSecret(pppoe_username)).toMatchObject(suspended);
          expect(await isOnline(pppoe_username)).toBe(false);
          // only the isolated may sign in, to the walled garden, at an address from its pool
          const gets_in = await dialIn(pppoe_username);
          expect(gets_in).toBe(policy === 'isolir');
          if (gets_in) expect((await findSecret(pppoe_username))?.['remote-address']).toBeUndefined();
          if (moves) await world.tenant.post(`/customers/${id}/change-plan`, { service_plan_id: plans[1].id });
          await world.tenant.post(`/customers/${id}/resume`, {});
          await world.waitFor(id);
          expect(await findSecret(pppoe_username)).toMatchObject({
            disabled: 'false',
            profile: plans[moves ? 1 : 0].profile_name,
            ...(static_ip && { 'remote-address': static_ip }),
          });
          expect(await isOnline(pppoe_username)).toBe(false);
        }),
        // each run waits for the router four times
        { numRuns: 50 },
      );
      if (policy === 'isolir')
        expect(await findProfile(isolir)).toMatchObject({
          'rate-limit': '32k/64k',
          'address-list': list,
          comment: 'rukun:isolir',
        });
    },
  );

  test('P27 a policy holds for whoever is suspended from then on', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id, pppoe_username } = await world.addLine(plan.id);
    await world.tenant.post(`/customers/${id}/suspend`);
    await world.waitFor(id);
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    await world.tenant.put(`/customers/${id}`, { notes: 'bicara lagi besok', pppoe_password: 'yang-baru' });
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toMatchObject({ disabled: 'true', profile: plan.profile_name });
    await world.tenant.post(`/customers/${id}/resume`);
    await world.waitFor(id);
    await world.tenant.post(`/customers/${id}/suspend`);
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toMatchObject({ disabled: 'false', profile: 'isolir' });
  });

  test('a router that is reached otherwise is looked at anew before it counts as confirmed', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    await world.tenant.put(`/routers/${world.router_id}`, { port: DEAD_PORT });
    expect(await world.read(id)).toMatchObject({ status: 'pending' });
    await world.tenant.put(`/routers/${world.router_id}`, { port: env.TEST_NETWORK.router.port });
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toBeDefined();
  });

  test('P27 a session that is up although the secret was disabled by hand ends with the suspension', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    expect(await dialIn(pppoe_username)).toBe(true);
    await loadOnRouter(`/ppp secret set [ find name=${pppoe_username} ] disabled=yes`);
    expect(await isOnline(pppoe_username)).toBe(true);
    await world.tenant.post(`/customers/${id}/suspend`);
    await world.waitFor(id);
    expect(await isOnline(pppoe_username)).toBe(false);
  });

  test('P27 the isolated follow the isolir settings: rate and name', async () => {
    const world = await NetworkTenant.make();
    const [first, second] = [uniqueName('isolir'), uniqueName('isolir')];
    await world.tenant.put('/settings', { suspension_policy: 'isolir', isolir_profile: first });
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    await world.tenant.post(`/customers/${id}/suspend`);
    await world.waitFor(id);
    await world.tenant.put('/settings', { isolir_download_kbps: 128 });
    await world.waitFor(id);
    expect((await findProfile(first))!['rate-limit']).toBe('64k/128k');
    await world.tenant.put('/settings', { isolir_profile: second });
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toMatchObject({ profile: second });
    const plan = await world.addPlan();
    const taken = await world.tenant.call('PUT', '/settings', { body: { isolir_profile: plan.profile_name } });
    expect([taken.status, Object.keys(taken.error.details!)]).toEqual([400, ['isolir_profile']]);
    const clash = { name: 'X', profile_name: second, download_kbps: 1, upload_kbps: 1, price: 1 };
    expect((await world.tenant.call('POST', '/service-plans', { body: clash })).status).toBe(400);
  });

  test('P26 a plan setting that is emptied is emptied on the router, and others stay as they are there', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id } = await world.addLine(plan.id);
    await loadOnRouter(`/ppp profile set [ find name=${plan.profile_name} ] local-address=10.9.9.1`);
    const settings = `/service-plans/${plan.id}/advanced`;
    await world.tenant.put(settings, { dns_servers: ['1.1.1.1'], session_timeout: 3600, max_devices: 1 });
    await world.waitFor(id);
    expect(await findProfile(plan.profile_name)).toMatchObject({ 'dns-server': '1.1.1.1', 'only-one': 'yes' });
    await world.tenant.put(settings, { dns_servers: [], session_timeout: null, max_devices: null });
    await world.waitFor(id);
    const profile = await findProfile(plan.profile_name);
    expect(profile).toMatchObject({ 'local-address': '10.9.9.1', 'only-one': 'default' });
    expect([profile!['dns-server'] ?? '', profile!['session-timeout'] ?? '']).toEqual(['', '']);
  });

  test('a router is not deleted while something of ours may still stand on it', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    await takeRouterAway();
    await world.tenant.put(`/customers/${id}`, { router_id: null });
    expect((await world.tenant.call('DELETE', `/routers/${world.router_id}`)).error.code).toBe('IN_USE');
    await clearFaults();
    await world.query('UPDATE provisioning SET next_attempt_at = 1');
    await world.tenant.post(`/customers/${id}/provisioning/sync`);
    expect((await world.tenant.call('DELETE', `/routers/${world.router_id}`)).status).toBe(200);
  });

  test('P28 terminating removes the secret', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const life = fc.record({ suspended: fc.boolean(), dialled: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(life, async ({ suspended, dialled }) => {
        const { id, pppoe_username } = await world.addLine(plan.id);
        if (dialled) await dialIn(pppoe_username);
        if (suspended) await world.tenant.post(`/customers/${id}/suspend`, {});
        await world.tenant.post(`/customers/${id}/terminate`, { reason: 'pindah' });
        await world.waitFor(id);
        expect(await findSecret(pppoe_username)).toBeUndefined();
        expect(await isOnline(pppoe_username)).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  test('P28 deleting a terminated customer leaves nothing behind, and reactivating makes the line anew', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    await world.tenant.post(`/customers/${id}/terminate`, {});
    await world.waitFor(id);
    await world.tenant.post(`/customers/${id}/reactivate`, {});
    expect(await findSecret(pppoe_username)).toBeUndefined();
    await world.tenant.post(`/customers/${id}/activate`, {});
    await waitUntil(() => findSecret(pppoe_username), Boolean, 'the secret is not made anew');
    await world.tenant.post(`/customers/${id}/terminate`, {});
    await waitUntil(
      () => findSecret(pppoe_username),
      secret => secret === undefined,
      'the secret stays',
    );
    await world.tenant.call('DELETE', `/customers/${id}`);
    expect(await findSecret(pppoe_username)).toBeUndefined();
  });
});

const readPair = (text: string): number[] => {
  const units: Record<string, number> = { k: 1e3, M: 1e6, G: 1e9 };
  return text.split('/').map(part => Number.parseInt(part) * (units[part.at(-1)!] ?? 1));
};

describe('what else of a customer the router holds', () => {
  test('another PPPoE name: the old secret goes, the new one comes', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username: old_name } = await world.addLine((await world.addPlan()).id);
    await dialIn(old_name);
    const new_name = uniqueName();
    await world.tenant.put(`/customers/${id}`, { pppoe_username: new_name });
    await world.waitFor(id);
    expect(await findSecret(old_name)).toBeUndefined();
    expect(await isOnline(old_name)).toBe(false);
    expect(await findSecret(new_name)).toMatchObject({ password: PASSWORD, disabled: 'false' });
    // and back again
    await world.tenant.put(`/customers/${id}`, { pppoe_username: old_name });
    await world.waitFor(id);
    expect(await findSecret(new_name)).toBeUndefined();
    expect(await findSecret(old_name)).toMatchObject({ password: PASSWORD });
  });

  test('another password is written, and never told', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    const answer = await world.tenant.call('PUT', `/customers/${id}`, { body: { pppoe_password: 'sandi-baru-77' } });
    expect(answer.text).not.toContain('sandi-baru-77');
    await world.waitFor(id);
    expect((await findSecret(pppoe_username))?.password).toBe('sandi-baru-77');
  });

  test('a router that hides passwords still gets a new one, and an old one only once', async () => {
    const world = await NetworkTenant.make();
    await makeFaults({ no_sensitive: true });
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    await dialIn(pppoe_username);
    await world.tenant.post(`/customers/${id}/provisioning/sync`);
    expect(await isOnline(pppoe_username)).toBe(true);
    await world.tenant.put(`/customers/${id}`, { pppoe_password: 'sandi-baru-77' });
    await world.waitFor(id);
    expect((await findSecret(pppoe_username))?.password).toBe('sandi-baru-77');
    expect(await isOnline(pppoe_username)).toBe(false);
  });

  test('a static address comes, changes and goes', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    const addresses = fc.array(fc.option(address, { nil: null }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(addresses, async list => {
        for (const static_ip of list) await world.tenant.put(`/customers/${id}`, { static_ip });
        await world.waitFor(id);
        expect((await findSecret(pppoe_username))?.['remote-address']).toBe(list.at(-1) ?? undefined);
      }),
      { numRuns: 30 },
    );
  });

  test('a name taken over while its old secret still stands keeps no address of the old holder', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const old_line = await world.addLine(plan.id, { static_ip: '10.9.8.7' });
    await takeRouterAway();
    await world.tenant.post(`/customers/${old_line.id}/terminate`, {});
    const fresh = await world.tenant.addCustomer(plan.id, { pppoe_username: old_line.pppoe_username });
    await world.tenant.post(`/customers/${fresh.id}/activate`, {});
    await world.waitForTry(fresh.id);
    await clearFaults();
    await world.tenant.post(`/customers/${fresh.id}/provisioning/sync`);
    expect((await findSecret(old_line.pppoe_username))?.['remote-address']).toBeUndefined();
  });

  test('a name that an ended customer had changes hands, with its secret and its session', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const old_line = await world.addLine(plan.id);
    const name = old_line.pppoe_username;
    for (const removed_first of [true, false]) {
      if (!removed_first) {
        await world.tenant.post(`/customers/${old_line.id}/reactivate`, {});
        await world.tenant.post(`/customers/${old_line.id}/activate`, {});
        await world.waitFor(old_line.id);
        await takeRouterAway();
      } else await dialIn(name);
      await world.tenant.post(`/customers/${old_line.id}/terminate`, {});
      if (removed_first) await world.waitFor(old_line.id);
      const fresh = await world.tenant.addCustomer(plan.id, {
        pppoe_username: name,
        pppoe_password: 'milik-orang-baru',
      });
      await world.tenant.post(`/customers/${fresh.id}/activate`, {});
      await clearFaults();
      await waitUntil(
        async () => (await world.tenant.call('POST', `/customers/${fresh.id}/provisioning/sync`)).status,
        status => status === 200,
        'the line is not applied',
      );
      expect(await findSecret(name)).toMatchObject({
        password: 'milik-orang-baru',
        comment: `rukun:${fresh.customer_code}`,
      });
      expect(await isOnline(name)).toBe(false);
      expect(await world.read(old_line.id)).toMatchObject({ status: 'none' });
      await world.tenant.post(`/customers/${fresh.id}/terminate`, {});
      await world.waitFor(fresh.id);
      expect(await findSecret(name)).toBeUndefined();
    }
  });

  test('another router: the secret goes from the old one, however late that can be reached', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    const new_router = await world.addRouter({ port: DEAD_PORT });
    // the old one is away at first
    await world.tenant.put(`/routers/${world.router_id}`, { port: DEAD_PORT });
    await world.tenant.put(`/customers/${id}`, { router_id: new_router });
    const on = (router_id: string) => async () =>
      (await world.read(id)).items.find(item => item.router_id === router_id)!;
    await waitUntil(on(new_router), item => item.attempts > 0, 'the new router is not tried');
    await waitUntil(on(world.router_id), item => item.attempts > 0, 'the old router is not tried');
    expect(await on(world.router_id)()).toMatchObject({ desired: null, status: 'pending' });
    expect(await findSecret(pppoe_username)).toBeDefined();
    await world.tenant.put(`/routers/${world.router_id}`, { port: env.TEST_NETWORK.router.port });
    await world.makeDue();
    await world.look();
    expect(await on(world.router_id)()).toMatchObject({ desired: null, status: 'in_sync' });
    expect(await findSecret(pppoe_username)).toBeUndefined();
    expect(await on(new_router)()).toMatchObject({ status: 'pending' });
    // then the new one comes up
    await world.tenant.put(`/routers/${new_router}`, { port: env.TEST_NETWORK.router.port });
    await world.makeDue(new_router);
    await world.look({}, new_router);
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
    expect(await findSecret(pppoe_username)).toMatchObject({ password: PASSWORD });
    // no router at all
    await world.tenant.put(`/customers/${id}`, { router_id: null });
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toBeUndefined();
  });

  test('advanced settings of a plan reach its profile', async () => {
    const world = await NetworkTenant.make();
    const pool = uniqueName('pool');
    const parent = uniqueName('parent');
    await loadOnRouter(
      `/ip pool\nadd name=${pool} ranges=10.50.0.2-10.50.0.254\n/queue simple\nadd name=${parent} target=10.50.0.0/24\n`,
    );
    const plan = await world.addPlan({ download_kbps: 20_000, upload_kbps: 5_000 });
    const { id } = await world.addLine(plan.id);
    const profileAfter = async (settings: Record<string, unknown>) => {
      await world.tenant.put(`/service-plans/${plan.id}/advanced`, settings);
      await world.waitFor(id);
      return findProfile(plan.profile_name);
    };
    const settings = {
      burst_download_kbps: 40_000,
      burst_upload_kbps: 10_000,
      burst_threshold_download_kbps: 15_000,
      burst_threshold_upload_kbps: 4_000,
      burst_time_seconds: 16,
      priority: 5,
      queue_type: 'pcq-down',
      parent_queue: parent,
      address_pool: pool,
      local_address: '10.50.0.1',
      dns_servers: ['1.1.1.1', '8.8.8.8'],
      session_timeout: 86_400,
      max_devices: 1,
    };
    expect(await profileAfter(settings)).toMatchObject({
      'rate-limit': '5M/20M 10M/40M 4M/15M 16/16 5',
      'queue-type': 'pcq-down',
      'parent-queue': parent,
      'remote-address': pool,
      'local-address': '10.50.0.1',
      'dns-server': '1.1.1.1,8.8.8.8',
      'session-timeout': '1d',
      'only-one': 'yes',
    });
    const { 'rate-limit': rate_limit } = (await profileAfter({ is_unlimited: true }))!;
    expect(rate_limit).toBeUndefined();
    const held_back = await profileAfter({ is_unlimited: false, auto_apply_to_router: false });
    expect(held_back?.['rate-limit']).toBeUndefined();
    await world.tenant.post(`/customers/${id}/provisioning/sync`);
    expect((await findProfile(plan.profile_name))?.['rate-limit']).toContain('5M/20M');
  });

  test('what the router refuses is told in its own words, and tried again', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id } = await world.addLine(plan.id);
    const before = Date.now();
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool: 'tidak-ada' });
    const { items } = await world.waitFor(id, 'failed');
    expect(items[0]!.last_error).toContain('remote-address');
    expect(items[0]!.attempts).toBe(1);
    expect(Date.parse(items[0]!.next_attempt_at!)).toBeGreaterThanOrEqual(before + 30_000);
    await loadOnRouter('/ip pool\nadd name=tidak-ada ranges=10.51.0.2-10.51.0.9\n');
    await world.makeDue();
    await world.look();
    expect(await world.read(id)).toMatchObject({ status: 'in_sync', items: [{ last_error: null, attempts: 0 }] });
  });
});

describe('what is not ours', () => {
  test('P29a a secret or profile of the same name without our marker is a conflict, and stays as it is', async () => {
    const world = await NetworkTenant.make();
    const comment = fc.constantFrom(undefined, 'pak RT', 'rukun', 'rukun:CUST00001 tapi bukan', 'my-rukun:CUST00001');
    const stranger = fc.record({ comment, disabled: fc.boolean(), is_profile: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(stranger, async ({ comment, disabled, is_profile }) => {
        const name = uniqueName();
        const props = `name=${name}${comment === undefined ? '' : ` comment="${comment}"`}`;
        if (is_profile) await loadOnRouter(`/ppp profile\nadd ${props} rate-limit=1M/1M\n`);
        else await loadOnRouter(`/ppp secret\nadd ${props} password=punya-orang disabled=${disabled ? 'yes' : 'no'}\n`);
        const menu = is_profile ? '/ppp/profile' : '/ppp/secret';
        const before = (await readMenu(menu)).find(row => row.name === name);
        const plan = await world.addPlan(is_profile ? { profile_name: name } : {});
        const customer = await world.tenant.addCustomer(plan.id, {
          pppoe_username: is_profile ? uniqueName() : name,
        });
        await world.tenant.post(`/customers/${customer.id}/activate`, {});
        const { items } = await world.waitFor(customer.id, 'conflict');
        expect(items[0]!.last_error).toContain(name);
        expect(items[0]!.next_attempt_at).not.toBeNull();
        await world.tenant.post(`/customers/${customer.id}/suspend`, {});
        await world.tenant.post(`/customers/${customer.id}/resume`, {});
        await world.waitFor(customer.id, 'conflict');
        expect((await readMenu(menu)).find(row => row.name === name)).toEqual(before);
        await world.tenant.post(`/customers/${customer.id}/terminate`, {});
        await world.waitFor(customer.id);
        expect((await readMenu(menu)).find(row => row.name === name)).toEqual(before);
      }),
      // each run waits for the router three times
      { numRuns: 40 },
    );
  });

  test('text that somebody wrote before our marker is kept', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username, customer_code } = await world.addLine((await world.addPlan()).id);
    const comment = `antena di atap, jangan dicabut rukun:${customer_code}`;
    await loadOnRouter(`/ppp secret\nset [ find name=${pppoe_username} ] comment="${comment}"\n`);
    await world.tenant.put(`/customers/${id}`, { pppoe_password: 'sandi-baru-77' });
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toMatchObject({ comment, password: 'sandi-baru-77' });
  });
});

describe('a router or bridge that is away', () => {
  /** Due again and again, each time with the clock's own delay. The hub is silent: nothing is woken behind the test's back. */
  async function tryTimes(world: NetworkTenant, customer_id: string, times: number) {
    const tries: { attempts: number; delay_ms: number }[] = [];
    const { queue, sent } = recordQueue<ProvisioningMessage>();
    for (let at = 0; at < times; at++) {
      await world.makeDue();
      const now = Date.now();
      const still = { now, elapsed_ms: () => 0, random: () => 0.5 };
      await world.look({ env: { ...env, PROVISIONING_QUEUE: queue, TENANT_HUB: SILENT_HUB }, ...still });
      const [item] = (await world.read(customer_id)).items;
      tries.push({ attempts: item!.attempts, delay_ms: Date.parse(item!.next_attempt_at!) - now });
    }
    expect(sent.map(message => message.body)).toEqual(
      tries.map(() => ({ tenant_id: world.tenant.id, router_id: world.router_id })),
    );
    // the wake-up comes when the try is due, never before
    expect(sent.map(message => message.delaySeconds)).toEqual(tries.map(({ delay_ms }) => Math.ceil(delay_ms / 1000)));
    return tries;
  }

  const growing = (tries: { attempts: number; delay_ms: number }[]) => {
    expect(tries.map(({ attempts }) => attempts)).toEqual(tries.map((_, at) => tries[0]!.attempts + at));
    tries.slice(1).forEach(({ delay_ms }, at) => {
      expect(delay_ms).toBeGreaterThanOrEqual(Math.min(tries[at]!.delay_ms * 2, 3.75 * 60_000));
    });
  };

  test('P29 an apply that finds no router is tried again with growing delays, and done once it is back', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const stays = await world.addLine(plan.id);
    const ends = await world.addLine(plan.id);
    await takeRouterAway();
    silenceHub();
    const fresh = await world.tenant.addCustomer(plan.id, { pppoe_username: uniqueName(), pppoe_password: PASSWORD });
    await world.tenant.post(`/customers/${fresh.id}/activate`, {});
    await world.tenant.post(`/customers/${ends.id}/terminate`, {});
    growing(await tryTimes(world, fresh.id, 9));
    const [item] = (await world.read(fresh.id)).items;
    expect(item).toMatchObject({ status: 'pending', last_applied_at: null });
    expect(item!.last_error).toContain("can't be reached");
    expect(await world.read(stays.id)).toMatchObject({ status: 'in_sync', items: [{ attempts: 0 }] });
    expect(await world.tenant.get(`/routers/${world.router_id}`)).toMatchObject({ status: 'offline' });
    await clearFaults();
    expect(await findSecret(ends.pppoe_username)).toBeDefined();
    await world.makeDue();
    await world.look();
    expect(await world.read(fresh.id)).toMatchObject({ status: 'in_sync', items: [{ attempts: 0, last_error: null }] });
    expect(await findSecret(fresh.pppoe_username)).toMatchObject({ password: PASSWORD });
    expect(await findSecret(ends.pppoe_username)).toBeUndefined();
    expect(await world.tenant.get(`/routers/${world.router_id}`)).toMatchObject({ status: 'online', last_error: null });
  });

  test('P29 a router that takes connections and says nothing is given up in time', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    await takeRouterAway({ silent_after_accept: true });
    const answer = await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    // the bridge gave up, and not we on it
    expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    expect(answer.error.message).toContain('no answer');
    // what was confirmed stays confirmed
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
  });

  test('P29 work whose message was lost is found by the sweep', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    await takeRouterAway();
    const { id, pppoe_username } = await world.tenant.addCustomer(plan.id, { pppoe_username: uniqueName() });
    await world.tenant.post(`/customers/${id}/activate`, {});
    await world.waitForTry(id);
    await clearFaults();
    await world.makeDue();
    await sweepTenant(await makeTestContext(world.tenant));
    await world.waitFor(id);
    expect(await findSecret(pppoe_username)).toBeDefined();
  });

  test('P29 a bridge that is away: the same', async () => {
    const world = await NetworkTenant.make({ bridge_url: `http://127.0.0.1:${DEAD_PORT}` });
    const { id, pppoe_username } = await world.tenant.addCustomer((await world.addPlan()).id, {
      pppoe_username: uniqueName(),
    });
    silenceHub();
    await world.tenant.post(`/customers/${id}/activate`, {});
    growing(await tryTimes(world, id, 6));
    expect(await world.read(id)).toMatchObject({ status: 'pending' });
    const answer = await world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
    expect([answer.status, answer.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    expect(await world.tenant.get(`/bridges/${world.bridge_id}`)).toMatchObject({ status: 'offline' });
    await world.tenant.put(`/bridges/${world.bridge_id}`, { url: env.TEST_NETWORK.bridge.url });
    await world.makeDue();
    await world.look();
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
    expect(await findSecret(pppoe_username)).toBeDefined();
    expect(await world.tenant.get(`/bridges/${world.bridge_id}`)).toMatchObject({ status: 'online' });
  });

  test('P29 no delay grows beyond its ceiling, and a new wish starts anew', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id } = await world.addLine(plan.id);
    await takeRouterAway();
    silenceHub();
    await world.tenant.post(`/customers/${id}/suspend`, {});
    await world.query('UPDATE provisioning SET attempts = 5000');
    const [tried] = await tryTimes(world, id, 1);
    expect(tried!.delay_ms).toBe(225_000);
    await world.tenant.post(`/customers/${id}/resume`, {});
    expect(await tryTimes(world, id, 1)).toMatchObject([{ attempts: 1 }]);
  });

  test('a wrong router password is told, and not tried again and again', async () => {
    const world = await NetworkTenant.make({ router: { password: 'bukan-itu-sandinya' } });
    const { id } = await world.tenant.addCustomer((await world.addPlan()).id, { pppoe_username: uniqueName() });
    const before_try = Date.now();
    await world.tenant.post(`/customers/${id}/activate`, {});
    const { items } = await world.waitForTry(id);
    expect(items[0]).toMatchObject({ status: 'pending', attempts: 1 });
    expect(items[0]!.last_error).toContain('refused the sign-in');
    expect(items[0]!.last_error).not.toContain('bukan-itu-sandinya');
    expect(Date.parse(items[0]!.next_attempt_at!)).toBeGreaterThanOrEqual(before_try + 30_000);
    const failuresLogged = async () =>
      (await readMenu('/log')).filter(row => /login failure/i.test(row.message ?? '')).length;
    const before = await failuresLogged();
    for (let at = 0; at < 5; at++) {
      const answer = await world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
      expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
      expect(answer.text).not.toContain('bukan-itu-sandinya');
    }
    expect(await failuresLogged()).toBe(before);
    // the right one is tried at once
    await world.tenant.put(`/routers/${world.router_id}`, { password: env.TEST_NETWORK.router.password });
    await world.tenant.post(`/customers/${id}/provisioning/sync`);
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
  });
});

describe('only what the bridge signed is believed', () => {
  test.each(['signature', 'body', 'status', 'replay'] as const)('an answer with another %s', async what => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    let earlier: { text: string; signature: string } | null = null;
    const forge = async (response: Response) => {
      const genuine = { text: await response.text(), signature: response.headers.get(SIGNATURE_HEADER)! };
      const replayed = earlier;
      earlier ??= genuine;
      const { text, signature } = {
        ...genuine,
        ...(what === 'signature' && { signature: '0'.repeat(64) }),
        ...(what === 'body' && { text: `${genuine.text} ` }),
        ...(what === 'replay' && replayed),
      };
      const status = what === 'status' ? 201 : response.status;
      return new Response(text, { status, headers: { [SIGNATURE_HEADER]: signature } });
    };
    await withBridgeCalls(
      async () => {
        if (what === 'replay') await world.tenant.post(`/customers/${id}/provisioning/sync`);
        const answer = await world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
        expect([answer.status, answer.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
        expect(answer.error.message).toContain('did not sign');
      },
      { after: forge },
    );
  });

  test('a bridge with another secret', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    const [other] = await world.query<{ id: string }>('SELECT id FROM bridges');
    const sealed = await seal(
      { env, now: Date.now() },
      { row_id: other!.id, column: 'signing_secret' },
      'another-secret-altogether',
    );
    await world.query('UPDATE bridges SET signing_secret = ?1', sealed);
    await world.tenant.post(`/customers/${id}/suspend`, {});
    const { items } = await world.waitForTry(id);
    expect(items[0]).toMatchObject({ status: 'pending' });
    expect(items[0]!.last_error).toContain('did not sign');
    const answer = await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    expect([answer.status, answer.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
  });
});

describe('messages in any number and order', () => {
  test('P29a a change made while an apply is under way leaves the row pending', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    const { queue } = recordQueue<ProvisioningMessage>();
    silenceHub();
    let is_changed = false;
    const changeMeanwhile = async () => {
      if (is_changed) return;
      is_changed = true;
      // as suspending does, but without its message
      await world.query(
        `UPDATE provisioning SET desired = json_set(desired, '$.disabled', json('true')), generation = generation + 1,
           status = 'pending', next_attempt_at = 1`,
      );
      await world.query('UPDATE routers SET revision = revision + 1');
    };
    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = 1`);
    const quiet = { env: { ...env, PROVISIONING_QUEUE: queue, TENANT_HUB: SILENT_HUB } };
    await withBridgeCalls(() => world.look(quiet), { after: changeMeanwhile });
    const { items } = await world.read(id);
    expect(items[0]).toMatchObject({ status: 'pending', desired: { disabled: true } });
    expect((await findSecret(pppoe_username))?.disabled).toBe('false');
    await world.look(quiet);
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
    expect((await findSecret(pppoe_username))?.disabled).toBe('true');
  });

  test('P29a an older apply that comes late is refused by the bridge, and undoes nothing', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = 1`);
    let let_go = () => {};
    const held = new Promise<void>(resolve => (let_go = resolve));
    let calls_begun = 0;
    const { queue } = recordQueue<ProvisioningMessage>();
    await withBridgeCalls(
      async calls => {
        // the first one has read the old state, and its request is stuck on the way
        const late = world.look({ env: { ...env, PROVISIONING_QUEUE: queue, TENANT_HUB: SILENT_HUB } });
        await waitUntil(
          () => Promise.resolve(calls_begun),
          count => count === 1,
          'no call',
        );
        await world.tenant.post(`/customers/${id}/suspend`, {});
        await world.waitFor(id);
        let_go();
        await late;
        expect(calls.map(call => call.status)).toEqual([200, 409]);
      },
      { before: () => (++calls_begun === 1 ? held : undefined) },
    );
    expect(await world.read(id)).toMatchObject({ status: 'in_sync', items: [{ last_error: null }] });
    expect((await findSecret(pppoe_username))?.disabled).toBe('true');
  });

  test('a sync that was overtaken asks for the newer state', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    let let_go = () => {};
    const held = new Promise<void>(resolve => (let_go = resolve));
    let calls_begun = 0;
    await withBridgeCalls(
      async () => {
        const late = world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
        await waitUntil(
          () => Promise.resolve(calls_begun),
          count => count === 1,
          'no call',
        );
        await world.tenant.post(`/customers/${id}/suspend`, {});
        await world.waitFor(id);
        let_go();
        const answer = await late;
        expect(answer.data, answer.text).toMatchObject({ status: 'in_sync', items: [{ desired: { disabled: true } }] });
      },
      { before: () => (++calls_begun === 1 ? held : undefined) },
    );
  });

  test('the same message many times does it once', async () => {
    const world = await NetworkTenant.make();
    const { id, pppoe_username } = await world.tenant.addCustomer((await world.addPlan()).id, {
      pppoe_username: uniqueName(),
    });
    await withBridgeCalls(async calls => {
      await world.tenant.post(`/customers/${id}/activate`, {});
      await Promise.all(Array.from({ length: 8 }, () => world.look()));
      await world.waitFor(id);
      const outcomes = calls.flatMap(call => call.answer.entries.map(entry => entry.outcome));
      // the plan's profile, and the secret
      expect(outcomes.filter(outcome => outcome !== 'unchanged')).toEqual(['added', 'added']);
    });
    expect((await readMenu('/ppp/secret')).filter(row => row.name === pppoe_username)).toHaveLength(1);
  });

  test('a line that is as it should be costs reads only', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id, { static_ip: '10.1.2.3' });
    await withBridgeCalls(async calls => {
      await world.tenant.post(`/customers/${id}/provisioning/sync`);
      expect(calls).toHaveLength(1);
      // one print for the profile, one for the secret
      expect(calls[0]!.answer).toMatchObject({
        commands_sent: 2,
        sessions_ended: 0,
        entries: [{ outcome: 'unchanged' }, { outcome: 'unchanged' }],
      });
    });
  });
});

describe('everything at once', () => {
  const POLICIES = ['disable', 'isolir'] as const;
  const who = fc.nat(2);
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('toggle' as const), who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const), who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('plan' as const), who, plan: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('rename' as const), who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('password' as const), who, text: typed(12) }) },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('address' as const), who, ip: fc.option(address, { nil: null }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('speed' as const), plan: fc.nat(1), kbps }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('dial' as const), who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('look' as const), times: fc.integer({ min: 1, max: 4 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(40) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('hold' as const), steps: fc.integer({ min: 1, max: 3 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('faults' as const),
        faults: fc.record({
          refuse: fc.boolean(),
          close_after_write: fc.nat(3),
          chunk_bytes: fc.constantFrom(0, 1, 7),
          read_only_user: fc.constantFrom(false, false, true),
          no_sensitive: fc.boolean(),
        }),
        reboot: fc.boolean(),
      }),
    },
  );
  type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

  interface Modelled {
    id: string;
    code: string;
    name: string;
    status: 'pending_activation' | 'active' | 'suspended' | 'terminated';
    plan: number;
    password: string;
    ip: string | null;
  }

  /** What the office sees of one ISP, kept apart from the code under test. */
  class Office {
    readonly names = new Set<string>();
    readonly world: NetworkTenant;
    readonly plans: { id: string; profile_name: string; download_kbps: number }[];
    readonly customers: Modelled[];
    readonly late: Promise<void>[] = [];
    readonly held: { left: number; let_go: () => void }[] = [];
    /** What the next calls to the bridge have to wait for. */
    readonly arrivals: Promise<void>[] = [];

    constructor(world: NetworkTenant, plans: Office['plans'], customers: Modelled[]) {
      this.world = world;
      this.plans = plans;
      this.customers = customers;
      for (const { name } of customers) this.names.add(name);
    }

    async take(next: Step): Promise<void> {
      const { world } = this;
      const { tenant } = world;
      if (next.do === 'faults') {
        await makeFaults(next.faults);
        if (next.reboot) await dropConnections();
      } else if (next.do === 'look') {
        await world.makeDue();
        await Promise.all(Array.from({ length: next.times }, () => world.look()));
      } else if (next.do === 'hold') await this.sendLate(next.steps);
      else if (next.do === 'wait') await new Promise(resolve => setTimeout(resolve, next.ms));
      else if (next.do === 'speed') {
        this.plans[next.plan]!.download_kbps = next.kbps;
        await tenant.put(`/service-plans/${this.plans[next.plan]!.id}`, { download_kbps: next.kbps });
      } else await this.change(next, this.customers[next.who]!);
    }

    /**
     * An apply of all that is wanted now, which reaches the bridge only some steps later. Before the next step it is on its way, or
     * has nothing to send: otherwise that step would be held up in its place, and nobody would let it go.
     */
    async sendLate(steps: number): Promise<void> {
      await this.world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = 1`);
      const arrival = new Promise<void>(let_go => this.held.push({ left: steps, let_go }));
      this.arrivals.push(arrival);
      const late = this.world.look().finally(() => this.takeBack(arrival));
      this.late.push(late);
      const isTaken = () => Promise.resolve(!this.arrivals.includes(arrival));
      await waitUntil(isTaken, Boolean, 'the late apply is on its way');
    }

    takeBack(arrival: Promise<void>): void {
      const at = this.arrivals.indexOf(arrival);
      if (at >= 0) this.arrivals.splice(at, 1);
    }

    /** A step has passed. */
    letGo(): void {
      for (const held of this.held) if (held.left-- <= 0) held.let_go();
    }

    async endLate(): Promise<void> {
      for (const { let_go } of this.held) let_go();
      await Promise.all(this.late);
    }

    async change(
      next: Exclude<Step, { do: 'faults' | 'look' | 'hold' | 'wait' | 'speed' }>,
      customer: Modelled,
    ): Promise<void> {
      const { tenant } = this.world;
      const path = `/customers/${customer.id}`;
      if (next.do === 'dial') await dialIn(customer.name);
      else if (next.do === 'toggle') {
        const verbs = {
          pending_activation: 'activate',
          active: 'suspend',
          suspended: 'resume',
          terminated: 'reactivate',
        };
        customer.status = (await tenant.post(`${path}/${verbs[customer.status]}`, {})).status;
      } else if (next.do === 'end') {
        if (customer.status === 'terminated') return;
        customer.status = (await tenant.post(`${path}/terminate`, {})).status;
      } else if (next.do === 'plan') {
        if (customer.status === 'terminated') return;
        customer.plan = next.plan;
        await tenant.put(path, { service_plan_id: this.plans[next.plan]!.id });
      } else if (next.do === 'rename') {
        customer.name = uniqueName();
        this.names.add(customer.name);
        await tenant.put(path, { pppoe_username: customer.name });
      } else if (next.do === 'password') {
        customer.password = next.text;
        await tenant.put(path, { pppoe_password: next.text });
      } else {
        customer.ip = next.ip;
        await tenant.put(path, { static_ip: next.ip });
      }
    }

    /** Tries until nothing waits any more. */
    async settle(): Promise<void> {
      for (let round = 0; round < 20; round++) {
        await this.world.makeDue();
        await this.world.look();
        const open = await this.world.query(
          `SELECT key, status, last_error FROM provisioning WHERE status <> 'in_sync'`,
        );
        if (open.length === 0) return;
        await new Promise(resolve => setTimeout(resolve, 20));
      }
      expect.fail(JSON.stringify(await this.world.query('SELECT key, status, last_error FROM provisioning')));
    }

    /** What the router must hold of ours, by name. */
    expected(policy: (typeof POLICIES)[number], isolir: string): Map<string, RouterRow> {
      const lines = this.customers.filter(({ status }) => status === 'active' || status === 'suspended');
      return new Map(
        lines.map(({ name, code, password, plan, status, ip }) => {
          const is_isolated = status === 'suspended' && policy === 'isolir';
          const address = is_isolated ? null : ip;
          const row: RouterRow = {
            name,
            password,
            service: 'pppoe',
            profile: is_isolated ? isolir : this.plans[plan]!.profile_name,
            disabled: String(status === 'suspended' && !is_isolated),
            comment: `rukun:${code}`,
            ...(address !== null && { 'remote-address': address }),
          };
          return [name, row];
        }),
      );
    }
  }

  const MANAGED = ['name', 'password', 'service', 'profile', 'disabled', 'comment', 'remote-address'];
  const managedOf = (row: RouterRow) =>
    Object.fromEntries(Object.entries(row).filter(([key]) => MANAGED.includes(key)));

  test('P29a any interleaving of changes, faults, duplicates and reboots ends in the last desired state', async () => {
    const world = await NetworkTenant.make();
    const foreign = uniqueName('orang-lain');
    await loadOnRouter(
      `/ppp profile\nadd name=${foreign} rate-limit=3M/3M\n/ppp secret\nadd name=${foreign}-1 password=x profile=${foreign}\n` +
        `add name=${foreign}-2 password=y comment="bukan rukun:X ya" disabled=yes\n`,
    );
    const foreignRows = async () =>
      [...(await readMenu('/ppp/profile')), ...(await readMenu('/ppp/secret'))].filter(row =>
        row.name!.startsWith(foreign),
      );
    const untouched = await foreignRows();
    const isolir = uniqueName('isolir');
    await world.tenant.put('/settings', { isolir_profile: isolir });
    const schedule = fc.record({
      policy: fc.constantFrom(...POLICIES),
      slow: fc.array(fc.nat(30), { minLength: 3, maxLength: 9 }),
      steps: fc.array(step, { minLength: 4, maxLength: 14 }),
    });
    await fc.assert(
      fc.asyncProperty(schedule, async ({ policy, slow, steps }) => {
        await clearFaults();
        await world.tenant.put('/settings', { suspension_policy: policy });
        const plans = [await world.addPlan(), await world.addPlan()];
        const customers: Modelled[] = [];
        for (const plan of [0, 1, 0]) {
          const line = await world.addLine(plans[plan].id);
          const { id, customer_code: code, pppoe_username: name } = line;
          customers.push({ id, code, name, status: 'active', plan, password: PASSWORD, ip: null });
        }
        const office = new Office(world, plans, customers);
        // calls to the bridge overtake each other
        let call = 0;
        const dawdle = () => new Promise<void>(resolve => setTimeout(resolve, slow[call++ % slow.length]!));
        await withBridgeCalls(
          async () => {
            for (const next of steps) {
              await office.take(next);
              office.letGo();
            }
            await office.endLate();
          },
          { before: () => office.arrivals.shift() ?? dawdle(), after: dawdle },
        );
        await clearFaults();
        await office.settle();
        const ours = (await readMenu('/ppp/secret')).filter(row => office.names.has(row.name!));
        expect(new Map(ours.map(row => [row.name!, managedOf(row)]))).toEqual(office.expected(policy, isolir));
        for (const plan of plans) {
          const [used] = await world.query(
            'SELECT 1 FROM customers WHERE service_plan_id = ?1 AND status = ?2',
            plan.id,
            'active',
          );
          if (!used) continue;
          const profile = await findProfile(plan.profile_name);
          expect(readPair(profile!['rate-limit']!)[1]).toBe(plan.download_kbps * 1000);
        }
        for (const { name, status } of customers)
          if (status === 'terminated' || (status === 'suspended' && policy === 'disable'))
            expect(await isOnline(name)).toBe(false);
        expect(await foreignRows()).toEqual(untouched);
      }),
      // each run crosses real sockets some fifty times
      { numRuns: 30 },
    );
  });
});

describe('live answers', () => {
  test('sync applies now and says what the router says', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id, pppoe_username } = await world.addLine(plan.id);
    // somebody changed it by hand
    await loadOnRouter(`/ppp secret\nset [ find name=${pppoe_username} ] disabled=yes profile=default\n`);
    const state = await world.tenant.post(`/customers/${id}/provisioning/sync`);
    expect(state).toMatchObject({
      customer_id: id,
      status: 'in_sync',
      items: [{ key: pppoe_username, last_error: null }],
    });
    expect(await findSecret(pppoe_username)).toMatchObject({ disabled: 'false', profile: plan.profile_name });
    const nobody = await world.tenant.call('POST', `/customers/${crypto.randomUUID()}/provisioning/sync`);
    expect(nobody.status).toBe(404);
  });

  test('sync of a customer without a line has nothing to do', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.tenant.addCustomer((await world.addPlan()).id);
    expect(await world.tenant.post(`/customers/${id}/provisioning/sync`)).toMatchObject({ status: 'none', items: [] });
  });

  test('sync of a router that is off or has no bridge says so', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    const sync = () => world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: false });
    expect([(await sync()).status, (await sync()).error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: true, bridge_id: null });
    expect([(await sync()).status, (await sync()).error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    const probe = await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    expect([probe.status, probe.error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
  });

  test('sync answers 502 while the router is away, and needs no router that has let the customer go', async () => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    const sync = () => world.tenant.call('POST', `/customers/${id}/provisioning/sync`);
    await takeRouterAway();
    const answer = await sync();
    expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    // what was confirmed stays confirmed
    expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
    await clearFaults();
    const next = await world.addRouter();
    await world.tenant.put(`/customers/${id}`, { router_id: null });
    await world.waitFor(id);
    await world.tenant.put(`/customers/${id}`, { router_id: next });
    await world.waitFor(id);
    await world.tenant.put(`/routers/${world.router_id}`, { port: DEAD_PORT });
    expect((await sync()).status).toBe(200);
  });

  test('a test of a router signs in and says what it is', async () => {
    const world = await NetworkTenant.make();
    const answer = await world.tenant.post(`/routers/${world.router_id}/test`);
    expect(answer).toMatchObject({ identity: 'MikroTik', tls_fingerprint: null });
    expect(answer.version).toContain('7.18');
    expect(answer.latency_ms).toBeGreaterThanOrEqual(0);
    expect(answer.uptime_seconds).toBeGreaterThanOrEqual(0);
    const { last_seen_at, ...router } = await world.tenant.get(`/routers/${world.router_id}`);
    expect(router).toMatchObject({ status: 'online', identity: 'MikroTik', version: answer.version, last_error: null });
    expect(last_seen_at).not.toBeNull();
  });

  test.each([
    ['is not there', { port: DEAD_PORT }, "can't be reached"],
    ['refuses the password', { password: 'bukan-itu-sandinya' }, 'refused the sign-in'],
    ['speaks no TLS', { use_tls: true, port: 0 }, "can't be reached"],
  ] as const)('a test of a router that %s', async (_what, fields, told) => {
    const port = 'port' in fields && fields.port !== 0 ? fields.port : env.TEST_NETWORK.router.port;
    const world = await NetworkTenant.make({ router: { ...fields, port } });
    const answer = await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    expect(answer.error.message).toContain(told);
    expect(answer.text).not.toContain('bukan-itu-sandinya');
    const router = await world.tenant.get(`/routers/${world.router_id}`);
    expect(router).toMatchObject({ status: 'offline', last_seen_at: null });
    expect(router.last_error).toContain(told);
  });

  test('a test through a bridge that is away or has not enrolled', async () => {
    const world = await NetworkTenant.make({ bridge_url: `http://127.0.0.1:${DEAD_PORT}` });
    const probe = () => world.tenant.call('POST', `/routers/${world.router_id}/test`);
    expect([(await probe()).status, (await probe()).error.code]).toEqual([503, 'BRIDGE_OFFLINE']);
    await world.query('UPDATE bridges SET signing_secret = NULL, public_key = NULL');
    const answer = await probe();
    expect(answer.status).toBe(503);
    expect(answer.error.message).toContain('has not enrolled');
    expect((await world.tenant.call('POST', `/routers/${crypto.randomUUID()}/test`)).status).toBe(404);
  });
});

describe('what is told', () => {
  test('P23 no password of a line or a router comes back, in any answer, event or error', async () => {
    const secrets = { line: 'sandi-pelanggan-9', changed: 'sandi-kedua-8', router: 'sandi-salah-router' };
    const world = await NetworkTenant.make();
    const { tenant } = world;
    const answers: string[] = [];
    const ask = async (method: string, path: string, body?: unknown) => {
      answers.push((await tenant.call(method, path, { body })).text);
    };
    const { id } = await world.addLine((await world.addPlan()).id, { pppoe_password: secrets.line });
    await ask('PUT', `/customers/${id}`, { pppoe_password: secrets.changed });
    await world.waitFor(id);
    await ask('POST', `/customers/${id}/provisioning/sync`);
    await ask('PUT', `/routers/${world.router_id}`, { password: secrets.router });
    await ask('POST', `/customers/${id}/provisioning/sync`);
    await ask('POST', `/routers/${world.router_id}/test`);
    for (const path of [
      '/customers',
      `/customers/${id}`,
      `/customers/${id}/provisioning`,
      `/customers/${id}/audit-logs`,
    ])
      await ask('GET', path);
    for (const path of ['/routers', `/routers/${world.router_id}`, '/bridges', '/audit-logs']) await ask('GET', path);
    answers.push(JSON.stringify(await world.query('SELECT * FROM events')));
    answers.push(JSON.stringify(await world.query('SELECT * FROM provisioning')));
    answers.push(JSON.stringify(await world.query('SELECT * FROM customers')));
    const { password, username: _username } = env.TEST_NETWORK.router;
    for (const secret of [...Object.values(secrets), password, env.TEST_NETWORK.bridge.signing_secret])
      for (const text of answers) expect(text).not.toContain(secret);
  });

  test('P45 events tell what the router confirmed, refused and could not do, and nothing when nothing changed', async () => {
    const world = await NetworkTenant.make();
    const plan = await world.addPlan();
    const { id } = await world.addLine(plan.id);
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool: 'tak-ada-pool' });
    await world.waitFor(id, 'failed');
    await world.tenant.put(`/service-plans/${plan.id}/advanced`, { address_pool: '10.77.0.1' });
    await world.waitFor(id);
    await world.tenant.post(`/customers/${id}/provisioning/sync`);
    await world.tenant.post(`/customers/${id}/terminate`, {});
    await world.waitFor(id);
    const told = await world.query<{ actor: string; actor_name: string; changes: string; data: string }>(
      `SELECT actor, actor_name, changes, data FROM events
       WHERE type = 'provisioning.applied' AND entity_type = 'provisioning' AND customer_id = ?1 ORDER BY seq`,
      id,
    );
    const story = told.map(({ changes, data }) => {
      const { outcome, error } = JSON.parse(data);
      return [...JSON.parse(changes).status, outcome, error !== null];
    });
    expect(story).toEqual([
      ['pending', 'in_sync', 'added', false],
      ['pending', 'failed', 'failed', true],
      ['pending', 'in_sync', 'unchanged', false],
      ['pending', 'in_sync', 'removed', false],
    ]);
    for (const event of told) expect([event.actor, event.actor_name]).toEqual(['bridge', 'Kantor']);
    const log = await world.tenant.get(`/customers/${id}/audit-logs`, { action: 'apply' });
    expect(log).toHaveLength(4);
  });
});
