import { readdirSync, readFileSync } from 'node:fs';

/** What processes cost, as Linux tells it: for benchmarks. */

/** The workerds that are children of ours, in the order of their start. */
export function findWorkerds(): number[] {
  const found = readdirSync('/proc').filter(entry => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const [, name, parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${entry}/stat`, 'utf8')) ?? [];
      return name === 'workerd' && Number(parent) === process.pid;
    } catch {
      // gone meanwhile
      return false;
    }
  });
  if (found.length === 0) throw new Error('no workerd');
  return found.map(Number).sort((a, b) => a - b);
}

/** Seconds; Linux counts in hundredths. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** MB that it holds. */
export const memoryOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
