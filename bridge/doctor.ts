// `rukun-bridge doctor`: says in words what is right and what is not.
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HealthAnswer } from '../src/protocol/messages.ts';
import {
  equalSignatures,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signRequest,
  TIME_HEADER,
} from '../src/protocol/signature.ts';
import { type BridgeConfig, chooseStateDir, CONFIG_FILE, requireConfig } from './config.ts';

const HELP = `Usage: rukun-bridge doctor [options]

Looks at the state folder, the clock, the cloud and the running bridge, and says what is wrong.

  --port N      where \`run\` listens (8790)
  --state DIR   where this bridge keeps what it needs (RUKUN_BRIDGE_STATE, else ./rukun-bridge-state)
  --help        this text
`;

const MOST_CLOCK_DIFFERENCE_MS = 30_000;
const ANSWER_TIMEOUT_MS = 10_000;

export interface Finding {
  is_good: boolean;
  text: string;
}

const good = (text: string): Finding => ({ is_good: true, text });
const bad = (text: string): Finding => ({ is_good: false, text });

/** The exit code is 0 when nothing is wrong. */
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
  const findings = await examine(chooseStateDir(values.state), Number(values.port ?? 8790), signal);
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
  const findings = [good(`enrolled as ${config.name} with ${config.cloud_url}`)];
  const parts = [examineState(state_dir), examineCloud(config.cloud_url, signal), examineRun(config, port, signal)];
  return [...findings, ...(await Promise.all(parts)).flat()];
}

async function examineState(state_dir: string): Promise<Finding[]> {
  const modes = await Promise.all([state_dir, join(state_dir, CONFIG_FILE)].map(async path => (await stat(path)).mode));
  if (modes.every(mode => (mode & 0o077) === 0)) return [good(`${state_dir} is private`)];
  return [bad(`others may read ${state_dir}, which holds keys: chmod -R go= it`)];
}

async function examineCloud(url: string, signal?: AbortSignal): Promise<Finding[]> {
  const started_ms = Date.now();
  let response: Response;
  try {
    response = await fetch(url, { redirect: 'manual', signal: limitTime(signal) });
    await response.body?.cancel();
  } catch (error) {
    return [bad(`${url} doesn't answer: ${describe(error)}`)];
  }
  const answers = response.status < 500 ? good(`${url} answers`) : bad(`${url} answers with status ${response.status}`);
  const cloud_ms = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(cloud_ms)) return [answers, good('the cloud did not say what time it is')];
  const difference_ms = (started_ms + Date.now()) / 2 - cloud_ms;
  const words = `${Math.abs(Math.round(difference_ms / 1000))} s ${difference_ms > 0 ? 'ahead of' : 'behind'} the cloud`;
  if (Math.abs(difference_ms) <= MOST_CLOCK_DIFFERENCE_MS) return [answers, good('the clock is right')];
  return [answers, bad(`the clock is ${words}: set it by NTP, or requests are refused from 60 s on`)];
}

async function examineRun(config: BridgeConfig, port: number, signal?: AbortSignal): Promise<Finding[]> {
  const place = `127.0.0.1:${port}`;
  const [time_ms, nonce, path] = [Date.now(), randomUUID(), '/v1/health'];
  const signature = await signRequest(config.signing_secret, { time_ms, nonce, method: 'GET', path, body: '' });
  const headers = { [TIME_HEADER]: String(time_ms), [NONCE_HEADER]: nonce, [SIGNATURE_HEADER]: signature };
  try {
    const response = await fetch(`http://${place}${path}`, { headers, signal: limitTime(signal) });
    const body = await response.text();
    const expected = await signAnswer(config.signing_secret, nonce, response.status, body);
    if (!equalSignatures(expected, response.headers.get(SIGNATURE_HEADER) ?? '')) {
      return [bad(`something else, or a bridge with another identity, listens on ${place}: restart rukun-bridge run`)];
    }
    const health = HealthAnswer.parse(JSON.parse(body));
    return [good(`run listens on ${place}`), ...health.routers.map(describeRouter)];
  } catch (error) {
    return [bad(`run doesn't answer on ${place}: ${describe(error)}`)];
  }
}

function describeRouter({ id, state }: { id: string; state: string }): Finding {
  if (state === 'refused') return bad(`router ${id} refuses the sign-in: put its password right in Rukun`);
  if (state === 'unreachable') return bad(`router ${id} could not be reached when it was last tried`);
  return good(`router ${id} is ${state}`);
}

function limitTime(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
