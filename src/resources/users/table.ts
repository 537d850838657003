import { sqliteTable, text } from 'drizzle-orm/sqlite-core';
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
  ...timestamps,
});

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
  ...timestamps,
});
