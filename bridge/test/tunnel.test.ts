import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { Backoff } from '../backoff.ts';
import { makeLog } from '../log.ts';
import { Tunnel, type TunnelOptions, type TunnelState } from '../tunnel.ts';
import { eventually } from '../../test/support/eventually.ts';
import { makeSkipTime } from './skip-time.ts';

const TOKEN = Buffer.from(JSON.stringify({ a: 'account', t: 'tunnel', s: 'inner-s3cret' })).toString('base64');
const FAKE = fileURLToPath(new URL('./fake-cloudflared.ts', import.meta.url));

interface Note {
  pid: number;
  mode?: string;
  args?: string[];
  has_token?: boolean;
  rukun?: string[];
  signal?: string;
}

let folder = '';
let command = '';
let log_lines: string[] = [];
let states: TunnelState[] = [];
let stop: () => Promise<void> = async () => undefined;

const plan = (mode: string) => writeFile(join(folder, 'plan.json'), JSON.stringify({ mode }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rukun-tunnel-'));
  command = join(folder, 'cloudflared');
  const file = (name: string) => join(folder, name);
  await writeFile(
    command,
    `#!/bin/sh\nexec "${process.execPath}" "${FAKE}" "${file('plan.json')}" "${file('notes')}" "$@"\n`,
  );
  await chmod(command, 0o755);
  [log_lines, states] = [[], []];
});

afterEach(async () => {
  await stop();
  stop = async () => undefined;
  for (const { pid } of await readNotes()) expect(isAlive(pid)).toBe(false);
  await rm(folder, { recursive: true });
  const said = log_lines.join('');
  expect(said).not.toContain(TOKEN);
  expect(said).not.toContain('inner-s3cret');
});

async function readNotes(): Promise<Note[]> {
  const text = await readFile(join(folder, 'notes'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Note);
}

const countStarts = async () => (await readNotes()).filter(note => note.args).length;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function start(options: Partial<TunnelOptions> = {}): Tunnel {
  const log = makeLog(line => {
    log_lines.push(line);
    const { event, to } = JSON.parse(line) as { event: string; to?: TunnelState };
    if (event === 'tunnel_state' && to) states.push(to);
  });
  // what it takes to start a program and to hear from it is nobody's fault
  const waits = { poll_ms: 30, hang_ms: 60_000, stop_ms: 60_000, first_wait_ms: 20, most_wait_ms: 100 };
  const tunnel = new Tunnel({ token: TOKEN, command, log, random: () => 1, ...waits, ...options });
  const controller = new AbortController();
  const running = tunnel.run(controller.signal);
  stop = async () => {
    controller.abort();
    await running;
  };
  return tunnel;
}

test('runs cloudflared with the token in its environment alone, and ends it', async () => {
  await plan('ready');
  process.env.RUKUN_ENROLMENT_TOKEN = 'not-for-it';
  const tunnel = start();
  await eventually(() => expect(tunnel.state).toBe('up'));
  delete process.env.RUKUN_ENROLMENT_TOKEN;
  const [note] = await readNotes();
  expect(note?.args).toEqual([
    'tunnel',
    '--no-autoupdate',
    '--metrics',
    expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    'run',
  ]);
  expect(note).toMatchObject({ has_token: true, rukun: [] });
  expect(log_lines.join()).toContain('Starting tunnel with token ***');
  await stop();
  expect(tunnel.state).toBe('off');
  expect((await readNotes()).at(-1)).toMatchObject({ signal: 'SIGTERM' });
});

test('starts it again when it crashes, until it stays', async () => {
  await plan('crash');
  const tunnel = start();
  await eventually(async () => expect(await countStarts()).toBeGreaterThan(2));
  expect(log_lines.join()).toContain('it ended with exit code 3');
  await plan('ready');
  await eventually(() => expect(tunnel.state).toBe('up'));
  expect(states.slice(0, 3)).toEqual(['starting', 'waiting', 'starting']);
  const [first] = (await readNotes()).slice(-1);
  const { length } = states;
  process.kill(first?.pid ?? 0, 'SIGKILL');
  await eventually(() => expect(states.slice(length)).toContain('waiting'));
  await eventually(() => expect(tunnel.state).toBe('up'));
});

test('kills one that hangs and does not listen', async () => {
  await plan('hang');
  const tunnel = start({ stop_ms: 300 });
  await eventually(() => expect(tunnel.state).toBe('up'));
  await plan('ready');
  makeSkipTime()(60_000);
  await eventually(() => expect(log_lines.join()).toContain('it was not ready for 60 s'));
  await eventually(() => expect(tunnel.state).toBe('up'));
  const [hung] = await readNotes();
  expect(isAlive(hung?.pid ?? 0)).toBe(false);
});

test('one that ends whenever it was ready is started again ever more rarely, until it stays for a while', async () => {
  await plan('flap');
  const waits = () => log_lines.flatMap(line => /"again_in_ms":(\d+)/.exec(line)?.[1] ?? []).map(Number);
  const forget = vi.spyOn(Backoff.prototype, 'reset');
  onTestFinished(() => forget.mockRestore());
  const tunnel = start({ first_wait_ms: 20, most_wait_ms: 10_000, steady_ms: 60_000 });
  await eventually(() => expect(waits().length).toBeGreaterThan(3));
  expect(waits().slice(0, 4)).toEqual([20, 40, 80, 160]);
  await plan('ready');
  // the last one to flap may be up, too
  await eventually(async () => expect((await readNotes()).at(-1)?.mode).toBe('ready'));
  await eventually(() => expect(tunnel.state).toBe('up'));
  expect(forget).not.toHaveBeenCalled();
  makeSkipTime()(60_000);
  await eventually(() => expect(forget).toHaveBeenCalled());
  process.kill((await readNotes()).at(-1)?.pid ?? 0, 'SIGKILL');
  await eventually(() => expect(waits().at(-1)).toBe(20));
});

test('asking whether it is ready leaves nothing behind', async () => {
  await plan('ready');
  let made = 0;
  const { AbortController: original } = globalThis;
  vi.stubGlobal(
    'AbortController',
    class extends original {
      constructor() {
        super();
        made++;
      }
    },
  );
  const any = vi.spyOn(AbortSignal, 'any');
  const tunnel = start({ poll_ms: 1 });
  await eventually(() => expect(tunnel.state).toBe('up'));
  const before = made;
  await new Promise(resolve => setTimeout(resolve, 300));
  vi.unstubAllGlobals();
  expect(made - before).toBeLessThan(3);
  expect(any).not.toHaveBeenCalled();
  any.mockRestore();
});

test('ends, also when it hangs', async () => {
  await plan('hang');
  const tunnel = start({ stop_ms: 300 });
  await eventually(() => expect(tunnel.state).toBe('up'));
  await plan('ready');
  // deaf as it is, it would never end by itself
  await stop();
  expect((await readNotes()).at(-1)).toMatchObject({ signal: 'SIGTERM' });
});

test('says that it is missing, and finds it later', async () => {
  await plan('ready');
  const later = join(folder, 'later');
  const tunnel = start({ command: later });
  await eventually(() =>
    expect(log_lines.join()).toContain(`${later} isn't there or can't be run: install cloudflared`),
  );
  expect(['waiting', 'starting']).toContain(tunnel.state);
  await writeFile(later, await readFile(command));
  await chmod(later, 0o755);
  await eventually(() => expect(tunnel.state).toBe('up'));
});

test('without a token there is none', async () => {
  const tunnel = start({ token: undefined });
  await stop();
  expect(tunnel.state).toBe('off');
  expect(log_lines).toEqual([]);
});

test.runIf(process.platform === 'linux')('does not survive a bridge that was killed', async () => {
  await plan('ready');
  const code = `
    import { Tunnel } from ${JSON.stringify(fileURLToPath(new URL('../tunnel.ts', import.meta.url)))};
    const options = { token: 'x', command: ${JSON.stringify(command)}, log: () => {}, random: Math.random, poll_ms: 30 };
    await new Tunnel(options).run(new AbortController().signal);`;
  const parent = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], { stdio: 'ignore' });
  await eventually(async () => expect(await countStarts()).toBe(1));
  parent.kill('SIGKILL');
  const [{ pid } = { pid: 0 }] = await readNotes();
  await eventually(() => expect(isAlive(pid)).toBe(false));
});
