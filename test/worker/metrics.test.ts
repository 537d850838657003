import { createExecutionContext, env, evictDurableObject, SELF, waitOnExecutionContext } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { mustStore, type Times } from '../../durable-objects/metrics/when-to-store.ts';
import { routes } from '../../src/app.ts';
import { makeAmbient } from '../../src/context.ts';
import { COUNTERS, HISTOGRAMS, writeSeries } from '../../src/metrics/catalogue.ts';
import { EXPOSITION_TYPE, writeExposition } from '../../src/metrics/exposition.ts';
import { count, forgetCounts, HAND_ON_EVERY_MS, handOn, metricsOf, observe } from '../../src/metrics/isolate.ts';
import { Tally, type Counts } from '../../src/metrics/tally.ts';
import worker from '../../src/worker.ts';
import { callWith } from '../support/direct.ts';
import { readExposition } from '../support/exposition.ts';
import { recordLines } from '../support/lines.ts';
import { consume } from '../support/queues.ts';
import { call, TestTenant } from '../support/world.ts';

const TOKEN = 'bukan-untuk-siapa-siapa/+=';

beforeEach(() => {
  env.METRICS_TOKEN = TOKEN;
  forgetCounts();
});

afterEach(() => {
  delete env.METRICS_TOKEN;
  env.LOG_REQUESTS = 'no';
  forgetCounts();
  vi.restoreAllMocks();
});

const fetchMetrics = (authorization?: string) =>
  SELF.fetch('http://rukun.test/metrics', { headers: authorization === undefined ? {} : { authorization } });

async function scrape() {
  const response = await fetchMetrics(`Bearer ${TOKEN}`);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, EXPOSITION_TYPE]);
  const text = await response.text();
  return { text, ...readExposition(text) };
}

describe('/metrics', () => {
  test('is for whoever holds the token, and isn’t there without that setting', async () => {
    for (const given of [
      undefined,
      '',
      TOKEN,
      `Basic ${TOKEN}`,
      'Bearer ',
      'Bearer x',
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      `Bearer x ${TOKEN}`,
    ]) {
      const refused = await fetchMetrics(given);
      expect([refused.status, refused.headers.get('www-authenticate')], given).toEqual([401, 'Bearer']);
      expect(await refused.text()).not.toMatch(/rukun_|HELP/);
    }
    expect((await fetchMetrics(`Bearer ${TOKEN}`)).status).toBe(200);
    for (const METRICS_TOKEN of [undefined, '']) {
      const given = await callWith({ METRICS_TOKEN }, 'GET', '/metrics', { token: TOKEN });
      const elsewhere = await callWith({ METRICS_TOKEN }, 'GET', '/nowhere');
      expect([given.status, given.error.code, given.error.message]).toEqual([404, elsewhere.error.code, elsewhere.error.message]); // prettier-ignore
      expect((await callWith({ METRICS_TOKEN }, 'GET', '/metrics', { token: 'undefined' })).status).toBe(404);
    }
  });

  test('counts each request by method, route and status, with what its line says of the database', async () => {
    const tenant = await TestTenant.signUp();
    const before = (await scrape()).values;
    const lines = recordLines();
    const plan = await tenant.addPlan();
    for (let i = 0; i < 3; i++) await tenant.get('/service-plans');
    await tenant.get(`/service-plans/${plan.id}`);
    await tenant.call('GET', `/service-plans/${crypto.randomUUID()}`);
    await tenant.call('POST', '/service-plans', { body: { name: '' } });
    await call('GET', '/service-plans', { tenant: tenant.slug });
    await call('GET', '/nowhere');
    await SELF.fetch('http://rukun.test/api/v1/nowhere', { method: 'PROPFIND' });
    await tenant.get('/mikrotik/routers');
    const { text, values } = await scrape();
    const rise = (series: string) => (values.get(series) ?? 0) - (before.get(series) ?? 0);
    const requests = (method: string, route: string, status: number) =>
      rise(`rukun_requests_total{method="${method}",route="${route}",status="${status}"}`);
    const [list, one] = ['/api/v1/service-plans', '/api/v1/service-plans/:id'];
    expect(requests('POST', list, 201)).toBe(1);
    expect(requests('GET', list, 200)).toBe(3);
    expect(requests('GET', one, 200)).toBe(1);
    expect(requests('GET', one, 404)).toBe(1);
    expect(requests('POST', list, 400)).toBe(1);
    expect(requests('GET', list, 401)).toBe(1);
    expect(requests('GET', 'none', 404)).toBe(1);
    expect(requests('other', 'none', 404)).toBe(1);
    expect(requests('GET', '/api/v1/routers', 200)).toBe(1);
    expect(rise('rukun_errors_total{code="NOT_FOUND"}')).toBe(3);
    expect(rise('rukun_errors_total{code="UNAUTHORIZED"}')).toBe(1);
    expect(rise('rukun_errors_total{code="VALIDATION_ERROR"}')).toBe(1);
    // every line of the log, added up
    const told = lines.map(line => JSON.parse(line) as Record<string, number & string>).filter(({ route }) => route === list); // prettier-ignore
    expect(told).toHaveLength(6);
    const sum = (field: string) => told.reduce((all, line) => all + Number(line[field]), 0);
    for (const field of ['round_trips', 'rows_read', 'rows_written']) {
      expect(sum(field)).toBeGreaterThan(0);
      expect(rise(`rukun_database_${field}_total{route="${list}"}`), field).toBe(sum(field));
    }
    const duration = 'rukun_request_duration_seconds';
    expect(rise(`${duration}_count{route="${list}"}`)).toBe(6);
    expect(rise(`${duration}_sum{route="${list}"}`)).toBeCloseTo(sum('duration_ms') / 1000, 6);
    expect(rise(`${duration}_bucket{route="${list}",le="0.05"}`)).toBe(told.filter(line => Number(line.duration_ms) <= 50).length); // prettier-ignore
    // whose they were is nobody's business
    for (const word of [tenant.id, tenant.slug, tenant.admin.id, plan.id]) expect(text).not.toContain(word);
    // and no label has a value that somebody made up
    const known = new Set([...routes.map(route => route.path), '/metrics', 'none']);
    for (const [, route] of text.matchAll(/[{,]route="([^"]*)"/g)) expect(known).toContain(route);
  });

  test('says what the directory says now, in one round trip; the counts come without it too', async () => {
    const one = await TestTenant.signUp();
    await TestTenant.signUp();
    await env.DIRECTORY_DB.prepare("UPDATE tenants SET status = 'suspended' WHERE id = ?").bind(one.id).run();
    // one that nobody wakes: whoever does brings it up
    await env.DIRECTORY_DB.prepare("INSERT INTO tenants (id, slug, name, status, schema_version, created_at, updated_at) VALUES ('x', 'x', 'x', 'active', 1, 1, 1)").run(); // prettier-ignore
    await env.DIRECTORY_DB.prepare("UPDATE shards SET state = 'broken' WHERE binding = 'TENANT_DB_0006'").run();
    const ask = async (directory: Partial<D1Database>) => {
      const { status, text } = await callWith({ DIRECTORY_DB: directory as D1Database }, 'GET', '/metrics', { headers: { authorization: `Bearer ${TOKEN}` } }); // prettier-ignore
      expect(status).toBe(200);
      const { values } = readExposition(text);
      expect(values.has('rukun_blocks_total')).toBe(true);
      return Object.fromEntries([...values].filter(([series]) => /^rukun_(tenants|databases|directory)/.test(series)));
    };
    let round_trips = 0;
    const counted = (start: string) => {
      const session = env.DIRECTORY_DB.withSession(start);
      vi.spyOn(session, 'batch').mockImplementation(statements => {
        round_trips++;
        return env.DIRECTORY_DB.withSession(start).batch(statements) as never;
      });
      return session;
    };
    expect(await ask({ withSession: counted as never })).toEqual({
      rukun_directory_up: 1,
      'rukun_tenants{status="provisioning"}': 0,
      'rukun_tenants{status="active"}': 2,
      'rukun_tenants{status="suspended"}': 1,
      'rukun_tenants{status="pending_deletion"}': 0,
      'rukun_tenants{status="deleted"}': 0,
      rukun_tenants_behind_schema: 1,
      'rukun_databases{state="free"}': 3,
      'rukun_databases{state="assigned"}': 2,
      'rukun_databases{state="draining"}': 0,
      'rukun_databases{state="broken"}': 1,
    });
    expect(round_trips).toBe(1);
    recordLines();
    const away = () => {
      throw new Error('the directory is away');
    };
    expect(await ask({ withSession: away })).toEqual({ rukun_directory_up: 0 });
  });

  test('counts queue messages by how they ended, and the sweep', async () => {
    const tenant = await TestTenant.signUp();
    recordLines();
    const body = { tenant_id: tenant.id, kind: 'sweep' };
    await consume('rukun-jobs', [body, body]);
    await (await tenant.database()).prepare('ALTER TABLE refresh_tokens RENAME TO gone').run();
    await consume('rukun-jobs', [body]);
    const { values } = await scrape();
    expect(values.get('rukun_queue_messages_total{queue="rukun-jobs",outcome="done"}')).toBe(2);
    expect(values.get('rukun_queue_messages_total{queue="rukun-jobs",outcome="failed"}')).toBe(1);
    expect(values.get('rukun_queue_seconds_count{queue="rukun-jobs"}')).toBe(2);
    expect(values.get('rukun_database_round_trips_total{route="rukun-jobs"}')).toBeGreaterThan(1);
    await worker.scheduled!({} as never, env, createExecutionContext());
    expect((await scrape()).values.get('rukun_sweeps_total{outcome="done"}')).toBe(1);
  });
});

describe('an isolate', () => {
  const ask = async (now: number, settings: object = {}) => {
    const execution = createExecutionContext();
    count('rukun_sweeps_total', { outcome: 'done' });
    handOn({ ...makeAmbient({ ...env, ...settings }, execution), now });
    await waitOnExecutionContext(execution);
  };
  const swept = async () => (await metricsOf(env).read()).counters['rukun_sweeps_total{outcome="done"}'] ?? 0;

  test('hands its counts on with a request, at most so often, and never without a token', async () => {
    const start = 1_800_000_000_000;
    await ask(start, { METRICS_TOKEN: undefined });
    await ask(start, { METRICS_TOKEN: '' });
    expect(await swept()).toBe(0);
    await ask(start);
    expect(await swept()).toBe(3);
    await ask(start + 1);
    await ask(start + HAND_ON_EVERY_MS - 1);
    expect(await swept()).toBe(3);
    await ask(start + HAND_ON_EVERY_MS);
    expect(await swept()).toBe(6);
    // a clock that was set back
    await ask(start - HAND_ON_EVERY_MS);
    expect(await swept()).toBe(7);
  });

  test('keeps what it could not hand on', async () => {
    const lines = recordLines();
    const away = vi.spyOn(env.METRICS, 'get').mockReturnValue({ add: () => Promise.reject(new Error('rahasia')) } as never); // prettier-ignore
    await ask(1_800_000_000_000);
    away.mockRestore();
    expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([{ level: 'error', object: 'metrics' }]);
    expect(lines.join()).not.toContain('rahasia');
    expect(await swept()).toBe(0);
    await ask(1_800_000_000_000 + HAND_ON_EVERY_MS);
    expect(await swept()).toBe(2);
  });
});

describe('the object that adds up', () => {
  const of = (by: number): Counts => ({ counters: { rukun_blocks_total: by }, histograms: {} });
  const blocks = async () => (await metricsOf(env).read()).counters.rukun_blocks_total;

  test('keeps what it was told when it falls asleep, where calls are far between', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      for (let at = 1; at <= 3; at++) {
        await metricsOf(env).add(of(1));
        await evictDurableObject(metricsOf(env));
        expect(await blocks()).toBe(at);
      }
      // awake, and told again at once: that is not worth a row
      await metricsOf(env).add(of(1));
      await metricsOf(env).add(of(10));
      expect(await blocks()).toBe(14);
      await evictDurableObject(metricsOf(env));
      expect(await blocks()).toBe(4);
      await metricsOf(env).add(of(1));
      vi.setSystemTime(Date.now() + 5000);
      await metricsOf(env).add(of(1));
      await evictDurableObject(metricsOf(env));
      expect(await blocks()).toBe(6);
    } finally {
      vi.useRealTimers();
    }
  });

  test('writes at most every 30 seconds where calls come often, and never more than there are calls', () => {
    const gap_ms = fc.integer({ min: 0, max: 4999 });
    fc.assert(
      fc.property(fc.array(gap_ms, { minLength: 1, maxLength: 400 }), gaps => {
        let times: Times = { stored_at: null, added_at: null };
        let [now, stored] = [1_800_000_000_000, 0];
        const start = now;
        for (const gap of gaps) {
          const is_due = mustStore(times, now);
          if (is_due) stored++;
          times = { stored_at: is_due ? now : times.stored_at, added_at: now };
          expect(now - times.stored_at!).toBeLessThan(30_000);
          now += gap;
        }
        expect(stored).toBeLessThanOrEqual(1 + Math.floor((now - start) / 30_000));
      }),
    );
  });
});

describe('counts', () => {
  const text = fc.constantFrom('', 'a', '/x/:id', '"', '\\', '\n', '\\n', 'é', '{', '}', ',', ' ');
  const number = fc.nat(1000);
  type Step = { route: string; ms: number; queue: string };
  const step = fc.record({ route: text, ms: fc.nat(100_000), queue: text });
  const make = (steps: readonly Step[]): Counts => {
    const tally = new Tally();
    for (const { route, ms, queue } of steps) {
      tally.count(writeSeries('rukun_database_rows_read_total', { route }), ms);
      tally.observe(writeSeries('rukun_queue_seconds', { queue }), HISTOGRAMS.rukun_queue_seconds.bounds, ms / 1000);
    }
    return tally.take();
  };
  const add = (all: readonly Counts[]): Counts => {
    const tally = new Tally();
    for (const each of all) tally.add(each);
    return tally.read();
  };
  const sorted = ({ counters, histograms }: Counts) => [
    Object.entries(counters).sort(),
    Object.entries(histograms).map(([series, values]) => [series, values.map(value => Math.round(value * 1000))]).sort(), // prettier-ignore
  ];

  test('come to the same, however many isolates counted them and in whatever order they handed them on', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(step, fc.nat(3)), { maxLength: 40 }),
        fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
        (steps, order) => {
          // prettier-ignore
          const whole = make(steps.map(([each]) => each));
          const parts = order.map(isolate => make(steps.filter(([, of]) => of === isolate).map(([each]) => each)));
          expect(sorted(add(parts))).toEqual(sorted(whole));
        },
      ),
    );
  });

  test('are text that Prometheus can read, whatever a label holds, and never fall', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.array(step, { maxLength: 30 }),
        number,
        (before, more, gauge) => {
          const gauges = { [writeSeries('rukun_tenants', { status: 'active' })]: gauge };
          const [first, second] = [make(before), add([make(before), make(more)])].map(counts => readExposition(writeExposition(counts, gauges))); // prettier-ignore
          for (const [series, value] of first!.values) expect(second!.values.get(series)).toBeGreaterThanOrEqual(value);
          for (const { queue } of before) {
            const value = JSON.stringify(queue);
            const of_queue = before.filter(each => each.queue === queue);
            const bucket = (le: string) => first!.values.get(`rukun_queue_seconds_bucket{queue=${value},le="${le}"}`);
            expect(bucket('+Inf')).toBe(of_queue.length);
            expect(bucket('2')).toBe(of_queue.filter(({ ms }) => ms <= 2000).length);
            expect(first!.values.get(`rukun_queue_seconds_sum{queue=${value}}`)).toBeCloseTo(of_queue.reduce((all, { ms }) => all + ms, 0) / 1000, 3); // prettier-ignore
          }
          expect(first!.values.get('rukun_tenants{status="active"}')).toBe(gauge);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('without a label are there from the start; of another code’s buckets nothing is left', () => {
    const { values, types } = readExposition(writeExposition({ counters: {}, histograms: {} }, {}));
    const bare = Object.entries(COUNTERS).filter(([, { labels }]) => labels.length === 0);
    expect(bare.length).toBeGreaterThan(1);
    expect(Object.fromEntries(values)).toEqual(Object.fromEntries(bare.map(([name]) => [name, 0])));
    expect([...types.values()]).toEqual(bare.map(() => 'counter'));
    const tally = new Tally();
    const series = writeSeries('rukun_queue_seconds', { queue: 'q' });
    tally.observe(series, [1], 0.5);
    expect(writeExposition(tally.read(), {})).not.toContain('rukun_queue_seconds');
    tally.observe(series, HISTOGRAMS.rukun_queue_seconds.bounds, 0.3);
    expect(tally.read().histograms[series]).toEqual([0, 1, 0, 0, 0, 0, 0.3]);
  });

  test('have an end, should a label have none', () => {
    const tally = new Tally();
    for (let at = 0; at < 20_000; at++) tally.count(`rukun_errors_total{code="${at}"}`, 1);
    tally.count('rukun_errors_total{code="1"}', 1);
    const { counters } = tally.read();
    expect([Object.keys(counters).length, counters['rukun_errors_total{code="1"}']]).toEqual([10_000, 2]);
  });

  test('are counted under the names that the catalogue has', async () => {
    count('rukun_limited_total', { policy: 'user' }, 2);
    count('rukun_blocks_total', {});
    observe('rukun_queue_seconds', { queue: 'q' }, 61);
    const { values } = await scrape();
    expect(values.get('rukun_limited_total{policy="user"}')).toBe(2);
    expect(values.get('rukun_blocks_total')).toBe(1);
    expect(values.get('rukun_limiter_failures_total')).toBe(0);
    expect(values.get('rukun_queue_seconds_bucket{queue="q",le="60"}')).toBe(0);
    expect(values.get('rukun_queue_seconds_bucket{queue="q",le="+Inf"}')).toBe(1);
  });
});
