// `rukun-bridge enroll`: makes this bridge known to the cloud, once.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exportJWK, generateKeyPair } from 'jose';
import { z } from 'zod';
import { EnrolAnswer, EnrolRequest } from '../src/protocol/messages.ts';
import {
  BridgeConfig,
  chooseStateDir,
  CONFIG_FILE,
  makeStateDir,
  readBridgeVersion,
  readConfig,
  SetupError,
  writeConfig,
} from './config.ts';
import { SPOOL_FOLDER } from './spool.ts';
import { lockState } from './state-lock.ts';
import { WATCHED_FILE } from './watched.ts';

const HELP = `Usage: rukun-bridge enroll --url https://… --token TOKEN [options]

Makes this bridge known to Rukun with the one-time token that Rukun shows when a bridge is added.

  --url URL          Rukun's address, such as https://rukun.example.com (http only for this machine)
  --token TOKEN      the one-time token; RUKUN_ENROLMENT_TOKEN instead keeps it out of process lists
  --listen-url URL   where Rukun reaches this bridge, when it wasn't told before
  --state DIR        where this bridge keeps what it needs (RUKUN_BRIDGE_STATE, else ./rukun-bridge-state)
  --again            enrol although it is enrolled already: the old identity is overwritten
  --help             this text
`;

const ANSWER_TIMEOUT_MS = 30_000;
/** As the cloud takes it. */
const MOST_TOKEN = 300;
const LOOPBACK = /^(127\.0\.0\.1|\[::1\]|([a-z0-9-]+\.)?localhost)$/;

const CloudError = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

export interface EnrolOptions {
  url: string;
  token: string;
  listen_url?: string;
  state_dir: string;
  is_again: boolean;
}

export async function enroll(args: string[], signal: AbortSignal): Promise<number> {
  let options: EnrolOptions | null;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`${describe(error)}\nTry: rukun-bridge enroll --help\n`);
    return 2;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const config = await enrolBridge(options, signal);
    process.stdout.write(`bridge ${config.name} is enrolled; next: rukun-bridge run\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${describe(error)}\n`);
    return 1;
  }
}

/** The token works once, so all that can go wrong here is looked at before it is sent. */
export async function enrolBridge(options: EnrolOptions, signal?: AbortSignal): Promise<BridgeConfig> {
  const { state_dir, token } = options;
  const before = await readConfig(state_dir).catch(() => undefined);
  if (!options.is_again && before !== null) {
    throw new SetupError(`${state_dir} holds a ${CONFIG_FILE} already: --again overwrites it`);
  }
  if (token.length > MOST_TOKEN)
    throw new SetupError(`the token is too long (${token.length} characters): copy it alone`);
  await makeStateDir(state_dir);
  const lock = await lockState(state_dir);
  try {
    return await replaceIdentity(options, before ?? null, signal);
  } finally {
    await lock.release();
  }
}

async function replaceIdentity(
  { state_dir, url, token, listen_url }: EnrolOptions,
  before: BridgeConfig | null,
  signal?: AbortSignal,
): Promise<BridgeConfig> {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true });
  const { kty, crv, x, y } = await exportJWK(publicKey);
  const version = await readBridgeVersion();
  const request = EnrolRequest.parse({ token, public_key: { kty, crv, x, y }, version, url: listen_url });
  const answer = await askCloud(url, request, signal);
  const config = BridgeConfig.parse({ ...answer, cloud_url: url, private_key: await exportJWK(privateKey) });
  await writeConfig(state_dir, config);
  // sealed to the key before, and measured for the bridge before: neither is this one's
  await rm(join(state_dir, WATCHED_FILE), { force: true });
  if (answer.bridge_id !== before?.bridge_id) await rm(join(state_dir, SPOOL_FOLDER), { recursive: true, force: true });
  return config;
}

async function askCloud(url: string, request: EnrolRequest, signal?: AbortSignal): Promise<EnrolAnswer> {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(`${url}/api/v1/bridges/enroll`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    redirect: 'error',
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  }).catch((error: unknown) => {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : describe(error);
    throw new SetupError(`${url} can't be reached: ${cause}`);
  });
  const body: unknown = await response.json().catch(() => null);
  const answer = z.object({ success: z.literal(true), data: EnrolAnswer }).safeParse(body);
  if (answer.success) return answer.data.data;
  const refusal = CloudError.safeParse(body);
  if (!refusal.success) throw new SetupError(`${url} gave an answer that isn't Rukun's (status ${response.status})`);
  const { code, message } = refusal.data.error;
  throw new SetupError(`Rukun refused: ${message.replaceAll(request.token, '***')} (${code})`);
}

/** null where only the help was asked for. */
function readOptions(args: string[]): EnrolOptions | null {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: 'string' },
      token: { type: 'string' },
      'listen-url': { type: 'string' },
      state: { type: 'string' },
      again: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return null;
  const token = values.token ?? process.env.RUKUN_ENROLMENT_TOKEN ?? '';
  if (values.url === undefined) throw new Error('--url is missing');
  if (token === '') throw new Error('a token is needed: --token or RUKUN_ENROLMENT_TOKEN');
  const listen_url = values['listen-url'];
  return {
    url: readUrl('--url', values.url),
    token,
    listen_url: listen_url === undefined ? undefined : readUrl('--listen-url', listen_url),
    state_dir: chooseStateDir(values.state),
    is_again: values.again,
  };
}

/** Without a slash at its end. The answer holds the signing secret: in the clear only within this machine. */
function readUrl(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const is_safe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.test(url.hostname));
  if (!url || !is_safe) throw new Error(`${option} must begin with https:// (http:// only for this machine)`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

const describe = (error: unknown) => (error instanceof Error ? error.message : String(error));
