// What the simulator's tests share: a raw client on the codec, and simulators that end with their test.
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

  constructor(port: number) {
    const decoder = new SentenceDecoder();
    this.socket = connect(port, '127.0.0.1');
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

  /** The replies up to the `!done` or `!fatal`; fails when the connection ends before it. */
  async take(): Promise<Reply[]> {
    for (;;) {
      const end = this.replies.findIndex(reply => reply.kind === '!done' || reply.kind === '!fatal');
      if (end !== -1) return this.replies.splice(0, end + 1);
      if (this.is_closed) throw new Error('connection closed');
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
  }

  async run(...words: string[]): Promise<Reply[]> {
    this.send(...words);
    return await this.take();
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

export async function logIn(simulator: Simulator): Promise<RawClient> {
  const client = open(simulator);
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

export const namesOf = (rows: Values[]) => rows.map(row => row.name);
