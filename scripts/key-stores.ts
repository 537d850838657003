import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { askDirectory, callWrangler } from './call-wrangler.ts';

/** Where the keys of a Worker are kept: at Cloudflare, or in the folder of `npm start`. */

export interface KeyStore {
  listNames(): string[];
  put(name: string, value: string): void;
  remove(name: string): void;
  /** ISPs whose databases still hold what an older key than this one sealed, or may. */
  listUnsealed(kid: string): Promise<Unsealed[]>;
  /** What else is to be done for a change to count; ends with a space. */
  note: string;
  how_to_begin: string;
}

export interface Unsealed {
  slug: string;
  status: string;
}

/** A kid holds letters, digits and `_`. */
const unsealedQuery = (kid: string) => `SELECT slug, status FROM tenants
  WHERE status <> 'deleted' AND sealing_kid IS NOT '${kid}' ORDER BY slug LIMIT 100`;

export const deployedKeys = (config: string): KeyStore => ({
  listNames: () => {
    const list = JSON.parse(callWrangler(['secret', 'list', '--config', config])) as { name: string }[];
    return list.map(({ name }) => name);
  },
  put: (name, value) => void callWrangler(['secret', 'put', name, '--config', config], value),
  remove: name => void callWrangler(['secret', 'delete', name, '--config', config]),
  listUnsealed: async kid => askDirectory<Unsealed>(config, unsealedQuery(kid)),
  note: '',
  how_to_begin: '`npm run -s keys` makes a first set, for `wrangler secret bulk`.',
});

type Secrets = Record<string, string>;

export function localKeys(state_dir: string): KeyStore {
  const file = secretsFile(state_dir);
  const change = (edit: (secrets: Secrets) => Secrets) => writeSecrets(state_dir, edit(readSecrets(state_dir)!));
  return {
    listNames: () => {
      const secrets = readSecrets(state_dir);
      if (!secrets) throw new Error(`there is no ${file}: \`npm start\` makes it`);
      return Object.keys(secrets);
    },
    put: (name, value) => change(secrets => ({ ...secrets, [name]: value })),
    remove: name => change(secrets => Object.fromEntries(Object.entries(secrets).filter(([other]) => other !== name))),
    listUnsealed: kid => askLocalDirectory<Unsealed>(state_dir, unsealedQuery(kid)),
    note: '`npm start` knows of it once it is started again. ',
    how_to_begin: '`npm start` makes the first ones.',
  };
}

export const secretsFile = (state_dir: string): string => path.join(state_dir, 'secrets.json');

export function readSecrets(state_dir: string): Secrets | null {
  const file = secretsFile(state_dir);
  return existsSync(file) ? nameKeys(JSON.parse(readFileSync(file, 'utf8')) as Secrets) : null;
}

/** Readable by its owner alone; whole or not at all. */
export function writeSecrets(state_dir: string, secrets: Secrets): void {
  const file = secretsFile(state_dir);
  writeFileSync(`${file}.new`, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

/** A folder from before each key had a name of its own holds them as two lists. */
function nameKeys({ TOKEN_KEYS, SEALING_KEYS, ...secrets }: Secrets): Secrets {
  const tokens = JSON.parse(TOKEN_KEYS ?? '[]') as { kid: string }[];
  const sealing = JSON.parse(SEALING_KEYS ?? '[]') as { kid: string; key: string }[];
  return {
    ...secrets,
    ...Object.fromEntries(tokens.map(jwk => [`TOKEN_KEY_${jwk.kid.toUpperCase()}`, JSON.stringify(jwk)])),
    ...Object.fromEntries(sealing.map(({ kid, key }) => [`SEALING_KEY_${kid.toUpperCase()}`, key])),
  };
}

/** The directory of a folder whose `npm start` need not run. */
export async function askLocalDirectory<Row>(state_dir: string, query: string): Promise<Row[]> {
  // nobody else waits until it is loaded
  const { convertV4MiniflareOptions, Log, LogLevel, Miniflare } = await import('miniflare');
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: '127.0.0.1',
      cf: false,
      log: new Log(LogLevel.ERROR),
      resourcePersistencePath: path.resolve(state_dir, 'cloudflare'),
      modules: true,
      script: 'export default { fetch: () => new Response() }',
      d1Databases: { DIRECTORY_DB: 'directory' },
    }),
  );
  try {
    const directory = await miniflare.getD1Database('DIRECTORY_DB');
    return (await directory.prepare(query).all<Row>()).results;
  } finally {
    await miniflare.dispose();
  }
}
