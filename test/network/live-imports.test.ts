import { env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runUndoJob } from '../../src/jobs/undo-import.ts';
import { formatExport } from '../../src/lib/routeros/export-file.ts';
import { undoImport } from '../../src/resources/imports/undo.ts';
import {
  clearFaults,
  dialIn,
  emptyRouter,
  exportRouter,
  findSecret,
  isOnline,
  loadOnRouter,
  makeTestContext,
  NetworkTenant,
  readMenu,
  recordQueue,
  takeRouterAway,
  waitUntil,
  withBridgeCalls,
} from '../support/network-world.ts';
import type { TestTenant } from '../support/world.ts';

/** Imports from a live router: what they make, the copy they keep, and how they are undone. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const ROUTER = `/ip pool
add name=pool-a ranges=10.9.0.2-10.9.0.20 comment="rumah warga"
add name=pool-b ranges=10.9.1.0/24 next-pool=pool-a
/ppp profile
add name=p10 rate-limit=2M/10M remote-address=pool-a local-address=10.9.0.1 comment="paket hemat"
add name=p20 rate-limit=4M/20M only-one=yes
add name=tak-terpakai rate-limit=1M/1M
/ppp secret
add name=budi password=rahasia-budi profile=p10 service=pppoe comment="Budi Santoso"
add name=siti password=rahasia-siti profile=p20 disabled=yes
add name=agus password=rahasia-agus service=pppoe remote-address=10.9.9.9
add name=vpn password=rahasia-vpn service=l2tp
`;

const waitForJob = (tenant: TestTenant, id: string) =>
  waitUntil(
    () => tenant.get(`/jobs/${id}`),
    job => job.finished_at !== null,
    'the job does not end',
  );

async function importLive(world: NetworkTenant, kind: string, options: Record<string, unknown> = {}) {
  const { tenant, router_id } = world;
  const answer = await tenant.call('POST', '/imports', { body: { router_id, kind, ...options } });
  expect(answer.status, answer.text).toBe(202);
  const job = await waitForJob(tenant, answer.data.id);
  const items = await tenant.get(`/imports/${answer.data.import_id}/items`, { per_page: 100 });
  return { ...answer.data, job, items, text: answer.text };
}

async function undo(tenant: TestTenant, import_id: string) {
  const answer = await tenant.call('POST', `/imports/${import_id}/undo`);
  expect(answer.status, answer.text).toBe(202);
  return waitForJob(tenant, answer.data.id);
}

const allInSync = (world: NetworkTenant) =>
  waitUntil(
    () => world.query<{ status: string }>("SELECT status FROM provisioning WHERE status <> 'in_sync'"),
    rows => rows.length === 0,
    'not all is in sync',
  );

/** Without what only the header says. */
const stateOfRouter = async () => (await exportRouter()).replace(/^#.*\n/gm, '');

/** All rows that people work with. */
const countRows = (world: NetworkTenant) =>
  Promise.all(
    ['customers', 'service_plans', 'service_plan_settings', 'provisioning', 'ip_pools'].map(
      async table => (await world.query<{ count: number }>(`SELECT count(*) AS count FROM ${table}`))[0]!.count,
    ),
  );

describe('an import of secrets from a router', () => {
  test('makes customers and plans; nothing changes on the router but the marks, and passwords stay there', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await dialIn('budi');
    const before = await stateOfRouter();
    await withBridgeCalls(async calls => {
      const done = await importLive(world, 'secrets');
      expect(done.job).toMatchObject({ status: 'completed', progress: 100, succeeded: 3, failed: 0 });
      expect(done.preview.creates.map((entry: { name: string }) => entry.name)).toEqual(['budi', 'siti', 'agus']);
      expect(done.preview.skips).toMatchObject([{ name: 'vpn', reason: 'is for l2tp, not for PPPoE' }]);
      expect(done.preview.plans.map((plan: { profile_name: string }) => plan.profile_name)).toEqual([
        'p10',
        'p20',
        'default',
      ]);
      expect(done.text).not.toContain('rahasia');
      expect(JSON.stringify(calls.filter(call => call.path === '/v1/read'))).not.toContain('rahasia');
    });
    await allInSync(world);
    const customers = await world.tenant.get('/customers', { sort: 'full_name' });
    expect(
      customers.map((row: { full_name: string; status: string; static_ip: string }) => [
        row.full_name,
        row.status,
        row.static_ip,
      ]),
    ).toEqual([
      ['agus', 'active', '10.9.9.9'],
      ['Budi Santoso', 'active', null],
      ['siti', 'suspended', null],
    ]);
    expect(await isOnline('budi')).toBe(true);
    const unmarked = (text: string) =>
      text.replaceAll(/ ?comment="?rukun:[^"\s]*"?/g, '').replaceAll(/ rukun:[^"\s]+"/g, '"');
    const flat = (text: string) =>
      unmarked(text.replaceAll(/\\\n\s+/g, ''))
        .replace('set *0\n', '')
        .split('\n');
    expect(flat(await stateOfRouter())).toEqual(flat(before));
    expect((await findSecret('budi'))!.password).toBe('rahasia-budi');
  });

  test('a dry run keeps no copy and makes nothing', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const before = [await countRows(world), await stateOfRouter()];
    const told = await importLive(world, 'secrets', { dry_run: true, filter_disabled: true });
    expect(told.preview.creates.map((entry: { name: string }) => entry.name)).toEqual(['budi', 'agus']);
    expect(told.preview.skips.map((entry: { name: string }) => entry.name)).toEqual(['siti', 'vpn']);
    expect([await countRows(world), await stateOfRouter()]).toEqual(before);
    const record = await world.tenant.get(`/imports/${told.import_id}`);
    expect(record).toMatchObject({ dry_run: true, has_copy: false, source: 'router', kind: 'secrets' });
    expect((await world.tenant.call('GET', `/imports/${told.import_id}/copy`)).status).toBe(404);
    expect((await world.tenant.call('POST', `/imports/${told.import_id}/undo`)).error.code).toBe('INVALID_TRANSITION');
  });

  test('whose secrets are ours already skips them, and tells whose they are', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await importLive(world, 'secrets');
    await allInSync(world);
    const again = await importLive(world, 'secrets', { dry_run: true });
    expect(again.preview).toMatchObject({ creates: [], conflicts: [] });
    const reasons = again.preview.skips.map((entry: { reason: string }) => entry.reason);
    expect(reasons.filter((reason: string) => /^is customer CUST\d+ already$/.test(reason))).toHaveLength(3);
    // the name alone doesn't make it ours
    await loadOnRouter('/ppp secret\nset [find name=budi] comment="punya orang"\n');
    const foreign = await importLive(world, 'secrets', { dry_run: true });
    expect(foreign.preview.conflicts).toMatchObject([{ name: 'budi' }]);
  });

  test('keeps a copy of what was there, whose lines the items name', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const done = await importLive(world, 'secrets');
    const copy = await world.tenant.call('GET', `/imports/${done.import_id}/copy`);
    expect(copy.status).toBe(200);
    expect(copy.text).not.toContain('rahasia');
    const lines = copy.text.split('\n');
    for (const { line, name } of done.items) expect(lines[line - 1], name).toMatch(new RegExp(`^add .*name=${name}`));
    // read again it is the same file
    const other = await NetworkTenant.make();
    const again = await other.tenant.call('POST', '/imports/file', { body: copy.text, query: { dry_run: true }, headers: { 'content-type': 'text/plain' } }); // prettier-ignore
    expect(again.data.preview).toEqual(done.preview);
  });

  test('one a router, kind and day: another is a 409, unless it is forced, a dry run, or the first was undone', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    await loadOnRouter(ROUTER);
    const first = await importLive(world, 'secrets');
    const ask = (body: object) => tenant.call('POST', '/imports', { body: { router_id, kind: 'secrets', ...body } });
    const refused = await ask({});
    expect([refused.status, refused.error.code]).toEqual([409, 'CONFLICT']);
    expect((await ask({ dry_run: true })).status).toBe(202);
    expect((await ask({ kind: 'profiles' })).status).toBe(202);
    expect((await ask({ force: true })).status).toBe(202);
    await undo(tenant, first.import_id);
    const [forced] = await tenant.get('/imports', { router_id, kind: 'secrets' });
    await undo(tenant, forced.id);
    expect((await ask({})).status).toBe(202);
    // of several at the same moment, too, one is taken
    const [one] = await tenant.get('/imports', { router_id, kind: 'secrets' });
    await waitForJob(tenant, one.job_id);
    await undo(tenant, one.id);
    const both = await Promise.all([ask({}), ask({}), ask({})]);
    expect(both.map(answer => answer.status).sort()).toEqual([202, 409, 409]);
  });

  test('of a router that is away, or is none, nothing is stored', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    await takeRouterAway();
    const away = await tenant.call('POST', '/imports', { body: { router_id, kind: 'secrets' } });
    expect([away.status, away.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
    const none = await tenant.call('POST', '/imports', { body: { router_id: crypto.randomUUID(), kind: 'pools' } });
    expect([none.status, Object.keys(none.error.details ?? {})]).toEqual([400, ['router_id']]);
    expect(await tenant.get('/imports')).toEqual([]);
  });

  test('whatever a router holds, its copy reads back as what is there', async () => {
    const world = await NetworkTenant.make();
    const value = fc
      .string({ unit: 'grapheme', maxLength: 12 })
      .map(text => text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '').trim());
    const row = fc.record({
      name: value.filter(text => text !== ''),
      comment: value,
      disabled: fc.boolean(),
      static_ip: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(row, { selector: each => each.name, maxLength: 6 }), async rows => {
        await emptyRouter();
        const items = rows.map(({ name, comment, disabled, static_ip }) => ({
          menu: '/ppp/secret',
          verb: 'add',
          props: {
            name,
            password: 'rahasia-1',
            ...(comment && { comment }),
            ...(disabled && { disabled: 'yes' }),
            ...(static_ip && { 'remote-address': '10.1.1.1' }),
          },
        }));
        await loadOnRouter(formatExport(items, { version: '7.18' }));
        const told = await importLive(world, 'secrets', { dry_run: true });
        const names = [...told.preview.creates, ...told.preview.skips, ...told.preview.conflicts].map(
          each => each.name,
        );
        expect(names.sort()).toEqual(rows.map(each => each.name).sort());
        for (const created of told.preview.creates)
          expect(created.status).toBe(rows.find(each => each.name === created.name)!.disabled ? 'suspended' : 'active');
      }),
      { numRuns: 25 },
    );
  });
});

describe('imports of profiles and pools', () => {
  test('profiles become plans, each once; what is on the router stays as it is', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const before = await stateOfRouter();
    const done = await importLive(world, 'profiles');
    expect(done.job).toMatchObject({ status: 'completed', succeeded: 3 });
    for (const { name, reason } of done.preview.skips)
      expect(`${name} ${reason}`).toMatch(/^default(-encryption)? is built in/);
    const plans = await world.tenant.get('/service-plans', { is_active: 'all' });
    expect(plans.map((plan: { profile_name: string }) => plan.profile_name).sort()).toEqual([
      'p10',
      'p20',
      'tak-terpakai',
    ]);
    const again = await importLive(world, 'profiles', { force: true });
    expect(again.preview.creates).toEqual([]);
    expect(again.preview.conflicts).toEqual([]);
    await loadOnRouter('/ppp profile\nset [find name=p20] rate-limit=9M/9M\n');
    const changed = await importLive(world, 'profiles', { dry_run: true });
    expect(changed.preview.conflicts).toMatchObject([{ name: 'p20' }]);
    await loadOnRouter('/ppp profile\nset [find name=p20] rate-limit=4M/20M\n');
    expect(await stateOfRouter()).toEqual(before);
  });

  test('pools become ours, with their size', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await importLive(world, 'pools');
    expect(await world.tenant.get('/ip-pools', { router_id: world.router_id })).toMatchObject([
      { name: 'pool-a', ranges: '10.9.0.2-10.9.0.20', size: 19, next_pool: null, notes: 'rumah warga' },
      { name: 'pool-b', ranges: '10.9.1.0-10.9.1.255', size: 256, next_pool: 'pool-a' },
    ]);
    const again = await importLive(world, 'pools', { force: true });
    expect(again.preview.skips.map((entry: { reason: string }) => entry.reason)).toEqual([
      'is here already',
      'is here already',
    ]);
  });
});

describe('undoing an import', () => {
  test('leaves the router and our rows as they were, and everybody on the line', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await dialIn('budi');
    const before = [await countRows(world), await stateOfRouter()];
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    expect((await findSecret('budi'))!.comment).toMatch(/^Budi Santoso rukun:CUST\d+$/);
    const job = await undo(world.tenant, import_id);
    expect(job).toMatchObject({ status: 'completed', succeeded: 3, failed: 0, result: { kept_plans: [] } });
    expect([await countRows(world), await stateOfRouter()]).toEqual(before);
    expect(await isOnline('budi')).toBe(true);
    expect(await world.tenant.get(`/imports/${import_id}`)).toMatchObject({ undone_at: expect.any(String) });
    const outcomes = await world.tenant.get(`/imports/${import_id}/items`, { outcome: 'undone' });
    expect(outcomes).toHaveLength(3);
    expect((await world.tenant.call('POST', `/imports/${import_id}/undo`)).error.code).toBe('INVALID_TRANSITION');
    // and again from the start
    expect((await importLive(world, 'secrets')).job).toMatchObject({ succeeded: 3 });
    await allInSync(world);
  });

  test('keeps whom somebody has worked with since, and their plan', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const { import_id, items } = await importLive(world, 'secrets');
    await allInSync(world);
    const budi = items.find((item: { name: string }) => item.name === 'budi');
    await world.tenant.put(`/customers/${budi.customer_id}`, { phone: '0812-3456-7890' });
    const job = await undo(world.tenant, import_id);
    expect(job).toMatchObject({ status: 'completed', succeeded: 2, failed: 1, result: { kept_plans: ['p10'] } });
    expect(job.errors[0]).toContain('"budi"');
    expect(await world.tenant.get(`/customers/${budi.customer_id}`)).toMatchObject({ status: 'active' });
    expect((await findSecret('budi'))!.comment).toMatch(/rukun:CUST/);
    expect((await findSecret('siti'))!.comment ?? '').toBe('');
    const profiles = await readMenu('/ppp/profile');
    const marked = profiles.filter(row => row.comment?.includes('rukun:')).map(row => row.name);
    expect(marked).toEqual(['p10']);
  });

  test('of a router that is away waits for it, and is done once it is back', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const before = await stateOfRouter();
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    await takeRouterAway();
    const answer = await world.tenant.call('POST', `/imports/${import_id}/undo`);
    await waitUntil(
      () => world.query('SELECT 1 FROM provisioning WHERE is_released = 1 AND attempts > 0'),
      rows => rows.length === 3,
      'it is not tried',
    );
    // gone for people at once
    expect(await world.tenant.get('/customers')).toEqual([]);
    expect(await world.tenant.get(`/jobs/${answer.data.id}`)).toMatchObject({ status: 'running' });
    await clearFaults();
    await world.makeDue();
    await world.look();
    await waitForJob(world.tenant, answer.data.id);
    expect(await stateOfRouter()).toEqual(before);
    expect(await countRows(world)).toEqual([0, 0, 0, 0, 0]);
  });

  test('profiles and pools go as well, but for those in use', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const profiles = await importLive(world, 'profiles');
    const pools = await importLive(world, 'pools');
    const plans = await world.tenant.get('/service-plans', { is_active: 'all' });
    const p20 = plans.find((plan: { profile_name: string }) => plan.profile_name === 'p20');
    await world.tenant.put(`/service-plans/${p20.id}`, { price: 150000 });
    expect(await undo(world.tenant, profiles.import_id)).toMatchObject({ succeeded: 2, failed: 1 });
    expect(await undo(world.tenant, pools.import_id)).toMatchObject({ succeeded: 2, failed: 0 });
    const left = await world.tenant.get('/service-plans', { is_active: 'all' });
    expect(left.map((plan: { profile_name: string }) => plan.profile_name)).toEqual(['p20']);
    expect(await world.tenant.get('/ip-pools')).toEqual([]);
  });

  test('a file’s import can be undone, too', async () => {
    const world = await NetworkTenant.make();
    const before = await countRows(world);
    const rsc = '/ppp profile\nadd name=pf rate-limit=1M/1M\n/ppp secret\nadd name=file-1 password=x profile=pf\n';
    const answer = await world.tenant.call('POST', '/imports/file', {
      body: rsc,
      headers: { 'content-type': 'text/plain' },
    });
    await waitForJob(world.tenant, answer.data.id);
    expect(await undo(world.tenant, answer.data.import_id)).toMatchObject({ status: 'completed', succeeded: 1 });
    expect(await countRows(world)).toEqual(before);
  });

  /** The undoing has begun and been tried, and the router is away. */
  async function beginUndoWhileAway(world: NetworkTenant, import_id: string): Promise<string> {
    await takeRouterAway();
    const answer = await world.tenant.call('POST', `/imports/${import_id}/undo`);
    await waitUntil(
      () => world.query('SELECT 1 FROM provisioning WHERE is_released = 1 AND attempts > 0'),
      rows => rows.length === 3,
      'it is not tried',
    );
    return answer.data.id;
  }

  async function comeBack(world: NetworkTenant, job_id: string) {
    await clearFaults();
    await world.makeDue();
    await world.look();
    await runUndoJob(await makeTestContext(world.tenant), job_id);
    return waitForJob(world.tenant, job_id);
  }

  test('that waits for a router whose access is changed meanwhile still removes nobody', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await dialIn('budi');
    const before = await stateOfRouter();
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    const job_id = await beginUndoWhileAway(world, import_id);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: false });
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: true });
    await comeBack(world, job_id);
    expect(await stateOfRouter()).toEqual(before);
    expect(await isOnline('budi')).toBe(true);
  });

  test('isn’t held up by a device that somebody gave to a customer meanwhile', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const { import_id, items } = await importLive(world, 'secrets');
    await allInSync(world);
    const job_id = await beginUndoWhileAway(world, import_id);
    const { customer_id } = items.find((item: { name: string }) => item.name === 'budi');
    await world.query(
      "INSERT INTO devices (id, device_name, device_type, customer_id, created_at, updated_at) VALUES (?, 'ONU', 'onu', ?, 1, 1)",
      crypto.randomUUID(),
      customer_id,
    );
    await world.query("INSERT INTO usage_daily VALUES (?, '2026-11-20', 1, 1, 1, 1, 1, 1, 60)", customer_id);
    expect(await comeBack(world, job_id)).toMatchObject({ status: 'completed', succeeded: 3 });
    expect(await world.query('SELECT id FROM customers')).toEqual([{ id: customer_id }]);
    // and nobody who is deleted is given a device
    const body = { device_name: 'ONU 2', device_type: 'onu', customer_id };
    expect((await world.tenant.call('POST', '/devices', { body })).status).toBe(400);
  });

  test('ends when the router is given up, and says so', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    const job_id = await beginUndoWhileAway(world, import_id);
    await world.tenant.put(`/routers/${world.router_id}`, { is_active: false });
    await runUndoJob(await makeTestContext(world.tenant), job_id);
    const job = await waitForJob(world.tenant, job_id);
    expect(job).toMatchObject({ status: 'completed', errors: [expect.stringContaining('switched off')] });
    expect(await countRows(world)).toEqual([0, 0, 0, 0, 0]);
    expect((await world.tenant.call('DELETE', `/routers/${world.router_id}`)).status).toBe(200);
  });

  test('leaves the mark on the profile of a plan that stays, though nobody is on it just now', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    await world.tenant.put('/settings', { suspension_policy: 'isolir' });
    const { import_id, items } = await importLive(world, 'secrets');
    await allInSync(world);
    const plans = await world.tenant.get('/service-plans', { is_active: 'all' });
    const plan = (name: string) => plans.find((each: { profile_name: string }) => each.profile_name === name);
    // budi is kept, isolated, and so not on p10; p20 was priced, and nobody is on it any more
    const { customer_id } = items.find((item: { name: string }) => item.name === 'budi');
    await world.tenant.post(`/customers/${customer_id}/suspend`, { reason: 'overdue' });
    await world.tenant.put(`/service-plans/${plan('p20').id}`, {
      description: 'tetap',
      price: 100_000,
      is_active: true,
    });
    await allInSync(world);
    expect(await undo(world.tenant, import_id)).toMatchObject({ result: { kept_plans: ['p10', 'p20'] } });
    await world.tenant.post(`/customers/${customer_id}/resume`, {});
    await world.waitFor(customer_id);
    await world.addLine(plan('p20').id);
    const marks = (await readMenu('/ppp/profile'))
      .filter(row => row.comment?.includes('rukun:plan'))
      .map(row => row.name);
    expect(marks.sort()).toEqual(['p10', 'p20']);
  });

  test('isn’t kept from anybody because his plan got a price', async () => {
    const world = await NetworkTenant.make();
    await loadOnRouter(ROUTER);
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    for (const plan of await world.tenant.get('/service-plans', { is_active: 'all' }))
      await world.tenant.put(`/service-plans/${plan.id}`, { price: 100_000 });
    await allInSync(world);
    expect(await undo(world.tenant, import_id)).toMatchObject({ succeeded: 3, failed: 0 });
  });

  test('and another import of the same router don’t run side by side', async () => {
    const world = await NetworkTenant.make();
    const { tenant, router_id } = world;
    await loadOnRouter(ROUTER);
    const { import_id } = await importLive(world, 'secrets');
    await allInSync(world);
    const held = { env: { ...env, JOBS_QUEUE: recordQueue().queue } as never };
    const { id } = await undoImport(await makeTestContext(tenant, held), import_id);
    const refused = await tenant.call('POST', '/imports', { body: { router_id, kind: 'secrets' } });
    expect([refused.status, refused.error.code]).toEqual([409, 'CONFLICT']);
    expect(
      (await tenant.call('POST', '/imports', { body: { router_id, kind: 'secrets', dry_run: true } })).status,
    ).toBe(202);
    await runUndoJob(await makeTestContext(tenant, held), id);
    await waitUntil(
      async () => {
        await runUndoJob(await makeTestContext(tenant, held), id);
        return tenant.get(`/jobs/${id}`);
      },
      job => job.finished_at !== null,
      'it does not end',
    );
    expect((await importLive(world, 'secrets')).job).toMatchObject({ succeeded: 3 });
    // a plan that a waiting import needs isn’t taken away by the undoing of another one
    await allInSync(world);
  });
});

test('with generate_bills who came onto a priced plan is invoiced for the month, and who has no price is reported', async () => {
  await loadOnRouter(ROUTER);
  const world = await NetworkTenant.make();
  const { tenant } = world;
  await tenant.addPlan({
    name: 'Hemat',
    profile_name: 'p10',
    price: 123_000,
    download_kbps: 10_000,
    upload_kbps: 2000,
  });
  const { import_id, job } = await importLive(world, 'secrets', { generate_bills: true });
  expect(job.status).toBe('completed');
  const [run] = await tenant.get('/jobs', { kind: 'billing_run' });
  expect(run.subject_id).toBe(import_id);
  const billed = await waitForJob(tenant, run.id);
  const customers = await tenant.get('/customers', { per_page: 100 });
  const priced = customers.filter((customer: any) => customer.monthly_fee !== null);
  expect(priced.map((customer: any) => [customer.pppoe_username, customer.monthly_fee])).toEqual([['budi', 123_000]]);
  expect([billed.succeeded, billed.failed]).toEqual([1, customers.length - 1]);
  const invoices = await tenant.get('/invoices');
  expect(invoices.map((invoice: any) => invoice.customer_id)).toEqual([priced[0].id]);
  expect((await tenant.call('POST', '/imports', { body: { router_id: world.router_id, kind: 'pools', generate_bills: true } })).status).toBe(400); // prettier-ignore
});
