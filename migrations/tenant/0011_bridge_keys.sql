-- The secret that follows a bridge's present one: stored before the bridge is told, so that a lost answer loses nothing.
-- up

ALTER TABLE bridges ADD COLUMN next_signing_secret TEXT;

ALTER TABLE bridges ADD COLUMN rotation_begun_at INTEGER;

ALTER TABLE bridges ADD COLUMN keys_rotated_at INTEGER;

-- down

ALTER TABLE bridges DROP COLUMN keys_rotated_at;

ALTER TABLE bridges DROP COLUMN rotation_begun_at;

ALTER TABLE bridges DROP COLUMN next_signing_secret;
