import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import {
  ACCESS_TOKEN_SECONDS,
  formatTenantSecret,
  hashSecret,
  makeSecret,
  REFRESH_TOKEN_SECONDS,
  signAccessToken,
} from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import type { Write } from '../../db/commit.ts';
import { toIso } from '../../lib/time.ts';
import { settings, SETTINGS_ID, type SettingsRow } from '../settings/index.ts';
import { refresh_tokens, revokeRefreshTokens, toUser, type UserRow } from '../users/index.ts';
import type { Session } from './schema.ts';

/** A session: a family of refresh tokens, of which one is in use, and the access tokens that came with them. */

export interface OpenedSession {
  write: Write;
  answer: z.input<typeof Session>;
}

/** Where a session goes on, as it is shown to its user. */
export interface Opening {
  /** The session's id: new at each sign-in. */
  family_id: string;
  signed_in_at: string;
  user_agent: string | null;
  /** Roles that need a second factor. */
  second_factor_roles: SettingsRow['second_factor_roles'];
}

/** Who acts on their own account. */
export interface Self extends Pick<Opening, 'second_factor_roles'> {
  user: UserRow;
}

const MOST_AGENT = 200;

export const userAgentOf = (request: Request): string | null =>
  // header values may hold anything that is a byte
  request.headers
    .get('user-agent')
    ?.replace(/[^\x20-\x7e]/g, '?')
    .slice(0, MOST_AGENT) ?? null;

/** The statement that says who needs a second factor. */
export const selectSecondFactorRoles = (ctx: Context) =>
  ctx.db.orm
    .select({ second_factor_roles: settings.second_factor_roles })
    .from(settings)
    .where(eq(settings.id, SETTINGS_ID));

/** A new pair of tokens, and the row that stands for the refresh token: its hash, never itself. */
export async function openSession(ctx: Context, user: UserRow, opening: Opening): Promise<OpenedSession> {
  const { family_id, signed_in_at, user_agent, second_factor_roles } = opening;
  const secret = makeSecret();
  const at = toIso(ctx.now);
  const write = ctx.db.orm.insert(refresh_tokens).values({
    id: ctx.newId(),
    user_id: user.id,
    token_hash: await hashSecret(secret),
    family_id,
    signed_in_at,
    user_agent,
    expires_at: toIso(ctx.now + REFRESH_TOKEN_SECONDS * 1000),
    ip_address: ctx.ip,
    created_at: at,
    updated_at: at,
  });
  const lacks_second_factor = second_factor_roles.includes(user.role) && user.totp_enabled_at === null;
  const bearer = { id: user.id, role: user.role, session_id: family_id, lacks_second_factor };
  const answer = {
    access_token: await signAccessToken(ctx.env, ctx.tenant, bearer, ctx.now, ctx.newId()),
    refresh_token: formatTenantSecret(ctx.tenant.id, secret),
    token_type: 'Bearer' as const,
    expires_in: ACCESS_TOKEN_SECONDS,
    must_set_up_second_factor: lacks_second_factor,
    user: toUser(user),
    tenant: ctx.tenant,
  };
  return { write, answer };
}

/** What ends all sessions of a user, and begins another for whoever did that: its tokens are the answer. */
export async function beginAnew(ctx: Context, { user, second_factor_roles }: Self, user_agent: string | null) {
  const at = toIso(ctx.now);
  const opening = { family_id: ctx.newId(), signed_in_at: at, user_agent, second_factor_roles };
  const session = await openSession(ctx, user, opening);
  return {
    /** For the user's row. */
    tokens_valid_from: at,
    writes: [revokeRefreshTokens(ctx, user.id), session.write],
    answer: session.answer,
  };
}

export const revokeFamily = (ctx: Context, family_id: string): Write =>
  ctx.db.orm
    .update(refresh_tokens)
    .set({ revoked_at: toIso(ctx.now) })
    .where(sql`${refresh_tokens.family_id} = ${family_id} AND ${refresh_tokens.revoked_at} IS NULL`);

/** Who signs in or out acts as the user that they showed to be. */
export const actingAs = (ctx: Context, user: UserRow, session_id: string): Context => ({
  ...ctx,
  actor: {
    kind: 'user',
    id: user.id,
    role: user.role,
    token_issued_at: ctx.now,
    session_id,
    lacks_second_factor: false,
  },
});
