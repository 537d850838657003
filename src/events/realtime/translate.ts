import { MASK } from '../../http/fields.ts';
import { toIso } from '../../lib/time.ts';
import type { LoggedEvent } from '../log.ts';
import { ALL_EVENTS, type AnyEventName, type LiveEventName } from './catalogue.ts';

/** An event of the log as the socket tells it: pure. */

export interface LiveMessage {
  /** None: it is told once, and never replayed. */
  seq?: number;
  event: AnyEventName;
  data: Record<string, unknown>;
  timestamp: string;
}

/** Entities whose events all are told, and how: new rows, and changes. */
const WHOLE: Record<string, { created: LiveEventName; changed: LiveEventName }> = {
  customer: { created: 'customer:created', changed: 'customer:updated' },
  payment: { created: 'payment:created', changed: 'payment:updated' },
  invoice: { created: 'invoice:created', changed: 'invoice:updated' },
  receipt: { created: 'receipt:created', changed: 'receipt:updated' },
  ticket: { created: 'ticket:created', changed: 'ticket:updated' },
};

/** Of these only the status is told. */
const STATUS: Record<string, LiveEventName> = {
  device: 'device:status',
  router: 'router:status',
  bridge: 'bridge:status',
  provisioning: 'provisioning:status',
};

const ALERT: Record<string, LiveEventName> = {
  opened: 'alert:opened',
  acknowledged: 'alert:acknowledged',
  resolved: 'alert:resolved',
};

/** The name under which it is told; null: it is for the log alone. */
export function nameOf({ type, entity_type, changes }: Pick<LoggedEvent, 'type' | 'entity_type' | 'changes'>) {
  const happened = happenedOf(type);
  const has_status = Object.hasOwn(changes, 'status');
  if (entity_type === 'alert') return ALERT[happened] ?? null;
  if (has_status && STATUS[entity_type]) return STATUS[entity_type];
  const whole = WHOLE[entity_type];
  if (!whole) return null;
  if (happened === 'created') return whole.created;
  return entity_type === 'customer' && has_status && happened !== 'deleted' ? 'customer:status' : whole.changed;
}

const happenedOf = (type: string): string => type.slice(type.indexOf('.') + 1);

/** Fields that the event's `data` declares; whatever else the log or a row holds stays inside. */
const declared = Object.fromEntries(
  Object.entries(ALL_EVENTS).map(([name, { data }]) => [name, new Set(Object.keys(data.shape))]),
) as Partial<Record<AnyEventName, ReadonlySet<string>>> as Record<AnyEventName, ReadonlySet<string>>;

export function toMessage(event: LoggedEvent): LiveMessage | null {
  const name = nameOf(event);
  if (name === null) return null;
  const fields = declared[name];
  const told = Object.entries(event.changes).filter(([field, [, now]]) => fields.has(field) && now !== MASK);
  const happened = happenedOf(event.type);
  const is_new = happened === 'created';
  // of what was removed its name is told, as it was
  const tellValue = (field: string, [old, now]: [unknown, unknown]) =>
    happened === 'deleted' && STATUS[event.entity_type] && field !== 'status' ? old : now;
  const all = {
    ...event.facts,
    ...event.data,
    ...Object.fromEntries(told.map(([field, values]) => [field, tellValue(field, values)])),
    ...(!is_new && { previous: Object.fromEntries(told.map(([field, [old]]) => [field, old])) }),
    ...(event.customer_id !== null && { customer_id: event.customer_id }),
    happened,
    id: event.entity_id,
  };
  const data = Object.fromEntries(Object.entries(all).filter(([field]) => fields.has(field)));
  return { seq: event.seq, event: name, data, timestamp: toIso(event.created_at) };
}
