// What the simulator's tests share: a raw client on the codec, and simulators that end with their test.
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { expect, onTestFinished } from 'vitest';
import { SentenceDecoder, encodeSentence } from '../routeros/codec.ts';
import { startSimulator } from '../simulator/server.ts';
import type { Simulator, SimulatorOptions } from '../simulator/server.ts';
import { decodeBytes, encodeText } from '../simulator/text.ts';

export type Values = Record<string, string>;
export interface Reply {
  kind: string;
  bare: string[];
  values: Values;
}

// A client of a few lines on the codec alone: one command at a time, except where a test writes raw words.
export class RawClient {
  readonly socket: Socket;
  readonly replies: Reply[] = [];
  is_closed = false;
  #waiting: (() => void)[] = [];

  constructor(port: number, socket: Socket = connect(port, '127.0.0.1')) {
    const decoder = new SentenceDecoder();
    this.socket = socket;
    this.socket.setNoDelay(true);
    this.socket.on('data', chunk => {
      for (const words of decoder.push(chunk)) this.replies.push(readReply(words.map(decodeBytes)));
      this.#wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.is_closed = true;
      this.#wake();
    });
  }

  send(...words: string[]): void {
    this.socket.write(encodeSentence(words.map(encodeText)));
  }

  /** The replies with this tag, or with none, up to the `!done` or `!fatal`; fails when the connection ends before it. */
  async take(tag?: string): Promise<Reply[]> {
    for (;;) {
      const isOwn = (reply: Reply) => reply.values['.tag'] === tag || reply.kind === '!fatal';
      const end = this.replies.findIndex(reply => isOwn(reply) && (reply.kind === '!done' || reply.kind === '!fatal'));
      if (end !== -1) {
        const until = this.replies.splice(0, end + 1);
        this.replies.unshift(...until.filter(reply => !isOwn(reply)));
        return until.filter(isOwn);
      }
      if (this.is_closed) throw new Error('connection closed');
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
  }

  /** The next replies of one tag, where several commands run at a time. */
  async takeTagged(tag: string, count: number): Promise<Reply[]> {
    const taken: Reply[] = [];
    while (taken.length < count) {
      const at = this.replies.findIndex(reply => reply.values['.tag'] === tag);
      const [reply] = at === -1 ? [] : this.replies.splice(at, 1);
      if (reply !== undefined) taken.push(reply);
      else if (this.is_closed) throw new Error('connection closed');
      else await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
    return taken;
  }

  async run(...words: string[]): Promise<Reply[]> {
    this.send(...words);
    return await this.take(words.find(word => word.startsWith('.tag='))?.slice(5));
  }

  async rows(...words: string[]): Promise<Values[]> {
    return (await this.run(...words)).filter(reply => reply.kind === '!re').map(reply => reply.values);
  }

  async ret(...words: string[]): Promise<string> {
    const replies = await this.run(...words);
    expect(replies.map(reply => reply.kind)).toEqual(['!done']);
    return replies[0]?.values.ret ?? '';
  }

  async trap(...words: string[]): Promise<string> {
    const replies = await this.run(...words);
    expect(replies.map(reply => reply.kind)).toEqual(['!trap', '!done']);
    return replies[0]?.values.message ?? '';
  }

  async waitForClose(): Promise<void> {
    while (!this.is_closed) await new Promise<void>(resolve => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

function readReply(words: string[]): Reply {
  const reply: Reply = { kind: words[0] ?? '', bare: [], values: {} };
  for (const word of words.slice(1)) {
    const match = /^(?:=|(?=\.tag))([^=]+)=([^]*)$/.exec(word);
    if (match) reply.values[match[1] ?? ''] = match[2] ?? '';
    else reply.bare.push(word);
  }
  return reply;
}

export async function start(options: Partial<SimulatorOptions> = {}): Promise<Simulator> {
  const simulator = await startSimulator({ port: 0, username: 'admin', password: 'rahasia', ...options });
  onTestFinished(() => simulator.stop());
  return simulator;
}

export function open(simulator: Simulator): RawClient {
  const client = new RawClient(simulator.port);
  onTestFinished(() => void client.socket.destroy());
  return client;
}

export function openTls(simulator: Simulator, options: ConnectionOptions = {}): RawClient {
  const { port } = simulator;
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  const client = new RawClient(port, socket);
  onTestFinished(() => void socket.destroy());
  return client;
}

export async function logIn(simulator: Simulator, client = open(simulator)): Promise<RawClient> {
  expect(await client.ret('/login', '=name=admin', '=password=rahasia')).toBe('');
  return client;
}

export async function startAndLogIn(options: Partial<SimulatorOptions> = {}): Promise<[RawClient, Simulator]> {
  const simulator = await start(options);
  return [await logIn(simulator), simulator];
}

export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rukun-simulator-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

/** Asks the control port. */
export async function callControl(
  simulator: Simulator,
  method: string,
  path: string,
  body?: unknown,
  headers: Values = {},
) {
  return await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const where = { port: simulator.control_port, host: '127.0.0.1', method, path, headers };
    const request = httpRequest(where, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', reject);
    request.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body));
  });
}

/** A clock that goes only when it is told to. */
export function makeClock(start_ms = Date.UTC(2026, 8, 26, 20, 0, 0)) {
  const clock = { now_ms: start_ms, now: () => clock.now_ms };
  return clock;
}

export const namesOf = (rows: Values[]) => rows.map(row => row.name);
