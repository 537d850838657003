-- Sessions that people see and end, a second factor, and which other origins' pages may ask.
-- Statements are separated by a blank line; a statement holds none.
-- up

ALTER TABLE users ADD COLUMN totp_secret TEXT;

ALTER TABLE users ADD COLUMN totp_enabled_at INTEGER;

ALTER TABLE users ADD COLUMN totp_last_step INTEGER NOT NULL DEFAULT 0;

CREATE TABLE recovery_codes (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  code_hash TEXT NOT NULL UNIQUE,
  used_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);

ALTER TABLE refresh_tokens ADD COLUMN signed_in_at INTEGER NOT NULL DEFAULT 0;

UPDATE refresh_tokens SET signed_in_at = created_at;

CREATE INDEX refresh_tokens_ended ON refresh_tokens (family_id) WHERE revoked_at IS NOT NULL;

CREATE INDEX refresh_tokens_in_use ON refresh_tokens (user_id, created_at) WHERE rotated_at IS NULL AND revoked_at IS NULL;

ALTER TABLE settings ADD COLUMN allowed_origins TEXT NOT NULL DEFAULT '[]';

ALTER TABLE settings ADD COLUMN second_factor_roles TEXT NOT NULL DEFAULT '[]';

-- down

ALTER TABLE settings DROP COLUMN second_factor_roles;

ALTER TABLE settings DROP COLUMN allowed_origins;

DROP INDEX refresh_tokens_in_use;

DROP INDEX refresh_tokens_ended;

ALTER TABLE refresh_tokens DROP COLUMN signed_in_at;

DROP TABLE recovery_codes;

ALTER TABLE users DROP COLUMN totp_last_step;

ALTER TABLE users DROP COLUMN totp_enabled_at;

ALTER TABLE users DROP COLUMN totp_secret;
