import { env, listDurableObjectIds, runInDurableObject, SELF } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { routes } from '../../src/app.ts';
import type { Route } from '../../src/http/resource.ts';
import { forgetCounts } from '../../src/metrics/isolate.ts';
import { NONCE_HEADER, signAnswer, SIGNATURE_HEADER } from '../../src/protocol/signature.ts';
import { forgetTenants } from '../../src/tenancy/directory.ts';
import {
  acceptsOf,
  type AskOptions,
  Asker,
  fieldsOf,
  fillPath,
  fittingBody,
  isOfBridge,
  isPublic,
  nameOf,
  sampleBatch,
  sampleBody,
  takesJson,
} from '../support/contract.ts';
import {
  countFailures,
  failBridges,
  failDatabases,
  failFiles,
  failHub,
  failLimiter,
  failQueues,
} from '../support/failing.ts';
import { recordLines } from '../support/lines.ts';
import { dumpAsText, type Kind, markBody, Marks, misplaceMarks } from '../support/marks.ts';
import { consume } from '../support/queues.ts';
import { type Answer, call, makePublicKey, TestBridge, TestTenant } from '../support/world.ts';

/**
 * P23, for every route there is: each value that is given is known again, and looked for in all that comes out: lines of
 * the log, answers, events, what Durable Objects keep, metrics, copies of routers. A new route is held to it by itself.
 */

const METRICS_TOKEN = 'untuk-mesin-saja';

beforeEach(() => {
  forgetCounts();
});

afterEach(() => {
  env.LOG_REQUESTS = 'no';
  delete env.METRICS_TOKEN;
  forgetCounts();
  vi.restoreAllMocks();
});

type Ids = Record<string, string>;

/** A provider of which everything that has a name has a marked one, and everything that it was told and said. */
class MarkedWorld {
  readonly marks = new Marks();
  readonly lines: string[] = recordLines();
  readonly answers: { answer: Answer; route: string }[] = [];
  readonly ids: Ids = {};
  readonly #asker: Asker;
  readonly tenant: TestTenant;
  bridge: TestBridge;

  constructor(asker: Asker, tenant: TestTenant, bridge: TestBridge) {
    this.#asker = asker;
    this.tenant = tenant;
    this.bridge = bridge;
  }

  static async make(): Promise<MarkedWorld> {
    const tenant = await TestTenant.signUp();
    const bridge = await TestBridge.enrol(tenant);
    const world = new MarkedWorld(await Asker.make(), tenant, bridge);
    env.METRICS_TOKEN = METRICS_TOKEN;
    world.answerAsBridge();
    await world.#fill();
    return world;
  }

  async #fill(): Promise<void> {
    const { tenant, ids, marks } = this;
    ids.bridges = this.bridge.id;
    await tenant.put(`/bridges/${ids.bridges}`, { url: 'https://bridge.melati.example' });
    const make = async (path: string, more: Record<string, unknown> = {}) => {
      const route = findRoute('post', `/api/v1${path}`);
      const headers = route.endpoint.definition.idempotency && { 'idempotency-key': crypto.randomUUID() };
      const send = (fields: object) => tenant.call('POST', path, { body: { ...fields, ...more }, ...(headers && { headers }) }); // prettier-ignore
      const base = sampleBody(route, ids);
      const made = await sendMarked(markBody(route, base, marks), base, send);
      expect(made.status, made.text).toBe(201);
      return made.data as { id: string };
    };
    ids.zones = (await make('/zones')).id;
    ids['service-plans'] = (await make('/service-plans', { is_active: true, price: 100_000 })).id;
    ids.routers = (await make('/routers', { bridge_id: ids.bridges, is_active: true })).id;
    ids['ip-pools'] = (await make('/ip-pools')).id;
    ids.devices = (await make('/devices', { bridge_id: ids.bridges })).id;
    ids.users = (await make('/users', { role: 'viewer' })).id;
    ids.customers = (await make('/customers', { connection_type: 'pppoe', router_id: ids.routers })).id;
    await tenant.post(`/customers/${ids.customers}/activate`, { reason: marks.make('private', 'reason') });
    ids.payments = (await make('/payments')).id;
    const paid = { amount: 1000, payment_method: 'cash', notes: marks.make('private', 'notes of a receipt') };
    const headers = { 'idempotency-key': marks.make('private', 'an idempotency key') };
    const receipt = await tenant.call('POST', `/customers/${ids.customers}/payments`, { body: paid, headers });
    expect(receipt.status, receipt.text).toBe(201);
    ids.receipts = receipt.data.receipt?.id ?? receipt.data.id;
  }

  /** A bridge that is there, and tells more than it was asked. */
  answerAsBridge(): void {
    const [name, password, comment] = ['the name', 'the password', 'the comment'].map(what =>
      this.marks.make(what === 'the password' ? 'secret' : 'private', `${what} of a router’s entry`),
    ) as [string, string, string];
    const { secret } = this.bridge;
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (_, init) => {
      const rows = [[name, password, comment, 'default', 'pppoe']];
      const properties = ['name', 'password', 'comment', 'profile', 'service'];
      const text = JSON.stringify({ age_ms: 0, properties, rows });
      const nonce = (init!.headers as Record<string, string>)[NONCE_HEADER]!;
      return new Response(text, { headers: { [SIGNATURE_HEADER]: await signAnswer(secret, nonce, 200, text) } });
    });
  }

  /** As whoever may; the answer is kept for the judgement. */
  async ask(route: Route, options: AskOptions = {}): Promise<Answer> {
    const { tenant, bridge } = this;
    const as = isOfBridge(route)
      ? { bridge }
      : isPublic(route)
        ? { tenant: tenant.slug }
        : { token: tenant.admin.token };
    const answer = await this.#asker.ask(route, { path: this.pathOf(route), ...as, ...options });
    this.answers.push({ answer, route: nameOf(route) });
    for (const field of ['access_token', 'refresh_token', 'signing_secret', 'token'])
      if (typeof answer.data?.[field] === 'string') this.marks.noteMade(answer.data[field]);
    return answer;
  }

  /** Of what there is; `:tenant` is named by its slug. */
  pathOf({ path }: Route): string {
    const [, kind] = /^\/api\/v1\/(.+?)\/:/.exec(path) ?? [];
    return fillPath(path.replace(':tenant', this.tenant.slug), this.ids[kind ?? '']);
  }

  markedBody(route: Route): AskOptions['body'] {
    const { marks } = this;
    const where = nameOf(route);
    if (takesJson(route)) {
      const marked = markBody(route, sampleBody(route, this.ids), marks);
      if (isOfBridge(route)) Object.assign(marked, { batch: this.#markedBatch(where) });
      return JSON.stringify(marked);
    }
    const mark = (kind: Kind, what: string) => marks.make(kind, `${where} ${what}`);
    if (acceptsOf(route) === 'text')
      return `/ppp secret\nadd name=${mark('private', 'name')} password=${mark('secret', 'password')} profile=default comment=${mark('private', 'comment')}\nadd name="${mark('private', 'cut off')} password=${mark('secret', 'cut off')}`;
    if (acceptsOf(route) === 'form')
      return `customer_code=${mark('private', 'code')}&phone=${marks.makePhone(`${where} phone`)}`;
    const body = fittingBody(route);
    if (!(body instanceof FormData)) return body;
    const bytes = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...new TextEncoder().encode(mark('private', 'bytes'))]); // prettier-ignore
    body.set('photo', new File([bytes], `${mark('private', 'file name')}.png`, { type: 'image/png' }));
    return body;
  }

  #markedBatch(where: string) {
    const batch = sampleBatch({ router_id: this.ids.routers!, device_id: this.ids.devices! });
    const mark = (what: string) => this.marks.make('private', `${where} ${what}`);
    const routers = batch.routers.map(router => ({
      ...router,
      identity: mark('identity'),
      error: mark('error'),
      lines: router.lines.map(each => ({ ...each, name: mark('line') })),
    }));
    return { ...batch, routers };
  }

  /** What came out of it, by place, and which marks may not be there. */
  async judge(): Promise<void> {
    vi.restoreAllMocks();
    const { marks, lines, answers, tenant } = this;
    const metrics = await SELF.fetch('http://rukun.test/metrics', { headers: { authorization: `Bearer ${METRICS_TOKEN}` } }); // prettier-ignore
    expect(metrics.status).toBe(200);
    const d1 = await tenant.database();
    const events = (await d1.prepare('SELECT * FROM events').all()).results;
    const beside = events.map(withoutAudit);
    const texts = ({ answer }: { answer: Answer }) => answer.text + JSON.stringify([...answer.headers]);
    const nowhere: [string, string, Kind?][] = [
      ['the log', lines.join('\n')],
      ['the metrics', await metrics.text()],
      ['a Durable Object', await dumpObjects()],
      ['the events, beside what changed', JSON.stringify(beside)],
      ['the events', JSON.stringify(events), 'secret'],
      ['the database', await dumpAsText(d1), 'secret'],
      ['the directory', await dumpAsText(env.DIRECTORY_DB), 'secret'],
    ];
    for (const [place, text, kind] of nowhere) {
      expect(marks.find(text, kind), place).toEqual([]);
      expect(marks.findMade(text), place).toEqual([]);
    }
    const told = answers.flatMap(each => marks.find(texts(each), 'secret').map(mark => `${each.route} told ${mark}`));
    expect(told).toEqual([]);
    // a fault of ours has nothing to say but its number
    const faults = answers.filter(({ answer }) => answer.status === 500);
    expect(faults.flatMap(each => marks.find(each.answer.text))).toEqual([]);
  }

  /** That there was something to be found: what may be told was told. */
  countTold(): number {
    return new Set(this.answers.flatMap(({ answer }) => this.marks.find(answer.text))).size;
  }
}

/** What changed, who changed it, and why they said so, is what the audit log is for. */
function withoutAudit({
  changes: _changes,
  actor_name: _name,
  user_email: _email,
  data,
  ...rest
}: Record<string, unknown>) {
  // prettier-ignore
  const { reason: _reason, note: _note, email: _who, ...more } = JSON.parse(data as string) as Record<string, unknown>;
  return { ...rest, ...more };
}

/** What the schema takes and a rule refuses, a range of addresses say, goes as it was. */
async function sendMarked(
  marked: Record<string, unknown>,
  base: Record<string, unknown>,
  send: (body: object) => Promise<Answer>,
) {
  // prettier-ignore
  const body = { ...marked };
  for (let tries = 0; ; tries++) {
    const answer = await send(body);
    const fields = Object.keys(answer.error?.details ?? {}).filter(field => body[field] !== base[field]);
    if (tries === 4 || fields.length === 0) return answer;
    for (const field of fields) {
      if (field in base) body[field] = base[field];
      else delete body[field];
    }
  }
}

const findRoute = (method: string, path: string): Route =>
  routes.find(route => route.method === method && route.path === path)!;

/** All that all objects keep. */
async function dumpObjects(): Promise<string> {
  const parts: string[] = [];
  for (const namespace of [env.RATE_LIMITER, env.TENANT_HUB, env.METRICS])
    for (const id of await listDurableObjectIds(namespace as never)) {
      const stub = namespace.get(id as never) as DurableObjectStub;
      const kept = await runInDurableObject(stub, async (_, state) => [...(await state.storage.list())]);
      parts.push(JSON.stringify(kept));
    }
  return parts.join('\n');
}

const with_body = routes.filter(route => route.endpoint.definition.body);
const json_routes = routes.filter(takesJson);
/** Deleting comes last: what is gone can't be asked any more. */
const in_order = [...routes.filter(route => route.method !== 'delete'), ...routes.filter(route => route.method === 'delete')]; // prettier-ignore

describe('P23 what a request holds is nowhere but where it belongs', () => {
  test('when it is taken, comes twice, comes twice at once, or comes too late', async () => {
    const world = await MarkedWorld.make();
    for (const route of in_order) {
      const body = world.markedBody(route);
      const taken = takesJson(route)
        ? await sendMarked(JSON.parse(body as string) as object as Record<string, unknown>, sampleBody(route, world.ids), each => world.ask(route, { body: JSON.stringify(each) })) // prettier-ignore
        : await world.ask(route, { body });
      if (route.method === 'get') continue;
      await world.ask(route, { body: body instanceof FormData ? world.markedBody(route) : body });
      const both = [world.markedBody(route), world.markedBody(route)];
      await Promise.all(both.map(each => world.ask(route, { body: each })));
      await world.ask(route, { body: world.markedBody(route), headers: { 'if-match': '"2020-01-01T00:00:00.000Z"' } });
      expect(taken.status, `${nameOf(route)}: ${taken.text}`).not.toBe(500);
    }
    const of_status = (status: number) => world.answers.filter(({ answer }) => answer.status === status).length;
    expect(of_status(201)).toBeGreaterThan(20);
    expect(of_status(409)).toBeGreaterThan(20);
    expect(world.countTold()).toBeGreaterThan(100);
    await world.judge();
  });

  test('when a session begins, goes on and ends, and a bridge is enrolled', async () => {
    const world = await MarkedWorld.make();
    const { marks, tenant } = world;
    const [first, second] = [marks.make('secret', 'a password'), marks.make('secret', 'the next password')];
    const email = `${marks.make('private', 'an e-mail')}@x.example`;
    await tenant.post('/users', { email, name: marks.make('private', 'a name'), role: 'operator', password: first });
    const post = (path: string) => findRoute('post', `/api/v1${path}`);
    const say = async (route: Route, body: object, more: AskOptions = {}) =>
      (await world.ask(route, { body: JSON.stringify(body), ...more })).data ?? {};
    const wrong = { email, password: marks.make('secret', 'a wrong password') };
    await say(post('/auth/login'), wrong);
    const { access_token, refresh_token } = await say(post('/auth/login'), { email, password: first });
    expect(access_token).toBeTypeOf('string');
    const next = await say(post('/auth/refresh'), { refresh_token });
    const change = { current_password: first, new_password: second };
    const changed = await say(findRoute('put', '/api/v1/auth/password'), change, { token: next.access_token });
    await say(post('/auth/refresh'), { refresh_token });
    await say(post('/auth/logout'), { refresh_token: changed.refresh_token ?? next.refresh_token });
    await world.ask(findRoute('get', '/api/v1/auth/me'), { token: access_token });
    const { token } = await say(post('/bridges/:id/enroll'), {}, { type: null });
    const enrolment = { token, public_key: await makePublicKey(), version: marks.make('private', 'a version') };
    for (let i = 0; i < 2; i++) await say(post('/bridges/enroll'), enrolment);
    await world.judge();
  });

  test('when it doesn’t fit, in whatever way', async () => {
    const world = await MarkedWorld.make();
    const { marks } = world;
    for (const route of json_routes)
      for (const body of misplaceMarks(route, sampleBody(route, world.ids), marks)) await world.ask(route, { body });
    for (const route of with_body) {
      await world.ask(route, { body: `x=${marks.make('secret', 'a body of another type')}`, type: 'text/html' });
      await world.ask(route, { body: world.markedBody(route), path: fillPath(route.path) });
    }
    const refused = world.answers.filter(({ answer }) => [400, 401, 404, 409, 415].includes(answer.status));
    expect(refused.length).toBeGreaterThan(world.answers.length * 0.6);
    await world.judge();
  });

  test('when it stands in a header, a query or a path', async () => {
    const world = await MarkedWorld.make();
    const { marks } = world;
    for (const route of routes) {
      const mark = (what: string) => marks.make('secret', `${nameOf(route)} ${what}`);
      const body = fittingBody(route);
      const headers = Object.fromEntries(
        ['cookie', 'if-match', 'if-none-match', 'origin', 'referer', 'user-agent', 'x-api-key'].map(name => [name, mark(name)]), // prettier-ignore
      );
      // handed back: X-D1-Bookmark
      headers['x-d1-bookmark'] = marks.make('private', 'a bookmark');
      const keyed: Record<string, string> = route.endpoint.definition.idempotency
        ? { 'idempotency-key': marks.make('private', 'a key') }
        : {};
      await world.ask(route, { headers: { ...headers, ...keyed }, ...(body && { body }) });
      await world.ask(route, { token: mark('token'), ...(body && { body }) });
      for (const authorization of [
        `Bearer ${mark('token')} x`,
        `Basic ${btoa(`admin:${mark('basic')}`)}`,
        mark('bare'),
      ])
        await world.ask(route, { token: null, headers: { authorization }, ...(body && { body }) });
      await world.ask(route, { headers: { 'x-tenant-id': mark('tenant') }, ...(body && { body }) });
      await world.ask(route, {
        query: { [marks.make('private', 'an unknown key')]: '1', token: mark('query') },
        ...(body && { body }),
      });
      const { query } = route.endpoint.definition;
      const keys = Object.keys((query as { shape?: object } | undefined)?.shape ?? {});
      // what is searched for is asked for in the body of the answer too
      for (const key of keys)
        await world.ask(route, { query: { [key]: marks.make('private', `query ${key}`) }, ...(body && { body }) });
      if (route.path.includes(':')) await world.ask(route, { path: fillPath(route.path, mark('path')), ...(body && { body }) }); // prettier-ignore
      await call(route.method.toUpperCase(), `/${mark('unknown path')}?token=${mark('query')}`, { body: route.method === 'get' ? undefined : {} }); // prettier-ignore
    }
    for (const path of ['/metrics', '/healthz', '/readyz', '/openapi.json'])
      await SELF.fetch(`http://rukun.test${path}?token=${marks.make('secret', path)}`, {
        headers: { authorization: `Bearer ${marks.make('secret', `token for ${path}`)}` },
      });
    await world.judge();
  });
});

describe('P23 what a request holds is in no error', () => {
  const FAILURES: Record<string, () => void> = {
    'the database at once': () => failDatabases(1),
    'the database at the second round trip': () => failDatabases(2),
    'the limiter': failLimiter,
    'the hub': failHub,
    'the queues': failQueues,
    'the files': failFiles,
    'the bridge, away': () => failBridges('away'),
    'the bridge, not the right one': () => failBridges('echo'),
    'the bridge, with an error': () => failBridges('refuses'),
  };

  test.each(Object.keys(FAILURES))('when this fails and says all that it was told: %s', async what => {
    const world = await MarkedWorld.make();
    const before = countFailures();
    FAILURES[what]!();
    const of_network = in_order.filter(({ path }) =>
      /\/(routers|bridges|devices|imports|provisioning|ip-pools)/.test(path),
    );
    const asked = what.includes('database') ? in_order : what.includes('bridge') ? of_network : in_order.filter(route => with_body.includes(route)); // prettier-ignore
    for (const route of asked) await world.ask(route, { body: world.markedBody(route) });
    // and what nobody waits for: rounds, and what a queue asks for
    const of_tenant = { tenant_id: world.tenant.id };
    const router_id = world.ids.routers!;
    await consume('rukun-jobs', [{ ...of_tenant, kind: 'sweep' }, { ...of_tenant, kind: 'daily' }, { ...of_tenant, kind: 'drift', router_id }]); // prettier-ignore
    await consume('rukun-provisioning', [{ ...of_tenant, router_id }]);
    expect(countFailures()).toBeGreaterThan(before);
    if (what.startsWith('the database')) {
      const faults = world.answers.filter(({ answer }) => answer.status === 500);
      expect(faults.length).toBeGreaterThan(40);
      expect(world.lines.filter(line => line.includes('"code":"INTERNAL_ERROR"')).length).toBe(faults.length);
    }
    forgetTenants();
    await world.judge();
  });
});

describe('P23 copies', () => {
  test('the copy of a router that an import kept holds no password', async () => {
    const world = await MarkedWorld.make();
    const { tenant, ids, marks } = world;
    const job = await tenant.post('/imports', { router_id: ids.routers, kind: 'secrets' });
    await expect.poll(async () => (await tenant.get(`/jobs/${job.id}`)).status, { interval: 50 }).toBe('completed'); // prettier-ignore
    ids.imports = job.import_id;
    ids.jobs = job.id;
    for (const route of routes.filter(route => route.method === 'get' && /\/(imports|jobs|customers)/.test(route.path)))
      await world.ask(route);
    const copy = world.answers.find(({ route }) => route.endsWith('/imports/:id/copy'))!.answer;
    expect([copy.status, marks.find(copy.text).length]).toEqual([200, 2]);
    const objects = await env.FILES.list({ prefix: `tenants/${tenant.id}/` });
    expect(objects.objects.length).toBeGreaterThan(0);
    for (const { key } of objects.objects) {
      const kept = await (await env.FILES.get(key))!.text();
      expect(marks.find(key + kept, 'secret')).toEqual([]);
    }
    await world.judge();
  });
});

test('every route with a body has fields that are marked', () => {
  const marks = new Marks();
  const bare = json_routes.filter(route => marks.find(JSON.stringify(markBody(route, sampleBody(route), marks))).length === 0); // prettier-ignore
  // what has no text of its own
  const none = bare.map(route => `${nameOf(route)} ${fieldsOf(route).map(field => field.name)}`);
  expect(none.filter(name => /name|note|reason|password|token|address/.test(name))).toEqual([]);
});
