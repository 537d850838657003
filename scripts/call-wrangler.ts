import { spawnSync } from 'node:child_process';
import path from 'node:path';

const WRANGLER = process.env.RUKUN_WRANGLER ?? path.resolve('node_modules/wrangler/wrangler-dist/cli.js');

/** What wrangler says, asked without a terminal. `input` is for what no list of processes may show. */
export function callWrangler(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', WRANGLER, ...args], {
    encoding: 'utf8',
    input,
  });
  if (status !== 0) throw new Error(`wrangler ${args.slice(0, 2).join(' ')} failed\n${stdout}\n${stderr}`);
  return stdout;
}

/** Rows of the directory, as it is deployed. */
export function askDirectory<Row>(config: string, query: string): Row[] {
  const where = ['--remote', '--json', '--config', config];
  const answer = callWrangler(['d1', 'execute', 'DIRECTORY_DB', ...where, '--command', query]);
  const [{ results }] = JSON.parse(answer) as [{ results: Row[] }];
  return results;
}
