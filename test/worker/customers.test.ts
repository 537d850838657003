import { createExecutionContext, env, SELF, waitOnExecutionContext } from 'cloudflare:test';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { makeAmbient, type Context } from '../../src/context.ts';
import { addDays } from '../../src/lib/time.ts';
import { applyDuePlanChanges } from '../../src/resources/customers/actions.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { makeContext } from '../../src/tenancy/enter.ts';
import { dayFromNow } from '../support/calendar.ts';
import { silenceHub } from '../support/hub.ts';
import { type Answer, TestTenant } from '../support/world.ts';

/** Customers: codes, references, status flow, plan changes, editing side by side, pictures and custom fields. */

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

const customerRow = async (tenant: TestTenant, id: string) =>
  (await rowsOf(tenant, 'SELECT * FROM customers WHERE id = ?', id))[0];

/** How many rows there are of everything that people make, and of events. */
async function countRows(tenant: TestTenant): Promise<Record<string, number>> {
  const tables = ['customers', 'service_plans', 'zones', 'routers', 'bridges', 'users', 'service_plan_settings'];
  const counts = [...tables, 'events', 'customer_plan_changes'].map(
    table => `(SELECT count(*) FROM ${table}) AS ${table}`,
  );
  return (await rowsOf(tenant, `SELECT ${counts.join(', ')}`))[0];
}

/** The action must leave customer and log as they are. */
async function changesNothing(tenant: TestTenant, id: string, action: () => Promise<Answer>): Promise<Answer> {
  const look = async () => [await customerRow(tenant, id), await countRows(tenant)];
  const before = await look();
  const answer = await action();
  expect(await look()).toEqual(before);
  return answer;
}

const VERBS = ['activate', 'suspend', 'resume', 'terminate', 'reactivate', 'delete'] as const;
type Verb = (typeof VERBS)[number];
type Status = 'pending_activation' | 'active' | 'suspended' | 'terminated';
const STATUSES: Status[] = ['pending_activation', 'active', 'suspended', 'terminated'];

/** data-model.md's status flow; what isn't here is refused. */
const FLOW: Record<Status, Partial<Record<Verb, Status | 'deleted'>>> = {
  pending_activation: { activate: 'active', terminate: 'terminated', delete: 'deleted' },
  active: { suspend: 'suspended', terminate: 'terminated' },
  suspended: { resume: 'active', terminate: 'terminated' },
  terminated: { reactivate: 'pending_activation', delete: 'deleted' },
};

const apply = (tenant: TestTenant, id: string, verb: Verb, body?: unknown) =>
  verb === 'delete'
    ? tenant.call('DELETE', `/customers/${id}`)
    : tenant.call('POST', `/customers/${id}/${verb}`, { body });

const PATH_TO: Record<Status, Verb[]> = {
  pending_activation: [],
  active: ['activate'],
  suspended: ['activate', 'suspend'],
  terminated: ['activate', 'terminate'],
};

async function addCustomerIn(tenant: TestTenant, plan_id: string, status: Status, fields = {}) {
  const customer = await tenant.addCustomer(plan_id, fields);
  for (const verb of PATH_TO[status]) expect((await apply(tenant, customer.id, verb)).status).toBe(200);
  return customer;
}

describe('codes and required fields', () => {
  test('P08 customer codes are unique within a tenant, also under concurrent creation', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 8 }), fc.boolean(), async (count, then_delete) => {
        const made = await Promise.all(Array.from({ length: count }, () => tenant.addCustomer(plan.id)));
        for (const { customer_code } of made) {
          expect(customer_code).toMatch(/^CUST\d{5,}$/);
          expect(seen).not.toContain(customer_code);
          seen.add(customer_code);
        }
        // a deleted customer's code isn't given again
        if (then_delete) expect((await apply(tenant, made[0].id, 'delete')).status).toBe(200);
      }),
      RUNS,
    );
    const [{ codes, n }] = await rowsOf(tenant, 'SELECT count(DISTINCT customer_code) AS codes, count(*) AS n FROM customers'); // prettier-ignore
    expect([codes, n]).toEqual([seen.size, seen.size]);
  });

  test('P08 codes rise, and those of two tenants have nothing to do with each other', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const [plan, other_plan] = [await one.addPlan(), await other.addPlan()];
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await one.addCustomer(plan.id)).customer_code);
    expect(codes).toEqual([...codes].sort());
    expect((await other.addCustomer(other_plan.id)).customer_code).toBe('CUST00001');
  });
});

describe('references', () => {
  test('P13 a plan, router or zone that does not exist is refused, on create and on update', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const [plan, zone] = [await tenant.addPlan(), await tenant.post('/zones', { name: 'Utara' })];
    const router = await tenant.post('/routers', { name: 'r', ...ROUTER });
    const theirs = {
      service_plan_id: (await other.addPlan()).id,
      zone_id: (await other.post('/zones', { name: 'Utara' })).id,
      router_id: (await other.post('/routers', { name: 'r', ...ROUTER })).id,
    };
    const real = { service_plan_id: plan.id, zone_id: zone.id, router_id: router.id };
    const customer = await tenant.addCustomer(plan.id, real);
    const field = fc.constantFrom('service_plan_id', 'zone_id', 'router_id');
    // ids of nothing, of another kind of thing, and of another tenant's thing
    const wrong = field.chain(name =>
      fc.tuple(
        fc.constant(name),
        fc.oneof(
          fc.uuid(),
          fc.constantFrom(...Object.values(theirs), customer.id),
          fc.constantFrom(...Object.entries(real).flatMap(([key, id]) => (key === name ? [] : [id as string]))),
        ),
      ),
    );
    await fc.assert(
      fc.asyncProperty(wrong, fc.constantFrom('create', 'update', 'change-plan'), async ([name, id], how) => {
        const answer = await changesNothing(tenant, customer.id, () => {
          if (how === 'create')
            return tenant.call('POST', '/customers', {
              body: { full_name: 'B', phone: '081234567', address: 'x', ...real, [name]: id },
            });
          if (how === 'update' || name !== 'service_plan_id')
            return tenant.call('PUT', `/customers/${customer.id}`, { body: { notes: id, [name]: id } });
          return tenant.call('POST', `/customers/${customer.id}/change-plan`, { body: { service_plan_id: id } });
        });
        expect(answer.status, answer.text).toBe(400);
        expect(Object.keys(answer.error.details!)).toEqual([name]);
      }),
      RUNS,
    );
    const bad_bridge = await tenant.call('PUT', `/routers/${router.id}`, { body: { bridge_id: plan.id } });
    expect([bad_bridge.status, Object.keys(bad_bridge.error.details!)]).toEqual([400, ['bridge_id']]);
  });

  test('a plan that is switched off or has no price is refused for new customers and for changes', async () => {
    const tenant = await TestTenant.signUp();
    const [good, off, unpriced] = [await tenant.addPlan(), await tenant.addPlan(), await tenant.addPlan()];
    await tenant.post(`/service-plans/${off.id}/toggle`);
    await rowsOf(tenant, 'UPDATE service_plans SET price = NULL WHERE id = ?', unpriced.id);
    const customer = await tenant.addCustomer(good.id);
    for (const { id } of [off, unpriced]) {
      const attempts: [string, string, object][] = [
        ['POST', '/customers', { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: id }],
        ['PUT', `/customers/${customer.id}`, { service_plan_id: id }],
        ['POST', `/customers/${customer.id}/change-plan`, { service_plan_id: id }],
        ['POST', `/customers/${customer.id}/change-plan`, { service_plan_id: id, effective_date: '2999-01-01' }],
      ];
      for (const [method, path, body] of attempts) {
        const answer = await changesNothing(tenant, customer.id, () => tenant.call(method, path, { body }));
        expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, ['service_plan_id']]);
      }
    }
    // whoever is on a plan that is switched off later may be edited, and activated
    await tenant.post(`/service-plans/${good.id}/toggle`);
    await tenant.put(`/customers/${customer.id}`, { notes: 'masih', service_plan_id: good.id });
    expect((await tenant.post(`/customers/${customer.id}/activate`)).status).toBe('active');
  });

  test('of routers that come first at once one is the default, and none is refused', async () => {
    const tenant = await TestTenant.signUp();
    const made = await Promise.all(['one', 'two', 'three'].map(name => tenant.post('/routers', { name, ...ROUTER })));
    expect(made.filter(router => router.is_default)).toHaveLength(1);
  });

  test('PPPoE customers get the default router unless told; others get none', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    expect((await tenant.addCustomer(plan.id)).router_id).toBeNull();
    const first = await tenant.post('/routers', { name: 'one', ...ROUTER });
    const second = await tenant.post('/routers', { name: 'two', ...ROUTER });
    expect([first.is_default, second.is_default]).toEqual([true, false]);
    expect((await tenant.addCustomer(plan.id)).router_id).toBe(first.id);
    expect((await tenant.addCustomer(plan.id, { router_id: second.id })).router_id).toBe(second.id);
    expect((await tenant.addCustomer(plan.id, { router_id: null })).router_id).toBeNull();
    expect((await tenant.addCustomer(plan.id, { connection_type: 'hotspot' })).router_id).toBeNull();
    await tenant.put(`/routers/${second.id}`, { is_default: true });
    expect((await tenant.get(`/routers/${first.id}`)).is_default).toBe(false);
    const customer = await tenant.addCustomer(plan.id);
    expect(customer).toMatchObject({ router_id: second.id, has_password: true });
    expect(customer.pppoe_username).toBe(customer.customer_code.toLowerCase());
  });
});

describe('numbers', () => {
  test('P16 zero, negative, fractional, not-a-number, infinite and over-large numbers are refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id);
    const plan_body = { name: 'Lain', download_kbps: 1000, upload_kbps: 1000, price: 1000 };
    const customer_body = { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: plan.id };
    const places = {
      new_plan: ['POST', '/service-plans', plan_body],
      plan: ['PUT', `/service-plans/${plan.id}`, {}],
      advanced: ['PUT', `/service-plans/${plan.id}/advanced`, {}],
      new_customer: ['POST', '/customers', customer_body],
      customer: ['PUT', `/customers/${customer.id}`, {}],
      settings: ['PUT', '/settings', {}],
      router: ['POST', '/routers', { name: 'r', ...ROUTER }],
    } as const;
    /** place, field, lowest good, highest good, whether null means something */
    const fields: [keyof typeof places, string, number, number, boolean][] = [
      ...(['new_plan', 'plan'] as const).flatMap(place =>
        (['download_kbps', 'upload_kbps', 'price'] as const).map(
          field => [place, field, 1, field === 'price' ? 1e12 : 1e9, false] as (typeof fields)[number],
        ),
      ),
      ...['burst_download_kbps', 'burst_upload_kbps', 'fup_download_kbps', 'fup_upload_kbps'].map(
        field => ['advanced', field, 1, 1e9, true] as (typeof fields)[number],
      ),
      ['advanced', 'burst_time_seconds', 1, 3600, true],
      ['advanced', 'priority', 1, 8, false],
      ['advanced', 'vlan_id', 1, 4094, true],
      ['advanced', 'max_devices', 1, 1e6, true],
      ['advanced', 'monthly_quota_gb', 1, 1e6, true],
      ['advanced', 'session_timeout', 1, 31_536_000, true],
      ['advanced', 'grace_period_days', 0, 365, true],
      ['new_customer', 'monthly_fee', 0, 1e12, false],
      ['customer', 'monthly_fee', 0, 1e12, false],
      ['new_customer', 'due_day', 1, 31, false],
      ['customer', 'due_day', 1, 31, false],
      ['settings', 'isolir_download_kbps', 1, 1e9, false],
      ['settings', 'isolir_upload_kbps', 1, 1e9, false],
      ['router', 'port', 1, 65535, false],
    ];
    /** As JSON text, since JSON can say numbers that JavaScript can't hold. */
    const badFor = ([, , least, most, nullable]: (typeof fields)[number]) =>
      fc.oneof(
        fc.integer({ max: least - 1 }).map(String),
        fc.double({ min: least, max: Math.min(most, 1e6), noNaN: true }).filter(n => !Number.isInteger(n)).map(String), // prettier-ignore
        fc.integer({ min: 1, max: 1_000_000_000 }).map(above => String(most + above)),
        fc.constantFrom('1e400', '-1e400', '1e308', '9007199254740993', '"NaN"', '"Infinity"', 'true', '[]', '{}'),
        fc.constantFrom(`"${least}"`, '""', `[${least}]`, ...(nullable ? [] : ['null'])),
      );
    const before = await countRows(tenant);
    const bad = fc.constantFrom(...fields).chain(field => fc.tuple(fc.constant(field), badFor(field)));
    await fc.assert(
      fc.asyncProperty(bad, async ([[place, field], text]) => {
        const [method, path, body] = places[place];
        const raw = JSON.stringify({ ...body, [field]: '#' }).replace('"#"', text);
        const answer = await tenant.call(method, path, { body: raw });
        expect(answer.status, `${place}.${field} = ${text}`).toBe(400);
        expect(Object.keys(answer.error.details!)).toEqual([field]);
        expect(await countRows(tenant)).toEqual(before);
      }),
      { ...RUNS, numRuns: 300 },
    );
    // the ends of each range are good
    const whole_burst = { burst_threshold_download_kbps: 1, burst_threshold_upload_kbps: 1, burst_download_kbps: 1, burst_upload_kbps: 1, burst_time_seconds: 1 }; // prettier-ignore
    await tenant.put(`/service-plans/${plan.id}/advanced`, whole_burst);
    for (const [place, field, least, most] of fields)
      for (const value of [least, most]) {
        const [method, path, body] = places[place];
        const unique = 'name' in body ? { name: `${field}-${value}`, profile_name: `${field}-${value}` } : {};
        if (place === 'router') delete (unique as { profile_name?: string }).profile_name;
        const answer = await tenant.call(method, path, { body: { ...body, ...unique, [field]: value } });
        expect([200, 201], `${place}.${field} = ${value}: ${answer.text}`).toContain(answer.status);
      }
  });
});

describe('deletion and counts', () => {
  test('P14 a soft-deleted customer stays in the database and is in no list, search or count', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const zone = await tenant.post('/zones', { name: 'Utara' });
    const person = fc.record({
      full_name: fc.string({ unit: 'grapheme', minLength: 3, maxLength: 12 }).map(name => `Pelanggan ${name.replace(/[\p{Cc}\p{Cs}]/gu, 'x')}`), // prettier-ignore
      due_day: fc.integer({ min: 1, max: 31 }),
      custom_fields: fc.record({ blok: fc.constantFrom('a', 'b') }),
    });
    let alive = 0;
    await fc.assert(
      fc.asyncProperty(person, fc.constantFrom<Status>('pending_activation', 'terminated'), async (fields, status) => {
        const keep = await tenant.addCustomer(plan.id, { ...fields, zone_id: zone.id });
        const gone = await addCustomerIn(tenant, plan.id, status, { ...fields, zone_id: zone.id });
        alive++;
        const deleted_from = Date.now();
        expect((await apply(tenant, gone.id, 'delete')).data).toEqual({ id: gone.id });

        const row = await customerRow(tenant, gone.id);
        expect(row).toMatchObject({ customer_code: gone.customer_code, full_name: gone.full_name });
        expect(row.deleted_at).toBeGreaterThanOrEqual(deleted_from);
        const queries: Record<string, string | number>[] = [
          {},
          { search: gone.customer_code },
          { search: gone.full_name },
          { due_day: fields.due_day },
          { zone_id: zone.id },
          { 'custom_fields.blok': fields.custom_fields.blok },
          { status },
          { sort: 'customer_code' },
        ];
        for (const query of queries) {
          const { data, meta } = await tenant.call('GET', '/customers', { query: { per_page: 100, ...query } });
          const ids = data.map((each: { id: string }) => each.id);
          expect(ids).not.toContain(gone.id);
          if (meta.total <= 100) expect(ids).toHaveLength(meta.total);
          if (Object.keys(query).length === 0) expect(meta.total).toBe(alive);
        }
        const found = await tenant.call('GET', '/customers', { query: { search: keep.customer_code } });
        expect(found.data.map((each: { id: string }) => each.id)).toContain(keep.id);
        const stats = await tenant.get('/customers/stats');
        expect([stats.total, stats.new_this_month, stats.by_status.pending_activation]).toEqual([alive, alive, alive]);
        for (const path of ['', '/provisioning', '/audit-logs', '/photos/photo'])
          expect((await tenant.call('GET', `/customers/${gone.id}${path}`)).status, path).toBe(404);
        for (const verb of VERBS) expect((await apply(tenant, gone.id, verb)).status).toBe(404);
        expect((await tenant.call('PUT', `/customers/${gone.id}`, { body: { notes: 'x' } })).status).toBe(404);
        // the code stays taken
        await expect(
          rowsOf(tenant, 'UPDATE customers SET customer_code = ? WHERE id = ?', gone.customer_code, keep.id),
        ).rejects.toThrow(/UNIQUE/);
      }),
      RUNS,
    );
  });

  test('P15 the counts by status and by plan add up to the total', async () => {
    const tenant = await TestTenant.signUp();
    const plans = [await tenant.addPlan(), await tenant.addPlan({ price: 200_000 }), await tenant.addPlan()];
    const ids: string[] = [];
    const step = fc.record({
      who: fc.nat(),
      plan: fc.nat({ max: 2 }),
      what: fc.constantFrom('create', 'change-plan', 'change-plan-later', 'put', 'put-plan', ...VERBS),
    });
    const take = async ({ who, plan, what }: { who: number; plan: number; what: string }) => {
      const [id, service_plan_id] = [ids[who % Math.max(1, ids.length)], plans[plan].id];
      if (what === 'create' || !id) return ids.push((await tenant.addCustomer(service_plan_id)).id);
      if (VERBS.includes(what as Verb)) return apply(tenant, id, what as Verb);
      if (what === 'put') return tenant.call('PUT', `/customers/${id}`, { body: { notes: String(who) } });
      if (what === 'put-plan') return tenant.call('PUT', `/customers/${id}`, { body: { service_plan_id } });
      const effective_date = what === 'change-plan-later' ? '2999-01-01' : undefined;
      return tenant.call('POST', `/customers/${id}/change-plan`, { body: { service_plan_id, effective_date } });
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), fc.boolean(), async (steps, side_by_side) => {
        if (side_by_side) await Promise.all(steps.map(take));
        else for (const each of steps) await take(each);
        const stats = await tenant.get('/customers/stats');
        const sum = (counts: number[]) => counts.reduce((a, b) => a + b, 0);
        expect(sum(Object.values(stats.by_status))).toBe(stats.total);
        expect(sum(stats.by_plan.map((plan: { count: number }) => plan.count))).toBe(stats.total);
        const counted = await rowsOf(tenant, 'SELECT status, service_plan_id AS plan, count(*) AS n FROM customers WHERE deleted_at IS NULL GROUP BY 1, 2'); // prettier-ignore
        expect(stats.total).toBe(sum(counted.map(row => row.n)));
        for (const status of STATUSES)
          expect(stats.by_status[status]).toBe(sum(counted.filter(row => row.status === status).map(row => row.n)));
        for (const { id } of plans)
          expect(stats.by_plan.find((plan: any) => plan.service_plan_id === id)?.count ?? 0).toBe(
            sum(counted.filter(row => row.plan === id).map(row => row.n)),
          );
        expect((await tenant.call('GET', '/customers', { query: { per_page: 1 } })).meta.total).toBe(stats.total);
      }),
      RUNS,
    );
  });

  test('new_this_month begins with the month in the tenant’s time zone', async () => {
    const tenant = await TestTenant.signUp({ timezone: 'Asia/Jayapura' });
    const plan = await tenant.addPlan();
    const local = new Date(Date.now() + 9 * 3_600_000).toISOString();
    const month_began = Date.parse(`${local.slice(0, 7)}-01T00:00:00+09:00`);
    const [last, first] = [await tenant.addCustomer(plan.id), await tenant.addCustomer(plan.id)];
    await rowsOf(tenant, 'UPDATE customers SET created_at = ? WHERE id = ?', month_began - 1, last.id);
    await rowsOf(tenant, 'UPDATE customers SET created_at = ? WHERE id = ?', month_began, first.id);
    expect(await tenant.get('/customers/stats')).toMatchObject({ total: 2, new_this_month: 1 });
  });
});

describe('status flow', () => {
  test('each verb in each status does what the table says, or is refused and changes nothing', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    for (const status of STATUSES)
      for (const verb of VERBS) {
        const { id } = await addCustomerIn(tenant, plan.id, status);
        const next = FLOW[status][verb];
        if (next === undefined) {
          const answer = await changesNothing(tenant, id, () => apply(tenant, id, verb));
          expect([answer.status, answer.error.code], `${status} ${verb}`).toEqual([409, 'INVALID_TRANSITION']);
          continue;
        }
        const answer = await apply(tenant, id, verb);
        expect(answer.status, `${status} ${verb}`).toBe(200);
        if (next !== 'deleted') expect(answer.data.status).toBe(next);
      }
  });

  test('any walk through the statuses follows the table', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...VERBS), { minLength: 1, maxLength: 8 }), async verbs => {
        const { id } = await tenant.addCustomer(plan.id);
        let status: Status | 'deleted' = 'pending_activation';
        for (const verb of verbs) {
          const next: Status | 'deleted' | undefined = status === 'deleted' ? undefined : FLOW[status][verb];
          const answer = await apply(tenant, id, verb);
          expect(answer.status).toBe(next ? 200 : status === 'deleted' ? 404 : 409);
          status = next ?? status;
          const row = await customerRow(tenant, id);
          if (status === 'deleted') expect(row.deleted_at).not.toBeNull();
          else expect(row.status).toBe(status);
          expect(row.suspension_reason).toBe(status === 'suspended' ? 'manual' : null);
          expect(row.termination_date === null).toBe(row.status !== 'terminated');
        }
      }),
      FEWER_RUNS,
    );
  });

  test('a date and a reason are kept; a day to come is refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const late = await changesNothing(tenant, id, () => apply(tenant, id, 'activate', { date: '2999-01-01' }));
    expect([late.status, Object.keys(late.error.details!)]).toEqual([400, ['date']]);
    expect((await apply(tenant, id, 'activate', { date: '2026-01-31' })).data.activation_date).toBe('2026-01-31');
    expect((await apply(tenant, id, 'suspend', { reason: 'abuse' })).data.suspension_reason).toBe('abuse');
    expect((await apply(tenant, id, 'resume')).data.suspension_reason).toBeNull();
    expect((await apply(tenant, id, 'suspend', { reason: 'overdue' })).data.suspension_reason).toBe('overdue');
    const ended = (await apply(tenant, id, 'terminate', { date: '2026-02-28', reason: 'pindah rumah' })).data;
    expect(ended).toMatchObject({ termination_date: '2026-02-28', termination_reason: 'pindah rumah' });
    const back = (await apply(tenant, id, 'reactivate')).data;
    expect(back).toMatchObject({ status: 'pending_activation', termination_date: null, termination_reason: null });
  });

  test('of callers who change a status at once, one does and the others are refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 4 }), async callers => {
        const { id } = await tenant.addCustomer(plan.id);
        const answers = await Promise.all(Array.from({ length: callers }, () => apply(tenant, id, 'activate')));
        expect(answers.map(answer => answer.status).sort()).toEqual([200, ...Array(callers - 1).fill(409)]);
        const told = await rowsOf(tenant, "SELECT type FROM events WHERE entity_id = ? AND type = 'customer.activated'", id); // prettier-ignore
        expect(told).toHaveLength(1);
      }),
      FEWER_RUNS,
    );
  });

  test('a terminated customer’s PPPoE name is free; taking it back later is refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const first = await addCustomerIn(tenant, plan.id, 'active', { pppoe_username: 'budi' });
    const taken = await tenant.call('POST', '/customers', {
      body: { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: plan.id, pppoe_username: 'budi' },
    });
    expect([taken.status, taken.error.code]).toEqual([409, 'DUPLICATE_ENTRY']);
    await apply(tenant, first.id, 'terminate');
    await tenant.addCustomer(plan.id, { pppoe_username: 'budi' });
    const answer = await changesNothing(tenant, first.id, () => apply(tenant, first.id, 'reactivate'));
    expect([answer.status, answer.error.code]).toEqual([409, 'DUPLICATE_ENTRY']);
    await tenant.call('PUT', `/customers/${first.id}`, { body: { pppoe_username: 'budi-2' } });
    expect((await apply(tenant, first.id, 'reactivate')).status).toBe(200);
  });
});

/** A job's context with a clock and a zone of our own. */
async function contextAt(tenant: TestTenant, now: number, timezone: string): Promise<Context> {
  const execution = createExecutionContext();
  const found = (await findTenant(env, tenant.id, Date.now()))!;
  const ambient = { ...makeAmbient(env, execution), now, defer: () => {} };
  await waitOnExecutionContext(execution);
  return makeContext(ambient, { ...found, timezone }, { kind: 'job', name: 'sweep' });
}

describe('plan changes', () => {
  const ZONES = [
    'Asia/Jakarta', // WIB
    'Asia/Makassar', // WITA
    'Asia/Jayapura', // WIT
    'Asia/Kolkata',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'America/St_Johns',
    'America/New_York',
    'Europe/Berlin',
    'Asia/Beirut',
    'Pacific/Kiritimati',
    'Pacific/Pago_Pago',
  ];
  const dateIn = (at: number, timeZone: string) => new Date(at).toLocaleDateString('sv-SE', { timeZone });

  /** The first instant whose date in that zone isn't before `date`; found, not computed. */
  function beginningOf(date: string, zone: string): number {
    let [before, after] = [Date.parse(date) - 2 * 86_400_000, Date.parse(date) + 2 * 86_400_000];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (dateIn(middle, zone) >= date) after = middle;
      else before = middle;
    }
    return after;
  }

  const clocks = ZONES.map(timeZone => new Intl.DateTimeFormat('sv-SE', { timeZone, timeStyle: 'short' }));
  /** Somewhere the clock shows another time at noon of UTC than a day before. */
  const isOfClockChange = (date: string) =>
    clocks.some(clock => {
      const noon = Date.parse(`${date}T12:00Z`);
      return clock.format(noon) !== clock.format(noon - 86_400_000);
    });

  test('a change planned for a day to come is applied when the tenant’s day has come, never before', async () => {
    const tenant = await TestTenant.signUp();
    const [from, to] = [await tenant.addPlan({ price: 100_000 }), await tenant.addPlan({ price: 250_000 })];
    const days = Array.from({ length: 1000 }, (_, at) => dayFromNow(2 + at));
    const some_day = fc.constantFrom(...days);
    // nights on which clocks change, beside any other
    const clock_changes = fc.constantFrom(...days.filter(isOfClockChange));
    const offset = fc.oneof(fc.constantFrom(-1, 0), fc.integer({ min: -90_000_000, max: 90_000_000 }));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...ZONES),
        fc.oneof(some_day, clock_changes),
        offset,
        async (zone, effective_date, shift) => {
          const customer = await tenant.addCustomer(from.id);
          const planned = await tenant.post(`/customers/${customer.id}/change-plan`, { service_plan_id: to.id, effective_date }); // prettier-ignore
          expect(planned.change).toMatchObject({ applied_at: null, effective_date, from_plan_id: from.id });
          expect(planned.customer.service_plan_id).toBe(from.id);

          const now = beginningOf(effective_date, zone) + shift;
          await applyDuePlanChanges(await contextAt(tenant, now, zone));
          const due = dateIn(now, zone) >= effective_date;
          expect(due).toBe(shift >= 0);
          const after = await tenant.get(`/customers/${customer.id}`);
          expect(after.service_plan_id).toBe(due ? to.id : from.id);
          expect(after.monthly_fee).toBe(due ? 250_000 : 100_000);
          const [change] = await rowsOf(tenant, 'SELECT applied_at FROM customer_plan_changes WHERE customer_id = ?', customer.id); // prettier-ignore
          expect(change.applied_at).toBe(due ? now : null);
          // once is enough, and whoever waits still must not be in the next run's way
          await applyDuePlanChanges(await contextAt(tenant, now, zone));
          expect((await tenant.get(`/customers/${customer.id}`)).updated_at).toBe(after.updated_at);
          await apply(tenant, customer.id, 'terminate');
        },
      ),
      FEWER_RUNS,
    );
  });

  test('the fee follows the plan unless another one was agreed on', async () => {
    const tenant = await TestTenant.signUp();
    const price = fc.integer({ min: 1, max: 1_000_000_000_000 });
    const ways = fc.constantFrom('put', 'change-plan', 'later');
    await fc.assert(
      fc.asyncProperty(price, price, fc.option(price), ways, async (old_price, new_price, agreed, way) => {
        const [from, to] = [await tenant.addPlan({ price: old_price }), await tenant.addPlan({ price: new_price })];
        const customer = await tenant.addCustomer(from.id, agreed === null ? {} : { monthly_fee: agreed });
        expect(customer.monthly_fee).toBe(agreed ?? old_price);
        if (way === 'put') await tenant.put(`/customers/${customer.id}`, { service_plan_id: to.id });
        else {
          const effective_date = way === 'later' ? '2999-01-01' : undefined;
          await tenant.post(`/customers/${customer.id}/change-plan`, { service_plan_id: to.id, effective_date });
        }
        if (way === 'later')
          await applyDuePlanChanges(await contextAt(tenant, Date.parse('2999-01-02T00:00:00Z'), 'Asia/Jakarta'));
        const follows = agreed === null || agreed === old_price;
        const after = await tenant.get(`/customers/${customer.id}`);
        expect(after).toMatchObject({ service_plan_id: to.id, monthly_fee: follows ? new_price : agreed });
      }),
      FEWER_RUNS,
    );
    const [a, b] = [await tenant.addPlan({ price: 5 }), await tenant.addPlan({ price: 6 })];
    const told = await tenant.addCustomer(a.id);
    const both = await tenant.put(`/customers/${told.id}`, { service_plan_id: b.id, monthly_fee: 0 });
    expect(both).toMatchObject({ service_plan_id: b.id, monthly_fee: 0 });
  });

  test('a newer wish, by whatever route, replaces the change that waits; so do an end and a deletion', async () => {
    const tenant = await TestTenant.signUp();
    const [a, b, c] = [await tenant.addPlan(), await tenant.addPlan(), await tenant.addPlan()];
    const waiting = async (id: string) =>
      (await rowsOf(tenant, 'SELECT to_plan_id AS plan FROM customer_plan_changes WHERE customer_id = ? AND applied_at IS NULL', id)).map(row => row.plan); // prettier-ignore
    const plan_b_later = { service_plan_id: b.id, effective_date: '2999-01-01' };
    const wait = async () => {
      const { id } = await tenant.addCustomer(a.id);
      await tenant.post(`/customers/${id}/change-plan`, plan_b_later);
      expect(await waiting(id)).toEqual([b.id]);
      return id;
    };
    const one = await wait();
    await tenant.post(`/customers/${one}/change-plan`, { service_plan_id: c.id, effective_date: '2998-01-01' });
    expect(await waiting(one)).toEqual([c.id]);
    const two = await wait();
    await tenant.post(`/customers/${two}/change-plan`, { service_plan_id: c.id });
    expect(await waiting(two)).toEqual([]);
    const three = await wait();
    await tenant.put(`/customers/${three}`, { service_plan_id: c.id });
    expect(await waiting(three)).toEqual([]);
    const four = await wait();
    await tenant.put(`/customers/${four}`, { notes: 'sebentar' });
    expect(await waiting(four)).toEqual([b.id]);
    for (const verb of ['terminate', 'delete'] as const) {
      const id = await wait();
      expect((await apply(tenant, id, verb)).status).toBe(200);
      expect(await waiting(id)).toEqual([]);
    }
  });

  test('the same plan is refused, and so is any change for a terminated customer', async () => {
    const tenant = await TestTenant.signUp();
    const [a, b] = [await tenant.addPlan(), await tenant.addPlan()];
    const { id } = await tenant.addCustomer(a.id);
    const same = await changesNothing(tenant, id, () =>
      tenant.call('POST', `/customers/${id}/change-plan`, { body: { service_plan_id: a.id } }),
    );
    expect([same.status, Object.keys(same.error.details!)]).toEqual([400, ['service_plan_id']]);
    await apply(tenant, id, 'terminate');
    for (const [method, path] of [
      ['POST', `/customers/${id}/change-plan`],
      ['PUT', `/customers/${id}`],
    ] as const) {
      const answer = await changesNothing(tenant, id, () =>
        tenant.call(method, path, { body: { service_plan_id: b.id } }),
      );
      expect([answer.status, answer.error.code]).toEqual([409, 'INVALID_TRANSITION']);
    }
  });
});

describe('editing', () => {
  const change = fc.record(
    {
      full_name: fc.constantFrom('Budi', 'Siti Aminah'),
      notes: fc.constantFrom('catatan', 'lain', null),
      rt: fc.constantFrom('03', '7', null),
      due_day: fc.integer({ min: 1, max: 31 }),
      monthly_fee: fc.integer({ min: 0, max: 1_000_000 }),
      auto_isolir: fc.boolean(),
      latitude: fc.double({ min: -90, max: 90, noNaN: true }).map(n => n || 0),
      email: fc.constantFrom('a@b.example', null),
      custom_fields: fc.dictionary(fc.constantFrom('blok', 'tiang'), fc.oneof(fc.integer(), fc.boolean(), fc.string({ maxLength: 5 }))), // prettier-ignore
      installation_date: fc.constantFrom('2026-05-01', null),
      phone: fc.constantFrom('0812-1111-2222', '+62 813 1'.padEnd(14, '5')),
    },
    { requiredKeys: [] },
  );

  test('a PUT with what is there already writes no row and no event', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    await fc.assert(
      fc.asyncProperty(change, async fields => {
        const first = await tenant.put(`/customers/${id}`, fields);
        for (const [key, value] of Object.entries(fields)) expect(first[key]).toEqual(value);
        const again = await changesNothing(tenant, id, () =>
          tenant.call('PUT', `/customers/${id}`, { body: { ...fields, service_plan_id: plan.id } }),
        );
        expect(again.data).toEqual(first);
        // a change is one event, and the version rises with it
        const counts = await countRows(tenant);
        const other = await tenant.put(`/customers/${id}`, { notes: `${first.notes} lagi` });
        expect(await countRows(tenant)).toEqual({ ...counts, events: counts.events! + 1 });
        expect(Date.parse(other.updated_at)).toBeGreaterThan(Date.parse(first.updated_at));
      }),
      RUNS,
    );
  });

  test('people who edit different fields at once lose nothing', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const parts = ['full_name', 'address', 'city', 'pppoe_username'] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.subarray([...parts], { minLength: 2, maxLength: 4 }),
        fc.stringMatching(/^[a-z]{1,8}$/),
        async (fields, word) => {
          const value = `${word}${crypto.randomUUID().slice(0, 8)}`;
          const { id } = await tenant.addCustomer(plan.id);
          const edits = fields.map(field => tenant.call('PUT', `/customers/${id}`, { body: { [field]: value } }));
          // an action tries four times: four at once all come through
          if (fields.length < 4)
            edits.push(tenant.call('POST', `/customers/${id}/hold`, { body: { until: '2999-01-01' } }));
          const answers = await Promise.all(edits);
          expect(answers.map(answer => answer.status)).toEqual(answers.map(() => 200));
          const row = await customerRow(tenant, id);
          for (const field of fields) expect(row[field]).toBe(value);
          // what search looks in is made of several fields: it must know all of the new ones
          expect(row.search_text.split(value)).toHaveLength(1 + fields.filter(field => field !== 'city').length);
          if (fields.length < 4) expect(row.hold_until).toBe('2999-01-01');
          const told = await rowsOf(tenant, 'SELECT changes FROM events WHERE entity_id = ?', id);
          expect(told).toHaveLength(1 + answers.length);
        },
      ),
      FEWER_RUNS,
    );
  });

  test('a crowd of editors: what was answered with 200 is there, what wasn’t is refused with CONFLICT', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const keys = Array.from({ length: 12 }, (_, index) => ['rt', 'rw', 'city', 'notes', 'kelurahan', 'kecamatan', 'postal_code', 'onu_serial', 'full_name', 'address', 'nik', 'email'][index]!); // prettier-ignore
    const valueOf = (key: string) =>
      ({ rt: '9', rw: '9', nik: '1234567890123456', email: 'x@y.example' })[key] ?? 'baru';
    const answers = await Promise.all(
      keys.map(key => tenant.call('PUT', `/customers/${id}`, { body: { [key]: valueOf(key) } })),
    );
    const row = await customerRow(tenant, id);
    answers.forEach((answer, index) => {
      const key = keys[index]!;
      if (answer.status === 200) expect(row[key]).toBe(valueOf(key));
      else expect([answer.status, answer.error.code]).toEqual([409, 'CONFLICT']);
    });
    expect(answers.filter(answer => answer.status === 200).length).toBeGreaterThanOrEqual(4);
  });

  test('If-Match lets one of two editors through; If-None-Match answers 304 until something changes', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const path = `/customers/${id}`;
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom('a', 'b', 'c') }), async text => {
        const read = await tenant.call('GET', path);
        const etag = read.headers.get('etag')!;
        const same = await tenant.call('GET', path, { headers: { 'if-none-match': etag } });
        expect([same.status, same.text, same.headers.get('etag')]).toEqual([304, '', etag]);

        const notes = `${text} ${crypto.randomUUID()}`;
        const put = (body: object) => tenant.call('PUT', path, { body, headers: { 'if-match': etag } });
        const answers = await Promise.all([put({ notes }), put({ city: notes })]);
        expect(answers.map(answer => answer.status).sort()).toEqual([200, 409]);
        expect(answers.find(answer => answer.status === 409)!.error.code).toBe('CONFLICT');
        const row = await customerRow(tenant, id);
        expect([row.notes === notes, row.city === notes]).toEqual(answers.map(answer => answer.status === 200));
        // stale for every other write of the row too, even one that would change nothing
        for (const [method, rest, body] of [
          ['PUT', '', { notes }],
          ['POST', '/hold', { until: '2999-01-01' }],
          ['POST', '/activate', {}],
        ] as const) {
          const late = await changesNothing(tenant, id, () =>
            tenant.call(method, `${path}${rest}`, { body, headers: { 'if-match': etag } }),
          );
          expect([late.status, late.error.code]).toEqual([409, 'CONFLICT']);
        }
        const fresh = await tenant.call('GET', path, { headers: { 'if-none-match': etag } });
        expect(fresh.status).toBe(200);
      }),
      FEWER_RUNS,
    );
    const odd = await tenant.call('PUT', path, { body: { notes: 'x' }, headers: { 'if-match': '"not-ours"' } });
    expect([odd.status, odd.error.code]).toEqual([409, 'CONFLICT']);
    expect((await tenant.call('PUT', path, { body: { notes: 'x' }, headers: { 'if-match': '*' } })).status).toBe(200);
  });

  test('PATCH is the same as PUT, and unknown fields are refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id, { notes: 'lama', city: 'Malang' });
    const patched = await tenant.call('PATCH', `/customers/${customer.id}`, { body: { notes: 'baru' } });
    expect(patched.data).toMatchObject({ notes: 'baru', city: 'Malang' });
    for (const field of ['status', 'customer_code', 'outstanding_balance', 'deleted_at', 'search_text', 'photo_key']) {
      const answer = await changesNothing(tenant, customer.id, () =>
        tenant.call('PUT', `/customers/${customer.id}`, { body: { [field]: 'active' } }),
      );
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
  });

  test('a promise to pay holds until its day, and one in the past is refused', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const today = dayFromNow(0);
    const day = (days: number) => addDays(today, days);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: -400, max: 400 }), fc.option(fc.constantFrom('janji')), async (days, note) => {
        const hold = () => tenant.call('POST', `/customers/${id}/hold`, { body: { until: day(days), ...(note && { note }) } }); // prettier-ignore
        if (days >= 0) {
          expect((await hold()).data.hold_until).toBe(day(days));
          return;
        }
        const answer = await changesNothing(tenant, id, hold);
        expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, ['until']]);
      }),
      { ...RUNS, examples: [[0, null], [-1, null]] }, // prettier-ignore
    );
    await tenant.post(`/customers/${id}/hold`, { until: '2999-12-31', note: 'gajian tanggal 25' });
    const [held] = await rowsOf(tenant, "SELECT data FROM events WHERE type = 'customer.held' ORDER BY seq DESC");
    expect(JSON.parse(held.data).note).toBe('gajian tanggal 25');
  });
});

describe('phone, fields and custom fields', () => {
  test('phone numbers are kept as typed, and as E.164 by the tenant’s country', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const separator = fc.constantFrom('', ' ', '-', '.');
    const written = fc.record({
      prefix: fc.constantFrom('0', '62', '+62', '0062'),
      digits: fc.stringMatching(/^8[1-9][0-9]{7,9}$/),
      separator,
      every: fc.integer({ min: 2, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(written, fc.boolean(), async ({ prefix, digits, separator, every }, by_put) => {
        const grouped = digits.match(new RegExp(`.{1,${every}}`, 'g'))!.join(separator);
        const phone = `${prefix}${separator}${grouped}`;
        const created = await tenant.addCustomer(plan.id, by_put ? {} : { phone });
        const customer = by_put ? await tenant.put(`/customers/${created.id}`, { phone }) : created;
        expect(customer).toMatchObject({ phone, phone_e164: `+62${digits}` });
        for (const search of [phone, `+62${digits}`]) {
          const found = await tenant.call('GET', '/customers', { query: { search, per_page: 100 } });
          expect(found.data.map((each: { id: string }) => each.id)).toContain(customer.id);
        }
      }),
      RUNS,
    );
    await tenant.put('/settings', { country: 'MY' });
    expect((await tenant.addCustomer(plan.id, { phone: '012-345 6789' })).phone_e164).toBe('+60123456789');
    expect((await tenant.addCustomer(plan.id, { phone: '+62 812 3456' })).phone_e164).toBe('+628123456');
    for (const phone of ['abc', '12', '+', '0812;DROP', '081234567890123456789012345678901'])
      expect((await tenant.call('POST', '/customers', { body: { full_name: 'B', phone, address: 'x', service_plan_id: plan.id } })).status, phone).toBe(400); // prettier-ignore
  });

  test('`fields` gives those columns and no others, on every row', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const customer = await tenant.addCustomer(plan.id, { custom_fields: { blok: 'a' } });
    const columns = Object.keys(customer);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(columns, { minLength: 1 }), async chosen => {
        const { data } = await tenant.call('GET', '/customers', { query: { fields: chosen.join(',') } });
        expect(data).toEqual([Object.fromEntries(chosen.map(column => [column, customer[column]]))]);
      }),
      RUNS,
    );
    for (const fields of ['search_text', 'photo_key', 'deleted_at', 'full_name,', '', '*', 'full_name,password_hash'])
      expect((await tenant.call('GET', '/customers', { query: { fields } })).status, fields).toBe(400);
  });

  test('custom fields filter by key and value, whatever their type', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const value = fc.oneof(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }).filter(text => !/[\p{Cs}\0]/u.test(text)),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map(n => Math.round(n * 100) / 100 || 0),
      fc.boolean(),
      fc.constant(null),
    );
    const model = new Map<string, Record<string, unknown>>();
    const keys = ['blok', 'tiang', 'a', 'x_1'];
    const fields = fc.dictionary(fc.constantFrom(...keys), value, { noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(fields, fields, fc.constantFrom(...keys), fc.nat(), async (first, second, key, pick) => {
        const { id } = await tenant.addCustomer(plan.id, { custom_fields: first });
        model.set(id, first);
        const stored = await tenant.put(`/customers/${id}`, { custom_fields: second });
        expect(stored.custom_fields).toEqual(second);
        model.set(id, second);
        const known = [...model.values()].filter(own => own[key] !== undefined && own[key] !== null);
        const wanted = String(known[pick % Math.max(1, known.length)]?.[key] ?? 'none such');
        const { data, meta } = await tenant.call('GET', '/customers', {
          query: { [`custom_fields.${key}`]: wanted, per_page: 100 },
        });
        const expected = [...model].filter(([, own]) => own[key] !== undefined && own[key] !== null && String(own[key]) === wanted); // prettier-ignore
        expect(data.map((row: { id: string }) => row.id).sort()).toEqual(expected.map(([each]) => each).sort());
        expect(meta.total).toBe(expected.length);
      }),
      RUNS,
    );
  });

  test('custom field names are plain words', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    for (const key of ['Blok', '1a', 'a b', 'a.b', '$', '', '"', 'a'.repeat(41), 'constructor.x']) {
      const answer = await tenant.call('POST', '/customers', {
        body: { full_name: 'B', phone: '081234567', address: 'x', service_plan_id: plan.id, custom_fields: { [key]: 1 } },
      }); // prettier-ignore
      expect(answer.status, key).toBe(400);
    }
    const kept = await tenant.addCustomer(plan.id, { custom_fields: { constructor: 'x', to_string: true, n: null } });
    expect(kept.custom_fields).toEqual({ constructor: 'x', to_string: true, n: null });
  });
});

describe('photos', () => {
  const JPEG = [0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46];
  const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0];
  const WEBP = [...'RIFF'].map(c => c.charCodeAt(0)).concat([9, 0, 0, 0], [...'WEBPVP8 '].map(c => c.charCodeAt(0))); // prettier-ignore
  const KINDS = { 'image/jpeg': JPEG, 'image/png': PNG, 'image/webp': WEBP };

  const upload = (tenant: TestTenant, id: string, files: Record<string, File>, token?: string) => {
    const body = new FormData();
    for (const [name, file] of Object.entries(files)) body.append(name, file);
    return tenant.call('POST', `/customers/${id}/photos`, { body, ...(token && { token }) });
  };
  const file = (bytes: Uint8Array<ArrayBuffer>, name = 'x.bin', type = 'application/octet-stream') => new File([bytes], name, { type }); // prettier-ignore
  const keysOf = async (tenant: TestTenant) => (await env.FILES.list({ prefix: `tenants/${tenant.id}/` })).objects.map(each => each.key); // prettier-ignore

  test('what a picture is, is told by its bytes; it comes back as it was', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const picture = fc.constantFrom(...Object.entries(KINDS)).chain(([type, head]) =>
      fc.record({
        type: fc.constant(type),
        bytes: fc.uint8Array({ maxLength: 200 }).map(tail => new Uint8Array([...head, ...tail])),
        claimed: fc.constantFrom('image/svg+xml', 'text/html', 'image/png', ''),
        name: fc.constantFrom('a.html', '../../x.svg', 'foto.jpg'),
        kind: fc.constantFrom('photo', 'house_photo'),
      }),
    );
    await fc.assert(
      fc.asyncProperty(picture, async ({ type, bytes, claimed, name, kind }) => {
        const answer = await upload(tenant, id, { [kind]: file(bytes, name, claimed) });
        expect(answer.status, answer.text).toBe(201);
        expect(answer.data[`${kind}_url`]).toBe(`/api/v1/customers/${id}/photos/${kind}`);
        const url = new URL(answer.data[`${kind}_url`], 'http://rukun.test');
        const got = await SELF.fetch(url, { headers: { authorization: `Bearer ${tenant.admin.token}` } });
        expect(got.headers.get('content-type')).toBe(type);
        expect(got.headers.get('x-content-type-options')).toBe('nosniff');
        expect(new Uint8Array(await got.arrayBuffer())).toEqual(bytes);
      }),
      RUNS,
    );
    // a newer picture takes the place of the one before
    await expect.poll(async () => (await keysOf(tenant)).length).toBeLessThanOrEqual(2);
  });

  test('a picture that is known already isn’t sent again; another one in its place is', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await tenant.addCustomer((await tenant.addPlan()).id);
    const path = `/customers/${id}/photos/photo`;
    const get = (known: string) => tenant.call('GET', path, { headers: { 'if-none-match': known } });
    expect((await upload(tenant, id, { photo: file(new Uint8Array(PNG)) })).status).toBe(201);
    const first = await tenant.call('GET', path);
    const etag = first.headers.get('etag')!;
    for (const header of ['x-request-id', 'x-d1-bookmark']) expect(first.headers.get(header), header).toBeTruthy();
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const { status, text, headers } = await get(known);
      expect([status, text, headers.get('etag'), headers.get('content-type')], known).toEqual([304, '', etag, null]);
    }
    expect((await get('"other"')).status).toBe(200);
    expect((await upload(tenant, id, { photo: file(new Uint8Array(JPEG)) })).status).toBe(201);
    const changed = await get(etag);
    expect([changed.status, changed.headers.get('content-type')]).toEqual([200, 'image/jpeg']);
    expect(changed.headers.get('etag')).not.toBe(etag);
  });

  test('SVG, HTML and anything else is refused, whatever it says it is', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const text = (content: string) => new TextEncoder().encode(content) as Uint8Array<ArrayBuffer>;
    const starts = Object.values(KINDS);
    const other = fc.oneof(
      fc.constantFrom('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', '<!doctype html><script>alert(1)</script>', 'GIF89a', '%PDF-1.7', 'RIFF....WAVE', '').map(text), // prettier-ignore
      fc
        .uint8Array({ maxLength: 40 })
        .filter(bytes => !starts.some(head => head.slice(0, 3).every((byte, index) => bytes[index] === byte)))
        .map(bytes => new Uint8Array(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(other, fc.constantFrom('image/jpeg', 'image/png', 'image/webp'), async (bytes, claimed) => {
        const answer = await changesNothing(tenant, id, () => upload(tenant, id, { photo: file(bytes, 'x.jpg', claimed) })); // prettier-ignore
        expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, ['photo']]);
      }),
      RUNS,
    );
    // one good and one bad: neither is kept
    const good = file(new Uint8Array(JPEG));
    const mixed = await upload(tenant, id, { photo: good, house_photo: file(text('<svg/>')) });
    expect([mixed.status, Object.keys(mixed.error.details!)]).toEqual([400, ['house_photo']]);
    expect(await keysOf(tenant)).toEqual([]);
    for (const body of [{}, { avatar: good }] as Record<string, File>[])
      expect((await upload(tenant, id, body)).status).toBe(400);
    expect((await tenant.call('POST', `/customers/${id}/photos`, { body: { photo: 'x' } })).status).toBe(415);
  });

  test('more than 5 MiB is refused with 413, exactly 5 MiB is not', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const { id } = await tenant.addCustomer(plan.id);
    const sized = (length: number) => {
      const bytes = new Uint8Array(length);
      bytes.set(JPEG);
      return file(bytes);
    };
    const most = 5 * 1024 * 1024;
    for (const length of [most + 1, 12 * 1024 * 1024]) {
      const answer = await changesNothing(tenant, id, () => upload(tenant, id, { photo: sized(length) }));
      expect([answer.status, answer.error.code]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
    }
    expect((await upload(tenant, id, { photo: sized(most), house_photo: sized(most) })).status).toBe(201);
  });

  test('another tenant can neither read nor replace a picture, nor can a role without the right store one', async () => {
    const [tenant, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const { id } = await tenant.addCustomer((await tenant.addPlan()).id);
    const viewer = await tenant.addUser('viewer');
    const picture = { photo: file(new Uint8Array(PNG)) };
    expect((await upload(tenant, id, picture, viewer.token)).status).toBe(403);
    expect((await upload(tenant, id, picture)).status).toBe(201);
    const path = `/customers/${id}/photos/photo`;
    expect((await tenant.call('GET', path, { token: viewer.token })).status).toBe(200);
    expect((await other.call('GET', path)).status).toBe(404);
    expect((await upload(other, id, picture)).status).toBe(404);
    expect((await tenant.call('GET', path, { token: null, tenant: tenant.slug })).status).toBe(401);
    expect((await tenant.call('GET', `/customers/${id}/photos/house_photo`)).status).toBe(404);
    expect((await tenant.call('GET', `/customers/${id}/photos/passport`)).status).toBe(400);
    expect(await keysOf(other)).toEqual([]);
  });
});

describe('what waits', () => {
  test('a planned plan change is listed, and one that was replaced is not applied', async () => {
    const tenant = await TestTenant.signUp();
    const [now, then, other] = [await tenant.addPlan(), await tenant.addPlan(), await tenant.addPlan()];
    const { id } = await tenant.addCustomer(now.id);
    const later = dayFromNow(5);
    await tenant.post(`/customers/${id}/change-plan`, { service_plan_id: then.id, effective_date: later });
    expect(await tenant.get(`/customers/${id}/plan-changes`)).toMatchObject([
      { to_plan_id: then.id, applied_at: null },
    ]);
    await tenant.post(`/customers/${id}/change-plan`, { service_plan_id: other.id });
    const changes = await tenant.get(`/customers/${id}/plan-changes`);
    expect(changes.map((change: { to_plan_id: string }) => change.to_plan_id)).toEqual([other.id]);
    const past = { service_plan_id: then.id, effective_date: '2020-01-01' };
    const refused = await tenant.call('POST', `/customers/${id}/change-plan`, { body: past });
    expect([refused.status, Object.keys(refused.error.details!)]).toEqual([400, ['effective_date']]);
  });

  test('a planned plan change is taken back: once, with an event, and nothing is applied on its day', async () => {
    const tenant = await TestTenant.signUp();
    const [now, then] = [await tenant.addPlan(), await tenant.addPlan()];
    const { id } = await tenant.addCustomer(now.id);
    const path = `/customers/${id}/change-plan`;
    const none = await tenant.call('DELETE', path);
    expect([none.status, none.error.code]).toEqual([409, 'INVALID_TRANSITION']);
    const { change } = await tenant.post(path, { service_plan_id: then.id, effective_date: '2090-01-01' });
    const answers = await Promise.all([tenant.call('DELETE', path), tenant.call('DELETE', path)]);
    expect(answers.map(answer => answer.status).sort()).toEqual([200, 409]);
    expect(answers.find(answer => answer.status === 200)!.data).toEqual(change);
    await applyDuePlanChanges(await contextAt(tenant, Date.parse('2090-01-02T00:00:00Z'), 'Asia/Jakarta'));
    expect((await tenant.get(`/customers/${id}`)).service_plan_id).toBe(now.id);
    expect(await tenant.get(`/customers/${id}/plan-changes`)).toEqual([]);
    const dropped = await tenant.get(`/customers/${id}/audit-logs`, { sort: '-seq' });
    expect(dropped[0]).toMatchObject({ type: 'customer.plan_change_dropped', user_id: tenant.admin.id });
    // what was done is history
    await tenant.post(path, { service_plan_id: then.id });
    expect((await tenant.call('DELETE', path)).status).toBe(409);
    expect((await tenant.call('DELETE', `/customers/${crypto.randomUUID()}/change-plan`)).status).toBe(404);
  });

  test('the reason that somebody gave is in the history', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await tenant.addCustomer((await tenant.addPlan()).id);
    await tenant.post(`/customers/${id}/activate`);
    await tenant.post(`/customers/${id}/suspend`, { reason: 'Nunggak dua bulan' });
    const [event] = await tenant.get(`/customers/${id}/audit-logs`);
    expect(event).toMatchObject({ type: 'customer.suspended', data: { reason: 'Nunggak dua bulan' } });
    expect(await tenant.post(`/customers/${id}/resume`)).toMatchObject({ status: 'active', suspension_reason: null });
    const overdue = await tenant.post(`/customers/${id}/suspend`, { reason: 'overdue' });
    expect(overdue.suspension_reason).toBe('overdue');
  });

  test('names hold no line breaks, secrets no mask, and a query no more than ten custom fields', async () => {
    const tenant = await TestTenant.signUp();
    const plan = await tenant.addPlan();
    const bad: [string, string][] = [
      ['full_name', 'a\nBcc: x'],
      ['pppoe_username', 'a\tb'],
      ['pppoe_password', '••••••••'],
    ];
    for (const [field, value] of bad) {
      const body = { full_name: 'A', phone: '0812 3456', address: 'x', service_plan_id: plan.id, [field]: value };
      const answer = await tenant.call('POST', '/customers', { body });
      expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
    const query = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`custom_fields.a${index}`, '1']));
    expect((await tenant.call('GET', '/customers', { query })).status).toBe(400);
    expect((await tenant.call('GET', '/customers', { query: { 'custom_fields.A b': '1' } })).status).toBe(400);
  });
});
