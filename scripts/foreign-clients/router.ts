// One simulated router for one client: the program itself on free ports, with a state file of its own.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

export type Mode = 'plain' | 'old' | 'tls' | 'adh';
export type Row = Record<string, unknown>;

export interface Router {
  version: string;
  mode: Mode;
  host: string;
  port: number;
  /** What the router really holds, past every client. */
  rows(menu: string): Promise<Record<string, string>[]>;
  stop(): Promise<void>;
}

export const USER = 'admin';
export const PASSWORD = 'kunci=rumah 7';
export const IDENTITY = 'rukun foreign 1';
export const ODD_NAME = 'budi=kost 3';
export const NAMES = ['siti', ODD_NAME, 'pak joko', 'agus'];
export const UTF8_COMMENT = 'Warung Désa – kanan ☕';

/** Another copy of the bridge can be tried in its place. */
const MAIN = path.resolve(process.env.FOREIGN_CLIENTS_BRIDGE ?? path.join(import.meta.dirname, '../../bridge/main.ts'));
const FLAGS: Record<Mode, string[]> = { plain: [], old: ['--old-login'], tls: ['--tls'], adh: ['--tls-adh'] };

const escapeText = (text: string) =>
  [...Buffer.from(text)]
    .map(byte => (byte < 0x80 ? String.fromCharCode(byte) : `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`))
    .join('');

const STATE = `/ip pool
add name=pool-rumah ranges=10.20.0.2-10.20.3.254
/ppp profile
add name=10M local-address=10.20.0.1 remote-address=pool-rumah rate-limit=10M/10M
/ppp secret
add comment="${escapeText(UTF8_COMMENT)}" name=siti password=rahasia1 profile=10M service=pppoe
add name="${ODD_NAME}" password="p=1 2" profile=10M service=pppoe
add disabled=yes name="pak joko" password=rahasia3 service=pppoe
add name=agus password=rahasia4 service=pppoe
/system identity
set name="${IDENTITY}"
`;

/** The modes this simulator knows: TLS came to it later than the rest. */
export function listModes(): Mode[] {
  const { stdout } = spawnSync(process.execPath, [MAIN, 'simulate', '--help'], { encoding: 'utf8' });
  return (Object.keys(FLAGS) as Mode[]).filter(mode => FLAGS[mode].every(flag => stdout.includes(flag)));
}

export async function startRouter(version: string, mode: Mode): Promise<Router> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'rukun-foreign-'));
  const state = path.join(folder, 'state.rsc');
  writeFileSync(state, STATE);
  const args = ['simulate', '--port', '0', '--control-port', '0', '--user', USER, '--password-env', 'ROUTER_PASSWORD'];
  const child = spawn(process.execPath, [MAIN, ...args, '--state', state, '--version', version, ...FLAGS[mode]], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ROUTER_PASSWORD: PASSWORD },
  });
  const kill = () => void child.kill();
  process.once('exit', kill);
  const ended = new Promise(resolve => child.once('close', resolve));
  const stop = async () => {
    process.off('exit', kill);
    child.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  let complaints = '';
  child.stderr.on('data', chunk => (complaints += String(chunk)));
  try {
    const [port, control_port] = await readPorts(child.stdout);
    const rows = async (menu: string) => {
      const answer = await fetch(`http://127.0.0.1:${control_port}/rows?menu=${encodeURIComponent(menu)}`);
      return (await answer.json()) as Record<string, string>[];
    };
    return { version, mode, host: '127.0.0.1', port, rows, stop };
  } catch (error) {
    await stop();
    throw new Error(`the simulator did not start (${version}, ${mode}): ${complaints || String(error)}`);
  }
}

async function readPorts(output: NodeJS.ReadableStream): Promise<[api: number, control: number]> {
  let api: number | null = null;
  for await (const line of createInterface({ input: output })) {
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(line)?.[1]);
    if (line.startsWith('simulated router')) api = port;
    if (line.startsWith('control port') && api !== null) return [api, port];
  }
  throw new Error('it ended without naming its ports');
}
