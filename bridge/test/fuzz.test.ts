import { expect, test } from 'vitest';
import { fuzz } from './fuzz.ts';

/** The first always; the second is another each time, and named where it fails. */
test.each([
  ['known', 20_261_120],
  ['new', Date.now() % 1_000_000_000],
])('broken bytes leave nothing hanging and break nothing (%s seed %i)', async (_, seed) => {
  const result = await fuzz({ seed, cases: 1500, until_ms: Infinity });
  expect(result.failure).toBeNull();
  expect(result.decoder_cases + result.connection_cases).toBe(1500);
});
