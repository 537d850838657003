/** Which credentials a router refused: they are not tried again, also after a restart. */
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { parseJson, readIfThere, replaceFile } from '../files.ts';
import { type Log, nameError } from '../log.ts';

export const REFUSALS_FILE = 'refusals.json';
/** Of one router, the newest. */
const MOST_OF_ROUTER = 5;
const MOST_MESSAGE = 300;

const Refused = z.record(z.string(), z.array(z.object({ hash: z.string(), message: z.string() })));

export interface RefusalOptions {
  /** Undefined: they are forgotten with the process. */
  state_dir?: string;
  /** What is on disk tells nobody a password who doesn't know this. */
  secret?: string;
  log?: Log;
}

export class Refusals {
  readonly #options: RefusalOptions;
  readonly #by_router = new Map<string, { hash: string; message: string }[]>();
  #last: Promise<void> = Promise.resolve();

  constructor(options: RefusalOptions = {}) {
    this.#options = options;
  }

  /** What can't be read is forgotten: then each is tried once more. */
  async load(): Promise<void> {
    if (this.#path === null) return;
    const text = await readIfThere(this.#path).catch(() => null);
    const refused = Refused.safeParse(parseJson(text ?? '{}'));
    for (const [id, entries] of Object.entries(refused.data ?? {})) this.#by_router.set(id, entries);
  }

  get router_ids(): string[] {
    return [...this.#by_router.keys()];
  }

  has(router_id: string): boolean {
    return this.#by_router.has(router_id);
  }

  /** The router's words, where it refused just these. */
  find(router_id: string, key: string): string | null {
    const hash = this.#hash(key);
    return this.#by_router.get(router_id)?.find(entry => entry.hash === hash)?.message ?? null;
  }

  note(router_id: string, key: string, message: string): void {
    const hash = this.#hash(key);
    const others = (this.#by_router.get(router_id) ?? []).filter(entry => entry.hash !== hash);
    const entries = [...others, { hash, message: message.slice(0, MOST_MESSAGE) }];
    this.#by_router.set(router_id, entries.slice(-MOST_OF_ROUTER));
    this.#save();
  }

  forget(router_id: string): void {
    if (this.#by_router.delete(router_id)) this.#save();
  }

  /** Resolves when all that was noted is on disk, or couldn't be put there. */
  settle(): Promise<void> {
    return this.#last;
  }

  get #path(): string | null {
    const { state_dir } = this.#options;
    return state_dir === undefined ? null : join(state_dir, REFUSALS_FILE);
  }

  #save(): void {
    const path = this.#path;
    if (path === null) return;
    const write = () => replaceFile(path, `${JSON.stringify(Object.fromEntries(this.#by_router))}\n`);
    this.#last = this.#last.then(write).catch((error: unknown) => {
      this.#options.log?.('refusals_not_kept', { error: nameError(error) });
    });
  }

  #hash(key: string): string {
    return createHmac('sha256', this.#options.secret ?? '')
      .update(key)
      .digest('hex');
  }
}
