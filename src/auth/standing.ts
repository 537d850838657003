import type { Role } from './permissions.ts';

/** Whether who holds a token may still act: pure. What counts are the rows of user and session, not what the token once said. */

export interface Standing {
  is_active: boolean;
  role: string;
  /** Epoch ms: tokens from before are over (another role or password, signed out everywhere). */
  tokens_valid_from: number;
  /** The session was ended: signed out, by its user or an admin, or because its refresh token was used twice. */
  session_is_over?: boolean;
}

export const isInGoodStanding = (user: Standing | null, token: { role: Role; token_issued_at: number }): boolean =>
  user !== null &&
  user.is_active &&
  user.role === token.role &&
  user.tokens_valid_from <= token.token_issued_at &&
  !user.session_is_over;
