import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';

/** wrangler's build step: what the pages need from packages is served from our own origin, never from another host. */

const ROOT = path.dirname(import.meta.dirname);
const TARGET = path.join(ROOT, 'public/docs-assets/vendor');

mkdirSync(TARGET, { recursive: true });
for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js'])
  cpSync(path.join(ROOT, 'node_modules/swagger-ui-dist', file), path.join(TARGET, file));
