/** The ranges of an address pool, as people write them and as RouterOS holds them. Pure. */

export interface PoolRanges {
  /** `10.0.0.2-10.0.0.254,10.0.1.2`: first and last of each, in the order given. */
  ranges: string;
  /** How many addresses they hold. */
  size: number;
}

type Range = [first: number, last: number];

function parseAddress(text: string): number | null {
  const parts = text.split('.');
  // `010` is eight to some: it is no part of an address
  if (parts.length !== 4 || !parts.every(part => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return null;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

const formatAddress = (number: number): string =>
  [24, 16, 8, 0].map(shift => Math.floor(number / 2 ** shift) % 256).join('.');

/** `192.168.1.0/24`, `192.168.1.10-192.168.1.200`, `192.168.1.10-200` or one address. */
function parseRange(text: string): Range | null {
  const prefix = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  if (prefix) {
    const address = parseAddress(prefix[1]!);
    const bits = Number(prefix[2]);
    if (address === null || bits < 8 || bits > 32) return null;
    const size = 2 ** (32 - bits);
    const first = address - (address % size);
    return [first, first + size - 1];
  }
  const [from = '', to = from, ...more] = text.split('-').map(part => part.trim());
  const first = parseAddress(from);
  const last = /^\d{1,3}$/.test(to) ? parseAddress(from.replace(/\d+$/, to)) : parseAddress(to);
  if (first === null || last === null || last < first || more.length > 0) return null;
  return [first, last];
}

/** What is wrong with them, in words, where something is. */
export function parsePoolRanges(text: string): PoolRanges | string {
  const ranges: Range[] = [];
  for (const part of text.split(',').map(each => each.trim())) {
    const range = parseRange(part);
    if (!range) return `"${part.slice(0, 50)}" is no range of IPv4 addresses`;
    ranges.push(range);
  }
  const sorted = ranges.toSorted((a, b) => a[0] - b[0]);
  const overlaps = sorted.some(([first], at) => at > 0 && first <= sorted[at - 1]![1]);
  if (overlaps) return 'the ranges overlap';
  const write = ([first, last]: Range) =>
    first === last ? formatAddress(first) : `${formatAddress(first)}-${formatAddress(last)}`;
  return {
    ranges: ranges.map(write).join(','),
    size: ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0),
  };
}

/** Whether one of the addresses of `ranges`, as RouterOS holds them, is this one. */
export function holdsAddress(ranges: string, address: string): boolean {
  const number = parseAddress(address);
  return ranges.split(',').some(text => {
    const range = parseRange(text);
    return range !== null && number !== null && range[0] <= number && number <= range[1];
  });
}
