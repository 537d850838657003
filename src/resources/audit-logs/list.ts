import { z } from 'zod';
import { events } from '../../events/event.ts';
import { Id, Instant } from '../../http/fields.ts';
import { during, exactly, list } from '../../http/list.ts';

export const AuditLog = z
  .object({
    seq: z.int().describe('Rises by time; the WebSocket’s `since` counts in it.'),
    type: z.string(),
    action: z.string(),
    actor: z.enum(['user', 'customer', 'bridge', 'gateway', 'job', 'platform']),
    actor_name: z.string().nullable().describe('The job, gateway or bridge by name.'),
    user_id: Id.nullable(),
    user_email: z.string().nullable(),
    entity_type: z.string(),
    entity_id: z.string(),
    customer_id: Id.nullable(),
    changes: z
      .record(z.string(), z.tuple([z.unknown(), z.unknown()]))
      .describe('Field → [old, new]; secrets are masked.'),
    data: z.record(z.string(), z.unknown()).describe('What else is known of it: the reason given, the router, …'),
    ip_address: z.string().nullable(),
    request_id: z.string().nullable(),
    created_at: Instant,
  })
  .meta({ id: 'AuditLog' });

const word = z.string().min(1).max(100);

/** The events table read as the audit log, newest first. */
export const audit_list = list({
  table: events,
  filters: {
    user_id: exactly(events.user_id, Id),
    action: exactly(events.action, word),
    entity_type: exactly(events.entity_type, word),
    entity_id: exactly(events.entity_id, word),
    customer_id: exactly(events.customer_id, Id),
    ip_address: exactly(events.ip_address, word),
    created_at: during(events.created_at),
  },
  sort: ['seq'],
  default_sort: '-seq',
  ties: [events.seq],
  counter: 'events',
  fields: Object.keys(AuditLog.shape),
});
