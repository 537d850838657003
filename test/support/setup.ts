import { reset } from 'cloudflare:test';
import { beforeEach } from 'vitest';
import { forgetDirectory } from '../../src/tenancy/directory.ts';

// databases, Durable Objects, queues and files are empty before every test, and so is what the isolate remembers
beforeEach(async () => {
  await reset();
  forgetDirectory();
});
