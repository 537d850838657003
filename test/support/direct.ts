import { createExecutionContext, env, waitOnExecutionContext } from 'cloudflare:test';
import { app } from '../../src/app.ts';
import type { Env } from '../../src/env.ts';
import { type Answer, type CallOptions, readAnswer } from './world.ts';

type DirectOptions = Pick<CallOptions, 'token' | 'tenant' | 'body' | 'headers'>;

/** A call to the app with other settings than the tests' own: closed sign-up, say. */
export const callWith = (settings: Partial<Env>, method: string, path: string, options: DirectOptions = {}) =>
  callIn({ ...env, ...settings } as Env, method, path, options);

/** A call to the app in another environment: with rotated keys, say. */
export async function callIn(
  environment: Env,
  method: string,
  path: string,
  options: DirectOptions = {},
): Promise<Answer> {
  const headers = new Headers(options.headers);
  if (options.token) headers.set('authorization', `Bearer ${options.token}`);
  if (options.tenant) headers.set('x-tenant-id', options.tenant);
  if (options.body !== undefined) headers.set('content-type', 'application/json');
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  const execution = createExecutionContext();
  const request = new Request(`http://rukun.test${path}`, { method, headers, body });
  const response = await app.fetch(request, environment, execution);
  const answer = await readAnswer(method, path, response);
  await waitOnExecutionContext(execution);
  return answer;
}

/** Every row of every table of a database, for telling whether anything changed. */
export async function dumpDatabase(d1: D1Database): Promise<Record<string, unknown[]>> {
  const { results } = await d1
    .prepare(
      `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
      AND name NOT LIKE '~_cf~_%' ESCAPE '~' AND name NOT LIKE 'customers~_search~_%' ESCAPE '~' ORDER BY name`,
    )
    .all<{ name: string }>();
  const answers = await d1.batch(results.map(({ name }) => d1.prepare(`SELECT * FROM "${name}"`)));
  return Object.fromEntries(results.map(({ name }, index) => [name, answers[index]!.results]));
}
