/**
 * Keys in turn. Each is a secret of its own, TOKEN_KEY_<ID> or SEALING_KEY_<ID>, whose id begins with the UTC time of its
 * making: `20261129T141500Z_1F3A`. All of them verify and open; one signs and seals.
 */

/** How long a token that was signed is good. */
export const ACCESS_TOKEN_SECONDS = 15 * 60;

export const KEY_USES = ['token', 'sealing'] as const;
export type KeyUse = (typeof KEY_USES)[number];

/** How long a new key is only known before it signs or seals: everybody who must accept that knows it by then. */
export const KEY_OVERLAP_MS = 10 * 60_000;

/** No request, and no batch of a queue, that began before is still at work: nothing more comes of the older key. */
export const KEY_SETTLED_MS = KEY_OVERLAP_MS + 20 * 60_000;

export interface KeyName {
  binding: string;
  /** Stands in what the key made; holds no dot. */
  kid: string;
  /** Epoch ms, by its name; one whose name tells no time is older than all others. */
  made_at_ms: number;
}

export const prefixOf = (use: KeyUse): string => `${use.toUpperCase()}_KEY_`;

/** Null: the name of something else. */
export function parseKeyName(use: KeyUse, binding: string): KeyName | null {
  const prefix = prefixOf(use);
  if (!binding.startsWith(prefix) || !/^\w+$/.test(binding.slice(prefix.length))) return null;
  const id = binding.slice(prefix.length);
  const time = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/i.exec(id);
  const made_at_ms = time ? Date.parse(`${time.slice(1, 4).join('-')}T${time.slice(4).join(':')}Z`) : NaN;
  return { binding, kid: id.toLowerCase(), made_at_ms: Number.isNaN(made_at_ms) ? 0 : made_at_ms };
}

/** `suffix` tells keys of one second apart. */
export function formatKeyName(use: KeyUse, now: number, suffix: string): string {
  const time = new Date(now).toISOString().replace(/\.\d+/, '').replace(/[-:]/g, '');
  return `${prefixOf(use)}${time}_${suffix.toUpperCase()}`;
}

/** Oldest first. */
export const sortKeys = <K extends KeyName>(keys: readonly K[]): K[] =>
  keys.toSorted((a, b) => a.made_at_ms - b.made_at_ms || (a.kid < b.kid ? -1 : 1));

/** The newest that has been known for so long; where none has, the oldest. `keys` are sorted, and not empty. */
export const pickKey = <K extends KeyName>(keys: readonly K[], now: number, known_for_ms = KEY_OVERLAP_MS): K =>
  keys.findLast(key => key.made_at_ms + known_for_ms <= now) ?? keys[0]!;
