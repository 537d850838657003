/** What the bridge keeps on disk: who it is (bridge.json) and how far it got with each router (revisions.json). */
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { parseJson, readIfThere, replaceFile } from './files.ts';

const Coordinate = z.string().regex(/^[\w-]{43}$/);

export const KeyPair = z.object({
  signing_secret: z.string().min(1),
  private_key: z.object({
    kty: z.literal('EC'),
    crv: z.literal('P-256'),
    x: Coordinate,
    y: Coordinate,
    d: Coordinate,
  }),
});
export type KeyPair = z.infer<typeof KeyPair>;

export const BridgeConfig = KeyPair.extend({
  bridge_id: z.uuid(),
  tenant_id: z.uuid(),
  name: z.string(),
  cloud_url: z.url(),
  /** What follows the present pair, until the cloud has used it. */
  next: KeyPair.optional(),
  /** Outlives the secret that it was derived from, so that no refused sign-in is tried again. */
  refusals_key: z.string().optional(),
});
export type BridgeConfig = z.infer<typeof BridgeConfig>;

const Revisions = z.record(
  z.string(),
  z.object({ revision: z.int(), sessions_to_end: z.array(z.string()).default([]) }),
);

/** A mistake that a person can put right; its message is shown as it is. */
export class SetupError extends Error {}

export const CONFIG_FILE = 'bridge.json';
const REVISIONS_FILE = 'revisions.json';
const PROBE_BYTES = 8192;

export function chooseStateDir(option: string | undefined): string {
  return resolve(option ?? process.env.RUKUN_BRIDGE_STATE ?? './rukun-bridge-state');
}

/** Null when nobody enrolled here yet. */
export async function readConfig(state_dir: string): Promise<BridgeConfig | null> {
  const path = join(state_dir, CONFIG_FILE);
  const text = await readIfThere(path);
  if (text === null) return null;
  const config = BridgeConfig.safeParse(parseJson(text));
  if (config.success) return config.data;
  throw new SetupError(`${path} is damaged: enrol again with --again`);
}

export async function requireConfig(state_dir: string): Promise<BridgeConfig> {
  const config = await readConfig(state_dir);
  if (config) return config;
  throw new SetupError(`this bridge isn't enrolled (${state_dir}): run rukun-bridge enroll first`);
}

export async function writeConfig(state_dir: string, config: BridgeConfig): Promise<void> {
  await makeStateDir(state_dir);
  await replaceFile(join(state_dir, CONFIG_FILE), formatConfig(config));
}

export const formatConfig = (config: BridgeConfig): string => `${JSON.stringify(config, null, 2)}\n`;

/** What refused sign-ins are hashed with. */
export const deriveRefusalsKey = ({ refusals_key, signing_secret }: Omit<BridgeConfig, 'next'>): string =>
  refusals_key ?? createHmac('sha256', signing_secret).update('refused sign-ins').digest('base64url');

/** Makes the folder, ours alone, and sees that it can be written to. One that is there keeps its rights. */
export async function makeStateDir(state_dir: string): Promise<void> {
  await mkdir(state_dir, { recursive: true, mode: 0o700 });
  await probeStateDir(state_dir);
}

/** An empty file can be written to a full disk; what is kept here is up to some thousands of bytes. */
export async function probeStateDir(state_dir: string): Promise<void> {
  const probe = join(state_dir, `.${randomUUID()}`);
  try {
    await replaceFile(probe, randomBytes(PROBE_BYTES / 2).toString('hex'));
  } finally {
    await Promise.all([probe, `${probe}.new`].map(path => rm(path, { force: true }).catch(() => undefined)));
  }
}

export async function readBridgeVersion(): Promise<string> {
  const manifest = parseJson(await readFile(new URL('./package.json', import.meta.url), 'utf8'));
  return z.object({ version: z.string() }).parse(manifest).version;
}

interface RouterRecord {
  revision: number;
  sessions_to_end: Set<string>;
}

/**
 * Per router: the highest revision seen, and names whose secret was changed but whose live session may still be up.
 * Both are on disk before a router is touched, so that neither is forgotten in a crash.
 */
export class RouterJournal {
  readonly #path: string;
  readonly #records = new Map<string, RouterRecord>();
  #is_unsaved = false;
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(state_dir: string) {
    this.#path = join(state_dir, REVISIONS_FILE);
  }

  async load(): Promise<void> {
    const text = await readIfThere(this.#path);
    if (text === null) return;
    const revisions = Revisions.safeParse(parseJson(text));
    if (!revisions.success) {
      throw new SetupError(
        `${this.#path} is damaged: put a good copy back, or delete it to trust the next revision seen`,
      );
    }
    for (const [id, { revision, sessions_to_end }] of Object.entries(revisions.data)) {
      this.#records.set(id, { revision, sessions_to_end: new Set(sessions_to_end) });
    }
  }

  get router_ids(): string[] {
    return [...this.#records.keys()];
  }

  getRevision(router_id: string): number {
    return this.#records.get(router_id)?.revision ?? 0;
  }

  /** Known at once; on disk after save(). */
  noteRevision(router_id: string, revision: number): void {
    const record = this.#find(router_id);
    if (revision <= record.revision) return;
    record.revision = revision;
    this.#is_unsaved = true;
  }

  owesSession(router_id: string, name: string): boolean {
    return this.#records.get(router_id)?.sessions_to_end.has(name) ?? false;
  }

  noteSession(router_id: string, name: string): void {
    this.#find(router_id).sessions_to_end.add(name);
    this.#is_unsaved = true;
  }

  forgetSession(router_id: string, name: string): void {
    if (this.#find(router_id).sessions_to_end.delete(name)) this.#is_unsaved = true;
  }

  /** Resolves when all that was noted until now is on disk. */
  save(): Promise<void> {
    if (!this.#is_unsaved) return this.#last;
    if (this.#next) return this.#next;
    // one write waits at most, and takes along whatever is noted until it begins
    const write = async () => {
      this.#next = null;
      this.#is_unsaved = false;
      try {
        await replaceFile(this.#path, this.#write());
      } catch (error) {
        this.#is_unsaved = true;
        throw error;
      }
    };
    this.#next = this.#last.then(write, write);
    this.#next.catch(() => undefined);
    this.#last = this.#next;
    return this.#next;
  }

  #find(router_id: string): RouterRecord {
    const record = this.#records.get(router_id) ?? { revision: 0, sessions_to_end: new Set() };
    this.#records.set(router_id, record);
    return record;
  }

  #write(): string {
    const records = [...this.#records].map(([id, { revision, sessions_to_end }]) => {
      return [id, { revision, sessions_to_end: [...sessions_to_end] }] as const;
    });
    return `${JSON.stringify(Object.fromEntries(records))}\n`;
  }
}
