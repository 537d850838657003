import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

/**
 * wrangler's build step: what the pages need from packages is served from our own origin, never from another host; and
 * what the Worker reads as an asset rather than carry it in its bundle. The dashboard's script and style are put together.
 */

const ROOT = path.dirname(import.meta.dirname);
const PUBLIC = path.join(ROOT, 'public');

const FILES = {
  'swagger-ui-dist': ['swagger-ui.css', 'swagger-ui-bundle.js'],
  'dejavu-fonts-ttf/ttf': ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'],
};

/** Another program may read it, or make it, at this moment: it is there as a whole, or not yet. */
function provide(contents, target) {
  if (existsSync(target) && readFileSync(target).equals(contents)) return;
  mkdirSync(path.dirname(target), { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  writeFileSync(unfinished, contents);
  renameSync(unfinished, target);
}

async function bundleDashboard() {
  const folder = path.join(PUBLIC, 'live-assets');
  const { outputFiles } = await build({
    entryPoints: ['main.ts', 'live.css'].map(file => ({ in: path.join(ROOT, 'web/live', file), out: 'live' })),
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    // of our own origin: found when the page asks for it
    external: ['/docs-assets/*'],
    logLevel: 'warning',
    write: false,
  });
  for (const { path: target, contents } of outputFiles) provide(Buffer.from(contents), target);
}

for (const [folder, files] of Object.entries(FILES))
  for (const file of files)
    provide(readFileSync(path.join(ROOT, 'node_modules', folder, file)), path.join(PUBLIC, 'docs-assets/vendor', file));
await bundleDashboard();
