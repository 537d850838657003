import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import config from '../../wrangler.toml?raw';
import { sweepTenant } from '../../src/jobs/sweep.ts';
import type { JobMessage } from '../../src/queues/jobs.ts';
import type { ProvisioningMessage } from '../../src/queues/wake.ts';
import { importFile } from '../../src/resources/imports/actions.ts';
import { forgetDirectory } from '../../src/tenancy/directory.ts';
import { callWith } from '../support/direct.ts';
import {
  clearFaults,
  DEAD_PORT,
  emptyRouter,
  findSecret,
  loadOnRouter,
  makeTestContext,
  NetworkTenant,
  takeRouterAway,
  uniqueName,
  waitUntil,
  withBridgeCalls,
} from '../support/network-world.ts';
import { SILENT_HUB } from '../support/hub.ts';
import { addWaitingLine, consume, recordQueues } from '../support/queues.ts';
import { addEntry, PASSWORD, TestTenant } from '../support/world.ts';

/** What failed each time it was tried: written where people see it, and tried again when they say so. */

let logged: ReturnType<typeof vi.spyOn>;

beforeEach(async () => {
  await emptyRouter();
  logged = vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(async () => {
  vi.restoreAllMocks();
  await clearFaults();
});

const MINUTE = 60_000;
const DEAD = 'rukun-provisioning-dead';
const DEAD_JOBS = 'rukun-jobs-dead';
const message = (world: NetworkTenant): ProvisioningMessage => ({ tenant_id: world.tenant.id, router_id: world.router_id }); // prettier-ignore

interface EntryRow {
  id: string;
  status: string;
  attempts: number;
  next_attempt_at: number | null;
  last_error: string | null;
}
const readRows = (world: NetworkTenant) =>
  world.query<EntryRow>('SELECT id, status, attempts, next_attempt_at, last_error FROM provisioning ORDER BY id');

describe('queues', () => {
  test('each has a consumer, and a place for what fails each time, which has one too', async () => {
    const consumers = [...config.matchAll(/\[\[queues\.consumers\]\]\n((?:.+\n)+)/g)].map(([, block]) =>
      Object.fromEntries([...block!.matchAll(/^(\w+) = "?([^"\n]+)"?$/gm)].map(([, key, value]) => [key, value])),
    );
    const producers = [...config.matchAll(/\[\[queues\.producers\]\]\nbinding = ".+"\nqueue = "(.+)"/g)].map(match => match[1]!); // prettier-ignore
    expect(producers).toEqual(['rukun-provisioning', 'rukun-jobs']);
    const dead = producers.map(name => consumers.find(consumer => consumer.queue === name)?.dead_letter_queue);
    expect(dead).toEqual([DEAD, DEAD_JOBS]);
    expect(consumers.map(consumer => consumer.queue).sort()).toEqual([...producers, ...dead].sort());
    const nobody = { tenant_id: crypto.randomUUID(), router_id: crypto.randomUUID(), kind: 'sweep' };
    for (const { queue } of consumers) expect(await consume(queue!, [nobody]), queue).toEqual(['ack']);
  });
});

describe('an apply that stopped each time', () => {
  test('its due rows say so in words, wait long, and each has its event; nothing is lost, nothing hammers', async () => {
    const world = await NetworkTenant.make();
    const lines = [await addWaitingLine(world), await addWaitingLine(world)];
    // a third one waits for its time, and a fourth came up just now: it has a message of its own
    const [later, fresh] = [await addWaitingLine(world), await addWaitingLine(world)];
    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = 1`);
    const tomorrow = Date.now() + 1440 * MINUTE;
    await world.query('UPDATE provisioning SET next_attempt_at = ?1 WHERE customer_id = ?2', tomorrow, later.id);
    await world.query('UPDATE provisioning SET next_attempt_at = ?1 WHERE customer_id = ?2', Date.now() - 5000, fresh.id); // prettier-ignore
    const [{ seq }] = await world.query<{ seq: number }>('SELECT max(seq) AS seq FROM events') as [{ seq: number }]; // prettier-ignore
    const before = Date.now();
    expect(await consume(DEAD, [message(world)])).toEqual(['ack']);
    for (const { id } of lines) {
      const { items, status } = await world.read(id);
      expect(status).toBe('failed');
      const next = Date.parse(items[0]!.next_attempt_at!);
      expect(next).toBeGreaterThanOrEqual(before + 5 * MINUTE);
      expect(next).toBeLessThanOrEqual(Date.now() + 10 * MINUTE);
      const told = items[0]!.last_error!;
      expect(told).toContain('internal error on our side');
      expect(told).toContain(new Date(next).toISOString().slice(0, 19));
      expect(items[0]!.attempts).toBe(1);
    }
    expect(await world.read(later.id)).toMatchObject({ status: 'pending', items: [{ attempts: 0 }] });
    expect(await world.read(fresh.id)).toMatchObject({ status: 'pending', items: [{ attempts: 0, last_error: null }] });
    const told = await world.query<Record<string, string>>('SELECT * FROM events WHERE seq > ?1 ORDER BY customer_id', seq); // prettier-ignore
    expect(told.map(event => [event.type, event.actor, event.actor_name, event.customer_id, event.changes])).toEqual(
      lines.map(line => line.id).sort().map(id => ['provisioning.stopped', 'job', 'provisioning', id, '{"status":["pending","failed"]}']), // prettier-ignore
    );
    // a dead message that comes once more finds nothing to say
    const rows = await readRows(world);
    expect(await consume(DEAD, [message(world)])).toEqual(['ack']);
    expect(await readRows(world)).toEqual(rows);
    // and once their time has come they are tried again, by the sweep
    await world.query('UPDATE routers SET drift_checked_at = ?1', Date.now());
    await world.query('UPDATE provisioning SET next_attempt_at = NULL WHERE customer_id = ?1', fresh.id);
    const queues = recordQueues();
    await sweepTenant(await makeTestContext(world.tenant, { env: queues.env }));
    expect(queues.provisioning).toEqual([]);
    await world.query(`UPDATE provisioning SET next_attempt_at = ?1 WHERE status = 'failed'`, Date.now() - 1);
    await sweepTenant(await makeTestContext(world.tenant, { env: queues.env }));
    expect(queues.provisioning.map(sent => sent.body)).toEqual([message(world)]);
    await world.look();
    for (const { id } of lines) expect(await world.read(id)).toMatchObject({ status: 'in_sync' });
  });

  test('waits longer each time, six hours at most, and not all rows of a router for the same time', async () => {
    const world = await NetworkTenant.make();
    for (let at = 0; at < 6; at++) await addEntry(world.tenant, world.router_id, `pool-${at}`);
    for (let attempts = 0; attempts < 14; attempts++) {
      await world.query(`UPDATE provisioning SET next_attempt_at = 1, attempts = ?1`, attempts);
      const now = Date.now();
      expect(await consume(DEAD, [message(world)])).toEqual(['ack']);
      const ceiling = Math.min(10 * MINUTE * 2 ** attempts, 360 * MINUTE);
      const rows = await readRows(world);
      for (const row of rows) {
        expect(row).toMatchObject({ status: 'failed', attempts: attempts + 1 });
        expect(row.next_attempt_at).toBeGreaterThanOrEqual(now + ceiling / 2);
        expect(row.next_attempt_at).toBeLessThanOrEqual(Date.now() + ceiling);
        expect(row.last_error).toContain(new Date(row.next_attempt_at!).toISOString().slice(0, 19));
      }
      expect(new Set(rows.map(row => row.next_attempt_at)).size).toBeGreaterThan(1);
    }
  });

  test('one row that can’t be handled doesn’t stop the others of its router for ever', async () => {
    const world = await NetworkTenant.make();
    const [line, broken] = [await addWaitingLine(world), await addWaitingLine(world)];
    await world.query(`UPDATE provisioning SET desired = 'no JSON' WHERE customer_id = ?1`, broken.id);
    expect(await consume('rukun-provisioning', [message(world)])).toEqual(['retry']);
    expect(await consume(DEAD, [message(world)])).toEqual(['ack']);
    // each has a time of its own: at the good one's, the other isn't due
    await world.query('UPDATE provisioning SET next_attempt_at = 1 WHERE customer_id = ?1', line.id);
    expect(await consume('rukun-provisioning', [message(world)])).toEqual(['ack']);
    expect(await world.read(line.id)).toMatchObject({ status: 'in_sync' });
    const [row] = await world.query<EntryRow>('SELECT * FROM provisioning WHERE customer_id = ?1', broken.id);
    expect(row!.last_error).not.toMatch(/JSON|SQL/);
  });

  test.each(['suspended', 'deleted', 'gone'])('of a tenant that is %s nothing is done, and nothing fails', async status => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    if (status === 'gone') await env.DIRECTORY_DB.prepare('UPDATE tenants SET id = ?1').bind(crypto.randomUUID()).run();
    else await env.DIRECTORY_DB.prepare('UPDATE tenants SET status = ?1').bind(status).run();
    forgetDirectory();
    expect(await consume(DEAD, [message(world)])).toEqual(['ack']);
    const job: JobMessage = { tenant_id: world.tenant.id, kind: 'import', job_id: crypto.randomUUID() };
    expect(await consume(DEAD_JOBS, [job])).toEqual(['ack']);
    await env.DIRECTORY_DB.prepare(`UPDATE tenants SET id = ?1, status = 'active'`).bind(world.tenant.id).run();
    forgetDirectory();
    expect(await world.read(line.id)).toMatchObject({ status: 'pending', items: [{ attempts: 0 }] });
  }); // prettier-ignore

  test('of a router that was deleted, and of another tenant’s, nothing is done', async () => {
    const [world, other] = [await NetworkTenant.make(), await NetworkTenant.make()];
    const line = await addWaitingLine(other);
    const messages = [crypto.randomUUID(), other.router_id].map(router_id => ({ ...message(world), router_id }));
    expect(await consume(DEAD, messages)).toEqual(['ack', 'ack']);
    expect(await other.read(line.id)).toMatchObject({ status: 'pending', items: [{ attempts: 0 }] });
  });
});

describe('a job that stopped each time', () => {
  const FILE = '/ppp secret\nadd name=budi password=rahasia-budi\nadd name=siti password=rahasia-siti\n';

  /** An import that waits for its job. */
  async function makeImport(tenant: TestTenant) {
    const ctx = await makeTestContext(tenant, { env: recordQueues().env });
    return importFile(ctx, { dry_run: false, filter_disabled: false }, FILE);
  }
  const stand = async (tenant: TestTenant, job_id: string) =>
    (await tenant.database()).prepare('UPDATE jobs SET updated_at = 1 WHERE id = ?1').bind(job_id).run();

  test('an import ends, says how to start it again, and keeps no password; started again it does the rest', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await makeImport(tenant);
    const dead = { tenant_id: tenant.id, kind: 'import', job_id: id };
    // one that moves lives
    expect(await consume(DEAD_JOBS, [dead])).toEqual(['ack']);
    expect(await tenant.get(`/jobs/${id}`)).toMatchObject({ status: 'queued', finished_at: null });
    await stand(tenant, id);
    expect(await consume(DEAD_JOBS, [dead, dead])).toEqual(['ack', 'ack']);
    const job = await tenant.get(`/jobs/${id}`);
    expect(job).toMatchObject({ status: 'failed', failed: 2, succeeded: 0 });
    expect(job.finished_at).not.toBeNull();
    expect(job.errors).toEqual([expect.stringContaining('import again')]);
    const database = await tenant.database();
    const { results } = await database.prepare('SELECT outcome, data FROM import_items').all();
    expect(results).toEqual([{ outcome: 'failed', data: null }, { outcome: 'failed', data: null }]); // prettier-ignore
    expect(await consume('rukun-jobs', [dead])).toEqual(['ack']);
    expect(await tenant.get('/customers')).toEqual([]);
    const again = await makeImport(tenant);
    expect(await consume('rukun-jobs', [{ ...dead, job_id: again.id }])).toEqual(['ack']);
    expect(await tenant.get(`/jobs/${again.id}`)).toMatchObject({ status: 'completed', succeeded: 2 });
  });

  test('an undoing ends, and can be started again', async () => {
    const tenant = await TestTenant.signUp();
    const { id, import_id } = await makeImport(tenant);
    expect(await consume('rukun-jobs', [{ tenant_id: tenant.id, kind: 'import', job_id: id }])).toEqual(['ack']);
    // its first run can't get anywhere: the items are away
    const database = await tenant.database();
    await database.prepare('ALTER TABLE import_items RENAME TO away').run();
    await database.prepare('CREATE VIEW import_items AS SELECT * FROM away').run();
    const undo = await tenant.call('POST', `/imports/${import_id}/undo`);
    expect(undo.status, undo.text).toBe(202);
    const dead = { tenant_id: tenant.id, kind: 'import_undo', job_id: undo.data.id };
    await waitUntil(async () => logged.mock.calls.length, Boolean, 'the job does not fail');
    await stand(tenant, undo.data.id);
    expect(await consume(DEAD_JOBS, [dead])).toEqual(['ack']);
    const job = await tenant.get(`/jobs/${undo.data.id}`);
    expect(job).toMatchObject({ status: 'failed' });
    expect(job.errors).toEqual([expect.stringContaining(`POST /imports/${import_id}/undo`)]);
    expect(await tenant.get(`/imports/${import_id}`)).toMatchObject({ undone_at: null, undo_job_id: null });
    await database.prepare('DROP VIEW import_items').run();
    await database.prepare('ALTER TABLE away RENAME TO import_items').run();
    const again = await tenant.post(`/imports/${import_id}/undo`);
    await waitUntil(() => tenant.get(`/jobs/${again.id}`), ({ status }) => status === 'completed', 'it is not undone'); // prettier-ignore
    expect(await tenant.get('/customers')).toEqual([]);
  });

  test('what comes round by itself is only told of in the log', async () => {
    const world = await NetworkTenant.make();
    const before = await readRows(world);
    const { tenant } = world;
    const rounds: JobMessage[] = [
      { tenant_id: tenant.id, kind: 'sweep' },
      { tenant_id: tenant.id, kind: 'migrate' },
      { tenant_id: tenant.id, kind: 'drift', router_id: world.router_id },
    ];
    expect(await consume(DEAD_JOBS, rounds)).toEqual(['ack', 'ack', 'ack']);
    expect(await readRows(world)).toEqual(before);
    const lines = logged.mock.calls.map(([line]: unknown[]) => JSON.parse(String(line)) as JobMessage);
    for (const { kind } of rounds) expect(lines.filter((line: JobMessage) => line.kind === kind)).toHaveLength(1);
  });
});

describe('what isn’t as it should be', () => {
  test('is listed, and the list holds no secret', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    const own = await addEntry(world.tenant, world.router_id, 'pool-a');
    await world.query(`UPDATE provisioning SET observed = '{"ranges":"10.1.0.0/24"}', observed_at = 5 WHERE id = ?1`, own); // prettier-ignore
    const conflicts = await world.tenant.get('/provisioning', { status: 'conflict' });
    expect(conflicts).toMatchObject([{ id: own, customer_id: null, kind: 'ip_pool', key: 'pool-a', observed: { ranges: '10.1.0.0/24' }, observed_at: '1970-01-01T00:00:00.005Z' }]); // prettier-ignore
    const mine = await world.tenant.call('GET', '/provisioning', { query: { customer_id: line.id } });
    expect(mine.data).toMatchObject([{ customer_id: line.id, kind: 'ppp_secret', desired: { disabled: true }, observed: { disabled: 'no' }, setup: null }]); // prettier-ignore
    expect(mine.text).not.toMatch(/secret_hash|password|generation/);
    expect((await world.tenant.call('GET', '/provisioning')).meta.total).toBe(2);
    const { token } = await world.tenant.addUser('viewer');
    expect((await world.tenant.call('GET', '/provisioning', { token })).status).toBe(200);
    expect((await world.tenant.call('POST', `/provisioning/${own}/retry`, { token })).status).toBe(403);
  });

  test.each(['pending', 'failed', 'conflict', 'drifted', 'in_sync'])('one that is %s is tried again at once, whatever its circuit', async status => {
    const world = await NetworkTenant.make({ router: { port: DEAD_PORT } });
    const line = await world.tenant.addCustomer((await world.addPlan()).id, { pppoe_username: uniqueName() });
    await world.tenant.post(`/customers/${line.id}/activate`, {});
    await world.waitForTry(line.id);
    for (let at = 0; at < 3; at++) await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    const later = Date.now() + 300 * MINUTE;
    await world.query('UPDATE provisioning SET status = ?1, attempts = 9, next_attempt_at = ?2', status, later);
    await world.query('UPDATE routers SET port = ?1', env.TEST_NETWORK.router.port);
    const [before] = await world.query<Record<string, number>>('SELECT revision FROM routers');
    const [{ id }] = await world.tenant.get('/provisioning') as [{ id: string }]; // prettier-ignore
    const { token } = await world.tenant.addUser('technician');
    const answer = await world.tenant.call('POST', `/provisioning/${id}/retry`, { token });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.data).toMatchObject({ id, status: 'pending', attempts: 0, last_error: null });
    expect(Date.parse(answer.data.next_attempt_at)).toBeLessThanOrEqual(Date.now());
    await world.waitFor(line.id);
    expect(await findSecret(line.pppoe_username)).toBeDefined();
    const [after] = await world.query<Record<string, number>>('SELECT revision FROM routers');
    expect(after!.revision).toBe(before!.revision! + 1);
    expect((await world.tenant.get(`/routers/${world.router_id}`)).circuit.state).toBe('closed');
    const told = await world.tenant.get('/audit-logs', { entity_id: id });
    const [retried] = told.filter((event: { type: string }) => event.type === 'provisioning.retried');
    expect(retried).toMatchObject({
      customer_id: line.id,
      changes: status === 'pending' ? {} : { status: [status, 'pending'] },
    });
  }); // prettier-ignore

  test('P29a a row that is changed while somebody says "again" is not confirmed by the older apply', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    const [{ id }] = await world.tenant.get('/provisioning') as [{ id: string }]; // prettier-ignore
    const { env: still } = recordQueues();
    const settings = { PROVISIONING_QUEUE: still.PROVISIONING_QUEUE, TENANT_HUB: SILENT_HUB };
    const { token } = world.tenant.admin;
    const again = () => callWith(settings, 'POST', `/api/v1/provisioning/${id}/retry`, { token });
    await withBridgeCalls(() => world.look({ env: still }), {
      after: async () => {
        expect((await again()).status).toBe(200);
      },
    });
    expect(await world.read(line.id)).toMatchObject({ status: 'pending' });
    await world.look({ env: still });
    expect(await world.read(line.id)).toMatchObject({ status: 'in_sync' });
  });

  test('a conflict is adopted by an admin: what stands there becomes ours', async () => {
    const world = await NetworkTenant.make();
    const name = uniqueName();
    await loadOnRouter(`/ppp secret\nadd name=${name} password=milik-lama comment="Pak Lurah"\n`);
    const plan = await world.addPlan();
    const customer = await world.tenant.addCustomer(plan.id, { pppoe_username: name, pppoe_password: PASSWORD });
    await world.tenant.post(`/customers/${customer.id}/activate`, {});
    await world.waitFor(customer.id, 'conflict');
    const [{ id }] = await world.tenant.get('/provisioning', { status: 'conflict' }) as [{ id: string }]; // prettier-ignore
    for (const role of ['operator', 'technician', 'viewer'] as const) {
      const { token } = await world.tenant.addUser(role);
      expect((await world.tenant.call('POST', `/provisioning/${id}/adopt`, { token })).status).toBe(403);
    }
    expect((await findSecret(name))?.password).toBe('milik-lama');
    expect(await world.tenant.post(`/provisioning/${id}/adopt`)).toMatchObject({ id, status: 'pending', attempts: 0 });
    await world.waitFor(customer.id);
    expect(await findSecret(name)).toMatchObject({ profile: plan.profile_name, password: PASSWORD, comment: `Pak Lurah rukun:${customer.customer_code}` }); // prettier-ignore
    const told = await world.tenant.get('/audit-logs', { entity_id: id });
    const [adopted] = told.filter((event: { type: string }) => event.type === 'provisioning.adopted');
    expect(adopted).toMatchObject({ changes: { adopt: [false, true], status: ['conflict', 'pending'] } });
  });

  test('only a conflict can be adopted, also where nothing must be', async () => {
    const world = await NetworkTenant.make();
    const id = await addEntry(world.tenant, world.router_id);
    await world.query('UPDATE routers SET is_active = 0');
    const state = fc.record({
      status: fc.constantFrom('pending', 'in_sync', 'drifted', 'conflict', 'failed'),
      desired: fc.constantFrom(null, '{"ranges":"10.0.0.0/24"}'),
    });
    await fc.assert(
      fc.asyncProperty(state, async ({ status, desired }) => {
        await world.query('UPDATE provisioning SET adopt = 0, status = ?1, desired = ?2', status, desired);
        const answer = await world.tenant.call('POST', `/provisioning/${id}/adopt`);
        const [row] = await world.query('SELECT adopt, status, desired FROM provisioning');
        if (status === 'conflict') {
          expect(answer.status).toBe(200);
          expect(row).toEqual({ adopt: 1, status: 'pending', desired });
        } else {
          expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
          expect(row).toEqual({ adopt: 0, status, desired });
        }
      }),
      { numRuns: 100 },
    );
  });

  test('of ten who say "again" at once each is served, or told that somebody else was faster', async () => {
    const world = await NetworkTenant.make();
    const id = await addEntry(world.tenant, world.router_id);
    await world.query('UPDATE routers SET is_active = 0');
    const answers = await Promise.all(Array.from({ length: 10 }, () => world.tenant.call('POST', `/provisioning/${id}/retry`))); // prettier-ignore
    const served = answers.filter(answer => answer.status === 200).length;
    expect(answers.every(answer => [200, 409].includes(answer.status))).toBe(true);
    const told = await world.query(`SELECT seq FROM events WHERE type = 'provisioning.retried'`);
    expect(told).toHaveLength(served);
    expect(served).toBeGreaterThan(0);
  });

  test('a customer’s rows on a router that is away say that they wait', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    await takeRouterAway();
    await world.look();
    const state = await world.read(line.id);
    expect(state).toMatchObject({
      status: 'pending',
      items: [{ attempts: 1, desired: { disabled: true }, observed: { disabled: 'no' } }],
    });
  });
});
