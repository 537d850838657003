// `rukun-bridge simulate`: the simulated router as a program.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { startSimulator } from './server.ts';
import type { SimulatorOptions } from './server.ts';

const HELP = `Usage: rukun-bridge simulate --password SECRET [options]

A MikroTik router that isn't one: it speaks RouterOS's binary API over a real socket and keeps what it is told
(PPP secrets and profiles, pools, simple queues, firewall lists and rules, hotspot users), with the checks and the
error texts of a router. It routes nothing. It listens on this machine only (127.0.0.1).

  --port N             where the API listens; 0 takes any free port (8728)
  --user NAME          the one user who may log in (admin)
  --password SECRET    that user's password; there is no default
  --password-env NAME  take the password from this environment variable instead, where no process list shows it
  --state FILE         a RouterOS export (.rsc): loaded at the start, written back after every change.
                       It holds the passwords of its users. Without it the router starts empty and forgets all.
  --version X          the RouterOS version to behave like: 6.48, 7.16, 7.18 and so on (7.18)
  --identity NAME      the router's name
  --old-login          log in as before 6.43, by an MD5 challenge
  --control-port N     HTTP and JSON on this port, to look inside and make things happen:
                         GET  /export[?show_sensitive=1]   GET /rows?menu=/ppp/secret
                         POST /dial {"name": "budi"}       POST /hang-up {"name": "budi"}
                         POST /faults {"delay_ms": 500}    POST /drop-connections
                         POST /load, the body an export: run here, with what failed in the answer
                       Faults: chunk_bytes, delay_ms, silent_after_accept, refuse, close_after_write,
                       max_sessions, read_only_user, no_sensitive
  --help               this text

Example:
  rukun-bridge simulate --password try-me --state demo.rsc --control-port 8780
`;

const OPTIONS = {
  port: { type: 'string', default: '8728' },
  user: { type: 'string', default: 'admin' },
  password: { type: 'string' },
  'password-env': { type: 'string' },
  state: { type: 'string' },
  version: { type: 'string' },
  identity: { type: 'string' },
  'old-login': { type: 'boolean' },
  'control-port': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs until the signal is aborted; the number is the exit code. */
export async function simulate(args: string[], signal: AbortSignal): Promise<number> {
  let options: SimulatorOptions | null;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`${describeError(error)}\nTry: rukun-bridge simulate --help\n`);
    return 2;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    const simulator = await startSimulator(options);
    process.stdout.write(`simulated router listening on 127.0.0.1:${simulator.port}\n`);
    if (simulator.control_port !== null) process.stdout.write(`control port on 127.0.0.1:${simulator.control_port}\n`);
    if (!signal.aborted) await once(signal, 'abort');
    await simulator.stop();
    return 0;
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    return 1;
  }
}

/** null where only the help was asked for. */
function readOptions(args: string[]): SimulatorOptions | null {
  const { values } = parseArgs({ args, options: OPTIONS });
  if (values.help) return null;
  return {
    port: readPort('--port', values.port),
    username: values.user,
    password: readPassword(values.password, values['password-env']),
    state_file: values.state,
    version: values.version,
    identity: values.identity,
    old_login: values['old-login'] ?? false,
    control_port: values['control-port'] === undefined ? undefined : readPort('--control-port', values['control-port']),
    report: message => process.stderr.write(`${message}\n`),
  };
}

function readPort(option: string, value: string): number {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65_535)
    throw new Error(`${option} must be a port number, 0 to 65535; got ${value}`);
  return port;
}

function readPassword(password: string | undefined, variable: string | undefined): string {
  if (password !== undefined && variable !== undefined) throw new Error('give --password or --password-env, not both');
  const chosen = variable === undefined ? password : process.env[variable];
  if (chosen) return chosen;
  if (variable !== undefined) throw new Error(`the environment variable ${variable} is empty or not set`);
  throw new Error('a password is needed: --password SECRET or --password-env NAME');
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!('code' in error)) return error.message;
  const port = 'port' in error ? String(error.port) : '';
  if (error.code === 'EADDRINUSE')
    return `port ${port} is already in use: stop what listens there or choose another one`;
  if (error.code === 'EACCES' && port !== '')
    return `port ${port} may not be opened by this user: choose one above 1023`;
  return error.message;
}
