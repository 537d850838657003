/** How much is sent. In `npm test` always the same few; others by RUKUN_FUZZ_SEED and RUKUN_FUZZ_RUNS. */
export type FuzzOptions = {
  seed: number;
  /** Requests to each route. */
  runs: number;
  /** Tell what came of them, also when all is well. */
  is_told: boolean;
};

const TESTED_SEED = 20261129;

export const readFuzzOptions = (environment: Record<string, string | undefined> = process.env): FuzzOptions => ({
  seed: Number(environment.RUKUN_FUZZ_SEED || TESTED_SEED),
  runs: Number(environment.RUKUN_FUZZ_RUNS || 4),
  is_told: environment.RUKUN_FUZZ_RUNS !== undefined,
});
