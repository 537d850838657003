import { and, desc, eq, gt, isNull, sql, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import type { Context } from '../../context.ts';
import { commit, mustChange, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { lacks, notFound } from '../../errors.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { pageOf, Paging } from '../../http/paging.ts';
import type { Resource } from '../../http/resource.ts';
import { toIso } from '../../lib/time.ts';
import { resetTotp, SecondFactorOff } from '../auth/index.ts';
import { refresh_tokens, revokeRefreshTokens, users } from '../users/index.ts';

/** Where people are signed in: one's own sessions, and for admins everybody's. A session is a family of refresh tokens. */

const SignedInSession = z
  .object({
    id: Id,
    user_id: Id,
    ip_address: z.string().nullable().describe('Of the last renewal, as is the next.'),
    user_agent: z.string().nullable(),
    signed_in_at: Instant,
    last_renewed_at: Instant,
    expires_at: Instant,
    is_current: z.boolean().describe('The one of this request’s token.'),
  })
  .meta({ id: 'SignedInSession' });

const Ended = z.object({ id: Id }).meta({ id: 'EndedSession' });
const SignedOut = z.object({ signed_out: z.literal(true) }).meta({ id: 'SignedOut' });

/** Of a session the one token that can still be used. */
const inUse = (ctx: Context, user_id: string): SQL =>
  and(
    eq(refresh_tokens.user_id, user_id),
    isNull(refresh_tokens.rotated_at),
    isNull(refresh_tokens.revoked_at),
    gt(refresh_tokens.expires_at, toIso(ctx.now)),
  )!;

const selectUser = (ctx: Context, user_id: string) => ctx.db.orm.select().from(users).where(eq(users.id, user_id));

/** More than anybody has; the newest of them. */
const MOST_SESSIONS = 200;

async function listSessions(ctx: Context, user_id: string) {
  const [[user], found] = await read(
    ctx,
    selectUser(ctx, user_id),
    ctx.db.orm
      .select()
      .from(refresh_tokens)
      .where(inUse(ctx, user_id))
      .orderBy(desc(refresh_tokens.created_at))
      .limit(MOST_SESSIONS),
  );
  if (!user) throw notFound('user');
  const current = ctx.actor.kind === 'user' ? ctx.actor.session_id : null;
  return found.map(({ family_id, created_at, ...token }) => ({
    ...token,
    id: family_id,
    last_renewed_at: created_at,
    is_current: family_id === current,
  }));
}

async function endSession(ctx: Context, user_id: string, session_id: string) {
  const family = and(inUse(ctx, user_id), eq(refresh_tokens.family_id, session_id));
  const [found] = await read(ctx, ctx.db.orm.select({ id: refresh_tokens.id }).from(refresh_tokens).where(family));
  if (found.length === 0) throw lacks('session');
  const at = toIso(ctx.now);
  const end = ctx.db.orm
    .update(refresh_tokens)
    .set({ revoked_at: at })
    .where(sql`${refresh_tokens.family_id} = ${session_id} AND ${refresh_tokens.revoked_at} IS NULL`);
  await commit(ctx, [mustChange(end, lacks('session'))], {
    type: 'session.ended',
    action: 'delete',
    entity_id: session_id,
    data: { user_id },
  });
  return { id: session_id };
}

/** Tokens from before are over, wherever they are. */
async function signOutEverywhere(ctx: Context, user_id: string) {
  const [[user]] = await read(ctx, selectUser(ctx, user_id));
  if (!user) throw notFound('user');
  const tokens_valid_from = toIso(ctx.now);
  await commit(ctx, [updateRow(ctx, users, user, { tokens_valid_from }), revokeRefreshTokens(ctx, user.id)], {
    type: 'user.signed_out_everywhere',
    action: 'logout',
    entity_id: user.id,
    changes: { tokens_valid_from: [user.tokens_valid_from, tokens_valid_from] },
  });
  return { signed_out: true as const };
}

const OfUser = z.strictObject({ id: z.uuid(), session_id: z.uuid() });

const selfOf = (ctx: Context): string => {
  if (ctx.actor.kind !== 'user') throw lacks('session');
  return ctx.actor.id;
};

export const sessionsResource: Resource = {
  path: '',
  routes: {
    'GET /auth/sessions': endpoint({
      id: 'sessions.list_own',
      summary: 'Where one is signed in oneself',
      needs: 'signed-in',
      query: Paging,
      returns: { list: SignedInSession },
      run: async (ctx, { query }) => pageOf(await listSessions(ctx, selfOf(ctx)), query),
    }),
    'DELETE /auth/sessions/:id': endpoint({
      id: 'sessions.end_own',
      summary: 'End one of one’s own sessions, at once',
      needs: 'signed-in',
      returns: { one: Ended },
      run: (ctx, { params }) => endSession(ctx, selfOf(ctx), params.id),
    }),
    'DELETE /auth/sessions': endpoint({
      id: 'sessions.end_all_own',
      summary: 'Sign out everywhere, this session included',
      needs: 'signed-in',
      returns: { one: SignedOut },
      run: ctx => signOutEverywhere(ctx, selfOf(ctx)),
    }),
    'GET /users/:id/sessions': endpoint({
      id: 'sessions.list',
      summary: 'Where a user is signed in',
      needs: 'users:write',
      query: Paging,
      returns: { list: SignedInSession },
      run: async (ctx, { params, query }) => pageOf(await listSessions(ctx, params.id), query),
    }),
    'DELETE /users/:id/sessions/:session_id': endpoint({
      id: 'sessions.end',
      summary: 'End a session of a user, at once',
      needs: 'users:write',
      params: OfUser,
      returns: { one: Ended },
      run: (ctx, { params }) => endSession(ctx, params.id, params.session_id),
    }),
    'DELETE /users/:id/sessions': endpoint({
      id: 'sessions.end_all',
      summary: 'Sign a user out everywhere',
      needs: 'users:write',
      returns: { one: SignedOut },
      run: (ctx, { params }) => signOutEverywhere(ctx, params.id),
    }),
    'DELETE /users/:id/totp': endpoint({
      id: 'sessions.reset_second_factor',
      summary: 'Take the second factor of a user away, who has lost app and recovery codes',
      needs: 'users:write',
      returns: { one: SecondFactorOff },
      run: (ctx, { params }) => resetTotp(ctx, params.id),
    }),
  },
};
