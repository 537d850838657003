/** A bridge on a state folder of its own, and the Worker's part of the talk with it. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompactEncrypt, exportJWK, generateKeyPair, importJWK } from 'jose';
import { ApplyAnswer, BridgeError, DisconnectAnswer, ReadAnswer } from '../../src/protocol/messages.ts';
import type {
  ApplyRequest,
  DesiredEntry,
  EntryResult,
  ReadRequest,
  RouterAccess,
} from '../../src/protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  hashText,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signRequest,
  TIME_HEADER,
} from '../../src/protocol/signature.ts';
import type { BridgeTools } from '../apply/apply.ts';
import { RouterPool } from '../apply/router-pool.ts';
import { RouterQueue } from '../apply/router-queue.ts';
import { makeSealedOpener } from '../apply/sealed.ts';
import { BridgeConfig, RouterJournal, writeConfig } from '../config.ts';
import { BridgeKeys } from '../keys.ts';
import { makeLog } from '../log.ts';
import { type BridgeOptions, type RunningBridge, startBridge } from '../run.ts';

export const ROUTER_PASSWORD = 'router-Pa55word-7731';

export interface Sent {
  status: number;
  text: string;
  headers: Headers;
  nonce: string;
  is_signed_right: boolean;
}

export interface SendOptions {
  time_ms?: number;
  nonce?: string;
  secret?: string;
  /** Sent instead of what was signed. */
  body_sent?: string;
  path_sent?: string;
  method_sent?: string;
  /** False: as callers that don't say ahead what they will send. */
  tells_hash?: boolean;
  headers?: Record<string, string>;
}

export type Desired = Partial<Omit<ApplyRequest, 'router' | 'sealed' | 'entries'>> & {
  /** Both are entries of the apply, in this order; most tests have some of each. */
  profiles?: DesiredEntry[];
  items?: DesiredEntry[];
  router?: Partial<RouterAccess>;
  router_password?: string;
  passwords?: Record<string, string>;
};

export interface ReadOptions {
  name?: string | null;
  most_age_ms?: number;
  router?: Partial<RouterAccess>;
  router_password?: string;
}

export interface Failure {
  status: number;
  code: string;
  message: string;
}

export class TestBridge {
  readonly state_dir: string;
  readonly config: BridgeConfig;
  readonly log_lines: string[] = [];
  readonly answers: string[] = [];
  readonly router_id = randomUUID();
  running: RunningBridge | null = null;
  router_port = 0;
  revision = 1;

  constructor(state_dir: string, config: BridgeConfig) {
    this.state_dir = state_dir;
    this.config = config;
  }

  static async make(): Promise<TestBridge> {
    const { privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true });
    const config = BridgeConfig.parse({
      bridge_id: randomUUID(),
      tenant_id: randomUUID(),
      name: 'Gudang',
      cloud_url: 'http://127.0.0.1:1',
      signing_secret: randomBytes(32).toString('base64url'),
      private_key: await exportJWK(privateKey),
    });
    const state_dir = await mkdtemp(join(tmpdir(), 'rukun-bridge-'));
    await writeConfig(state_dir, config);
    return new TestBridge(state_dir, config);
  }

  async start(options: Partial<BridgeOptions> = {}): Promise<void> {
    const log = makeLog(line => this.log_lines.push(line));
    this.running = await startBridge({ state_dir: this.state_dir, port: 0, log, ...options });
  }

  async stop(): Promise<void> {
    await this.running?.stop();
    this.running = null;
  }

  async end(): Promise<void> {
    await this.stop();
    await rm(this.state_dir, { recursive: true });
  }

  /** Secrets that stand in its answers or its log: there must be none. */
  listToldSecrets(): string[] {
    const said = [...this.answers, ...this.log_lines].join('\n');
    return [ROUTER_PASSWORD, 'secret-of-', this.config.signing_secret].filter(secret => said.includes(secret));
  }

  /** What the handlers of a bridge work with, on this one's state folder. */
  async makeTools(): Promise<BridgeTools> {
    const openSealed = makeSealedOpener(
      new BridgeKeys({ state_dir: this.state_dir, config: this.config, log: () => undefined }),
    );
    const journal = new RouterJournal(this.state_dir);
    return { journal, pool: new RouterPool(), queue: new RouterQueue(), openSealed };
  }

  async send(method: string, path: string, body = '', options: SendOptions = {}): Promise<Sent> {
    const { time_ms = Date.now(), nonce = randomUUID(), secret = this.config.signing_secret } = options;
    const signature = await signRequest(secret, { time_ms, nonce, method, path, body });
    const method_sent = options.method_sent ?? method;
    const response = await fetch(`http://127.0.0.1:${this.running?.port}${options.path_sent ?? path}`, {
      method: method_sent,
      headers: {
        [TIME_HEADER]: String(time_ms),
        [NONCE_HEADER]: nonce,
        [SIGNATURE_HEADER]: signature,
        ...(options.tells_hash === false ? {} : { [BODY_HASH_HEADER]: await hashText(body) }),
        ...options.headers,
      },
      ...(method_sent === 'GET' ? {} : { body: options.body_sent ?? body }),
    });
    const text = await response.text();
    this.answers.push(text);
    const expected = await signAnswer(secret, nonce, response.status, text);
    const is_signed_right = response.headers.get(SIGNATURE_HEADER) === expected;
    return { status: response.status, text, headers: response.headers, nonce, is_signed_right };
  }

  async seal(part: unknown): Promise<string> {
    const { kty, crv, x, y } = this.config.private_key;
    const key = await importJWK({ kty, crv, x, y }, 'ECDH-ES');
    const plaintext = new TextEncoder().encode(JSON.stringify(part));
    return new CompactEncrypt(plaintext).setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' }).encrypt(key);
  }

  async writeApply(desired: Desired): Promise<string> {
    const { router, router_password = ROUTER_PASSWORD, passwords = {}, profiles = [], items = [], ...rest } = desired;
    return JSON.stringify({
      router: this.describeRouter(router),
      revision: this.revision,
      entries: [...profiles, ...items],
      dry_run: false,
      is_whole: false,
      sealed: await this.seal({ router_password, item_passwords: passwords }),
      ...rest,
    } satisfies ApplyRequest);
  }

  describeRouter(changes: Partial<RouterAccess> = {}): RouterAccess {
    const { router_id, router_port } = this;
    const access = { id: router_id, host: '127.0.0.1', port: router_port, username: 'rukun' };
    return { ...access, use_tls: false, tls_fingerprint: null, tls_anonymous_dh: false, ...changes };
  }

  async apply(desired: Desired): Promise<ApplyAnswer & { profiles: EntryResult[]; items: EntryResult[] }> {
    const sent = await this.send('POST', '/v1/apply', await this.writeApply(desired));
    if (sent.status !== 200 || !sent.is_signed_right) throw new Error(`${sent.status} ${sent.text}`);
    const answer = ApplyAnswer.parse(JSON.parse(sent.text));
    const count = desired.profiles?.length ?? 0;
    return { ...answer, profiles: answer.entries.slice(0, count), items: answer.entries.slice(count) };
  }

  async writeRead(what: ReadRequest['what'], options: ReadOptions = {}): Promise<string> {
    const { router, router_password = ROUTER_PASSWORD, ...rest } = options;
    const sealed = await this.seal({ router_password, item_passwords: {} });
    const request = { router: this.describeRouter(router), sealed, what, name: null, most_age_ms: 0, ...rest };
    return JSON.stringify(request satisfies ReadRequest);
  }

  async read(what: ReadRequest['what'], options: ReadOptions = {}): Promise<ReadAnswer> {
    const sent = await this.send('POST', '/v1/read', await this.writeRead(what, options));
    if (sent.status !== 200 || !sent.is_signed_right) throw new Error(`${sent.status} ${sent.text}`);
    return ReadAnswer.parse(JSON.parse(sent.text));
  }

  /** The rows with the names of their columns; what the router didn't give is left out. */
  async readRows(what: ReadRequest['what'], options: ReadOptions = {}): Promise<Record<string, string>[]> {
    const { properties, rows } = await this.read(what, options);
    return rows.map(row =>
      Object.fromEntries(properties.flatMap((name, at) => (row[at] == null ? [] : [[name, row[at]]]))),
    );
  }

  async failRead(what: ReadRequest['what'], options: ReadOptions = {}): Promise<Failure> {
    return this.#readFailure(await this.send('POST', '/v1/read', await this.writeRead(what, options)));
  }

  async writeDisconnect(name: string, router_password = ROUTER_PASSWORD): Promise<string> {
    const sealed = await this.seal({ router_password, item_passwords: {} });
    return JSON.stringify({ router: this.describeRouter(), sealed, name });
  }

  async disconnect(name: string): Promise<number> {
    const sent = await this.send('POST', '/v1/disconnect', await this.writeDisconnect(name));
    if (sent.status !== 200 || !sent.is_signed_right) throw new Error(`${sent.status} ${sent.text}`);
    return DisconnectAnswer.parse(JSON.parse(sent.text)).sessions_ended;
  }

  async failDisconnect(name: string): Promise<Failure> {
    return this.#readFailure(await this.send('POST', '/v1/disconnect', await this.writeDisconnect(name)));
  }

  async failApply(desired: Desired): Promise<Failure> {
    return this.#readFailure(await this.send('POST', '/v1/apply', await this.writeApply(desired)));
  }

  #readFailure(sent: Sent): Failure {
    if (sent.status === 200 || !sent.is_signed_right) throw new Error(`${sent.status} ${sent.text}`);
    return { status: sent.status, ...BridgeError.parse(JSON.parse(sent.text)).error };
  }
}

const ENTRY = { generation: 1, adopt: false, was_ours: false, release: false, leans_on: null, line: null };

export function makeProfile(changes: Partial<DesiredEntry> = {}): DesiredEntry {
  const fields = { 'rate-limit': '5M/10M', 'local-address': '10.10.0.1' };
  const key = changes.key ?? 'paket-10m';
  return {
    ...ENTRY,
    ref: `profile:${key}`,
    kind: 'ppp_profile',
    key,
    marker: 'rukun:plan:0193a2b4',
    fields,
    ...changes,
  };
}

type ItemChanges = Partial<DesiredEntry> & {
  /** Null: it must not be there. An address is managed where one is named, also when that is empty. */
  desired?: { profile?: string; disabled?: boolean; remote_address?: string } | null;
  password_written?: boolean;
  end_session?: boolean;
};

/** A PPP secret. */
export function makeItem(name: string, item: ItemChanges = {}): DesiredEntry {
  const { desired, password_written = false, end_session = false, ...changes } = item;
  const { profile = 'paket-10m', disabled = false, remote_address } = desired ?? {};
  const address: Record<string, string> = remote_address === undefined ? {} : { 'remote-address': remote_address };
  return {
    ...ENTRY,
    ref: `line-${name}`,
    kind: 'ppp_secret',
    key: name,
    marker: `rukun:C-${name}`,
    fields: desired === null ? null : { profile, disabled: disabled ? 'yes' : 'no', ...address },
    leans_on: desired === null ? null : `profile:${profile}`,
    line: { password_written, end_session, same_service: [] },
    ...changes,
  };
}

/** An entry of another kind. */
export const makeEntry = (
  kind: DesiredEntry['kind'],
  key: string,
  fields: DesiredEntry['fields'],
  changes: Partial<DesiredEntry> = {},
): DesiredEntry => ({ ...ENTRY, ref: `${kind} ${key}`, kind, key, marker: 'rukun:C-1', fields, ...changes });

export const passwordOf = (name: string) => `secret-of-${name}-99`;
export const passwordsOf = (...names: string[]) =>
  Object.fromEntries(names.map(name => [`line-${name}`, passwordOf(name)]));
