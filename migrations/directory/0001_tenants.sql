-- The directory: which ISPs there are, and which database is whose.
-- Statements are separated by a blank line; a statement holds none.
-- up

CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 1,
  allowed_origins TEXT NOT NULL DEFAULT '[]',
  status TEXT NOT NULL CHECK (status IN ('provisioning', 'active', 'suspended', 'pending_deletion', 'deleted')),
  shard TEXT UNIQUE REFERENCES shards (binding),
  schema_version INTEGER NOT NULL DEFAULT 0,
  timezone TEXT NOT NULL DEFAULT 'Asia/Jakarta',
  currency TEXT NOT NULL DEFAULT 'IDR',
  locale TEXT NOT NULL DEFAULT 'id',
  suspended_reason TEXT,
  delete_after INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tenants_by_status ON tenants (status, schema_version);

CREATE TABLE shards (
  binding TEXT PRIMARY KEY,
  database_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('free', 'assigned', 'draining', 'broken')),
  tenant_id TEXT,
  schema_version INTEGER NOT NULL DEFAULT 0,
  claimed_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX shards_by_state ON shards (state, binding);

CREATE TABLE platform_admins (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE platform_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT,
  type TEXT NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  actor_name TEXT,
  changes TEXT NOT NULL DEFAULT '{}',
  ip_address TEXT,
  request_id TEXT,
  created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX platform_events_by_tenant ON platform_events (tenant_id, seq);

CREATE TRIGGER platform_events_no_update BEFORE UPDATE ON platform_events
BEGIN
  SELECT RAISE(ABORT, 'platform_events is append-only');
END;

CREATE TRIGGER platform_events_no_delete BEFORE DELETE ON platform_events
BEGIN
  SELECT RAISE(ABORT, 'platform_events is append-only');
END;

CREATE TRIGGER platform_events_no_replace BEFORE INSERT ON platform_events
WHEN EXISTS (SELECT 1 FROM platform_events WHERE seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'platform_events is append-only');
END;

CREATE VIEW guard AS SELECT '' AS name, 1 AS ok;

CREATE TRIGGER guard_fails INSTEAD OF INSERT ON guard WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'guard:' || NEW.name);
END;

-- down

DROP VIEW guard;

DROP TABLE platform_events;

DROP TABLE platform_admins;

DROP TABLE tenants;

DROP TABLE shards;
