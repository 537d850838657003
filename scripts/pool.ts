import './quiet-env.ts';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { askDirectory, callWrangler } from './call-wrangler.ts';

/**
 * `npm run pool -- --add 50`: makes tenant databases at Cloudflare, binds them in wrangler.toml and deploys; the Worker
 * tells its directory of them at the next sign-up. Without --add it says how many are free. `--config` names another
 * wrangler.toml; `--no-deploy` leaves the deployment to you.
 */

/** The highest number of a binding that stands in the file; numbers are never used twice. */
export function lastPoolNumber(toml: string): number {
  return Math.max(0, ...[...toml.matchAll(/^binding = "TENANT_DB_(\d{4})"$/gm)].map(match => Number(match[1])));
}

export const formatBinding = (number: number, database_id: string): string => `
[[d1_databases]]
binding = "TENANT_DB_${String(number).padStart(4, '0')}"
database_name = "rukun-tenant-${String(number).padStart(4, '0')}"
database_id = "${database_id}"
`;

/** One after the other, each written down at once: what stops halfway loses nothing. */
function addDatabases(config: string, count: number): void {
  const first = lastPoolNumber(readFileSync(config, 'utf8')) + 1;
  for (let number = first; number < first + count; number++) {
    const name = `rukun-tenant-${String(number).padStart(4, '0')}`;
    const id = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(callWrangler(['d1', 'create', name]))?.[0];
    if (!id) throw new Error(`wrangler made ${name} without saying its id`);
    appendFileSync(config, formatBinding(number, id));
    process.stdout.write(`made ${name}\n`);
  }
}

function reportFree(config: string): void {
  const query = "SELECT count(*) AS total, sum(state = 'free') AS free FROM shards";
  const [counted] = askDirectory<{ total: number; free: number | null }>(config, query);
  const { total, free } = counted!;
  process.stdout.write(`${free ?? 0} of ${total} databases are free\n`);
  if ((free ?? 0) * 10 < total) process.stdout.write('Fewer than a tenth: add some with `npm run pool -- --add 50`.\n');
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { add: { type: 'string' }, config: { type: 'string' }, 'no-deploy': { type: 'boolean' } },
  });
  const config = path.resolve(values.config ?? 'wrangler.toml');
  const count = Number(values.add ?? 0);
  if (!Number.isInteger(count) || count < 0 || count > 1000) throw new Error('--add takes a whole number up to 1000');
  if (count > 0) {
    addDatabases(config, count);
    if (!values['no-deploy']) process.stdout.write(callWrangler(['deploy', '--config', config]));
  } else reportFree(config);
}
