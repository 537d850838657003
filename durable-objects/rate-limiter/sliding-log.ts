/** A sliding log: exact, since it remembers when each admitted request came. Pure. */

export interface Limit {
  /** At most this many… */
  most: number;
  /** …in any window of this length. */
  window_ms: number;
}

export interface Verdict {
  admitted: boolean;
  remaining: number;
  /** When the next one would be admitted; 0 when now. */
  retry_after_ms: number;
}

/** Whether one more would be admitted. What has left the window is dropped from the log. */
export function look(log: number[], now: number, { most, window_ms }: Limit): Verdict {
  while (log.length > 0 && log[0]! <= now - window_ms) log.shift();
  if (log.length < most) return { admitted: true, remaining: most - log.length, retry_after_ms: 0 };
  return { admitted: false, remaining: 0, retry_after_ms: log[log.length - most]! + window_ms - now };
}

/** `log`: times of what was admitted, oldest first. */
export function admit(log: number[], now: number, limit: Limit): Verdict {
  const verdict = look(log, now, limit);
  if (!verdict.admitted) return verdict;
  log.push(now);
  return { ...verdict, remaining: verdict.remaining - 1 };
}

/** Drops one that came at that time; false when none is remembered. */
export function takeBack(log: number[], at: number): boolean {
  const index = log.indexOf(at);
  if (index >= 0) log.splice(index, 1);
  return index >= 0;
}
