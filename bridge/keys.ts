/** The bridge's signing secret and the key that its messages are sealed to; and how others come in their place. */
import { join } from 'node:path';
import { CompactEncrypt, exportJWK, generateKeyPair, importJWK } from 'jose';
import { type PublicKey, type RotateAnswer, RotatePart, type RotateRequest } from '../src/protocol/messages.ts';
import { BridgeFailure } from './apply/failure.ts';
import { makeOpener } from './apply/sealed.ts';
import { type BridgeConfig, CONFIG_FILE, deriveRefusalsKey, formatConfig, KeyPair } from './config.ts';
import { type Disk, DISK, replaceFile } from './files.ts';
import { type Log, nameError } from './log.ts';

type PrivateKey = KeyPair['private_key'];

export interface KeysOptions {
  state_dir: string;
  config: BridgeConfig;
  log: Log;
  disk?: Disk;
  /** Never goes back; performance.now unless told. */
  elapsed_ms?: () => number;
}

export interface Opened {
  value: unknown;
  /** False: there is a key that it had better be sealed to. */
  is_newest: boolean;
}

/** A message that came just before the change may still be on its way in. */
const LATE_MS = 60_000;

/**
 * States: settled (one pair) → overlapping (the next one is on disk, too: requests may be signed with either secret, and
 * what is sealed to either key is opened) → settled on the next one, from the first use that the cloud makes of it.
 */
export class BridgeKeys {
  readonly #options: KeysOptions;
  readonly #openers = new Map<string, ReturnType<typeof makeOpener>>();
  #config: BridgeConfig;
  #is_saved = true;
  #earlier: { private_key: PrivateKey; until_ms: number } | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: KeysOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** What requests may be signed with, the present one first. */
  get secrets(): readonly string[] {
    const { signing_secret, next } = this.#config;
    return next ? [signing_secret, next.signing_secret] : [signing_secret];
  }

  /** Of the present pair. */
  get public_key(): PublicKey {
    return tellPublic(this.#config.private_key);
  }

  /** Null where it isn't sealed to a key of ours, or is damaged. */
  async open(sealed: string): Promise<Opened | null> {
    const keys = this.#listKeys();
    for (const [at, private_key] of keys.entries()) {
      const opened = await (await this.#findOpener(private_key))(sealed);
      if (opened) return { value: opened.value, is_newest: at === 0 };
    }
    return null;
  }

  /** To the newest key. */
  async seal(value: unknown): Promise<string> {
    const { private_key, next } = this.#config;
    const key = await importJWK({ ...tellPublic(next?.private_key ?? private_key) }, 'ECDH-ES');
    return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(value)))
      .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
      .encrypt(key);
  }

  /** Takes a secret beside the present one; gives the key that goes with it: the same one, however often it is offered. */
  offer(signing_secret: string): Promise<PublicKey> {
    return this.#inTurn(async () => {
      const { next } = this.#config;
      const known = [this.#config, next].find(pair => pair?.signing_secret === signing_secret);
      if (known) return tellPublic(known.private_key);
      const { privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true });
      const pair = KeyPair.parse({ signing_secret, private_key: await exportJWK(privateKey) });
      const config = { ...this.#config, next: pair };
      await this.#write(config);
      this.#config = config;
      this.#options.log('keys_offered');
      return tellPublic(pair.private_key);
    });
  }

  /** The cloud has used this secret. Where it is the next one, the present one is good no more. */
  async noteUse(signing_secret: string): Promise<void> {
    if (this.#is_saved && signing_secret === this.#config.signing_secret) return;
    await this.#inTurn(async () => {
      const { next, ...present } = this.#config;
      if (next?.signing_secret === signing_secret) {
        const until_ms = this.#now() + LATE_MS;
        this.#earlier = { private_key: present.private_key, until_ms };
        this.#config = { ...present, ...next, refusals_key: deriveRefusalsKey(present) };
        this.#is_saved = false;
        this.#options.log('keys_rotated');
      }
      if (!this.#is_saved) await this.#saveLater();
    });
  }

  /** On a disk that is full both pairs stay, so that after a restart both are known; it is tried again at the next use. */
  async #saveLater(): Promise<void> {
    try {
      await this.#write(this.#config);
    } catch (error) {
      this.#options.log('keys_not_kept', { error: nameError(error) });
    }
  }

  async #write(config: BridgeConfig): Promise<void> {
    await replaceFile(join(this.#options.state_dir, CONFIG_FILE), formatConfig(config), this.#options.disk ?? DISK);
    this.#is_saved = true;
  }

  /** The newest first. */
  #listKeys(): PrivateKey[] {
    const { private_key, next } = this.#config;
    if (this.#earlier && this.#earlier.until_ms < this.#now()) this.#earlier = null;
    return [next?.private_key, private_key, this.#earlier?.private_key].filter(key => key !== undefined);
  }

  #findOpener(private_key: PrivateKey): ReturnType<typeof makeOpener> {
    const found = this.#openers.get(private_key.x) ?? makeOpener(private_key);
    this.#openers.set(private_key.x, found);
    return found;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #now(): number {
    return (this.#options.elapsed_ms ?? (() => performance.now()))();
  }
}

const tellPublic = ({ kty, crv, x, y }: PrivateKey): PublicKey => ({ kty, crv, x, y });

/** The cloud's request to renew the keys. `renew`: what lies sealed on the disk is sealed to the new key before it is told. */
export async function rotateKeys(
  keys: BridgeKeys,
  renew: () => Promise<void>,
  { sealed }: RotateRequest,
): Promise<RotateAnswer> {
  const part = RotatePart.safeParse((await keys.open(sealed))?.value);
  if (!part.success)
    throw new BridgeFailure('INVALID_MESSAGE', "the sealed part isn't a secret for this bridge's key: enrol again");
  const public_key = await keys.offer(part.data.signing_secret);
  await renew();
  return { public_key };
}
