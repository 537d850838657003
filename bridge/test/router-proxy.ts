/** Stands between the bridge and a router: hears what is asked, goes silent without closing, cuts the line. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { readSentences } from './canned-router.ts';

export class RouterProxy {
  /** The words of every sentence that was sent to the router. */
  readonly asked: string[][] = [];
  connections = 0;
  /** What comes from either side is swallowed, and nothing is closed. */
  is_silent = false;
  /** The line is cut when so many more bytes have come from the router; null: never. */
  bytes_to_cut: number | null = null;
  #held: (() => void)[] | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(router_port: number) {
    this.#server = createServer(near => this.#join(near, connect(router_port, '127.0.0.1')));
  }

  static async start(router_port: number): Promise<RouterProxy> {
    const proxy = new RouterProxy(router_port);
    await new Promise<void>(resolve => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The commands after signing in, by their first words. */
  get commands(): string[] {
    return this.asked.map(words => words[0] ?? '').filter(command => command !== '/login');
  }

  /** What comes from the router waits until it is let go by what this returns. */
  holdAnswers(): () => void {
    const held: (() => void)[] = (this.#held = []);
    return () => {
      this.#held = null;
      for (const pass of held) pass();
    };
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #join(near: Socket, far: Socket): void {
    this.connections++;
    const state = { rest: Buffer.alloc(0) };
    for (const socket of [near, far]) {
      this.#sockets.add(socket.setNoDelay(true));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        if (!this.is_silent) [near, far].forEach(other => other.destroy());
      });
    }
    near.on('data', (chunk: Buffer) => {
      if (this.is_silent) return;
      this.asked.push(...readSentences(state, chunk));
      far.write(chunk);
    });
    const passBack = (chunk: Buffer) => {
      if (this.is_silent) return;
      const left = this.bytes_to_cut;
      if (left === null || left > chunk.length) {
        if (left !== null) this.bytes_to_cut = left - chunk.length;
        near.write(chunk);
        return;
      }
      this.bytes_to_cut = null;
      near.write(chunk.subarray(0, left), () => near.destroy());
      far.destroy();
    };
    far.on('data', (chunk: Buffer) => {
      if (this.#held) this.#held.push(() => passBack(chunk));
      else passBack(chunk);
    });
  }
}
