import { env } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { simulate } from '../support/simulation/simulate.ts';

/** A schedule costs about a second; a failing one is run again and again to find a short one that fails too. */
const MOST_SECONDS_PER_SCHEDULE = 15;
const { schedules, shrink_seconds } = env.TEST_SIMULATION.options;

test(
  'P29 P29a whatever people, routers, bridge, network and queue do: in the end all is as it must be',
  async () => {
    const { failure, summary } = await simulate(env.TEST_SIMULATION.options);
    if (env.TEST_SIMULATION.options.is_told)
      await fetch(`${env.TEST_SIMULATION.control_url}/say`, { method: 'POST', body: summary });
    if (failure) expect.fail(failure);
  },
  (schedules * MOST_SECONDS_PER_SCHEDULE + 2 * shrink_seconds + 60) * 1000,
);
