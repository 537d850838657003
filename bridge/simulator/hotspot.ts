// Hotspot users who log in and out, and what their sessions add up to.
import { formatUptime } from './facts.ts';
import {
  DialError,
  addListRows,
  beginSession,
  dropSession,
  inventMac,
  readMaxLimit,
  takeAddress,
} from './live-session.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';
import { parseDuration } from './values.ts';

export interface HotspotLoginOptions {
  server?: string;
  address?: string;
  mac?: string;
}

export interface HotspotUse {
  uptime_ms: number;
  bytes_in: number;
  bytes_out: number;
}

const DEFAULT_SERVER = 'hotspot1';
const FALLBACK_RANGE = '10.5.50.2-10.5.50.254';

/** Gives the id of the row in /ip/hotspot/active. */
export function logInHotspot(router: SimulatedRouter, name: string, options: HotspotLoginOptions): string {
  const server = options.server ?? DEFAULT_SERVER;
  const user = findUser(router, name, server);
  if (user === undefined) throw new DialError(`no hotspot user named ${name} for the server ${server}`);
  if (user.values.get('disabled') === 'true') throw new DialError(`the hotspot user ${name} is disabled`);
  const [profile] = router.table('/ip/hotspot/user/profile').find('name', user.values.get('profile') ?? 'default');
  refuseSpentUser(router, user, name);
  const shared = profile?.values.get('shared-users') ?? '1';
  if (shared !== 'unlimited' && listSessions(router, user).length >= Number(shared))
    throw new DialError(`no more sessions are allowed for user ${name}`);
  const mac = (options.mac ?? user.values.get('mac-address') ?? inventMac(router.sessions_begun + 1)).toUpperCase();
  const bound_to = user.values.get('mac-address');
  if (bound_to && bound_to.toUpperCase() !== mac) throw new DialError(`${name} is bound to ${bound_to}`);
  const source = options.address ?? user.values.get('address') ?? profile?.values.get('address-pool');
  const taken = takeAddress(router, source, FALLBACK_RANGE);
  router.sessions_begun++;
  const session = beginSession(router, {
    path: '/ip/hotspot/active',
    values: [
      ['server', server],
      ['user', name],
      ['address', taken.address],
      ['mac-address', mac],
      ['login-by', 'http-chap'],
      ['radius', 'false'],
    ],
    facts: [['user_id', user.id]],
    address: taken.address,
    max_limit: readMaxLimit(router, profile),
  });
  if (taken.pool !== null)
    session.addRow('/ip/pool/used', [
      ['pool', taken.pool],
      ['address', taken.address],
      ['owner', 'hotspot'],
      ['info', mac],
    ]);
  if (session.max_limit !== null)
    session.addRow('/queue/simple', [
      ['name', inventQueueName(router, `hotspot-${name}`)],
      ['target', `${taken.address}/32`],
      ['max-limit', session.max_limit],
    ]);
  addListRows(session, profile);
  router.addLog('hotspot,info,account', `${name} (${taken.address}): logged in`);
  return session.row.id;
}

/** What the session used is added to its user's counters. */
export function logOutHotspot(router: SimulatedRouter, row: Row, reason: string): void {
  const user = router.table('/ip/hotspot/user').get(row.facts.get('user_id') ?? '');
  if (user !== undefined) {
    const { uptime_ms, bytes_in, bytes_out } = addUp(readEnded(user), readSession(router, row));
    user.facts.set('uptime_ms', String(uptime_ms));
    user.facts.set('bytes_in', String(bytes_in));
    user.facts.set('bytes_out', String(bytes_out));
  }
  const uptime = formatUptime(router, Number(row.facts.get('created_ms')));
  dropSession(router, '/ip/hotspot/active', row);
  if (user !== undefined) router.table('/ip/hotspot/user').touch(user);
  const [name, address] = [row.values.get('user') ?? '', row.values.get('address') ?? ''];
  router.addLog('hotspot,info,account', `${name} (${address}): logged out: ${reason} after ${uptime}`);
}

/** All a user ever used, the sessions that still last included. */
export function readHotspotUse(router: SimulatedRouter, user: Row): HotspotUse {
  return listSessions(router, user).reduce((sum, row) => addUp(sum, readSession(router, row)), readEnded(user));
}

function findUser(router: SimulatedRouter, name: string, server: string): Row | undefined {
  const users = [...router.table('/ip/hotspot/user').find('name', name)];
  const isFor = (wanted: string) => (user: Row) => (user.values.get('server') ?? 'all') === wanted;
  return users.find(isFor(server)) ?? users.find(isFor('all'));
}

function listSessions(router: SimulatedRouter, user: Row): Row[] {
  const rows = [...router.table('/ip/hotspot/active').find('user', user.values.get('name') ?? '')];
  return rows.filter(row => row.facts.get('user_id') === user.id);
}

function refuseSpentUser(router: SimulatedRouter, user: Row, name: string): void {
  const { uptime_ms, bytes_in, bytes_out } = readHotspotUse(router, user);
  const isReached = (field: string, used: number) => {
    const limit = Number(user.values.get(field) ?? 0);
    return limit > 0 && used >= limit;
  };
  const limit_uptime_ms = parseDuration(user.values.get('limit-uptime') ?? '') ?? 0;
  if (limit_uptime_ms > 0 && uptime_ms >= limit_uptime_ms) throw new DialError(`user ${name} has reached uptime limit`);
  const is_spent =
    isReached('limit-bytes-in', bytes_in) ||
    isReached('limit-bytes-out', bytes_out) ||
    isReached('limit-bytes-total', bytes_in + bytes_out);
  if (is_spent) throw new DialError(`user ${name} has reached traffic limit`);
}

function readSession(router: SimulatedRouter, row: Row): HotspotUse {
  const bytes = row.meter?.read().bytes ?? { up: 0, down: 0 };
  const uptime_ms = Math.max(0, router.now() - Number(row.facts.get('created_ms')));
  return { uptime_ms, bytes_in: bytes.up, bytes_out: bytes.down };
}

function readEnded(user: Row): HotspotUse {
  const read = (fact: string) => Number(user.facts.get(fact) ?? 0);
  return { uptime_ms: read('uptime_ms'), bytes_in: read('bytes_in'), bytes_out: read('bytes_out') };
}

function addUp(a: HotspotUse, b: HotspotUse): HotspotUse {
  return {
    uptime_ms: a.uptime_ms + b.uptime_ms,
    bytes_in: a.bytes_in + b.bytes_in,
    bytes_out: a.bytes_out + b.bytes_out,
  };
}

function inventQueueName(router: SimulatedRouter, base: string): string {
  let name = `<${base}>`;
  for (let copy = 1; router.hasName('/queue/simple', name); copy++) name = `<${base}-${copy}>`;
  return name;
}
