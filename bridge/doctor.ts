// `rukun-bridge doctor`: says in words what is right and what is not.
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HealthAnswer, type ReportRequest, type RouterAccess, type Watched } from '../src/protocol/messages.ts';
import {
  equalSignatures,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signRequest,
  TIME_HEADER,
} from '../src/protocol/signature.ts';
import { explainRouterError } from './apply/failure.ts';
import { Refusals } from './apply/refusals.ts';
import { nameCredentials } from './apply/router-pool.ts';
import {
  type BridgeConfig,
  chooseStateDir,
  CONFIG_FILE,
  deriveRefusalsKey,
  probeStateDir,
  readBridgeVersion,
  requireConfig,
} from './config.ts';
import { parseJson } from './files.ts';
import { BridgeKeys } from './keys.ts';
import { SeenAnswer } from './link.ts';
import { Lanes } from './measure/lanes.ts';
import { postText } from './post-text.ts';
import { ReportFailure, sendReport } from './report.ts';
import { RouterConnection } from './routeros/connection.ts';
import { lookAtSpool } from './spool.ts';
import { WATCHED_FILE, WatchedStore } from './watched.ts';

const HELP = `Usage: rukun-bridge doctor [options]

Looks at the state folder, the clock, the cloud, the running bridge, the tunnel, what waits to be sent, and each router,
and says what is wrong and what to do. Where \`run\` doesn't run, it signs in to the routers by itself.

  --port N      where \`run\` listens (8790)
  --state DIR   where this bridge keeps what it needs (RUKUN_BRIDGE_STATE, else ./rukun-bridge-state)
  --help        this text

The exit code is 0 when nothing is wrong, and 1 otherwise.
`;

const MOST_CLOCK_DIFFERENCE_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;
const ROUTERS_AT_ONCE = 4;
/** Older than this, something holds up the sending. */
const MOST_WAIT_MS = 15 * 60_000;

export interface Finding {
  is_good: boolean;
  text: string;
}

const good = (text: string): Finding => ({ is_good: true, text });
const bad = (text: string): Finding => ({ is_good: false, text });

export async function doctor(args: string[], signal: AbortSignal): Promise<number> {
  const options = {
    port: { type: 'string' },
    state: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  let values: { port?: string; state?: string; help?: boolean };
  try {
    values = parseArgs({ args, options }).values;
  } catch (error) {
    process.stderr.write(`${describe(error)}\nTry: rukun-bridge doctor --help\n`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const port = Number(values.port ?? 8790);
  if (!/^\d+$/.test(values.port ?? '8790') || port < 1 || port > 65_535) {
    process.stderr.write(`--port must be 1 to 65535; got ${values.port}\nTry: rukun-bridge doctor --help\n`);
    return 2;
  }
  const findings = await examine(chooseStateDir(values.state), port, signal);
  for (const { is_good, text } of findings) process.stdout.write(`${is_good ? 'ok ' : 'BAD'}  ${text}\n`);
  return findings.every(({ is_good }) => is_good) ? 0 : 1;
}

export async function examine(state_dir: string, port: number, signal?: AbortSignal): Promise<Finding[]> {
  let config: BridgeConfig;
  try {
    config = await requireConfig(state_dir);
  } catch (error) {
    return [bad(describe(error))];
  }
  const complaints: string[] = [];
  const log = (event: string) => void complaints.push(event);
  const keys = new BridgeKeys({ state_dir, config, log });
  const store = new WatchedStore({ state_dir, keys, log });
  await store.load();
  const watched = store.current;
  const parts = [
    examineState(state_dir),
    examineCloud(config, keys, watched, signal),
    examineRun(keys, port, watched, signal).then(
      found => found ?? examineAlone(store, state_dir, config, place(port), signal),
    ),
    examineWatched(watched, complaints),
    examineSpool(state_dir),
  ];
  return [good(`enrolled as ${config.name} with ${config.cloud_url}`), ...(await Promise.all(parts)).flat()];
}

async function examineState(state_dir: string): Promise<Finding[]> {
  return await Promise.all([examineRights(state_dir), examineDisk(state_dir)]);
}

async function examineDisk(state_dir: string): Promise<Finding> {
  try {
    await probeStateDir(state_dir);
    return good(`${state_dir} can be written to`);
  } catch (error) {
    return bad(`${state_dir} can't be written to: ${describe(error)}; look at its disk and its owner`);
  }
}

async function examineRights(state_dir: string): Promise<Finding> {
  const modes = await Promise.all([state_dir, join(state_dir, CONFIG_FILE)].map(async path => (await stat(path)).mode));
  if (modes.every(mode => (mode & 0o077) === 0)) return good(`${state_dir} is private`);
  return bad(`others may read ${state_dir}, which holds keys: chmod -R go= it`);
}

async function examineCloud(
  config: BridgeConfig,
  keys: BridgeKeys,
  watched: Watched | null,
  signal?: AbortSignal,
): Promise<Finding[]> {
  const url = config.cloud_url;
  const started_ms = Date.now();
  let response: Response;
  try {
    response = await fetch(url, { redirect: 'manual', signal: limitTime(signal) });
    await response.body?.cancel();
  } catch (error) {
    return [bad(`${url} doesn't answer: ${describe(error)}; look at the internet connection, DNS and firewall`)];
  }
  if (response.status >= 500) return [bad(`${url} answers with status ${response.status}: try again later`)];
  const enrolment = await examineEnrolment(config, keys, watched, signal);
  return [good(`${url} answers`), tellClock(started_ms, response.headers.get('date')), enrolment];
}

function tellClock(started_ms: number, date: string | null): Finding {
  const cloud_ms = Date.parse(date ?? '');
  if (Number.isNaN(cloud_ms)) return good('the cloud did not say what time it is');
  const difference_ms = (started_ms + Date.now()) / 2 - cloud_ms;
  const words = `${Math.abs(Math.round(difference_ms / 1000))} s ${difference_ms > 0 ? 'ahead of' : 'behind'} the cloud`;
  if (Math.abs(difference_ms) <= MOST_CLOCK_DIFFERENCE_MS) return good('the clock is right');
  return bad(`the clock is ${words}: set it by NTP, or requests are refused from 60 s on`);
}

/** A report of which nothing is kept: the one way to know that the cloud still knows this bridge. */
async function examineEnrolment(
  config: BridgeConfig,
  keys: BridgeKeys,
  watched: Watched | null,
  signal?: AbortSignal,
): Promise<Finding> {
  const version = await readBridgeVersion();
  const request = {
    version,
    watched_tag: watched?.tag ?? null,
    is_check: true,
    batch: null,
    batches_waiting: 0,
  } satisfies ReportRequest;
  const step = { config, keys, post: postText, now: Date.now, time_ms: Date.now(), body: JSON.stringify(request) };
  try {
    await sendReport({ ...step, signal: limitTime(signal) });
    return good('the cloud knows this bridge and takes its reports');
  } catch (error) {
    return bad(`the cloud doesn't take reports: ${error instanceof ReportFailure ? error.message : describe(error)}`);
  }
}

/** Null where nothing answers. */
async function examineRun(
  keys: BridgeKeys,
  port: number,
  watched: Watched | null,
  signal?: AbortSignal,
): Promise<Finding[] | null> {
  const answer = await askRun(keys, port, '/v1/health', signal);
  if (answer === null) return null;
  if (answer === 'not ours') {
    return [
      bad(`something else, or a bridge with another identity, listens on ${place(port)}: restart rukun-bridge run`),
    ];
  }
  const health = HealthAnswer.safeParse(parseJson(answer));
  if (!health.success) return [bad(`another version of the bridge runs on ${place(port)}: restart rukun-bridge run`)];
  const { tunnel, routers } = health.data;
  const seen = SeenAnswer.safeParse(parseJson((await askRun(keys, port, '/v1/seen', signal)) ?? ''));
  const errors = new Map(seen.data?.routers.map(({ id, error }) => [id, error]));
  const names = new Map(watched?.routers.map(router => [router.id, nameRouter(router)]));
  const listed = routers.map(({ id, state }) =>
    describeRouter(names.get(id) ?? `router ${id}`, state, errors.get(id) ?? null),
  );
  return [good(`run listens on ${place(port)}`), describeTunnel(tunnel), ...listed];
}

/** The body of the running bridge's answer; null where nothing answers. */
async function askRun(keys: BridgeKeys, port: number, path: string, signal?: AbortSignal): Promise<string | null> {
  const [present, next] = keys.secrets;
  const answer = await askSigned(present!, port, path, signal);
  // in the moment of a rotation; not the next one first, since its use ends the present one
  return answer === 'not ours' && next !== undefined ? askSigned(next, port, path, signal) : answer;
}

async function askSigned(secret: string, port: number, path: string, signal?: AbortSignal): Promise<string | null> {
  const [time_ms, nonce] = [Date.now(), randomUUID()];
  const signature = await signRequest(secret, { time_ms, nonce, method: 'GET', path, body: '' });
  const headers = { [TIME_HEADER]: String(time_ms), [NONCE_HEADER]: nonce, [SIGNATURE_HEADER]: signature };
  let response: Response;
  try {
    response = await fetch(`http://${place(port)}${path}`, { headers, signal: limitTime(signal) });
  } catch {
    return null;
  }
  const body = await response.text().catch(() => '');
  const expected = await signAnswer(secret, nonce, response.status, body);
  return equalSignatures(expected, response.headers.get(SIGNATURE_HEADER) ?? '') ? body : 'not ours';
}

function describeTunnel(tunnel: HealthAnswer['tunnel']): Finding {
  if (tunnel === 'up') return good('the tunnel is up');
  if (tunnel === 'off')
    return good('no tunnel: run was started without TUNNEL_TOKEN, so Rukun must reach it otherwise');
  if (tunnel === 'starting') return bad('the tunnel is just being started: ask again in a minute');
  return bad("cloudflared ended or hangs: see run's log; is it installed, and is TUNNEL_TOKEN this tunnel's?");
}

/** Beside how it is connected, what its last measurement ran into: one may sign in and then say nothing. */
function describeRouter(name: string, state: HealthAnswer['routers'][number]['state'], error: string | null): Finding {
  if (state === 'refused') return bad(`${name} refuses the sign-in: put its user and password right in Rukun`);
  if (state === 'waiting') return bad(`${name} can't be reached: look at its power, the network, and /ip service api`);
  return error === null ? good(`${name} is ${state}`) : bad(`${name} is ${state}, but: ${error}`);
}

/** What `run` would say of the routers, where it doesn't run: one try each. */
async function examineAlone(
  store: WatchedStore,
  state_dir: string,
  config: BridgeConfig,
  at: string,
  signal?: AbortSignal,
): Promise<Finding[]> {
  const refusals = new Refusals({ state_dir, secret: deriveRefusalsKey(config) });
  await refusals.load();
  const passwords = await store.openPasswords();
  const lanes = new Lanes(ROUTERS_AT_ONCE);
  const routers = (store.current?.routers ?? []).map(router => {
    const password = passwords.get(router.id);
    // an empty one would be a wrong one, and firewalls ban for that
    if (!password) return bad(`${nameRouter(router)} was not tried: Rukun gave no password for it`);
    const refusal = refusals.find(router.id, nameCredentials({ ...router, password }));
    if (refusal !== null) return bad(`${nameRouter(router)} refused the sign-in, and is not tried again: ${refusal}`);
    return lanes.run(() => tryRouter(router, password, signal));
  });
  return [bad(`run doesn't answer on ${at}: start rukun-bridge run`), ...(await Promise.all(routers))];
}

async function tryRouter(router: RouterAccess, password: string, signal?: AbortSignal): Promise<Finding> {
  const { host, port, username, use_tls, tls_fingerprint, tls_anonymous_dh } = router;
  const tls = use_tls ? { fingerprint: tls_fingerprint ?? undefined, anonymous_dh: tls_anonymous_dh } : undefined;
  try {
    const connection = await RouterConnection.open({ host, port, username, password, tls }, signal);
    await connection.close();
    return good(`${nameRouter(router)} can be signed in to`);
  } catch (error) {
    return bad(describe(explainRouterError(error, router)));
  }
}

async function examineWatched(watched: Watched | null, complaints: readonly string[]): Promise<Finding[]> {
  if (complaints.includes('watched_not_ours')) {
    return [bad(`${WATCHED_FILE} is sealed to another key: run asks the cloud for it anew`)];
  }
  if (complaints.length > 0) return [bad(`${WATCHED_FILE} is damaged: run asks the cloud for it anew`)];
  if (!watched) return [good('the cloud has not yet said what is to be watched')];
  return [good(`${watched.routers.length} routers and ${watched.devices.length} devices are watched`)];
}

async function examineSpool(state_dir: string): Promise<Finding[]> {
  const { waiting, oldest_ms, set_aside } = await lookAtSpool(state_dir);
  const [first] = set_aside;
  const aside = first
    ? [bad(`${set_aside.length} batches of measurements were set aside, such as ${first}: run's log says why`)]
    : [];
  if (oldest_ms === null) return [good('no measurements wait to be sent'), ...aside];
  const age_ms = Date.now() - oldest_ms;
  const words = `${waiting} batches of measurements wait to be sent, the oldest for ${Math.round(age_ms / 60_000)} min`;
  const is_old = age_ms > MOST_WAIT_MS;
  return [is_old ? bad(`${words}: they go when the cloud can be reached and run runs`) : good(words), ...aside];
}

const place = (port: number) => `127.0.0.1:${port}`;
const nameRouter = ({ host, port }: RouterAccess) => `the router at ${host}:${port}`;

function limitTime(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
