import { and, eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { checkPassword, hashPassword } from '../../auth/passwords.ts';
import {
  ACCESS_TOKEN_SECONDS,
  formatTenantSecret,
  hashSecret,
  makeSecret,
  parseTenantSecret,
  REFRESH_TOKEN_SECONDS,
  signAccessToken,
} from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost, updateRow, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField, unauthorized } from '../../errors.ts';
import { MASK } from '../../http/fields.ts';
import { toIso } from '../../lib/time.ts';
import { hashNewPassword, refresh_tokens, revokeRefreshTokens, users, type UserRow } from '../users/index.ts';
import type { Credentials, PasswordChange, RefreshInput, Session } from './schema.ts';

const WRONG = 'E-mail address or password is wrong.';

export async function signIn(ctx: Context, body: z.output<typeof Credentials>): Promise<z.input<typeof Session>> {
  const [[user]] = await read(ctx, ctx.db.orm.select().from(users).where(eq(users.email, body.email)));
  const cost = Number(ctx.env.PASSWORD_COST);
  const check = await checkPassword(body.password, user?.password_hash ?? null, cost);
  if (!user || !check.ok || !user.is_active) throw unauthorized(WRONG);
  const password_hash = check.outdated ? await hashPassword(body.password, cost) : user.password_hash;
  const session = await openSession(ctx, user, ctx.newId());
  // when somebody last signed in is no change of theirs: sign-ins side by side don't race, only with what they rest on
  const signed_in = ctx.db.orm
    .update(users)
    .set({ last_login_at: toIso(ctx.now), password_hash })
    .where(
      and(
        eq(users.id, user.id),
        eq(users.password_hash, user.password_hash),
        eq(users.role, user.role),
        users.is_active,
      ),
    );
  await commit(actingAs(ctx, user), [mustChange(signed_in, new RaceLost()), session.write], {
    type: 'user.logged_in',
    action: 'login',
    entity_id: user.id,
    data: { user_id: user.id, email: user.email },
  });
  return session.answer;
}

/** Who signs in or out acts as the user that they showed to be. */
const actingAs = (ctx: Context, user: UserRow): Context => ({
  ...ctx,
  actor: { kind: 'user', id: user.id, role: user.role, token_issued_at: ctx.now },
});

interface OpenedSession {
  write: Write;
  answer: z.input<typeof Session>;
}

/** A new pair of tokens, and the row that stands for the refresh token: its hash, never itself. */
async function openSession(ctx: Context, user: UserRow, family_id: string): Promise<OpenedSession> {
  const secret = makeSecret();
  const at = toIso(ctx.now);
  const write = ctx.db.orm.insert(refresh_tokens).values({
    id: ctx.newId(),
    user_id: user.id,
    token_hash: await hashSecret(secret),
    family_id,
    expires_at: toIso(ctx.now + REFRESH_TOKEN_SECONDS * 1000),
    ip_address: ctx.ip,
    created_at: at,
    updated_at: at,
  });
  const answer = {
    access_token: await signAccessToken(ctx.env, ctx.tenant, user, ctx.now, ctx.newId()),
    refresh_token: formatTenantSecret(ctx.tenant.id, secret),
    token_type: 'Bearer' as const,
    expires_in: ACCESS_TOKEN_SECONDS,
    user,
    tenant: ctx.tenant,
  };
  return { write, answer };
}

async function findRefreshToken(ctx: Context, token: string) {
  const parsed = parseTenantSecret(token);
  if (!parsed) throw unauthorized();
  const token_hash = await hashSecret(parsed.secret);
  const [[found], [user]] = await read(
    ctx,
    ctx.db.orm.select().from(refresh_tokens).where(eq(refresh_tokens.token_hash, token_hash)),
    ctx.db.orm
      .select()
      .from(users)
      .where(sql`${users.id} = (SELECT user_id FROM ${refresh_tokens} WHERE token_hash = ${token_hash})`),
  );
  if (!found || !user) throw unauthorized();
  return { found, user };
}

const revokeFamily = (ctx: Context, family_id: string): Write =>
  ctx.db.orm
    .update(refresh_tokens)
    .set({ revoked_at: toIso(ctx.now) })
    .where(sql`${refresh_tokens.family_id} = ${family_id} AND ${refresh_tokens.revoked_at} IS NULL`);

/** A spent token that comes again was stolen, before or after: its whole family ends. */
export async function refreshSession(
  ctx: Context,
  body: z.output<typeof RefreshInput>,
): Promise<z.input<typeof Session>> {
  const { found, user } = await findRefreshToken(ctx, body.refresh_token);
  if (found.rotated_at !== null) {
    await commit(ctx, [revokeFamily(ctx, found.family_id)]);
    throw unauthorized();
  }
  if (found.revoked_at !== null || Date.parse(found.expires_at) <= ctx.now || !user.is_active) throw unauthorized();
  const session = await openSession(ctx, user, found.family_id);
  const spend = ctx.db.orm
    .update(refresh_tokens)
    .set({ rotated_at: toIso(ctx.now), updated_at: toIso(ctx.now) })
    .where(
      sql`${refresh_tokens.id} = ${found.id} AND ${refresh_tokens.rotated_at} IS NULL AND ${refresh_tokens.revoked_at} IS NULL`,
    );
  // of two callers with the same token one spends it; the other runs again and finds it spent
  await commit(ctx, [mustChange(spend, new RaceLost()), session.write]);
  return session.answer;
}

export async function logOut(ctx: Context, body: z.output<typeof RefreshInput>) {
  const { found, user } = await findRefreshToken(ctx, body.refresh_token);
  if (found.revoked_at !== null) throw unauthorized();
  await commit(actingAs(ctx, user), [revokeFamily(ctx, found.family_id)], {
    type: 'user.logged_out',
    action: 'logout',
    entity_id: user.id,
    data: { user_id: user.id, email: user.email },
  });
  return { logged_out: true as const };
}

async function findSelf(ctx: Context): Promise<UserRow> {
  if (ctx.actor.kind !== 'user') throw unauthorized();
  const [[user]] = await read(ctx, ctx.db.orm.select().from(users).where(eq(users.id, ctx.actor.id)));
  if (!user) throw unauthorized();
  return user;
}

export const getSelf = findSelf;

/** Ends all other sessions; the caller goes on with the pair in the answer. */
export async function changePassword(
  ctx: Context,
  body: z.output<typeof PasswordChange>,
): Promise<z.input<typeof Session>> {
  const user = await findSelf(ctx);
  const check = await checkPassword(body.current_password, user.password_hash, Number(ctx.env.PASSWORD_COST));
  if (!check.ok) throw invalidField('current_password', 'is wrong');
  const password_hash = await hashNewPassword(ctx, body.new_password, user.email, 'new_password');
  const session = await openSession(ctx, user, ctx.newId());
  const write = updateRow(ctx, users, user, { password_hash, tokens_valid_from: toIso(ctx.now) });
  await commit(ctx, [write, revokeRefreshTokens(ctx, user.id), session.write], {
    type: 'user.password_changed',
    action: 'update',
    entity_id: user.id,
    changes: { password_hash: [MASK, MASK] },
  });
  return session.answer;
}
