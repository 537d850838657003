import type { LiveMessage, LiveMessageOf } from '../../client/live.ts';
import { isolate } from './isolate.ts';
import type { Language } from './language.ts';
import { PHRASES } from './phrases.ts';
import { wordFor } from './words.ts';

/** An event in plain words: pure. */

export type Tone = 'good' | 'warn' | 'bad' | 'plain';

export interface Sentence {
  tone: Tone;
  /** Names in it are isolated. */
  text: string;
}

/** What a sentence needs beyond the event. */
export interface Known {
  router: (id: string) => string | null;
  money: (amount: number) => string;
}

/** What stays in the log: the others only move figures. */
export type LoggedMessage = Extract<LiveMessage, { seq: number }>;

export function tell(message: LoggedMessage, language: Language, known: Known): Sentence {
  const say = PHRASES[language];
  const name = customerOf(message.data) ?? say.somebody;
  switch (message.event) {
    case 'customer:created':
    case 'customer:updated':
    case 'customer:status':
      return tellOfCustomer(message, say, name);
    case 'payment:created':
    case 'payment:updated':
      return tellOfPayment(message, say, { name, amount: amountOf(message.data, known) });
    case 'invoice:created':
      return { tone: 'plain', text: say.invoice_created(name, isolated(message.data.number)) };
    case 'receipt:created':
      return { tone: 'good', text: say.receipt_created(name, amountOf(message.data, known)) };
    case 'invoice:updated':
    case 'receipt:updated': {
      const is_void = message.data.happened === 'voided';
      const words = message.event === 'invoice:updated' ? say.invoice : say.receipt;
      return { tone: is_void ? 'warn' : 'plain', text: (is_void ? words.voided : words.changed)(name) };
    }
    case 'ticket:created':
    case 'ticket:updated':
      return { tone: 'plain', text: say.ticket[message.event](name) };
    case 'device:status':
    case 'router:status':
    case 'bridge:status':
      return tellOfReach(message, say);
    case 'provisioning:status':
      return tellOfLine(message, say, name);
    case 'alert:opened':
    case 'alert:acknowledged':
    case 'alert:resolved':
      return tellOfAlert(message, say, known);
    default:
      // a newer server may tell more than we know of
      return { tone: 'plain', text: say.unknown((message as LoggedMessage).event) };
  }
}

/** What isn't there is nothing, isolated or not. */
const isolated = (name: string | null | undefined): string => (name ? isolate(name) : '');

type Phrases = (typeof PHRASES)['id'];
type Of<Event extends LoggedMessage['event']> = LiveMessageOf<Event>;

function customerOf(data: LoggedMessage['data']): string | null {
  const { full_name, customer_name } = data as { full_name?: unknown; customer_name?: unknown };
  for (const told of [full_name, customer_name]) if (typeof told === 'string') return isolate(told);
  return null;
}

const amountOf = ({ amount }: { amount?: number }, { money }: Known): string =>
  amount === undefined ? '' : money(amount);

function tellOfCustomer(
  { event, data }: Of<'customer:created' | 'customer:updated' | 'customer:status'>,
  say: Phrases,
  name: string,
): Sentence {
  if (event === 'customer:created') return { tone: 'good', text: say.customer_created(name) };
  if (event === 'customer:updated') {
    const found = wordFor(say.customer_updated, data.happened);
    return { tone: 'plain', text: (found ?? say.customer_changed)(name) };
  }
  const was = event === 'customer:status' ? data.previous?.status : undefined;
  switch (data.status) {
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

function tellOfPayment({ event, data }: Of<'payment:created' | 'payment:updated'>, say: Phrases, due: Due): Sentence {
  if (data.status === 'paid') return { tone: 'good', text: say.payment.paid(due) };
  if (event === 'payment:created') return { tone: 'plain', text: say.payment.created(due) };
  const found = wordFor(say.payment, data.happened);
  // what a part payment leaves open
  const was = data.previous?.amount;
  const is_rest = typeof was === 'number' && data.amount !== undefined && data.amount < was;
  if (found) return { tone: data.happened === 'paid' ? 'good' : 'warn', text: found(due) };
  return { tone: 'plain', text: (is_rest ? say.payment.rest : say.payment.changed)(due) };
}

function tellOfReach({ event, data }: Of<'device:status' | 'router:status' | 'bridge:status'>, say: Phrases): Sentence {
  const what = say.things[event.split(':')[0] as 'device' | 'router' | 'bridge'];
  const name = isolated(event === 'device:status' ? data.device_name : data.name);
  const { status, happened } = data;
  const tone = status === 'online' ? 'good' : status === 'offline' ? 'bad' : 'plain';
  const came_or_went = happened === 'created' || happened === 'deleted' ? happened : status;
  return { tone, text: (wordFor(say.reach, came_or_went) ?? say.reach.unknown)(`${what} ${name}`.trim()) };
}

const LINE_TONES = { pending: 'plain', in_sync: 'good', drifted: 'warn', conflict: 'warn', failed: 'bad' } as const;

function tellOfLine({ data }: Of<'provisioning:status'>, say: Phrases, name: string): Sentence {
  const { status, router_name, customer_id, key, kind } = data;
  const router = `${say.things.router} ${isolated(router_name)}`.trim();
  // what isn't of a customer is the router's own: a pool, a rule
  const whose = customer_id ? name : isolated(key ?? kind);
  const say_it = status === null ? say.line.gone : (wordFor(say.line, status) ?? say.line.pending);
  return { tone: wordFor<Tone>(LINE_TONES, status) ?? 'plain', text: say_it(router, whose) };
}

const ALERT_TONES = { 'alert:opened': 'bad', 'alert:acknowledged': 'warn', 'alert:resolved': 'good' } as const;

function tellOfAlert(
  { event, data }: Of<'alert:opened' | 'alert:acknowledged' | 'alert:resolved'>,
  say: Phrases,
  known: Known,
): Sentence {
  const { type, entity_type, entity_id, message } = data;
  const words = wordFor(say.alerts, type);
  const router = entity_type === 'router' && entity_id !== undefined ? known.router(entity_id) : null;
  const what = words === undefined ? isolated(message) : router === null ? words : `${words} (${isolate(router)})`;
  return { tone: ALERT_TONES[event], text: say.alert[event](what) };
}
