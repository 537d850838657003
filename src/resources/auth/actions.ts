import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { checkPassword } from '../../auth/passwords.ts';
import { hashSecret, parseTenantSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { signInLimits, userLimit } from '../../door/limits.ts';
import { invalidField, unauthorized } from '../../errors.ts';
import { MASK } from '../../http/fields.ts';
import { toIso } from '../../lib/time.ts';
import { hashNewPassword, refresh_tokens, users } from '../users/index.ts';
import type { PasswordChange, RefreshInput, Session } from './schema.ts';
import { actingAs, beginAnew, openSession, revokeFamily, selectSecondFactorRoles, type Self } from './session.ts';

async function findRefreshToken(ctx: Context, token: string) {
  const parsed = parseTenantSecret(token);
  if (!parsed) throw unauthorized();
  const token_hash = await hashSecret(parsed.secret);
  const [[found], [user], [policy]] = await read(
    ctx,
    ctx.db.orm.select().from(refresh_tokens).where(eq(refresh_tokens.token_hash, token_hash)),
    ctx.db.orm
      .select()
      .from(users)
      .where(sql`${users.id} = (SELECT user_id FROM ${refresh_tokens} WHERE token_hash = ${token_hash})`),
    selectSecondFactorRoles(ctx),
  );
  if (!found || !user) throw unauthorized().suspect('token', token_hash);
  return { found, user, second_factor_roles: policy!.second_factor_roles };
}

/** A spent token that comes again was stolen, before or after: its whole family ends. */
export async function refreshSession(
  ctx: Context,
  body: z.output<typeof RefreshInput>,
  user_agent: string | null,
): Promise<z.input<typeof Session>> {
  const { found, user, second_factor_roles } = await findRefreshToken(ctx, body.refresh_token);
  await ctx.admission.count([userLimit(ctx.env, user.id)], 'pass');
  const { family_id, signed_in_at } = found;
  if (found.rotated_at !== null) {
    if (found.revoked_at === null)
      await commit(ctx, [revokeFamily(ctx, family_id)], {
        type: 'session.ended',
        action: 'delete',
        entity_id: family_id,
        data: { user_id: user.id, reason: 'a refresh token was used twice' },
      });
    throw unauthorized();
  }
  if (found.revoked_at !== null || Date.parse(found.expires_at) <= ctx.now || !user.is_active) throw unauthorized();
  const session = await openSession(ctx, user, { family_id, signed_in_at, user_agent, second_factor_roles });
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
  const { family_id } = found;
  await commit(actingAs(ctx, user, family_id), [revokeFamily(ctx, family_id)], {
    type: 'user.logged_out',
    action: 'logout',
    entity_id: user.id,
    data: { user_id: user.id, email: user.email, session_id: family_id },
  });
  return { logged_out: true as const };
}

export async function findSelf(ctx: Context): Promise<Self> {
  if (ctx.actor.kind !== 'user') throw unauthorized();
  const [[user], [policy]] = await read(
    ctx,
    ctx.db.orm.select().from(users).where(eq(users.id, ctx.actor.id)),
    selectSecondFactorRoles(ctx),
  );
  if (!user) throw unauthorized();
  return { user, ...policy! };
}

/** Who holds a token needn't be who knows the password: tries are counted as those of signing in are. */
export async function findSelfByPassword(ctx: Context, current_password: string): Promise<Self> {
  const self = await findSelf(ctx);
  const { user } = self;
  await ctx.admission.count(await signInLimits(ctx.env, ctx.admission.caller.address, user.email));
  const check = await checkPassword(current_password, user.password_hash, Number(ctx.env.PASSWORD_COST));
  if (!check.ok) throw invalidField('current_password', 'is wrong').suspect('sign_in');
  return self;
}

/** Ends all other sessions; the caller goes on with the pair in the answer. */
export async function changePassword(
  ctx: Context,
  body: z.output<typeof PasswordChange>,
  user_agent: string | null,
): Promise<z.input<typeof Session>> {
  const self = await findSelfByPassword(ctx, body.current_password);
  const { user } = self;
  const password_hash = await hashNewPassword(ctx, body.new_password, user.email, 'new_password');
  const { tokens_valid_from, writes, answer } = await beginAnew(ctx, self, user_agent);
  const write = updateRow(ctx, users, user, { password_hash, tokens_valid_from });
  await commit(ctx, [write, ...writes], {
    type: 'user.password_changed',
    action: 'update',
    entity_id: user.id,
    changes: { password_hash: [MASK, MASK], tokens_valid_from: [user.tokens_valid_from, tokens_valid_from] },
  });
  return answer;
}
