/** What flows through the live sessions of one PPP name now. */
import { isRefusal } from '../apply/failure.ts';
import type { RouterConnection, Row } from '../routeros/connection.ts';

const INTERFACE_PROPERTIES = ['.id', 'name', 'dynamic', 'rx-byte', 'tx-byte'];
const SESSION_PROPERTIES = ['.id', 'name', 'service', 'session-id', 'address', 'caller-id', 'uptime'];

/** A row for each session; where its interface isn't surely known or has just gone, without rates. */
export async function readTraffic(connection: RouterConnection, name: string): Promise<Row[]> {
  const active = await connection.print('/ppp/active', { proplist: SESSION_PROPERTIES, query: [`?name=${name}`] });
  const sessions = active.filter(session => session.name === name);
  if (sessions.length === 0) return [];
  const interfaces = await findInterfaces(connection, name, sessions);
  return await Promise.all(
    sessions.map(async session => {
      const own = interfaces.get(session);
      if (!own) return session;
      const { name: interface_name = '', 'rx-byte': rx_byte, 'tx-byte': tx_byte } = own;
      const rates = await readRates(connection, own);
      const counters = { ...(rx_byte && { 'rx-byte': rx_byte }), ...(tx_byte && { 'tx-byte': tx_byte }) };
      return { ...session, interface: interface_name, ...counters, ...rates };
    }),
  );
}

async function readRates(connection: RouterConnection, own: Row): Promise<Row> {
  // by id: a comma in a name would make two of it
  const words = [`=interface=${own['.id'] ?? own.name ?? ''}`, '=once='];
  const [row] = await unlessRefused(connection.run('/interface/monitor-traffic', words));
  if (!row || (row.name !== undefined && row.name !== own.name)) return {};
  return pick(row, ['rx-bits-per-second', 'tx-bits-per-second']);
}

async function findInterfaces(connection: RouterConnection, name: string, sessions: readonly Row[]) {
  const found = await findByAddress(connection, sessions);
  const taken = new Set([...found.values()].map(own => own.name));
  const left = sessions.filter(session => !found.has(session));
  for (const [service, of_service] of Map.groupBy(left, session => session.service ?? '')) {
    const free = await listByName(connection, `<${service}-${name}`, service, taken);
    const own = await dropOthers(connection, name, `<${service}-${name}`, free);
    // another count means that somebody comes or goes just now: better no rate than another session's
    if (own.length !== of_service.length) continue;
    const by_age = [...of_service].sort(compareIds);
    by_age.forEach((session, at) => found.set(session, own[at]!));
  }
  return found;
}

/** A router gives each session a dynamic address, whose network is the customer's: that names the interface surely. */
async function findByAddress(connection: RouterConnection, sessions: readonly Row[]): Promise<Map<Row, Row>> {
  const found = new Map<Row, Row>();
  const networks = [...new Set(sessions.flatMap(({ address }) => address || []))];
  if (networks.length === 0) return found;
  const proplist = ['network', 'interface', 'dynamic'];
  const query = matchAny('network', networks);
  const addresses = (await unlessRefused(connection.print('/ip/address', { proplist, query }))).filter(isDynamic);
  const sure = sessions.flatMap(session => {
    const of_session = addresses.filter(({ network }) => network === session.address);
    const is_shared = sessions.some(other => other !== session && other.address === session.address);
    const interface_name = of_session.length === 1 && !is_shared ? of_session[0]?.interface : undefined;
    return interface_name ? [{ session, interface_name }] : [];
  });
  if (sure.length === 0) return found;
  const names = sure.map(({ interface_name }) => interface_name);
  const options = { proplist: INTERFACE_PROPERTIES, query: matchAny('name', names) };
  const interfaces = await connection.print('/interface', options);
  for (const { session, interface_name } of sure) {
    const own = interfaces.find(row => row.name === interface_name);
    if (own) found.set(session, own);
  }
  return found;
}

/** `<pppoe-budi>` and `<pppoe-budi-1>`, in the order in which they were made. */
async function listByName(connection: RouterConnection, stem: string, service: string, taken: ReadonlySet<unknown>) {
  const query = [`?type=${service}-in`];
  const rows = await connection.print('/interface', { proplist: INTERFACE_PROPERTIES, query });
  const is_ours = ({ name = '' }: Row) => name.startsWith(stem) && /^(?:-\d+)?>$/.test(name.slice(stem.length));
  return rows.filter(row => isDynamic(row) && is_ours(row) && !taken.has(row.name)).sort(compareIds);
}

/** `<pppoe-budi-1>` may be the second session of budi or the first of budi-1: it isn't ours while that one is here. */
async function dropOthers(connection: RouterConnection, name: string, stem: string, free: readonly Row[]) {
  const readOther = (row: Row) => `${name}${(row.name ?? '').slice(stem.length, -1)}`;
  const others = free.map(readOther).filter(other => other !== name);
  if (others.length === 0) return free;
  const query = matchAny('name', others);
  const here = await connection.print('/ppp/active', { proplist: ['name'], query });
  const names_here = new Set(here.map(row => row.name));
  return free.filter(row => readOther(row) === name || !names_here.has(readOther(row)));
}

/** `?p=a ?p=b ?#|`: one value or another. */
function matchAny(property: string, values: readonly string[]): string[] {
  return values.flatMap((value, at) => (at === 0 ? [`?${property}=${value}`] : [`?${property}=${value}`, '?#|']));
}

const isDynamic = (row: Row) => row.dynamic === 'true' || row.dynamic === 'yes';

/** Ids grow: the older first. */
function compareIds(a: Row, b: Row): number {
  const [left = 0, right = 0] = [a, b].map(row => Number.parseInt((row['.id'] ?? '').slice(1), 16) || 0);
  return left - right;
}

function pick(row: Row, names: readonly string[]): Row {
  return Object.fromEntries(names.flatMap(name => (row[name] === undefined ? [] : [[name, row[name]]])));
}

async function unlessRefused(asked: Promise<Row[]>): Promise<Row[]> {
  try {
    return await asked;
  } catch (error) {
    if (isRefusal(error)) return [];
    throw error;
  }
}
