import './quiet-env.ts';
import { parseArgs } from 'node:util';
import { runChild } from './run-child.ts';

/** `npm run simulate`: the schedules of test/network/simulation.test.ts, any number of them, from any seed. */

const HELP = `Usage: npm run simulate -- [options]

Runs random schedules: what staff do, what somebody does on a router's console, restarts, drops, lost, late and repeated
messages. After each one both routers must hold just what they must, and all that is shown of them must be true.

  --seed N            the same schedules again; without it a random one, which is printed
  --schedules N       how many (200)
  --path P            only this schedule of the seed, as a failure has told it
  --steps JSON        just these steps, as a failure has told them
  --shrink-seconds N  how long to look for the fewest steps that still fail (60); 0: tell the whole schedule
  --help              this text
`;

/** A mistake in what was asked for; its message is shown as it is. */
class UsageError extends Error {}

function readCount(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^-?\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`--${name} must be a whole number, ${least} to ${most}; got ${text}`);
}

function readArgs(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seed: { type: 'string' },
        schedules: { type: 'string', default: '200' },
        path: { type: 'string' },
        steps: { type: 'string' },
        'shrink-seconds': { type: 'string', default: '60' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function checkSteps(text: string): string {
  try {
    const steps: unknown = JSON.parse(text);
    if (Array.isArray(steps) && steps.every(step => typeof step?.do === 'string')) return text;
  } catch {
    // told below
  }
  throw new UsageError('--steps must be a JSON list of steps, as a failure tells them');
}

/** How vitest.config.ts hands it on: see test/support/simulation-network.ts. Null: only the help is wanted. */
function chooseEnvironment(args: string[]): Record<string, string> | null {
  const { seed, schedules, path = '', steps, help, ...others } = readArgs(args);
  if (help) return null;
  if (path !== '' && !/^\d+(:\d+)*$/.test(path)) throw new UsageError(`--path must be numbers and colons; got ${path}`);
  if (path !== '' && seed === undefined) throw new UsageError('--path needs the --seed that it is of');
  const chosen =
    seed === undefined ? Math.floor(Math.random() * 2 ** 31) : readCount('seed', seed, -(2 ** 31), 2 ** 31 - 1);
  // a path names one schedule, and fast-check goes on from there
  const count = path === '' ? readCount('schedules', schedules, 1, 1_000_000) : 1;
  return {
    SIMULATION_SEED: String(chosen),
    SIMULATION_SCHEDULES: String(count),
    SIMULATION_PATH: path,
    SIMULATION_STEPS: steps === undefined ? '' : checkSteps(steps),
    SIMULATION_SHRINK_SECONDS: String(readCount('shrink-seconds', others['shrink-seconds'], 0, 86_400)),
  };
}

try {
  const environment = chooseEnvironment(process.argv.slice(2));
  if (environment === null) process.stdout.write(HELP);
  else {
    Object.assign(process.env, environment);
    if (!environment.SIMULATION_STEPS)
      process.stdout.write(`seed ${environment.SIMULATION_SEED}, ${environment.SIMULATION_SCHEDULES} schedules\n`);
    runChild(['node_modules/vitest/vitest.mjs', 'run', '--project', 'network', 'test/network/simulation.test.ts']);
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\nTry: npm run simulate -- --help\n`);
  process.exitCode = 2;
}
