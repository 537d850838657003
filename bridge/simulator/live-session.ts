// A customer who is online: a row, its traffic, and the dynamic rows that go when the session ends.
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { numberToAddress, pair, parseRanges, rate } from './values.ts';
import { isIPv4 } from 'node:net';

/** Why a user is not let in. */
export class DialError extends Error {}

export interface LiveSession {
  row: Row;
  address: string;
  max_limit: string | null;
  /** Adds a dynamic row that goes when the session ends. */
  addRow(path: string, values: [string, string][]): void;
}

export interface NewSession {
  path: '/ppp/active' | '/ip/hotspot/active';
  values: [string, string][];
  facts?: [string, string][];
  address: string;
  max_limit: string | null;
}

const session_rows = new WeakMap<Row, { path: string; row: Row }[]>();

/** The row of a live session, with traffic that counts from 0. */
export function beginSession(router: SimulatedRouter, wanted: NewSession): LiveSession {
  const { path, values, facts = [], address, max_limit } = wanted;
  const meter = router.traffic.begin(address, max_limit);
  const session_facts: [string, string][] = [['created_ms', String(router.now())], ...facts];
  const row = router.table(path).insert({ values, facts: session_facts, dynamic: true, meter });
  const made: { path: string; row: Row }[] = [];
  session_rows.set(row, made);
  const addRow = (menu: string, row_values: [string, string][]) => {
    const created: [string, string][] = [['created_ms', String(router.readClock())]];
    const dynamic_row = router.table(menu).insert({ values: row_values, facts: created, dynamic: true, meter });
    made.push({ path: menu, row: dynamic_row });
  };
  return { row, address, max_limit, addRow };
}

/** Takes a session's rows away; what else must be written down is the caller's. */
export function dropSession(router: SimulatedRouter, path: NewSession['path'], row: Row): void {
  router.table(path).delete(row);
  if (row.meter !== null) router.traffic.end(row.values.get('address') ?? '', row.meter);
  for (const made of session_rows.get(row) ?? []) router.table(made.path).delete(made.row);
}

export function addListRows(session: LiveSession, profile: Row | undefined): void {
  for (const list of profile?.values.get('address-list')?.split(',').filter(Boolean) ?? []) {
    session.addRow('/ip/firewall/address-list', [
      ['list', list],
      ['address', session.address],
    ]);
  }
}

/** Upload and download as a queue's max-limit, from the first part of a rate-limit. */
export function readMaxLimit(router: SimulatedRouter, profile: Row | undefined): string | null {
  const limit = profile?.values.get('rate-limit')?.split(' ')[0];
  return limit ? pair(rate).parse(limit, router) : null;
}

export interface TakenAddress {
  address: string;
  pool: string | null;
}

/** An address given stands; a pool's name takes the first free one, from its next pool when it is used up. */
export function takeAddress(router: SimulatedRouter, source: string | undefined, fallback: string): TakenAddress {
  if (source !== undefined && isIPv4(source)) return { address: source, pool: null };
  const isFree = (address: string) =>
    !router.hasValue('/ppp/active', 'address', address) && !router.hasValue('/ip/hotspot/active', 'address', address);
  const seen = new Set<string>();
  for (let name = source; name !== undefined && !seen.has(name);) {
    seen.add(name);
    const [pool] = router.table('/ip/pool').find('name', name);
    const free = findFreeAddress(pool?.values.get('ranges') ?? '', isFree);
    if (free !== null) return { address: free, pool: name };
    name = pool?.values.get('next-pool');
  }
  if (source !== undefined && router.hasName('/ip/pool', source)) {
    throw new DialError(`no address is left in the pool ${source}`);
  }
  // A router without an address to give falls back on one of these.
  const free = findFreeAddress(fallback, isFree);
  if (free === null) throw new DialError('no address is left');
  return { address: free, pool: null };
}

function findFreeAddress(ranges: string, isFree: (address: string) => boolean): string | null {
  for (const [first, last] of ranges === '' ? [] : (parseRanges(ranges) ?? [])) {
    for (let number = first; number <= last; number++) {
      const address = numberToAddress(number);
      if (isFree(address)) return address;
    }
  }
  return null;
}

/** `02:00:00:00:00:2A`: locally administered, so that it is nobody's. */
export function inventMac(number: number): string {
  const hex = number.toString(16).toUpperCase().padStart(6, '0').slice(-6);
  return `02:00:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`;
}
