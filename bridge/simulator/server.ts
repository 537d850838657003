// The simulated router on real sockets, with the faults that can be switched on.
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { ProtocolError, SentenceDecoder, encodeSentence } from '../routeros/codec.ts';
import { startControl } from './control.ts';
import { NO_FAULTS } from './faults.ts';
import type { Faults } from './faults.ts';
import { Outbox } from './outbox.ts';
import { SimulatedRouter } from './router.ts';
import { Session } from './session.ts';
import { closeServer, listen } from './sockets.ts';
import { StateFile } from './state-file.ts';
import { encodeText } from './text.ts';
import { parseVersion } from './version.ts';

export type { Faults } from './faults.ts';

export interface SimulatorOptions {
  /** 0: any free one. */
  port: number;
  host?: '127.0.0.1';
  username: string;
  password: string;
  state_file?: string;
  version?: string;
  identity?: string;
  /** The challenge login of versions before 6.43. */
  old_login?: boolean;
  faults?: Partial<Faults>;
  control_port?: number;
  /** Where lines of the state file that can't be loaded are told; by default nowhere. */
  report?: (message: string) => void;
}

export interface Simulator {
  port: number;
  control_port: number | null;
  router: SimulatedRouter;
  setFaults(faults: Partial<Faults>): void;
  dropConnections(): void;
  stop(): Promise<void>;
}

const MAX_WORD_BYTES = 1024 * 1024;
const MAX_SENTENCE_BYTES = 4 * 1024 * 1024;
const LOGIN_TIMEOUT_MS = 60_000;

export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  if (options.password === '') throw new Error('the simulated router needs a password');
  const version = options.version ?? '7.18';
  if (parseVersion(version) === null || !/^[\w.]+$/.test(version))
    throw new Error(`not a RouterOS version: ${version}`);
  const router = new SimulatedRouter({ version });
  const faults: Faults = { ...NO_FAULTS, ...options.faults };
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, socket => acceptConnection(socket, sockets, router, faults, options));
  const setFaults = (changes: Partial<Faults>) => void Object.assign(faults, changes);
  const dropConnections = () => sockets.forEach(socket => socket.destroy());

  const state =
    options.state_file === undefined ? null : new StateFile(router, options.state_file, options.report ?? ignore);
  await state?.load();
  if (options.identity !== undefined) router.setSingle('/system/identity', new Map([['name', options.identity]]));
  const port = await listen(server, options.port);
  const control =
    options.control_port === undefined
      ? null
      : await startControl(options.control_port, { router, setFaults, dropConnections }).catch(
          async (error: unknown) => {
            await closeServer(server);
            throw error;
          },
        );
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    const closed = closeServer(server);
    dropConnections();
    await Promise.all([closed, control?.stop()]);
    await state?.close();
  };
  return {
    port,
    control_port: control?.port ?? null,
    router,
    setFaults,
    dropConnections,
    stop: () => (stopping ??= stop()),
  };
}

const ignore = () => {};

function acceptConnection(
  socket: Socket,
  sockets: Set<Socket>,
  router: SimulatedRouter,
  faults: Faults,
  options: SimulatorOptions,
): void {
  socket.on('error', ignore);
  if (faults.refuse || sockets.size >= faults.max_sessions) {
    socket.resetAndDestroy();
    return;
  }
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
  if (faults.silent_after_accept) {
    socket.resume();
    return;
  }
  const outbox = new Outbox(socket, () => faults.chunk_bytes);
  const session = new Session({
    router,
    username: options.username,
    password: options.password,
    old_login: options.old_login ?? false,
    peer: socket.remoteAddress ?? '',
    isReadOnly: () => faults.read_only_user,
    isSensitive: () => !faults.no_sensitive,
    send: words => outbox.send(encodeSentence(words.map(encodeText))),
    close: () => outbox.close(),
  });
  serveSession(socket, session, faults, options.report ?? ignore);
}

function serveSession(socket: Socket, session: Session, faults: Faults, report: (message: string) => void): void {
  const decoder = new SentenceDecoder({ max_word_bytes: MAX_WORD_BYTES, max_sentence_bytes: MAX_SENTENCE_BYTES });
  const login_timer = setTimeout(() => {
    if (!session.is_logged_in) socket.destroy();
  }, LOGIN_TIMEOUT_MS);
  socket.on('close', () => clearTimeout(login_timer));
  const handle = (words: Uint8Array[]) => {
    if (socket.destroyed || socket.writableEnded || session.is_over) return;
    try {
      const has_written = session.handle(words);
      // The answer still waits in the outbox, so that it dies with the socket.
      if (has_written && takeCloseAfterWrite(faults)) socket.destroy();
    } catch (error) {
      report(`a command failed inside the simulator: ${error instanceof Error ? error.stack : String(error)}`);
      socket.destroy();
    }
  };
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const words of decoder.push(chunk)) {
        if (faults.delay_ms > 0) setTimeout(handle, faults.delay_ms, words);
        else handle(words);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      socket.destroy();
    }
  });
}

function takeCloseAfterWrite(faults: Faults): boolean {
  const count = Number(faults.close_after_write);
  if (count <= 0) return false;
  faults.close_after_write = count > 1 ? count - 1 : false;
  return true;
}
