-- One ISP's database: its people, what happened, its settings, and what every write leans on.
-- Statements are separated by a blank line; a statement holds none.
-- up

CREATE TABLE tenant_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL
) STRICT;

INSERT INTO tenant_state (id, epoch) VALUES (1, 1);

CREATE VIEW guard AS SELECT '' AS name, 1 AS ok;

CREATE TRIGGER guard_fails INSTEAD OF INSERT ON guard WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'guard:' || NEW.name);
END;

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'technician', 'viewer')),
  is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
  last_login_at INTEGER,
  tokens_valid_from INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX users_by_created ON users (created_at, id);

CREATE INDEX users_by_role ON users (role, is_active, created_at, id);

CREATE INDEX users_by_active ON users (is_active, created_at, id);

CREATE TABLE refresh_tokens (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  token_hash TEXT NOT NULL UNIQUE,
  family_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  rotated_at INTEGER,
  revoked_at INTEGER,
  ip_address TEXT,
  user_agent TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family_id);

CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE one_time_tokens (
  id TEXT PRIMARY KEY,
  purpose TEXT NOT NULL CHECK (purpose IN ('password_reset', 'bridge_enrolment', 'download')),
  subject_id TEXT NOT NULL,
  token_hash TEXT NOT NULL UNIQUE,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX one_time_tokens_by_subject ON one_time_tokens (subject_id);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  type TEXT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL CHECK (actor IN ('user', 'customer', 'bridge', 'gateway', 'job', 'platform')),
  actor_name TEXT,
  user_id TEXT,
  user_email TEXT,
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  customer_id TEXT,
  changes TEXT NOT NULL DEFAULT '{}',
  data TEXT NOT NULL DEFAULT '{}',
  ip_address TEXT,
  request_id TEXT,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_by_entity_type ON events (entity_type);

CREATE INDEX events_by_entity_id ON events (entity_id);

CREATE INDEX events_by_customer ON events (customer_id) WHERE customer_id IS NOT NULL;

CREATE INDEX events_by_user ON events (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX events_by_action ON events (action);

CREATE INDEX events_by_address ON events (ip_address) WHERE ip_address IS NOT NULL;

CREATE INDEX events_by_created ON events (created_at);

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN
  SELECT RAISE(ABORT, 'events is append-only');
END;

CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN
  SELECT RAISE(ABORT, 'events is append-only');
END;

CREATE TRIGGER events_no_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'events is append-only');
END;

CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_counted AFTER INSERT ON events
BEGIN
  INSERT INTO counters (name, value) VALUES ('events', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;
END;

CREATE TABLE sequences (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
  id TEXT PRIMARY KEY,
  business_name TEXT NOT NULL,
  phone TEXT,
  email TEXT,
  address TEXT,
  country TEXT NOT NULL DEFAULT 'ID',
  suspension_policy TEXT NOT NULL DEFAULT 'disable' CHECK (suspension_policy IN ('disable', 'isolir')),
  isolir_profile TEXT NOT NULL DEFAULT 'isolir',
  isolir_address_list TEXT NOT NULL DEFAULT 'isolir',
  isolir_download_kbps INTEGER NOT NULL DEFAULT 64 CHECK (isolir_download_kbps > 0),
  isolir_upload_kbps INTEGER NOT NULL DEFAULT 64 CHECK (isolir_upload_kbps > 0),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  subject_id TEXT,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  total INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  errors TEXT NOT NULL DEFAULT '[]',
  result TEXT,
  created_by TEXT,
  started_at INTEGER,
  finished_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_by_created ON jobs (created_at, id);

CREATE INDEX jobs_by_status ON jobs (status, created_at, id);

CREATE INDEX jobs_by_kind ON jobs (kind, created_at, id);

-- down

DROP TABLE jobs;

DROP TABLE settings;

DROP TABLE sequences;

DROP TABLE events;

DROP TABLE counters;

DROP TABLE one_time_tokens;

DROP TABLE refresh_tokens;

DROP TABLE users;

DROP VIEW guard;

DROP TABLE tenant_state;
