import { onTestFinished, vi } from 'vitest';

/** Until the end of the test, for all that measures how long something lasts, it is later by what the returned function is told. */
export function makeSkipTime(): (time_ms: number) => void {
  const now = performance.now.bind(performance);
  let ahead_ms = 0;
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + ahead_ms);
  onTestFinished(() => spy.mockRestore());
  return time_ms => void (ahead_ms += time_ms);
}
