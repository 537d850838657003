import type { Role } from './permissions.ts';

/** Whether who holds a token may still act: pure. What counts is the user's row, not what the token once said. */

export interface Standing {
  is_active: boolean;
  role: string;
  /** Epoch ms: tokens from before are over (another role or password, signed out everywhere). */
  tokens_valid_from: number;
}

export const isInGoodStanding = (user: Standing | null, token: { role: Role; token_issued_at: number }): boolean =>
  user !== null && user.is_active && user.role === token.role && user.tokens_valid_from <= token.token_issued_at;
