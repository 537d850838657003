-- Routers hold more than secrets: queues, address lists, pools and firewall rules; what they were seen to hold is kept.
-- up

CREATE TABLE kept_provisioning AS SELECT * FROM provisioning;

DROP TABLE provisioning;

CREATE TABLE provisioning (
  id TEXT PRIMARY KEY,
  customer_id TEXT REFERENCES customers (id),
  router_id TEXT NOT NULL REFERENCES routers (id),
  kind TEXT NOT NULL CHECK (
    kind IN ('ppp_secret', 'simple_queue', 'hotspot_user', 'address_list', 'ip_pool', 'nat_rule', 'filter_rule')
  ),
  key TEXT NOT NULL,
  setup TEXT,
  desired TEXT,
  adopt INTEGER NOT NULL DEFAULT 0 CHECK (adopt IN (0, 1)),
  is_released INTEGER NOT NULL DEFAULT 0 CHECK (is_released IN (0, 1)),
  released_profile TEXT,
  generation INTEGER NOT NULL DEFAULT 1,
  observed_generation INTEGER NOT NULL DEFAULT 0,
  observed TEXT,
  observed_at INTEGER,
  is_held INTEGER NOT NULL DEFAULT 0 CHECK (is_held IN (0, 1)),
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

INSERT INTO provisioning (
  id, customer_id, router_id, kind, key, desired, adopt, is_released, released_profile, generation, observed_generation,
  is_held, secret_hash, status, attempts, next_attempt_at, last_error, last_applied_at, created_at, updated_at
)
SELECT id, customer_id, router_id, kind, key, desired, adopt, is_released, released_profile, generation,
  observed_generation, desired IS NOT NULL AND last_applied_at IS NOT NULL, secret_hash, status, attempts, next_attempt_at, last_error, last_applied_at, created_at, updated_at
FROM kept_provisioning;

DROP TABLE kept_provisioning;

CREATE INDEX provisioning_by_created ON provisioning (created_at, id);

CREATE INDEX provisioning_by_customer ON provisioning (customer_id, created_at, id);

CREATE INDEX provisioning_by_router ON provisioning (router_id, created_at, id);

CREATE INDEX provisioning_by_kind ON provisioning (kind, created_at, id);

CREATE INDEX provisioning_by_setup ON provisioning (setup, created_at, id) WHERE setup IS NOT NULL;

CREATE INDEX provisioning_by_status ON provisioning (status, created_at, id);

CREATE INDEX provisioning_due ON provisioning (router_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

INSERT INTO counters (name, value) SELECT 'provisioning', count(*) FROM provisioning;

CREATE TRIGGER provisioning_counted_insert AFTER INSERT ON provisioning
BEGIN
  INSERT INTO counters (name, value) VALUES ('provisioning', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;
END;

CREATE TRIGGER provisioning_counted_delete AFTER DELETE ON provisioning
BEGIN
  UPDATE counters SET value = value - 1 WHERE name = 'provisioning';
END;

CREATE INDEX customers_by_router_plan ON customers (router_id, service_plan_id, status);

CREATE INDEX customers_by_static_ip ON customers (static_ip) WHERE static_ip IS NOT NULL;

ALTER TABLE routers ADD COLUMN circuit TEXT;

ALTER TABLE settings ADD COLUMN isolir_pool TEXT NOT NULL DEFAULT 'pool-isolir';

ALTER TABLE service_plan_settings ADD COLUMN shaping TEXT NOT NULL DEFAULT 'profile' CHECK (
  shaping IN ('profile', 'simple_queue')
);

-- down

ALTER TABLE service_plan_settings DROP COLUMN shaping;

ALTER TABLE settings DROP COLUMN isolir_pool;

ALTER TABLE routers DROP COLUMN circuit;

DROP INDEX customers_by_static_ip;

DROP INDEX customers_by_router_plan;

CREATE TABLE kept_provisioning AS SELECT * FROM provisioning
WHERE customer_id IS NOT NULL AND kind IN ('ppp_secret', 'simple_queue', 'hotspot_user', 'address_list');

DROP TABLE provisioning;

DELETE FROM counters WHERE name = 'provisioning';

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

ALTER TABLE provisioning ADD COLUMN is_released INTEGER NOT NULL DEFAULT 0 CHECK (is_released IN (0, 1));

ALTER TABLE provisioning ADD COLUMN released_profile TEXT;

INSERT INTO provisioning (
  id, customer_id, router_id, kind, key, desired, adopt, generation, observed_generation, secret_hash, status, attempts,
  next_attempt_at, last_error, last_applied_at, created_at, updated_at, is_released, released_profile
)
SELECT id, customer_id, router_id, kind, key, desired, adopt, generation, observed_generation, secret_hash, status,
  attempts, next_attempt_at, last_error, last_applied_at, created_at, updated_at, is_released, released_profile
FROM kept_provisioning;

DROP TABLE kept_provisioning;

CREATE INDEX provisioning_by_customer ON provisioning (customer_id, created_at, id);

CREATE INDEX provisioning_due ON provisioning (router_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
