import { env, reset } from 'cloudflare:test';
import { beforeEach, vi } from 'vitest';
import { tenantBindings, tenantDatabase } from '../../src/env.ts';
import { forgetDirectory } from '../../src/tenancy/directory.ts';

// databases, Durable Objects, queues and files are empty before every test, and so is what the isolate remembers
beforeEach(async () => {
  vi.restoreAllMocks();
  // reset() passes by what is asleep, as a database is after ten idle seconds: a slow test would leave it full
  const databases = [env.DIRECTORY_DB, ...tenantBindings(env).map(binding => tenantDatabase(env, binding))];
  await Promise.all(databases.map(d1 => d1.prepare('SELECT 1').first()));
  await reset();
  forgetDirectory();
});
