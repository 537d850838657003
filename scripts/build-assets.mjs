import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';

/**
 * wrangler's build step: what the pages need from packages is served from our own origin, never from another host; and
 * what the Worker reads as an asset rather than carry it in its bundle.
 */

const ROOT = path.dirname(import.meta.dirname);
const TARGET = path.join(ROOT, 'public/docs-assets/vendor');

const FILES = {
  'swagger-ui-dist': ['swagger-ui.css', 'swagger-ui-bundle.js'],
  'dejavu-fonts-ttf/ttf': ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'],
};

/** Another program may read it, or make it, at this moment: it is there as a whole, or not yet. */
function provide(source, target) {
  if (existsSync(target) && readFileSync(source).equals(readFileSync(target))) return;
  const unfinished = `${target}.${process.pid}`;
  copyFileSync(source, unfinished);
  renameSync(unfinished, target);
}

mkdirSync(TARGET, { recursive: true });
for (const [folder, files] of Object.entries(FILES))
  for (const file of files) provide(path.join(ROOT, 'node_modules', folder, file), path.join(TARGET, file));
