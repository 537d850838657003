/** Which accounts are lived through. In `npm test` always the same ones: others by ACCOUNT_SEED and ACCOUNT_RUNS. */
export type AccountOptions = {
  seed: number;
  runs: number;
  /** Of fast-check: which of the seed. Empty: all of them. */
  path: string;
  /** Steps of an account's life, at most. */
  steps: number;
  /** Tell what was met, also when all is well. */
  is_told: boolean;
};

const TESTED_SEED = 20261120;

export const readAccountOptions = (environment: Record<string, string | undefined> = process.env): AccountOptions => ({
  seed: Number(environment.ACCOUNT_SEED || TESTED_SEED),
  runs: Number(environment.ACCOUNT_RUNS || 30),
  path: environment.ACCOUNT_PATH ?? '',
  steps: Number(environment.ACCOUNT_STEPS || 40),
  is_told: environment.ACCOUNT_RUNS !== undefined,
});
