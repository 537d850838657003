/** The live PPP sessions of a router, each with the byte counters of its own interface. */
import type { RouterConnection, Row } from '../routeros/connection.ts';
import { collectGarbage } from '../collect-garbage.ts';
import { isRefusal } from '../apply/failure.ts';
import { readWhole } from '../apply/probe.ts';
import { parseDuration } from '../../src/lib/routeros/values.ts';
import type { SessionReading, Traffic } from './counters.ts';

const MANY_ROWS = 200;
/** Text from a router, as long as the cloud keeps it. */
const [MOST_NAME, MOST_ID] = [255, 50];

export interface SessionsRead {
  sessions: SessionReading[];
  /** Why no bytes could be read, in the router's words. */
  error: string | null;
}

/**
 * Sessions, interfaces, sessions again: who is in both was there all the while, so that the interface read in between
 * is that session's and not the one of a session before or after it.
 */
export async function readSessions(connection: RouterConnection): Promise<SessionsRead> {
  const before = await connection.print('/ppp/active', { proplist: ['.id', 'name', 'session-id', 'service'] });
  if (before.length === 0) return { sessions: [], error: null };
  const services = [...new Set(before.map(readService))];
  const stayed = new Set(before.map(readKey));
  before.length = 0;
  tidy(stayed.size);
  const query = services.flatMap((service, at) => [`?type=${service}-in`, ...(at === 0 ? [] : ['?#|'])]);
  const proplist = ['.id', 'name', 'rx-byte', 'tx-byte'];
  let error: string | null = null;
  const interfaces = await connection.print('/interface', { proplist, query }).catch((failure: unknown) => {
    if (!isRefusal(failure)) throw failure;
    error = failure.message;
    return [];
  });
  tidy(stayed.size);
  const rows = await connection.print('/ppp/active', {
    proplist: ['.id', 'name', 'session-id', 'address', 'uptime', 'service'],
  });
  const traffic = matchTraffic(rows, stayed, interfaces);
  return { sessions: rows.map(row => describeSession(row, traffic.get(row) ?? null)), error };
}

const tidy = (rows: number) => void (rows >= MANY_ROWS && collectGarbage());

/** Which interface is whose. Where that is not sure, nobody's. */
export function matchTraffic(
  sessions: readonly Row[],
  stayed: ReadonlySet<string>,
  interfaces: readonly Row[],
): Map<Row, Traffic> {
  const groups = Map.groupBy(sessions, row => `<${readService(row)}-${row.name ?? ''}>`);
  const found = Map.groupBy(interfaces, ({ name = '' }) => {
    if (groups.has(name)) return name;
    // a second session of one user: <pppoe-budi-1>
    const first = name.replace(/-\d+>$/, '>');
    return first !== name && groups.has(first) ? first : '';
  });
  const matched = new Map<Row, Traffic>();
  for (const [name, group] of groups) {
    const candidates = found.get(name) ?? [];
    if (candidates.length !== group.length || !group.every(row => stayed.has(readKey(row)))) continue;
    // both lists from the oldest on
    candidates.sort((a, b) => readId(a) - readId(b));
    group.sort((a, b) => (readUptime(b) ?? 0) - (readUptime(a) ?? 0) || readId(a) - readId(b));
    for (const [at, row] of group.entries()) {
      const traffic = readTraffic(candidates[at] ?? {});
      if (traffic) matched.set(row, traffic);
    }
  }
  return matched;
}

function describeSession(row: Row, traffic: Traffic | null): SessionReading {
  const { name = '', address = '' } = row;
  return {
    name: name.slice(0, MOST_NAME),
    session_id: readSessionId(row).slice(0, MOST_ID),
    address: address.slice(0, MOST_ID) || null,
    uptime_seconds: readUptime(row),
    traffic,
  };
}

function readTraffic({ name = '', 'rx-byte': rx = '', 'tx-byte': tx = '' }: Row): Traffic | null {
  const [rx_bytes, tx_bytes] = [rx, tx].map(text => (/^\d+$/.test(text) ? Number(text) : NaN)) as [number, number];
  return Number.isSafeInteger(rx_bytes) && Number.isSafeInteger(tx_bytes)
    ? { interface: name.slice(0, MOST_NAME), rx_bytes, tx_bytes }
    : null;
}

function readUptime({ uptime = '' }: Row): number | null {
  return readWhole(parseDuration(uptime));
}

const readService = ({ service }: Row) => service || 'pppoe';
const readSessionId = (row: Row) => row['session-id'] || row['.id'] || '';
const readKey = (row: Row) => `${readSessionId(row)} ${row.name ?? ''}`;
/** Ids grow with time: `*1A` is older than `*1B`. */
const readId = (row: Row) => parseInt((row['.id'] ?? '').slice(1), 16) || 0;
