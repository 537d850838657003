// `rukun-bridge simulate`: the simulated router as a program.
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { NO_FAULTS, readFaults } from './faults.ts';
import type { Faults } from './faults.ts';
import { startSimulator } from './server.ts';
import type { SimulatorOptions } from './server.ts';

const HELP = `Usage: rukun-bridge simulate --password SECRET [options]

A MikroTik router that isn't one, for software that talks to RouterOS and has no router to try it on. It speaks the
binary API over a real socket, plain or with TLS, keeps what it is told (PPP secrets and profiles, pools, simple
queues, firewall lists and rules, hotspot users) with the checks and the error texts of a router, and lets customers
dial in, use traffic and hang up. It routes nothing. It listens on this machine only (127.0.0.1).

The router
  --port N             where the API listens; 0 takes any free port (8728)
  --user NAME          the one user who may log in (admin)
  --password SECRET    that user's password; there is no default
  --password-env NAME  take the password from this environment variable instead, where no process list shows it
  --state FILE         a RouterOS export (.rsc): loaded at the start, written back after every change.
                       It holds the passwords of its users. Without it the router starts empty and forgets all.
  --version X          the RouterOS version to behave like: 6.48, 7.16, 7.18 and so on (7.18)
  --identity NAME      the router's name
  --old-login          log in as before 6.43, by an MD5 challenge
  --tls                api-ssl: TLS with a self-signed certificate. Its SHA-256 fingerprint is printed at the start;
                       with --state the key is kept in FILE.tls.pem, and the fingerprint stays
  --tls-adh            api-ssl without a certificate: anonymous Diffie-Hellman, ciphers ADH:@SECLEVEL=0
  --control-port N     HTTP and JSON on this port, to look inside and make things happen; 0 takes any free port

What may go wrong (each can be switched later, too: POST /faults)
  --delay-ms N         every command is carried out and answered so much later
  --chunk-bytes N      answers leave in pieces of N bytes, down to 1
  --silent-after-accept  connections are taken, and never answered
  --refuse             connections are reset at once
  --close-after-write N  the next N writes are done, and the connection closed before the answer
  --max-sessions N     connections beyond it are closed (20)
  --read-only          the user may not change anything
  --no-sensitive       the user may not see passwords
  --clock-skew=N       the router's clock is N seconds ahead, or behind with a minus; uptimes are right
  --windows-1252       text goes out, and is taken in, as windows-1252 instead of UTF-8
  --down-ms N          a reboot refuses connections for so long (1000)
  --help               this text

The control port
  GET  /info                             version, ports, TLS fingerprint, uptime, who is online, faults
  GET  /rows?menu=/ppp/secret            what a print shows
  GET  /export[?show_sensitive=1]        the configuration
  POST /load                             run an export (the body); answers with what failed
  POST /dial     {"name": "budi"}        also address, caller_id
  POST /hang-up  {"name": "budi"}
  POST /traffic  {"name": "budi", "upload_bps": 500000, "download_bps": 8000000}    from now on
                 {"name": "budi", "upload_bytes": 1000, "download_bytes": 90000}    at once
  POST /hotspot-login  {"name": "tamu"}  also server, address, mac
  POST /hotspot-logout {"name": "tamu"}
  POST /faults   {"delay_ms": 500}       ${Object.keys(NO_FAULTS).slice(0, 4).join(', ')},
                                         ${Object.keys(NO_FAULTS).slice(4, 8).join(', ')},
                                         ${Object.keys(NO_FAULTS).slice(8).join(', ')}
  POST /reboot   {"down_ms": 5000}
  POST /drop-connections

Example
  rukun-bridge simulate --password try-me --state demo.rsc --control-port 8780
  curl -d '{"name": "budi"}' http://127.0.0.1:8780/dial

  and from Python (pip install librouteros):
    from librouteros import connect
    api = connect(host='127.0.0.1', username='admin', password='try-me')
    api.path('ppp', 'secret').add(name='budi', password='rahasia', profile='default')
    print(list(api.path('ppp', 'active')))

All of it is described in bridge/simulator/README.md.
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
  tls: { type: 'boolean' },
  'tls-adh': { type: 'boolean' },
  'control-port': { type: 'string' },
  'delay-ms': { type: 'string' },
  'chunk-bytes': { type: 'string' },
  'silent-after-accept': { type: 'boolean' },
  refuse: { type: 'boolean' },
  'close-after-write': { type: 'string' },
  'max-sessions': { type: 'string' },
  'read-only': { type: 'boolean' },
  'no-sensitive': { type: 'boolean' },
  'clock-skew': { type: 'string' },
  'windows-1252': { type: 'boolean' },
  'down-ms': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const FAULT_BY_OPTION = {
  'delay-ms': 'delay_ms',
  'chunk-bytes': 'chunk_bytes',
  'silent-after-accept': 'silent_after_accept',
  refuse: 'refuse',
  'close-after-write': 'close_after_write',
  'max-sessions': 'max_sessions',
  'read-only': 'read_only_user',
  'no-sensitive': 'no_sensitive',
  'clock-skew': 'clock_skew_seconds',
  'windows-1252': 'windows_1252',
  'down-ms': 'down_ms',
} as const satisfies Partial<Record<keyof typeof OPTIONS, keyof Faults>>;

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
    if (simulator.tls_fingerprint !== null)
      process.stdout.write(`TLS certificate's SHA-256 fingerprint: ${simulator.tls_fingerprint}\n`);
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
  if (values.tls && values['tls-adh']) throw new Error('give --tls or --tls-adh, not both');
  const tls = values.tls ? 'self-signed' : 'anonymous';
  return {
    port: readPort('--port', values.port),
    username: values.user,
    password: readPassword(values.password, values['password-env']),
    state_file: values.state,
    version: values.version,
    identity: values.identity,
    old_login: values['old-login'] ?? false,
    tls: values.tls || values['tls-adh'] ? tls : undefined,
    faults: readFaultOptions(values),
    control_port: values['control-port'] === undefined ? undefined : readPort('--control-port', values['control-port']),
    report: message => process.stderr.write(`${message}\n`),
  };
}

function readFaultOptions(values: Record<string, string | boolean | undefined>): Partial<Faults> {
  const faults: Partial<Faults> = {};
  for (const [option, fault] of Object.entries(FAULT_BY_OPTION)) {
    const value = values[option];
    if (value === undefined) continue;
    try {
      Object.assign(faults, readFaults({ [fault]: typeof value === 'string' ? readNumber(value) : value }));
    } catch {
      throw new Error(`--${option} must be a whole number; got ${String(value)}`);
    }
  }
  return faults;
}

const readNumber = (text: string) => (/^-?\d+$/.test(text) ? Number(text) : NaN);

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
