import fc from 'fast-check';
import type { SimulationOptions } from '../network.ts';
import { isStep, schedules, type Step, tellStep } from './steps.ts';
import { World } from './world.ts';

/** Many schedules from one seed. A schedule that fails is shrunk, and told so that it can be run again. */

export interface Simulated {
  /** Null: all is well. */
  failure: string | null;
  summary: string;
}

export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const world = await World.make();
  const began_ms = Date.now();
  const told = () => summarise(world, (Date.now() - began_ms) / 1000);
  if (options.steps) {
    const steps = options.steps.filter(isStep);
    if (steps.length < options.steps.length) throw new Error('there is a step that nobody knows');
    const error = await findError(world, steps);
    return { failure: error && tellFailure(options, steps, error), summary: told() };
  }
  const property = fc.asyncProperty(schedules, steps => world.run(steps));
  const { seed, schedules: numRuns, path } = options;
  const details = await fc.check(property, { seed, numRuns, ...(path && { path }), endOnFailure: true });
  const summary = told();
  if (!details.failed) return { failure: null, summary };
  const { counterexample, counterexamplePath, errorInstance } = details;
  const short = await shrink(world, counterexample![0], toError(errorInstance), options.shrink_seconds);
  return { failure: tellFailure({ ...options, path: counterexamplePath! }, short.steps, short.error), summary };
}

async function findError(world: World, steps: readonly Step[]): Promise<Error | null> {
  try {
    await world.run(steps);
    return null;
  } catch (error) {
    return toError(error);
  }
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** The same complaint, whatever the names and numbers in it. */
const kindOf = ({ message }: Error): string => message.split(/\d|: expected/)[0]!;

/**
 * Leaves out ever smaller parts, and keeps what still fails in the same way. fast-check's own shrinking, which also makes
 * each number smaller, needs ten times as many schedules for no better a story.
 */
async function shrink(world: World, steps: readonly Step[], error: Error, seconds: number) {
  const until_ms = Date.now() + seconds * 1000;
  let best = { steps, error };
  for (let size = Math.ceil(steps.length / 2); size >= 1;) {
    let is_shorter = false;
    for (let at = best.steps.length - size; at > -size; at -= size) {
      if (Date.now() > until_ms) return best;
      const fewer = best.steps.filter((_step, index) => index < at || index >= at + size);
      const other = await findError(world, fewer);
      if (!other || kindOf(other) !== kindOf(error)) continue;
      best = { steps: fewer, error: other };
      is_shorter = true;
    }
    // one left out may make another needless
    if (size > 1) size = Math.ceil(size / 2);
    else if (!is_shorter) return best;
  }
  return best;
}

function tellFailure({ seed, path }: SimulationOptions, steps: readonly Step[], error: Error): string {
  return [
    `a schedule failed: seed ${seed}, path ${path}; what of it is needed to fail:`,
    ...steps.map((step, at) => `  ${at + 1}. ${tellStep(step)}`),
    '',
    describeError(error),
    '',
    `the whole schedule again: npm run simulate -- --seed ${seed} --path ${path}`,
    `this short one again: npm run simulate -- --steps '${JSON.stringify(steps).replaceAll("'", "'\\''")}'`,
  ].join('\n');
}

/** Whole: what vitest would say of an assertion inside leaves most of it out. */
function describeError(error: Error): string {
  const { actual, expected } = error as { actual?: unknown; expected?: unknown };
  if (actual === undefined && expected === undefined) return error.stack ?? error.message;
  const [message] = error.message.split(': expected ');
  return `${message}\n  is:      ${JSON.stringify(actual)}\n  must be: ${JSON.stringify(expected)}`;
}

function summarise({ counts, wire }: World, seconds: number): string {
  const { steps } = counts;
  return [
    `${counts.schedules} schedules in ${seconds.toFixed(1)} s, ${(seconds / counts.schedules).toFixed(2)} s each`,
    `steps: ${steps.people} by people (${counts.refused} refused), ${steps.hand} by hand, ${steps.fate} by fate; ${counts.sessions} dialled in`,
    `${counts.messages} messages, ${wire.counts.applies} applies, ${wire.counts.changes} entries changed`,
    `on the way to the bridge: ${wire.counts.answers_lost} answers lost, ${wire.counts.requests_late} requests late, ${wire.counts.requests_held} held up, ${wire.counts.requests_repeated} repeated`,
    `at the ends: ${counts.entries} entries as they must be, ${counts.conflicts} conflicts`,
  ].join('\n');
}
