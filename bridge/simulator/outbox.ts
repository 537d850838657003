// What waits to be written to one socket: joined into few writes, or cut into the pieces a fault asks for.
import type { Socket } from 'node:net';

const CLOSE_TIMEOUT_MS = 2_000;
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const MAX_WAITING_BYTES = 128 * 1024 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #getChunkBytes: () => number;
  #waiting: Uint8Array[] = [];
  #waiting_bytes = 0;
  #is_scheduled = false;
  #is_closing = false;

  constructor(socket: Socket, getChunkBytes: () => number) {
    this.#socket = socket;
    this.#getChunkBytes = getChunkBytes;
    socket.on('drain', () => this.#flush());
  }

  send(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waiting_bytes += bytes.length;
    // A reader slower than its own requests is not read from until it catches up.
    if (this.#waiting_bytes > HIGH_WATER_BYTES) this.#socket.pause();
    // Listening goes on unasked: who never reads is cut off.
    if (this.#waiting_bytes > MAX_WAITING_BYTES) this.#socket.destroy();
    this.#schedule();
  }

  /** Closes once everything is written. */
  close(): void {
    this.#is_closing = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#is_scheduled) return;
    this.#is_scheduled = true;
    setImmediate(() => {
      this.#is_scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#socket.destroyed || this.#socket.writableNeedDrain) return;
    const chunk_bytes = this.#getChunkBytes();
    const whole = this.#waiting.length === 1 ? (this.#waiting[0] ?? new Uint8Array(0)) : Buffer.concat(this.#waiting);
    const piece = chunk_bytes > 0 ? whole.subarray(0, chunk_bytes) : whole;
    const rest = whole.subarray(piece.length);
    this.#waiting = rest.length > 0 ? [rest] : [];
    this.#waiting_bytes = rest.length;
    if (piece.length > 0) this.#socket.write(piece);
    if (rest.length > 0) this.#schedule();
    else if (this.#is_closing) this.#end();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  // Ended, not destroyed, so that the last answer arrives; a peer that keeps its side open is cut off.
  #end(): void {
    this.#socket.end();
    this.#socket.setTimeout(CLOSE_TIMEOUT_MS, () => this.#socket.destroy());
  }
}
