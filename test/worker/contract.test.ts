import { env, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ZodObject } from 'zod';
import { routes } from '../../src/app.ts';
import { PERMISSIONS, ROLES, roleMay, type Permission } from '../../src/auth/permissions.ts';
import { API_BASE, type Route } from '../../src/http/resource.ts';
import { REPORT_PATH, TENANT_HEADER } from '../../src/protocol/messages.ts';
import { MOST_SKEW_MS, NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER } from '../../src/protocol/signature.ts';
import {
  acceptsOf,
  Asker,
  CONTENT_TYPE,
  documentPath,
  type Field,
  fieldsOf,
  fillPath,
  fittingBody,
  isLive,
  isOfBridge,
  isPublic,
  isRefused,
  isUnderRouters,
  mostBytes,
  nameOf,
  readDocument,
  REFERENCES,
  sampleBatch,
  sampleBody,
  stringFields,
  takesJson,
  underOlderName,
} from '../support/contract.ts';
import { dumpDatabase } from '../support/direct.ts';
import { ownJwk } from '../support/keys.ts';
import { knock } from '../support/listener.ts';
import { addRows, addUsers, idFor } from '../support/rows.ts';
import { call, makePublicKey, TestBridge, TestTenant } from '../support/world.ts';

/** What holds for every route there is; a new route is held to it without a line here. */

const closed = routes.filter(route => !isPublic(route));
const of_users = closed.filter(route => !isOfBridge(route));
const of_bridges = closed.filter(isOfBridge);
const with_body = routes.filter(route => route.endpoint.definition.body);
const json_routes = routes.filter(takesJson);

const permissionOf = (route: Route) =>
  route.endpoint.definition.needs.includes(':') ? (route.endpoint.definition.needs as Permission) : null;

/** A tenant, and whoever asks: its bridge or its admin's token where one is needed, its name where none is. */
async function makeWorld() {
  const asker = await Asker.make();
  const tenant = await TestTenant.signUp();
  const bridge = await TestBridge.enrol(tenant);
  const as = (route: Route) => {
    if (isOfBridge(route)) return { bridge };
    return isPublic(route) ? { tenant: tenant.slug } : { token: tenant.admin.token };
  };
  return { asker, tenant, bridge, as };
}

/** No odd value may fail us; of a router that nobody reaches, nothing else can be said than that. */
const isNoFailure = (route: Route, { status }: { status: number }) =>
  status < 500 || (isLive(route) && [502, 503].includes(status));

describe('who may ask', () => {
  test('no token is a 401 on every route that is not public', async () => {
    const { asker, tenant } = await makeWorld();
    for (const route of closed) {
      const answer = await asker.ask(route, { tenant: tenant.slug, body: fittingBody(route) });
      asker.expect(answer.status === 401 && answer.error.code === 'UNAUTHORIZED', route, 'not 401', answer);
    }
    expect(asker.complaints).toEqual([]);
  });

  test('a bad token is a 401 on every route that is not public', async () => {
    const { asker, tenant } = await makeWorld();
    const [head, claims, signature] = tenant.admin.token.split('.') as [string, string, string];
    const flipped = signature.slice(0, 20) + (signature[20] === 'A' ? 'B' : 'A') + signature.slice(21);
    const forged = btoa(atob(claims).replace('"admin"', '"viewer"')).replace(/=+$/, '');
    const headers = [
      'Bearer nonsense',
      'Bearer a.b.c',
      `Bearer ${head}.${claims}.${flipped}`,
      `Bearer ${head}.${forged}.${signature}`,
      `Bearer ${head}.${claims}.`,
      `Bearer ${head}.${claims}`,
      'Bearer ',
      `Basic ${btoa('admin:admin')}`,
      tenant.admin.token,
      `Bearer ${tenant.admin.token} ${tenant.admin.token}`,
      `Bearer ${'x'.repeat(5000)}`,
    ];
    for (const route of closed)
      for (const authorization of headers) {
        const answer = await asker.ask(route, { headers: { authorization }, body: fittingBody(route) });
        asker.expect(answer.status === 401, route, `not 401 for ${authorization.slice(0, 30)}`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('a token of another tenant with this tenant’s X-Tenant-ID or subdomain is a 403 TENANT_MISMATCH', async () => {
    const { asker, tenant } = await makeWorld();
    const other = await TestTenant.signUp();
    for (const route of of_users)
      for (const names of [{ tenant: tenant.id }, { tenant: tenant.slug }, { host: `${tenant.slug}.rukun.test` }]) {
        const answer = await asker.ask(route, { token: other.admin.token, ...names, body: fittingBody(route) });
        asker.expect(answer.status === 403 && answer.error.code === 'TENANT_MISMATCH', route, 'not 403', answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('a bridge’s route opens to no user, and no user’s to a bridge', async () => {
    const { asker, tenant, bridge } = await makeWorld();
    const users = await addUsers(tenant);
    for (const route of of_bridges)
      for (const { token } of users)
        for (const tenant_name of [tenant.id, undefined]) {
          const answer = await asker.ask(route, { token, tenant: tenant_name, body: fittingBody(route) });
          asker.expect(answer.status === 401 && answer.error.code === 'UNAUTHORIZED', route, 'not 401', answer);
        }
    for (const route of of_users) {
      const signed = await bridge.sign('', { method: route.method.toUpperCase(), path: fillPath(route.path) });
      const answer = await asker.ask(route, { headers: signed, body: fittingBody(route) });
      asker.expect(answer.status === 401, route, 'not 401', answer);
    }
    expect(asker.complaints).toEqual([]);
    expect(of_bridges.map(nameOf)).toEqual([`POST ${REPORT_PATH}`]);
  });

  test('what a bridge did not sign just so is a 401, and nothing of it is kept', async () => {
    const { asker, tenant, bridge } = await makeWorld();
    const foreign_tenant = await TestTenant.signUp();
    const [other, foreign] = [await TestBridge.enrol(tenant, 'Gudang'), await TestBridge.enrol(foreign_tenant)];
    const unenrolled = await tenant.post('/bridges', { name: 'Belum' });
    const database = await tenant.database();
    for (const route of of_bridges) {
      const body = JSON.stringify(sampleBody(route));
      const [now, secret] = [Date.now(), bridge.secret];
      const wrong: [string, Parameters<Asker['ask']>[1]][] = [
        ['no signature', { tenant: tenant.id }],
        ['the empty secret', { bridge: new TestBridge(tenant.id, bridge.id, ' ') }],
        ['another bridge’s secret', { bridge: new TestBridge(tenant.id, bridge.id, other.secret) }],
        ['another bridge’s id', { bridge: new TestBridge(tenant.id, other.id, secret) }],
        ['a bridge of another tenant', { bridge: new TestBridge(tenant.id, foreign.id, foreign.secret) }],
        ['another tenant', { bridge: new TestBridge(foreign.tenant_id, bridge.id, secret) }],
        ['no bridge', { bridge: new TestBridge(tenant.id, crypto.randomUUID(), secret) }],
        ['a bridge that never enrolled', { bridge: new TestBridge(tenant.id, unenrolled.id, secret) }],
        ['a router’s id', { bridge: new TestBridge(tenant.id, tenant.admin.id, secret) }],
        ['an id of another form', { bridge: new TestBridge(tenant.id, "' OR 1=1 --", secret) }],
        ['an altered body', { bridge, signed: { body: body.replace('1', '2') } }],
        ['no body', { bridge, body: '', signed: { body } }],
        ['another path', { bridge, signed: { path: `${REPORT_PATH}s` } }],
        ['another method', { bridge, signed: { method: 'PUT' } }],
        ['an old time', { bridge, signed: { time_ms: now - MOST_SKEW_MS - 5000 } }],
        ['a time ahead', { bridge, signed: { time_ms: now + MOST_SKEW_MS + 5000 } }],
        ['another time', { bridge, headers: { [TIME_HEADER]: String(now + 5) } }],
        ...['', 'x', '-1', '1e13', ` ${now}.5`, '9'.repeat(400)].map(
          time => [`the time ${time}`, { bridge, headers: { [TIME_HEADER]: time } }] as (typeof wrong)[number],
        ),
        ['another nonce', { bridge, headers: { [NONCE_HEADER]: crypto.randomUUID() } }],
        ['no nonce', { bridge, signed: { nonce: '' } }],
        ['a short nonce', { bridge, signed: { nonce: 'x' } }],
        ['a nonce without end', { bridge, signed: { nonce: 'x'.repeat(1000) } }],
        ...['', 'x', '0'.repeat(64), 'é'.repeat(64)].map(
          text => [`the signature ${text}`, { bridge, headers: { [SIGNATURE_HEADER]: text } }] as (typeof wrong)[number],
        ),
      ]; // prettier-ignore
      const before = await dumpDatabase(database);
      for (const [what, options] of wrong) {
        const answer = await asker.ask(route, { body, ...options });
        asker.expect(answer.status === 401 && answer.error.code === 'UNAUTHORIZED', route, `not 401: ${what}`, answer);
        asker.expect(!answer.headers.has(SIGNATURE_HEADER), route, `signed: ${what}`, answer);
      }
      const slug = await asker.ask(route, { bridge, body, host: `${foreign_tenant.slug}.rukun.test` });
      asker.expect(slug.status === 403 && slug.error.code === 'TENANT_MISMATCH', route, 'not 403', slug);
      const nameless = await asker.ask(route, { body, headers: { ...(await bridge.sign(body)), [TENANT_HEADER]: '' } });
      asker.expect(nameless.status >= 400 && nameless.status < 500, route, 'a report to nobody', nameless);
      const none = { bridge: new TestBridge(crypto.randomUUID(), bridge.id, secret), body };
      const nowhere = await asker.ask(route, none);
      asker.expect(nowhere.status === 404 && nowhere.error.code === 'NOT_FOUND', route, 'not 404', nowhere);
      expect(await dumpDatabase(database)).toEqual(before);
      // and as it should be
      const right = await asker.ask(route, { bridge, body });
      asker.expect(right.status === 200, route, 'not 200', right);
    }
    expect(asker.complaints).toEqual([]);
  });

  test('a report that isn’t newer than the last one is a replay: a 401', async () => {
    const { asker, tenant, bridge } = await makeWorld();
    const other = await TestBridge.enrol(tenant, 'Gudang');
    const database = await tenant.database();
    const route = of_bridges[0]!;
    const body = JSON.stringify(sampleBody(route));
    const at = Date.now();
    const report = (time_ms: number, from = bridge) => asker.ask(route, { bridge: from, body, signed: { time_ms } });
    const same = { ...(await bridge.sign(body, { time_ms: at })), 'content-type': 'application/json' };
    expect((await asker.ask(route, { body, headers: same })).status).toBe(200);
    const before = await dumpDatabase(database);
    const replays = [await asker.ask(route, { body, headers: same }), await report(at), await report(at - 1)];
    replays.push(await report(at - 30_000));
    expect(replays.map(each => [each.status, each.error?.code])).toEqual(Array(4).fill([401, 'UNAUTHORIZED']));
    expect(await dumpDatabase(database)).toEqual(before);
    // each bridge has a clock of its own; and of several at once with one time, one counts
    expect((await report(at, other)).status).toBe(200);
    const race = await Promise.all([1, 2, 3, 4].map(() => report(at + 1000)));
    expect(race.map(each => each.status).sort()).toEqual([200, 401, 401, 401]);
    expect((await report(at + 1001)).status).toBe(200);
    expect(asker.complaints).toEqual([]);
  });
});

/** roles.md once more, by permission: so that a slip in src/auth/permissions.ts is seen. */
const ROLES_TABLE: Record<string, string> = {
  'customers:read': 'admin operator technician viewer',
  'customers:write': 'admin operator',
  'plans:read': 'admin operator technician viewer',
  'plans:write': 'admin',
  'imports:write': 'admin operator',
  'settings:read': 'admin operator technician',
  'alerts:acknowledge': 'admin operator technician',
  'jobs:read': 'admin operator technician',
  'notifications:read': 'admin operator technician',
  'billing:run': 'admin operator',
  'notifications:retry': 'admin operator',
  'payments:read': 'admin operator viewer',
  'payments:write': 'admin operator',
  'payments:void': 'admin',
  'tickets:read': 'admin operator technician viewer',
  'tickets:write': 'admin operator technician',
  'devices:read': 'admin operator technician viewer',
  'devices:write': 'admin operator technician',
  'routers:read': 'admin operator technician viewer',
  'routers:write': 'admin',
  'customers:sync': 'admin operator technician',
  'routers:live': 'admin operator technician',
  'sessions:disconnect': 'admin operator technician',
  'inventory:read': 'admin operator technician viewer',
  'inventory:write': 'admin operator technician',
  'boosts:request': 'admin operator',
  'boosts:decide': 'admin operator',
  'monitoring:read': 'admin operator technician viewer',
  'reports:read': 'admin operator',
  'users:write': 'admin',
  'settings:write': 'admin',
  'security:write': 'admin',
  'audit:read': 'admin',
};

/** What some routes need by roles.md, written out: a route can name the wrong permission too. */
const ADMIN_ONLY = [
  /^(?!get).* \/service-plans/,
  /^(?!get).* \/(routers|bridges|ip-pools)(\/:id)?$/,
  /^post \/bridges\/:id\/(enroll|rotate)$/,
  /^post \/routers\/:id\/(reconcile|setup|setup\/rollback)$/,
  /^post \/provisioning\/:id\/adopt$/,
  /^(put|patch) \/settings$/,
  / \/users/,
  / \/security/,
  / \/audit-logs(\/export)?$/,
  / \/customers\/:id\/audit-logs$/,
  /^delete \/payments/,
  /^post \/(receipts|invoices)\/:id\/void$/,
];
const OFFICE = [
  /^(?!get).* \/customers(\/:id)?$/,
  /^post \/customers\/:id\/(activate|suspend|resume|terminate|reactivate|change-plan|hold|photos)$/,
  /^delete \/customers\/:id\/change-plan$/,
  /^(?!get).* \/zones/,
  / \/imports/,
  /^post \/customers\/:id\/payments$/,
  /^(post|put|patch) \/payments/,
  /^post \/invoices$/,
  /^post \/billing\/run$/,
];
const FIELD = [
  /^get \/settings$/,
  /^get \/jobs/,
  /^post \/customers\/:id\/provisioning\/sync$/,
  /^post \/provisioning\/:id\/retry$/,
  /^post \/routers\/:id\/test$/,
  /^get \/routers\/:id\/drift$/,
  /^get \/routers\/:id\/(sessions|secrets|profiles|pools|queues|resource)$/,
  /^post \/routers\/:id\/sessions\/:name\/disconnect$/,
  /^get \/customers\/:id\/(traffic|drift)$/,
  /^(?!get).* \/devices/,
  /^(?!get).* \/monitoring\/alerts/,
];

const MONEY = [/^get \/customers\/:id\/payments$/, /^get \/(payments|receipts|invoices)/];

function rolesByHand(route: Route): readonly string[] | null {
  const name = `${route.method} ${route.path.slice(API_BASE.length)}`;
  const among = (list: RegExp[]) => list.some(pattern => pattern.test(name));
  if (among(ADMIN_ONLY)) return ['admin'];
  if (among(OFFICE)) return ['admin', 'operator'];
  if (among(MONEY)) return ['admin', 'operator', 'viewer'];
  if (among(FIELD)) return ['admin', 'operator', 'technician'];
  if (/^get \/(customers|zones|service-plans|routers|provisioning|bridges|ip-pools|devices|monitoring)/.test(name))
    return ROLES;
  return null;
}

describe('roles', () => {
  test('the table of permissions is that of roles.md', () => {
    for (const permission of Object.keys(PERMISSIONS) as Permission[]) {
      expect(ROLES_TABLE, 'roles.md as this test knows it').toHaveProperty([permission]);
      expect([...PERMISSIONS[permission]].sort().join(' '), permission).toBe(ROLES_TABLE[permission]);
    }
  });

  test('the routes that roles.md speaks of need what it says', () => {
    const wrong = routes.flatMap(route => {
      const [permission, by_hand] = [permissionOf(route), rolesByHand(route)];
      if (!permission || !by_hand) return [];
      const allowed = ROLES.filter(role => roleMay(role, permission));
      return allowed.join(' ') === by_hand.join(' ') ? [] : [`${nameOf(route)}: ${allowed.join(' ')}`];
    });
    expect(wrong).toEqual([]);
    // whoever adds a route says here who may, too
    const unknown = routes.filter(route => permissionOf(route) && !rolesByHand(route));
    expect(unknown.map(nameOf)).toEqual([]);
  });

  test('P07 a role without the permission gets 403 and nothing changes, for every route and role', async () => {
    const { asker, tenant } = await makeWorld();
    const users = await addUsers(tenant);
    const ids = await addRows(tenant);
    const database = await tenant.database();
    const before = await dumpDatabase(database);
    let refused = 0;
    for (const route of of_users)
      for (const user of users) {
        const permission = permissionOf(route);
        const may = !permission || ROLES_TABLE[permission]!.split(' ').includes(user.role);
        expect(permission === null || roleMay(user.role, permission)).toBe(may);
        if (may) continue;
        const path = fillPath(route.path, idFor(route, ids));
        const answer = await asker.ask(route, { path, token: user.token, body: fittingBody(route) });
        asker.expect(answer.status === 403 && answer.error.code === 'FORBIDDEN', route, `${user.role} got in`, answer);
        refused += 1;
      }
    expect(asker.complaints).toEqual([]);
    expect(refused).toBeGreaterThan(50);
    expect(await dumpDatabase(database)).toEqual(before);
  });

  test('P07 a role with the permission is not refused, for every route and role', async () => {
    const { asker, tenant } = await makeWorld();
    // who has signed out everywhere is let in nowhere
    const signsOut = ({ endpoint }: Route) => endpoint.definition.id === 'sessions.end_all_own';
    const asked = [...of_users].sort((a, b) => Number(signsOut(a)) - Number(signsOut(b)));
    for (const user of await addUsers(tenant))
      for (const route of asked) {
        const permission = permissionOf(route);
        if (permission && !ROLES_TABLE[permission]!.split(' ').includes(user.role)) continue;
        const answer = await asker.ask(route, { token: user.token, body: fittingBody(route) });
        asker.expect(answer.status !== 403 && answer.status !== 401, route, `${user.role} was refused`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });
});

/** What may be longer than JSON, text and forms are elsewhere, and why. */
const LONGER_BODIES: Record<string, number> = {
  // a batch of measurements of 100,000 lines
  [`POST ${REPORT_PATH}`]: 16,
};

describe('what may be asked', () => {
  test('an id that names nothing is a 404', async () => {
    const { asker, as } = await makeWorld();
    const of_ids = routes.filter(route => route.path.includes(':id'));
    for (const route of of_ids) {
      const answer = await asker.ask(route, { ...as(route), body: fittingBody(route) });
      asker.expect(answer.status === 404 && answer.error.code === 'NOT_FOUND', route, 'not 404', answer);
    }
    expect(asker.complaints).toEqual([]);
    expect(of_ids.length).toBeGreaterThan(30);
  });

  test('an id of another form is a 400 that names it', async () => {
    const { asker, as } = await makeWorld();
    const odd = ['1', 'not-an-id', '0'.repeat(36), `${crypto.randomUUID()}x`, '%00', "1'--", '%F0%9F%92%A9', '%FF'];
    for (const route of routes.filter(each => each.path.includes(':id')))
      for (const id of odd) {
        const path = fillPath(route.path, id);
        // `/imports/file` and its like are other routes than `/imports/:id`
        const answer = await asker.ask(route, { ...as(route), path, body: fittingBody(route) });
        asker.expect(answer.status === 400 && !!answer.error.details?.id, route, `not 400 for ${id}`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('an unknown query key is a 400 that names it', async () => {
    const { asker, as } = await makeWorld();
    for (const route of routes)
      for (const key of ['no_such', 'constructor', 'toString', 'PAGE']) {
        const options = { ...as(route), query: { [key]: '1' }, body: fittingBody(route) };
        const answer = await asker.ask(route, options);
        asker.expect(isRefused(route, answer, 'VALIDATION_ERROR', key), route, `not 400 for ${key}`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('an unknown body field is a 400 that names it', async () => {
    const { asker, as } = await makeWorld();
    for (const route of json_routes)
      for (const field of ['no_such', '__proto__', 'constructor', 'password_hash', 'created_at']) {
        const body = JSON.stringify(sampleBody(route))
          .replace(/^\{(?=(.))/, `{"${field}":1,`)
          .replace(',}', '}');
        const answer = await asker.ask(route, { ...as(route), body });
        asker.expect(answer.status === 400 && !!answer.error.details?.[field], route, `not 400 for ${field}`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('malformed JSON, and JSON that is no object, is a 400', async () => {
    const { asker, as } = await makeWorld();
    const bad = ['{', '{"a":1', '{"a":1}}', "{'a':1}", 'undefined', 'NaN', '{"a":01}', '{"a":"\n"}', '\u0000'];
    for (const route of json_routes)
      for (const body of [...bad, 'null', '[]', '[{}]', '1', '"text"', 'true']) {
        const answer = await asker.ask(route, { ...as(route), body });
        asker.expect(answer.error?.code === 'VALIDATION_ERROR', route, `not 400 for ${body}`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('a wrong content type, or none with a body, is a 415', async () => {
    const { asker, as } = await makeWorld();
    for (const route of with_body) {
      const right = CONTENT_TYPE[acceptsOf(route)];
      const wrong = ['application/json', 'text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'jsonx'];
      for (const type of [...wrong.filter(each => each !== right), `${right}x`, null]) {
        const answer = await asker.ask(route, { ...as(route), type, body: '{"name":"x"}' });
        asker.expect(isRefused(route, answer, 'UNSUPPORTED_MEDIA_TYPE'), route, `not 415 for ${type}`, answer);
      }
    }
    expect(asker.complaints).toEqual([]);
  });

  test('a bridge’s key that is no point of the curve is a 400: nothing could be sealed to it', async () => {
    const tenant = await TestTenant.signUp();
    const { id } = await tenant.post('/bridges', { name: 'Kantor' });
    const { token } = await tenant.post(`/bridges/${id}/enroll`);
    const right = await makePublicKey();
    for (const wrong of [{ x: 'x'.repeat(43), y: 'y'.repeat(43) }, { y: right.x }, { x: 'A'.repeat(43) }]) {
      const body = { token, version: '1', public_key: { ...right, ...wrong } };
      const answer = await call('POST', '/bridges/enroll', { body });
      expect([answer.status, Object.keys(answer.error?.details ?? {})], answer.text).toEqual([400, ['public_key']]);
    }
    const answer = await call('POST', '/bridges/enroll', { body: { token, version: '1', public_key: right } });
    expect(answer.status, answer.text).toBe(200);
  });

  test('an over-long string is a 400 that names the field, for each string field', async () => {
    const { asker, as } = await makeWorld();
    const long = 'a'.repeat(100_000);
    for (const route of json_routes)
      for (const field of stringFields(route)) {
        const body = JSON.stringify({ ...sampleBody(route), [field]: long });
        const answer = await asker.ask(route, { ...as(route), body });
        asker.expect(answer.status === 400 && !!answer.error.details?.[field], route, `${field} may be long`, answer);
      }
    expect(asker.complaints).toEqual([]);
  });

  test('a body over the limit is a 413, told by its length or found while reading', async () => {
    const { asker, as } = await makeWorld();
    for (const route of with_body) {
      const most = mostBytes(route);
      const mib =
        LONGER_BODIES[nameOf(route)] ?? { json: 1, text: 16, form: 1 / 64, multipart: 10.0625 }[acceptsOf(route)];
      expect(most, nameOf(route)).toBe(mib * 1024 * 1024);
      const type = acceptsOf(route) === 'multipart' ? 'multipart/form-data; boundary=x' : undefined;
      const told = await asker.ask(route, { ...as(route), type, body: ' '.repeat(most + 1) });
      asker.expect(isRefused(route, told, 'PAYLOAD_TOO_LARGE'), route, 'not 413', told);
      const found = await asker.ask(route, {
        ...as(route),
        type: type ?? CONTENT_TYPE[acceptsOf(route)],
        body: streamOf(most + 1),
      });
      asker.expect(found.status === 413, route, 'not 413 for a stream', found);
    }
    expect(asker.complaints).toEqual([]);
  });

  test('a body as long as it may be is read', async () => {
    const { asker, tenant } = await makeWorld();
    const zones = routes.find(route => nameOf(route) === `POST ${API_BASE}/zones`)!;
    const text = '{"name":"Utara"}';
    const body = text + ' '.repeat(1024 * 1024 - text.length);
    expect((await asker.ask(zones, { token: tenant.admin.token, body })).status).toBe(201);
  });
});

/** What a POST needs by the published document: the fields that it calls required, each with its schema. */
async function readRequired(): Promise<{ route: Route; required: string[] }[]> {
  const { paths, components } = await readDocument();
  return json_routes.flatMap(route => {
    if (route.method !== 'post' || isOfBridge(route)) return [];
    const { schema } = paths[documentPath(route.path)]!.post!.requestBody!.content['application/json']!;
    const { required = [] } = schema.$ref ? components.schemas[schema.$ref.split('/').at(-1)!]! : schema;
    return required.length > 0 ? [{ route, required }] : [];
  });
}

describe('what must be given', () => {
  test('P09 a request that lacks a required field is refused and names it, for every entity; nothing is stored', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    const known = await readRequired();
    expect(known.map(({ route }) => route.path.slice(API_BASE.length))).toEqual(
      expect.arrayContaining(['/customers', '/service-plans', '/zones', '/routers', '/bridges', '/users', '/devices', '/ip-pools', '/payments', '/invoices', '/tenants']), // prettier-ignore
    );
    const some = fc
      .constantFrom(...known)
      .chain(({ route, required }) =>
        fc.tuple(fc.constant(route), fc.subarray(required, { minLength: 1 }), fc.constantFrom(undefined, null)),
      );
    // each field by itself first: none is missed by chance
    const each = known.flatMap(({ route, required }) =>
      required.map((field): [[Route, string[], undefined]] => [[route, [field], undefined]]),
    );
    const databases = [await tenant.database(), env.DIRECTORY_DB];
    const before = await Promise.all(databases.map(dumpDatabase));
    await fc.assert(
      fc.asyncProperty(some, async ([route, fields, lacking]) => {
        const body: Record<string, unknown> = sampleBody(route, ids);
        for (const field of fields) body[field] = lacking;
        const path = fillPath(route.path, idFor(route, ids));
        const answer = await asker.ask(route, { ...as(route), path, body: JSON.stringify(body) });
        const named = Object.keys(answer.error?.details ?? {}).sort();
        expect([answer.status, named], nameOf(route)).toEqual([400, [...fields].sort()]);
        expect(asker.complaints).toEqual([]);
      }),
      { numRuns: 100 + each.length, examples: each },
    );
    expect(await Promise.all(databases.map(dumpDatabase))).toEqual(before);
  });

  test('P13 a reference to nothing, or to another kind of thing, is refused and named, wherever one is taken', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    const taken = json_routes.flatMap(route => {
      if (route.method === 'patch' || isOfBridge(route)) return [];
      const isId = ({ format, anyOf }: Field['schema']): boolean => format === 'uuid' || (anyOf?.some(isId) ?? false);
      const fields = fieldsOf(route).filter(({ schema }) => isId(schema));
      return fields.map(({ name }) => ({ route, name }));
    });
    // a new reference says in test/support/contract.ts of what it is
    expect(taken.map(({ name }) => name).filter(name => !(name in REFERENCES))).toEqual([]);
    expect(taken.length).toBeGreaterThan(12);
    const others = (name: string) => Object.entries(ids).flatMap(([kind, id]) => (kind === REFERENCES[name] ? [] : [id])); // prettier-ignore
    const some = fc
      .constantFrom(...taken)
      .chain(({ route, name }) =>
        fc.tuple(fc.constant(route), fc.constant(name), fc.oneof(fc.uuid(), fc.constantFrom(...others(name)))),
      );
    const database = await tenant.database();
    const dump = async () => {
      // a code that was taken for a customer stays so
      const { sequences: _, ...rows } = await dumpDatabase(database);
      return rows;
    };
    const before = await dump();
    await fc.assert(
      fc.asyncProperty(some, async ([route, name, id]) => {
        const body = JSON.stringify({ ...sampleBody(route, ids), [name]: id });
        const answer = await asker.ask(route, { ...as(route), path: fillPath(route.path, idFor(route, ids)), body });
        const said = [answer.status, ...Object.keys(answer.error?.details ?? {})];
        expect(said, `${nameOf(route)}: ${answer.text}`).toEqual([400, name]);
        expect(asker.complaints).toEqual([]);
      }),
      {
        numRuns: 100 + taken.length,
        examples: taken.map(({ route, name }) => [[route, name, crypto.randomUUID()]]),
      },
    );
    expect(await dump()).toEqual(before);
  });
});

/** A body that doesn't say beforehand how long it is. */
function streamOf(length: number): ReadableStream {
  let left = length;
  return new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      controller.enqueue(new Uint8Array(Math.min(left, 65_536)).fill(32));
      left -= 65_536;
    },
  });
}

/** JSON as text, since much of it is what JSON.stringify would never write. */
const ODD_VALUES = [
  'null',
  '[]',
  '{}',
  'true',
  '""',
  '" "',
  '1e400',
  '-0',
  '1e308',
  '0.1',
  '-1',
  '9007199254740993',
  '123456789012345678901234567890',
  `${'['.repeat(1000)}${']'.repeat(1000)}`,
  `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`,
  '{"__proto__":{"x":1}}',
  '{"a":1,"a":2}',
  '{"toString":null,"length":-1}',
  '"\\ud800"',
  '"a\\udc00b"',
  '"\\u0000"',
  '"\\u202e\\u0008"',
  '"\'; DROP TABLE users; --"',
  '"2026-02-30"',
  '"0000-00-00"',
  '"00000000-0000-0000-0000-000000000000"',
];

/** A part of a list, another one for each place: beside the fuzzing of all routes, each value in so many of the places is enough. */
const PARTS = 4;
const partOf = <T>(list: readonly T[], place: number): T[] => list.filter((_, at) => (at + place) % PARTS === 0);

/** Fields one by one, since a body is refused at its first odd one. */
function withField(body: Record<string, unknown>, field: string, value: string): string {
  const { [field]: _, ...rest } = body;
  const members = Object.entries(rest).map(([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)}`);
  return `{${[...members, `${JSON.stringify(field)}:${value}`].join(',')}}`;
}

describe('odd values', () => {
  test('no odd value in any field gives a 500', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    let place = 0;
    for (const route of json_routes) {
      if (route.method === 'patch') continue;
      const path = fillPath(route.path, idFor(route, ids));
      for (const { name: field } of fieldsOf(route))
        for (const value of partOf(ODD_VALUES, place++)) {
          const answer = await asker.ask(route, {
            ...as(route),
            path,
            body: withField(sampleBody(route, ids), field, value),
          });
          asker.expect(isNoFailure(route, answer), route, `${field}: ${value.slice(0, 40)}`, answer);
        }
    }
    expect(asker.complaints).toEqual([]);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  test('no odd value deep in a report gives a 500, of routers and devices that are the bridge’s own', async () => {
    const { asker, tenant, bridge } = await makeWorld();
    const ids = await addRows(tenant);
    await tenant.put(`/routers/${ids.routers}`, { bridge_id: bridge.id });
    await tenant.put(`/devices/${ids.devices}`, { bridge_id: bridge.id, ip_address: '10.0.0.9' });
    const route = of_bridges[0]!;
    let taken = 0;
    let at = 0;
    // a spool of its own, so that each is news
    const sample = () => ({
      ...sampleBatch({ router_id: ids.routers, device_id: ids.devices }),
      spool_id: crypto.randomUUID(),
    });
    const places: [string, (batch: ReturnType<typeof sample>) => object][] = [
      ['batch', batch => batch],
      ['router', batch => batch.routers[0]!],
      ['line', batch => batch.routers[0]!.lines[0]!],
      ['device', batch => batch.devices[0]!],
    ];
    for (const [place, open] of places)
      for (const field of Object.keys(open(sample())))
        for (const value of partOf([...ODD_VALUES, '9007199254740991', '-9007199254740991', '"online"'], at++)) {
          const batch = sample();
          Object.assign(open(batch), { [field]: '@odd@' });
          const text = JSON.stringify({ version: '1', watched_tag: null, batch, batches_waiting: 0 });
          const answer = await asker.ask(route, { bridge, body: text.replace('"@odd@"', () => value) });
          const what = `${place}.${field}: ${value.slice(0, 40)}`;
          asker.expect(isNoFailure(route, answer), route, what, answer);
          if (answer.status === 200) taken += 1;
        }
    expect(asker.complaints).toEqual([]);
    expect(taken).toBeGreaterThan(5);
  });

  test('a repeated key counts once: the last', async () => {
    const { asker, tenant } = await makeWorld();
    const zones = routes.find(route => nameOf(route) === `POST ${API_BASE}/zones`)!;
    const answer = await asker.ask(zones, { token: tenant.admin.token, body: '{"name":"Utara","name":"Selatan"}' });
    expect(answer.data.name).toBe('Selatan');
    expect(await tenant.get('/zones')).toHaveLength(1);
  });

  test('no odd value in any query key gives a 500', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    const odd = [
      '',
      ' ',
      '\u0000',
      '-0',
      '1e400',
      '9'.repeat(400),
      'a'.repeat(2000),
      "'; --",
      '%',
      '"',
      '*',
      'NaN',
      '[]',
    ];
    const dates = ['2026-02-30', '0000-01-01', '9999-12-31', '9999-12-31T23:59:59.999Z', '-271821-04-20'];
    let place = 0;
    for (const route of routes) {
      const { query, body } = route.endpoint.definition;
      if (!query || body) continue;
      const path = fillPath(route.path, idFor(route, ids));
      const keys = Object.keys((query as unknown as { shape: object }).shape);
      for (const key of [...keys, 'custom_fields.', 'custom_fields.a"b', '__proto__'])
        for (const value of partOf([...odd, ...dates], place++)) {
          const answer = await asker.ask(route, { ...as(route), path, query: { [key]: value } });
          asker.expect(isNoFailure(route, answer), route, `${key}=${value.slice(0, 30)}`, answer);
        }
    }
    expect(asker.complaints).toEqual([]);
  });

  test('no odd header gives a 500', async () => {
    const { asker, as } = await makeWorld();
    const odd = [
      '',
      '"',
      '*',
      'x'.repeat(3000),
      '"0.0000000000000000"',
      '"zzzzzzzzzz.0000000000000000"',
      "'; --",
      '0-0-0-0',
    ];
    let place = 0;
    const names = ['if-match', 'if-none-match', 'x-d1-bookmark', 'x-request-id', 'x-tenant-id', 'cf-connecting-ip'];
    for (const route of routes.filter(each => ['get', 'put'].includes(each.method)))
      for (const name of names)
        for (const value of partOf(odd, place++)) {
          const answer = await asker.ask(route, { ...as(route), headers: { [name]: value }, body: fittingBody(route) });
          asker.expect(isNoFailure(route, answer), route, `${name}: ${value.slice(0, 30)}`, answer);
        }
    expect(asker.complaints).toEqual([]);
  });

  test('no JSON at all gives a 500, whatever the route', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    const bodies = fc.constantFrom(...json_routes.map(nameOf)).chain(name => {
      const route = json_routes.find(each => nameOf(each) === name)!;
      const names = fieldsOf(route).map(field => field.name);
      const member = fc.dictionary(fc.constantFrom(...names, '__proto__', 'x'), fc.jsonValue({ stringUnit: 'binary' }));
      return fc.tuple(fc.constant(name), fc.boolean(), fc.oneof(member, fc.jsonValue()));
    });
    await fc.assert(
      fc.asyncProperty(bodies, async ([name, on_top, value]) => {
        const route = json_routes.find(each => nameOf(each) === name)!;
        const sample = on_top && typeof value === 'object' ? { ...sampleBody(route, ids), ...value } : value;
        const path = fillPath(route.path, idFor(route, ids));
        await asker.ask(route, { ...as(route), path, body: JSON.stringify(sample) });
        expect(asker.complaints).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});

describe('the document and the rest of the root', () => {
  test('openapi.json lists exactly the routes there are, each by a name of its own', async () => {
    const { paths } = await readDocument();
    const listed = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method} ${path}`),
    );
    const mounted = routes.map(route => `${route.method} ${documentPath(route.path)}`);
    expect(listed.sort()).toEqual(mounted.sort());
    for (const path of Object.keys(paths)) expect('put' in paths[path]!).toBe('patch' in paths[path]!);
    const ids = Object.values(paths).flatMap(methods => Object.values(methods).map(each => each.operationId));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('every route declares what it gives and what every route may refuse', async () => {
    const { paths } = await readDocument();
    for (const route of routes) {
      const { status = 200, body, returns } = route.endpoint.definition;
      const declared = Object.keys(paths[documentPath(route.path)]![route.method]!.responses);
      const always = ['socket' in returns ? 101 : status, 400, 429, 500];
      const closed_ones = isPublic(route) ? [] : [401, 403, 404];
      expect(declared, nameOf(route)).toEqual(
        expect.arrayContaining([...always, ...closed_ones, ...(body ? [413, 415] : [])].map(String)),
      );
    }
  });

  test('every JSON body has a name in the document, and a PUT’s another one than the POST’s', async () => {
    const { paths } = await readDocument();
    const nameOfBody = (path: string, method: string) => {
      const { $ref } = paths[documentPath(path)]?.[method]?.requestBody?.content['application/json']?.schema ?? {};
      return $ref?.split('/').at(-1);
    };
    for (const { method, path } of json_routes) expect(nameOfBody(path, method), `${method} ${path}`).toBeTruthy();
    expect([nameOfBody(`${API_BASE}/users`, 'post'), nameOfBody(`${API_BASE}/users/:id`, 'patch')]).toEqual(['UserInput', 'UserPatch']); // prettier-ignore
  });

  test('every route declares the headers that it takes, and asks for none but a key and a signature', async () => {
    const { paths } = await readDocument();
    for (const route of routes) {
      const { needs, returns, idempotency } = route.endpoint.definition;
      const { parameters = [] } = paths[documentPath(route.path)]![route.method]!;
      const taken = parameters.filter(parameter => parameter.in === 'header');
      const { shape } = 'one' in returns ? (returns.one as ZodObject) : { shape: {} };
      const [has_row, is_read] = [shape !== undefined && 'updated_at' in shape, route.method === 'get'];
      const by_rule = {
        'X-Request-Id': true,
        'X-Tenant-ID': !['platform', 'bridge'].includes(needs),
        'X-D1-Bookmark': is_read && needs !== 'platform' && !('html' in returns || 'socket' in returns),
        'If-None-Match': is_read && (has_row || route.path.endsWith('/photos/:kind')),
        'If-Match': ['put', 'patch'].includes(route.method) && has_row,
        'Idempotency-Key': idempotency !== undefined,
      };
      const wanted = Object.entries(by_rule).flatMap(([name, holds]) => (holds ? [name] : []));
      const of_bridge = needs === 'bridge' ? /^x-(tenant-id|rukun-.*)$/ : /^$/;
      const others = taken.filter(({ name }) => !of_bridge.test(name));
      expect(others.map(({ name }) => name).sort(), nameOf(route)).toEqual(wanted.sort());
      for (const { name, required } of others)
        expect(required ?? false, name).toBe(name === 'Idempotency-Key' && idempotency?.key === 'required');
    }
  });

  test('a single row that is still what If-None-Match names is a 304, and a changed one is not', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    let held = 0;
    for (const route of closed.filter(each => each.method === 'get')) {
      const path = fillPath(route.path, idFor(route, ids));
      const first = await asker.ask(route, { ...as(route), path });
      const etag = first.headers.get('etag');
      if (!etag) continue;
      held += 1;
      const again = await asker.ask(route, { ...as(route), path, headers: { 'if-none-match': `"other", ${etag}` } });
      asker.expect(again.status === 304 && again.text === '', route, 'not 304', again);
      const other = await asker.ask(route, { ...as(route), path, headers: { 'if-none-match': '"other"' } });
      asker.expect(other.status === 200, route, 'not 200', other);
    }
    expect(asker.complaints).toEqual([]);
    expect(held).toBeGreaterThan(8);
  });

  test('an unknown route is a 404 in the envelope', async () => {
    const tenant = await TestTenant.signUp();
    for (const [method, path] of [
      ['GET', '/no-such-route'],
      ['DELETE', '/tenants'],
      ['POST', '/customers/stats'],
      ['GET', '/customers/'],
      ['GET', ''],
      ['PROPFIND', '/customers'],
    ] as const) {
      const answer = await tenant.call(method, path, { headers: { 'x-request-id': 'abcdefgh-1' } });
      expect([answer.status, answer.error?.code], `${method} ${path}`).toEqual([404, 'NOT_FOUND']);
      expect(answer.error.request_id).toBe('abcdefgh-1');
      expect(answer.headers.get('x-request-id')).toBe('abcdefgh-1');
    }
    const outside = await SELF.fetch('http://rukun.test/customers');
    expect([outside.status, ((await outside.json()) as { error: { code: string } }).error.code]).toEqual([
      404,
      'NOT_FOUND',
    ]);
  });

  test('a request id is taken over when it is plain, and made when it is not', async () => {
    const tenant = await TestTenant.signUp();
    const ask = async (given?: string) =>
      (await tenant.call('GET', '/zones', { headers: given ? { 'x-request-id': given } : {} })).headers.get(
        'x-request-id',
      )!;
    expect(await ask('client.id_1-2')).toBe('client.id_1-2');
    for (const given of [undefined, 'short', 'a b c d e f g', '<script>alert(1)</script>', 'x'.repeat(65)]) {
      const made = await ask(given);
      expect(made).not.toBe(given);
      expect(made).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('a file and a socket come with the request’s id too, and a file with the database’s bookmark', async () => {
    const { tenant } = await makeWorld();
    const { invoices } = await addRows(tenant);
    const headers = { 'x-request-id': 'abcdefgh-2' };
    const file = await tenant.call('GET', `/invoices/${invoices}/pdf`, { headers });
    expect([file.status, file.headers.get('x-request-id')]).toEqual([200, 'abcdefgh-2']);
    expect(file.headers.get('content-type')).toBe('application/pdf');
    expect(file.headers.get('x-d1-bookmark')).toBeTruthy();
    const socket = await knock({}, { ...headers, authorization: `Bearer ${tenant.admin.token}` });
    socket.webSocket!.accept();
    socket.webSocket!.close();
    expect([socket.status, socket.headers.get('x-request-id')]).toEqual([101, 'abcdefgh-2']);
  });

  test('under an older name of a route a refusal names the id that its header has', async () => {
    const tenant = await TestTenant.signUp();
    const answer = await tenant.call('GET', '/mikrotik/routers/x');
    expect(answer.status).toBe(400);
    expect(answer.error.request_id).toBe(answer.headers.get('x-request-id'));
  });

  test('healthz, readyz and the JWKS answer without a token', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const response = await SELF.fetch(`http://rukun.test${path}`);
      expect([response.status, await response.json()]).toEqual([200, { ok: true }]);
      expect(response.headers.get('x-request-id')).toBeTruthy();
    }
    const jwks = await SELF.fetch('http://rukun.test/.well-known/jwks.json');
    const { keys } = (await jwks.json()) as { keys: Record<string, string>[] };
    expect(jwks.status).toBe(200);
    expect(keys.map(key => key.kid)).toEqual([ownJwk().kid]);
    for (const key of keys) expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });
});

describe('/mikrotik/routers is /routers', () => {
  const under_routers = routes.filter(isUnderRouters);

  test('every route answers alike under both names', async () => {
    const { asker, tenant, as } = await makeWorld();
    const ids = await addRows(tenant);
    expect(under_routers.length).toBeGreaterThanOrEqual(7);
    const viewer = await tenant.addUser('viewer');
    const other = await TestTenant.signUp();
    for (const route of under_routers)
      for (const options of [
        {},
        { tenant: tenant.slug },
        { token: viewer.token, body: fittingBody(route) },
        { token: other.admin.token, tenant: tenant.id },
        { ...as(route), body: fittingBody(route) },
        { ...as(route), query: { no_such: '1' } },
        ...(route.endpoint.definition.body
          ? [
              { ...as(route), body: '{"no_such":1}' },
              { ...as(route), body: '{}', type: 'text/plain' },
            ]
          : []),
      ]) {
        const path = fillPath(route.path);
        const [by_name, by_alias] = [
          await asker.ask(route, { ...options, path }),
          await asker.ask(route, { ...options, path: underOlderName(path) }),
        ];
        const alike =
          (by_name.status === by_alias.status && by_name.error?.code === by_alias.error?.code) ||
          // the second of two that create the same
          (by_name.status === 201 && by_alias.status === 409);
        asker.expect(alike, route, `not as under its own name (${by_name.status})`, by_alias);
      }
    expect(asker.complaints).toEqual([]);
    const one = await tenant.get(`/mikrotik/routers/${ids.routers}`);
    expect(one).toEqual(await tenant.get(`/routers/${ids.routers}`));
    expect(await tenant.get('/mikrotik/routers', { per_page: 1 })).toEqual(
      await tenant.get('/routers', { per_page: 1 }),
    );
    expect((await tenant.call('GET', '/mikrotik/routersx')).status).toBe(404);
  });

  test('a router made, changed and deleted under the older name is the same router', async () => {
    const tenant = await TestTenant.signUp();
    const router = await tenant.post('/mikrotik/routers', {
      name: 'Menara',
      host: '10.0.0.2',
      username: 'api',
      password: 'rahasia-router',
    });
    await tenant.put(`/mikrotik/routers/${router.id}`, { location: 'Menara 2' });
    expect(await tenant.get(`/routers/${router.id}`)).toMatchObject({ name: 'Menara', location: 'Menara 2' });
    expect((await tenant.call('DELETE', `/mikrotik/routers/${router.id}`)).status).toBe(200);
    expect((await tenant.call('GET', `/routers/${router.id}`)).status).toBe(404);
  });
});
