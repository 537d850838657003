import { createExecutionContext, createScheduledController, env, waitOnExecutionContext } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sweep, sweepTenant } from '../../src/jobs/sweep.ts';
import type { JobMessage } from '../../src/queues/jobs.ts';
import type { ProvisioningMessage } from '../../src/queues/wake.ts';
import { importFile } from '../../src/resources/imports/actions.ts';
import { forgetDirectory } from '../../src/tenancy/directory.ts';
import { TENANT_SCHEMA_VERSION } from '../../src/tenancy/tenant-schema.ts';
import worker from '../../src/worker.ts';
import { dayFromNow } from '../support/calendar.ts';
import {
  clearFaults,
  findSecret,
  makeTestAmbient,
  makeTestContext,
  NetworkTenant,
  takeRouterAway,
  uniqueName,
  waitUntil,
} from '../support/network-world.ts';
import { addWaitingLine, consume, recordQueues } from '../support/queues.ts';
import { TestTenant } from '../support/world.ts';

// failures that a test brings about are not for the report
beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));

afterEach(async () => {
  vi.restoreAllMocks();
  await clearFaults();
});

/** In how many seconds a message that was tried so often is wanted again. */
async function askDelay(body: ProvisioningMessage, attempts: number): Promise<number | undefined> {
  let delay: number | undefined;
  const retry = (options?: QueueRetryOptions) => (delay = options?.delaySeconds);
  const message = { id: 'm', timestamp: new Date(), attempts, body, ack: () => expect.fail('acked'), retry };
  const batch = { queue: 'rukun-provisioning', messages: [message] };
  await worker.queue!(batch as never, env, createExecutionContext());
  return delay;
}

async function setTenantStatus(id: string, status: string): Promise<void> {
  await env.DIRECTORY_DB.prepare('UPDATE tenants SET status = ?1 WHERE id = ?2').bind(status, id).run();
  forgetDirectory();
}

const isDisabled = async (name: string) => (await findSecret(name))?.disabled === 'true';

describe('the consumer', () => {
  test('acks each message by itself, and wants back only the one that failed', async () => {
    const [good, broken] = [await NetworkTenant.make(), await NetworkTenant.make()];
    const [line, stuck] = [await addWaitingLine(good), await addWaitingLine(broken)];
    await broken.query(`UPDATE provisioning SET desired = 'no JSON'`);
    const message = (world: NetworkTenant) => ({ tenant_id: world.tenant.id, router_id: world.router_id });
    const batch = [message(broken), message(good), message(broken), message(good)];
    expect(await consume('rukun-provisioning', batch)).toEqual(['retry', 'ack', 'retry', 'ack']);
    expect(await isDisabled(line.name)).toBe(true);
    expect(await good.read(line.id)).toMatchObject({ status: 'in_sync' });
    const [waiting] = await broken.query('SELECT status FROM provisioning WHERE customer_id = ?1', stuck.id);
    expect(waiting).toEqual({ status: 'pending' });
  });

  test('a password that can’t be opened is told of its line or router, and holds nothing else up', async () => {
    const world = await NetworkTenant.make();
    const [line, sealed] = [await addWaitingLine(world), await addWaitingLine(world)];
    await world.query(`UPDATE customers SET pppoe_password = 'cannot.be.opened' WHERE id = ?1`, sealed.id);
    const message = { tenant_id: world.tenant.id, router_id: world.router_id };
    expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
    expect(await isDisabled(line.name)).toBe(true);
    expect(await isDisabled(sealed.name)).toBe(false);
    const told = { status: 'failed', attempts: 1, last_error: expect.stringContaining('can’t be opened') };
    expect(await world.read(sealed.id)).toMatchObject({ items: [told] });
    const next = await addWaitingLine(world);
    await world.query(`UPDATE routers SET password = 'cannot.be.opened'`);
    expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
    const waits = { status: 'pending', attempts: 1, last_error: expect.stringContaining('can’t be opened') };
    expect(await world.read(next.id)).toMatchObject({ items: [waits] });
  });

  test('waits longer each time, up to five minutes', async () => {
    const world = await NetworkTenant.make();
    await addWaitingLine(world);
    await world.query(`UPDATE provisioning SET desired = 'no JSON'`);
    const message = { tenant_id: world.tenant.id, router_id: world.router_id };
    const delays: (number | undefined)[] = [];
    for (const attempts of [1, 2, 3, 5, 9]) delays.push(await askDelay(message, attempts));
    expect(delays).toEqual([10, 20, 40, 160, 300]);
  });

  test('a router that is away is no failure of the message: its rows say when to try again', async () => {
    const world = await NetworkTenant.make();
    const { id } = await addWaitingLine(world);
    await takeRouterAway();
    const message = { tenant_id: world.tenant.id, router_id: world.router_id };
    expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
    expect(await world.read(id)).toMatchObject({ status: 'pending', items: [{ attempts: 1 }] });
  });

  test('messages of tenants, routers and jobs that are not there do nothing', async () => {
    const world = await NetworkTenant.make();
    const nobody = crypto.randomUUID();
    const { id: tenant_id } = world.tenant;
    const messages: ProvisioningMessage[] = [
      { tenant_id: nobody, router_id: world.router_id },
      { tenant_id, router_id: nobody },
      { tenant_id: nobody, router_id: nobody },
    ];
    expect(await consume('rukun-provisioning', messages)).toEqual(['ack', 'ack', 'ack']);
    const jobs: JobMessage[] = [
      { tenant_id: nobody, kind: 'sweep' },
      { tenant_id: nobody, kind: 'import', job_id: nobody },
      { tenant_id: nobody, kind: 'migrate' },
      { tenant_id, kind: 'import', job_id: nobody },
      { tenant_id, kind: 'migrate' },
    ];
    expect(await consume('rukun-jobs', jobs)).toEqual(['ack', 'ack', 'ack', 'ack', 'ack']);
  });

  test('a router that was deleted while its message was under way', async () => {
    const world = await NetworkTenant.make();
    await world.tenant.call('DELETE', `/routers/${world.router_id}`);
    const message = { tenant_id: world.tenant.id, router_id: world.router_id };
    expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
  });

  test('another tenant’s router is not touched', async () => {
    const [world, other] = [await NetworkTenant.make(), await NetworkTenant.make()];
    const line = await addWaitingLine(other);
    expect(await consume('rukun-provisioning', [{ tenant_id: world.tenant.id, router_id: other.router_id }])).toEqual([
      'ack',
    ]);
    expect(await isDisabled(line.name)).toBe(false);
    expect(await other.read(line.id)).toMatchObject({ status: 'pending', items: [{ attempts: 0 }] });
  });

  test.each(['suspended', 'pending_deletion', 'deleted', 'provisioning'])(
    'rows of a tenant that is %s wait until it is active',
    async status => {
      const world = await NetworkTenant.make();
      const line = await addWaitingLine(world);
      const message = { tenant_id: world.tenant.id, router_id: world.router_id };
      await setTenantStatus(world.tenant.id, status);
      expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
      expect(await consume('rukun-jobs', [{ tenant_id: world.tenant.id, kind: 'sweep' }])).toEqual(['ack']);
      expect(await isDisabled(line.name)).toBe(false);
      await setTenantStatus(world.tenant.id, 'active');
      expect(await world.read(line.id)).toMatchObject({
        status: 'pending',
        items: [{ attempts: 0, last_error: null }],
      });
      expect(await consume('rukun-provisioning', [message])).toEqual(['ack']);
      expect(await isDisabled(line.name)).toBe(true);
    },
  );

  test('any pile of messages, in any order and number, ends the same', async () => {
    const worlds = [await NetworkTenant.make(), await NetworkTenant.make()];
    const real = worlds.map(world => ({ tenant_id: world.tenant.id, router_id: world.router_id }));
    const message = fc.oneof(
      fc.constantFrom(...real),
      fc.record({ tenant_id: fc.uuid(), router_id: fc.uuid() }),
      fc.record({ tenant_id: fc.constantFrom(...real.map(each => each.tenant_id)), router_id: fc.uuid() }),
    );
    const lines = [await addWaitingLine(worlds[0]!), await addWaitingLine(worlds[1]!)];
    let is_off = true;
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 8 }), async pile => {
        is_off = !is_off;
        for (const world of worlds)
          await world.query(
            `UPDATE provisioning SET desired = json_set(desired, '$.disabled', json(?1)), generation = generation + 1,
               status = 'pending', next_attempt_at = 1`,
            String(is_off),
          );
        const verdicts = await consume('rukun-provisioning', [...pile, ...real]);
        expect(new Set(verdicts)).toEqual(new Set(['ack']));
        for (const [at, { id, name }] of lines.entries()) {
          expect(await worlds[at]!.read(id)).toMatchObject({ status: 'in_sync' });
          expect(await isDisabled(name)).toBe(is_off);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('the sweep', () => {
  const sweepOne = async (tenant: TestTenant, now = Date.now()) => {
    const queues = recordQueues();
    const ctx = await makeTestContext(tenant, { env: queues.env, now });
    await sweepTenant(ctx);
    return { ...queues, stats: ctx.db.stats };
  };

  test('asks once for each active tenant, and brings up those behind', async () => {
    const [first, second, asleep] = [await TestTenant.signUp(), await TestTenant.signUp(), await TestTenant.signUp()];
    await setTenantStatus(asleep.id, 'suspended');
    await env.DIRECTORY_DB.prepare('UPDATE tenants SET schema_version = ?1 WHERE id = ?2')
      .bind(TENANT_SCHEMA_VERSION - 1, second.id)
      .run();
    const queues = recordQueues();
    await sweep(makeTestAmbient({ env: queues.env }));
    const told = queues.jobs.map(({ body }) => `${body.kind} ${body.tenant_id}`);
    const both = [first.id, second.id];
    expect(told.sort()).toEqual([`migrate ${second.id}`, ...both.flatMap(id => [`daily ${id}`, `sweep ${id}`])].sort());
    expect(queues.provisioning).toEqual([]);
  });

  test('of a tenant with nothing to do sends nothing and writes nothing', async () => {
    const world = await NetworkTenant.make();
    await world.addLine((await world.addPlan()).id);
    await world.query('UPDATE routers SET drift_checked_at = ?', Date.now());
    const before = await world.query('SELECT max(seq) AS seq FROM events');
    const { jobs, provisioning, stats } = await sweepOne(world.tenant);
    expect([jobs, provisioning]).toEqual([[], []]);
    expect(stats.rows_written).toBe(0);
    expect(await world.query('SELECT max(seq) AS seq FROM events')).toEqual(before);
  });

  test('P29 wakes each router with something due, once, and no other', async () => {
    const world = await NetworkTenant.make();
    const idle = await world.addRouter();
    await addWaitingLine(world);
    await addWaitingLine(world);
    await world.query('UPDATE routers SET drift_checked_at = ?', Date.now());
    const { provisioning, jobs } = await sweepOne(world.tenant);
    expect(provisioning.map(message => message.body)).toEqual([
      { tenant_id: world.tenant.id, router_id: world.router_id },
    ]);
    expect(jobs).toEqual([]);
    expect(idle).not.toBe(world.router_id);
    // not yet due
    await world.query('UPDATE provisioning SET next_attempt_at = ?1', Date.now() + 60_000);
    expect((await sweepOne(world.tenant)).provisioning).toEqual([]);
  });

  test('wakes an import that stands still, and leaves one alone that moves or is done', async () => {
    const tenant = await TestTenant.signUp();
    const queues = recordQueues();
    const ctx = await makeTestContext(tenant, { env: queues.env });
    const { id } = await importFile(ctx, { dry_run: false, filter_disabled: false }, '/ppp secret\nadd name=budi\n');
    expect((await sweepOne(tenant)).jobs).toEqual([]);
    expect((await sweepOne(tenant, ctx.now + 119_000)).jobs).toEqual([]);
    const late = await sweepOne(tenant, ctx.now + 121_000);
    expect(late.jobs.map(message => message.body)).toEqual([{ tenant_id: tenant.id, kind: 'import', job_id: id }]);
    expect(
      await consume(
        'rukun-jobs',
        late.jobs.map(message => message.body),
      ),
    ).toEqual(['ack']);
    expect(await tenant.get(`/jobs/${id}`)).toMatchObject({ status: 'completed', succeeded: 1 });
    expect((await sweepOne(tenant, Date.now() + 3_600_000)).jobs).toEqual([]);
  });

  test('from the cron to the router: what a lost message left is done', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    const execution = createExecutionContext();
    await worker.scheduled!(
      createScheduledController({ scheduledTime: new Date(), cron: '*/5 * * * *' }),
      env,
      execution,
    );
    await waitOnExecutionContext(execution);
    await waitUntil(() => isDisabled(line.name), Boolean, 'the line is not applied');
    await world.waitFor(line.id);
  });
});

describe('a plan change that waits', () => {
  const DAY_MS = 86_400_000;
  const zones = ['Asia/Jakarta', 'Asia/Makassar', 'Asia/Jayapura', 'UTC', 'America/New_York', 'Pacific/Kiritimati'];

  test.each(zones)('P26 comes with its day in %s, not before, and once', async timezone => {
    const world = new NetworkTenant(await TestTenant.signUp({ timezone }), '', '');
    const { tenant } = world;
    const [from, to] = [await tenant.addPlan(), await tenant.addPlan({ price: 200_000 })];
    const { id } = await tenant.addCustomer(from.id, { pppoe_username: uniqueName() });
    const in_three_days = new Intl.DateTimeFormat('sv', { timeZone: timezone }).format(Date.now() + 3 * DAY_MS);
    const { change } = await tenant.post(`/customers/${id}/change-plan`, {
      service_plan_id: to.id,
      effective_date: in_three_days,
    });
    expect(change.applied_at).toBeNull();
    const midnight = findMidnight(in_three_days, timezone);
    const planAt = async (now: number) => {
      await sweepTenant(await makeTestContext(tenant, { env: recordQueues().env, now }));
      return (await tenant.get(`/customers/${id}`)).service_plan_id;
    };
    expect(await planAt(midnight - 1)).toBe(from.id);
    expect(await planAt(midnight)).toBe(to.id);
    expect(await tenant.get(`/customers/${id}`)).toMatchObject({ monthly_fee: 200_000 });
    const changed = () => world.query(`SELECT seq FROM events WHERE type = 'customer.plan_changed'`);
    expect(await changed()).toHaveLength(1);
    expect(await planAt(midnight + DAY_MS)).toBe(to.id);
    expect(await changed()).toHaveLength(1);
  });

  test('P26 goes to the router with the sweep', async () => {
    const world = await NetworkTenant.make();
    const [from, to] = [await world.addPlan(), await world.addPlan()];
    const { id, pppoe_username } = await world.addLine(from.id);
    const suspended = await world.addLine(from.id);
    await world.tenant.post(`/customers/${suspended.id}/suspend`, {});
    const effective_date = dayFromNow(3);
    for (const customer of [id, suspended.id])
      await world.tenant.post(`/customers/${customer}/change-plan`, { service_plan_id: to.id, effective_date });
    await world.query('UPDATE customer_plan_changes SET effective_date = ?1', '2026-01-01');
    expect((await findSecret(pppoe_username))?.profile).toBe(from.profile_name);
    expect(await consume('rukun-jobs', [{ tenant_id: world.tenant.id, kind: 'sweep' }])).toEqual(['ack']);
    for (const customer of [id, suspended.id]) await world.waitFor(customer);
    expect((await findSecret(pppoe_username))?.profile).toBe(to.profile_name);
    expect(await findSecret(suspended.pppoe_username)).toMatchObject({ profile: to.profile_name, disabled: 'true' });
  });
});

/** The first moment of a date in a time zone: where the local date turns, looked for by halves. */
function findMidnight(date: string, timeZone: string): number {
  const format = new Intl.DateTimeFormat('sv', { timeZone });
  let [before, after] = [Date.parse(date) - 86_400_000, Date.parse(date) + 86_400_000];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (format.format(middle) < date) before = middle;
    else after = middle;
  }
  return after;
}
