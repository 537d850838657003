-- What each router must hold for each customer, and imports of what routers held before.
-- up

CREATE TABLE provisioning (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  router_id TEXT NOT NULL REFERENCES routers (id),
  kind TEXT NOT NULL CHECK (kind IN ('ppp_secret', 'simple_queue', 'hotspot_user', 'address_list')),
  key TEXT NOT NULL,
  desired TEXT,
  adopt INTEGER NOT NULL DEFAULT 0 CHECK (adopt IN (0, 1)),
  generation INTEGER NOT NULL DEFAULT 1,
  observed_generation INTEGER NOT NULL DEFAULT 0,
  secret_hash TEXT,
  status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'in_sync', 'drifted', 'conflict', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  last_error TEXT,
  last_applied_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (router_id, kind, key)
) STRICT;

CREATE INDEX provisioning_by_customer ON provisioning (customer_id, created_at, id);

CREATE INDEX provisioning_due ON provisioning (router_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

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

CREATE INDEX imports_by_created ON imports (created_at, id);

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

CREATE INDEX import_items_by_outcome ON import_items (import_id, outcome, line);

-- down

DROP TABLE import_items;

DROP TABLE imports;

DROP TABLE provisioning;
