/** What the socket says, by event name. A stand-in written by hand: the API's own document will say it. */

/** An entity, those of its fields that changed (all of them, where it is new), and what they were. */
export type LiveChange<Fields = unknown> = {
  id: string;
  customer_id?: string | null;
  /** The word after the dot in the audit log's type: `suspended`, `paid`. */
  happened?: string;
  previous?: Record<string, unknown>;
} & Partial<Fields> &
  Record<string, unknown>;

type CustomerStatus = 'pending_activation' | 'active' | 'suspended' | 'terminated';
type Reach = 'online' | 'offline' | 'unknown';

interface LiveData {
  'customer:created': LiveChange<{ customer_code: string; full_name: string; status: CustomerStatus }>;
  'customer:updated': LiveChange;
  'customer:status': LiveChange<{ status: CustomerStatus }>;
  'payment:created': LiveChange<{ amount: number; status: string }>;
  'payment:updated': LiveChange<{ amount: number; status: string }>;
  'invoice:created': LiveChange<{ number: string; total: number }>;
  'invoice:updated': LiveChange;
  'receipt:created': LiveChange<{ number: string; amount: number }>;
  'receipt:updated': LiveChange;
  'ticket:created': LiveChange;
  'ticket:updated': LiveChange;
  'device:status': LiveChange<{ name: string; status: Reach }>;
  'router:status': LiveChange<{ name: string; status: Reach }>;
  'bridge:status': LiveChange<{ name: string; status: Reach }>;
  'provisioning:status': LiveChange<{
    router_id: string;
    kind: string;
    key: string;
    status: 'pending' | 'in_sync' | 'drifted' | 'conflict' | 'failed';
    error: string | null;
  }>;
  'alert:opened': LiveChange<{
    type: string;
    severity: 'info' | 'warning' | 'critical';
    entity_type: string;
    entity_id: string;
    message: string;
    status: string;
  }>;
  'alert:resolved': LiveChange<{ status: string }>;
  'monitoring:update': {
    router_id: string;
    measured_at: string;
    status: Reach;
    latency_ms: number | null;
    lines_online: number | null;
    download_bps: number | null;
    upload_bps: number | null;
  };
  'job:progress': {
    id: string;
    kind: string;
    status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
    progress: number;
    total: number;
    succeeded: number;
    failed: number;
  };
  'session:expired': Record<string, unknown>;
}

export type LiveEventName = keyof LiveData;

/** One message. Transient ones (`monitoring:update`, `job:progress`, `session:expired`) have no `seq`, and never come again. */
export type LiveMessage = {
  [Event in LiveEventName]: { event: Event; data: LiveData[Event]; timestamp: string; seq?: number };
}[LiveEventName];

export type LiveMessageOf<Event extends LiveEventName> = Extract<LiveMessage, { event: Event }>;
