import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocketServer, type WebSocket as ServerSocket } from 'ws';
import { connectLive, type Live, type LiveMessage, type LiveOptions, type LiveState } from '../../client/index.ts';
import {
  FIRST_TRY,
  lifetimeOf,
  LIVE_TIMING,
  nextStep,
  renewalDelay_ms,
  socketUrl,
  type Ending,
  type Tries,
} from '../../client/live-rules.ts';

/** A JWT as far as anybody reads it. */
function makeToken(lives_s: number, iat = Date.now() / 1000): string {
  const payload = Buffer.from(JSON.stringify({ iat, exp: iat + lives_s, sub: 'Ayu ÿ?>' })).toString('base64url');
  return `e30.${payload}.${Math.random().toString(36).slice(2)}`;
}

interface Visit {
  query: URLSearchParams;
  token: string;
  heard: string[];
  socket: ServerSocket;
}

/** Says what a test makes it say; answers `ping` and `subscribe` as the hub does. */
class StandInHub {
  readonly visits: Visit[] = [];
  /** The end of the log; null: it is where who comes left off. */
  position: number | null = null;
  is_deaf = false;
  /** Refuses so many upgrades. */
  refuse = 0;
  onVisit: (visit: Visit) => void = () => {};
  readonly #http = createServer();
  readonly #server = new WebSocketServer({ noServer: true, handleProtocols: () => 'rukun.v1' });

  async listen(): Promise<void> {
    this.#http.on('upgrade', (request, socket, head) => {
      if (this.refuse-- > 0) return void socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
      this.#server.handleUpgrade(request, socket, head, client => {
        const [, bearer = ''] = request.headers['sec-websocket-protocol']!.split(', ');
        const { searchParams: query } = new URL(request.url!, 'http://hub');
        const visit: Visit = { query, token: bearer.replace('bearer.', ''), heard: [], socket: client };
        this.visits.push(visit);
        client.on('message', data => this.#hear(visit, String(data)));
        this.onVisit(visit);
      });
    });
    await new Promise<void>(resolve => this.#http.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  get last(): Visit {
    return this.visits.at(-1)!;
  }

  #hear({ heard, socket, query }: Visit, text: string): void {
    heard.push(text);
    if (this.is_deaf) return;
    if (text === 'ping') return socket.send('pong');
    const { type, events = [] } = JSON.parse(text) as { type: string; events?: string[] };
    const since = Number(query.get('since') ?? 0);
    if (type === 'subscribe') this.say({ event: 'subscribed', data: { events, seq: this.position ?? since } });
    if (type === 'auth') this.say({ event: 'authenticated', data: { expires_at: '' } });
  }

  say(message: object): void {
    this.last.socket.send(JSON.stringify({ timestamp: '2026-11-20T10:00:00.000Z', ...message }));
  }

  tell(...seqs: number[]): void {
    for (const seq of seqs)
      this.say({ seq, event: 'customer:status', data: { id: `customer ${seq}`, status: 'active' } });
  }

  async stop(): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise(resolve => this.#http.close(resolve));
  }
}

let hub: StandInHub;
let live: Live | null = null;
let states: LiveState[];
let messages: LiveMessage[];

const QUICK = { backoff: { first_ms: 20, most_ms: 80 }, steady_ms: 5_000 };

function connect(options: Partial<LiveOptions> = {}): Live {
  live = connectLive({
    url: hub.url,
    token: async () => makeToken(900),
    onMessage: message => void messages.push(message),
    onState: state => void states.push(state),
    ...options,
    timing: { ...QUICK, ...options.timing },
  });
  return live;
}

async function waitUntil(look: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 60_000; !look(); await sleep(5))
    if (Date.now() > end) throw new Error(`${what} did not happen; ${JSON.stringify({ states, messages })}`);
}

const waitForVisits = (count: number) => waitUntil(() => hub.visits.length >= count, `visit ${count}`);
const seqs = () => messages.map(message => ('seq' in message ? message.seq : undefined));
const statuses = () => states.map(({ status }) => status);

beforeEach(async () => {
  [hub, states, messages] = [new StandInHub(), [], []];
  await hub.listen();
});

afterEach(async () => {
  live?.close();
  await hub.stop();
});

describe('a connection', () => {
  it('shows its token, says what it wants to hear and hands on what comes', async () => {
    const token = makeToken(900);
    connect({ token: async () => token, events: ['customer:status', 'job:progress'] });
    await waitForVisits(1);
    expect(hub.last.token).toBe(token);
    expect(hub.last.query.get('events')).toBe('customer:status,job:progress');
    expect(hub.last.query.has('since')).toBe(false);
    hub.tell(4, 9);
    hub.say({ event: 'job:progress', data: { id: 'j', progress: 40 } });
    await waitUntil(() => messages.length === 3, 'three messages');
    expect(seqs()).toEqual([4, 9, undefined]);
    expect(live!.seq).toBe(9);
    expect(statuses()).toEqual(['connecting', 'open']);
  });

  it('asks for all events by name: the hub knows no shorter word for them', async () => {
    connect();
    await waitUntil(() => hub.visits[0]?.heard.length === 1, 'a subscription');
    expect(JSON.parse(hub.last.heard[0]!)).toEqual({ type: 'subscribe' });
  });

  it('takes its first position from the answer to subscribe, and goes on from there', async () => {
    hub.position = 70;
    connect();
    await waitUntil(() => live!.seq === 70, 'a position');
    hub.last.socket.terminate();
    await waitForVisits(2);
    expect(hub.last.query.get('since')).toBe('70');
  });

  it('subscribes anew, also where that is asked for while it is connecting', async () => {
    connect({ since: 1 }).subscribe(['alert:opened']);
    await waitForVisits(1);
    live!.subscribe(['payment:created']);
    await waitUntil(() => hub.last.heard.length > 0, 'a subscription');
    hub.last.socket.close(1012);
    await waitForVisits(2);
    expect(hub.last.query.get('events')).toBe('payment:created');
  });

  it('is not begun to an address that is none', () => {
    expect(() => connect({ url: 'melati' })).toThrow('Invalid URL');
  });

  it('ends when it is closed, at once and for good', async () => {
    connect();
    await waitForVisits(1);
    live!.close();
    live!.close();
    hub.tell(1);
    await sleep(100);
    expect(messages).toEqual([]);
    expect(states.at(-1)).toEqual({ status: 'closed', reason: 'closed' });
    expect(hub.visits).toHaveLength(1);
  });
});

describe('a connection that is lost', () => {
  it('comes back with the last seq, and drops what it knows', async () => {
    connect({ since: 3 });
    await waitForVisits(1);
    hub.tell(4, 5, 5, 4, 6);
    await waitUntil(() => messages.length === 3, 'three messages');
    hub.last.socket.terminate();
    await waitForVisits(2);
    expect(hub.last.query.get('since')).toBe('6');
    hub.tell(5, 6, 7);
    await waitUntil(() => live!.seq === 7, 'what is new');
    expect(seqs()).toEqual([4, 5, 6, 7]);
    expect(statuses()).toEqual(['connecting', 'open', 'waiting', 'connecting', 'open']);
  });

  it('misses nothing and doubles nothing, however often it is cut', async () => {
    // what a hub does: all after `since`, with a little of what went before
    hub.onVisit = ({ query, socket }) => {
      const since = Number(query.get('since'));
      for (let seq = Math.max(1, since - 2); seq <= since + 3 && seq <= 40; seq++) hub.tell(seq);
      setTimeout(() => socket.terminate(), 10);
    };
    connect({ since: 0, timing: { backoff: { first_ms: 5, most_ms: 5 } } });
    await waitUntil(() => live!.seq === 40, 'all of it');
    expect(seqs()).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
  });

  it('is given up when the other side falls silent', async () => {
    hub.is_deaf = true;
    connect({ since: 0, timing: { ping_ms: 60, silence_ms: 1000 } });
    await waitForVisits(2);
    expect(hub.visits[0]!.heard.slice(0, 2)).toEqual(['{"type":"subscribe"}', 'ping']);
    hub.is_deaf = false;
    const { socket } = hub.visits[0]!;
    // what the dead connection says later is not heard
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ seq: 99, event: 'customer:status', data: {} }));
    await waitUntil(() => hub.last.heard.length > 4, 'pings that are answered');
    expect(hub.visits).toHaveLength(2);
    expect(messages).toEqual([]);
  });

  it('hears what happens in a log that was put back to before what it knows', async () => {
    hub.position = 5;
    connect({ since: 90 });
    await waitUntil(() => live!.seq === 5, 'the position');
    hub.tell(6, 7);
    await waitUntil(() => messages.length === 2, 'two messages');
    hub.last.socket.terminate();
    await waitForVisits(2);
    expect(hub.last.query.get('since')).toBe('7');
  });

  it('is given up where the other side hangs up, but not to the end', async () => {
    connect({ since: 0, timing: { ping_ms: 60 } });
    await waitForVisits(1);
    // its close frame arrives; what should end the connection doesn't
    const { socket } = hub.last;
    const { _socket } = socket as unknown as { _socket: Socket };
    _socket.pause();
    _socket.write(Buffer.from('880203e8', 'hex'));
    await waitForVisits(2);
  });

  it('is asked whether it stands when the browser says that the network is gone, and that it is back', async () => {
    const page = new EventTarget();
    for (const name of ['addEventListener', 'removeEventListener'] as const) vi.stubGlobal(name, page[name].bind(page));
    vi.resetModules();
    const { connectLive: connectInPage } = await import('../../client/live.ts');
    live = connectInPage({ url: hub.url, since: 0, token: async () => makeToken(900), onMessage: () => {} });
    await waitUntil(() => hub.visits[0]?.heard.length === 1, 'a subscription');
    for (const type of ['offline', 'online']) {
      const { length } = hub.last.heard;
      page.dispatchEvent(new Event(type));
      await waitUntil(() => hub.last.heard.length > length, 'a ping');
      expect(hub.last.heard.at(-1)).toBe('ping');
    }
    vi.unstubAllGlobals();
  });

  it('is not given up while anything comes, though no ping is answered', async () => {
    hub.is_deaf = true;
    connect({ since: 0, timing: { ping_ms: 60, silence_ms: 1000 } });
    await waitForVisits(1);
    const start = performance.now();
    let seq = 0;
    for (; performance.now() - start < 2000; await sleep(20)) hub.tell(++seq);
    await waitUntil(() => messages.length === seq, 'all of it');
    expect(hub.visits).toHaveLength(1);
  });
});

describe('a token', () => {
  it('is replaced before it ends, without a new connection', async () => {
    const given: string[] = [];
    const asked: (string | undefined)[] = [];
    connect({
      token: async refused => {
        asked.push(refused);
        given.push(makeToken(1));
        return given.at(-1)!;
      },
      since: 0,
    });
    await waitUntil(() => (hub.visits[0]?.heard.length ?? 0) >= 3, 'two fresh tokens');
    expect(hub.visits).toHaveLength(1);
    expect(hub.last.heard.slice(1, 3).map(text => JSON.parse(text))).toEqual([
      { type: 'auth', token: given[1] },
      { type: 'auth', token: given[2] },
    ]);
    expect(asked.slice(0, 3)).toEqual([undefined, given[0], given[1]]);
  });

  it('that was refused is replaced once; the connection goes on', async () => {
    const asked: (string | undefined)[] = [];
    const tokens = [makeToken(900), makeToken(900)];
    connect({
      token: async refused => {
        asked.push(refused);
        return tokens[asked.length - 1]!;
      },
      since: 8,
    });
    await waitForVisits(1);
    hub.say({ event: 'session:expired', data: {} });
    hub.last.socket.close(4401);
    await waitForVisits(2);
    expect(asked).toEqual([undefined, tokens[0]]);
    expect(hub.last.token).toBe(tokens[1]);
    expect(hub.last.query.get('since')).toBe('8');
    hub.last.socket.close(4401);
    await waitUntil(() => statuses().at(-1) === 'closed', 'the end');
    expect(states.at(-1)).toEqual({ status: 'closed', reason: 'unauthorized' });
  });

  it('that has ended is replaced, though the other side takes its time to hang up', async () => {
    connect({ since: 4 });
    await waitForVisits(1);
    hub.say({ event: 'session:expired', data: {} });
    await waitForVisits(2);
    expect(hub.last.query.get('since')).toBe('4');
    expect(messages).toMatchObject([{ event: 'session:expired' }]);
  });

  it('that nobody gives any more ends it', async () => {
    connect({
      token: async refused => {
        if (refused) throw new Error('signed out');
        return makeToken(900);
      },
    });
    await waitForVisits(1);
    hub.last.socket.close(4401);
    await waitUntil(() => statuses().at(-1) === 'closed', 'the end');
    expect(states.at(-1)).toEqual({ status: 'closed', reason: 'unauthorized' });
  });

  it('that comes again although it was refused ends it: nothing else will come', async () => {
    const token = makeToken(900);
    connect({ token: async () => token });
    await waitForVisits(1);
    hub.last.socket.close(4401);
    await waitUntil(() => statuses().at(-1) === 'closed', 'the end');
    expect(states.at(-1)).toEqual({ status: 'closed', reason: 'unauthorized' });
    expect(hub.visits).toHaveLength(1);
  });

  it.each([
    ['is spent', makeToken(900, 1_700_000_000)],
    ['is none of the API’s', 'rahasia'],
  ])('that %s and is all that comes is not tried for ever', async (_, token) => {
    hub.refuse = 1000;
    connect({ token: async () => token });
    await waitUntil(() => statuses().at(-1) === 'closed', 'the end');
    expect(states.at(-1)).toEqual({ status: 'closed', reason: 'unauthorized' });
  });

  it('that was refused is asked for until whoever gives tokens is back', async () => {
    const troubles = [new TypeError('fetch failed'), Object.assign(new Error(), { status: 503 })];
    connect({
      token: async refused => {
        if (refused && troubles.length > 0) throw troubles.shift()!;
        return makeToken(900);
      },
    });
    await waitForVisits(1);
    hub.last.socket.close(4401);
    await waitForVisits(2);
    expect(troubles).toEqual([]);
    expect(statuses()).not.toContain('closed');
  });

  it('that nobody answers for is asked for again', async () => {
    let asked = 0;
    connect({
      token: () => (++asked < 3 ? new Promise(() => {}) : Promise.resolve(makeToken(900))),
      timing: { open_ms: 200 },
    });
    await waitForVisits(1);
    // more often where a slow machine doesn't open a connection in that time
    expect(asked).toBeGreaterThanOrEqual(3);
  });

  it('that can not be had for now is asked for again', async () => {
    let asked = 0;
    connect({
      token: async () => {
        if (++asked < 3) throw new Error('the network is away');
        return makeToken(900);
      },
    });
    await waitForVisits(1);
    expect(statuses().filter(status => status === 'waiting')).toHaveLength(2);
  });

  it('may be to blame for a refused upgrade: another one is asked for, once', async () => {
    hub.refuse = 3;
    const asked: (string | undefined)[] = [];
    const token = makeToken(900);
    connect({
      token: async refused => {
        asked.push(refused);
        return token;
      },
    });
    await waitForVisits(1);
    expect(asked).toEqual([undefined, token, undefined, undefined]);
  });
});

it('ends with the account of the provider', async () => {
  connect();
  await waitForVisits(1);
  hub.last.socket.close(4403);
  await waitUntil(() => statuses().at(-1) === 'closed', 'the end');
  expect(states.at(-1)).toEqual({ status: 'closed', reason: 'suspended' });
});

describe('nextStep', () => {
  const step = (ending: Partial<Ending>, tries: Partial<Tries> = {}) =>
    nextStep({ code: 1006, lasted_ms: 100, ...ending }, { ...FIRST_TRY, ...tries }, LIVE_TIMING, 0.5);

  it('waits longer with each failure, up to half a minute', () => {
    const waits = [0, 1, 2, 3, 4, 5, 6, 7, 50].map(failures => {
      const found = step({}, { failures });
      return found.do === 'retry' ? found.wait_ms : null;
    });
    expect(waits).toEqual([375, 750, 1500, 3000, 6000, 12_000, 22_500, 22_500, 22_500]);
  });

  it('begins anew after a connection that held', () => {
    const tries = { failures: 9, is_renewed: true, is_doubted: true };
    expect(step({ lasted_ms: 60_000 }, tries)).toMatchObject({ wait_ms: 375, tries: { failures: 1 }, doubt: 'none' });
    expect(step({ lasted_ms: 60_000, code: 4401 }, tries)).toMatchObject({ wait_ms: 0, doubt: 'sure' });
    expect(step({ lasted_ms: 10, code: 4401 }, tries)).toEqual({ do: 'end', reason: 'unauthorized' });
  });

  it('doubts the token of an upgrade that failed once only', () => {
    const first = step({ lasted_ms: null });
    expect(first).toMatchObject({ doubt: 'maybe' });
    expect(step({ lasted_ms: null }, first.do === 'retry' ? first.tries : {})).toMatchObject({ doubt: 'none' });
  });
});

describe('socketUrl', () => {
  it.each([
    ['https://melati.rukun.example', { events: undefined, since: null }, 'wss://melati.rukun.example/api/v1/ws'],
    ['http://127.0.0.1:8787/', { events: undefined, since: 0 }, 'ws://127.0.0.1:8787/api/v1/ws?since=0'],
    ['https://a.example/live?x', { events: ['a:b'], since: 7 }, 'wss://a.example/api/v1/ws?since=7&events=a%3Ab'],
  ])('%s', (base, wanted, url) => expect(socketUrl(base, wanted)).toBe(url));
});

describe('renewalDelay_ms', () => {
  const now = Date.parse('2026-11-20T10:00:00Z');
  const delay = (lives_s: number, iat = now / 1000) => renewalDelay_ms(makeToken(lives_s, iat), now, 60_000);

  it('is a minute before the end, or in the last quarter of a short life', () => {
    expect(delay(900)).toBe(840_000);
    expect(delay(8)).toBe(6_000);
    expect(delay(900, now / 1000 - 880)).toBe(15_000);
  });

  it('never spins: not with a wrong clock, nor with a token that says nothing', () => {
    expect(delay(900, now / 1000 - 86_400)).toBe(390_000);
    expect(delay(900, now / 1000 + 86_400)).toBe(390_000);
    expect(delay(0)).toBe(100);
    expect(renewalDelay_ms('opaque', now, 60_000)).toBeNull();
    expect(lifetimeOf('a.b.c')).toBeNull();
  });
});
