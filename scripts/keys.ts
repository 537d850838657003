import './quiet-env.ts';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { exportJWK, generateKeyPair } from 'jose';
import {
  ACCESS_TOKEN_SECONDS,
  formatKeyName,
  KEY_OVERLAP_MS,
  KEY_SETTLED_MS,
  KEY_USES,
  parseKeyName,
  pickKey,
  sortKeys,
  type KeyName,
  type KeyUse,
} from '../src/auth/key-names.ts';
import { deployedKeys, localKeys, type KeyStore } from './key-stores.ts';

/**
 * `npm run keys` prints a first set, for `wrangler secret bulk`. `-- rotate token` (or `sealing`) makes a new key,
 * `-- retire token` (or `sealing`) removes those that nothing needs any more. `--config` names another wrangler.toml;
 * `--state .state` does it to what `npm start` keeps; `--keep file` of rotate writes the new key to a file as well.
 */

/** What a person must know, and can do something about; it is shown as it is. */
class Refused extends Error {}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const MAKERS: Record<KeyUse, () => Promise<string>> = {
  token: async () => {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true, modulusLength: 2048 });
    return JSON.stringify(await exportJWK(privateKey));
  },
  sealing: async () => randomBytes(32).toString('base64'),
};

async function makeKey(use: KeyUse, now: number): Promise<{ name: string; value: string }> {
  return { name: formatKeyName(use, now, randomBytes(2).toString('hex')), value: await MAKERS[use]() };
}

/** The Worker's secrets, freshly made: as they stand in its environment. */
export async function makeSecrets(now: number): Promise<Record<string, string>> {
  const made = await Promise.all(KEY_USES.map(use => makeKey(use, now)));
  return Object.fromEntries(made.map(({ name, value }) => [name, value]));
}

const listKeys = (store: KeyStore, use: KeyUse): KeyName[] =>
  sortKeys(store.listNames().flatMap(name => parseKeyName(use, name) ?? []));

const formatTime = (at_ms: number) => `${new Date(at_ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

async function rotate(store: KeyStore, use: KeyUse, now: number, keep_in: string | undefined): Promise<void> {
  const newest = listKeys(store, use).at(-1);
  if (!newest) throw new Refused(`There is no ${use} key yet. ${store.how_to_begin}`);
  if (newest.made_at_ms >= now)
    throw new Refused(`${newest.binding} is newer than the clock of this machine says: set the clock, or wait.`);
  const { name, value } = await makeKey(use, now);
  if (keep_in !== undefined) writeNew(keep_in, `${JSON.stringify({ [name]: value }, null, 2)}\n`);
  store.put(name, value);
  say(`made ${name}: it ${use === 'token' ? 'signs' : 'seals'} from ${formatTime(now + KEY_OVERLAP_MS)} on`);
  say(`${store.note}Later: npm run keys -- retire ${use}`);
}

function writeNew(file: string, text: string): void {
  if (existsSync(file)) throw new Refused(`--keep: ${file} is there already`);
  writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
}

/** When the last token is over that was signed before this key was. */
const outlived_ms = (next: KeyName): number =>
  next.made_at_ms + KEY_OVERLAP_MS + ACCESS_TOKEN_SECONDS * 1000 + KEY_OVERLAP_MS;

/** Each by the key that came after it. */
function listSpentTokenKeys(keys: readonly KeyName[], now: number): KeyName[] {
  const spent = keys.filter((_, at) => at + 1 < keys.length && outlived_ms(keys[at + 1]!) <= now);
  if (spent.length > 0) return spent;
  throw new Refused(`${keys[0]!.binding} may still have signed tokens that are good: until ${formatTime(outlived_ms(keys[1]!))}.`); // prettier-ignore
}

async function listSpentSealingKeys(store: KeyStore, keys: readonly KeyName[], now: number): Promise<KeyName[]> {
  const current = pickKey(keys, now, KEY_SETTLED_MS);
  const older = keys.slice(0, keys.indexOf(current));
  if (older.length === 0)
    throw new Refused(
      `What ${current.binding} sealed is sealed anew from ${formatTime(keys[1]!.made_at_ms + KEY_SETTLED_MS)} on.`,
    );
  const left = await store.listUnsealed(current.kid);
  if (left.length === 0) return older;
  const named = left.slice(0, 20).map(({ slug, status }) => (status === 'active' ? slug : `${slug} (${status})`));
  throw new Refused(
    `Not sealed anew with ${current.binding} yet: ${named.join(', ')}${left.length > named.length ? ', and more' : ''}. ` +
      'The sweep does it, of those that are active; GET /jobs?kind=reseal of each says what is in the way.',
  );
}

async function retire(store: KeyStore, use: KeyUse, now: number): Promise<void> {
  const keys = listKeys(store, use);
  if (keys.length < 2) return say(`nothing to retire: ${keys[0]?.binding ?? `there is no ${use} key`} is the only one`);
  const spent = use === 'token' ? listSpentTokenKeys(keys, now) : await listSpentSealingKeys(store, keys, now);
  for (const { binding } of spent) {
    store.remove(binding);
    say(`removed ${binding}`);
  }
  if (store.note) say(store.note.trim());
}

const USAGE = 'npm run keys [-- rotate|retire token|sealing [--config wrangler.toml | --state .state] [--keep file]]';

async function main(args: string[], now: number): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { config: { type: 'string' }, state: { type: 'string' }, keep: { type: 'string' } },
  });
  const [command, use, ...more] = positionals;
  if (command === undefined) return say(JSON.stringify(await makeSecrets(now), null, 2));
  const is_known = KEY_USES.includes(use as KeyUse) && more.length === 0 && ['rotate', 'retire'].includes(command);
  if (!is_known) throw new Refused(USAGE);
  const store = values.state === undefined ? deployedKeys(path.resolve(values.config ?? 'wrangler.toml')) : localKeys(values.state); // prettier-ignore
  if (command === 'rotate') await rotate(store, use as KeyUse, now, values.keep);
  else await retire(store, use as KeyUse, now);
}

if (import.meta.main)
  await main(process.argv.slice(2), Date.now()).catch((error: unknown) => {
    if (!(error instanceof Refused)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
