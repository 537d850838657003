import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import { id, instant, json, timestamps } from '../../db/columns.ts';
import type { PublicKey } from '../../protocol/messages.ts';

export const CONNECTION_STATES = ['unknown', 'online', 'offline'] as const;

export const bridges = sqliteTable('bridges', {
  id: id(),
  name: text('name').notNull(),
  url: text('url'),
  /** Sealed. */
  signing_secret: text('signing_secret'),
  public_key: json<PublicKey>('public_key'),
  /** Sealed; of a rotation that isn't over: the bridge may have it by now, so that no other may take its place. */
  next_signing_secret: text('next_signing_secret'),
  rotation_begun_at: instant('rotation_begun_at'),
  keys_rotated_at: instant('keys_rotated_at'),
  status: text('status', { enum: CONNECTION_STATES }).notNull().default('unknown'),
  last_heartbeat_at: instant('last_heartbeat_at'),
  version: text('version'),
  /** The time in the signature of its last report: one that isn't newer is a replay. */
  last_report_ms: integer('last_report_ms'),
  /** The last batch of measurements that is stored: none is counted twice. */
  spool_id: text('spool_id'),
  spool_number: integer('spool_number').notNull().default(0),
  /** Of its newest batch: an older one that comes late says nothing new of who is there. */
  last_measured_at: instant('last_measured_at'),
  enrolled_at: instant('enrolled_at'),
  ...timestamps,
});

export const one_time_tokens = sqliteTable('one_time_tokens', {
  id: id(),
  purpose: text('purpose', { enum: ['password_reset', 'bridge_enrolment', 'download'] }).notNull(),
  subject_id: text('subject_id').notNull(),
  token_hash: text('token_hash').notNull(),
  expires_at: instant('expires_at').notNull(),
  used_at: instant('used_at'),
  ...timestamps,
});

export type BridgeRow = typeof bridges.$inferSelect;
