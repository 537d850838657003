import type { Limit } from './sliding-log.ts';

/** What is suspicious, when it comes often from one address. */

export const SUSPICIONS = ['sign_in', 'token', 'tenant', 'id'] as const;
export type Suspicion = (typeof SUSPICIONS)[number];

const MINUTE_MS = 60_000;

/**
 * How many of each an address may do before it is blocked. Only different ones count, except for sign-ins: a program that
 * comes again and again with the same old token, slug or id is a nuisance and no attack.
 */
export const TOLERATED: Readonly<Record<Suspicion, Limit>> = {
  /** Sign-ins that failed. Behind one address may sit many who mistype. */
  sign_in: { most: 15, window_ms: 15 * MINUTE_MS },
  /** Tokens that are none of ours; expired ones are. */
  token: { most: 30, window_ms: 5 * MINUTE_MS },
  /** Names of providers that there aren't, or that are not the token's. */
  tenant: { most: 20, window_ms: 5 * MINUTE_MS },
  /** Ids that there aren't, asked for by one user. */
  id: { most: 50, window_ms: 5 * MINUTE_MS },
};

export const BLOCK_MS = 60 * MINUTE_MS;

export interface Block {
  id: string;
  /** The address, or the /64 network of an IPv6 address. */
  address: string;
  reason: Suspicion;
  /** Who asked for ids; null: whoever is not signed in. */
  user_id: string | null;
  /** Epoch ms. */
  blocked_at: number;
  ends_at: number;
}
