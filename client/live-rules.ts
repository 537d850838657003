import { retryDelay_ms, type Backoff } from '../src/lib/retry.ts';

/** What the live connection decides: pure. */

export interface LiveTiming {
  /** How often the other side is asked whether it is there. */
  ping_ms: number;
  /** How long it may then say nothing at all. */
  silence_ms: number;
  /** How long it may take to come up, and how long whoever gives tokens may take. */
  open_ms: number;
  /** What stays up this long has worked: the next failure is a first one. */
  steady_ms: number;
  /** How long before its end a token is replaced; one that lives shorter, in the last quarter of its time. */
  renew_ms: number;
  backoff: Backoff;
}

export const LIVE_TIMING: LiveTiming = {
  ping_ms: 25_000,
  silence_ms: 10_000,
  open_ms: 15_000,
  steady_ms: 5_000,
  renew_ms: 60_000,
  backoff: { first_ms: 500, most_ms: 30_000 },
};

/** `unauthorized`: no token that is taken. `suspended`: the provider's account. `closed`: by the caller. */
export type ClosedReason = 'unauthorized' | 'suspended' | 'closed';

const UNAUTHORIZED = 4401;
const SUSPENDED = 4403;

/** How a connection ended, and how long it had been up; null: it never was. */
export interface Ending {
  code: number;
  lasted_ms: number | null;
}

export interface Tries {
  /** Connections in a row that came to nothing. */
  failures: number;
  /** Since a connection last held, the token was asked for anew: because it was refused, or may have been. */
  is_renewed: boolean;
  is_doubted: boolean;
}

export const FIRST_TRY: Tries = { failures: 0, is_renewed: false, is_doubted: false };

/** `doubt`: whether the token that was used is to blame. */
export type NextStep =
  | { do: 'end'; reason: ClosedReason }
  | { do: 'retry'; wait_ms: number; tries: Tries; doubt: 'none' | 'maybe' | 'sure' };

/**
 * What follows. A token that was refused is asked for anew, once; a browser can't tell a refused upgrade from a network
 * that is away, so there the token is asked for anew as well, once.
 */
export function nextStep({ code, lasted_ms }: Ending, before: Tries, timing: LiveTiming, random: number): NextStep {
  if (code === SUSPENDED) return { do: 'end', reason: 'suspended' };
  const tries = lasted_ms !== null && lasted_ms >= timing.steady_ms ? FIRST_TRY : before;
  if (code === UNAUTHORIZED) {
    if (tries.is_renewed) return { do: 'end', reason: 'unauthorized' };
    return { do: 'retry', wait_ms: 0, tries: { ...tries, is_renewed: true }, doubt: 'sure' };
  }
  const failures = tries.failures + 1;
  const is_in_doubt = lasted_ms === null && !tries.is_doubted;
  return {
    do: 'retry',
    wait_ms: retryDelay_ms(failures, random, timing.backoff),
    tries: { ...tries, failures, is_doubted: tries.is_doubted || is_in_doubt },
    doubt: is_in_doubt ? 'maybe' : 'none',
  };
}

export interface Wanted {
  events: readonly string[] | undefined;
  since: number | null;
}

/** `https://melati.rukun.example` → `wss://melati.rukun.example/api/v1/ws?since=7`. */
export function socketUrl(base: string, { events, since }: Wanted): string {
  const url = new URL('/api/v1/ws', base);
  url.protocol = url.protocol === 'http:' || url.protocol === 'ws:' ? 'ws:' : 'wss:';
  if (since !== null) url.searchParams.set('since', String(since));
  if (events) url.searchParams.set('events', events.join(','));
  return url.href;
}

interface Lifetime {
  iat: number;
  exp: number;
}

/** From when to when a JWT says that it is good, in epoch seconds; null where it doesn't say. */
export function lifetimeOf(token: string): Lifetime | null {
  try {
    const payload = token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/');
    const { iat, exp } = JSON.parse(atob(payload)) as Partial<Lifetime>;
    return typeof exp === 'number' ? { iat: typeof iat === 'number' ? iat : exp, exp } : null;
  } catch {
    return null;
  }
}

/** Whether a token has nothing left, by its own word; one that says nothing isn't one of the API's. */
export function isSpent(token: string, now: number): boolean {
  const lifetime = lifetimeOf(token);
  return lifetime === null || lifetime.exp * 1000 <= now;
}

/** Whether what failed may work later: the network or the server was away, or asked for patience. */
export function isPassing(error: unknown): boolean {
  // what fetch throws
  if (error instanceof TypeError) return true;
  const { name, status } = (error ?? {}) as { name?: unknown; status?: unknown };
  if (name === 'TimeoutError' || name === 'AbortError') return true;
  return typeof status === 'number' && (status >= 500 || status === 429);
}

/** No token is replaced more often than this, whatever it says. */
const SOONEST_MS = 100;

/** How long to wait before the token is replaced; null: it doesn't say when it ends. */
export function renewalDelay_ms(token: string, now: number, renew_ms: number): number | null {
  const lifetime = lifetimeOf(token);
  if (!lifetime) return null;
  const whole_ms = (lifetime.exp - lifetime.iat) * 1000;
  const left_ms = lifetime.exp * 1000 - now;
  // a clock that is wrong tells nothing: the token was taken a moment ago, so it has some time
  const is_plausible = left_ms > 0 && (whole_ms <= 0 || left_ms <= whole_ms + renew_ms);
  const rest_ms = is_plausible ? left_ms : whole_ms / 2;
  return Math.max(SOONEST_MS, rest_ms - Math.min(renew_ms, rest_ms / 4));
}
