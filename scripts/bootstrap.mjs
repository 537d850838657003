// Installs exactly what package-lock.json says when node_modules is missing or older than the lock.
// Runs on Node 20; everything after it runs on node_modules/.bin/node, which npm puts first in PATH.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const lock = readFileSync('package-lock.json');
const wanted = createHash('sha256').update(lock).update(`${process.platform} ${process.arch}`).digest('hex');
const mark = 'node_modules/.bootstrap';
if (!existsSync(mark) || readFileSync(mark, 'utf8') !== wanted) {
  process.stderr.write('installing what package-lock.json names …\n');
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', args, { stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(mark, wanted);
}
