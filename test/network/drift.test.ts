import fc from 'fast-check';
import { env } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkDrift } from '../../src/jobs/check-drift.ts';
import { sweepTenant } from '../../src/jobs/sweep.ts';
import type { JobMessage } from '../../src/queues/jobs.ts';
import { silenceHub } from '../support/hub.ts';
import {
  clearFaults,
  dialIn,
  emptyRouter,
  findProfile,
  findSecret,
  isOnline,
  loadOnRouter,
  makeTestContext,
  NetworkTenant,
  recordQueue,
  takeRouterAway,
  withBridgeCalls,
} from '../support/network-world.ts';

/** What a router holds against what it must hold: found, told of, and repaired. */

beforeEach(emptyRouter);
afterEach(clearFaults);

interface Drift {
  counts: Record<string, number>;
  items: { key: string; state: string; error: string | null; differences: object[] }[];
  profiles: { name: string; state: string; differences: object[] }[];
  strays: { menu: string; name: string; marker: string }[];
}

const driftOf = (world: NetworkTenant): Promise<Drift> => world.tenant.get(`/routers/${world.router_id}/drift`);
const reconcile = (world: NetworkTenant, mode: string): Promise<Drift> =>
  world.tenant.post(`/routers/${world.router_id}/reconcile`, { mode });
const alertsOf = (world: NetworkTenant) => world.tenant.get('/monitoring/alerts', { status: 'open', type: 'drift' });

async function makeLines(count: number) {
  const world = await NetworkTenant.make();
  const plan = await world.addPlan({ download_kbps: 10_000, upload_kbps: 2_000 });
  const lines = [];
  for (let at = 0; at < count; at++) lines.push(await world.addLine(plan.id));
  return { world, plan, lines };
}

describe('drift', () => {
  test('a router that is as it must be is in sync, and is only read', async () => {
    const { world } = await makeLines(3);
    await withBridgeCalls(async calls => {
      const drift = await driftOf(world);
      expect(drift).toMatchObject({
        counts: { in_sync: 3, missing: 0, differs: 0 },
        items: [],
        profiles: [],
        strays: [],
      });
      expect(calls.map(call => call.path)).toEqual(['/v1/apply']);
      // one print of each menu in which something of ours may stand
      expect(calls[0]!.answer.commands_sent).toBe(6);
    });
    expect(await world.tenant.get(`/routers/${world.router_id}`)).toMatchObject({
      drift_checked_at: expect.any(String),
    });
  });

  test('what somebody changed by hand is found, shown at the customer, told of, and left as it is', async () => {
    const { world, plan, lines } = await makeLines(4);
    const [gone, moved, secret, fine] = lines.map(line => line.pppoe_username);
    await loadOnRouter(`/ppp profile\nadd name=lain\nset [find name=${plan.profile_name}] rate-limit=9M/9M
/ppp secret
remove [find name=${gone}]
set [find name=${moved}] profile=lain disabled=yes
set [find name=${secret}] password=tukar
add name=asing password=x comment="rukun:CUST99999"
`);
    const drift = await driftOf(world);
    expect(drift.counts).toMatchObject({ in_sync: 1, missing: 1, differs: 2, strays: 1 });
    const item = (key: string) => drift.items.find(each => each.key === key);
    expect(item(gone)).toMatchObject({ state: 'missing', differences: [] });
    expect(item(moved)).toMatchObject({
      state: 'differs',
      differences: [
        { property: 'profile', desired: plan.profile_name, observed: 'lain' },
        { property: 'disabled', desired: 'no', observed: 'true' },
      ],
    });
    expect(item(secret)).toMatchObject({ differences: [{ property: 'password', desired: null, observed: null }] });
    expect(JSON.stringify(drift)).not.toMatch(/tukar|rahasia/);
    expect(drift.profiles).toMatchObject([{ name: plan.profile_name, state: 'differs' }]);
    expect(drift.strays).toEqual([{ menu: '/ppp/secret', name: 'asing', marker: 'rukun:CUST99999' }]);
    const shown = await world.read(lines[1].id);
    expect(shown).toMatchObject({
      status: 'drifted',
      items: [{ last_error: expect.stringContaining('profile is lain') }],
    });
    expect(await world.read(lines[3].id)).toMatchObject({ status: 'in_sync' });
    expect(await alertsOf(world)).toMatchObject([{ entity_id: world.router_id, severity: 'warning' }]);
    // again: nothing new is told
    const events = async () => (await world.query('SELECT seq FROM events')).length;
    const before = await events();
    await driftOf(world);
    expect(await events()).toBe(before);
    expect(await findSecret(gone)).toBeUndefined();
    expect(await findSecret(moved)).toMatchObject({ profile: 'lain' });
    expect(fine).toBeDefined();
  });

  test('a repair makes all of it as it must be, ends the sessions that were wrong, and leaves what isn’t ours', async () => {
    const { world, plan, lines } = await makeLines(3);
    const [gone, moved, fine] = lines.map(line => line.pppoe_username);
    await loadOnRouter(`/ppp profile\nadd name=lain\nset [find name=${plan.profile_name}] rate-limit=9M/9M
/ppp secret
remove [find name=${gone}]
set [find name=${moved}] profile=lain
add name=tetangga password=x
add name=asing password=x comment="rukun:CUST99999"
`);
    for (const name of [moved, fine]) await dialIn(name);
    const after = await reconcile(world, 'repair');
    expect(after).toMatchObject({ counts: { in_sync: 3, missing: 0, differs: 0, strays: 1 }, items: [], profiles: [] });
    expect(await findSecret(gone)).toMatchObject({ profile: plan.profile_name, password: 'rahasia-123' });
    expect(await findSecret(moved)).toMatchObject({ profile: plan.profile_name });
    expect(await findProfile(plan.profile_name)).toMatchObject({ 'rate-limit': '2M/10M' });
    expect([await isOnline(moved), await isOnline(fine)]).toEqual([false, true]);
    for (const name of ['tetangga', 'asing']) expect(await findSecret(name)).toBeDefined();
    for (const line of lines) expect(await world.read(line.id)).toMatchObject({ status: 'in_sync' });
    expect(await alertsOf(world)).toEqual([]);
  });

  test('an entry of that name that isn’t ours is a conflict, and a repair leaves it', async () => {
    const { world, lines } = await makeLines(1);
    const { pppoe_username } = lines[0];
    await loadOnRouter(`/ppp secret\nset [find name=${pppoe_username}] comment="punya orang" profile=default\n`);
    const drift = await reconcile(world, 'repair');
    expect(drift).toMatchObject({ counts: { conflict: 1 }, items: [{ state: 'conflict' }] });
    expect(await findSecret(pppoe_username)).toMatchObject({ profile: 'default', comment: 'punya orang' });
  });

  test('what waits to be applied is no drift', async () => {
    const { world, lines } = await makeLines(1);
    silenceHub();
    await world.tenant.post(`/customers/${lines[0].id}/suspend`, {});
    const drift = await driftOf(world);
    expect(drift).toMatchObject({ counts: { pending: 1, differs: 0 }, items: [{ state: 'pending' }] });
    expect(await alertsOf(world)).toEqual([]);
    expect(await world.read(lines[0].id)).toMatchObject({ status: 'pending' });
  });

  test('of a router that is away nothing is known, and nothing is changed', async () => {
    const { world, lines } = await makeLines(1);
    await takeRouterAway();
    for (const [method, path, body] of [
      ['GET', 'drift', undefined],
      ['POST', 'reconcile', { mode: 'repair' }],
    ] as const) {
      const answer = await world.tenant.call(method, `/routers/${world.router_id}/${path}`, { body });
      expect([answer.status, answer.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    }
    expect(await world.read(lines[0].id)).toMatchObject({ status: 'in_sync' });
  });

  test('the sweep looks at each router a few times a day, and what it finds is told of', async () => {
    const { world, lines } = await makeLines(1);
    await loadOnRouter(`/ppp secret\nremove [find name=${lines[0].pppoe_username}]\n`);
    const asked = async (hours: number) => {
      const queue = recordQueue<JobMessage>();
      const parts = { env: { ...env, JOBS_QUEUE: queue.queue } as never, now: Date.now() + hours * 3_600_000 };
      await sweepTenant(await makeTestContext(world.tenant, parts));
      return queue.sent.filter(message => message.body.kind === 'drift').length;
    };
    // a bridge that is silent all that time would make its router unknown
    await world.query('UPDATE bridges SET last_heartbeat_at = ?', Date.now() + 86_400_000);
    expect(await asked(0)).toBe(1);
    await checkDrift(await makeTestContext(world.tenant), world.router_id);
    expect(await world.read(lines[0].id)).toMatchObject({ status: 'drifted' });
    expect(await alertsOf(world)).toHaveLength(1);
    expect([await asked(0), await asked(5)]).toEqual([0, 0]);
    expect(await asked(7)).toBe(1);
  });

  test('whatever is changed by hand: a report tells just that, and a repair puts just that right', async () => {
    const { world, plan, lines } = await makeLines(4);
    await loadOnRouter('/ppp profile\nadd name=lain\n');
    const change = fc.constantFrom('remove', 'profile', 'disable', 'password', 'nothing');
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 4, maxLength: 4 }), async changes => {
        const commands = changes.flatMap((what, at) => {
          const find = `[find name=${lines[at].pppoe_username}]`;
          if (what === 'nothing') return [];
          if (what === 'remove') return [`remove ${find}`];
          return [
            `set ${find} ${{ profile: 'profile=lain', disable: 'disabled=yes', password: 'password=tukar' }[what]}`,
          ];
        });
        await loadOnRouter(`/ppp secret\n${commands.map(command => `${command}\n`).join('')}`);
        const drift = await reconcile(world, 'report');
        const states = new Map(drift.items.map(item => [item.key, item.state]));
        for (const [at, what] of changes.entries())
          expect(states.get(lines[at].pppoe_username)).toBe(
            what === 'nothing' ? undefined : what === 'remove' ? 'missing' : 'differs',
          );
        expect((await alertsOf(world)).length).toBe(drift.items.length > 0 ? 1 : 0);
        expect(await reconcile(world, 'repair')).toMatchObject({ counts: { in_sync: 4 }, items: [] });
        for (const line of lines)
          expect(await findSecret(line.pppoe_username)).toMatchObject({
            profile: plan.profile_name,
            password: 'rahasia-123',
            disabled: 'false',
          });
        expect(await alertsOf(world)).toEqual([]);
      }),
      { numRuns: 12 },
    );
  });
});
