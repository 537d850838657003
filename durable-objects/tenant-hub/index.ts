import { DurableObject } from 'cloudflare:workers';
import { isInGoodStanding } from '../../src/auth/standing.ts';
import { verifyAccessToken } from '../../src/auth/tokens.ts';
import { makeAmbient, type Ambient, type Context, type Tenant } from '../../src/context.ts';
import { runTogether } from '../../src/db/session.ts';
import type { Env } from '../../src/env.ts';
import { AppError, Fault, unauthorized } from '../../src/errors.ts';
import { Dispatcher, type Ports } from '../../src/events/dispatcher.ts';
import {
  readLogged,
  selectHead,
  selectLogged,
  selectStandings,
  type LoggedEvent,
  type StandingOf,
} from '../../src/events/log.ts';
import type { TransientName } from '../../src/events/realtime/catalogue.ts';
import { toMessage } from '../../src/events/realtime/translate.ts';
import { toIso } from '../../src/lib/time.ts';
import { logFailure } from '../../src/log.ts';
import { bearerToken, makeContext } from '../../src/tenancy/enter.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { admit } from '../rate-limiter/sliding-log.ts';
import { Audience, CLOSE, encode, type Encoded } from './audience.ts';
import { CatchUp, type Page, type Ports as CatchUpPorts } from './catch-up.ts';
import { COMMAND_LIMIT, MOST_BYTES, PING, PONG, readCommand } from './commands.ts';
import { CursorStore } from './cursors.ts';
import { SOCKET_HEADER, type SocketOptions } from './protocol.ts';
import { consequences, provisioning, REALTIME, realtime, type LogSubscriber } from './subscribers.ts';

/** How many events are read at once. */
const MOST_AT_ONCE = 500;
const DIRECTORY_RETRY_MS = 15_000;
/** How many messages are handed to sockets in one turn. */
const MOST_ON_THE_WAY = 20_000;

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
  readonly #catch_up: CatchUp<WebSocket, Encoded>;
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
    this.#catch_up = new CatchUp(this.#catchUpPorts());
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
  async publish(tenant_id: string, event: TransientName, list: readonly Record<string, unknown>[]): Promise<void> {
    this.#remember(tenant_id);
    const now = Date.now();
    this.#audience.tell(
      list.map(data => ({ event, data, timestamp: toIso(now) })),
      now,
    );
  }

  /** A socket, or the code of what refuses it: an error that crosses over to the Worker keeps nothing but its text. */
  override async fetch(request: Request): Promise<Response> {
    return this.#openSocket(request).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
      return new Response(error.code, { status: error.status });
    });
  }

  /** The Worker has checked that the request may be made; the token is looked at again, for what it says. */
  async #openSocket(request: Request): Promise<Response> {
    const ambient = this.#ambient();
    const token = bearerToken(request);
    const claims = token === null ? null : await verifyAccessToken(this.env, token, ambient.now).catch(() => null);
    if (!claims) throw unauthorized();
    this.#remember(claims.tenant_id);
    const { since, events } = JSON.parse(request.headers.get(SOCKET_HEADER)!) as SocketOptions;
    const { id: user_id, session_id, role, token_issued_at } = claims.actor;
    const wakes = this.#wakes;
    const context = await this.#open();
    const [[user], [end]] = (await runTogether(context.db, [
      selectStandings(context, [{ user_id, session_id }]),
      selectHead(context),
    ])) as unknown as [StandingOf[], [{ head: number }]];
    if (!isInGoodStanding(user ?? null, claims.actor)) throw unauthorized();
    const { head } = end;
    if (head < this.#cursors.read(REALTIME).last_seq) await this.#checkCursors(context);
    // who asks for nothing that was misses nothing of it; and what is beyond the end hasn't happened
    const position = since === null ? head : Math.min(since, head);
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const token_expires_at = claims.expires_at;
    const bearer = { user_id, session_id, role, token_issued_at, token_expires_at };
    this.#audience.set(server, { ...bearer, events, position, is_live: false });
    const is_there = position === head && this.#join(server, { messages: [], last_seq: head, is_last: true, wakes });
    if (!is_there) this.ctx.waitUntil(this.#catch_up.add(server));
    await this.#wakeAt(token_expires_at);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    if (!this.#audience.find(socket)) return;
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
      if (!(error instanceof AppError)) logFailure({ object: 'hub', tenant_id: this.#tenant_id }, error);
      const { code, message, details } = error instanceof AppError ? error : new AppError('INTERNAL_ERROR');
      reply(socket, 'error', { code, message, details });
    }
  }

  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    // the client is answered; 1005 and the like say that it gave no code
    this.#audience.end(socket, { code: code >= 3000 ? code : 1000, reason: '' });
    if (this.#audience.size === 0) await this.#restUnlessRetrying();
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.webSocketClose(socket, 1011);
  }

  override async alarm(): Promise<void> {
    this.#alarm_at = null;
    this.#audience.expireDue(Date.now());
    const next = this.#audience.nextExpiry();
    if (next !== null) await this.#wakeAt(next);
    // whoever takes long mustn't hold up the next alarm
    this.ctx.waitUntil(this.#dispatch());
  }

  async #obey(socket: WebSocket, text: string): Promise<void> {
    const command = readCommand(text);
    const listener = this.#audience.find(socket);
    if (!listener) return;
    if (command.type === 'ping') return reply(socket, PONG, {});
    if (command.type === 'auth') return this.#renew(socket, command.token);
    this.#audience.set(socket, { ...listener, events: command.events ?? null });
    const events = this.#audience.wantedOf(socket);
    const { position, is_live } = listener;
    reply(socket, 'subscribed', {
      events,
      seq: is_live ? Math.max(position, this.#cursors.read(REALTIME).last_seq) : position,
    });
  }

  /** A fresh token of the same user: from now on the socket is as good as that. */
  async #renew(socket: WebSocket, token: string): Promise<void> {
    const claims = await verifyAccessToken(this.env, token, Date.now());
    const before = this.#audience.find(socket);
    if (claims.tenant_id !== this.#tenant_id || claims.actor.id !== before?.user_id)
      throw unauthorized('The token is not of the user that signed in on this socket.');
    const context = await this.#open();
    const { id: user_id, session_id, role, token_issued_at } = claims.actor;
    const standing = selectStandings(context, [{ user_id, session_id }]);
    const [[user]] = (await runTogether(context.db, [standing])) as unknown as [StandingOf[]];
    if (claims.actor.lacks_second_factor || !isInGoodStanding(user ?? null, claims.actor)) throw unauthorized();
    const listener = this.#audience.find(socket);
    if (!listener) return;
    const renewed = { session_id, role, token_issued_at, token_expires_at: claims.expires_at };
    this.#audience.set(socket, { ...listener, ...renewed });
    await this.#wakeAt(claims.expires_at);
    reply(socket, 'authenticated', { expires_at: toIso(claims.expires_at) });
  }

  /** What comes after a position, unless it is known; with it, or after it, whose user may still listen. */
  async #readMissed(position: number, known: Page<Encoded> | null, sockets: readonly WebSocket[]) {
    const wakes = this.#wakes;
    const context = await this.#open();
    const listeners = new Map(sockets.map(socket => [socket, this.#audience.find(socket)]));
    const sessions = new Map([...listeners.values()].flatMap(each => (each ? [[each.session_id, each]] : [])));
    const standing = selectStandings(context, [...sessions.values()]);
    const [standings, rows] = (await runTogether(
      context.db,
      known ? [standing] : [standing, selectLogged(context, position, MOST_AT_ONCE)],
    )) as unknown as [StandingOf[], unknown];
    const events = readLogged(rows ?? []);
    const page = known ?? {
      messages: encode(events.flatMap(event => toMessage(event) ?? [])),
      last_seq: events.at(-1)?.seq ?? position,
      is_last: events.length < MOST_AT_ONCE,
      wakes,
    };
    const of_session = new Map(standings.map(each => [each.session_id, each]));
    const may_listen = new Set(
      sockets.filter(socket => {
        const listener = listeners.get(socket);
        return listener && isInGoodStanding(of_session.get(listener.session_id) ?? null, listener);
      }),
    );
    return { page, may_listen };
  }

  /**
   * Once a listener is as far as all others, it gets what comes from now on. In one turn: nothing can happen between the look
   * and the joining.
   */
  #join(socket: WebSocket, { messages, last_seq, is_last, wakes }: Page<Encoded>): boolean {
    this.#audience.tellOne(socket, messages, Date.now());
    const listener = this.#audience.find(socket);
    if (!listener) return true;
    const cursor = this.#cursors.read(REALTIME).last_seq;
    const is_first = !this.#audience.hasLive();
    const is_live = is_last && last_seq >= cursor;
    this.#audience.set(socket, { ...listener, position: last_seq, is_live });
    if (!is_live) return false;
    // while nobody listened the cursor stood still
    if (is_first) this.#cursors.write(REALTIME, { last_seq, attempts: 0, retry_at: 0 }, true);
    // what was committed since it was read was told to who was live by then
    if (this.#wakes !== wakes) this.ctx.waitUntil(this.#dispatch());
    return true;
  }

  #catchUpPorts(): CatchUpPorts<WebSocket, Encoded> {
    return {
      positionOf: socket => {
        const listener = this.#audience.find(socket);
        return listener && !listener.is_live ? listener.position : null;
      },
      read: (position, known, sockets) => this.#readMissed(position, known, sockets),
      join: (socket, page) => this.#join(socket, page),
      expire: socket => this.#audience.expire(socket, Date.now()),
      pause: () => scheduler.wait(50),
      fail: (socket, error) => {
        logFailure({ object: 'hub', tenant_id: this.#tenant_id }, error);
        this.#audience.end(socket, CLOSE.failed);
      },
    };
  }

  /** The more listen, the fewer events at once: what is on its way to all of them must fit into memory. */
  #pageSize(): number {
    return Math.max(20, Math.min(MOST_AT_ONCE, Math.floor(MOST_ON_THE_WAY / (1 + this.#audience.size))));
  }

  async #dispatch(): Promise<void> {
    this.#wakes += 1;
    const tenant = await this.#findTenant();
    if (tenant === 'unknown') return this.#wakeAt(Date.now() + DIRECTORY_RETRY_MS);
    if (tenant?.status !== 'active') return this.#audience.endAll(CLOSE.suspended);
    const subscribers = this.#subscribers();
    const retry_at = this.#dispatcher.nextRetry(subscribers);
    // what is due is tried just now; when that fails it says itself when it is to be woken
    if (retry_at !== null && retry_at > Date.now()) await this.#wakeAt(retry_at);
    await this.#dispatcher.wake(subscribers);
  }

  /** Nothing is read for dashboards while there are none. */
  #subscribers(): LogSubscriber[] {
    const listening = this.#audience.hasLive() ? [realtime(this.#audience, Date.now)] : [];
    return [...listening, provisioning(() => this.#open()), consequences(() => this.#open())];
  }

  #ports(): Ports<LoggedEvent> {
    return {
      readAfter: async seq => {
        const context = await this.#open();
        const page_size = this.#pageSize();
        const [rows] = await runTogether(context.db, [selectLogged(context, seq, page_size)] as const);
        const events = readLogged(rows);
        return { events, is_last: events.length < page_size };
      },
      readCursor: name => this.#cursors.read(name),
      writeCursor: (name, cursor, is_durable) => this.#cursors.write(name, cursor, is_durable),
      now: Date.now,
      random: () => this.#ambient().random(),
      reportFailure: (subscriber, error, retry_at) => {
        logFailure({ object: 'hub', tenant_id: this.#tenant_id, subscriber }, error);
        this.ctx.waitUntil(this.#wakeAt(retry_at));
      },
    };
  }

  #ambient(): Ambient {
    return makeAmbient(this.env, this.ctx);
  }

  /** Unknown: the directory doesn't answer. */
  async #findTenant(): Promise<Tenant | null | 'unknown'> {
    try {
      return await findTenant(this.env, this.#tenant_id!, Date.now());
    } catch (error) {
      logFailure({ object: 'hub', tenant_id: this.#tenant_id }, error);
      return 'unknown';
    }
  }

  /** A log that ends before a cursor is another one than that was of (a database that was put back): all is new in it. */
  async #checkCursors(context: Context): Promise<void> {
    const cursor = this.#cursors.read(REALTIME);
    const [[end]] = (await runTogether(context.db, [selectHead(context)])) as unknown as [[{ head: number }]];
    // what was told is in the log that it was told from
    if (end.head < cursor.last_seq) this.#cursors.startAt(end.head);
  }

  /** The tenant's database, as it is known now. */
  async #open(): Promise<Context> {
    const ambient = this.#ambient();
    const tenant = await findTenant(this.env, this.#tenant_id!, ambient.now);
    if (!tenant) throw new Fault(`there is no tenant ${this.#tenant_id}`);
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

function reply(socket: WebSocket, event: string, data: Record<string, unknown>): void {
  socket.send(JSON.stringify({ event, data, timestamp: toIso(Date.now()) }));
}
