/** Watches over `cloudflared tunnel run`: the way from the Worker to this bridge. */
import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { get } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HealthAnswer } from '../src/protocol/messages.ts';
import { Backoff, pause } from './backoff.ts';
import type { Log } from './log.ts';

export type TunnelState = HealthAnswer['tunnel'];

export interface TunnelOptions {
  /** Undefined: no tunnel. */
  token: string | undefined;
  /** A name to be found in PATH, or a path. */
  command: string;
  log: Log;
  random: () => number;
  poll_ms?: number;
  /** Not ready for so long: it hangs. */
  hang_ms?: number;
  /** From SIGTERM to SIGKILL. */
  stop_ms?: number;
  first_wait_ms?: number;
  most_wait_ms?: number;
  /** Up for so long without a break, its past failures are forgotten. */
  steady_ms?: number;
}

const DEFAULTS = {
  poll_ms: 2_000,
  hang_ms: 60_000,
  stop_ms: 3_000,
  first_wait_ms: 2_000,
  most_wait_ms: 120_000,
  steady_ms: 60_000,
};
const READY_LIMIT_MS = 2_000;
const MOST_LINE_LENGTH = 500;
const MOST_LINES_A_RUN = 200;
/** Linux ends it with us even when we are killed; elsewhere the supervisor must. */
const SETPRIV = '/usr/bin/setpriv';

interface Run {
  child: ChildProcess;
  metrics_port: number;
  /** Resolves with how it ended. */
  ended: Promise<string>;
}

/** States: off (no token) · starting → up ⇄ starting (not ready) → waiting (ended, hung or can't start) → starting. */
export class Tunnel {
  readonly #options: TunnelOptions & typeof DEFAULTS;
  #state: TunnelState = 'off';

  constructor(options: TunnelOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  get state(): TunnelState {
    return this.#state;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { token, log, random, first_wait_ms, most_wait_ms } = this.#options;
    if (!token) return;
    const backoff = new Backoff({ first_ms: first_wait_ms, most_ms: most_wait_ms, random });
    while (!signal.aborted) {
      this.#setState('starting');
      const reason = await this.#runOnce(token, backoff, signal).catch((error: unknown) => describeStart(error));
      if (signal.aborted) break;
      this.#setState('waiting');
      const wait_ms = backoff.next();
      log('tunnel_ended', { reason, again_in_ms: wait_ms });
      await pause(wait_ms, signal);
    }
    this.#state = 'off';
  }

  /** Answers why it ended. */
  async #runOnce(token: string, backoff: Backoff, signal: AbortSignal): Promise<string> {
    const run = await this.#start(token);
    const killAtExit = () => run.child.kill('SIGKILL');
    process.once('exit', killAtExit);
    let end: string | null = null;
    void run.ended.then(how => (end = how));
    try {
      const is_over = () => end !== null || signal.aborted;
      const hung = await this.#watch(run, backoff, is_over, signal);
      if (end === null) await this.#stop(run);
      return hung ?? end ?? 'stopped';
    } finally {
      process.off('exit', killAtExit);
    }
  }

  /** Asks whether it is ready until it has ended or hangs; answers the latter in words. */
  async #watch(run: Run, backoff: Backoff, is_over: () => boolean, signal: AbortSignal): Promise<string | null> {
    const { poll_ms, hang_ms, steady_ms } = this.#options;
    // one for the whole run: what is hung on `ended` at each poll stays there as long as cloudflared runs
    const over = new AbortController();
    void run.ended.then(() => over.abort());
    let ready_ms = performance.now();
    let up_ms: number | null = null;
    while (!is_over()) {
      const is_ready = await askReady(run.metrics_port);
      if (is_over()) break;
      this.#setState(is_ready ? 'up' : 'starting');
      up_ms = is_ready ? (up_ms ?? performance.now()) : null;
      if (is_ready) ready_ms = performance.now();
      if (up_ms !== null && performance.now() - up_ms >= steady_ms) backoff.reset();
      if (performance.now() - ready_ms >= hang_ms) return `it was not ready for ${Math.round(hang_ms / 1000)} s`;
      await pause(poll_ms, signal, over.signal);
    }
    return null;
  }

  async #start(token: string): Promise<Run> {
    const command = await findCommand(this.#options.command);
    const metrics_port = await findFreePort();
    const args = ['tunnel', '--no-autoupdate', '--metrics', `127.0.0.1:${metrics_port}`, 'run'];
    const has_setpriv = process.platform === 'linux' && (await isExecutable(SETPRIV));
    const [file, all] = has_setpriv ? [SETPRIV, ['--pdeathsig', 'KILL', '--', command, ...args]] : [command, args];
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RUKUN_') && name !== 'NODE_OPTIONS');
    const child = spawn(file, all, {
      env: { ...Object.fromEntries(own), TUNNEL_TOKEN: token },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = new Promise<string>(resolve => {
      child.once('error', error => resolve(describeStart(error)));
      child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `exit code ${code}`}`));
    });
    this.#logWords(child, token);
    return { child, metrics_port, ended };
  }

  async #stop({ child, ended }: Run): Promise<void> {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#options.stop_ms);
    await ended;
    clearTimeout(timer);
  }

  #logWords(child: ChildProcess, token: string): void {
    const secrets = listSecrets(token);
    let count = 0;
    if (!child.stderr) return;
    child.stderr.on('error', () => undefined);
    createInterface({ input: child.stderr }).on('line', line => {
      // what it has to say stands at its start; a tunnel that flaps for days must not fill the disk
      if (++count > MOST_LINES_A_RUN) return;
      let text = line;
      for (const secret of secrets) text = text.replaceAll(secret, '***');
      this.#options.log('tunnel_said', { line: text.slice(0, MOST_LINE_LENGTH), is_last: count === MOST_LINES_A_RUN });
    });
  }

  #setState(state: TunnelState): void {
    if (state === this.#state) return;
    this.#options.log('tunnel_state', { from: this.#state, to: state });
    this.#state = state;
  }
}

/** The token and what is in it: base64 of {"a": account, "t": tunnel, "s": secret}. */
function listSecrets(token: string): string[] {
  try {
    const { s } = JSON.parse(Buffer.from(token, 'base64').toString('utf8')) as { s?: unknown };
    return typeof s === 'string' && s !== '' ? [token, s] : [token];
  } catch {
    return [token];
  }
}

function askReady(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const request = get(
      { host: '127.0.0.1', port, path: '/ready', agent: false, timeout: READY_LIMIT_MS },
      response => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
    request.on('close', () => resolve(false));
  });
}

class CommandMissing extends Error {}

async function findCommand(command: string): Promise<string> {
  const folders = command.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  for (const folder of folders) {
    const path = folder === '' ? command : join(folder, command);
    if (await isExecutable(path)) return path;
  }
  throw new CommandMissing(
    `${command} isn't there or can't be run: install cloudflared, or name it with --cloudflared`,
  );
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Somebody may take it before cloudflared does; then that ends and is started again with another. */
async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

function describeStart(error: unknown): string {
  if (error instanceof CommandMissing) return error.message;
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  return `it could not be started${code}`;
}
