import { spawn } from 'node:child_process';

/** Runs a Node program with our terminal; ends it on signals, and when npm dies without telling us. */
export function runChild(args: string[]): void {
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  endWithParent(() => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}

/** npm runs scripts through `sh -c`: a SIGTERM to npm ends sh only, and we are left without a parent. */
export function endWithParent(end: () => void): void {
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end(), 500).unref();
}
