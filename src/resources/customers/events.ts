import { createdChanges, diffChanges, type Changes, type NewEvent } from '../../events/event.ts';
import type { CustomerRow } from './table.ts';

/** What the log can tell of a customer. The PPPoE password only ever shows that it changed. */

const SECRETS = ['pppoe_password'];
/** Derived from other columns, or from dues and receipts: telling of them twice helps nobody. */
const DERIVED = [
  'search_text',
  'phone_e164',
  'updated_at',
  'account_version',
  'outstanding_balance',
  'credit_balance',
  'overdue_balance',
  'payment_status',
];

type Told = Pick<CustomerRow, 'id'> & Partial<CustomerRow>;

export function customerCreated(customer: Told, routers: readonly string[] = []): NewEvent {
  const shown = Object.fromEntries(Object.entries(customer).filter(([name]) => !DERIVED.includes(name)));
  return {
    type: 'customer.created',
    action: 'create',
    entity_id: customer.id,
    customer_id: customer.id,
    changes: createdChanges(shown, SECRETS),
    routers,
  };
}

export const customerChanges = (before: CustomerRow, patch: Partial<CustomerRow>): Changes =>
  diffChanges(before, patch, { secrets: SECRETS, ignore: DERIVED });

/** `activated`, `suspended`, …; a plain change of fields is `updated`. */
export function customerChanged(
  before: CustomerRow,
  patch: Partial<CustomerRow>,
  happened: string,
  details: { routers: readonly string[]; data?: Record<string, unknown> },
): NewEvent {
  return {
    type: `customer.${happened}`,
    action: happened === 'deleted' ? 'delete' : 'update',
    entity_id: before.id,
    customer_id: before.id,
    changes: customerChanges(before, patch),
    ...details,
  };
}
