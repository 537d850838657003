import './quiet-env.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { fillDemo, makePassword, prepareDemo, ROUTER_USER, type DemoPlaces, type PreparedDemo } from './demo.ts';
import { StartError, writePrivate } from './demo-files.ts';
import { makeRouterExport } from './demo-isp.ts';
import { ROUTER_NAME } from './demo-network.ts';
import { dialSubscribers } from './demo-subscribers.ts';
import { readSecrets, writeSecrets } from './key-stores.ts';
import { makeSecrets } from './keys.ts';
import { buildWorker, serveWorker, type LocalWorker } from './local-worker.ts';
import { endWithParent } from './run-child.ts';

/**
 * `npm start`: a simulated router, a bridge and the Worker with local D1, and the demo ISP on them. PORT, BRIDGE_PORT,
 * ROUTER_PORT and RUKUN_STATE move it; POOL_SIZE says how many databases there are; LIMIT_…, SIGNUP, PASSWORD_COST and
 * LOG_REQUESTS are handed on to the Worker.
 */

const PORTS = {
  PORT: Number(process.env.PORT ?? 8787),
  BRIDGE_PORT: Number(process.env.BRIDGE_PORT ?? 8790),
  ROUTER_PORT: Number(process.env.ROUTER_PORT ?? 8728),
};
const STATE_DIR = path.resolve(process.env.RUKUN_STATE ?? '.state');
const POOL_SIZE = Number(process.env.POOL_SIZE ?? 16);
const DEMO_CUSTOMERS = 300;

const say = (line: string) => process.stdout.write(`${line}\n`);

async function checkPorts(): Promise<void> {
  for (const [name, port] of Object.entries(PORTS)) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      throw new StartError(`${name} is not a port: ${process.env[name]}`);
    const free = await new Promise<boolean>(resolve => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (!free) throw new StartError(`Port ${port} is in use. Stop what uses it, or set ${name} to another port.`);
  }
}

/** Made once on this machine, readable by its owner alone. A folder of an older start may lack one of them. */
async function loadSecrets(): Promise<{ router_password: string; bindings: Record<string, string> }> {
  const kept = readSecrets(STATE_DIR) ?? { ...(await makeSecrets(Date.now())), router_password: makePassword() };
  writeSecrets(STATE_DIR, { METRICS_TOKEN: makePassword(), ...kept });
  const { router_password, ...bindings } = readSecrets(STATE_DIR)!;
  return { router_password: router_password!, bindings };
}

/** The router's export as it was before Rukun: it fills the simulated router, and is what is imported. */
function loadRouterExport(): string {
  const file = path.join(STATE_DIR, 'router-before.rsc');
  if (!existsSync(file)) {
    const text = makeRouterExport(DEMO_CUSTOMERS);
    writePrivate(file, text);
    writePrivate(path.join(STATE_DIR, 'router.rsc'), text);
  }
  return readFileSync(file, 'utf8');
}

const children = new Set<ChildProcess>();
let worker: LocalWorker | null = null;
let stopping = false;

const openLog = (name: string) => createWriteStream(path.join(STATE_DIR, `${name}.log`), { flags: 'a', mode: 0o600 });

/** Starts one of our own programs; its log goes to a file. Once it listens: what it said. */
function startProgram(name: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const log = openLog(name);
  const child = spawn(process.execPath, ['bridge/main.ts', ...args], {
    env: { ...process.env, ...env, RUKUN_END_WITH_PARENT: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // a Ctrl-C in the terminal reaches us alone: we end them in order
    detached: true,
  });
  children.add(child);
  child.stderr.pipe(log);
  return new Promise((resolve, reject) => {
    let said = '';
    let is_up = false;
    child.stdout.on('data', (chunk: Buffer) => {
      log.write(chunk);
      said += chunk.toString();
      is_up ||=
        args.every(arg => arg !== '--control-port' || said.includes('control port on')) &&
        said.includes('listening on');
      if (is_up) resolve(said);
    });
    child.on('exit', (code, signal) => {
      children.delete(child);
      if (stopping) return;
      const how = `ended unexpectedly (${signal ?? `exit ${code}`}); see ${log.path as string}`;
      if (!is_up) return reject(new StartError(`the ${name} ${how}`));
      // as a supervisor would: what was asked of it meanwhile waits, and is done once it is back
      say(`the ${name} ${how}; starting it again`);
      setTimeout(
        () => !stopping && void startProgram(name, args, env).catch((error: Error) => stop(error.message)),
        1000,
      );
    });
  });
}

async function stop(reason?: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  if (reason) process.stderr.write(`${reason}\n`);
  const ended = [...children].map(child => new Promise(resolve => child.once('exit', resolve)));
  for (const child of children) child.kill('SIGTERM');
  const forced = setTimeout(() => children.forEach(child => child.kill('SIGKILL')), 9000);
  await worker?.stop();
  await Promise.all(ended);
  clearTimeout(forced);
  process.exit(reason ? 1 : 0);
}

function workerBindings(secrets: Record<string, string>): Record<string, string> {
  const handed_on = Object.entries(process.env).filter(([name]) =>
    /^(LIMIT_\w+|SIGNUP|PASSWORD_COST|LOG_REQUESTS)$/.test(name),
  );
  return {
    BASE_DOMAIN: 'localhost',
    SIGNUP: 'open',
    ALLOW_LOOPBACK_BRIDGE: 'yes',
    ...(Object.fromEntries(handed_on) as Record<string, string>),
    ...secrets,
  };
}

async function start(): Promise<PreparedDemo> {
  await checkPorts();
  mkdirSync(STATE_DIR, { recursive: true, mode: 0o700 });
  const { router_password, bindings } = await loadSecrets();
  const router_export = loadRouterExport();
  const in_state = (name: string) => path.join(STATE_DIR, name);
  const router_args = ['--port', String(PORTS.ROUTER_PORT), '--user', ROUTER_USER, '--password-env', 'ROUTER_PASSWORD'];
  const router_says = await startProgram(
    'router',
    ['simulate', ...router_args, '--identity', ROUTER_NAME, '--state', in_state('router.rsc'), '--control-port', '0'],
    {
      ROUTER_PASSWORD: router_password,
    },
  );
  say('building the Worker …');
  buildWorker(in_state('build'));
  // the Worker's lines go to a file, so that the terminal stays readable
  const log = openLog('worker');
  worker = await serveWorker({
    build_dir: in_state('build'),
    port: PORTS.PORT,
    state_dir: in_state('cloudflare'),
    pool_size: POOL_SIZE,
    bindings: workerBindings(bindings),
    onLog: line => void log.write(`${line}\n`),
  });
  takeOverSignals();
  const places: DemoPlaces = {
    state_dir: STATE_DIR,
    url: worker.url,
    router_port: PORTS.ROUTER_PORT,
    router_password,
    bridge_port: PORTS.BRIDGE_PORT,
    router_export,
    say,
  };
  say('looking after the demo ISP …');
  const prepared = await prepareDemo(places);
  if (prepared.bridge_id)
    await startProgram('bridge', ['run', '--port', String(PORTS.BRIDGE_PORT), '--state', in_state('bridge')]);
  // what a start before left undone needn't wait for the next round of the sweep
  await worker.runCrons();
  await fillDemo(prepared, places);
  const control_port = /control port on 127\.0\.0\.1:(\d+)/.exec(router_says)![1]!;
  const online = await dialSubscribers(`http://127.0.0.1:${control_port}`);
  say(`${online} subscribers dialled in`);
  return prepared;
}

/** Miniflare would end the process at once on a signal; everything is to end in order. */
function takeOverSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.removeAllListeners(signal);
    process.on(signal, () => void stop());
  }
}

takeOverSignals();
endWithParent(() => void stop());

try {
  const { demo, refusal } = await start();
  say('');
  say(`Rukun            ${demo.url}            reference: ${demo.url}/docs`);
  say(
    `Demo ISP         ${demo.tenant} (X-Tenant-ID: ${demo.tenant}, or http://${demo.tenant}.localhost:${PORTS.PORT})`,
  );
  say(`Dashboard        http://${demo.tenant}.localhost:${PORTS.PORT}/live`);
  say(`Sign in          ${demo.email}  ${refusal ? `(${refusal})` : demo.password}`);
  say(`Simulated router ${demo.router_host}:${demo.router_port}  ${demo.router_user}  ${demo.router_password}`);
  say(`All state        ${STATE_DIR}   (for scripts: demo.json; logs beside it)`);
  say('Ctrl-C ends it.');
  say('');
  say(`ready ${demo.url}`);
} catch (error) {
  const text =
    error instanceof StartError
      ? error.message
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error);
  await stop(text);
}
