// How RouterOS reads a value and what it then reads back. Written from the spec alone and shared with no client.
import { isIP, isIPv4 } from 'node:net';

/** What a value may refer to: the router answers whether a menu holds a row of that name. */
export interface References {
  hasName(menu: string, name: string): boolean;
}

/** One kind of value. `parse` gives what reads back, or null when the router would refuse it. */
export interface Kind {
  parse(raw: string, references: References): string | null;
  /** As an export writes it, where that isn't what a print shows. */
  write?(value: string): string;
  /** A wrong value answers "input does not match any value of", as for choices and references. */
  is_choice?: true;
  /** The menu whose rows it names; `others` are words that stand for none of them. */
  refers_to?: string;
}

const MS_BY_UNIT: Record<string, number> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
};

/** `1d2h`, `26:00:00`, `1d02:00:00`, `90` (seconds), `300ms`; null where it is none of these. */
export function parseDuration(raw: string): number | null {
  const match = /^((?:\d+(?:w|d|h|ms?|s))*)(?:(\d+):(\d{1,2})(?::(\d{1,2}))?|(\d+))?$/.exec(raw.trim());
  if (!match || raw.trim() === '') return null;
  let total_ms = 0;
  for (const part of (match[1] ?? '').matchAll(/(\d+)(w|d|h|ms|m|s)/g)) {
    total_ms += Number(part[1]) * (MS_BY_UNIT[part[2] ?? ''] ?? 0);
  }
  total_ms += Number(match[2] ?? 0) * 3_600_000 + Number(match[3] ?? 0) * 60_000 + Number(match[4] ?? 0) * 1_000;
  total_ms += Number(match[5] ?? 0) * 1_000;
  return Number.isSafeInteger(total_ms) ? total_ms : null;
}

export function formatDuration(total_ms: number): string {
  if (total_ms === 0) return '0s';
  let rest_ms = total_ms;
  let text = '';
  for (const [unit, unit_ms] of Object.entries(MS_BY_UNIT)) {
    const count = Math.floor(rest_ms / unit_ms);
    rest_ms -= count * unit_ms;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}

/** `5M`, `512k`, `1.5M` or plain bits a second. */
export function parseRate(raw: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([kMG]?)$/i.exec(raw.trim());
  if (!match) return null;
  const factor = { '': 1, k: 1e3, m: 1e6, g: 1e9 }[(match[2] ?? '').toLowerCase()] ?? 1;
  const rate = Math.round(Number(match[1]) * factor);
  return Number.isSafeInteger(rate) ? rate : null;
}

function writeRate(value: string): string {
  const rate = Number(value);
  if (rate === 0) return '0';
  if (rate % 1e9 === 0) return `${rate / 1e9}G`;
  if (rate % 1e6 === 0) return `${rate / 1e6}M`;
  return rate % 1e3 === 0 ? `${rate / 1e3}k` : value;
}

const mapNull = <T>(value: T | null, map: (value: T) => string) => (value === null ? null : map(value));

export const text: Kind = { parse: raw => raw };
export const needed_text: Kind = { parse: raw => (raw === '' ? null : raw) };

export const flag: Kind = {
  parse: raw => {
    if (raw === 'yes' || raw === 'true') return 'true';
    return raw === 'no' || raw === 'false' ? 'false' : null;
  },
  write: value => (value === 'true' ? 'yes' : 'no'),
};

export const integer = (min: number, max: number): Kind => ({
  parse: raw => (/^\d+$/.test(raw) && Number(raw) >= min && Number(raw) <= max ? String(Number(raw)) : null),
});

/** Byte counts: `1G` is 2^30. */
export const byte_count: Kind = {
  parse: raw => {
    const match = /^(\d+)([kMG]?)$/i.exec(raw);
    if (!match) return null;
    const factor = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[(match[2] ?? '').toLowerCase()] ?? 1;
    return String(Number(match[1]) * factor);
  },
};

export const rate: Kind = { parse: raw => mapNull(parseRate(raw), String), write: writeRate };

export const duration: Kind = { parse: raw => mapNull(parseDuration(raw), formatDuration) };

export const duration_or = (...words: string[]): Kind => ({
  parse: (raw, references) => (words.includes(raw) ? raw : duration.parse(raw, references)),
});

export const choice = (...choices: string[]): Kind => ({
  is_choice: true,
  parse: raw => (choices.includes(raw) ? raw : null),
});

export const reference = (menu: string, ...others: string[]): Kind => ({
  is_choice: true,
  refers_to: menu,
  parse: (raw, references) => (others.includes(raw) || references.hasName(menu, raw) ? raw : null),
});

/** `upload/download`; a single value stands for both. */
export const pair = (kind: Kind): Kind => ({
  parse: (raw, references) => {
    const [first = '', second = first, ...more] = raw.split('/');
    const parsed = [kind.parse(first, references), kind.parse(second, references)];
    return more.length > 0 || parsed.includes(null) ? null : parsed.join('/');
  },
  write: value =>
    value
      .split('/')
      .map(part => kind.write?.(part) ?? part)
      .join('/'),
});

export const ip_address: Kind = { parse: raw => (isIP(raw) !== 0 ? raw : null) };

/** An address of its own, or the name of a pool to take one from. */
export const address_or_pool: Kind = {
  refers_to: '/ip/pool',
  parse: (raw, references) => (isIPv4(raw) || references.hasName('/ip/pool', raw) ? raw : null),
};

export const address_list: Kind = {
  parse: raw => (raw === '' || raw.split(',').every(part => isIP(part) !== 0) ? raw : null),
};

/** `192.168.1.1/24`; without a length it is a single host. */
export const prefix: Kind = {
  parse: raw => {
    const [address = '', length = '32', ...more] = raw.split('/');
    const is_valid = isIPv4(address) && /^\d{1,2}$/.test(length) && Number(length) <= 32 && more.length === 0;
    return is_valid ? `${address}/${Number(length)}` : null;
  },
};

/** A firewall list's address: host, network, range or a domain name. */
export const list_address: Kind = {
  parse: raw => {
    if (raw.endsWith('/32') && isIPv4(raw.slice(0, -3))) return raw.slice(0, -3);
    if (isIP(raw) !== 0 || prefix.parse(raw, noReferences) !== null) return raw;
    if (ranges.parse(raw, noReferences) !== null && !raw.includes(',')) return raw;
    return /^(?=.*[a-z])[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(raw) ? raw : null;
  },
};

const noReferences: References = { hasName: () => false };

/** What a simple queue shapes: addresses read back with their length, anything else is an interface's name. */
export const targets: Kind = {
  parse: raw => {
    const parts = raw.split(',').map(part => (isIPv4(part) ? `${part}/32` : part));
    return parts.every(part => /^[\d./]+$/.test(part) === false || prefix.parse(part, noReferences) !== null)
      ? parts.join(',')
      : null;
  },
};

export function addressToNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function numberToAddress(number: number): string {
  return [24, 16, 8, 0].map(shift => Math.floor(number / 2 ** shift) % 256).join('.');
}

/** The first and last address of each of a pool's ranges; null where one can't be read. */
export function parseRanges(raw: string): [first: number, last: number][] | null {
  const parsed: [number, number][] = [];
  for (const part of raw.split(',')) {
    const [first = '', last = first] = part.split('-');
    if (part.includes('/')) {
      if (prefix.parse(part, noReferences) === null) return null;
      const size = 2 ** (32 - Number(part.split('/')[1]));
      const start = Math.floor(addressToNumber(part.split('/')[0] ?? '') / size) * size;
      parsed.push([start, start + size - 1]);
    } else if (isIPv4(first) && isIPv4(last) && addressToNumber(first) <= addressToNumber(last)) {
      parsed.push([addressToNumber(first), addressToNumber(last)]);
    } else return null;
  }
  return parsed;
}

export const ranges: Kind = { parse: raw => (parseRanges(raw) === null ? null : raw) };

/** A profile's rate limit reads back as it was given, if it can be read at all. */
export const rate_limit: Kind = {
  parse: raw => {
    if (raw === '') return raw;
    const [limit = '', burst = '0', threshold = '0', time = '0', priority = '8', min = '0', ...more] = raw.split(' ');
    const rates = [limit, burst, threshold, min].every(part => pair(rate).parse(part, noReferences) !== null);
    const is_valid = rates && pair(duration).parse(time, noReferences) !== null && /^[1-8](\/[1-8])?$/.test(priority);
    return is_valid && more.length === 0 ? raw : null;
  },
};
