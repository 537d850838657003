/** What the cloud told this bridge to watch over: on disk as it came, its passwords sealed, so that it starts alone. */
import { join } from 'node:path';
import { z } from 'zod';
import { Watched } from '../src/protocol/messages.ts';
import { type Disk, DISK, parseJson, replaceFile } from './files.ts';
import type { BridgeKeys } from './keys.ts';
import { type Log, nameError } from './log.ts';

export const WATCHED_FILE = 'watched.json';

const Passwords = z.record(z.string(), z.string());

export interface WatchedOptions {
  state_dir: string;
  keys: Pick<BridgeKeys, 'open' | 'seal'>;
  log: Log;
  disk?: Disk;
}

export class WatchedStore {
  readonly #options: WatchedOptions;
  readonly #disk: Disk;
  #watched: Watched | null = null;
  #last: Promise<void> = Promise.resolve();
  #opening: { watched: Watched; passwords: Promise<ReadonlyMap<string, string>> } | null = null;

  constructor(options: WatchedOptions) {
    this.#options = options;
    this.#disk = options.disk ?? DISK;
  }

  get current(): Watched | null {
    return this.#watched;
  }

  /** What can't be read or opened is forgotten: without a tag to show, the cloud sends it anew. */
  async load(): Promise<void> {
    const text = await this.#disk.read(this.#path);
    if (text === null) return;
    const watched = Watched.safeParse(parseJson(text));
    if (!watched.success) return this.#options.log('watched_damaged', { asks: 'the cloud for it anew' });
    this.#watched = watched.data;
    await this.openPasswords();
  }

  /** Holds from now on; a disk that can't keep it costs no more than being told again after a restart. */
  async store(watched: Watched): Promise<void> {
    this.#watched = watched;
    const { routers, devices } = watched;
    this.#options.log('watched_changed', { routers: routers.length, devices: devices.length });
    await this.#save();
    await this.renew();
  }

  /** Passwords that are sealed to a key that is about to go are sealed to the newest one. */
  async renew(): Promise<void> {
    const watched = this.#watched;
    const opened = watched && (await this.#options.keys.open(watched.sealed_passwords));
    if (!opened || opened.is_newest) return;
    const sealed_passwords = await this.#options.keys.seal(opened.value);
    // something newer may have come meanwhile
    if (this.#watched !== watched) return;
    this.#watched = { ...watched, sealed_passwords };
    await this.#save();
  }

  #save(): Promise<void> {
    const write = () => replaceFile(this.#path, `${JSON.stringify(this.#watched)}\n`, this.#disk);
    this.#last = this.#last.then(write).catch((error: unknown) => {
      this.#options.log('watched_not_kept', { error: nameError(error) });
    });
    return this.#last;
  }

  /** Router's id → password; opened each time, so that they don't lie about in memory, but once for all who ask at once. */
  openPasswords(): Promise<ReadonlyMap<string, string>> {
    const watched = this.#watched;
    if (!watched) return Promise.resolve(new Map());
    if (this.#opening?.watched === watched) return this.#opening.passwords;
    const opening = { watched, passwords: this.#open(watched) };
    this.#opening = opening;
    const finish = () => {
      if (this.#opening === opening) this.#opening = null;
    };
    opening.passwords.then(finish, finish);
    return opening.passwords;
  }

  async #open(watched: Watched): Promise<ReadonlyMap<string, string>> {
    const opened = await this.#options.keys.open(watched.sealed_passwords);
    const passwords = Passwords.safeParse(opened?.value);
    if (passwords.success) return new Map(Object.entries(passwords.data));
    this.#options.log('watched_not_ours', {
      asks: 'the cloud for it anew',
      why: "it isn't sealed to this bridge's key",
    });
    if (this.#watched === watched) this.#watched = null;
    return new Map();
  }

  get #path(): string {
    return join(this.#options.state_dir, WATCHED_FILE);
  }
}
