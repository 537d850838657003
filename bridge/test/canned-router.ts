/** Routers that answer what a test tells them to, and the connections to them. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { expect } from 'vitest';
import { type ConnectionOptions, RouterConnection, RouterError } from '../routeros/connection.ts';

// The peers here speak the protocol by hand, with none of our codec: a mistake in it must not cancel out.

type Words = (string | Buffer)[];

function writeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x4000) return Buffer.from([0x80 + Math.floor(length / 256), length % 256]);
  return Buffer.from([0xc0 + Math.floor(length / 65_536), Math.floor(length / 256) % 256, length % 256]);
}

export function sentence(...words: Words): Buffer {
  const parts = words.map(word => Buffer.from(word as string)).flatMap(word => [writeLength(word.length), word]);
  return Buffer.concat([...parts, Buffer.from([0])]);
}

/** Cuts whole sentences off the front of what came in. */
export function readSentences(state: { rest: Buffer }, chunk: Buffer): string[][] {
  state.rest = Buffer.concat([state.rest, chunk]);
  const sentences: string[][] = [];
  let words: string[] = [];
  for (let at = 0, done = 0; ;) {
    const first = state.rest[at];
    const size = first === undefined ? 0 : first < 0x80 ? 1 : first < 0xc0 ? 2 : 3;
    if (first === undefined || at + size > state.rest.length) return cut(done);
    const length = size === 1 ? first : state.rest.readUIntBE(at, size) - (size === 2 ? 0x8000 : 0xc00000);
    if (at + size + length > state.rest.length) return cut(done);
    words.push(state.rest.toString('utf8', at + size, at + size + length));
    at += size + length;
    if (length > 0) continue;
    sentences.push(words.slice(0, -1));
    words = [];
    done = at;
  }
  function cut(done: number): string[][] {
    state.rest = state.rest.subarray(done);
    return sentences;
  }
}

export interface Peer {
  /** Writes one sentence with the tag of the command. */
  reply(...words: Words): void;
  socket: Socket;
  tag: string;
}
export type Handler = (words: string[], peer: Peer) => void;

export interface Router {
  options: ConnectionOptions;
  received: string[][];
  connections: number;
}

const servers: Server[] = [];
export const sockets: Socket[] = [];
export const opened: RouterConnection[] = [];

export async function closeRouters(): Promise<void> {
  await Promise.all(opened.splice(0).map(connection => connection.close()));
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map(server => new Promise(resolve => server.close(resolve))));
}

export async function startServer(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

export interface RouterSettings {
  is_login_ours?: boolean;
  write?: (socket: Socket, bytes: Buffer) => void;
  tls?: TlsOptions;
}

/** A router that lets anyone in and leaves every other command to the handler. */
export async function startRouter(handle: Handler, settings: RouterSettings = {}): Promise<Router> {
  const router: Router = { options: null as never, received: [], connections: 0 };
  const write = settings.write ?? ((socket, bytes) => socket.write(bytes));
  const accept = (socket: Socket) => {
    router.connections++;
    sockets.push(socket);
    const state = { rest: Buffer.alloc(0) };
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', chunk => {
      for (const words of readSentences(state, chunk as Buffer)) {
        router.received.push(words);
        const tag_word = words.find(word => word.startsWith('.tag='));
        const tag_words = tag_word ? [tag_word] : [];
        const reply = (...reply_words: Words) =>
          write(socket, sentence(reply_words[0] ?? '', ...tag_words, ...reply_words.slice(1)));
        if (words[0] === '/login' && !settings.is_login_ours) reply('!done');
        else handle(words, { reply, socket, tag: tag_word?.slice(5) ?? '' });
      }
    });
  };
  const server = settings.tls ? createTlsServer(settings.tls, accept) : createServer(accept);
  const port = await startServer(server);
  router.options = { host: '127.0.0.1', port, username: 'admin', password: 'pa55=wörd' };
  return router;
}

/** Goes by what stands in `options`, also by what is put there later, such as a limit for what gets no answer. */
export async function openWith(options: ConnectionOptions): Promise<RouterConnection> {
  const connection = await RouterConnection.open(options);
  opened.push(connection);
  return connection;
}

export const open = (router: Router, options: Partial<ConnectionOptions> = {}): Promise<RouterConnection> =>
  openWith({ ...router.options, ...options });

export async function catchError(promise: Promise<unknown>): Promise<RouterError> {
  const error = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RouterError);
  expect((error as Error).message).not.toContain('pa55');
  return error as RouterError;
}
