// Other people's RouterOS API clients, unchanged, against the simulated router: see README.md here.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { playTwice } from './ansible.ts';
import { CLIENTS } from './clients.ts';
import type { Client, Fault } from './clients.ts';
import { listModes, startRouter } from './router.ts';
import type { Mode } from './router.ts';
import { tellStory } from './story.ts';

interface Job {
  client: Client;
  found: string;
  argv: string[];
  mode: Mode;
  version: string;
}

interface Result extends Job {
  failures: Map<string, string>;
  faults: Fault[];
  not_seen: Fault[];
}

const OLD_LOGIN_VERSION = '6.42';
const HELP = `node scripts/foreign-clients/run.ts [options]
  --clients a,b     only the clients whose names hold one of these
  --modes a,b       of plain, old, tls, adh
  --versions a,b    RouterOS versions (6.48,7.16,7.18); the old login is tried with ${OLD_LOGIN_VERSION}
  --sources DIR     where the clients that are in no Debian package are (/tmp/foreign)
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      clients: { type: 'string' },
      modes: { type: 'string' },
      versions: { type: 'string', default: '6.48,7.16,7.18' },
      sources: { type: 'string', default: '/tmp/foreign' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const wanted = { clients: split(values.clients), modes: split(values.modes), versions: values.versions.split(',') };
  const work = mkdtempSync(path.join(os.tmpdir(), 'rukun-foreign-build-'));
  const chosen = CLIENTS.filter(({ name }) => wanted.clients?.some(part => name.includes(part)) ?? true);
  const modes = listModes().filter(mode => wanted.modes?.includes(mode) ?? true);
  const missing: Client[] = [];
  const jobs: Job[] = [];
  for (const client of chosen) {
    const found = client.find(values.sources);
    if (found === null) missing.push(client);
    else jobs.push(...listJobs(client, found, client.prepare(values.sources, work), modes, wanted.versions));
  }
  const results = await runAll(jobs);
  rmSync(work, { recursive: true, force: true });
  return report(results, missing);
}

const split = (list: string | undefined) => list?.split(',');

function listJobs(client: Client, found: string, argv: string[], modes: Mode[], versions: string[]): Job[] {
  return modes
    .filter(mode => client.modes.includes(mode))
    .flatMap(mode =>
      (mode === 'old' ? [OLD_LOGIN_VERSION] : versions).map(version => ({ client, found, argv, mode, version })),
    );
}

async function runAll(jobs: Job[]): Promise<Result[]> {
  const results: (Result | undefined)[] = jobs.map(() => undefined);
  let next = 0;
  const work = async () => {
    while (next < jobs.length) {
      const at = next++;
      const job = jobs[at];
      if (job === undefined) return;
      results[at] = judge(job, await tryOut(job));
      process.stderr.write(`\r${results.filter(Boolean).length} of ${jobs.length} `);
    }
  };
  await Promise.all(Array.from({ length: os.availableParallelism() + 1 }, work));
  process.stderr.write('\r');
  return results.filter(result => result !== undefined);
}

async function tryOut({ client, argv, mode, version }: Job): Promise<Map<string, string>> {
  try {
    const router = await startRouter(version, mode);
    try {
      return await (client.is_ansible ? playTwice(router) : tellStory(argv, router, client.env?.(mode)));
    } finally {
      await router.stop();
    }
  } catch (error) {
    return new Map([['start', error instanceof Error ? error.message : String(error)]]);
  }
}

/** Takes out of the failures what is the client's own fault. */
function judge(job: Job, failures: Map<string, string>): Result {
  const known = job.client.faults.filter(
    ({ since, modes }) => (since === undefined || isSince(job.version, since)) && (modes?.includes(job.mode) ?? true),
  );
  const faults = known.filter(({ step }) => failures.has(step));
  const not_seen = failures.has('sign in') ? [] : known.filter(({ step }) => !failures.has(step));
  return {
    ...job,
    failures: new Map([...failures].filter(([step]) => !faults.some(fault => fault.step === step))),
    faults,
    not_seen,
  };
}

function isSince(version: string, since: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [since_major = 0, since_minor = 0] = since.split('.').map(Number);
  return major > since_major || (major === since_major && minor >= since_minor);
}

function report(results: Result[], missing: Client[]): number {
  const lines = [['client', 'its version', 'mode', 'RouterOS', 'result']];
  const groups = Object.groupBy(results, ({ client, mode, failures, faults }) =>
    [client.name, mode, [...failures.keys()].join('; '), faults.map(({ step }) => step).join('; ')].join('\n'),
  );
  for (const group of Object.values(groups)) {
    const [first] = group ?? [];
    if (first === undefined) continue;
    const own =
      first.faults.length > 0 ? ` but for its own fault: ${first.faults.map(({ step }) => step).join('; ')}` : '';
    const outcome = first.failures.size === 0 ? `passed${own}` : `FAILED: ${[...first.failures.keys()].join('; ')}`;
    const versions = group?.map(({ version }) => version).join(', ') ?? '';
    lines.push([first.client.name, first.found, first.mode, versions, outcome]);
  }
  const widths = [0, 1, 2, 3].map(column => Math.max(...lines.map(line => line[column]?.length ?? 0)));
  const say = (line: string) => process.stdout.write(`${line}\n`);
  for (const line of lines)
    say(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );

  const reasons = new Set(
    results.flatMap(({ client, faults }) => faults.map(({ step, reason }) => `${client.name}, ${step}: ${reason}`)),
  );
  if (reasons.size > 0) say(`\nThe clients' own faults:\n  ${[...reasons].join('\n  ')}`);
  const unseen = results.flatMap(({ client, mode, version, not_seen }) =>
    not_seen.map(
      ({ step }) => `${client.name}, ${mode}, ${version}: ${step} went well, though it is listed as a fault`,
    ),
  );
  if (unseen.length > 0) say(`\nNot seen this time:\n  ${unseen.join('\n  ')}`);
  const failed = results.filter(({ failures }) => failures.size > 0);
  if (failed.length > 0) say('\nWhat failed:');
  for (const { client, mode, version, failures } of failed) {
    for (const [step, message] of failures) say(`  ${client.name}, ${mode}, ${version}: ${step}: ${message}`);
  }
  if (missing.length > 0) say('\nNot on this machine:');
  for (const { name, get } of missing) say(`  ${name}: ${get}`);
  say(`\n${results.length - failed.length} passed, ${failed.length} failed, ${missing.length} skipped`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main();
