// PPPoE users who come and go: the session, and the dynamic rows a router makes for it.
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { numberToAddress, parseRanges, rate, pair } from './values.ts';
import { formatUptime } from './facts.ts';
import { isIPv4 } from 'node:net';

export interface DialOptions {
  address?: string;
  caller_id?: string;
}

/** Why a user is not let in. */
export class DialError extends Error {}

/** Logs a user in as PPPoE would; gives the id of the row in /ppp/active. */
export function dialIn(router: SimulatedRouter, name: string, options: DialOptions): string {
  const [secret] = router.table('/ppp/secret').find('name', name);
  if (secret === undefined) throw new DialError(`no secret named ${name}`);
  if (secret.values.get('disabled') === 'true') throw new DialError(`the secret ${name} is disabled`);
  if (!['any', 'pppoe'].includes(secret.values.get('service') ?? 'any'))
    throw new DialError(`${name} may not use PPPoE`);
  const [profile] = router.table('/ppp/profile').find('name', secret.values.get('profile') ?? 'default');
  const is_active = router.hasName('/ppp/active', name);
  if (is_active && profile?.values.get('only-one') === 'yes') throw new DialError(`${name} is already logged in`);
  const caller_id = options.caller_id ?? (secret.values.get('caller-id') || inventMac(router.sessions_dialled + 1));
  const bound_to = secret.values.get('caller-id');
  if (bound_to && bound_to.toUpperCase() !== caller_id.toUpperCase())
    throw new DialError(`${name} is bound to ${bound_to}`);
  const source = secret.values.get('remote-address') ?? profile?.values.get('remote-address');
  const { address, pool } = takeAddress(router, options.address ?? source);
  router.sessions_dialled++;
  const session_id = `0x${(0x81000000 + router.sessions_dialled).toString(16)}`;
  const row = router.table('/ppp/active').insert({
    values: [
      ['name', name],
      ['service', 'pppoe'],
      ['caller-id', caller_id],
      ['address', address],
      ['session-id', session_id],
      ['limit-bytes-in', secret.values.get('limit-bytes-in') ?? '0'],
      ['limit-bytes-out', secret.values.get('limit-bytes-out') ?? '0'],
      ['radius', 'false'],
    ],
    dynamic: true,
  });
  row.facts.set('created_ms', String(router.now()));
  addSessionRows(router, row, profile, pool);
  router.addLog('pppoe,ppp,info,account', `${name} logged in, ${address} from ${caller_id}`);
  return row.id;
}

/** Ends one live session and takes along what was made for it. */
export function endSession(router: SimulatedRouter, session: Row, reason: string): void {
  router.table('/ppp/active').delete(session);
  const session_id = session.values.get('session-id') ?? '';
  for (const made of session_rows.get(session) ?? []) router.table(made.path).delete(made.row);
  const name = session.values.get('name') ?? '';
  const [secret] = router.table('/ppp/secret').find('name', name);
  secret?.facts.set('last_logged_out_ms', String(router.now()));
  secret?.facts.set('last-caller-id', session.values.get('caller-id') ?? '');
  secret?.facts.set('last-disconnect-reason', reason);
  const uptime = formatUptime(router, Number(session.facts.get('created_ms')));
  router.addLog('pppoe,ppp,info,account', `${name} logged out, ${uptime}, session ${session_id}, ${reason}`);
}

const session_rows = new WeakMap<Row, { path: string; row: Row }[]>();

function addSessionRows(router: SimulatedRouter, session: Row, profile: Row | undefined, pool: string | null): void {
  const name = session.values.get('name') ?? '';
  const address = session.values.get('address') ?? '';
  const made: { path: string; row: Row }[] = [];
  const insert = (path: string, values: [string, string][]) => {
    const row = router.table(path).insert({ values, dynamic: true });
    row.facts.set('created_ms', String(router.now()));
    made.push({ path, row });
  };
  const interface_name = inventName(router, `pppoe-${name}`);
  insert('/interface', [
    ['name', interface_name],
    ['type', 'pppoe-in'],
    ['mtu', '1480'],
  ]);
  if (pool !== null)
    insert('/ip/pool/used', [
      ['pool', pool],
      ['address', address],
      ['owner', 'PPP'],
      ['info', name],
    ]);
  const limit = profile?.values.get('rate-limit')?.split(' ')[0];
  const max_limit = limit ? pair(rate).parse(limit, router) : null;
  if (max_limit !== null) {
    insert('/queue/simple', [
      ['name', interface_name],
      ['target', interface_name],
      ['max-limit', max_limit],
    ]);
  }
  for (const list of profile?.values.get('address-list')?.split(',').filter(Boolean) ?? []) {
    insert('/ip/firewall/address-list', [
      ['list', list],
      ['address', address],
    ]);
  }
  session_rows.set(session, made);
}

function inventName(router: SimulatedRouter, base: string): string {
  let name = `<${base}>`;
  for (let copy = 1; router.hasName('/interface', name); copy++) name = `<${base}-${copy}>`;
  return name;
}

// An address given stands; a pool's name takes the first free one, from its next pool when it is used up.
function takeAddress(router: SimulatedRouter, source: string | undefined): { address: string; pool: string | null } {
  if (source !== undefined && isIPv4(source)) return { address: source, pool: null };
  const used = new Set<string>();
  for (const row of router.table('/ppp/active').all()) used.add(row.values.get('address') ?? '');
  const seen = new Set<string>();
  for (let name = source; name !== undefined && !seen.has(name);) {
    seen.add(name);
    const [pool] = router.table('/ip/pool').find('name', name);
    const free = findFreeAddress(pool?.values.get('ranges') ?? '', used);
    if (free !== null) return { address: free, pool: name };
    name = pool?.values.get('next-pool');
  }
  if (source !== undefined && seen.size > 0 && router.hasName('/ip/pool', source)) {
    throw new DialError(`no address is left in the pool ${source}`);
  }
  // A router without an address to give falls back on one of these.
  return { address: findFreeAddress('10.112.112.2-10.112.127.254', used) ?? '10.112.112.1', pool: null };
}

function findFreeAddress(ranges: string, used: ReadonlySet<string>): string | null {
  for (const [first, last] of ranges === '' ? [] : (parseRanges(ranges) ?? [])) {
    for (let number = first; number <= last; number++) {
      const address = numberToAddress(number);
      if (!used.has(address)) return address;
    }
  }
  return null;
}

function inventMac(number: number): string {
  const hex = number.toString(16).toUpperCase().padStart(6, '0').slice(-6);
  return `02:00:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`;
}
