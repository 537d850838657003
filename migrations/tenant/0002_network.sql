-- Bridges on the ISP's network and the MikroTik routers they speak to.
-- up

CREATE TABLE bridges (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  url TEXT,
  signing_secret TEXT,
  public_key TEXT,
  status TEXT NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'online', 'offline')),
  last_heartbeat_at INTEGER,
  version TEXT,
  enrolled_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX bridges_by_created ON bridges (created_at, id);

CREATE TABLE routers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
  use_tls INTEGER NOT NULL DEFAULT 0 CHECK (use_tls IN (0, 1)),
  tls_fingerprint TEXT,
  username TEXT NOT NULL,
  password TEXT NOT NULL,
  bridge_id TEXT REFERENCES bridges (id),
  location TEXT,
  is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
  is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
  status TEXT NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'online', 'offline')),
  revision INTEGER NOT NULL DEFAULT 0,
  last_seen_at INTEGER,
  identity TEXT,
  board_name TEXT,
  version TEXT,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX routers_by_created ON routers (created_at, id);

CREATE INDEX routers_by_status ON routers (status, created_at, id);

CREATE INDEX routers_by_active ON routers (is_active, created_at, id);

CREATE INDEX routers_by_bridge ON routers (bridge_id, created_at, id);

CREATE UNIQUE INDEX routers_one_default ON routers (is_default) WHERE is_default = 1;

-- down

DROP TABLE routers;

DROP TABLE bridges;
