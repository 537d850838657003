import { sql } from 'drizzle-orm';
import { z } from 'zod';
import { findPasswordFault, hashPassword } from '../../auth/passwords.ts';
import type { Context } from '../../context.ts';
import { mustHold, type Write } from '../../db/commit.ts';
import { AppError, invalidField } from '../../errors.ts';
import { crud, type Prepared, type Target } from '../../http/crud.ts';
import { QueryBoolean } from '../../http/fields.ts';
import { contains, during, exactly } from '../../http/list.ts';
import type { Resource } from '../../http/resource.ts';
import { toIso } from '../../lib/time.ts';
import { Role, toUser, User, UserInput } from './schema.ts';
import { refresh_tokens, users } from './table.ts';

export { recovery_codes, refresh_tokens, users } from './table.ts';
export { NewPassword, toUser, User, type UserRow } from './schema.ts';

type SentUser = Partial<z.output<typeof UserInput>>;

/** A new password as it is stored, or the complaint about it. */
export async function hashNewPassword(ctx: Pick<Context, 'env'>, password: string, email: string, field = 'password') {
  const fault = findPasswordFault(password, email);
  if (fault) throw invalidField(field, fault);
  return hashPassword(password, Number(ctx.env.PASSWORD_COST));
}

/** Ends every session of a user: refresh tokens now, access tokens because they are older than `tokens_valid_from`. */
export function revokeRefreshTokens(ctx: Context, user_id: string): Write {
  return ctx.db.orm
    .update(refresh_tokens)
    .set({ revoked_at: toIso(ctx.now) })
    .where(sql`${refresh_tokens.user_id} = ${user_id} AND ${refresh_tokens.revoked_at} IS NULL`);
}

/** True after the batch's writes: somebody is left who may manage the others. */
const anAdminIsLeft = mustHold(
  sql`EXISTS (SELECT 1 FROM ${users} WHERE role = 'admin' AND is_active = 1)`,
  new AppError('CONFLICT', 'The last active admin can’t be demoted, deactivated or deleted.'),
);

async function prepareUser(
  ctx: Context,
  sent: SentUser,
  { before }: Target<typeof users>,
): Promise<Prepared<typeof users>> {
  const { password, ...fields } = sent;
  const columns: Prepared<typeof users>['columns'] = { ...fields };
  if (password !== undefined)
    columns.password_hash = await hashNewPassword(ctx, password, sent.email ?? before?.email ?? '');
  if (!before) return { columns: { is_active: true, tokens_valid_from: toIso(0), ...columns } };
  const loses_sessions =
    password !== undefined ||
    (sent.role !== undefined && sent.role !== before.role) ||
    (sent.is_active === false && before.is_active);
  if (!loses_sessions) return { columns };
  columns.tokens_valid_from = toIso(ctx.now);
  return { columns, writes: [revokeRefreshTokens(ctx, before.id)] };
}

const users_crud = crud({
  name: 'user',
  plural: 'users',
  table: users,
  permissions: { read: 'users:write', write: 'users:write' },
  row: User,
  input: UserInput,
  list: {
    filters: {
      role: exactly(users.role, Role),
      is_active: exactly(users.is_active, QueryBoolean),
      created_at: during(users.created_at),
    },
    sort: ['created_at', 'name', 'email', 'last_login_at'],
    default_sort: '-created_at',
    omit: ['password_hash', 'totp_secret'],
    search: contains(users.name, users.email),
  },
  toWire: toUser,
  secrets: ['password_hash', 'totp_secret'],
  prepare: prepareUser,
  invariants: [anAdminIsLeft],
});

export const usersResource: Resource = { path: '/users', routes: users_crud.routes };
