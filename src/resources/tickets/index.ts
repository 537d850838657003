import { z } from 'zod';
import { Id, Instant } from '../../http/fields.ts';
import { during, exactly, list } from '../../http/list.ts';
import { TICKET_CATEGORIES, TICKET_PRIORITIES, TICKET_STATUSES, tickets } from './table.ts';

export { tickets } from './table.ts';

export const Ticket = z
  .object({
    id: Id,
    ticket_number: z.string(),
    customer_id: Id,
    title: z.string(),
    description: z.string(),
    category: z.enum(TICKET_CATEGORIES),
    priority: z.enum(TICKET_PRIORITIES),
    status: z.enum(TICKET_STATUSES),
    assigned_to: Id.nullable(),
    resolved_at: Instant.nullable(),
    closed_at: Instant.nullable(),
    resolution_notes: z.string().nullable(),
    created_at: Instant,
    updated_at: Instant,
  })
  .meta({ id: 'Ticket' });

/** The tickets of one customer, newest first. */
export const ticket_list = list({
  table: tickets,
  filters: {
    status: exactly(tickets.status, z.enum(TICKET_STATUSES)),
    category: exactly(tickets.category, z.enum(TICKET_CATEGORIES)),
    priority: exactly(tickets.priority, z.enum(TICKET_PRIORITIES)),
    created_at: during(tickets.created_at),
  },
  sort: ['created_at', 'updated_at'],
  default_sort: '-created_at',
  fields: Object.keys(Ticket.shape),
});
