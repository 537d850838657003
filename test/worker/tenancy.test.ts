import type { z } from 'zod';
import { env } from 'cloudflare:test';
import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { routes } from '../../src/app.ts';
import { makeAmbient } from '../../src/context.ts';
import { commit, StaleTenant } from '../../src/db/commit.ts';
import { ADMITTED } from '../../src/door/admission.ts';
import { openDatabase } from '../../src/db/session.ts';
import { tenantDatabase } from '../../src/env.ts';
import { API_BASE } from '../../src/http/resource.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import { claimDatabase, settleHalfDoneSignUps } from '../../src/tenancy/pool.ts';
import { silenceHub } from '../support/hub.ts';
import { acceptsOf, CONTENT_TYPE, fillPath, fittingBody, isNamedByPath, isOfBridge, isPublic, nameOf, sampleBatch, sampleBody } from '../support/contract.ts'; // prettier-ignore
import { callWith, dumpDatabase } from '../support/direct.ts';
import { addEntry, type Answer, call, newAddress, PASSWORD, TestBridge, TestTenant } from '../support/world.ts';

// nobody listens
beforeEach(silenceHub);

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const SIGN_UP = {
  slug: 'melati',
  name: 'Melati Net',
  admin_name: 'Ayu',
  admin_email: 'ayu@melati.example',
  admin_password: PASSWORD,
};

const signUp = (fields: object = {}, address = newAddress()) =>
  call('POST', '/tenants', { headers: { 'cf-connecting-ip': address }, body: { ...SIGN_UP, ...fields } });

const shardRows = async () =>
  (await env.DIRECTORY_DB.prepare('SELECT binding, state, tenant_id FROM shards ORDER BY binding').all<any>()).results;
const tenantRows = async () =>
  (await env.DIRECTORY_DB.prepare('SELECT id, slug, status, shard FROM tenants ORDER BY id').all<any>()).results;

/** Every database that is assigned is some tenant's, and the other way round; no two share one. */
async function checkPool() {
  const [shards, tenants] = [await shardRows(), await tenantRows()];
  const assigned = shards.filter(shard => shard.state === 'assigned');
  expect(assigned.map(shard => `${shard.binding} ${shard.tenant_id}`).sort()).toEqual(
    tenants.map(tenant => `${tenant.shard} ${tenant.id}`).sort(),
  );
  expect(shards.filter(shard => shard.state === 'free').every(shard => shard.tenant_id === null)).toBe(true);
}

describe('signing up', () => {
  test('gives a tenant, a database of its own and an admin who can sign in', async () => {
    const answer = await signUp();
    expect(answer.status, answer.text).toBe(201);
    expect(answer.data).toMatchObject({
      slug: 'melati',
      name: 'Melati Net',
      status: 'active',
      timezone: 'Asia/Jakarta',
      currency: 'IDR',
      locale: 'id',
      admin: { email: 'ayu@melati.example', name: 'Ayu', role: 'admin', is_active: true, last_login_at: null },
    });
    expect(answer.text).not.toMatch(/TENANT_DB|shard|password|\$2/);
    const body = { email: 'ayu@melati.example', password: PASSWORD };
    const session = await call('POST', '/auth/login', { tenant: 'melati', body });
    const token = session.data.access_token;
    expect((await call('GET', '/users', { token })).data).toHaveLength(1);
    expect((await call('GET', '/settings', { token })).data).toMatchObject({ business_name: 'Melati Net' });
    const events = (await call('GET', '/audit-logs', { token })).data;
    expect(events.map((event: any) => [event.type, event.actor, event.actor_name])).toEqual([
      ['user.logged_in', 'user', null],
      ['user.created', 'job', 'sign-up'],
    ]);
    await checkPool();
    const platform = await env.DIRECTORY_DB.prepare('SELECT type, tenant_id FROM platform_events ORDER BY seq').all();
    expect(platform.results).toEqual(
      ['tenant.created', 'tenant.activated'].map(type => ({ type, tenant_id: answer.data.id })),
    );
  });

  test('takes the time zone, currency and locale that it is told, and folds the slug', async () => {
    const told = { timezone: 'Asia/Jayapura', currency: 'USD', locale: 'en' };
    const answer = await signUp({ slug: ' MELATI-2 ', ...told });
    expect(answer.data).toMatchObject({ slug: 'melati-2', ...told });
  });

  test('a taken slug is a 409, also of a tenant that is suspended', async () => {
    expect((await signUp()).status).toBe(201);
    for (const slug of ['melati', 'MELATI']) {
      const answer = await signUp({ slug });
      expect([answer.status, answer.error.code, answer.error.details]).toEqual([
        409,
        'DUPLICATE_ENTRY',
        { slug: ['is taken'] },
      ]);
    }
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'suspended'").run();
    expect((await signUp()).status).toBe(409);
    await checkPool();
  });

  test('a reserved slug is a 409', async () => {
    for (const slug of ['www', 'api', 'app', 'admin', 'ADMIN']) {
      const answer = await signUp({ slug });
      expect([answer.status, answer.error.code], slug).toEqual([409, 'DUPLICATE_ENTRY']);
    }
    expect((await signUp({ slug: 'www2' })).status).toBe(201);
    expect(await tenantRows()).toHaveLength(1);
  });

  test('a bad field is a 400 that names it, and nothing is claimed', async () => {
    const bad: [string, unknown][] = [
      ...['ab', '-abc', 'abc-', 'a_b', 'a.b', 'a'.repeat(64), 'mélati', 'a b c', '', '0193a2b4-melati'].map(
        (slug): [string, unknown] => ['slug', slug],
      ),
      ['name', ''],
      ['admin_name', '\u0000'],
      ['admin_email', 'ayu'],
      ['timezone', 'Asia/Atlantis'],
      ['currency', 'rupiah'],
      ['locale', 'fr'],
      ...['pendek-9c', 'x'.repeat(201), 'password123', 'Rahasia123', 'AYU@melati.example', 'zzzzzzzzzz', null].map(
        (password): [string, unknown] => ['admin_password', password],
      ),
      ...Object.keys(SIGN_UP).map((field): [string, unknown] => [field, undefined]),
      ['no_such_field', 1],
    ];
    for (const [field, value] of bad) {
      const answer = await signUp({ [field]: value });
      expect([answer.status, Object.keys(answer.error.details!)], `${field} ${value}`).toEqual([400, [field]]);
    }
    expect((await signUp({ admin_email: 'katasandiku1@melati.example', admin_password: 'katasandiku1' })).status).toBe(
      400,
    );
  });

  test('an empty pool is a 503 POOL_EMPTY, and a taken slug still a 409', async () => {
    for (let i = 0; i < 6; i++) expect((await signUp({ slug: `isp-nomor-${i}` })).status).toBe(201);
    const answer = await signUp({ slug: 'isp-nomor-7' });
    expect([answer.status, answer.error.code]).toEqual([503, 'POOL_EMPTY']);
    expect((await signUp({ slug: 'isp-nomor-3' })).status).toBe(409);
    expect(await tenantRows()).toHaveLength(6);
    await checkPool();
  });

  test('can be closed: then it is a 403, and nothing is counted or claimed', async () => {
    const address = newAddress();
    for (let i = 0; i < 7; i++) {
      const headers = { 'cf-connecting-ip': address };
      const answer = await callWith({ SIGNUP: 'closed' }, 'POST', '/api/v1/tenants', { headers, body: SIGN_UP });
      expect([answer.status, answer.error.code]).toEqual([403, 'FORBIDDEN']);
    }
    expect((await signUp({}, address)).status).toBe(201);
  });

  test('two with the same slug at once: one 201, one 409, and no database is lost', async () => {
    for (let round = 0; round < 3; round++) {
      const slug = `kembar-${round}`;
      const answers = await Promise.all([signUp({ slug }), signUp({ slug })]);
      expect(answers.map(answer => answer.status).sort()).toEqual([201, 409]);
      await checkPool();
    }
    expect(await tenantRows()).toHaveLength(3);
    expect((await shardRows()).filter(shard => shard.state === 'free')).toHaveLength(3);
  });

  test('ten at once share out the six databases there are', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => signUp({ slug: `ramai-${i}` })));
    expect(answers.map(answer => answer.status).sort()).toEqual([...Array(6).fill(201), ...Array(4).fill(503)]);
    await checkPool();
    const made = answers.filter(answer => answer.status === 201).map(answer => answer.data.slug);
    for (const slug of made) {
      const body = { email: SIGN_UP.admin_email, password: PASSWORD };
      expect((await call('POST', '/auth/login', { tenant: slug, body })).status).toBe(200);
    }
  });
});

describe('the limit of sign-ups', () => {
  /** Counted, and then refused for its slug: the limit shows without a database being spent. */
  const knock = (address: string) => signUp({ slug: 'www' }, address);
  const HOUR = 3_600_000;

  test('P50 of 20 at once from one address exactly 5 get in; the others are told when to come again', async () => {
    const address = newAddress();
    vi.spyOn(Date, 'now').mockReturnValue(Date.now());
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => signUp({ slug: `serbu-${i}` }, address)));
    expect(answers.filter(answer => answer.status === 201)).toHaveLength(5);
    const refused = answers.filter(answer => answer.status === 429);
    expect(refused).toHaveLength(15);
    for (const { headers, error } of refused) {
      expect(error.code).toBe('RATE_LIMIT');
      const wait_s = Number(headers.get('retry-after'));
      expect(wait_s).toBe(3600);
      expect(headers.get('ratelimit')).toContain(`"sign-up";r=0;t=${wait_s}`);
      expect(headers.get('ratelimit-policy')).toContain('"sign-up";q=5;w=3600');
    }
    expect((await knock(newAddress())).status).toBe(409);
    await checkPool();
  });

  test('P50 sign-ups from one address: at most 5 in any hour, whenever they come', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    let start = Date.now();
    const waits = fc.array(
      fc.oneof(
        { weight: 1, arbitrary: fc.nat({ max: 20 * 60_000 }) },
        { weight: 3, arbitrary: fc.constantFrom(0, 0, 0, 1, HOUR / 5, HOUR - 2, HOUR - 1, HOUR) },
      ),
      { minLength: 7, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(waits, async list => {
        const address = newAddress();
        const admitted: number[] = [];
        let now = (start += 1000);
        for (const wait of list) {
          vi.setSystemTime((now += wait));
          const within = admitted.filter(at => at > now - HOUR);
          const answer = await knock(address);
          expect(answer.status).toBe(within.length < 5 ? 409 : 429);
          if (answer.status === 409) admitted.push(now);
          else expect(answer.headers.get('retry-after')).toBe(String(Math.ceil((within[0]! + HOUR - now) / 1000)));
        }
      }),
      { numRuns: 100 },
    );
  });

  test('a request that doesn’t fit is not counted', async () => {
    const address = newAddress();
    for (let i = 0; i < 8; i++) expect((await signUp({ admin_email: 'ayu' }, address)).status).toBe(400);
    expect((await signUp({}, address)).status).toBe(201);
  });

  test('P50 whoever holds an IPv6 network holds one address of it', async () => {
    const from = (address: string, at: number) => signUp({ slug: `enam-${at}` }, address);
    const same = [
      '2001:db8:1:2::1',
      '2001:db8:1:2::ffff',
      '2001:DB8:1:2:3:4:5:6',
      '2001:0db8:0001:0002::9',
      '2001:db8:1:2:a::',
    ];
    for (const [at, address] of same.entries()) expect((await from(address, at)).status, address).toBe(201);
    expect((await from('2001:db8:1:2::77', 6)).status).toBe(429);
    expect((await from('2001:db8:1:3::1', 7)).status).toBe(201);
  });

  test('who hides an address shares one log with all who do', async () => {
    const ask = () => callWith({}, 'POST', '/api/v1/tenants', { body: { ...SIGN_UP, slug: 'www' } });
    const statuses = [];
    for (let i = 0; i < 7; i++) statuses.push((await ask()).status);
    expect(statuses).toEqual([409, 409, 409, 409, 409, 429, 429]);
  });
});

describe('which tenant', () => {
  test('subdomain, X-Tenant-ID by id or slug and the token’s claim all agree, or it is a 403', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const hosts = { none: undefined, own: `${one.slug}.rukun.test`, other: `${other.slug}.rukun.test` };
    const headers = {
      none: null,
      id: one.id,
      slug: one.slug,
      upper: one.slug.toUpperCase(),
      other: other.id,
      others: other.slug,
    };
    for (const [host_name, host] of Object.entries(hosts))
      for (const [header_name, tenant] of Object.entries(headers)) {
        const answer = await call('GET', '/auth/me', { token: one.admin.token, host, tenant });
        const agree = host_name !== 'other' && !header_name.startsWith('other');
        expect([answer.status, answer.error?.code], `${host_name} ${header_name}`).toEqual(
          agree ? [200, undefined] : [403, 'TENANT_MISMATCH'],
        );
      }
  });

  test('sign-in takes the subdomain or X-Tenant-ID, and refuses what disagrees', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const body = { email: `ayu@${one.slug}.example`, password: PASSWORD };
    const ask = (options: object) => call('POST', '/auth/login', { body, ...options });
    for (const tenant of [one.id, one.slug, one.id.toUpperCase()]) expect((await ask({ tenant })).status).toBe(200);
    const host = `${one.slug}.rukun.test`;
    expect((await ask({ host })).status).toBe(200);
    expect((await ask({ host, tenant: one.id })).status).toBe(200);
    const mixed = await ask({ host, tenant: other.slug });
    expect([mixed.status, mixed.error.code]).toEqual([403, 'TENANT_MISMATCH']);
    expect((await ask({ host: `${other.slug}.rukun.test` })).status).toBe(401);
    // a token that is sent along speaks for nobody here
    expect((await ask({ tenant: one.slug, token: other.admin.token })).status).toBe(200);
  });

  test('hosts that are no tenant’s subdomain name none', async () => {
    const tenant = await TestTenant.signUp();
    for (const host of [
      'rukun.test',
      'www.rukun.test',
      'api.rukun.test',
      `a.${tenant.slug}.rukun.test`,
      'elsewhere.test',
    ])
      expect((await call('GET', '/auth/me', { token: tenant.admin.token, host })).status, host).toBe(200);
    const strange = await call('GET', '/auth/me', { token: tenant.admin.token, host: 'tidak-ada.rukun.test' });
    expect([strange.status, strange.error.code]).toEqual([403, 'TENANT_MISMATCH']);
  });

  test('a refresh token names its tenant, and refuses another one’s header', async () => {
    const [one, other] = [await TestTenant.signUp(), await TestTenant.signUp()];
    const body = { email: `ayu@${one.slug}.example`, password: PASSWORD };
    const { refresh_token } = (await call('POST', '/auth/login', { tenant: one.slug, body })).data;
    const wrong = await call('POST', '/auth/refresh', { tenant: other.slug, body: { refresh_token } });
    expect([wrong.status, wrong.error.code]).toEqual([403, 'TENANT_MISMATCH']);
    expect((await call('POST', '/auth/refresh', { tenant: one.slug, body: { refresh_token } })).status).toBe(200);
  });

  test.each(['provisioning', 'suspended', 'pending_deletion'])(
    'a tenant that is %s is a 403 TENANT_SUSPENDED',
    async status => {
      const tenant = await TestTenant.signUp();
      const email = `ayu@${tenant.slug}.example`;
      const session = await call('POST', '/auth/login', { tenant: tenant.slug, body: { email, password: PASSWORD } });
      await env.DIRECTORY_DB.prepare('UPDATE tenants SET status = ?').bind(status).run();
      forgetTenants();
      const answers = [
        await tenant.call('GET', '/customers'),
        await tenant.call('POST', '/zones', { body: { name: 'Utara' } }),
        await call('POST', '/auth/login', { tenant: tenant.slug, body: { email, password: PASSWORD } }),
        await call('POST', '/auth/refresh', { body: { refresh_token: session.data.refresh_token } }),
      ];
      expect(answers.map(each => [each.status, each.error?.code])).toEqual(Array(4).fill([403, 'TENANT_SUSPENDED']));
      await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'active'").run();
      forgetTenants();
      expect((await tenant.call('GET', '/customers')).status).toBe(200);
    },
  );

  test('a deleted tenant is no tenant', async () => {
    const tenant = await TestTenant.signUp();
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'deleted', shard = NULL").run();
    forgetTenants();
    expect((await tenant.call('GET', '/customers')).status).toBe(401);
    const body = { email: 'a@b.example', password: PASSWORD };
    expect((await call('POST', '/auth/login', { tenant: tenant.slug, body })).status).toBe(404);
  });
});

describe('the database’s bookmark', () => {
  test('comes with what was read or written, and what is read next with it is no older', async () => {
    const tenant = await TestTenant.signUp();
    const { shard } = (await tenantRows()).find(row => row.id === tenant.id);
    const database = await tenant.database();
    const starts: (string | undefined)[] = [];
    const withSession = (start?: string) => {
      starts.push(start);
      return database.withSession(start);
    };
    const settings = { [shard]: { withSession, prepare: database.prepare.bind(database) } };
    const ask = async (method: string, path: string, bookmark?: string, body?: unknown) => {
      const headers = bookmark === undefined ? undefined : { 'x-d1-bookmark': bookmark };
      const answer = await callWith(settings, method, `/api/v1${path}`, { token: tenant.admin.token, headers, body });
      expect(answer.status, answer.text).toBeLessThan(300);
      return { bookmark: answer.headers.get('x-d1-bookmark'), start: starts.at(-1), data: answer.data };
    };
    const written = await ask('POST', '/zones', undefined, { name: 'Utara' });
    expect(written).toMatchObject({ start: 'first-primary', bookmark: expect.stringMatching(/^[\w-]+$/) });
    const read = await ask('GET', '/zones', written.bookmark!);
    expect(read).toMatchObject({ start: written.bookmark, bookmark: expect.stringMatching(/^[\w-]+$/) });
    expect(read.data).toHaveLength(1);
    expect((await ask('GET', '/zones')).start).toBe('first-unconstrained');
    expect((await ask('GET', '/zones', 'first-primary')).start).toBe('first-primary');
    expect((await ask('GET', '/zones', 'not a bookmark')).start).toBe('first-unconstrained');
    // who writes decides on the newest, whatever it has seen
    expect((await ask('POST', '/zones', written.bookmark!, { name: 'Timur' })).start).toBe('first-primary');
    expect(starts).toHaveLength(6);
  });
});

describe('nothing of another tenant', () => {
  /** A tenant whose every row carries its mark, and every id that it has. */
  async function makeMarked(index: number) {
    const tenant = await TestTenant.signUp();
    const mark = `TANDA${'ABC'[index]}${crypto.randomUUID().slice(0, 8)}`;
    await tenant.put('/settings', { business_name: `Usaha ${mark}`, address: `Jl. ${mark}` });
    const bridge = await TestBridge.enrol(tenant, `Jembatan ${mark}`);
    const router = await tenant.post('/routers', {
      name: `Router ${mark}`,
      host: '10.0.0.1',
      username: mark,
      password: mark,
      bridge_id: bridge.id,
    });
    const plan = await tenant.addPlan({ name: `Paket ${mark}` });
    const zone = await tenant.post('/zones', { name: `Zona ${mark}` });
    const customer = await tenant.addCustomer(plan.id, {
      full_name: `Budi ${mark}`,
      zone_id: zone.id,
      pppoe_username: `budi-${mark}`,
      notes: mark,
      custom_fields: { tanda: mark },
    });
    await tenant.post(`/customers/${customer.id}/suspend`, {}).catch(() => null);
    const pool = await tenant.post('/ip-pools', { router_id: router.id, name: mark, ranges: '10.9.0.0/24' });
    const device = await tenant.post('/devices', {
      device_name: mark,
      device_type: 'olt',
      ip_address: '10.0.0.9',
      bridge_id: bridge.id,
      username: mark,
      password: mark,
    });
    const alert_id = crypto.randomUUID();
    await (
      await tenant.database()
    )
      .prepare(
        `INSERT INTO alerts (id, type, severity, entity_type, entity_id, message, status, opened_at, created_at, updated_at)
        VALUES (?1, 'low_stock', 'info', 'device', ?2, ?3, 'open', ?4, ?4, ?4)`,
      )
      .bind(alert_id, device.id, mark, Date.now())
      .run();
    const users = [tenant.admin];
    for (const role of ['operator', 'technician', 'viewer'] as const) users.push(await tenant.addUser(role));
    await tenant.put('/settings', { business_name: mark, payment_instructions: mark });
    await tenant.put(`/users/${users[1]!.id}`, { name: `Siti ${mark}` });
    const imported = await tenant.call('POST', '/imports/file', {
      query: { dry_run: true },
      headers: { 'content-type': 'text/plain' },
      body: `/ppp secret\nadd name=${mark} password=${mark} profile=default service=pppoe\n`,
    });
    await tenant.post(`/customers/${customer.id}/activate`, { date: '2026-01-01' });
    const invoice = await tenant.post('/invoices', { customer_id: customer.id, period: '2026-02', discount: 1, discount_reason: mark }); // prettier-ignore
    const payment = await tenant.post('/payments', { customer_id: customer.id, amount: 5, payment_date: '2026-02-01', notes: mark, reference_number: mark }); // prettier-ignore
    const [receipt] = await tenant.get('/receipts');
    const ids: Record<string, string> = {
      bridges: bridge.id,
      invoices: invoice.id,
      payments: payment.id,
      receipts: receipt.id,
      routers: router.id,
      'service-plans': plan.id,
      zones: zone.id,
      customers: customer.id,
      users: users[1]!.id,
      jobs: imported.data.id,
      imports: imported.data.import_id,
      'ip-pools': pool.id,
      devices: device.id,
      monitoring: alert_id,
      provisioning: await addEntry(tenant, router.id, `${mark}-entri`),
      isolir: tenant.id,
    };
    return { tenant, bridge, mark, users, ids };
  }

  type Marked = Awaited<ReturnType<typeof makeMarked>>;
  const asked = routes.filter(route => route.endpoint.definition.needs !== 'platform');
  const REFERENCES = ['zone_id', 'router_id', 'service_plan_id', 'bridge_id', 'customer_id', 'parent_device_id'] as const; // prettier-ignore
  const RESOURCE_OF = {
    zone_id: 'zones',
    router_id: 'routers',
    service_plan_id: 'service-plans',
    bridge_id: 'bridges',
    customer_id: 'customers',
    parent_device_id: 'devices',
  };

  const asking = fc
    .record({
      route: fc.constantFrom(...asked.map(nameOf)),
      user: fc.nat({ max: 3 }),
      /** Whose user, whose id in the path, whose name in header and host, whose ids in the body and the query. */
      of: fc.nat({ max: 2 }),
      id: fc.nat({ max: 2 }),
      header: fc.option(fc.tuple(fc.nat({ max: 2 }), fc.boolean())),
      host: fc.option(fc.nat({ max: 2 })),
      reference: fc.option(fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(...REFERENCES))),
      search: fc.option(fc.constantFrom('TANDA', 'a', 'Budi')),
      has_token: fc.integer({ min: 0, max: 9 }).map(number => number > 0),
      is_agreed: fc.boolean(),
    })
    // half of them name one tenant throughout, or nearly all would end at the door
    .map(wish =>
      wish.is_agreed
        ? {
            ...wish,
            id: wish.of,
            header: wish.header && ([wish.of, wish.header[1]] as [number, boolean]),
            host: wish.host === null ? null : wish.of,
          }
        : wish,
    );

  async function ask(worlds: Marked[], wish: typeof asking extends fc.Arbitrary<infer T> ? T : never): Promise<Answer> {
    const route = asked.find(each => nameOf(each) === wish.route)!;
    const of = worlds[wish.of]!;
    const resource = route.path.slice(API_BASE.length).split('/')[1]!;
    const path = fillPath(route.path, worlds[wish.id]!.ids[resource]).slice(API_BASE.length);
    const named = wish.header && worlds[wish.header[0]]!.tenant;
    let body: unknown = fittingBody(route);
    if (body && acceptsOf(route) === 'json') {
      const [whose, field] = wish.reference ?? [null, null];
      const id = field && worlds[whose]!.ids[RESOURCE_OF[field]];
      const takes = field !== null && field in ((route.endpoint.definition.body as z.ZodObject).shape ?? {});
      body = { ...sampleBody(route), ...(takes && { [field]: id }) };
      // what a bridge measured: of whosever router and device
      if (isOfBridge(route)) {
        const { routers: router_id, devices: device_id } = worlds[whose ?? wish.of]!.ids;
        body = {
          ...(body as object),
          batch: { ...sampleBatch({ router_id, device_id }), spool_id: crypto.randomUUID() },
        };
      }
    }
    const shape = (route.endpoint.definition.query as z.ZodObject | undefined)?.shape ?? {};
    // a job would go on when the next is asked
    const query: Record<string, string> = 'dry_run' in shape ? { dry_run: 'true' } : {};
    if (wish.search && 'search' in shape) query.search = wish.search;
    if (wish.reference && wish.reference[1] in shape)
      query[wish.reference[1]] = worlds[wish.reference[0]]!.ids[RESOURCE_OF[wish.reference[1]]]!;
    const is_form = acceptsOf(route) === 'multipart';
    if (isOfBridge(route)) body = JSON.stringify(body);
    // a bridge signs for the tenant that it is of, and whoever passes it on may name another
    const signed = wish.has_token && isOfBridge(route) ? await of.bridge.sign(body as string) : {};
    const answer = await call(route.method.toUpperCase(), path, {
      token: wish.has_token || isPublic(route) ? of.users[wish.user]!.token : null,
      tenant: named && (wish.header![1] ? named.id : named.slug),
      host: wish.host === null ? undefined : `${worlds[wish.host]!.tenant.slug}.rukun.test`,
      query,
      body,
      headers: {
        'idempotency-key': crypto.randomUUID(),
        ...signed,
        ...(body && !is_form ? { 'content-type': CONTENT_TYPE[acceptsOf(route)] } : {}),
      },
    });
    // a job would go on when the next is asked
    if (path === '/billing/run' && answer.status === 202)
      await expect.poll(async () => (await of.tenant.get(`/jobs/${answer.data.id}`)).status).toBe('completed');
    return answer;
  }

  /** What requests write; a router that is told of an earlier request's change may answer (or not) during a later one. */
  async function dumpAsked(d1: D1Database) {
    const { events, alerts, devices, provisioning: _, routers: _r, bridges: _b, counters: _c, ...tables } = await dumpDatabase(d1); // prettier-ignore
    const by_people = (alerts as { type: string }[]).filter(alert => !alert.type.endsWith('_offline'));
    const managed = (devices as { status: string; status_at: string | null }[]).map(
      ({ status: _s, status_at: _at, ...device }) => device,
    );
    const asked_for = (events as { actor: string }[]).filter(event => event.actor === 'user');
    return { ...tables, alerts: by_people, devices: managed, events: asked_for };
  }

  /** Admins who read what is theirs. */
  const answerable = asked
    .filter(
      ({ method, path, endpoint }) => method === 'get' && path.endsWith('s') && 'list' in endpoint.definition.returns,
    )
    .slice(0, 6)
    .map(route => ({
      ...{ route: nameOf(route), user: 0, of: 0, id: 0, header: null, host: null, reference: null, search: null },
      ...{ has_token: true, is_agreed: true },
    }))
    .map(wish => [wish] as [typeof wish]);

  test('P01 whatever a user asks, with whatever header, subdomain, id or token, no row of another tenant comes or changes', async () => {
    const worlds = [await makeMarked(0), await makeMarked(1), await makeMarked(2)];
    const databases = await Promise.all(worlds.map(({ tenant }) => tenant.database()));
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(asking, async wish => {
        const before = await Promise.all(databases.map(dumpAsked));
        const answer = await ask(worlds, wish);
        const after = await Promise.all(databases.map(dumpAsked));
        const text = answer.text + JSON.stringify([...answer.headers]);
        const route = asked.find(each => nameOf(each) === wish.route)!;
        const named = isNamedByPath(route) ? wish.id : (wish.header?.[0] ?? wish.host);
        for (const [index, world] of worlds.entries()) {
          // public routes speak for the tenant that they name; all others for the token's
          const is_own = index === (isPublic(route) ? named : wish.of);
          if (is_own) continue;
          expect(text).not.toContain(world.mark);
          expect(after[index]).toEqual(before[index]);
        }
        if (answer.status < 300) answered += 1;
      }),
      { numRuns: 150, examples: answerable },
    );
    // most wishes disagree with themselves
    expect(answered).toBeGreaterThanOrEqual(answerable.length);
  });

  test('P01 a row of another tenant looks as one that isn’t there', async () => {
    const worlds = [await makeMarked(0), await makeMarked(1)];
    const { tenant } = worlds[0]!;
    for (const route of asked.filter(each => each.path.includes(':id'))) {
      const resource = route.path.slice(API_BASE.length).split('/')[1]!;
      const body = fittingBody(route);
      const type = CONTENT_TYPE[acceptsOf(route)];
      const send = (id: string) =>
        tenant.call(route.method.toUpperCase(), fillPath(route.path, id).slice(API_BASE.length), {
          body: body,
          headers: {
            // who asks for so many ids that there aren't is blocked there
            'cf-connecting-ip': newAddress(),
            'idempotency-key': crypto.randomUUID(),
            ...(body && !(body instanceof FormData) && { 'content-type': type }),
          },
        });
      const [theirs, nobodys] = [await send(worlds[1]!.ids[resource]!), await send(crypto.randomUUID())];
      const told = ({ status, error }: Answer) => [status, error?.code, error?.message, error?.details];
      expect(told(theirs), nameOf(route)).toEqual(told(nobodys));
      expect(theirs.status, nameOf(route)).toBe(404);
    }
  });

  test('P13 P01 a reference to another tenant’s row is refused as one to nothing', async () => {
    const [one, other] = [await makeMarked(0), await makeMarked(1)];
    for (const field of ['zone_id', 'router_id', 'service_plan_id'] as const) {
      const foreign = other.ids[RESOURCE_OF[field]];
      const created = await one.tenant.call('POST', '/customers', {
        body: {
          full_name: 'Budi',
          phone: '0812-3456-7890',
          address: 'Jl. Melati',
          service_plan_id: one.ids['service-plans'],
          [field]: foreign,
        },
      });
      const changed = await one.tenant.call('PUT', `/customers/${one.ids.customers}`, { body: { [field]: foreign } });
      for (const answer of [created, changed])
        expect([answer.status, Object.keys(answer.error.details!)]).toEqual([400, [field]]);
    }
    const POOL = { router_id: one.ids.routers, name: 'rumah', ranges: '10.8.0.0/24' };
    const DEVICE = { device_name: 'ONU', device_type: 'onu' };
    const asked_with: [string, string, string, object][] = [
      ['POST', '/ip-pools', 'router_id', POOL],
      ['PUT', `/ip-pools/${one.ids['ip-pools']}`, 'router_id', {}],
      ['POST', '/imports', 'router_id', { kind: 'pools' }],
      ['PUT', `/routers/${one.ids.routers}`, 'bridge_id', {}],
      ...(['bridge_id', 'customer_id', 'parent_device_id'] as const).flatMap(
        (field): [string, string, string, object][] => [
          ['POST', '/devices', field, DEVICE],
          ['PUT', `/devices/${one.ids.devices}`, field, {}],
        ],
      ),
    ];
    for (const [method, path, field, body] of asked_with) {
      const refusals: unknown[] = [];
      for (const id of [other.ids[RESOURCE_OF[field as keyof typeof RESOURCE_OF]], crypto.randomUUID()]) {
        const answer = await one.tenant.call(method, path, { body: { ...body, [field]: id } });
        expect([answer.status, Object.keys(answer.error?.details ?? {})], `${method} ${path}`).toEqual([400, [field]]);
        refusals.push([answer.error.message, answer.error.details]);
      }
      expect(refusals[0]).toEqual(refusals[1]);
    }
    // and of what a bridge measured, another tenant's router and device are none of its own
    const database = await other.tenant.database();
    const before = await dumpDatabase(database);
    const { routers: router_id, devices: device_id } = other.ids;
    const answer = await one.bridge.report({ batch: sampleBatch({ router_id, device_id }) });
    expect([answer.status, answer.data.batch_taken]).toEqual([200, true]);
    expect(answer.text).not.toContain(other.mark);
    for (const id of Object.values(other.ids)) expect(answer.text).not.toContain(id);
    expect(await dumpDatabase(database)).toEqual(before);
    const own = await (await one.tenant.database()).prepare('SELECT count(*) AS n FROM line_measurements').first('n');
    expect(own).toBe(0);
  });
});

describe('sign-ups that stopped halfway', () => {
  const settle = (ahead_ms = 0) => {
    const ambient = makeAmbient(env, { waitUntil: () => {} });
    return settleHalfDoneSignUps({ ...ambient, now: ambient.now + ahead_ms });
  };
  const SIX_MINUTES = 6 * 60_000;

  test('are finished when the database holds its admin', async () => {
    const tenant = await TestTenant.signUp();
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'provisioning', schema_version = 0").run();
    forgetTenants();
    await settle(SIX_MINUTES);
    expect(await tenantRows()).toMatchObject([{ id: tenant.id, status: 'active' }]);
    expect((await tenant.call('GET', '/users')).data).toHaveLength(1);
    await checkPool();
  });

  test('give their database and their slug back when it does not', async () => {
    const kept = await TestTenant.signUp();
    // dies between claiming and seeding
    const told = vi.spyOn(console, 'error').mockImplementation(() => {});
    const settings = { PASSWORD_COST: '4', TENANT_DB_0002: undefined };
    const answer = await callWith(settings as never, 'POST', '/api/v1/tenants', {
      headers: { 'cf-connecting-ip': newAddress() },
      body: SIGN_UP,
    });
    expect([answer.status, answer.error.code]).toEqual([500, 'INTERNAL_ERROR']);
    expect(answer.text).not.toMatch(/TENANT_DB|bound/);
    expect(told).toHaveBeenCalledOnce();
    const [half] = (await tenantRows()).filter(row => row.slug === 'melati');
    expect(half).toMatchObject({ status: 'provisioning', shard: 'TENANT_DB_0002' });
    expect((await signUp()).status).toBe(409);
    await settle(SIX_MINUTES);
    expect((await tenantRows()).map(row => row.slug)).toEqual([kept.slug]);
    await checkPool();
    expect((await signUp()).status).toBe(201);
    expect((await tenantRows()).find(row => row.slug === 'melati')!.shard).toBe('TENANT_DB_0002');
    await checkPool();
  });

  test('that wake up after they lost their database can’t write into it, nor into its next holder’s', async () => {
    const ambient = makeAmbient(env, { waitUntil: () => {} });
    const wanted = { slug: 'lambat', name: 'Lambat', timezone: 'Asia/Jakarta', currency: 'IDR', locale: 'id' };
    const stalled = await claimDatabase(ambient, wanted);
    await settleHalfDoneSignUps({ ...ambient, now: ambient.now + SIX_MINUTES });
    const db = openDatabase(tenantDatabase(env, stalled.shard!), 'first-primary');
    const late = {
      ...ambient,
      tenant: stalled,
      db,
      actor: { kind: 'job' as const, name: 'sign-up' },
      admission: ADMITTED,
      if_match: null,
      idempotency: null,
    };
    const seed = () => commit(late, [db.orm.run(sql`DELETE FROM settings`)]);
    await expect(seed()).rejects.toBeInstanceOf(StaleTenant);
    const next = await TestTenant.signUp();
    expect((await tenantRows())[0]!.shard).toBe(stalled.shard);
    await expect(seed()).rejects.toBeInstanceOf(StaleTenant);
    expect((await next.call('GET', '/settings')).status).toBe(200);
    await checkPool();
  });

  test('are left alone while they may still be under way, and settled tenants always', async () => {
    await TestTenant.signUp();
    await TestTenant.signUp({ slug: 'setengah' });
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'provisioning' WHERE slug = 'setengah'").run();
    const before = await dumpDatabase(env.DIRECTORY_DB);
    await settle();
    expect(await dumpDatabase(env.DIRECTORY_DB)).toEqual(before);
    await settle(SIX_MINUTES);
    const settled = await dumpDatabase(env.DIRECTORY_DB);
    await settle(SIX_MINUTES);
    expect(await dumpDatabase(env.DIRECTORY_DB)).toEqual(settled);
  });
});

describe('the epoch of a tenant’s database', () => {
  const raiseDirectory = (epoch: number) => env.DIRECTORY_DB.prepare('UPDATE tenants SET epoch = ?').bind(epoch).run();
  const raiseDatabase = async (tenant: TestTenant, epoch: number) =>
    (await tenant.database()).prepare('UPDATE tenant_state SET epoch = ?').bind(epoch).run();

  test('when both are raised, a request that holds the cached row is tried again and succeeds', async () => {
    const tenant = await TestTenant.signUp();
    await tenant.get('/zones');
    await raiseDatabase(tenant, 7);
    await raiseDirectory(7);
    const zone = await tenant.post('/zones', { name: 'Utara' });
    expect(await tenant.get('/zones')).toEqual([zone]);
    const events = await tenant.get('/audit-logs', { entity_id: zone.id });
    expect(events).toHaveLength(1);
    await raiseDatabase(tenant, 8);
    await raiseDirectory(8);
    const body = { email: `ayu@${tenant.slug}.example`, password: PASSWORD };
    expect((await call('POST', '/auth/login', { tenant: tenant.slug, body })).status).toBe(200);
  });

  test('when the tenant moved to another database, the write lands there and not in the old one', async () => {
    const tenant = await TestTenant.signUp();
    await tenant.get('/zones');
    const old = await tenant.database();
    // what a restore does: the same rows in a free database, the old one fenced, the directory switched over
    const moved = await TestTenant.signUp();
    const fresh = await moved.database();
    await fresh.batch([
      fresh.prepare('UPDATE users SET id = ?, email = ?').bind(tenant.admin.id, `ayu@${tenant.slug}.example`),
      fresh.prepare('UPDATE tenant_state SET epoch = 2'),
    ]);
    await old.prepare('UPDATE tenant_state SET epoch = 2').run();
    await env.DIRECTORY_DB.batch([
      env.DIRECTORY_DB.prepare('UPDATE tenants SET shard = NULL WHERE id = ?').bind(moved.id),
      env.DIRECTORY_DB.prepare("UPDATE tenants SET shard = 'TENANT_DB_0002', epoch = 2 WHERE id = ?").bind(tenant.id),
    ]);
    await tenant.post('/zones', { name: 'Utara' });
    const count = (d1: D1Database) => d1.prepare('SELECT count(*) AS n FROM zones').first('n');
    expect([await count(old), await count(fresh)]).toEqual([0, 1]);
  });

  test('when they stay apart, no write is stored and the caller is told to try again', async () => {
    const tenant = await TestTenant.signUp();
    const zone = await tenant.post('/zones', { name: 'Utara' });
    const plan = await tenant.addPlan();
    await raiseDatabase(tenant, 7);
    const before = await dumpDatabase(await tenant.database());
    const answers = [
      await tenant.call('POST', '/zones', { body: { name: 'Selatan' } }),
      await tenant.call('PUT', `/zones/${zone.id}`, { body: { name: 'Selatan' } }),
      await tenant.call('DELETE', `/zones/${zone.id}`),
      await tenant.call('POST', `/service-plans/${plan.id}/toggle`),
      await call('POST', '/auth/login', {
        tenant: tenant.slug,
        body: { email: `ayu@${tenant.slug}.example`, password: PASSWORD },
      }),
    ];
    expect(answers.map(each => [each.status, each.error?.code])).toEqual(Array(5).fill([409, 'CONFLICT']));
    expect(await dumpDatabase(await tenant.database())).toEqual(before);
  });
});
