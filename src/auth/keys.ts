import type { Env } from '../env.ts';
import { parseKeyName, prefixOf, sortKeys, type KeyName, type KeyUse } from './key-names.ts';

/** The keys that are bound to this isolate. */

export interface NamedKey extends KeyName {
  value: string;
}

/** What is bound to an isolate stays: a key that comes or goes is another deployment. Thousands of names are read once. */
const listed = { token: new WeakMap<Env, NamedKey[]>(), sealing: new WeakMap<Env, NamedKey[]>() };

/** Sorted; never empty. */
export function listKeys(env: Env, use: KeyUse): NamedKey[] {
  const known = listed[use].get(env);
  if (known) return known;
  const found = Object.entries(env).flatMap(([binding, value]) => {
    const name = parseKeyName(use, binding);
    return name ? [{ ...name, value: value as string }] : [];
  });
  if (found.length === 0) throw new Error(`no ${prefixOf(use)}… is set: \`npm run keys\` makes a first one`);
  const keys = sortKeys(found);
  listed[use].set(env, keys);
  return keys;
}

/** Importing keys costs more than using them: once per isolate and set. */
export function importOnce<T>(use: KeyUse, importKeys: (keys: readonly NamedKey[]) => Promise<T>) {
  let last: { keys: readonly NamedKey[]; imported: T } | null = null;
  return async (env: Env): Promise<T> => {
    const keys = listKeys(env, use);
    const is_same = (other: readonly NamedKey[]) =>
      other.length === keys.length &&
      other.every(({ kid, value }, at) => kid === keys[at]!.kid && value === keys[at]!.value);
    if (last && (last.keys === keys || is_same(last.keys))) return last.imported;
    const imported = await importKeys(keys);
    last = { keys, imported };
    return imported;
  };
}
