import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { bool, id, instant, json, timestamps } from '../../db/columns.ts';

/** Failures in a row, since when, and until when it isn't asked again by itself. */
export interface Circuit {
  failures: number;
  since: string;
  open_until: string | null;
}

export const routers = sqliteTable('routers', {
  id: id(),
  name: text('name').notNull(),
  host: text('host').notNull(),
  port: integer('port').notNull(),
  use_tls: bool('use_tls').notNull(),
  tls_fingerprint: text('tls_fingerprint'),
  tls_anonymous_dh: bool('tls_anonymous_dh').notNull().default(false),
  username: text('username').notNull(),
  /** Sealed. */
  password: text('password').notNull(),
  bridge_id: text('bridge_id'),
  location: text('location'),
  is_active: bool('is_active').notNull(),
  is_default: bool('is_default').notNull(),
  status: text('status', { enum: ['unknown', 'online', 'offline'] })
    .notNull()
    .default('unknown'),
  /** When it was seen to be so: an older observation that comes late changes nothing. */
  status_at: instant('status_at'),
  /** When all that it must hold was last compared with what it holds. */
  drift_checked_at: instant('drift_checked_at'),
  /** Raised with every change of what the router must hold. */
  revision: integer('revision').notNull().default(0),
  last_seen_at: instant('last_seen_at'),
  /** Null: nothing is the matter. */
  circuit: json<Circuit>('circuit'),
  identity: text('identity'),
  board_name: text('board_name'),
  version: text('version'),
  last_error: text('last_error'),
  ...timestamps,
});

export type RouterRow = typeof routers.$inferSelect;
