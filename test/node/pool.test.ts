import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { unstable_readConfig } from 'wrangler';

const dir = mkdtempSync(path.join(tmpdir(), 'rukun-pool-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Stands in for wrangler, which can't reach Cloudflare from here: makes ids, and writes down what it was asked. */
const STAND_IN = `
  const { appendFileSync } = require('node:fs');
  appendFileSync(process.env.ASKED, process.argv.slice(2).join(' ') + '\\n');
  if (process.argv[3] === 'create') console.log('database_id = "' + require('node:crypto').randomUUID() + '"');
  if (process.argv[3] === 'execute') console.log(JSON.stringify([{ results: [{ total: 40, free: 3 }] }]));
`;

function runPool(...args: string[]): string {
  const env = { ...process.env, RUKUN_WRANGLER: path.join(dir, 'wrangler.cjs'), ASKED: path.join(dir, 'asked') };
  const all = ['scripts/pool.ts', '--config', path.join(dir, 'wrangler.toml'), ...args];
  return execFileSync(process.execPath, all, { env, encoding: 'utf8' });
}

it('makes databases, binds them under numbers of their own, and deploys', () => {
  writeFileSync(path.join(dir, 'wrangler.cjs'), STAND_IN);
  writeFileSync(path.join(dir, 'wrangler.toml'), readFileSync('wrangler.toml'));
  runPool('--add', '2');
  runPool('--add', '1', '--no-deploy');
  const { d1_databases } = unstable_readConfig({ config: path.join(dir, 'wrangler.toml') });
  expect(d1_databases.map(({ binding }: { binding: string }) => binding)).toEqual([
    'DIRECTORY_DB',
    'TENANT_DB_0001',
    'TENANT_DB_0002',
    'TENANT_DB_0003',
  ]);
  expect(new Set(d1_databases.map((made: { database_id?: string }) => made.database_id)).size).toBe(4);
  const asked = readFileSync(path.join(dir, 'asked'), 'utf8').split('\n');
  expect(asked.filter(line => line.startsWith('d1 create'))).toHaveLength(3);
  expect(asked.filter(line => line.startsWith('deploy'))).toHaveLength(1);
});

it('tells when fewer than a tenth are free', () => {
  expect(runPool()).toContain('3 of 40 databases are free\nFewer than a tenth');
});
