import { env, reset } from 'cloudflare:test';
import { afterAll, beforeEach, expect, vi } from 'vitest';
import { tenantBindings, tenantDatabase } from '../../src/env.ts';
import { forgetDirectory } from '../../src/tenancy/directory.ts';
import { makeLocalLimiters } from './limiters.ts';
import { keepImports } from './quick-imports.ts';
import { callThroughRuntime } from './world.ts';

/** Where limits, blocks and sessions are what is tested, they are the real objects'. */
const ABOUT_LIMITS =
  /\/(door|sessions|rate-limiter|tenancy|isolir-page|holes|cors|live|marked-secrets|metrics|logs|fuzz)\.test\.ts$/;
/** Where it is about what requests that come at once, or what follows them, have to do with each other. */
const ABOUT_CONTEXTS = /\/network\/|\/(access|live|migrations|tenancy|door|sessions|fuzz)\.test\.ts$/;
keepImports();
const real_limiters = env.RATE_LIMITER;

// databases, Durable Objects, queues and files are empty before every test, and so is what the isolate remembers
beforeEach(async () => {
  vi.restoreAllMocks();
  // reset() passes by what is asleep, as a database is after ten idle seconds: a slow test would leave it full
  const databases = [env.DIRECTORY_DB, ...tenantBindings(env).map(binding => tenantDatabase(env, binding))];
  await Promise.all(databases.map(d1 => d1.prepare('SELECT 1').first()));
  await reset();
  forgetDirectory();
  const file = expect.getState().testPath ?? '';
  env.RATE_LIMITER = ABOUT_LIMITS.test(file) ? real_limiters : makeLocalLimiters();
  callThroughRuntime(ABOUT_CONTEXTS.test(file));
});

// this file runs again for each file of tests, in the same isolate
afterAll(() => {
  env.RATE_LIMITER = real_limiters;
});
