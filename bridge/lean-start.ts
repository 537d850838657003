/** Starts Node anew in the same process, in a way that a daemon on a small machine weighs half. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import process from 'node:process';

/** A bridge waits for routers nearly all its life: memory is worth more than speed. */
const FLAGS = ['--max-semi-space-size=1', '--single-threaded-gc', '--no-opt', '--no-maglev', '--expose-gc'];
const MARK = 'RUKUN_BRIDGE_LEAN';
const FILL_LIMIT_MS = 20_000;

/**
 * Doesn't come back where it works; where the system can't, the bridge is merely bigger. RUKUN_BRIDGE_LEAN=off leaves
 * it out. With these flags Node has a compile cache of its own, which the help of `run` fills first: then the daemon
 * never loads Node's type stripper. Where that help can't be had, neither can the daemon be started so: a failed execve
 * would end the process.
 */
export async function restartLean(signal: AbortSignal): Promise<void> {
  const { execve, env, execPath, execArgv, argv } = process;
  if (env[MARK] !== undefined || typeof execve !== 'function' || process.platform === 'win32') return;
  const lean: NodeJS.ProcessEnv = { ...env, [MARK]: 'yes', MALLOC_ARENA_MAX: '1', NODE_NO_WARNINGS: '1' };
  const cache = getCompileCacheDir();
  // Node names the folder of this very version and these flags; what it wants is the one above
  if (cache !== undefined) lean.NODE_COMPILE_CACHE = env.NODE_COMPILE_CACHE ?? dirname(cache);
  const [, main = ''] = argv;
  const fill = [...execArgv, ...FLAGS, main, 'run', '--help'];
  const is_filled = isExecutable(execPath) && (await runQuietly(execPath, fill, lean, signal));
  // a signal that came meanwhile would be forgotten
  if (!is_filled || signal.aborted || !isExecutable(execPath)) return;
  process.removeAllListeners('warning');
  execve.call(process, execPath, [execPath, ...execArgv, ...FLAGS, ...argv.slice(1)], lean);
}

function runQuietly(file: string, args: string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<boolean> {
  return new Promise(resolve => {
    const child = spawn(file, args, { env, stdio: 'ignore', timeout: FILL_LIMIT_MS, signal });
    child.once('error', () => resolve(false));
    child.once('exit', code => resolve(code === 0));
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
