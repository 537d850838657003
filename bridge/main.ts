#!/usr/bin/env node
// The bridge's commands. Each is loaded only when it is asked for.
import { readFile } from 'node:fs/promises';
import { enableCompileCache } from 'node:module';
import { restartLean } from './lean-start.ts';

type RunCommand = (args: string[], signal: AbortSignal) => Promise<number>;

interface CommandEntry {
  summary: string;
  load: () => Promise<RunCommand>;
}

const COMMANDS: Record<string, CommandEntry> = {
  enroll: { summary: 'make this bridge known to Rukun', load: async () => (await import('./enroll.ts')).enroll },
  run: { summary: 'serve Rukun: the daemon', load: async () => (await import('./run.ts')).run },
  doctor: { summary: 'say what is wrong with it', load: async () => (await import('./doctor.ts')).doctor },
  simulate: {
    summary: 'run a simulated MikroTik router',
    load: async () => (await import('./simulator/command.ts')).simulate,
  },
};

const PARENT_CHECK_MS = 500;
const KILL_MS = 1_000;

// without it each start loads Node's whole type stripper: 30 MB that a daemon keeps for its life
enableCompileCache();
// who reads what we say may go away
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

async function main(args: string[], signal: AbortSignal): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v') {
    process.stdout.write(`rukun-bridge ${await readVersion()}\n`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h') {
    (name === undefined ? process.stderr : process.stdout).write(formatHelp());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`no such command: ${name}\n\n${formatHelp()}`);
    return 2;
  }
  const run = await command.load();
  return await run(rest, signal);
}

function formatHelp(): string {
  const width = Math.max(...Object.keys(COMMANDS).map(name => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `Usage: rukun-bridge COMMAND [options]

Connects an ISP's MikroTik routers to Rukun.

Commands:
${lines.join('')}
  rukun-bridge COMMAND --help   what a command does and its options
  rukun-bridge --version
`;
}

async function readVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('./package.json', import.meta.url), 'utf8'));
  const has_version = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return has_version ? String(manifest.version) : 'unknown';
}

/** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
function watchForEnd(): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.once('SIGINT', abort);
  process.once('SIGTERM', abort);
  if (process.env.RUKUN_END_WITH_PARENT === '1') {
    // npm does not pass signals on: that it is gone is all there is to see.
    const parent = process.ppid;
    setInterval(() => process.ppid !== parent && abort(), PARENT_CHECK_MS).unref();
  }
  return controller.signal;
}

const is_daemon = process.argv[2] === 'run';
const signal = watchForEnd();
if (is_daemon) await restartLean(signal);
process.exitCode = await main(process.argv.slice(2), signal);
// a name that is still being looked up holds the process, and process.exit waits for it too
if (is_daemon) setTimeout(() => process.kill(process.pid, 'SIGKILL'), KILL_MS).unref();
