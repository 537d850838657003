import type { Caller, Count, PolicyState, Verdict } from '../../durable-objects/rate-limiter/door.ts';
import type { Block, Suspicion } from '../../durable-objects/rate-limiter/suspicion.ts';
import { hashSecret } from '../auth/tokens.ts';
import type { Actor, Ambient } from '../context.ts';
import { AppError, unauthorized } from '../errors.ts';
import { inTime } from '../lib/in-time.ts';
import { networkOf } from '../lib/network.ts';
import { logFailure } from '../log.ts';
import { count } from '../metrics/isolate.ts';
import { addressLimit, userLimit } from './limits.ts';

/**
 * Whether a request is let in. The limiter is asked when the request comes, beside its first read, and its word is awaited
 * before anything is shown or written (db/session, db/commit, http/endpoint).
 *
 * A limiter that fails or takes longer than LIMITER_PATIENCE_MS lets pass what a token is shown for: whether its user may still act is
 * asked in the database too. What it alone protects, signing in and up, is refused then.
 */

const ASK_AGAIN_MS = 5000;
/** What a suspicion is about is kept as so many characters of its hash: enough to tell one from another. */
const ABOUT_LENGTH = 16;

/** Who counts: a tenant, or the address itself where there is none. */
export type LimiterName = `tenant:${string}` | `address:${string}`;

export const limiterOf = ({ env }: Pick<Ambient, 'env'>, name: LimiterName) =>
  env.RATE_LIMITER.get(env.RATE_LIMITER.idFromName(name));

/** An address that can't be told is one like another. */
export const addressOf = ({ ip }: Pick<Ambient, 'ip'>): string => (ip ? networkOf(ip) : 'unknown');

export interface Admission {
  readonly name: LimiterName;
  readonly caller: Caller;
  /** Waits until it is let in; throws what refuses it. */
  granted(): Promise<void>;
  /**
   * Counts what has a limit of its own; throws what refuses it, and unless told to pass also when nobody can count. Gives the
   * time of it.
   */
  count(counts: readonly Count[], uncounted?: 'refuse' | 'pass'): Promise<number>;
  /** What was counted at that time turned out not to be what is limited. */
  giveBack(counts: readonly Count[], counted_at: number): Promise<void>;
  /** Notes something suspicious. `about`: the same again isn't counted. */
  strike(suspicion: Suspicion, about: string | null): Promise<void>;
  /** The block that closes the ways in to whoever isn't signed in; null where none does. */
  findBlock(): Promise<Block | null>;
  /** What is known by now of how much is left. */
  policies(): readonly PolicyState[];
  /** Blocks that are not in the log yet. */
  unreported(): readonly Block[];
}

/** For work that no request asked for. */
export const ADMITTED: Admission = {
  name: 'address:none',
  caller: { address: 'none', user_id: null, session_id: null },
  granted: async () => {},
  count: async () => 0,
  giveBack: async () => {},
  strike: async () => {},
  findBlock: async () => null,
  policies: () => [],
  unreported: () => [],
};

/** Asks at once. Without an actor it is an address that asks. */
export function askDoor(ambient: Ambient, name: LimiterName, actor: Actor = { kind: 'anonymous' }): Admission {
  const { env, now } = ambient;
  const limiter = limiterOf(ambient, name);
  const address = addressOf(ambient);
  const user = actor.kind === 'user' ? actor : null;
  const caller: Caller = { address, user_id: user?.id ?? null, session_id: user?.session_id ?? null };
  const fail = (error: unknown) => {
    count('rukun_limiter_failures_total', {});
    logFailure({ object: 'limiter', request_id: ambient.request_id }, error);
  };
  const soon = <T>(answer: Promise<T>): Promise<T> =>
    inTime(answer, Number(env.LIMITER_PATIENCE_MS), 'the limiter doesn’t answer');
  const ask = (counts: readonly Count[]): Promise<Verdict> => soon(limiter.ask({ caller, counts, now }));
  const counts = [...(user ? [userLimit(env, user.id)] : []), addressLimit(env, address)];
  let known: Verdict | null = null;
  const reported: Block[] = [];
  const counted = new Map<string, Promise<number>>();
  const asked = ask(counts).then(
    verdict => {
      reported.push(...verdict.unreported);
      return (known = verdict);
    },
    (error: unknown) => {
      fail(error);
      return null;
    },
  );
  const countOwn = async (own: readonly Count[], uncounted: 'refuse' | 'pass'): Promise<number> => {
    const verdict = await ask(own).catch((error: unknown) => {
      fail(error);
      return null;
    });
    if (!verdict && uncounted === 'pass') return now;
    if (!verdict) throw tooMany('It can’t be counted just now; try again in a moment.', ASK_AGAIN_MS);
    if (known) known.policies.push(...verdict.policies);
    if (!verdict.admitted) throw refused(verdict);
    return verdict.counted_at;
  };
  return {
    name,
    caller,
    granted: async () => {
      const verdict = await asked;
      if (!verdict) return;
      if (user && verdict.tokens_valid_from > user.token_issued_at) throw unauthorized();
      const block = user && verdict.blocks.find(({ user_id }) => user_id === user.id);
      if (block) throw blocked(block, now);
      if (!verdict.admitted) throw refused(verdict);
    },
    // an action that lost a race runs again: it was counted
    count: (own, uncounted = 'refuse') => {
      const key = JSON.stringify(own);
      const before = counted.get(key) ?? countOwn(own, uncounted);
      counted.set(key, before);
      return before;
    },
    giveBack: (own, counted_at) => soon(limiter.giveBack(own, counted_at)).catch(fail),
    strike: async (suspicion, about) => {
      const what = about === null ? null : (await hashSecret(about)).slice(0, ABOUT_LENGTH);
      const block = await soon(limiter.strike(suspicion, caller, what, now)).catch(fail);
      if (!block) return;
      count('rukun_blocks_total', {});
      reported.push(block);
    },
    findBlock: async () => (await asked)?.blocks.find(({ user_id }) => user_id === null) ?? null,
    policies: () => known?.policies ?? [],
    unreported: () => reported,
  };
}

const tooMany = (message: string | undefined, wait_ms: number) =>
  new AppError('RATE_LIMIT', message, undefined, { 'Retry-After': String(Math.ceil(wait_ms / 1000)) });

function refused({ refused_by, retry_after_ms }: Verdict): AppError {
  count('rukun_limited_total', { policy: refused_by ?? 'none' });
  return tooMany(undefined, retry_after_ms);
}

/** The address (or its user) did too much that was suspicious. */
export function blocked({ ends_at }: Block, now: number): AppError {
  count('rukun_limited_total', { policy: 'block' });
  return tooMany('This address is blocked for now: too much of what came from it was suspicious.', ends_at - now);
}

const seconds = (ms: number) => Math.ceil(ms / 1000);

/** `RateLimit` and `RateLimit-Policy`, as the IETF's draft writes them. Of one policy the count with the least left speaks. */
export function limitHeaders(policies: readonly PolicyState[]): Record<string, string> {
  if (policies.length === 0) return {};
  const least = new Map<string, PolicyState>();
  for (const state of policies) {
    const before = least.get(state.policy);
    if (!before || state.remaining < before.remaining) least.set(state.policy, state);
  }
  const list = [...least.values()];
  return {
    RateLimit: list
      .map(({ policy, remaining, reset_ms }) => `"${policy}";r=${remaining};t=${seconds(reset_ms)}`)
      .join(', '),
    'RateLimit-Policy': list
      .map(({ policy, most, window_ms }) => `"${policy}";q=${most};w=${seconds(window_ms)}`)
      .join(', '),
  };
}
