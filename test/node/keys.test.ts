import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { formatKeyName, parseKeyName } from '../../src/auth/key-names.ts';
import { askLocalDirectory, readSecrets } from '../../scripts/key-stores.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'rukun-keys-'));
afterAll(() => rmSync(dir, { recursive: true }));

const at = (name: string) => path.join(dir, name);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Stands in for wrangler, which can't reach Cloudflare from here: keeps secrets in a file, and notes what it was asked. */
const STAND_IN = `
  const { appendFileSync, readFileSync, writeFileSync } = require('node:fs');
  const [group, verb, name] = process.argv.slice(2);
  appendFileSync(process.env.ASKED, process.argv.slice(2).join(' ') + '\\n');
  const secrets = JSON.parse(readFileSync(process.env.SECRETS, 'utf8'));
  const store = changed => writeFileSync(process.env.SECRETS, JSON.stringify(changed));
  if (process.env.FAILS === verb) { console.error('no such Worker'); process.exit(1); }
  if (verb === 'list') console.log(JSON.stringify(Object.keys(secrets).map(name => ({ name, type: 'secret_text' }))));
  if (verb === 'put') store({ ...secrets, [name]: readFileSync(0, 'utf8').trimEnd() });
  if (verb === 'delete') { delete secrets[name]; store(secrets); }
  if (verb === 'execute') console.log(JSON.stringify([{ results: JSON.parse(process.env.LEFT) }]));
`;

let left: object[] = [];
let fails = '';

function runKeys(...args: string[]) {
  const files = { RUKUN_WRANGLER: at('wrangler.cjs'), ASKED: at('asked'), SECRETS: at('at-cloudflare.json') };
  const env = { ...process.env, ...files, LEFT: JSON.stringify(left), FAILS: fails };
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/keys.ts', ...args], { env, encoding: 'utf8' }); // prettier-ignore
  return { status, stdout, stderr };
}

const secrets = (): Record<string, string> => JSON.parse(readFileSync(at('at-cloudflare.json'), 'utf8'));
const keep = (stored: Record<string, string>) => writeFileSync(at('at-cloudflare.json'), JSON.stringify(stored));
const asked = () => readFileSync(at('asked'), 'utf8').split('\n').filter(Boolean);
const named = (use: 'token' | 'sealing', age_ms: number, suffix = '00AA') => formatKeyName(use, Date.now() - age_ms, suffix); // prettier-ignore

beforeEach(() => {
  [left, fails] = [[], ''];
  writeFileSync(at('wrangler.cjs'), STAND_IN);
  writeFileSync(at('asked'), '');
  keep({});
});

test('a first set has a key of each use, named by the time', () => {
  const { status, stdout } = runKeys();
  expect(status).toBe(0);
  const made = Object.entries(JSON.parse(stdout) as Record<string, string>);
  const names = made.map(([name, value]) => ({ ...(parseKeyName('token', name) ?? parseKeyName('sealing', name))!, value })); // prettier-ignore
  expect(names.map(({ binding }) => binding.split('_')[0])).toEqual(['TOKEN', 'SEALING']);
  for (const { made_at_ms } of names) expect(Math.abs(made_at_ms - Date.now())).toBeLessThan(MINUTE_MS);
  expect(Object.keys(JSON.parse(names[0]!.value))).toEqual(expect.arrayContaining(['kty', 'n', 'e', 'd', 'p', 'q']));
  expect(Buffer.from(names[1]!.value, 'base64')).toHaveLength(32);
});

describe.each(['token', 'sealing'] as const)('rotate %s', use => {
  test('puts a new key beside the others; its value is in no argument and no output', () => {
    const [old, other] = [named(use, HOUR_MS), named(use === 'token' ? 'sealing' : 'token', HOUR_MS)];
    keep({ [old]: 'lama', [other]: 'lain', MAIL_KEY: 'x' });
    const { status, stdout, stderr } = runKeys('rotate', use, '--config', 'other.toml');
    expect([status, stderr]).toEqual([0, '']);
    const { [old]: kept, [other]: untouched, MAIL_KEY, ...made } = secrets();
    expect([kept, untouched, MAIL_KEY]).toEqual(['lama', 'lain', 'x']);
    expect(Object.keys(made)).toHaveLength(1);
    const [[name, value]] = Object.entries(made) as [[string, string]];
    expect(parseKeyName(use, name)!.made_at_ms).toBeGreaterThan(parseKeyName(use, old)!.made_at_ms);
    expect(asked()).toEqual(['secret list --config other.toml', `secret put ${name} --config other.toml`].map(line => line.replace('other.toml', path.resolve('other.toml')))); // prettier-ignore
    const parts = use === 'token' ? Object.values(JSON.parse(value) as Record<string, string>).filter(part => part.length > 40) : [value]; // prettier-ignore
    expect(parts.length).toBeGreaterThan(0);
    for (const part of parts) expect(stdout + stderr + asked().join()).not.toContain(part);
    expect(stdout).toContain(name);
  });

  test('--keep writes the new key to a file of its owner’s as well, and never over another one', () => {
    keep({ [named(use, HOUR_MS)]: 'lama' });
    const file = at(`kept-${use}.json`);
    expect(runKeys('rotate', use, '--keep', file).status).toBe(0);
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
    expect(secrets()).toMatchObject(kept);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = secrets();
    const again = runKeys('rotate', use, '--keep', file);
    expect([again.status, again.stderr]).toEqual([1, `--keep: ${file} is there already\n`]);
    expect(secrets()).toEqual(before);
  });

  test('refuses where there is none, and where the newest is of a later time than the clock’s', () => {
    const none = runKeys('rotate', use);
    expect([none.status, none.stderr]).toEqual([1, expect.stringContaining(`There is no ${use} key yet`)]);
    keep({ [named(use, -HOUR_MS)]: 'x' });
    const early = runKeys('rotate', use);
    expect([early.status, early.stderr]).toEqual([1, expect.stringContaining('set the clock')]);
    expect(Object.keys(secrets())).toHaveLength(1);
  });

  test('says so when wrangler fails, without the key', () => {
    keep({ [named(use, HOUR_MS)]: 'lama' });
    fails = 'put';
    const { status, stdout, stderr } = runKeys('rotate', use);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toContain('wrangler secret put failed');
    expect(stderr).toContain('no such Worker');
    expect(Object.keys(secrets())).toHaveLength(1);
  });

  test('retire leaves the only key alone', () => {
    keep({ [named(use, 24 * HOUR_MS)]: 'x' });
    const { status, stdout } = runKeys('retire', use);
    expect([status, stdout]).toEqual([0, expect.stringContaining('is the only one')]);
    expect(Object.keys(secrets())).toHaveLength(1);
  });
});

describe('retire token', () => {
  test('removes a key once the last token that it signed is over, and not before', () => {
    const [oldest, old, present] = [named('token', 3 * HOUR_MS), named('token', 36 * MINUTE_MS), named('token', 34 * MINUTE_MS)]; // prettier-ignore
    keep({ [oldest]: 'a', [old]: 'b', [present]: 'c', [named('sealing', 9 * HOUR_MS)]: 'd' });
    const { status, stdout } = runKeys('retire', 'token');
    expect([status, stdout]).toEqual([0, `removed ${oldest}\n`]);
    expect(Object.keys(secrets())).toHaveLength(3);
    const early = runKeys('retire', 'token');
    expect([early.status, early.stderr]).toEqual([1, expect.stringContaining(`${old} may still have signed tokens`)]);
    expect(Object.keys(secrets())).toHaveLength(3);
  });
});

describe('retire sealing', () => {
  test('removes what is older than the present key once the directory says that all is sealed with that', () => {
    const [old, older, present, young] = [named('sealing', 3 * HOUR_MS), named('sealing', 5 * HOUR_MS), named('sealing', HOUR_MS), named('sealing', MINUTE_MS)]; // prettier-ignore
    keep({ [old]: 'a', [older]: 'b', [present]: 'c', [young]: 'd' });
    left = [{ slug: 'melati', status: 'active' }, { slug: 'mawar', status: 'suspended' }]; // prettier-ignore
    const refused = runKeys('retire', 'sealing');
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining(`Not sealed anew with ${present} yet: melati, mawar (suspended).`)]); // prettier-ignore
    expect(Object.keys(secrets())).toHaveLength(4);
    expect(asked().at(-1)).toContain(`sealing_kid IS NOT '${parseKeyName('sealing', present)!.kid}'`);
    left = [];
    const { status, stdout } = runKeys('retire', 'sealing');
    expect([status, stdout]).toEqual([0, `removed ${older}\nremoved ${old}\n`]);
    expect(Object.keys(secrets()).sort()).toEqual([present, young].sort());
  });

  test('doesn’t ask while what was sealed with the older key may still be on its way', () => {
    keep({ [named('sealing', HOUR_MS)]: 'a', [named('sealing', 29 * MINUTE_MS)]: 'b' });
    const { status, stderr } = runKeys('retire', 'sealing');
    expect([status, stderr]).toEqual([1, expect.stringContaining('is sealed anew from')]);
    expect(asked().filter(line => line.startsWith('d1'))).toEqual([]);
    expect(Object.keys(secrets())).toHaveLength(2);
  });

  test('a directory that can’t be asked is a refusal', () => {
    keep({ [named('sealing', 3 * HOUR_MS)]: 'a', [named('sealing', HOUR_MS)]: 'b' });
    fails = 'execute';
    expect(runKeys('retire', 'sealing').status).toBe(1);
    expect(Object.keys(secrets())).toHaveLength(2);
  });
});

test.each([['rotate'], ['rotate', 'bridge'], ['forget', 'token'], ['retire', 'token', 'sealing']])(
  '%s %s is told how it is called',
  (...args) => {
    const { status, stderr } = runKeys(...args.filter(arg => arg !== undefined));
    expect([status, stderr]).toEqual([1, expect.stringContaining('npm run keys [-- rotate|retire')]);
    expect(asked()).toEqual([]);
  },
);

describe('--state', () => {
  const state = () => {
    const folder = mkdtempSync(path.join(dir, 'state-'));
    const store = (stored: object) => writeFileSync(path.join(folder, 'secrets.json'), JSON.stringify(stored));
    return { folder, store };
  };

  test('rotates and retires what npm start keeps, as the local directory says', async () => {
    const { folder, store } = state();
    const [old, present] = [named('sealing', 3 * HOUR_MS), named('sealing', HOUR_MS)];
    store({ [named('token', 3 * HOUR_MS)]: 'a', [old]: 'b', [present]: 'c', router_password: 'd' });
    expect(runKeys('rotate', 'token', '--state', folder).status).toBe(0);
    expect(Object.keys(readSecrets(folder)!).filter(name => parseKeyName('token', name))).toHaveLength(2);
    expect(statSync(path.join(folder, 'secrets.json')).mode & 0o777).toBe(0o600);
    const ask = (query: string) => askLocalDirectory(folder, query);
    await ask('CREATE TABLE tenants (slug TEXT, status TEXT, sealing_kid TEXT)');
    await ask(`INSERT INTO tenants VALUES ('demo', 'active', '${parseKeyName('sealing', old)!.kid}'), ('gone', 'deleted', NULL)`); // prettier-ignore
    const refused = runKeys('retire', 'sealing', '--state', folder);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('yet: demo.')]);
    await ask(`UPDATE tenants SET sealing_kid = '${parseKeyName('sealing', present)!.kid}' WHERE slug = 'demo'`);
    const { status, stdout } = runKeys('retire', 'sealing', '--state', folder);
    expect([status, stdout]).toEqual([0, expect.stringContaining(`removed ${old}\n`)]);
    expect(readSecrets(folder)).toMatchObject({ [present]: 'c', router_password: 'd' });
    expect(readSecrets(folder)).not.toHaveProperty(old);
    expect(asked()).toEqual([]);
  });

  test('takes the lists of a folder from before keys had names of their own', () => {
    const { folder, store } = state();
    const jwk = { kid: '0a1b2c3d4e5f', kty: 'RSA' };
    store({ TOKEN_KEYS: JSON.stringify([jwk]), SEALING_KEYS: '[{"kid":"ffee00","key":"a2V5"}]', router_password: 'd' });
    expect(readSecrets(folder)).toEqual({
      TOKEN_KEY_0A1B2C3D4E5F: JSON.stringify(jwk),
      SEALING_KEY_FFEE00: 'a2V5',
      router_password: 'd',
    });
    expect(runKeys('rotate', 'sealing', '--state', folder).status).toBe(0);
    expect(Object.keys(readSecrets(folder)!)).toHaveLength(4);
  });
});
