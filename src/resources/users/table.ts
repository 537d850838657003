import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { ROLES } from '../../auth/permissions.ts';
import { bool, id, instant, timestamps } from '../../db/columns.ts';

export const users = sqliteTable('users', {
  id: id(),
  email: text('email').notNull(),
  password_hash: text('password_hash').notNull(),
  name: text('name').notNull(),
  role: text('role', { enum: ROLES }).notNull(),
  is_active: bool('is_active').notNull().default(true),
  last_login_at: instant('last_login_at'),
  tokens_valid_from: instant('tokens_valid_from').notNull(),
  /** Sealed. Before `totp_enabled_at` nobody has shown yet that their app knows it. */
  totp_secret: text('totp_secret'),
  totp_enabled_at: instant('totp_enabled_at'),
  /** The time step of the last code that was taken: each is good once. */
  totp_last_step: integer('totp_last_step').notNull().default(0),
  ...timestamps,
});

/** For who has lost the authenticator app; each is good once. */
export const recovery_codes = sqliteTable('recovery_codes', {
  id: id(),
  user_id: text('user_id').notNull(),
  code_hash: text('code_hash').notNull(),
  used_at: instant('used_at'),
  ...timestamps,
});

/** A session is a family of these: each renewal spends one and adds the next. */
export const refresh_tokens = sqliteTable('refresh_tokens', {
  id: id(),
  user_id: text('user_id').notNull(),
  token_hash: text('token_hash').notNull(),
  family_id: text('family_id').notNull(),
  expires_at: instant('expires_at').notNull(),
  rotated_at: instant('rotated_at'),
  revoked_at: instant('revoked_at'),
  ip_address: text('ip_address'),
  user_agent: text('user_agent'),
  signed_in_at: instant('signed_in_at').notNull(),
  ...timestamps,
});
