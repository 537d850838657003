import { createExecutionContext, env } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { AppError, ERRORS, Fault, type ErrorCode } from '../../src/errors.ts';
import { describeError } from '../../src/lib/describe-error.ts';
import worker from '../../src/worker.ts';
import { recordLines } from '../support/lines.ts';
import { consume } from '../support/queues.ts';
import { call, TestTenant } from '../support/world.ts';

type Line = Record<string, unknown>;

let lines: string[];
const parsed = () => lines.map(line => JSON.parse(line) as Line);

beforeEach(() => {
  lines = recordLines();
});

afterEach(() => {
  env.LOG_REQUESTS = 'no';
  vi.restoreAllMocks();
});

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const NUMBER = expect.any(Number) as number;

describe('a line of the log', () => {
  test('of a request: who, which route, how it ended and what it cost; not the path, the query or an id', async () => {
    const tenant = await TestTenant.signUp();
    lines.length = 0;
    const id = crypto.randomUUID();
    await tenant.call('GET', `/customers/${id}`, { headers: { 'x-request-id': 'nomor-12345' } });
    await tenant.call('GET', '/customers', { query: { search: 'budi' } });
    await call('GET', '/customers', { tenant: tenant.slug });
    await call('GET', `/rahasia/${id}`);
    const [missing, list, stranger, nowhere] = parsed();
    const cost = { round_trips: 1, statements: NUMBER, rows_read: NUMBER, rows_written: 0 };
    const none = { round_trips: 0, statements: 0, rows_read: 0, rows_written: 0 };
    const common = { time: expect.stringMatching(TIME) as string, level: 'info', method: 'GET', duration_ms: NUMBER };
    const some_id = expect.stringMatching(/^[\w-]{36}$/) as string;
    const route = '/api/v1/customers';
    expect(missing).toEqual({ ...common, ...cost, request_id: 'nomor-12345', tenant: tenant.slug, route: `${route}/:id`, status: 404, code: 'NOT_FOUND' }); // prettier-ignore
    expect(list).toEqual({ ...common, ...cost, request_id: some_id, tenant: tenant.slug, route, status: 200, code: null }); // prettier-ignore
    expect(stranger).toEqual({ ...common, ...none, request_id: some_id, tenant: null, route, status: 401, code: 'UNAUTHORIZED' }); // prettier-ignore
    expect(nowhere).toEqual({ ...common, ...none, request_id: some_id, tenant: null, route: null, status: 404, code: 'NOT_FOUND' }); // prettier-ignore
    expect(lines.join()).not.toMatch(new RegExp(`budi|search|rahasia|${id}`));
    expect(lines).toHaveLength(4);
  });

  test('comes once for a request under the older name of a route, under the number that its answer has', async () => {
    const tenant = await TestTenant.signUp();
    lines.length = 0;
    const answer = await tenant.call('GET', '/mikrotik/routers');
    expect(answer.status).toBe(200);
    expect(parsed()).toMatchObject([
      { request_id: answer.headers.get('x-request-id'), route: '/api/v1/routers', status: 200 },
    ]);
  });

  test('counts what every try of a request asked of the database', async () => {
    const tenant = await TestTenant.signUp();
    const zone = await tenant.post('/zones', { name: 'Utara' });
    const database = await tenant.database();
    // in the directory the tenant was put back meanwhile: the isolate's word of it is old, and the write is tried again
    await env.DIRECTORY_DB.prepare('UPDATE tenants SET epoch = epoch + 1 WHERE id = ?').bind(tenant.id).run();
    await database.prepare('UPDATE tenant_state SET epoch = epoch + 1').run();
    lines.length = 0;
    expect((await tenant.call('PUT', `/zones/${zone.id}`, { body: { name: 'Selatan' } })).status).toBe(200);
    expect(parsed()).toMatchObject([{ route: '/api/v1/zones/:id', status: 200, round_trips: 4 }]);
  });

  test('of a fault of ours: one with where it came up, beside the request’s own', async () => {
    const tenant = await TestTenant.signUp();
    await (await tenant.database()).prepare('ALTER TABLE zones RENAME TO gone').run();
    lines.length = 0;
    const answer = await tenant.call('GET', '/zones');
    expect(answer.status).toBe(500);
    const about = { level: 'error', request_id: answer.error.request_id, tenant: tenant.slug, method: 'GET', route: '/api/v1/zones' }; // prettier-ignore
    const [failure, request] = parsed();
    expect(failure).toEqual({
      ...about,
      time: expect.stringMatching(TIME) as string,
      error: expect.stringMatching(/^Error: no such table: zones( < |$)/) as string,
      at: expect.arrayContaining([expect.stringMatching(/runTogether .*session\.ts:\d+:\d+/)]) as string[],
    });
    expect(request).toMatchObject({ ...about, status: 500, code: 'INTERNAL_ERROR' });
    expect(lines).toHaveLength(2);
  });

  test('of a queue message: which queue, what for, how it ended, after how many tries, and what it cost', async () => {
    const tenant = await TestTenant.signUp();
    lines.length = 0;
    const body = { tenant_id: tenant.id, kind: 'sweep', note: 'rahasia' };
    expect(await consume('rukun-jobs', [body, body])).toEqual(['ack', 'ack']);
    const about = { queue: 'rukun-jobs', kind: 'sweep', tenant_id: tenant.id, tenant: tenant.slug, attempts: 1 };
    const request_id = expect.any(String) as string;
    const time = expect.stringMatching(TIME) as string;
    expect(parsed()).toEqual([
      { ...about, time, level: 'info', request_id, outcome: 'done', messages: 2, duration_ms: NUMBER, round_trips: NUMBER, statements: NUMBER, rows_read: NUMBER, rows_written: NUMBER }, // prettier-ignore
    ]);
    expect(parsed()[0]!.round_trips).toBeGreaterThan(0);
    await (await tenant.database()).prepare('ALTER TABLE refresh_tokens RENAME TO gone').run();
    lines.length = 0;
    expect(await consume('rukun-jobs', [body])).toEqual(['retry']);
    const [failure, message] = parsed();
    expect(failure).toMatchObject({ ...about, level: 'error', error: expect.stringContaining('no such table: refresh_tokens') }); // prettier-ignore
    expect(message).toMatchObject({ ...about, level: 'error', outcome: 'failed', messages: 1, round_trips: 1 });
    expect(failure!.request_id).toBe(message!.request_id);
    expect(lines.join()).not.toContain('rahasia');
  });

  test('of the sweep; when it fails the platform gets no word of the error', async () => {
    await TestTenant.signUp();
    const sweep = () => worker.scheduled!({} as never, env, createExecutionContext());
    lines.length = 0;
    await sweep();
    expect(parsed()).toMatchObject([{ level: 'info', job: 'sweep', outcome: 'done', duration_ms: NUMBER }]);
    lines.length = 0;
    vi.spyOn(env.JOBS_QUEUE, 'sendBatch').mockRejectedValue(new Error('queue says rahasia'));
    await expect(sweep()).rejects.toThrow(/^the sweep failed$/);
    expect(parsed()).toMatchObject([
      { level: 'error', job: 'sweep', error: 'Error' },
      { level: 'error', job: 'sweep', outcome: 'failed' },
    ]);
    expect(lines.join()).not.toContain('rahasia');
  });

  test('isn’t written for what went well when LOG_REQUESTS is no; what failed is', async () => {
    const tenant = await TestTenant.signUp();
    await (await tenant.database()).prepare('ALTER TABLE zones RENAME TO gone').run();
    env.LOG_REQUESTS = 'no';
    lines.length = 0;
    await tenant.call('GET', '/customers');
    await tenant.call('GET', '/zones');
    expect(parsed()).toMatchObject([{ error: expect.stringContaining('no such table') }]);
  });
});

describe('an error in the log', () => {
  const secret = fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{17}$/);
  const around = fc.constantFrom('', ' ', '"', "'", '\n', '\n    at ', ': ', '.', '(', ')', '_');
  const caught = (run: () => unknown): Error => {
    try {
      run();
    } catch (error) {
      return error as Error;
    }
    throw new Fault('it should have failed');
  };
  const renamed = (message: string, later: string) => Object.assign(new Error(message), { message: later });

  /** Everything that may hold a value, made with one. */
  const WAYS: Record<string, (value: string) => unknown> = {
    'an error of somebody’s': value => new Error(value),
    'a value in a sentence': value => new Error(`the router said ${value}, and no more`),
    'a value behind known words': value => new Error(`D1_ERROR: no such table: settings${value}`),
    'a value where a column stands': value => new Error(`D1_ERROR: UNIQUE constraint failed: ${value}: SQLITE_ERROR`),
    'a value beside known words': value => new Error(`malformed JSON\n${value}`),
    'a frame that isn’t one': value => new Error(`x\n    at ${value} (index.js:1:1)`),
    'two of them': value => new Error(`x\n    at ${value} (index.js:1:1)\n    at ${value} (index.js:1:1)`),
    'a type error': value => new TypeError(value),
    'a JSON parser': value => caught(() => JSON.parse(`<${value}`)),
    'a property': value => caught(() => (undefined as never as Record<string, string>)[value]),
    zod: value => caught(() => z.strictObject({ a: z.literal('b') }).parse({ a: value, [value]: 1 })),
    'a cause': value => new Error('outer', { cause: new Error(value) }),
    'a query with its parameters': value => new Error(`Failed query: select 1\nparams: ${value}`, { cause: new Error('D1_ERROR: malformed JSON: SQLITE_ERROR') }), // prettier-ignore
    'an error’s name': value => Object.assign(new Error('x'), { name: `x ${value}` }),
    'a message that was changed': value => renamed('before', value),
    'a refusal': value => new AppError('ROUTER_UNREACHABLE', value, { field: [value] }, { header: value }),
    'a bare text': value => value,
    'a bare object': value => ({ password: value }),
  };

  test('P23 never holds a value, whoever said it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(WAYS)), secret, around, around, (way, core, before, behind) => {
        const error = WAYS[way]!(`${before}${core}${behind}`);
        expect(JSON.stringify(describeError(error)), way).not.toContain(core);
      }),
      { numRuns: 1000 },
    );
    // and where it is hidden it stood before: each of them holds it
    for (const [way, make] of Object.entries(WAYS)) {
      const error = make('Rahasia123') as Error;
      const { stack = '', message = '', name = '', cause } = error;
      const whole = [JSON.stringify(error), stack, message, name, cause instanceof Error ? cause.message : ''].join();
      expect(whole, way).toContain('Rahasia123');
    }
  });

  test('holds its kind, its causes’, our own words, and the frames that lead there', () => {
    const { error, at } = describeError(new Error('x', { cause: new RangeError('y') }));
    expect(error).toBe('Error < RangeError');
    expect(at[0]).toMatch(/logs\.test\.ts:\d+:\d+/);
    expect(describeError(new Fault('no sealing key k1')).error).toBe('Fault: no sealing key k1');
    for (const code of Object.keys(ERRORS) as ErrorCode[])
      expect(describeError(new AppError(code, 'Budi')).error).toBe(`AppError ${code}`);
    expect(describeError('x')).toEqual({ error: 'a thrown string', at: [] });
    expect(describeError(null)).toEqual({ error: 'a thrown null', at: [] });
    const deep = Array.from({ length: 50 }).reduce<Error | undefined>(
      (cause, _, at) => new (at % 2 ? TypeError : RangeError)('x', { cause }),
      undefined,
    );
    expect(describeError(deep).error).toBe('TypeError < RangeError < TypeError < RangeError');
  });

  test('holds what the database says of its schema, as it really says it', async () => {
    const tenant = await TestTenant.signUp();
    const database = await tenant.database();
    const said = async (...statements: string[]) => {
      const failed = database.batch(statements.map(statement => database.prepare(statement)));
      return describeError(await failed.then(() => null, (error: unknown) => error)).error; // prettier-ignore
    };
    const zone = (id: string, name: string) =>
      `INSERT INTO zones (id, name, created_at, updated_at) VALUES ('${id}', '${name}', 1, 1)`;
    expect(await said('SELECT * FROM nowhere')).toMatch(/^Error: no such table: nowhere/);
    expect(await said('SELECT nope FROM zones')).toMatch(/^Error: no such column: nope/);
    expect(await said(zone('a', 'Budi'), zone('a', 'Ayu'))).toMatch(/^Error: UNIQUE constraint failed: zones\.id/);
    expect(await said("INSERT INTO guard (name, ok) VALUES ('7', 0)")).toMatch(/^Error: guard:7/);
    expect(await said("SELECT json('{Budi')")).toMatch(/^Error: malformed JSON/);
    expect(await said("UPDATE users SET role = 'Budi'")).toMatch(/^Error: CHECK constraint failed: role$/);
    // and not what it quotes
    expect(await said("SELECT 'Budi")).not.toContain('Budi');
    expect(await said('SELECT "Budi Santoso" FROM zones')).not.toContain('Budi');
  });

  test('that nothing waits for is told of by its object', async () => {
    const tenant = await TestTenant.signUp();
    vi.spyOn(env.TENANT_HUB, 'get').mockReturnValue({ wake: () => Promise.reject(new Error('Budi')) } as never);
    lines.length = 0;
    await tenant.post('/zones', { name: 'Utara' });
    await expect.poll(() => lines.some(line => line.includes('"object":"hub"'))).toBe(true);
    expect(lines.join()).not.toContain('Budi');
  });
});
