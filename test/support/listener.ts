import { env, SELF } from 'cloudflare:test';
import { expect } from 'vitest';
import type { z } from 'zod';
import type { TenantHub } from '../../durable-objects/tenant-hub/index.ts';
import { ErrorAnswer } from '../../src/http/envelope.ts';
import { LiveMessage } from '../../src/events/realtime/messages.ts';

/** A client of the socket as a test sees it: all that it got, each message held to its schema. */

export interface Told {
  seq?: number;
  event: string;
  data: Record<string, any>;
  timestamp: string;
}

export interface ListenOptions {
  token: string;
  since?: number;
  events?: string[];
  headers?: Record<string, string>;
}

export const hubOf = (tenant_id: string): DurableObjectStub<TenantHub> =>
  env.TENANT_HUB.get(env.TENANT_HUB.idFromName(tenant_id));

export function knock(query: Record<string, string>, headers: Record<string, string>): Promise<Response> {
  const url = new URL('http://rukun.test/api/v1/ws');
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  return SELF.fetch(url, { headers: { upgrade: 'websocket', ...headers } });
}

/** What the API said to who was refused before the socket opened. */
export async function refusalOf(answer: Response): Promise<z.output<typeof ErrorAnswer>['error']> {
  return ErrorAnswer.parse(await answer.json()).error;
}

export class Listener {
  /** Whatever came that is JSON. */
  readonly got: Told[] = [];
  /** Whatever came that isn't. */
  readonly words: string[] = [];
  closed: { code: number; reason: string } | null = null;
  readonly #socket: WebSocket;
  static #all: Listener[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#take(data as string));
    socket.addEventListener('close', ({ code, reason }) => (this.closed = { code, reason }));
    socket.accept();
    Listener.#all.push(this);
  }

  /** No socket is left to a hub that the next test wipes away. */
  static async closeAll(): Promise<void> {
    const open = Listener.#all.filter(listener => !listener.closed);
    Listener.#all = [];
    for (const listener of open) listener.close();
    await Promise.all(open.map(listener => listener.untilClosed()));
  }

  static async open({ token, since, events, headers }: ListenOptions): Promise<Listener> {
    const query = { ...(since !== undefined && { since: String(since) }), ...(events && { events: events.join(',') }) };
    const answer = await knock(query, { 'sec-websocket-protocol': `rukun.v1, bearer.${token}`, ...headers });
    expect(answer.status, answer.webSocket ? '' : await answer.text()).toBe(101);
    return new Listener(answer.webSocket!);
  }

  #take(text: string): void {
    if (!text.startsWith('{')) return void this.words.push(text);
    const message = JSON.parse(text) as Told;
    expect(LiveMessage.safeParse(message).error, text).toBeUndefined();
    this.got.push(message);
  }

  /** Of events that have a seq. */
  get seqs(): number[] {
    return this.got.flatMap(({ seq }) => seq ?? []);
  }

  named(event: string): Told[] {
    return this.got.filter(message => message.event === event);
  }

  send(message: unknown): void {
    this.#socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes);
  }

  close(): void {
    this.#socket.close(1000, 'done');
  }

  async until<T>(look: () => T | null | undefined | false, what: string, within_ms = 60_000): Promise<T> {
    // tests hold the wall clock still
    const end = performance.now() + within_ms;
    for (;;) {
      const found = look();
      if (found) return found;
      if (performance.now() > end)
        expect.fail(`${what} did not come; closed: ${JSON.stringify(this.closed)}, got ${JSON.stringify(this.got).slice(-2000)}`); // prettier-ignore
      await new Promise(resolve => setTimeout(resolve, 2));
    }
  }

  untilNamed = (event: string, count = 1): Promise<Told> =>
    this.until(() => this.named(event)[count - 1], `${count} × ${event}`);

  untilSeq = (seq: number): Promise<boolean> => this.until(() => this.seqs.includes(seq), `seq ${seq}`);

  untilClosed = (): Promise<{ code: number; reason: string }> => this.until(() => this.closed, 'the end');

  /** What was told before this was asked has come: the hub answers in order. */
  async settle(): Promise<void> {
    const count = this.named('pong').length + 1;
    this.send({ type: 'ping' });
    await this.untilNamed('pong', count);
  }
}
