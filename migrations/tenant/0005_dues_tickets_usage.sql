-- What a customer owes and paid, asked for and used: read beside the customer from the start.
-- up

CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  invoice_id TEXT,
  parent_id TEXT REFERENCES payments (id),
  amount INTEGER NOT NULL CHECK (amount > 0),
  status TEXT NOT NULL CHECK (status IN ('pending', 'paid', 'overdue', 'void')),
  void_reason TEXT,
  due_date TEXT NOT NULL,
  payment_date TEXT,
  payment_method TEXT CHECK (
    payment_method IN ('cash', 'transfer', 'e-wallet', 'credit_card', 'gateway', 'credit')
  ),
  payment_for TEXT NOT NULL CHECK (payment_for IN ('monthly_subscription', 'installation', 'speed_boost', 'other')),
  period_month INTEGER CHECK (period_month BETWEEN 1 AND 12),
  period_year INTEGER,
  reference_number TEXT,
  notes TEXT,
  processed_by TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX payments_by_customer ON payments (customer_id, due_date, id);

CREATE TABLE tickets (
  id TEXT PRIMARY KEY,
  ticket_number TEXT NOT NULL UNIQUE,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  title TEXT NOT NULL,
  description TEXT NOT NULL,
  category TEXT NOT NULL CHECK (category IN ('technical', 'billing', 'complaint', 'request')),
  priority TEXT NOT NULL CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
  status TEXT NOT NULL CHECK (status IN ('open', 'in_progress', 'resolved', 'closed')),
  assigned_to TEXT REFERENCES users (id),
  resolved_at INTEGER,
  closed_at INTEGER,
  resolution_notes TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tickets_by_customer ON tickets (customer_id, created_at, id);

CREATE INDEX tickets_by_assignee ON tickets (assigned_to) WHERE assigned_to IS NOT NULL;

CREATE TABLE usage_daily (
  customer_id TEXT NOT NULL REFERENCES customers (id),
  date TEXT NOT NULL,
  download_bytes INTEGER NOT NULL,
  upload_bytes INTEGER NOT NULL,
  average_download_kbps INTEGER NOT NULL,
  average_upload_kbps INTEGER NOT NULL,
  most_download_kbps INTEGER NOT NULL,
  most_upload_kbps INTEGER NOT NULL,
  online_seconds INTEGER NOT NULL CHECK (online_seconds BETWEEN 0 AND 90000),
  PRIMARY KEY (customer_id, date)
) STRICT, WITHOUT ROWID;

-- down

DROP TABLE usage_daily;

DROP TABLE tickets;

DROP TABLE payments;
