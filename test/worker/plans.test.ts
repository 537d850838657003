import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { silenceHub } from '../support/hub.ts';
import { letIn } from '../support/interleave.ts';
import { type Answer, TestTenant } from '../support/world.ts';

/** Service plans, their router settings and history; the provider's settings; and what others depend on. */

// nobody listens
beforeEach(silenceHub);

/** The rows of one run are there in the next: a failure is shown as it came, not made smaller among other rows. */
const RUNS = { numRuns: 100, endOnFailure: true };
/** Where no property of the spec asks for more. */
const FEWER_RUNS = { ...RUNS, numRuns: 40 };
const ROUTER = { host: '10.20.0.1', username: 'api', password: 'rahasia-router' };

const rowsOf = async (tenant: TestTenant, sql: string, ...params: unknown[]): Promise<any[]> =>
  (
    await (
      await tenant.database()
    )
      .prepare(sql)
      .bind(...params)
      .all()
  ).results;

const TABLES = ['service_plans', 'service_plan_settings', 'service_plan_changes', 'zones', 'routers', 'bridges', 'one_time_tokens', 'customers', 'settings', 'events', 'provisioning']; // prettier-ignore

/** Everything there is. */
async function dump(tenant: TestTenant): Promise<Record<string, any[]>> {
  const d1 = await tenant.database();
  const results = await d1.batch(TABLES.map(table => d1.prepare(`SELECT * FROM ${table} ORDER BY 1`)));
  return Object.fromEntries(TABLES.map((table, index) => [table, results[index]!.results]));
}

async function changesNothing(tenant: TestTenant, action: () => Promise<Answer>): Promise<Answer> {
  const before = await dump(tenant);
  const answer = await action();
  expect(await dump(tenant)).toEqual(before);
  return answer;
}

const refusal = (answer: Answer) => [answer.status, answer.error?.code, ...Object.keys(answer.error?.details ?? {})];

describe('plans', () => {
  test('the list shows active plans, `is_active=false` the others, `all` both', async () => {
    const tenant = await TestTenant.signUp();
    const [on, off] = [await tenant.addPlan({ sort_order: 2 }), await tenant.addPlan({ is_active: false })];
    const first = await tenant.addPlan({ sort_order: 1 });
    const ids = async (query?: Record<string, string>) => (await tenant.get('/service-plans', query)).map((plan: { id: string }) => plan.id); // prettier-ignore
    expect(await ids()).toEqual([first.id, on.id]);
    expect(await ids({ is_active: 'true' })).toEqual([first.id, on.id]);
    expect(await ids({ is_active: 'false' })).toEqual([off.id]);
    expect((await ids({ is_active: 'all' })).sort()).toEqual([on.id, off.id, first.id].sort());
    const answer = await tenant.call('GET', '/service-plans', { query: { is_active: 'all', per_page: 1 } });
    expect(answer.meta).toMatchObject({ total: 3, total_pages: 3 });
  });

  test('a plan keeps what it was made with, and what it wasn’t told has its default', async () => {
    const tenant = await TestTenant.signUp();
    let made = 0;
    const fields = fc.record(
      {
        description: fc.option(fc.constantFrom('Untuk rumah', 'baris\nbaru')),
        download_kbps: fc.integer({ min: 1, max: 1_000_000_000 }),
        upload_kbps: fc.integer({ min: 1, max: 1_000_000_000 }),
        price: fc.integer({ min: 1, max: 1_000_000_000_000 }),
        rate_limit: fc.option(fc.constantFrom('5M/20M', '512k/2M 1M/4M 256k/1M 10/10 8')),
        is_active: fc.boolean(),
        features: fc.array(fc.constantFrom('CCTV', 'IP tetap'), { maxLength: 3 }),
        sort_order: fc.integer({ min: -1_000_000, max: 1_000_000 }),
      },
      { requiredKeys: ['download_kbps', 'upload_kbps', 'price'] },
    );
    await fc.assert(
      fc.asyncProperty(fields, async body => {
        const plan = await tenant.post('/service-plans', { name: `Paket ${++made}`, ...body });
        const defaults = { description: null, rate_limit: null, is_active: true, features: [], sort_order: 0, billing_cycle: 'monthly' }; // prettier-ignore
        expect(plan).toMatchObject({ ...defaults, ...body, name: `Paket ${made}`, profile_name: `paket-${made}` });
        expect(await tenant.get(`/service-plans/${plan.id}`)).toEqual(plan);
      }),
      RUNS,
    );
  });

  test('the profile name is the name as a slug, unique, and stays', async () => {
    const tenant = await TestTenant.signUp();
    const body = { download_kbps: 1, upload_kbps: 1, price: 1 };
    const make = (fields: object) => tenant.call('POST', '/service-plans', { body: { ...body, ...fields } });
    const plan = (await make({ name: 'Paket 10 Mbps' })).data;
    expect(plan.profile_name).toBe('paket-10-mbps');
    expect((await make({ name: ' Rumah & Kafé ' })).data).toMatchObject({ name: 'Rumah & Kafé', profile_name: 'rumah-kafe' }); // prettier-ignore
    expect((await make({ name: 'Lama', profile_name: 'default 20M' })).data.profile_name).toBe('default 20M');
    const taken: [object, string][] = [
      [{ name: 'Paket 10 Mbps', profile_name: 'other' }, 'name'],
      [{ name: 'Lain', profile_name: 'paket-10-mbps' }, 'profile_name'],
    ];
    for (const [fields, field] of taken)
      expect(refusal(await changesNothing(tenant, () => make(fields)))).toEqual([409, 'DUPLICATE_ENTRY', field]);
    for (const profile_name of ['', 'pakét', 'a\nb', 'x'.repeat(101)])
      expect(refusal(await changesNothing(tenant, () => make({ name: 'X', profile_name })))).toEqual([400, 'VALIDATION_ERROR', 'profile_name']); // prettier-ignore
    const path = `/service-plans/${plan.id}`;
    const renamed = await tenant.put(path, { name: 'Paket Baru', profile_name: 'paket-10-mbps' });
    expect(renamed).toMatchObject({ name: 'Paket Baru', profile_name: 'paket-10-mbps' });
    const other = () => tenant.call('PUT', path, { body: { name: 'Lagi', profile_name: 'paket-baru' } });
    expect(refusal(await changesNothing(tenant, other))).toEqual([400, 'VALIDATION_ERROR', 'profile_name']);
  });

  test('a profile name that nobody sent is made unique', async () => {
    const tenant = await TestTenant.signUp();
    const names = ['Paket 10', 'paket-10', 'PAKET  10!', 'Isolir'];
    const made: string[] = [];
    for (const name of names) made.push((await tenant.addPlan({ name })).profile_name);
    expect(made).toEqual(['paket-10', 'paket-10-2', 'paket-10-3', 'isolir-2']);
    const at_once = await Promise.all(['Cepat 1', 'cepat-1', 'CEPAT 1!'].map(name => tenant.addPlan({ name })));
    expect(at_once.map(plan => plan.profile_name).sort()).toEqual(['cepat-1', 'cepat-1-2', 'cepat-1-3']);
  });

  test('who pays the plan’s price follows it, with an event each; an agreed fee stays', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan({ price: 100_000 });
    const [usual, agreed] = [
      await tenant.addCustomer(plan.id),
      await tenant.addCustomer(plan.id, { monthly_fee: 80_000 }),
    ];
    await tenant.put(`/service-plans/${plan.id}`, { price: 120_000 });
    const fee = async ({ id }: { id: string }) => (await tenant.get(`/customers/${id}`)).monthly_fee;
    expect([await fee(usual), await fee(agreed)]).toEqual([120_000, 80_000]);
    const [event] = await tenant.get(`/customers/${usual.id}/audit-logs`);
    expect(event).toMatchObject({ type: 'customer.fee_followed_plan', changes: { monthly_fee: [100_000, 120_000] } });
    expect(event.user_id).toBe(tenant.admin.id);
    expect(await tenant.get(`/customers/${agreed.id}/audit-logs`)).toHaveLength(1);
    const dearer = await tenant.addPlan({ price: 200_000 });
    await tenant.post(`/customers/${usual.id}/change-plan`, { service_plan_id: dearer.id });
    expect(await fee(usual)).toBe(200_000);
  });

  test('a price that changes between the reading and the writing of a customer is the customer’s', async () => {
    const tenant = await TestTenant.signUp();
    const d1 = await tenant.database();
    const [usual, plan] = [await tenant.addPlan({ price: 50_000 }), await tenant.addPlan({ price: 100_000 })];
    let price = 100_000;
    const fee = async (make: () => Promise<{ id: string }>) => {
      price += 1000;
      const between = letIn(d1, 1, () => tenant.put(`/service-plans/${plan.id}`, { price }));
      const { id } = await make();
      between.stop();
      expect(between.happened).toBe(true);
      expect((await tenant.get(`/customers/${id}`)).monthly_fee).toBe(price);
    };
    const moving = async (move: (id: string) => Promise<unknown>) => {
      const customer = await tenant.addCustomer(usual.id);
      await fee(async () => (await move(customer.id), customer));
    };
    await fee(() => tenant.addCustomer(plan.id));
    await moving(id => tenant.post(`/customers/${id}/change-plan`, { service_plan_id: plan.id }));
    await moving(id => tenant.put(`/customers/${id}`, { service_plan_id: plan.id }));
  });

  test('a RouterOS rate limit that is none is refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    for (const rate_limit of [
      '',
      'cepat',
      '5M/20M;/system reboot',
      '5M/',
      '-1/2',
      '0',
      '0/0',
      '5M/0',
      '0/20M 10M/40M',
    ]) {
      const put = () => tenant.call('PUT', `/service-plans/${plan.id}`, { body: { rate_limit } });
      expect(refusal(await changesNothing(tenant, put)), rate_limit).toEqual([400, 'VALIDATION_ERROR', 'rate_limit']);
    }
    expect((await tenant.put(`/service-plans/${plan.id}`, { rate_limit: null })).rate_limit).toBeNull();
  });

  test('toggling switches on and off, and twice at once is twice', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    let is_active = true;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), async times => {
        const path = `/service-plans/${plan.id}/toggle`;
        const answers = await Promise.all(Array.from({ length: times }, () => tenant.call('POST', path)));
        expect(answers.map(answer => answer.status)).toEqual(answers.map(() => 200));
        if (times % 2 === 1) is_active = !is_active;
        expect((await tenant.get(`/service-plans/${plan.id}`)).is_active).toBe(is_active);
      }),
      FEWER_RUNS,
    );
  });

  test('each change of a plan or its settings is in its history, newest first', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan({ price: 100 });
    const path = `/service-plans/${plan.id}`;
    expect(await tenant.get(`${path}/changes`)).toEqual([]);
    let expected: Record<string, [unknown, unknown]>[] = [];
    let now: Record<string, unknown> = { price: 100, description: null, priority: 8, is_active: true };
    const step = fc.oneof(
      fc.integer({ min: 1, max: 4 }).map(price => ['PUT', '', { price }] as const),
      fc.constantFrom('a', 'b', null).map(description => ['PUT', '', { description }] as const),
      fc.integer({ min: 1, max: 8 }).map(priority => ['PUT', '/advanced', { priority }] as const),
      fc.constant(['POST', '/toggle', {}] as const),
    );
    await fc.assert(
      fc.asyncProperty(step, async ([method, rest, sent]) => {
        const wanted = rest === '/toggle' ? { is_active: !now.is_active } : sent;
        expect((await tenant.call(method, `${path}${rest}`, { ...(rest !== '/toggle' && { body: sent }) })).status).toBe(200); // prettier-ignore
        const changed = Object.entries(wanted).filter(([key, value]) => now[key] !== value);
        if (changed.length > 0)
          expected = [Object.fromEntries(changed.map(([key, value]) => [key, [now[key], value]])), ...expected];
        now = { ...now, ...wanted };
        const history = await tenant.call('GET', `${path}/changes`, { query: { per_page: 100 } });
        expect(history.meta.total).toBe(expected.length);
        expect(history.data.map((change: any) => change.changes)).toEqual(expected.slice(0, 100));
        for (const change of history.data) expect(change).toMatchObject({ plan_id: plan.id, changed_by: tenant.admin.id }); // prettier-ignore
      }),
      RUNS,
    );
    expect((await tenant.call('GET', `/service-plans/${crypto.randomUUID()}/changes`)).status).toBe(404);
  });
});

describe('router settings of a plan', () => {
  const BURST = ['burst_download_kbps', 'burst_upload_kbps', 'burst_threshold_download_kbps', 'burst_threshold_upload_kbps', 'burst_time_seconds'] as const; // prettier-ignore

  test('nothing set gives the defaults; a PUT replaces only what it names', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const path = `/service-plans/${plan.id}/advanced`;
    const defaults = await tenant.get(path);
    expect(defaults).toMatchObject({ plan_id: plan.id, priority: 8, connection_mode: 'pppoe', is_unlimited: false, dns_servers: [], queue_name_template: '{customer_code}', auto_apply_to_router: true, burst_time_seconds: null }); // prettier-ignore
    const same = await changesNothing(tenant, () => tenant.call('PUT', path, { body: { priority: 8, vlan_id: null } }));
    expect(same.data).toEqual(defaults);
    const settings = fc.record(
      {
        priority: fc.integer({ min: 1, max: 8 }),
        vlan_id: fc.option(fc.integer({ min: 1, max: 4094 })),
        dns_servers: fc.array(fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', '::1')), { maxLength: 8 }),
        connection_mode: fc.constantFrom('pppoe', 'hotspot', 'static'),
        address_pool: fc.option(fc.constantFrom('pool-1', '10.0.0.9')),
        is_unlimited: fc.boolean(),
        max_devices: fc.option(fc.integer({ min: 1, max: 1_000_000 })),
        area_coverage: fc.array(fc.constantFrom('Utara', 'Timur'), { maxLength: 2 }),
        time_restrictions: fc.dictionary(fc.constantFrom('from', 'to'), fc.constantFrom('08:00', '17:00', 3, true), { noNullPrototype: true }), // prettier-ignore
        auto_apply_to_router: fc.boolean(),
      },
      { requiredKeys: [], noNullPrototype: true },
    );
    let known = defaults;
    await fc.assert(
      fc.asyncProperty(settings, async body => {
        const after = await tenant.put(path, body);
        const { updated_at: _then, created_at: _made, ...before } = known;
        expect(after).toMatchObject({ ...before, ...body });
        expect(await tenant.get(path)).toEqual(after);
        known = after;
      }),
      RUNS,
    );
    for (const dns of ['8.8.8', 'dns.example', '1.1.1.1; reboot'])
      expect(refusal(await tenant.call('PUT', path, { body: { dns_servers: [dns] } }))[0]).toBe(400);
    expect((await tenant.call('GET', `/service-plans/${crypto.randomUUID()}/advanced`)).status).toBe(404);
  });

  test('a burst is whole or not at all', async () => {
    const tenant = await TestTenant.signUp();
    await fc.assert(
      fc.asyncProperty(fc.subarray([...BURST]), fc.subarray([...BURST]), async (given, taken) => {
        const path = `/service-plans/${(await tenant.addPlan()).id}/advanced`;
        const put = (body: object) => tenant.call('PUT', path, { body });
        const whole = Object.fromEntries(BURST.map(part => [part, 5]));
        const first = Object.fromEntries(given.map(part => [part, 5]));
        if (given.length === 0 || given.length === BURST.length) expect((await put(first)).status).toBe(200);
        else {
          const [status, code, named] = refusal(await changesNothing(tenant, () => put(first)));
          expect([status, code]).toEqual([400, 'VALIDATION_ERROR']);
          expect(BURST.filter(part => !given.includes(part))).toContain(named);
        }
        expect((await put(whole)).status).toBe(200);
        const less = Object.fromEntries(taken.map(part => [part, null]));
        const all_or_none = taken.length === 0 || taken.length === BURST.length;
        expect((await put(less)).status).toBe(all_or_none ? 200 : 400);
      }),
      FEWER_RUNS,
    );
  });

  test('two who change settings at once lose nothing; a stale If-Match is refused', async () => {
    const tenant = await TestTenant.signUp();
    const fields = { priority: 3, vlan_id: 7, max_devices: 1, queue_type: 'pcq' };
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(Object.entries(fields), { minLength: 2 }),
        fc.boolean(),
        async (edits, stored) => {
          // prettier-ignore
          const path = `/service-plans/${(await tenant.addPlan()).id}/advanced`;
          if (stored) await tenant.put(path, { session_timeout: 60 });
          const etag = (await tenant.call('GET', path)).headers.get('etag')!;
          const answers = await Promise.all(
            edits.map(([key, value]) => tenant.call('PUT', path, { body: { [key]: value } })),
          );
          expect(answers.map(answer => answer.status)).toEqual(answers.map(() => 200));
          expect(await tenant.get(path)).toMatchObject(Object.fromEntries(edits));
          const late = await changesNothing(tenant, () =>
            tenant.call('PUT', path, { body: { priority: 1 }, headers: { 'if-match': etag } }),
          );
          expect(refusal(late)).toEqual([409, 'CONFLICT']);
        },
      ),
      FEWER_RUNS,
    );
  });
});

describe('what others depend on', () => {
  test('P17 a plan, zone or router with customers and a bridge with routers can’t be deleted', async () => {
    const tenant = await TestTenant.signUp();
    const needs = fc.record({
      plan: fc.boolean(),
      zone: fc.boolean(),
      router: fc.boolean(),
      /** What the customer became: a deleted one's row still names its plan. */
      fate: fc.constantFrom('stays', 'active', 'terminated', 'deleted', 'planned'),
      order: fc.shuffledSubarray(['plan', 'zone', 'router', 'bridge'] as const, { minLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(needs, async ({ plan: on_plan, zone: in_zone, router: on_router, fate, order }) => {
        const name = crypto.randomUUID();
        const [plan, other] = [await tenant.addPlan(), await tenant.addPlan()];
        const zone = await tenant.post('/zones', { name });
        const bridge = await tenant.post('/bridges', { name });
        await tenant.post(`/bridges/${bridge.id}/enroll`);
        const router = await tenant.post('/routers', { name, ...ROUTER, bridge_id: bridge.id, is_active: false });
        const customer = await tenant.addCustomer(on_plan ? plan.id : other.id, {
          zone_id: in_zone ? zone.id : null,
          router_id: on_router ? router.id : null,
        });
        const path = `/customers/${customer.id}`;
        if (fate === 'active') await tenant.post(`${path}/activate`);
        if (fate === 'terminated') await tenant.post(`${path}/terminate`);
        if (fate === 'deleted') expect((await tenant.call('DELETE', path)).status).toBe(200);
        // a plan that somebody is to be put on some day is in use as well
        const planned = fate === 'planned' && !on_plan;
        if (planned) await tenant.post(`${path}/change-plan`, { service_plan_id: plan.id, effective_date: '2999-01-01' }); // prettier-ignore

        const things = {
          plan: { path: `/service-plans/${plan.id}`, in_use: () => on_plan || planned },
          zone: { path: `/zones/${zone.id}`, in_use: () => in_zone },
          router: { path: `/routers/${router.id}`, in_use: () => on_router },
          bridge: { path: `/bridges/${bridge.id}`, in_use: () => router_stands },
        };
        let router_stands = true;
        for (const what of order) {
          const thing = things[what];
          if (thing.in_use()) {
            const answer = await changesNothing(tenant, () => tenant.call('DELETE', thing.path));
            expect([answer.status, answer.error.code], what).toEqual([409, 'IN_USE']);
            expect((await tenant.call('GET', thing.path)).status).toBe(200);
            continue;
          }
          const answer = await tenant.call('DELETE', thing.path);
          expect(answer.status, `${what} ${answer.text}`).toBe(200);
          expect((await tenant.call('GET', thing.path)).status).toBe(404);
          if (what === 'router') router_stands = false;
        }
      }),
      RUNS,
    );
  });

  test('deleting at once tells of one deletion; what is used meanwhile stays', async () => {
    const tenant = await TestTenant.signUp();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 4 }), fc.boolean(), async (callers, is_used) => {
        const plan = await tenant.addPlan();
        const deletions = Array.from({ length: callers }, () => tenant.call('DELETE', `/service-plans/${plan.id}`));
        const customer = { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: plan.id };
        const use = is_used ? [tenant.call('POST', '/customers', { body: customer })] : [];
        const [used] = await Promise.all(use);
        const statuses = (await Promise.all(deletions)).map(answer => answer.status);
        const deleted = statuses.filter(status => status === 200).length;
        const told = await rowsOf(tenant, "SELECT seq FROM events WHERE entity_id = ? AND type = 'plan.deleted'", plan.id); // prettier-ignore
        expect(told).toHaveLength(deleted);
        expect(deleted).toBe(used?.status === 201 ? 0 : 1);
        expect((await tenant.call('GET', `/service-plans/${plan.id}`)).status).toBe(deleted === 1 ? 404 : 200);
      }),
      RUNS,
    );
  });
});

describe('settings', () => {
  test('GET gives them, PUT replaces what it names and writes nothing else', async () => {
    const tenant = await TestTenant.signUp();
    const settings = await tenant.get('/settings');
    expect(settings).toMatchObject({ business_name: `ISP ${tenant.slug}`, country: 'ID', suspension_policy: 'disable', isolir_profile: 'isolir' }); // prettier-ignore
    const change = fc.record(
      {
        business_name: fc.constantFrom('Rukun Net', 'Melati'),
        phone: fc.option(fc.constantFrom('0812-3456-789', '+62 21 555')),
        email: fc.option(fc.constantFrom('kantor@isp.example')),
        address: fc.option(fc.constantFrom('Jl. Mawar 1')),
        country: fc.constantFrom('ID', 'MY'),
        suspension_policy: fc.constantFrom('disable', 'isolir'),
        isolir_profile: fc.constantFrom('isolir', 'blokir-1'),
        isolir_download_kbps: fc.integer({ min: 1, max: 1_000_000_000 }),
      },
      { requiredKeys: [], noNullPrototype: true },
    );
    let known = settings;
    await fc.assert(
      fc.asyncProperty(change, async body => {
        const after = await tenant.put('/settings', body);
        expect(after).toMatchObject(body);
        const differs = Object.entries(body).some(([key, value]) => known[key] !== value);
        expect(after).toEqual(differs ? { ...known, ...body, updated_at: after.updated_at } : known);
        const again = await changesNothing(tenant, () => tenant.call('PUT', '/settings', { body }));
        expect(again.data).toEqual(after);
        known = after;
      }),
      RUNS,
    );
    const etag = (await tenant.call('GET', '/settings')).headers.get('etag')!;
    await tenant.put('/settings', { address: 'pindah' });
    const late = () => tenant.call('PUT', '/settings', { body: { address: 'x' }, headers: { 'if-match': etag } });
    expect(refusal(await changesNothing(tenant, late))).toEqual([409, 'CONFLICT']);
    const bad = { country: 'id', suspension_policy: 'cut', isolir_profile: 'a b', isolir_upload_kbps: 0, business_name: '', phone: 'x', email: 'x', logo: 'x' }; // prettier-ignore
    for (const [field, value] of Object.entries(bad)) {
      const put = () => tenant.call('PUT', '/settings', { body: { [field]: value } });
      expect(refusal(await changesNothing(tenant, put))).toEqual([400, 'VALIDATION_ERROR', field]);
    }
  });
});
