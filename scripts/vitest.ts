import './quiet-env.ts';
// the plugin for Workers serves assets, but doesn't run wrangler's build step
import './build-assets.mjs';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { runChild } from './run-child.ts';

/** D1 waits for the disk at each write, as it should; databases of tests are in memory where there is room for them. */
function keepInMemory(): void {
  const MEMORY = '/dev/shm';
  const ROOM_BYTES = 2e9;
  const room = statfsSync(MEMORY);
  if (room.bavail * room.bsize < ROOM_BYTES) return;
  const folder = mkdtempSync(path.join(MEMORY, 'rukun-tests-'));
  process.env.TMPDIR = folder;
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
}

try {
  keepInMemory();
} catch {
  // there is none, or it isn't ours to write to
}
runChild(['node_modules/vitest/vitest.mjs', ...process.argv.slice(2)]);
