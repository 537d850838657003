import { vi } from 'vitest';

/** What is expected comes to be so in the end. Only a failing test waits so long. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 60_000, interval: 5 });
