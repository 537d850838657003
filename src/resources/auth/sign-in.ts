import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { checkPassword, hashPassword } from '../../auth/passwords.ts';
import { unseal } from '../../auth/sealing.ts';
import { findTotpStep, RECOVERY_CODE, TOTP_CODE } from '../../auth/second-factor.ts';
import { hashSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost, type Guarded } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { askDoor, blocked } from '../../door/admission.ts';
import { signInLimits } from '../../door/limits.ts';
import { AppError, unauthorized } from '../../errors.ts';
import { networkOf } from '../../lib/network.ts';
import { toIso } from '../../lib/time.ts';
import { recovery_codes, refresh_tokens, users, type UserRow } from '../users/index.ts';
import type { Credentials, Session } from './schema.ts';
import { actingAs, openSession, selectSecondFactorRoles } from './session.ts';

const WRONG = 'E-mail address or password is wrong.';

const wrongCode = () =>
  new AppError('UNAUTHORIZED', 'The code is wrong, over, or was used.', { code: ['is wrong'] }).suspect('sign_in');

/** Blocked here, or where names of providers are tried; then only who has signed in from there before may try. */
async function findBlock(ctx: Context) {
  const elsewhere = askDoor(ctx, `address:${ctx.admission.caller.address}`);
  await elsewhere.granted();
  return (await ctx.admission.findBlock()) ?? (await elsewhere.findBlock());
}

/** How many of a user's last sessions are looked at for an address that is known. */
const RECENT_SESSIONS = 200;

const selectAddresses = (ctx: Context, email: string) =>
  ctx.db.orm
    .select({ ip_address: refresh_tokens.ip_address })
    .from(refresh_tokens)
    .where(sql`${refresh_tokens.user_id} = (SELECT id FROM ${users} WHERE email = ${email})`)
    .orderBy(desc(refresh_tokens.created_at))
    .limit(RECENT_SESSIONS);

export async function signIn(
  ctx: Context,
  body: z.output<typeof Credentials>,
  user_agent: string | null,
): Promise<z.input<typeof Session>> {
  const { address } = ctx.admission.caller;
  const block = await findBlock(ctx);
  await ctx.admission.count(await signInLimits(ctx.env, address, body.email));
  const [[user], [policy], known] = await read(
    ctx,
    ctx.db.orm.select().from(users).where(eq(users.email, body.email)),
    selectSecondFactorRoles(ctx),
    selectAddresses(ctx, body.email),
  );
  // behind a shared address one bad guest must not lock out those who work there
  if (block && !known.some(({ ip_address }) => ip_address !== null && networkOf(ip_address) === address))
    throw blocked(block, ctx.now);
  const cost = Number(ctx.env.PASSWORD_COST);
  const check = await checkPassword(body.password, user?.password_hash ?? null, cost);
  if (!user || !check.ok || !user.is_active) throw unauthorized(WRONG).suspect('sign_in');
  const spent = await spendCode(ctx, user, body.code);
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

/** The write that makes a code of the second factor good only once; none where the user has no second factor. */
export async function spendCode(ctx: Context, user: UserRow, code: string | undefined): Promise<Guarded[]> {
  if (user.totp_enabled_at === null) return [];
  if (code === undefined)
    throw new AppError('UNAUTHORIZED', 'A code of the second factor is needed, too.', { code: ['is required'] });
  const write = TOTP_CODE.test(code) ? await spendTotp(ctx, user, code) : await spendRecoveryCode(ctx, user, code);
  return [write];
}

async function spendTotp(ctx: Context, user: UserRow, code: string): Promise<Guarded> {
  const secret = await unseal(ctx.env, { row_id: user.id, column: 'totp_secret' }, user.totp_secret!);
  const step = findTotpStep(secret, code, ctx.now);
  if (step === null || step <= user.totp_last_step) throw wrongCode();
  const spend = ctx.db.orm
    .update(users)
    .set({ totp_last_step: step })
    .where(and(eq(users.id, user.id), lt(users.totp_last_step, step)));
  return mustChange(spend, wrongCode());
}

async function spendRecoveryCode(ctx: Context, user: UserRow, code: string): Promise<Guarded> {
  if (!RECOVERY_CODE.test(code.toUpperCase())) throw wrongCode();
  const at = toIso(ctx.now);
  const is_it = and(
    eq(recovery_codes.user_id, user.id),
    eq(recovery_codes.code_hash, await hashSecret(code.toUpperCase())),
    isNull(recovery_codes.used_at),
  );
  return mustChange(ctx.db.orm.update(recovery_codes).set({ used_at: at, updated_at: at }).where(is_it), wrongCode());
}
