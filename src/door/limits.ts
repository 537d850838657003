import type { Count } from '../../durable-objects/rate-limiter/door.ts';
import { hashSecret } from '../auth/tokens.ts';
import type { Env } from '../env.ts';

/** What is counted, and how much of it there may be: the settings LIMIT_… say so. */

const MINUTE_MS = 60_000;

const aMinute = (most: string) => ({ most: Number(most), window_ms: MINUTE_MS });

/** All that a user does, wherever from. */
export const userLimit = (env: Env, user_id: string): Count => ({
  policy: 'user',
  subject: user_id,
  limit: aMinute(env.LIMIT_USER_PER_MINUTE),
});

/** All that comes from an address. */
export const addressLimit = (env: Env, address: string): Count => ({
  policy: 'address',
  subject: address,
  limit: aMinute(env.LIMIT_ADDRESS_PER_MINUTE),
});

const signInLimit = (env: Env, subject: string): Count => ({
  policy: 'sign-in',
  subject,
  limit: aMinute(env.LIMIT_SIGNIN_PER_MINUTE),
  is_kept: true,
});

/** Tries to sign in, from one address and for one account; right ones too. Whose account it is is kept as a hash. */
export const signInLimits = async (env: Env, address: string, email: string): Promise<[Count, Count]> => [
  signInLimit(env, address),
  signInLimit(env, await hashSecret(email)),
];

/** Tries for an account at a blocked address that it was used from before: apart from those of its owner elsewhere. */
export const blockedSignInLimit = async (address: string, email: string): Promise<Count> => ({
  policy: 'sign-in',
  subject: await hashSecret(`${address} ${email}`),
  limit: { most: 10, window_ms: 60 * MINUTE_MS },
  is_kept: true,
});

/** Wrong codes of a user's app, wherever from: who tries many knows the password. Recovery codes are too long to be guessed. */
export const wrongCodeLimit = (user_id: string): Count => ({
  policy: 'second-factor',
  subject: user_id,
  limit: { most: 10, window_ms: 60 * MINUTE_MS },
  is_kept: true,
});

export const signUpLimit = (env: Env, address: string): Count => ({
  policy: 'sign-up',
  subject: address,
  limit: { most: Number(env.LIMIT_SIGNUP_PER_HOUR), window_ms: 60 * MINUTE_MS },
  is_kept: true,
});
