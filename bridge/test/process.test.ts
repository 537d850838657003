/** The daemon as a process of its own: how it starts and ends. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestBridge } from './bridge-client.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

let bridge: TestBridge;
let child: ChildProcess | null = null;

beforeEach(async () => {
  bridge = await TestBridge.make();
});

afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await bridge.end();
});

async function startDaemon(env: NodeJS.ProcessEnv = {}): Promise<{ daemon: ChildProcess; port: number }> {
  const args = [MAIN, 'run', '--port', '0', '--state', bridge.state_dir];
  const daemon = spawn(process.execPath, args, {
    env: { ...process.env, RUKUN_BRIDGE_LEAN: 'off', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child = daemon;
  const [said] = (await once(daemon.stdout, 'data')) as [Buffer];
  const port = Number(/:(\d+)\n/.exec(said.toString())?.[1]);
  bridge.running = { name: '', port, stop: async () => undefined };
  return { daemon, port };
}

async function end(daemon: ChildProcess): Promise<void> {
  daemon.kill('SIGTERM');
  await once(daemon, 'exit');
}

test('goes on when nobody reads what it says any more, and ends when told', async () => {
  const { daemon } = await startDaemon();
  daemon.stdout?.destroy();
  daemon.stderr?.destroy();
  // each of them is logged
  for (let i = 0; i < 5; i++) {
    expect((await bridge.send('GET', '/v1/health', '', { secret: 'wrong' })).status).toBe(401);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  expect((await bridge.send('GET', '/v1/health')).status).toBe(200);
  await end(daemon);
  expect(daemon.exitCode).toBe(0);
});

test.runIf(process.platform === 'linux')('ends, also where the system keeps a thread of it busy', async () => {
  // as a name server that doesn't answer does: a thread that nothing can call back
  const fifo = join(bridge.state_dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const preload = join(bridge.state_dir, 'preload.mjs');
  await writeFile(preload, `import { open } from 'node:fs'; open(${JSON.stringify(fifo)}, 'r', () => undefined);`);
  const { daemon } = await startDaemon({ NODE_OPTIONS: `--import=${preload}` });
  // nobody ever writes into it: that it ends at all is the proof
  await end(daemon);
});

test('a machine on which it can’t start itself anew runs it as it is', async () => {
  const module = JSON.stringify(fileURLToPath(new URL('../lean-start.ts', import.meta.url)));
  const code = `process.execPath = ${JSON.stringify(join(bridge.state_dir, 'bridge.json'))};
    const { restartLean } = await import(${module});
    await restartLean(new AbortController().signal);
    console.log('still here');`;
  const { RUKUN_BRIDGE_LEAN: _, ...env } = process.env;
  const output = execFileSync(process.execPath, ['--input-type=module-typescript', '-e', code], { env });
  expect(output.toString()).toBe('still here\n');
});

test('a second one on the same folder says so and ends', async () => {
  await startDaemon();
  const args = [MAIN, 'run', '--port', '0', '--state', bridge.state_dir];
  const second = spawn(process.execPath, args, { env: { ...process.env, RUKUN_BRIDGE_LEAN: 'off' }, stdio: 'pipe' });
  let said = '';
  second.stderr.on('data', chunk => (said += String(chunk)));
  const [code] = await once(second, 'close');
  expect(code).toBe(1);
  expect(said).toContain('another bridge runs on this folder');
});
