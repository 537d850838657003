// PPPoE users who come and go: the session, and the dynamic rows a router makes for it.
import { isIPv4 } from 'node:net';
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
import type { LiveSession, TakenAddress } from './live-session.ts';
import type { SimulatedRouter } from './router.ts';
import type { Row } from './table.ts';

export interface DialOptions {
  address?: string;
  caller_id?: string;
}

const FALLBACK_RANGE = '10.112.112.2-10.112.127.254';
/** The router's end of a line whose profile names none. */
const OWN_ADDRESS = '10.112.112.1';

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
  const caller_id = options.caller_id ?? (secret.values.get('caller-id') || inventMac(router.sessions_begun + 1));
  const bound_to = secret.values.get('caller-id');
  if (bound_to && bound_to.toUpperCase() !== caller_id.toUpperCase())
    throw new DialError(`${name} is bound to ${bound_to}`);
  const source = secret.values.get('remote-address') ?? profile?.values.get('remote-address');
  const taken = takeAddress(router, options.address ?? source, FALLBACK_RANGE);
  router.sessions_begun++;
  const session = beginSession(router, {
    path: '/ppp/active',
    values: [
      ['name', name],
      ['service', 'pppoe'],
      ['caller-id', caller_id],
      ['address', taken.address],
      ['session-id', `0x${(0x81000000 + router.sessions_begun).toString(16)}`],
      ['limit-bytes-in', secret.values.get('limit-bytes-in') ?? '0'],
      ['limit-bytes-out', secret.values.get('limit-bytes-out') ?? '0'],
      ['radius', 'false'],
    ],
    address: taken.address,
    max_limit: readMaxLimit(router, profile),
  });
  const local = secret.values.get('local-address') ?? profile?.values.get('local-address');
  addPppRows(router, session, name, taken, local !== undefined && isIPv4(local) ? local : OWN_ADDRESS);
  addListRows(session, profile);
  router.addLog('pppoe,ppp,info,account', `${name} logged in, ${taken.address} from ${caller_id}`);
  return session.row.id;
}

function addPppRows(
  router: SimulatedRouter,
  session: LiveSession,
  name: string,
  { address, pool }: TakenAddress,
  own_address: string,
): void {
  const interface_name = inventName(router, `pppoe-${name}`);
  session.addRow('/interface', [
    ['name', interface_name],
    ['type', 'pppoe-in'],
    ['mtu', '1480'],
  ]);
  session.addRow('/ip/address', [
    ['address', `${own_address}/32`],
    ['network', address],
    ['interface', interface_name],
  ]);
  if (pool !== null)
    session.addRow('/ip/pool/used', [
      ['pool', pool],
      ['address', address],
      ['owner', 'PPP'],
      ['info', name],
    ]);
  if (session.max_limit !== null) {
    session.addRow('/queue/simple', [
      ['name', interface_name],
      ['target', interface_name],
      ['max-limit', session.max_limit],
    ]);
  }
}

/** Ends one live session and takes along what was made for it. */
export function endSession(router: SimulatedRouter, row: Row, reason: string): void {
  dropSession(router, '/ppp/active', row);
  const name = row.values.get('name') ?? '';
  const [secret] = router.table('/ppp/secret').find('name', name);
  if (secret !== undefined) {
    secret.facts.set('last_logged_out_ms', String(router.readClock()));
    secret.facts.set('last-caller-id', row.values.get('caller-id') ?? '');
    secret.facts.set('last-disconnect-reason', reason);
    router.table('/ppp/secret').touch(secret);
  }
  const uptime = formatUptime(router, Number(row.facts.get('created_ms')));
  const session_id = row.values.get('session-id') ?? '';
  router.addLog('pppoe,ppp,info,account', `${name} logged out, ${uptime}, session ${session_id}, ${reason}`);
}

function inventName(router: SimulatedRouter, base: string): string {
  let name = `<${base}>`;
  for (let copy = 1; router.hasName('/interface', name); copy++) name = `<${base}-${copy}>`;
  return name;
}
