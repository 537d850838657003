import { DurableObject } from 'cloudflare:workers';
import { isInGoodStanding, type Standing } from '../../src/auth/standing.ts';
import { verifyAccessToken } from '../../src/auth/tokens.ts';
import { makeAmbient, type Ambient, type Context } from '../../src/context.ts';
import { runTogether, type Statement } from '../../src/db/session.ts';
import type { Env } from '../../src/env.ts';
import { AppError, unauthorized } from '../../src/errors.ts';
import { Dispatcher, type Ports } from '../../src/events/dispatcher.ts';
import { readLogged, selectHead, selectLogged, selectUserStanding, type LoggedEvent } from '../../src/events/log.ts';
import type { AnyEventName } from '../../src/events/realtime/catalogue.ts';
import { toMessage, type LiveMessage } from '../../src/events/realtime/translate.ts';
import { toIso } from '../../src/lib/time.ts';
import { logFailure } from '../../src/log.ts';
import { bearerToken, makeContext } from '../../src/tenancy/enter.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { admit } from '../rate-limiter/sliding-log.ts';
import { Audience, CLOSE, type Listener } from './audience.ts';
import { COMMAND_LIMIT, MOST_BYTES, PING, PONG, readCommand } from './commands.ts';
import { CursorStore } from './cursors.ts';
import { SOCKET_HEADER, type SocketOptions } from './protocol.ts';
import { provisioning, REALTIME, realtime, type LogSubscriber } from './subscribers.ts';

/** How many events are read at once. */
const PAGE = 500;

interface Missed {
  standing: Standing | null;
  events: LoggedEvent[];
  /** The last event when that was read. */
  head: number;
}

/**
 * The tenant's hub: reads its log and brings each event to those who act on it (events/dispatcher.ts), the dashboards that
 * listen here (audience.ts) among them. One object a tenant, so that nothing is told twice at the same time.
 * Asleep: sockets stay, and pings are answered for us. Woken: by a commit, a client's message, an alarm, the sweep.
 * An alarm is set for the first token that ends, and for a subscriber that failed.
 */
export class TenantHub extends DurableObject<Env> {
  readonly #audience: Audience<WebSocket>;
  readonly #cursors: CursorStore;
  readonly #dispatcher: Dispatcher<LoggedEvent>;
  readonly #said = new WeakMap<WebSocket, number[]>();
  #tenant_id: string | undefined;
  #alarm_at: number | null = null;
  /** Counts the times that somebody said there may be something new. */
  #wakes = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#audience = new Audience(ctx.getWebSockets());
    this.#cursors = new CursorStore(ctx.storage.kv);
    this.#tenant_id = ctx.storage.kv.get<string>('tenant_id');
    this.#dispatcher = new Dispatcher(this.#ports());
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarm_at = await ctx.storage.getAlarm();
    });
  }

  /** After a commit, or to be sure: brings on what has happened. */
  async wake(tenant_id: string): Promise<void> {
    this.#remember(tenant_id);
    await this.#dispatch();
  }

  /** Tells those who are here, and nobody later. */
  async publish(tenant_id: string, event: AnyEventName, data: Record<string, unknown>): Promise<void> {
    this.#remember(tenant_id);
    const now = Date.now();
    this.#audience.tell([{ event, data, timestamp: toIso(now) }], now);
  }

  /** A socket: the Worker has checked that the request may be made; the token is looked at again, for what it says. */
  override async fetch(request: Request): Promise<Response> {
    const ambient = this.#ambient();
    const token = bearerToken(request);
    const claims = token === null ? null : await verifyAccessToken(this.env, token, ambient.now).catch(() => null);
    if (!claims) return new Response(null, { status: 401 });
    this.#remember(claims.tenant_id);
    const { since, events } = JSON.parse(request.headers.get(SOCKET_HEADER)!) as SocketOptions;
    const listener: Listener = {
      user_id: claims.actor.id,
      role: claims.actor.role,
      token_issued_at: claims.actor.token_issued_at,
      token_expires_at: claims.expires_at,
      events,
      position: since ?? 0,
      is_live: false,
    };
    const wakes = this.#wakes;
    const missed = await this.#readMissed(listener, since === null);
    if (!isInGoodStanding(missed.standing, listener)) return new Response(null, { status: 401 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    // nothing is missed by who asks for nothing that was; and what is beyond the end hasn't happened
    const position = since === null ? missed.head : Math.min(since, missed.head);
    this.#audience.set(server, { ...listener, position });
    this.#advance(server, missed, wakes);
    await this.#wakeAt(claims.expires_at);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const now = Date.now();
    const said = this.#said.get(socket) ?? [];
    this.#said.set(socket, said);
    if (typeof message !== 'string') return this.#audience.end(socket, CLOSE.unsupported);
    // a character is a byte at least
    if (message.length > MOST_BYTES) return this.#audience.end(socket, CLOSE.too_large);
    if (!admit(said, now, COMMAND_LIMIT).admitted) return this.#audience.end(socket, CLOSE.too_many);
    try {
      await this.#obey(socket, message);
    } catch (error) {
      if (!(error instanceof AppError)) logFailure({ hub: this.#tenant_id }, error);
      const { code, message, details } = error instanceof AppError ? error : new AppError('INTERNAL_ERROR');
      reply(socket, 'error', { code, message, details });
    }
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    this.#audience.remove(socket);
    try {
      // 1005 and the like say that none was given
      socket.close(code >= 3000 || code === 1000 ? code : 1000, reason);
    } catch {
      // the runtime has answered already
    }
    if (this.#audience.size === 0) await this.#restUnlessRetrying();
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.webSocketClose(socket, 1011, '');
  }

  override async alarm(): Promise<void> {
    this.#alarm_at = null;
    this.#audience.expireDue(Date.now());
    await this.#dispatch();
    const next = this.#audience.nextExpiry();
    if (next !== null) await this.#wakeAt(next);
  }

  async #obey(socket: WebSocket, text: string): Promise<void> {
    const command = readCommand(text);
    const listener = this.#audience.find(socket);
    if (!listener) return;
    if (command.type === 'ping') return reply(socket, PONG, {});
    if (command.type === 'auth') return this.#renew(socket, command.token);
    this.#audience.set(socket, { ...listener, events: command.events });
    const events = this.#audience.wantedOf(socket);
    const { position, is_live } = listener;
    reply(socket, 'subscribed', {
      events,
      seq: is_live ? Math.max(position, this.#cursors.read(REALTIME).last_seq) : position,
    });
  }

  /** A fresh token of the same user: from now on the socket is as good as that. */
  async #renew(socket: WebSocket, token: string): Promise<void> {
    const { env } = this;
    const claims = await verifyAccessToken(env, token, Date.now());
    const before = this.#audience.find(socket);
    if (claims.tenant_id !== this.#tenant_id || claims.actor.id !== before?.user_id)
      throw unauthorized('The token is not of the user that signed in on this socket.');
    const context = await this.#open();
    const [rows] = await runTogether(context.db, [selectUserStanding(context, claims.actor.id)] as const);
    const { role, token_issued_at } = claims.actor;
    if (!isInGoodStanding((rows as Standing[])[0] ?? null, { role, token_issued_at })) throw unauthorized();
    const listener = this.#audience.find(socket);
    if (!listener) return;
    this.#audience.set(socket, { ...listener, role, token_issued_at, token_expires_at: claims.expires_at });
    await this.#wakeAt(claims.expires_at);
    reply(socket, 'authenticated', { expires_at: toIso(claims.expires_at) });
  }

  /** One snapshot: whether the user may listen, and what they haven't got yet. */
  async #readMissed({ user_id, position }: Listener, only_head: boolean): Promise<Missed> {
    const context = await this.#open();
    const statements = [
      selectUserStanding(context, user_id),
      selectHead(context),
      ...(only_head ? [] : [selectLogged(context, position, PAGE)]),
    ] as Statement[];
    const [users, heads, events] = (await runTogether(context.db, statements)) as unknown[][];
    return {
      standing: (users as Standing[])[0] ?? null,
      head: (heads as { head: number }[])[0]!.head,
      events: readLogged(events ?? []),
    };
  }

  /**
   * Sends what was missed. With that the listener is as far as all others, and gets what comes from now on; else it goes on
   * reading. In one turn: nothing can happen between the look and the joining.
   */
  #advance(socket: WebSocket, { events }: Missed, wakes: number): void {
    const listener = this.#audience.find(socket)!;
    this.#audience.tellOne(socket, toMessages(events), Date.now());
    const position = events.at(-1)?.seq ?? listener.position;
    const cursor = this.#cursors.read(REALTIME);
    const is_first = !this.#audience.hasLive();
    const is_live = events.length < PAGE && (is_first || position >= cursor.last_seq);
    if (!this.#audience.find(socket)) return;
    this.#audience.set(socket, { ...listener, position, is_live });
    if (!is_live) return this.ctx.waitUntil(this.#catchUp(socket));
    // while nobody listened the cursor stood still
    if (is_first) this.#cursors.write(REALTIME, { last_seq: position, attempts: 0, retry_at: 0 }, true);
    // what was committed since it was read was told to who was live by then
    if (this.#wakes !== wakes) this.ctx.waitUntil(this.#dispatch());
  }

  async #catchUp(socket: WebSocket): Promise<void> {
    const wakes = this.#wakes;
    try {
      const listener = this.#audience.find(socket);
      if (!listener) return;
      const missed = await this.#readMissed(listener, false);
      const still = this.#audience.find(socket);
      if (!still) return;
      if (!isInGoodStanding(missed.standing, still)) return this.#audience.expire(socket, Date.now());
      this.#advance(socket, missed, wakes);
    } catch (error) {
      logFailure({ hub: this.#tenant_id }, error);
      this.#audience.end(socket, CLOSE.failed);
    }
  }

  async #dispatch(): Promise<void> {
    this.#wakes += 1;
    const { env } = this;
    const tenant = await findTenant(env, this.#tenant_id!, Date.now());
    if (tenant?.status !== 'active') return this.#audience.endAll(CLOSE.suspended);
    const subscribers = this.#subscribers();
    await this.#dispatcher.wake(subscribers);
    const retry_at = this.#dispatcher.nextRetry(subscribers);
    if (retry_at !== null) await this.#wakeAt(retry_at);
  }

  /** Nothing is read for dashboards while there are none. */
  #subscribers(): LogSubscriber[] {
    const listening = this.#audience.hasLive() ? [realtime(this.#audience, Date.now)] : [];
    return [...listening, provisioning(() => this.#open())];
  }

  #ports(): Ports<LoggedEvent> {
    return {
      page_size: PAGE,
      readAfter: async seq => {
        const context = await this.#open();
        const [rows] = await runTogether(context.db, [selectLogged(context, seq, PAGE)] as const);
        return readLogged(rows);
      },
      readCursor: name => this.#cursors.read(name),
      writeCursor: (name, cursor, is_durable) => this.#cursors.write(name, cursor, is_durable),
      now: Date.now,
      random: () => this.#ambient().random(),
      reportFailure: (subscriber, error) => logFailure({ hub: this.#tenant_id, subscriber }, error),
    };
  }

  #ambient(): Ambient {
    return makeAmbient(this.env, this.ctx);
  }

  /** The tenant's database, as it is known now. */
  async #open(): Promise<Context> {
    const ambient = this.#ambient();
    const tenant = await findTenant(this.env, this.#tenant_id!, ambient.now);
    if (!tenant) throw new Error(`there is no tenant ${this.#tenant_id}`);
    return makeContext(ambient, tenant, { kind: 'job', name: 'hub' });
  }

  /** Alarms and sockets don't say whose hub this is. */
  #remember(tenant_id: string): void {
    if (this.#tenant_id === tenant_id) return;
    this.#tenant_id = tenant_id;
    this.ctx.storage.kv.put('tenant_id', tenant_id);
  }

  /** One alarm for all: it never comes later than somebody needs it. */
  async #wakeAt(time: number): Promise<void> {
    if (this.#alarm_at !== null && this.#alarm_at <= time) return;
    this.#alarm_at = time;
    await this.ctx.storage.setAlarm(time);
  }

  async #restUnlessRetrying(): Promise<void> {
    if (this.#alarm_at === null || this.#dispatcher.nextRetry(this.#subscribers()) !== null) return;
    this.#alarm_at = null;
    await this.ctx.storage.deleteAlarm();
  }
}

const toMessages = (events: readonly LoggedEvent[]): LiveMessage[] => events.flatMap(event => toMessage(event) ?? []);

function reply(socket: WebSocket, event: string, data: Record<string, unknown>): void {
  socket.send(JSON.stringify({ event, data, timestamp: toIso(Date.now()) }));
}
