/** `POST /v1/read`: each read once for all who ask for it, one thing at a time for each router. */
import { createHash } from 'node:crypto';
import type { BridgeTools } from '../apply/apply.ts';
import { BridgeFailure, explainRouterError, isRefusal } from '../apply/failure.ts';
import { RouterError } from '../routeros/errors.ts';
import type { ReadAnswer, ReadRequest } from '../../src/protocol/messages.ts';
import { AnswerMemory } from './answers.ts';
import { readKind, type Table } from './read-router.ts';
import { takeTurn } from './turn.ts';

/** Half of what may wait for a router: an apply must find a place. */
const MOST_READS_OF_ROUTER = 10;
const MOST_NAME_CHARS = 1000;

export interface ReaderOptions {
  /** Never goes back; performance.now unless told. */
  now_ms?: () => number;
  /** 20,000 unless told. */
  limit_ms?: number;
  memory?: AnswerMemory;
}

interface Reading {
  router_id: string;
  /** Null while it waits for its turn. */
  begun_ms: number | null;
  table: Promise<{ read_ms: number; table: Table }>;
}

export class RouterReader {
  readonly #tools: BridgeTools;
  readonly #now_ms: () => number;
  readonly #limit_ms: number;
  readonly #memory: AnswerMemory;
  readonly #readings = new Map<string, Reading>();
  readonly #counts = new Map<string, number>();

  constructor(tools: BridgeTools, { now_ms = () => performance.now(), limit_ms = 20_000, memory }: ReaderOptions = {}) {
    this.#tools = tools;
    this.#now_ms = now_ms;
    this.#limit_ms = limit_ms;
    this.#memory = memory ?? new AnswerMemory({ now_ms });
  }

  async read(request: ReadRequest): Promise<ReadAnswer> {
    const { what, name, most_age_ms } = request;
    if (what === 'traffic' && !name) throw new BridgeFailure('INVALID_MESSAGE', 'name: traffic is read of one name');
    if ((name ?? '').length > MOST_NAME_CHARS) throw new BridgeFailure('INVALID_MESSAGE', 'name: it is too long');
    const { router_password } = await this.#tools.openSealed(request.sealed);
    // with all that gives access: who has other credentials gets nothing that was read with these
    const parts = [request.router, router_password, what, what === 'resource' ? null : name];
    const key = createHash('sha256').update(JSON.stringify(parts)).digest('base64');
    const kept = this.#memory.find(key, most_age_ms);
    if (kept) return tell(kept.age_ms, kept.table);
    const reading = this.#findJoinable(key, most_age_ms) ?? this.#begin(key, request, router_password);
    const { read_ms, table } = await reading.table;
    return tell(this.#now_ms() - read_ms, table);
  }

  /** What was read of this router may no longer be so. */
  forget(router_id: string): void {
    this.#memory.forget(router_id);
    for (const [key, reading] of this.#readings) {
      if (reading.router_id === router_id && reading.begun_ms !== null) this.#readings.delete(key);
    }
  }

  /** One that waits will be newer than the asking; one that runs serves only who may be given something older. */
  #findJoinable(key: string, most_age_ms: number): Reading | null {
    const reading = this.#readings.get(key);
    if (!reading) return null;
    const age_ms = reading.begun_ms === null ? 0 : this.#now_ms() - reading.begun_ms;
    return age_ms <= most_age_ms ? reading : null;
  }

  #begin(key: string, request: ReadRequest, password: string): Reading {
    const router_id = request.router.id;
    const count = this.#counts.get(router_id) ?? 0;
    if (count >= MOST_READS_OF_ROUTER) {
      throw new BridgeFailure('ROUTER_BUSY', 'too much is being read of this router at once: try again shortly');
    }
    this.#counts.set(router_id, count + 1);
    const onOver = () => this.#counts.set(router_id, (this.#counts.get(router_id) ?? 1) - 1);
    const reading: Reading = { router_id, begun_ms: null, table: null as never };
    this.#readings.set(key, reading);
    const onBegin = () => (reading.begun_ms = this.#now_ms());
    const run = async () => {
      const limits = { limit_ms: this.#limit_ms, is_finished: false, onOver };
      const table = await takeTurn(this.#tools, request.router, limits, signal => {
        onBegin();
        return this.#readRouter(request, password, signal);
      });
      const read_ms = reading.begun_ms ?? this.#now_ms();
      // one that was forgotten on the way is given to those who asked for it, and to nobody after
      if (this.#readings.get(key) === reading) this.#memory.keep(key, router_id, read_ms, table);
      return { read_ms, table };
    };
    reading.table = run().finally(() => {
      if (this.#readings.get(key) === reading) this.#readings.delete(key);
    });
    reading.table.catch(() => undefined);
    return reading;
  }

  /** A connection that was found dead is opened again, once. */
  async #readRouter({ router, what, name }: ReadRequest, password: string, signal: AbortSignal): Promise<Table> {
    const { pool } = this.#tools;
    const onLate = () => void pool.discard(router.id);
    signal.addEventListener('abort', onLate);
    try {
      for (let attempt = 1; ; attempt++) {
        const { connection } = await pool.take(router, password);
        signal.throwIfAborted();
        try {
          return await readKind(connection, what, name);
        } catch (error) {
          if (!(error instanceof RouterError)) throw error;
          const { kind } = error;
          if (isRefusal(error)) throw error;
          await pool.discard(router.id);
          signal.throwIfAborted();
          if (attempt > 1 || kind === 'timeout') throw error;
        }
      }
    } catch (error) {
      throw explainRouterError(error, router);
    } finally {
      signal.removeEventListener('abort', onLate);
      pool.release(router.id);
    }
  }
}

function tell(age_ms: number, { properties, rows }: Table): ReadAnswer {
  return { age_ms: Math.max(0, Math.round(age_ms)), properties: [...properties], rows };
}
