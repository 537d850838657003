// The sockets: plain or TLS, each with its session, and the faults that belong to the wire.
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { ProtocolError, SentenceDecoder, encodeSentence } from '../routeros/codec.ts';
import type { Faults } from './faults.ts';
import { Outbox } from './outbox.ts';
import type { SimulatedRouter } from './router.ts';
import { Session } from './session.ts';
import { decodeBytes, decodeWindows1252, encodeText, encodeWindows1252 } from './text.ts';
import type { RouterTls } from './tls.ts';

export interface ConnectionOptions {
  router: SimulatedRouter;
  /** Read again at every turn, since they can be switched meanwhile. */
  faults: Faults;
  tls: RouterTls | null;
  username: string;
  password: string;
  old_login: boolean;
  report: (message: string) => void;
}

const MAX_WORD_BYTES = 1024 * 1024;
const MAX_SENTENCE_BYTES = 4 * 1024 * 1024;
const LOGIN_TIMEOUT_MS = 60_000;
const LOGIN_WORD = Buffer.from('/login');

export class Connections {
  readonly server: Server;
  readonly #options: ConnectionOptions;
  readonly #sockets = new Set<Socket>();
  /** The peers' ports, of connections that end by themselves once their last answer is written. */
  readonly #closing_ports = new Set<number | undefined>();
  #down_until_ms = -Infinity;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.server = createServer({ noDelay: true }, socket => this.#accept(socket));
    options.tls?.server.on('secureConnection', socket => this.#serve(socket));
    options.tls?.server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  get count(): number {
    return this.#sockets.size;
  }

  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Drops all connections and takes none for so long. */
  reboot(down_ms: number): void {
    this.#down_until_ms = performance.now() + down_ms;
    for (const socket of this.#sockets) if (!this.#closing_ports.has(socket.remotePort)) socket.destroy();
    this.#options.router.reboot();
  }

  #accept(socket: Socket): void {
    const { faults, tls } = this.#options;
    socket.on('error', ignore);
    const is_down = performance.now() < this.#down_until_ms;
    if (is_down || faults.refuse || this.#sockets.size >= faults.max_sessions) {
      socket.resetAndDestroy();
      return;
    }
    this.#sockets.add(socket);
    const { remotePort: peer_port } = socket;
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#closing_ports.delete(peer_port);
    });
    // Silence begins before the handshake: nothing comes back at all.
    if (faults.silent_after_accept) socket.resume();
    else if (tls !== null) tls.server.emit('connection', socket);
    else this.#serve(socket);
  }

  #serve(socket: Socket): void {
    const { router, faults, tls, username, password, old_login, report } = this.#options;
    socket.on('error', ignore);
    const outbox = new Outbox(socket, () => faults.chunk_bytes);
    const session = new Session({
      router,
      username,
      password,
      old_login,
      peer: socket.remoteAddress ?? '',
      service: tls === null ? 'api' : 'api-ssl',
      isReadOnly: () => faults.read_only_user,
      isSensitive: () => !faults.no_sensitive,
      getDelayMs: () => faults.delay_ms,
      send: words => outbox.send(encodeSentence(words.map(faults.windows_1252 ? encodeWindows1252 : encodeText))),
      close: () => {
        this.#closing_ports.add(socket.remotePort);
        outbox.close();
      },
      // The answer still waits in the outbox, so that it dies with the socket.
      onWrite: () => void (takeCloseAfterWrite(faults) && socket.destroy()),
      onReboot: () => this.reboot(faults.down_ms),
      onFailure: error => {
        report(`a command failed inside the simulator: ${error instanceof Error ? error.stack : String(error)}`);
        socket.destroy();
      },
    });
    socket.on('close', () => session.end());
    this.#readSentences(socket, session);
  }

  #readSentences(socket: Socket, session: Session): void {
    const { faults } = this.#options;
    const decoder = new SentenceDecoder({ max_word_bytes: MAX_WORD_BYTES, max_sentence_bytes: MAX_SENTENCE_BYTES });
    const login_timer = setTimeout(() => {
      if (!session.is_logged_in) socket.destroy();
    }, LOGIN_TIMEOUT_MS);
    socket.on('close', () => clearTimeout(login_timer));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const words of decoder.push(chunk)) {
          if (socket.destroyed) return;
          // Passwords are compared as they were given, in UTF-8.
          const is_login = words[0] !== undefined && LOGIN_WORD.equals(words[0]);
          session.handle(words.map(faults.windows_1252 && !is_login ? decodeWindows1252 : decodeBytes));
        }
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        socket.destroy();
      }
    });
  }
}

const ignore = () => {};

function takeCloseAfterWrite(faults: Faults): boolean {
  const count = Number(faults.close_after_write);
  if (count <= 0) return false;
  faults.close_after_write = count > 1 ? count - 1 : false;
  return true;
}
