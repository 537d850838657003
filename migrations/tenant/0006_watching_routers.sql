-- What bridges tell by themselves: who is there, what lines moved, and the alerts that come of it.
-- up

ALTER TABLE routers ADD COLUMN tls_anonymous_dh INTEGER NOT NULL DEFAULT 0 CHECK (tls_anonymous_dh IN (0, 1));

ALTER TABLE routers ADD COLUMN status_at INTEGER;

ALTER TABLE routers ADD COLUMN drift_checked_at INTEGER;

ALTER TABLE bridges ADD COLUMN last_report_ms INTEGER;

ALTER TABLE bridges ADD COLUMN spool_id TEXT;

ALTER TABLE bridges ADD COLUMN spool_number INTEGER NOT NULL DEFAULT 0;

ALTER TABLE bridges ADD COLUMN last_measured_at INTEGER;

CREATE TABLE line_measurements (
  measured_at INTEGER NOT NULL,
  router_id TEXT NOT NULL REFERENCES routers (id) ON DELETE CASCADE,
  spool_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  part INTEGER NOT NULL,
  lines TEXT NOT NULL,
  PRIMARY KEY (measured_at, router_id, spool_id, number, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX line_measurements_by_router ON line_measurements (router_id, measured_at);

CREATE TABLE alerts (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL CHECK (
    type IN (
      'bandwidth', 'device_offline', 'router_offline', 'bridge_offline', 'low_stock', 'backup_failed', 'drift', 'quota'
    )
  ),
  severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  entity_type TEXT NOT NULL,
  entity_id TEXT NOT NULL,
  message TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
  opened_at INTEGER NOT NULL,
  acknowledged_at INTEGER,
  acknowledged_by TEXT,
  resolved_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX alerts_one_open ON alerts (type, entity_id) WHERE status <> 'resolved';

CREATE INDEX alerts_by_opened ON alerts (opened_at, id);

CREATE INDEX alerts_by_status ON alerts (status, opened_at, id);

CREATE INDEX alerts_by_type ON alerts (type, opened_at, id);

CREATE INDEX alerts_by_entity ON alerts (entity_id, opened_at, id);

CREATE TRIGGER alerts_counted_insert AFTER INSERT ON alerts
BEGIN
  INSERT INTO counters (name, value) VALUES ('alerts', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;
END;

CREATE TRIGGER alerts_counted_delete AFTER DELETE ON alerts
BEGIN
  UPDATE counters SET value = value - 1 WHERE name = 'alerts';
END;

CREATE TABLE devices (
  id TEXT PRIMARY KEY,
  device_name TEXT NOT NULL UNIQUE,
  device_type TEXT NOT NULL CHECK (device_type IN ('olt', 'onu', 'router', 'switch', 'access_point')),
  serial_number TEXT UNIQUE,
  mac_address TEXT,
  brand TEXT,
  model TEXT,
  firmware_version TEXT,
  ip_address TEXT,
  port INTEGER CHECK (port BETWEEN 1 AND 65535),
  username TEXT,
  password TEXT,
  subnet_mask TEXT,
  gateway TEXT,
  location TEXT,
  latitude REAL,
  longitude REAL,
  status TEXT NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'online', 'offline', 'maintenance')),
  status_at INTEGER,
  last_seen_at INTEGER,
  latency_ms INTEGER,
  bridge_id TEXT REFERENCES bridges (id),
  customer_id TEXT REFERENCES customers (id),
  parent_device_id TEXT REFERENCES devices (id),
  installation_date TEXT,
  warranty_until TEXT,
  purchase_price INTEGER,
  notes TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX devices_by_created ON devices (created_at, id);

CREATE INDEX devices_by_type ON devices (device_type, created_at, id);

CREATE INDEX devices_by_status ON devices (status, created_at, id);

CREATE INDEX devices_by_bridge ON devices (bridge_id, created_at, id);

CREATE INDEX devices_by_customer ON devices (customer_id, created_at, id) WHERE customer_id IS NOT NULL;

CREATE INDEX devices_by_parent ON devices (parent_device_id) WHERE parent_device_id IS NOT NULL;

-- down

DROP TABLE devices;

DROP TABLE alerts;

DELETE FROM counters WHERE name = 'alerts';

DROP TABLE line_measurements;

ALTER TABLE bridges DROP COLUMN last_measured_at;

ALTER TABLE bridges DROP COLUMN spool_number;

ALTER TABLE bridges DROP COLUMN spool_id;

ALTER TABLE bridges DROP COLUMN last_report_ms;

ALTER TABLE routers DROP COLUMN drift_checked_at;

ALTER TABLE routers DROP COLUMN status_at;

ALTER TABLE routers DROP COLUMN tls_anonymous_dh;
