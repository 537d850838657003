import { eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { seal, unseal } from '../../auth/sealing.ts';
import {
  describeTotp,
  findTotpStep,
  makeRecoveryCode,
  makeTotpSecret,
  RECOVERY_CODES,
} from '../../auth/second-factor.ts';
import { hashSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustHold, RaceLost, updateRow, type Write } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { signInLimits } from '../../door/limits.ts';
import { AppError, inUse, invalidField, invalidTransition, notFound } from '../../errors.ts';
import type { Changes, NewEvent } from '../../events/event.ts';
import { MASK } from '../../http/fields.ts';
import { toIso } from '../../lib/time.ts';
import { recovery_codes, users, type UserRow } from '../users/index.ts';
import { findSelf, findSelfByPassword } from './actions.ts';
import type { SecondFactorProof } from './schema.ts';
import { beginAnew } from './session.ts';
import { spendCode, type CodeRefusals } from './spend-code.ts';

/** One's own second factor: shown, then proven, then asked for at each sign-in; and codes for who has lost the app. */

const placeOf = (user: UserRow) => ({ row_id: user.id, column: 'totp_secret' });

const changed = (user: UserRow, changes: Changes): NewEvent => ({
  type: 'user.updated',
  action: 'update',
  entity_id: user.id,
  changes,
});

/** A new secret; until a code of it is shown nothing is asked for. */
export async function beginTotp(ctx: Context, current_password: string) {
  const { user } = await findSelfByPassword(ctx, current_password);
  if (user.totp_enabled_at !== null) throw inUse('There is a second factor already: take it away first.');
  const secret = makeTotpSecret();
  const totp_secret = await seal(ctx, placeOf(user), secret);
  const write = updateRow(ctx, users, user, { totp_secret, totp_last_step: 0 });
  await commit(ctx, [write], changed(user, { totp_secret: [user.totp_secret && MASK, MASK] }));
  return { secret, uri: describeTotp(secret, ctx.tenant.name, user.email) };
}

/** The app knows the secret: from now on its codes are asked for. Sessions that began without one are over. */
export async function confirmTotp(ctx: Context, code: string, user_agent: string | null) {
  const { user, second_factor_roles } = await findSelf(ctx);
  await ctx.admission.count(await signInLimits(ctx.env, ctx.admission.caller.address, user.email));
  if (user.totp_secret === null || user.totp_enabled_at !== null)
    throw invalidTransition('No second factor is being set up.');
  const step = findTotpStep(await unseal(ctx.env, placeOf(user), user.totp_secret), code, ctx.now);
  if (step === null) throw invalidField('code', 'is not of this secret, or over').suspect('sign_in');
  const at = toIso(ctx.now);
  const { codes, writes } = await makeRecoveryCodes(ctx, user);
  const anew = await beginAnew(ctx, { user: { ...user, totp_enabled_at: at }, second_factor_roles }, user_agent);
  const { tokens_valid_from } = anew;
  const write = updateRow(ctx, users, user, { totp_enabled_at: at, totp_last_step: step, tokens_valid_from });
  await commit(
    ctx,
    [write, ...writes, ...anew.writes],
    changed(user, { totp_enabled_at: [null, at], tokens_valid_from: [user.tokens_valid_from, tokens_valid_from] }),
  );
  return { ...anew.answer, recovery_codes: codes };
}

/** New ones; those from before are over. */
async function makeRecoveryCodes(ctx: Context, user: UserRow): Promise<{ codes: string[]; writes: Write[] }> {
  const codes = Array.from({ length: RECOVERY_CODES }, makeRecoveryCode);
  const at = toIso(ctx.now);
  const rows = await Promise.all(
    codes.map(async code => ({
      id: ctx.newId(),
      user_id: user.id,
      code_hash: await hashSecret(code),
      created_at: at,
      updated_at: at,
    })),
  );
  const { orm } = ctx.db;
  const writes = [
    orm.delete(recovery_codes).where(eq(recovery_codes.user_id, user.id)),
    orm.insert(recovery_codes).values(rows),
  ];
  return { codes, writes };
}

const refuseCode: CodeRefusals = {
  missing: () => invalidField('code', 'is required'),
  wrong: () => invalidField('code', 'is wrong, over, or was used'),
};

/** Whoever knows the password alone is who a second factor is against. */
async function proveSelf(ctx: Context, { current_password, code }: z.output<typeof SecondFactorProof>) {
  const { user } = await findSelfByPassword(ctx, current_password);
  return { user, spent: await spendCode(ctx, user, code, refuseCode) };
}

export async function renewRecoveryCodes(ctx: Context, proof: z.output<typeof SecondFactorProof>) {
  const { user, spent } = await proveSelf(ctx, proof);
  if (user.totp_enabled_at === null) throw invalidTransition('There is no second factor.');
  const { codes, writes } = await makeRecoveryCodes(ctx, user);
  const still_on = sql`EXISTS (SELECT 1 FROM ${users} WHERE id = ${user.id} AND totp_enabled_at IS NOT NULL)`;
  await commit(
    ctx,
    [...spent, ...writes, mustHold(still_on, new RaceLost())],
    changed(user, { recovery_codes: [MASK, MASK] }),
  );
  return { recovery_codes: codes };
}

const withoutTotp = { totp_secret: null, totp_enabled_at: null, totp_last_step: 0 };

const takeAway = (ctx: Context, user: UserRow): [Write[], NewEvent] => [
  [
    updateRow(ctx, users, user, withoutTotp),
    ctx.db.orm.delete(recovery_codes).where(eq(recovery_codes.user_id, user.id)),
  ],
  changed(user, { totp_secret: [user.totp_secret && MASK, null], totp_enabled_at: [user.totp_enabled_at, null] }),
];

export async function endTotp(ctx: Context, proof: z.output<typeof SecondFactorProof>) {
  const { user, spent } = await proveSelf(ctx, proof);
  const [writes, event] = takeAway(ctx, user);
  await commit(ctx, [...spent, ...writes], event);
  return { has_second_factor: false as const };
}

/** An admin, for somebody who has lost app and codes. */
export async function resetTotp(ctx: Context, user_id: string) {
  const [[user]] = await read(ctx, ctx.db.orm.select().from(users).where(eq(users.id, user_id)));
  if (!user) throw notFound('user');
  if (ctx.actor.kind === 'user' && ctx.actor.id === user.id)
    throw new AppError(
      'FORBIDDEN',
      'Your own second factor is taken away with password and code: POST /auth/totp/disable.',
    );
  const [writes, event] = takeAway(ctx, user);
  await commit(ctx, writes, event);
  return { has_second_factor: false as const };
}
