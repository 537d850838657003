import { and, eq, isNull, lt } from 'drizzle-orm';
import { unseal } from '../../auth/sealing.ts';
import { findTotpStep, RECOVERY_CODE, TOTP_CODE } from '../../auth/second-factor.ts';
import { hashSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { mustChange, type Guarded } from '../../db/commit.ts';
import { wrongCodeLimit } from '../../door/limits.ts';
import type { AppError } from '../../errors.ts';
import { toIso } from '../../lib/time.ts';
import { recovery_codes, users, type UserRow } from '../users/index.ts';

/** How a code that is asked for is refused. */
export interface CodeRefusals {
  missing: () => AppError;
  wrong: () => AppError;
}

/** The write that makes a code of the second factor good only once; none where the user has no second factor. */
export async function spendCode(
  ctx: Context,
  user: UserRow,
  code: string | undefined,
  refuse: CodeRefusals,
): Promise<Guarded[]> {
  if (user.totp_enabled_at === null) return [];
  if (code === undefined) throw refuse.missing();
  const wrong = refuse.wrong().suspect('sign_in');
  return [
    TOTP_CODE.test(code) ? await spendTotp(ctx, user, code, wrong) : await spendRecoveryCode(ctx, user, code, wrong),
  ];
}

async function spendTotp(ctx: Context, user: UserRow, code: string, wrong: AppError): Promise<Guarded> {
  const limit = [wrongCodeLimit(user.id)];
  const counted_at = await ctx.admission.count(limit);
  const secret = await unseal(ctx.env, { row_id: user.id, column: 'totp_secret' }, user.totp_secret!);
  const step = findTotpStep(secret, code, ctx.now);
  if (step === null || step <= user.totp_last_step) throw wrong;
  await ctx.admission.giveBack(limit, counted_at);
  const spend = ctx.db.orm
    .update(users)
    .set({ totp_last_step: step })
    .where(and(eq(users.id, user.id), lt(users.totp_last_step, step)));
  return mustChange(spend, wrong);
}

async function spendRecoveryCode(ctx: Context, user: UserRow, code: string, wrong: AppError): Promise<Guarded> {
  if (!RECOVERY_CODE.test(code.toUpperCase())) throw wrong;
  const at = toIso(ctx.now);
  const is_it = and(
    eq(recovery_codes.user_id, user.id),
    eq(recovery_codes.code_hash, await hashSecret(code.toUpperCase())),
    isNull(recovery_codes.used_at),
  );
  return mustChange(ctx.db.orm.update(recovery_codes).set({ used_at: at, updated_at: at }).where(is_it), wrong);
}
