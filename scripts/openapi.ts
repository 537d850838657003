import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import openapiTS, { astToString } from 'openapi-typescript';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker } from './local-worker.ts';

/**
 * `npm run client`: the OpenAPI document as the built Worker serves it, and the typed client's types from it, into
 * client/generated (which git ignores).
 */

export const GENERATED = path.resolve(import.meta.dirname, '../client/generated');

export async function generateClient(): Promise<Record<string, unknown>> {
  const build_dir = path.resolve('dist');
  buildWorker(build_dir);
  const secrets = await makeSecrets(Date.now());
  const worker = await serveWorker({ build_dir, port: 0, pool_size: 1, bindings: { ...secrets, LOG_REQUESTS: 'no' } });
  try {
    const document = (await (await worker.fetch('/openapi.json')).json()) as Record<string, unknown>;
    mkdirSync(GENERATED, { recursive: true });
    writeFileSync(path.join(GENERATED, 'openapi.json'), JSON.stringify(document, null, 2));
    writeFileSync(path.join(GENERATED, 'schema.ts'), astToString(await openapiTS(document as never)));
    return document;
  } finally {
    await worker.stop();
  }
}

if (import.meta.main) {
  await generateClient();
  process.stdout.write('client/generated is what the API says\n');
}
