-- Imports of profiles and pools, from a router itself, that can be undone; and the address pools.
-- up

ALTER TABLE provisioning ADD COLUMN is_released INTEGER NOT NULL DEFAULT 0 CHECK (is_released IN (0, 1));

ALTER TABLE provisioning ADD COLUMN released_profile TEXT;

CREATE TABLE kept_imports AS SELECT * FROM imports;

CREATE TABLE kept_import_items AS SELECT * FROM import_items;

DROP TABLE import_items;

DROP TABLE imports;

CREATE TABLE imports (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL REFERENCES jobs (id),
  router_id TEXT REFERENCES routers (id) ON DELETE SET NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secrets', 'profiles', 'pools')),
  source TEXT NOT NULL CHECK (source IN ('file', 'router')),
  options TEXT NOT NULL DEFAULT '{}',
  dry_run INTEGER NOT NULL DEFAULT 0 CHECK (dry_run IN (0, 1)),
  creates INTEGER NOT NULL DEFAULT 0,
  skips INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0,
  plan_ids TEXT NOT NULL DEFAULT '[]',
  copy_key TEXT,
  undone_at INTEGER,
  undo_job_id TEXT REFERENCES jobs (id),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

INSERT INTO imports (
  id, job_id, router_id, kind, source, options, dry_run, creates, skips, conflicts, created_at, updated_at
)
SELECT id, job_id, router_id, kind, source, options, dry_run, creates, skips, conflicts, created_at, updated_at
FROM kept_imports;

CREATE TABLE import_items (
  import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
  line INTEGER NOT NULL,
  name TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('create', 'created', 'skip', 'conflict', 'failed', 'undone', 'kept')),
  reason TEXT,
  data TEXT,
  customer_id TEXT,
  entity_id TEXT,
  PRIMARY KEY (import_id, line)
) STRICT, WITHOUT ROWID;

INSERT INTO import_items (import_id, line, name, outcome, reason, data, customer_id)
SELECT import_id, line, name, outcome, reason, data, customer_id FROM kept_import_items;

DROP TABLE kept_import_items;

DROP TABLE kept_imports;

CREATE INDEX imports_by_created ON imports (created_at, id);

CREATE INDEX imports_by_router ON imports (router_id, kind, created_at, id);

CREATE INDEX import_items_by_outcome ON import_items (import_id, outcome, line);

CREATE TABLE ip_pools (
  id TEXT PRIMARY KEY,
  router_id TEXT NOT NULL REFERENCES routers (id),
  name TEXT NOT NULL,
  ranges TEXT NOT NULL,
  next_pool TEXT,
  size INTEGER NOT NULL CHECK (size > 0),
  used INTEGER,
  used_at INTEGER,
  notes TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (router_id, name)
) STRICT;

CREATE INDEX ip_pools_by_created ON ip_pools (created_at, id);

CREATE INDEX ip_pools_by_router ON ip_pools (router_id, created_at, id);

-- down

DROP TABLE ip_pools;

CREATE TABLE kept_imports AS SELECT * FROM imports WHERE kind = 'secrets';

CREATE TABLE kept_import_items AS SELECT * FROM import_items WHERE import_id IN (SELECT id FROM kept_imports);

DROP TABLE import_items;

DROP TABLE imports;

CREATE TABLE imports (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL REFERENCES jobs (id),
  router_id TEXT REFERENCES routers (id) ON DELETE SET NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secrets')),
  source TEXT NOT NULL CHECK (source IN ('file', 'router')),
  options TEXT NOT NULL DEFAULT '{}',
  dry_run INTEGER NOT NULL DEFAULT 0 CHECK (dry_run IN (0, 1)),
  creates INTEGER NOT NULL DEFAULT 0,
  skips INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

INSERT INTO imports
SELECT id, job_id, router_id, kind, source, options, dry_run, creates, skips, conflicts, created_at, updated_at
FROM kept_imports;

CREATE TABLE import_items (
  import_id TEXT NOT NULL REFERENCES imports (id) ON DELETE CASCADE,
  line INTEGER NOT NULL,
  name TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('create', 'created', 'skip', 'conflict', 'failed')),
  reason TEXT,
  data TEXT,
  customer_id TEXT,
  PRIMARY KEY (import_id, line)
) STRICT, WITHOUT ROWID;

INSERT INTO import_items
SELECT import_id, line, name,
  CASE outcome WHEN 'undone' THEN 'failed' WHEN 'kept' THEN 'created' ELSE outcome END, reason, data, customer_id
FROM kept_import_items;

DROP TABLE kept_import_items;

DROP TABLE kept_imports;

CREATE INDEX imports_by_created ON imports (created_at, id);

CREATE INDEX import_items_by_outcome ON import_items (import_id, outcome, line);

UPDATE provisioning SET status = 'in_sync', next_attempt_at = NULL WHERE is_released = 1;

ALTER TABLE provisioning DROP COLUMN released_profile;

ALTER TABLE provisioning DROP COLUMN is_released;
