import { and, eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { checkPassword, hashPassword } from '../../auth/passwords.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { askDoor, blocked } from '../../door/admission.ts';
import { blockedSignInLimit, signInLimits } from '../../door/limits.ts';
import { AppError, unauthorized } from '../../errors.ts';
import { networkOf } from '../../lib/network.ts';
import { toIso } from '../../lib/time.ts';
import { refresh_tokens, users } from '../users/index.ts';
import type { Credentials, Session } from './schema.ts';
import { actingAs, openSession, selectSecondFactorRoles } from './session.ts';
import { spendCode, type CodeRefusals } from './spend-code.ts';

const WRONG = 'E-mail address or password is wrong.';

const refuseCode: CodeRefusals = {
  missing: () => new AppError('UNAUTHORIZED', 'A code of the second factor is needed, too.', { code: ['is required'] }),
  wrong: () => new AppError('UNAUTHORIZED', 'The code is wrong, over, or was used.', { code: ['is wrong'] }),
};

/** Blocked here, or where names of providers are tried; then only who has signed in from there before may try. */
async function findBlock(ctx: Context) {
  const elsewhere = askDoor(ctx, `address:${ctx.admission.caller.address}`);
  await elsewhere.granted();
  return (await ctx.admission.findBlock()) ?? (await elsewhere.findBlock());
}

/** More than anybody signs in from. */
const MOST_ADDRESSES = 1000;

/** Where a user's sessions were of late, if that is asked; two weeks after its end nothing of one is left. */
const selectAddresses = (ctx: Context, email: string, is_asked: boolean) =>
  ctx.db.orm
    .selectDistinct({ ip_address: refresh_tokens.ip_address })
    .from(refresh_tokens)
    .where(sql`${refresh_tokens.user_id} = (SELECT id FROM ${users} WHERE email = ${email})`)
    .limit(is_asked ? MOST_ADDRESSES : 0);

export async function signIn(
  ctx: Context,
  body: z.output<typeof Credentials>,
  user_agent: string | null,
): Promise<z.input<typeof Session>> {
  const { address } = ctx.admission.caller;
  const block = await findBlock(ctx);
  const [by_address, by_account] = await signInLimits(ctx.env, address, body.email);
  // what is blocked uses up nothing of the account's
  await ctx.admission.count(block ? [by_address] : [by_address, by_account]);
  const [[user], [policy], known] = await read(
    ctx,
    ctx.db.orm.select().from(users).where(eq(users.email, body.email)),
    selectSecondFactorRoles(ctx),
    selectAddresses(ctx, body.email, block !== null),
  );
  if (block) {
    // behind a shared address one bad guest must not lock out those who work there
    const is_known = known.some(({ ip_address }) => ip_address !== null && networkOf(ip_address) === address);
    if (!is_known) throw blocked(block, ctx.now);
    await ctx.admission.count([await blockedSignInLimit(address, body.email)]);
  }
  const cost = Number(ctx.env.PASSWORD_COST);
  const check = await checkPassword(body.password, user?.password_hash ?? null, cost);
  if (!user || !check.ok || !user.is_active) throw unauthorized(WRONG).suspect('sign_in');
  const spent = await spendCode(ctx, user, body.code, refuseCode);
  const password_hash = check.outdated ? await hashPassword(body.password, cost) : user.password_hash;
  const at = toIso(ctx.now);
  const family_id = ctx.newId();
  const opening = { family_id, signed_in_at: at, user_agent, second_factor_roles: policy!.second_factor_roles };
  const session = await openSession(ctx, user, opening);
  // when somebody last signed in is no change of theirs: sign-ins side by side don't race, only with what they rest on
  const signed_in = ctx.db.orm
    .update(users)
    .set({ last_login_at: at, password_hash })
    .where(
      and(
        eq(users.id, user.id),
        eq(users.password_hash, user.password_hash),
        eq(users.role, user.role),
        sql`${users.totp_enabled_at} IS ${user.totp_enabled_at && Date.parse(user.totp_enabled_at)}`,
        users.is_active,
      ),
    );
  const writes = [mustChange(signed_in, new RaceLost()), ...spent, session.write];
  await commit(actingAs(ctx, user, family_id), writes, {
    type: 'user.logged_in',
    action: 'login',
    entity_id: user.id,
    data: { user_id: user.id, email: user.email, session_id: family_id },
  });
  return session.answer;
}
