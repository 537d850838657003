import { z } from 'zod';
import { PASSWORD_LENGTH } from '../../auth/passwords.ts';
import { ROLES } from '../../auth/permissions.ts';
import { Email, Id, Instant, line } from '../../http/fields.ts';
import type { users } from './table.ts';

export const Role = z.enum(ROLES);

/** A password that is being chosen; that it isn't common nor the e-mail is checked beside the other fields. */
export const NewPassword = z.string().min(PASSWORD_LENGTH.min).max(PASSWORD_LENGTH.max);

export const User = z
  .object({
    id: Id,
    email: z.string(),
    name: z.string(),
    role: Role,
    is_active: z.boolean(),
    has_second_factor: z.boolean(),
    last_login_at: Instant.nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'User' });

export const UserInput = z
  .strictObject({ email: Email, name: line(120), role: Role, password: NewPassword, is_active: z.boolean().optional() })
  .meta({ id: 'UserInput' });

export type UserRow = typeof users.$inferSelect;

/** Without the secrets of the row, which lists don't even read. */
export const toUser = (row: Omit<UserRow, 'password_hash' | 'totp_secret'>): z.input<typeof User> => ({
  ...row,
  has_second_factor: row.totp_enabled_at !== null,
});
