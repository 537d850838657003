import type { LiveMessage, LiveMessageOf } from '../../client/live.ts';
import type { Language } from './language.ts';
import { PHRASES } from './phrases.ts';
import { wordFor } from './words.ts';

/** An event in plain words: pure. */

export type Tone = 'good' | 'warn' | 'bad' | 'plain';

export interface Sentence {
  tone: Tone;
  text: string;
}

/** What a sentence needs beyond the event. */
export interface Known {
  customer: (id: string) => string | null;
  router: (id: string) => string | null;
  money: (amount: number) => string;
}

/** Null: nothing that belongs into the stream of events. */
export function tell(message: LiveMessage, language: Language, known: Known): Sentence | null {
  const say = PHRASES[language];
  const name = customerOf(message, known) ?? say.somebody;
  const [entity] = message.event.split(':');
  switch (message.event) {
    case 'customer:created':
    case 'customer:updated':
    case 'customer:status':
      return tellOfCustomer(message, say, name);
    case 'payment:created':
    case 'payment:updated':
      return tellOfPayment(message, say, { name, amount: amountOf(message.data.amount, known) });
    case 'invoice:created':
    case 'receipt:created': {
      const { number, total, amount } = message.data as { number?: string; total?: number; amount?: number };
      if (entity === 'invoice') return { tone: 'plain', text: say.invoice_created(name, number ?? '') };
      return { tone: 'good', text: say.receipt_created(name, amountOf(amount ?? total, known)) };
    }
    case 'invoice:updated':
    case 'receipt:updated': {
      const is_void = message.data.happened === 'voided' || message.data.status === 'void';
      const words = entity === 'invoice' ? say.invoice : say.receipt;
      return { tone: is_void ? 'warn' : 'plain', text: (is_void ? words.voided : words.changed)(name) };
    }
    case 'ticket:created':
    case 'ticket:updated':
      return { tone: 'plain', text: say.ticket[message.event](name) };
    case 'device:status':
    case 'router:status':
    case 'bridge:status':
      return tellOfReach(message, say, known);
    case 'provisioning:status':
      return tellOfLine(message, say, { name, router: known.router(message.data.router_id ?? '') });
    case 'alert:opened':
      return { tone: 'bad', text: say.alert_opened(alertOf(message, say, known)) };
    case 'alert:resolved':
      return { tone: 'good', text: say.alert_resolved };
    case 'job:progress':
    case 'monitoring:update':
    case 'session:expired':
      return null;
    default:
      // a newer server may tell more than we know of
      return { tone: 'plain', text: say.unknown((message as LiveMessage).event) };
  }
}

type Phrases = (typeof PHRASES)['id'];
type CustomerMessage = LiveMessageOf<'customer:created' | 'customer:updated' | 'customer:status'>;
type PaymentMessage = LiveMessageOf<'payment:created' | 'payment:updated'>;
type ReachMessage = LiveMessageOf<'device:status' | 'router:status' | 'bridge:status'>;

/** The customer that an event is about; null: about none. */
export function customerIdOf({ event, data }: LiveMessage): string | null {
  const { id, customer_id } = data as { id?: string; customer_id?: string | null };
  return event.startsWith('customer:') ? (id ?? null) : (customer_id ?? null);
}

function customerOf(message: LiveMessage, known: Known): string | null {
  const { full_name, customer_name, previous } = message.data as Record<string, unknown>;
  const former = (previous as { full_name?: unknown } | undefined)?.full_name;
  for (const told of [full_name, customer_name, former]) if (typeof told === 'string') return told;
  const id = customerIdOf(message);
  return id === null ? null : known.customer(id);
}

const amountOf = (amount: number | undefined, { money }: Known): string => (amount === undefined ? '' : money(amount));

function tellOfCustomer({ event, data }: CustomerMessage, say: Phrases, name: string): Sentence {
  if (event === 'customer:created') return { tone: 'good', text: say.customer_created(name) };
  if (event === 'customer:updated') {
    const found = wordFor(say.customer_updated, data.happened);
    return { tone: 'plain', text: (found ?? say.customer_changed)(name) };
  }
  const { status } = data as { status?: string };
  const was = data.previous?.status;
  switch (status) {
    case 'active':
      return { tone: 'good', text: (wordFor(say.became_active, was) ?? say.became_active.pending_activation!)(name) };
    case 'suspended':
      return { tone: 'warn', text: say.became_suspended(name) };
    case 'terminated':
      return { tone: 'plain', text: say.became_terminated(name) };
    default:
      return { tone: 'plain', text: say.became_waiting(name) };
  }
}

interface Due {
  name: string;
  amount: string;
}

function tellOfPayment({ event, data }: PaymentMessage, say: Phrases, due: Due): Sentence {
  const status = data.status ?? data.happened ?? '';
  if (status === 'paid') return { tone: 'good', text: say.payment.paid(due) };
  if (event === 'payment:created') return { tone: 'plain', text: say.payment.created(due) };
  if (status === 'overdue') return { tone: 'warn', text: say.payment.overdue(due) };
  if (status === 'void' || status === 'voided') return { tone: 'warn', text: say.payment.voided(due) };
  if (data.happened === 'reopened') return { tone: 'warn', text: say.payment.reopened(due) };
  const was = data.previous?.amount;
  // what a part payment leaves open
  if (typeof was === 'number' && (data.amount ?? was) < was) return { tone: 'plain', text: say.payment.rest(due) };
  return { tone: 'plain', text: say.payment.changed(due) };
}

function tellOfReach({ event, data }: ReachMessage, say: Phrases, known: Known): Sentence {
  const what = say.things[event.split(':')[0] as 'device' | 'router' | 'bridge'];
  const name = data.name ?? (event === 'router:status' ? known.router(data.id) : null) ?? '';
  const { status } = data as { status?: string };
  const tone = status === 'online' ? 'good' : status === 'offline' ? 'bad' : 'plain';
  return { tone, text: (wordFor(say.reach, status) ?? say.reach.unknown)(`${what} ${name}`.trim()) };
}

const LINE_TONES = { pending: 'plain', in_sync: 'good', drifted: 'warn', conflict: 'warn', failed: 'bad' } as const;

interface Line {
  name: string;
  router: string | null;
}

function tellOfLine({ data }: LiveMessageOf<'provisioning:status'>, say: Phrases, line: Line): Sentence {
  const router = `${say.things.router} ${line.router ?? ''}`.trim();
  // what isn't of a customer is the router's own: a pool, a rule
  const whose = data.customer_id ? line.name : String(data.key ?? data.kind ?? '');
  const text = (wordFor(say.line, data.status) ?? say.line.pending)(router, whose);
  return { tone: wordFor<Tone>(LINE_TONES, data.status) ?? 'plain', text };
}

function alertOf({ data }: LiveMessageOf<'alert:opened'>, say: Phrases, known: Known): string {
  const words = wordFor(say.alerts, data.type);
  if (words === undefined) return String(data.message ?? '');
  const name = data.entity_type === 'router' ? known.router(data.entity_id ?? '') : null;
  return name === null ? words : `${words} (${name})`;
}
