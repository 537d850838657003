-- Plans, zones, customers, and the search, counts and custom fields that triggers keep beside them.
-- up

CREATE TABLE service_plans (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  profile_name TEXT NOT NULL UNIQUE,
  description TEXT,
  download_kbps INTEGER CHECK (download_kbps > 0),
  upload_kbps INTEGER CHECK (upload_kbps > 0),
  rate_limit TEXT,
  price INTEGER CHECK (price > 0),
  billing_cycle TEXT NOT NULL DEFAULT 'monthly' CHECK (billing_cycle IN ('monthly')),
  is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
  features TEXT NOT NULL DEFAULT '[]',
  sort_order INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX service_plans_by_order ON service_plans (is_active, sort_order, name);

CREATE INDEX service_plans_by_created ON service_plans (created_at, id);

CREATE TABLE service_plan_settings (
  plan_id TEXT PRIMARY KEY REFERENCES service_plans (id) ON DELETE CASCADE,
  burst_download_kbps INTEGER,
  burst_upload_kbps INTEGER,
  burst_threshold_download_kbps INTEGER,
  burst_threshold_upload_kbps INTEGER,
  burst_time_seconds INTEGER,
  priority INTEGER NOT NULL DEFAULT 8 CHECK (priority BETWEEN 1 AND 8),
  queue_type TEXT,
  parent_queue TEXT,
  address_pool TEXT,
  local_address TEXT,
  dns_servers TEXT NOT NULL DEFAULT '[]',
  connection_mode TEXT NOT NULL DEFAULT 'pppoe' CHECK (connection_mode IN ('pppoe', 'hotspot', 'static')),
  vlan_id INTEGER,
  max_devices INTEGER,
  max_connections INTEGER,
  session_timeout INTEGER,
  is_unlimited INTEGER NOT NULL DEFAULT 0 CHECK (is_unlimited IN (0, 1)),
  monthly_quota_gb INTEGER,
  fup_threshold_gb INTEGER,
  fup_download_kbps INTEGER,
  fup_upload_kbps INTEGER,
  grace_period_days INTEGER,
  duration_days INTEGER,
  area_coverage TEXT NOT NULL DEFAULT '[]',
  time_restrictions TEXT NOT NULL DEFAULT '{}',
  addons TEXT NOT NULL DEFAULT '[]',
  queue_name_template TEXT NOT NULL DEFAULT '{customer_code}',
  auto_apply_to_router INTEGER NOT NULL DEFAULT 1 CHECK (auto_apply_to_router IN (0, 1)),
  managed TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE service_plan_changes (
  id TEXT PRIMARY KEY,
  plan_id TEXT NOT NULL REFERENCES service_plans (id) ON DELETE CASCADE,
  changed_by TEXT,
  changes TEXT NOT NULL,
  effective_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX service_plan_changes_by_plan ON service_plan_changes (plan_id, created_at, id);

CREATE TABLE zones (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX zones_by_created ON zones (created_at, id);

CREATE TABLE customers (
  id TEXT PRIMARY KEY,
  customer_code TEXT NOT NULL UNIQUE,
  full_name TEXT NOT NULL,
  nik TEXT,
  phone TEXT,
  phone_e164 TEXT,
  email TEXT,
  address TEXT,
  zone_id TEXT REFERENCES zones (id),
  rt TEXT,
  rw TEXT,
  kelurahan TEXT,
  kecamatan TEXT,
  city TEXT,
  postal_code TEXT,
  latitude REAL CHECK (latitude BETWEEN -90 AND 90),
  longitude REAL CHECK (longitude BETWEEN -180 AND 180),
  photo_key TEXT,
  house_photo_key TEXT,
  status TEXT NOT NULL DEFAULT 'pending_activation'
    CHECK (status IN ('pending_activation', 'active', 'suspended', 'terminated')),
  service_plan_id TEXT NOT NULL REFERENCES service_plans (id),
  monthly_fee INTEGER CHECK (monthly_fee >= 0),
  due_day INTEGER NOT NULL DEFAULT 15 CHECK (due_day BETWEEN 1 AND 31),
  billing_type TEXT NOT NULL DEFAULT 'prepaid' CHECK (billing_type IN ('prepaid', 'postpaid')),
  auto_isolir INTEGER NOT NULL DEFAULT 1 CHECK (auto_isolir IN (0, 1)),
  hold_until TEXT,
  suspension_reason TEXT CHECK (suspension_reason IN ('overdue', 'manual', 'quota', 'abuse')),
  installation_date TEXT,
  activation_date TEXT,
  termination_date TEXT,
  termination_reason TEXT,
  last_payment_date TEXT,
  outstanding_balance INTEGER NOT NULL DEFAULT 0,
  credit_balance INTEGER NOT NULL DEFAULT 0,
  router_id TEXT REFERENCES routers (id),
  connection_type TEXT NOT NULL DEFAULT 'pppoe' CHECK (connection_type IN ('pppoe', 'hotspot', 'static')),
  pppoe_username TEXT,
  pppoe_password TEXT,
  static_ip TEXT,
  onu_serial TEXT,
  notes TEXT,
  custom_fields TEXT NOT NULL DEFAULT '{}',
  search_text TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
) STRICT;

CREATE UNIQUE INDEX customers_pppoe_username ON customers (pppoe_username)
WHERE pppoe_username IS NOT NULL AND status <> 'terminated' AND deleted_at IS NULL;

CREATE INDEX customers_by_created ON customers (created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_name ON customers (full_name COLLATE NOCASE, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_code ON customers (customer_code, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_updated ON customers (updated_at, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_status ON customers (status, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_plan ON customers (service_plan_id, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_plan_all ON customers (service_plan_id);

CREATE INDEX customers_by_router ON customers (router_id, created_at, id) WHERE router_id IS NOT NULL;

CREATE INDEX customers_by_zone ON customers (zone_id, created_at, id) WHERE zone_id IS NOT NULL;

CREATE INDEX customers_by_connection ON customers (connection_type, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_billing ON customers (billing_type, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_due_day ON customers (due_day, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_installation ON customers (installation_date, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_last_payment ON customers (last_payment_date, created_at, id) WHERE deleted_at IS NULL;

CREATE INDEX customers_by_outstanding ON customers (outstanding_balance, created_at, id) WHERE deleted_at IS NULL;

CREATE VIRTUAL TABLE customers_search USING fts5 (
  search_text,
  content = 'customers',
  tokenize = 'trigram case_sensitive 1'
);

CREATE TRIGGER customers_search_insert AFTER INSERT ON customers
BEGIN
  INSERT INTO customers_search (rowid, search_text) VALUES (NEW.rowid, NEW.search_text);
END;

CREATE TRIGGER customers_search_delete AFTER DELETE ON customers
BEGIN
  INSERT INTO customers_search (customers_search, rowid, search_text) VALUES ('delete', OLD.rowid, OLD.search_text);
END;

CREATE TRIGGER customers_search_update AFTER UPDATE OF search_text ON customers
WHEN OLD.search_text IS NOT NEW.search_text
BEGIN
  INSERT INTO customers_search (customers_search, rowid, search_text) VALUES ('delete', OLD.rowid, OLD.search_text);
  INSERT INTO customers_search (rowid, search_text) VALUES (NEW.rowid, NEW.search_text);
END;

CREATE TRIGGER customers_counted_insert AFTER INSERT ON customers WHEN NEW.deleted_at IS NULL
BEGIN
  INSERT INTO counters (name, value)
  VALUES ('customers', 1), ('customers:status:' || NEW.status, 1), ('customers:plan:' || NEW.service_plan_id, 1)
  ON CONFLICT (name) DO UPDATE SET value = value + 1;
END;

CREATE TRIGGER customers_counted_update AFTER UPDATE OF status, service_plan_id, deleted_at ON customers
WHEN OLD.status <> NEW.status OR OLD.service_plan_id <> NEW.service_plan_id OR OLD.deleted_at IS NOT NEW.deleted_at
BEGIN
  UPDATE counters SET value = value - 1
  WHERE OLD.deleted_at IS NULL
    AND name IN ('customers', 'customers:status:' || OLD.status, 'customers:plan:' || OLD.service_plan_id);
  INSERT INTO counters (name, value)
  SELECT column1, 1
  FROM (VALUES ('customers'), ('customers:status:' || NEW.status), ('customers:plan:' || NEW.service_plan_id))
  WHERE NEW.deleted_at IS NULL
  ON CONFLICT (name) DO UPDATE SET value = value + 1;
END;

CREATE TRIGGER customers_counted_delete AFTER DELETE ON customers WHEN OLD.deleted_at IS NULL
BEGIN
  UPDATE counters SET value = value - 1
  WHERE name IN ('customers', 'customers:status:' || OLD.status, 'customers:plan:' || OLD.service_plan_id);
END;

CREATE TABLE customer_custom_fields (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  PRIMARY KEY (key, value, customer_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX customer_custom_fields_by_customer ON customer_custom_fields (customer_id);

CREATE TRIGGER customers_custom_insert AFTER INSERT ON customers WHEN NEW.custom_fields <> '{}'
BEGIN
  INSERT INTO customer_custom_fields (key, value, customer_id)
  SELECT key, CASE WHEN type IN ('true', 'false') THEN type ELSE CAST(value AS TEXT) END, NEW.id
  FROM json_each(NEW.custom_fields) WHERE value IS NOT NULL;
END;

CREATE TRIGGER customers_custom_update AFTER UPDATE OF custom_fields ON customers
WHEN OLD.custom_fields <> NEW.custom_fields
BEGIN
  DELETE FROM customer_custom_fields WHERE customer_id = NEW.id;
  INSERT INTO customer_custom_fields (key, value, customer_id)
  SELECT key, CASE WHEN type IN ('true', 'false') THEN type ELSE CAST(value AS TEXT) END, NEW.id
  FROM json_each(NEW.custom_fields) WHERE value IS NOT NULL;
END;

CREATE TABLE customer_plan_changes (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  from_plan_id TEXT NOT NULL REFERENCES service_plans (id),
  to_plan_id TEXT NOT NULL REFERENCES service_plans (id),
  effective_date TEXT NOT NULL,
  reason TEXT,
  changed_by TEXT,
  applied_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX customer_plan_changes_by_customer ON customer_plan_changes (customer_id, created_at);

CREATE INDEX customer_plan_changes_from ON customer_plan_changes (from_plan_id);

CREATE INDEX customer_plan_changes_to ON customer_plan_changes (to_plan_id);

CREATE UNIQUE INDEX customer_plan_changes_waiting ON customer_plan_changes (customer_id) WHERE applied_at IS NULL;

CREATE INDEX customer_plan_changes_due ON customer_plan_changes (effective_date) WHERE applied_at IS NULL;

-- down

DROP TABLE customer_plan_changes;

DROP TABLE customer_custom_fields;

DROP TABLE customers_search;

DROP TABLE customers;

DROP TABLE zones;

DROP TABLE service_plan_changes;

DROP TABLE service_plan_settings;

DROP TABLE service_plans;

DELETE FROM counters WHERE name = 'customers' OR name LIKE 'customers:%';
