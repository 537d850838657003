import './quiet-env.ts';
// once: the two would write the same files at the same moment
import './build-assets.mjs';
import { spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { endWithParent } from './run-child.ts';

/**
 * `npm test`: all tests, in a few programs side by side: they wait more than they work, and vitest takes what is in the
 * Workers runtime one after the other. What each says comes line by line, and the counts of all at the end.
 */

const asked = process.argv.slice(2);

/** All files of a project in two hands that are about as heavy: what takes long is written in long files. */
function deal(project: string): string[][] {
  const folder = `test/${project}`;
  const files = readdirSync(folder)
    .filter(name => name.endsWith('.test.ts'))
    .map(name => ({ path: `${folder}/${name}`, weight: statSync(`${folder}/${name}`).size }))
    .sort((a, b) => b.weight - a.weight);
  const hands = [1, 2].map(() => ({ weight: 0, paths: [] as string[] }));
  for (const { path, weight } of files) {
    const [lighter] = hands.toSorted((a, b) => a.weight - b.weight);
    lighter!.paths.push(path);
    lighter!.weight += weight;
  }
  return hands.map(({ paths }) => ['--project', project, ...paths]);
}

const PARTS = [
  ...(asked.length > 0 ? ['worker', 'network'].map(name => ['--project', name]) : ['worker', 'network'].flatMap(deal)),
  // what measures time goes before the others
  ['--project', 'node'],
];
const PRIORITY = 10;

/** As scripts/count-reporter.ts tells it. */
const COUNTS = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/;

const children = PARTS.map((part, at) => {
  const child = spawn(process.execPath, ['scripts/vitest.ts', 'run', '--passWithNoTests', ...part, ...asked], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: process.stdout.isTTY ? '1' : '0' },
  });
  if (at < PARTS.length - 1) setPriority(child.pid!, PRIORITY);
  return child;
});
const end = () => children.forEach(child => child.kill('SIGTERM'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
endWithParent(end);

/** Counts of one part; one that ended without telling them has failed. */
async function follow(child: (typeof children)[number]): Promise<number[]> {
  let counts: number[] | null = null;
  const exit = new Promise<number | null>(resolve => child.on('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const found = COUNTS.exec(line);
    if (found) counts = found.slice(1).map(count => Number(count ?? 0));
    else process.stdout.write(`${line}\n`);
  }
  const code = await exit;
  if (counts === null) return [0, 1, 0];
  // an error outside of any test
  return code !== 0 && counts[1] === 0 ? [counts[0]!, 1, counts[2]!] : counts;
}

const all = await Promise.all(children.map(follow));
const [passed, failed, skipped] = [0, 1, 2].map(at => all.reduce((sum, counts) => sum + counts[at]!, 0));
process.stdout.write(`${passed} passed, ${failed} failed${skipped! > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exit(failed === 0 ? 0 : 1);
