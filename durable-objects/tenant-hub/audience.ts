import { roleMay, type Role } from '../../src/auth/permissions.ts';
import { isInGoodStanding, type Standing } from '../../src/auth/standing.ts';
import { ALL_EVENTS, EVENT_NAMES, type AnyEventName } from '../../src/events/realtime/catalogue.ts';
import type { LiveMessage } from '../../src/events/realtime/translate.ts';

/** Who listens, and who gets what. Plain: a socket is whatever can be sent to, closed, and remembers a value while we sleep. */

export interface Socket {
  send(text: string): void;
  close(code: number, reason: string): void;
  serializeAttachment(value: unknown): void;
  deserializeAttachment(): unknown;
}

export interface Listener {
  user_id: string;
  session_id: string;
  role: Role;
  /** Epoch ms, as are all times here. */
  token_issued_at: number;
  token_expires_at: number;
  /** What was asked for; null: all that the role may see. */
  events: AnyEventName[] | null;
  /** It has everything up to this event. */
  position: number;
  /** It gets what comes. Not yet: it is being sent what it missed. */
  is_live: boolean;
}

export const CLOSE = {
  unsupported: { code: 1003, reason: 'text only' },
  too_large: { code: 1009, reason: 'message too large' },
  failed: { code: 1011, reason: 'something failed: come back with since' },
  expired: { code: 4401, reason: 'the token has ended' },
  suspended: { code: 4403, reason: 'this provider is not active' },
  too_many: { code: 4429, reason: 'too many messages' },
} as const;

const SESSION_EXPIRED = 'session:expired';

interface Known extends Listener {
  /** The events that it gets: of those that it asked for, those that its role may see. */
  wanted: ReadonlySet<AnyEventName>;
}

/** Most listeners want the same: they share the set. */
const wanted_sets = new Map<string, ReadonlySet<AnyEventName>>();

function wantedBy({ role, events }: Listener): ReadonlySet<AnyEventName> {
  const key = `${role} ${events?.join(' ') ?? '*'}`;
  const known = wanted_sets.get(key);
  if (known) return known;
  const wanted = new Set((events ?? EVENT_NAMES).filter(name => roleMay(role, ALL_EVENTS[name].needs)));
  if (wanted_sets.size > 1000) wanted_sets.clear();
  wanted_sets.set(key, wanted);
  return wanted;
}

/** A message as it is sent: written once, however many get it. */
export interface Encoded {
  event: AnyEventName;
  seq: number | undefined;
  text: string;
}

export const encode = (messages: readonly LiveMessage[]): Encoded[] =>
  messages.map(message => ({ event: message.event, seq: message.seq, text: JSON.stringify(message) }));

export class Audience<S extends Socket> {
  readonly #listeners = new Map<S, Known>();

  /** After a sleep: the sockets that are still there. Who was being sent what it missed must ask again. */
  constructor(sockets: readonly S[]) {
    for (const socket of sockets) {
      const listener = socket.deserializeAttachment() as Listener | null;
      if (listener?.is_live) this.#listeners.set(socket, { ...listener, wanted: wantedBy(listener) });
      else close(socket, CLOSE.failed);
    }
  }

  /** How many there are. */
  get size(): number {
    return this.#listeners.size;
  }

  hasLive(): boolean {
    for (const { is_live } of this.#listeners.values()) if (is_live) return true;
    return false;
  }

  find(socket: S): Listener | null {
    return this.#listeners.get(socket) ?? null;
  }

  set(socket: S, listener: Listener): void {
    const { user_id, session_id, role, token_issued_at, token_expires_at, events, position, is_live } = listener;
    const kept: Listener = { user_id, session_id, role, token_issued_at, token_expires_at, events, position, is_live };
    socket.serializeAttachment(kept);
    this.#listeners.set(socket, { ...kept, wanted: wantedBy(kept) });
  }

  remove(socket: S): void {
    this.#listeners.delete(socket);
  }

  /** The events that a listener gets, by name. */
  wantedOf(socket: S): AnyEventName[] {
    return [...(this.#listeners.get(socket)?.wanted ?? [])];
  }

  /** To everybody who is there. */
  tell(messages: readonly LiveMessage[], now: number): void {
    const encoded = encode(messages);
    for (const [socket, listener] of this.#listeners) if (listener.is_live) this.#send(socket, listener, encoded, now);
  }

  /** What one listener missed. */
  tellOne(socket: S, messages: readonly Encoded[], now: number): void {
    const listener = this.#listeners.get(socket);
    if (listener) this.#send(socket, listener, messages, now);
  }

  #send(socket: S, listener: Known, messages: readonly Encoded[], now: number): void {
    if (listener.token_expires_at <= now) return this.expire(socket, now);
    const { wanted, position } = listener;
    try {
      for (const { event, seq, text } of messages)
        if (wanted.has(event) && (seq === undefined || seq > position)) socket.send(text);
    } catch {
      // what can't be told ends the socket: its client comes back and asks for what it missed
      this.end(socket, CLOSE.failed);
    }
  }

  end(socket: S, how: { code: number; reason: string }): void {
    this.remove(socket);
    close(socket, how);
  }

  endAll(how: { code: number; reason: string }): void {
    for (const socket of [...this.#listeners.keys()]) this.end(socket, how);
  }

  /** Its token is over, by time or because its user may no longer do what it says. */
  expire(socket: S, now: number): void {
    const message: Record<string, unknown> = {
      event: SESSION_EXPIRED,
      data: {},
      timestamp: new Date(now).toISOString(),
    };
    try {
      socket.send(JSON.stringify(message));
    } catch {
      // it is closed all the same
    }
    this.end(socket, CLOSE.expired);
  }

  expireDue(now: number): void {
    for (const [socket, { token_expires_at }] of [...this.#listeners])
      if (token_expires_at <= now) this.expire(socket, now);
  }

  /** Ends the sockets of a user whose tokens say what is no longer so. */
  holdTo(user_id: string, standing: Standing | null, now: number): void {
    for (const [socket, listener] of [...this.#listeners])
      if (listener.user_id === user_id && !isInGoodStanding(standing, listener)) this.expire(socket, now);
  }

  /** Ends the sockets of a session that was ended. */
  endSession(session_id: string, now: number): void {
    for (const [socket, listener] of [...this.#listeners])
      if (listener.session_id === session_id) this.expire(socket, now);
  }

  /** When the first token ends; null when nobody is there. */
  nextExpiry(): number | null {
    let next: number | null = null;
    for (const { token_expires_at } of this.#listeners.values())
      if (next === null || token_expires_at < next) next = token_expires_at;
    return next;
  }
}

function close(socket: Socket, { code, reason }: { code: number; reason: string }): void {
  try {
    socket.close(code, reason);
  } catch {
    // it is closed already
  }
}
