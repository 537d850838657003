import './quiet-env.ts';
// before any part looks for them
import './build-assets.mjs';
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { endWithParent } from './run-child.ts';

/**
 * `npm test`: all tests, in a few programs side by side, since vitest takes what is in the Workers runtime one after the other.
 * What each says comes line by line, and the counts of all at the end.
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

interface Part {
  args: string[];
  /** As of `nice`: what measures time goes before the others. */
  priority: number;
}

const PARTS: Part[] = [
  { args: ['--project', 'node'], priority: 0 },
  ...[['--project', 'network'], ...(asked.length > 0 ? [['--project', 'worker']] : deal('worker'))].map(args => ({
    args,
    priority: 10,
  })),
];
/** With more, whoever waits for an answer of the other side waits in vain. */
const AT_ONCE = 3;

/** As scripts/count-reporter.ts tells it. */
const COUNTS = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/;

const waiting = [...PARTS];
const children = new Set<ChildProcess>();
const end = () => {
  waiting.length = 0;
  children.forEach(child => child.kill('SIGTERM'));
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
endWithParent(end);

/** Counts of one part; one that ended without telling them has failed. */
async function run({ args, priority }: Part): Promise<number[]> {
  const child = spawn(process.execPath, ['scripts/vitest.ts', 'run', '--passWithNoTests', ...args, ...asked], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: process.stdout.isTTY ? '1' : '0' },
  });
  children.add(child);
  setPriority(child.pid!, priority);
  let counts: number[] | null = null;
  const exit = new Promise<number | null>(resolve => child.on('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const found = COUNTS.exec(line);
    if (found) counts = found.slice(1).map(count => Number(count ?? 0));
    else process.stdout.write(`${line}\n`);
  }
  const code = await exit;
  children.delete(child);
  if (counts === null) return [0, 1, 0];
  // an error outside of any test
  return code !== 0 && counts[1] === 0 ? [counts[0]!, 1, counts[2]!] : counts;
}

const totals = [0, 0, 0];
async function runInTurn(): Promise<void> {
  for (let part = waiting.shift(); part; part = waiting.shift())
    for (const [at, count] of (await run(part)).entries()) totals[at]! += count;
}
await Promise.all(Array.from({ length: AT_ONCE }, runInTurn));
const [passed, failed, skipped] = totals;
process.stdout.write(`${passed} passed, ${failed} failed${skipped! > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exit(failed === 0 ? 0 : 1);
