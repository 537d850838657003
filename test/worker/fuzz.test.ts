import { env, SELF } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { routes } from '../../src/app.ts';
import { ErrorAnswer } from '../../src/http/envelope.ts';
import type { Route } from '../../src/http/resource.ts';
import { fillPath, nameOf } from '../support/contract.ts';
import { addRows, idFor, resourceOf } from '../support/rows.ts';
import { hostileQueryKeys, hostileQueryValues, hostileSegments } from '../support/fuzz/hostile.ts';
import { FuzzWorld, tellRepeat } from '../support/fuzz/world.ts';
import { TestTenant } from '../support/world.ts';

/** Hostile requests to every route that the document tells of: a new route is fuzzed without a line here. */

/** Resources side by side in one world, which is dear to make. */
const ROUTES_PER_WORLD = 30;

interface Group {
  name: string;
  routes: Route[];
}

const groups: Group[] = [];
for (const [resource, own] of Map.groupBy(routes, resourceOf)) {
  const last = groups.at(-1);
  if (last && last.routes.length < ROUTES_PER_WORLD) {
    last.name += ` /${resource}`;
    last.routes.push(...own);
  } else groups.push({ name: `/${resource}`, routes: [...own] });
}

const tallies = new Map<string, Map<number, number>>();

const SECONDS_PER_REQUEST = 0.5;

describe('never a 500, whatever is sent', () => {
  for (const { name, routes: own } of groups)
    test(
      `to the routes of ${name}:`,
      async () => {
        const world = await FuzzWorld.make();
        for (const route of own) await world.fuzz(route, env.TEST_FUZZ);
        for (const [route, counts] of world.tally) tallies.set(route, counts);
        expect(world.complaints, tellRepeat(`${name}:`)).toEqual([]);
      },
      (600 + own.length * env.TEST_FUZZ.runs * SECONDS_PER_REQUEST) * 1000,
    );

  test('every route was reached', async () => {
    const told = [...tallies].map(
      ([name, counts]) =>
        `${name}: ${[...counts]
          .sort(([a], [b]) => a - b)
          .map(([status, count]) => `${status}×${count}`)
          .join(' ')}`,
    );
    const total = [...tallies.values()].flatMap(counts => [...counts.values()]).reduce((sum, count) => sum + count, 0);
    if (env.TEST_FUZZ.is_told)
      await fetch(`${env.TEST_SIMULATION.control_url}/say`, {
        method: 'POST',
        body: [...told, `${total} requests`].join('\n'),
      });
    expect(routes.map(nameOf).filter(name => !tallies.has(name))).toEqual([]);
  });
});

/** Paths of no route, and longer or odder than any. */
const outsidePaths = fc.oneof(
  fc.constantFrom('/', '//', '/%2e%2e/', '/api', '/api/v1', '/api/v1/', '/api//v1/zones', '/API/V1/zones', '/openapi.json', '/docs/live', '/healthz', '/readyz', '/.well-known/jwks.json', `/${'x'.repeat(100_000)}`, `/api/v1/zones?${'a=1&'.repeat(20_000)}`, `/api/v1/zones/${'%41'.repeat(30_000)}`, `/api/v1${'/x'.repeat(10_000)}`, `/api/v1/customers?search=${'%F0%9F%92%A9'.repeat(5_000)}`), // prettier-ignore
  fc
    .tuple(
      fc.constantFrom(
        '/',
        '/api/v1/',
        '/api/v1/mikrotik/routers',
        '/api/v1/mikrotik/routers/',
        '/docs/',
        '/.well-known/',
      ),
      hostileSegments,
    ) // prettier-ignore
    .map(parts => parts.join('')),
  fc
    .tuple(
      fc.constantFrom('/healthz', '/openapi.json', '/api/v1/zones', '/docs/live'),
      hostileQueryKeys,
      hostileQueryValues,
    )
    .map(([path, key, value]) => `${path}?${key}=${value}`),
);

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'SEARCH', 'PURGE'];

describe('beside the routes', () => {
  /** A complaint, or null. */
  const look = async (method: string, path: string, headers: Record<string, string>): Promise<string | null> => {
    const response = await SELF.fetch(`http://rukun.test${path}`, { method, headers, redirect: 'manual' });
    const text = await response.text();
    const told = `${method} ${path.slice(0, 200)}: ${response.status} ${text.slice(0, 200)}`;
    if (response.status === 500) return `an internal error: ${told}`;
    if (!response.headers.get('x-request-id')) return `no X-Request-Id: ${told}`;
    if (method === 'HEAD') return text === '' ? null : `a body: ${told}`;
    const is_refusal = response.status >= 400 && !path.includes('/isolir/');
    return !is_refusal || ErrorAnswer.strict().safeParse(JSON.parse(text)).success ? null : `another form: ${told}`;
  };

  test('never a 500 for another method on the path of a route', async () => {
    const tenant = await TestTenant.signUp();
    const ids = await addRows(tenant);
    const headers = { authorization: `Bearer ${tenant.admin.token}`, 'x-tenant-id': tenant.slug };
    const complaints: (string | null)[] = [];
    for (const [path, own] of Map.groupBy(routes, route => route.path)) {
      const known = own.map(route => route.method.toUpperCase());
      for (const method of METHODS.filter(each => !known.includes(each)))
        complaints.push(await look(method, fillPath(path, idFor(own[0]!, ids)), headers));
    }
    expect(complaints.filter(each => each !== null)).toEqual([]);
  });

  test('never a 500 for a path of no route, however long or odd, nor at the root', async () => {
    const tenant = await TestTenant.signUp();
    const headers = { authorization: `Bearer ${tenant.admin.token}` };
    const complaints: (string | null)[] = [];
    const property = fc.asyncProperty(fc.constantFrom(...METHODS), outsidePaths, async (method, path) => {
      complaints.push(await look(method, path, headers));
    });
    const { seed, runs } = env.TEST_FUZZ;
    await fc.assert(property, { seed, numRuns: runs * 30, endOnFailure: true });
    expect(
      complaints.filter(each => each !== null),
      tellRepeat('no route'),
    ).toEqual([]);
  });
});
