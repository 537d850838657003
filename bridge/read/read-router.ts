/** Reads one kind of thing from one router. What fails throws: it is never "nothing there". */
import { isRefusal } from '../apply/failure.ts';
import type { RouterConnection, Row } from '../routeros/connection.ts';
import type { ReadKind } from '../../src/protocol/messages.ts';
import { RESOURCE, TABLES, TRAFFIC_COLUMNS } from './columns.ts';
import { readTraffic } from './read-traffic.ts';

export interface Table {
  properties: readonly string[];
  rows: (string | null)[][];
}

/** Above it all used addresses are printed once. */
const MOST_POOLS_COUNTED = 50;

export async function readKind(connection: RouterConnection, what: ReadKind, name: string | null): Promise<Table> {
  if (what === 'resource') return tabulate(RESOURCE.columns, [await readResource(connection)]);
  if (what === 'traffic') return tabulate(TRAFFIC_COLUMNS, await readTraffic(connection, name ?? ''));
  const { menu, columns } = TABLES[what];
  const proplist = columns.filter(column => what !== 'pools' || column !== 'used');
  const printed = await connection.print(menu, { proplist, query: name === null ? undefined : [`?name=${name}`] });
  const rows = name === null ? printed : printed.filter(row => row.name === name);
  return tabulate(columns, what === 'pools' ? await addUse(connection, rows) : rows);
}

function tabulate(properties: readonly string[], rows: readonly Row[]): Table {
  return { properties, rows: rows.map(row => properties.map(property => row[property] ?? null)) };
}

async function readResource(connection: RouterConnection): Promise<Row> {
  const [resource, identity, clock] = await Promise.all([
    connection.print('/system/resource', { proplist: RESOURCE.own }),
    readIfAllowed(connection, '/system/identity', RESOURCE.identity),
    readIfAllowed(connection, '/system/clock', RESOURCE.clock),
  ]);
  return { ...clock, ...resource[0], ...identity };
}

/** The router counts, so that no address of thousands is sent; a pool whose count it refuses stays without one. */
async function addUse(connection: RouterConnection, pools: readonly Row[]): Promise<Row[]> {
  if (pools.length > MOST_POOLS_COUNTED) return await addUseOfMany(connection, pools);
  return await Promise.all(
    pools.map(async pool => {
      const query = [`?pool=${pool.name ?? ''}`];
      const [count] = await unlessRefused(connection.print('/ip/pool/used', { query, count_only: true }));
      return count?.ret === undefined ? pool : { ...pool, used: count.ret };
    }),
  );
}

async function addUseOfMany(connection: RouterConnection, pools: readonly Row[]): Promise<Row[]> {
  const used = await unlessRefused(connection.print('/ip/pool/used', { proplist: ['pool'] }), null);
  if (!used) return [...pools];
  const counts = Map.groupBy(used, row => row.pool);
  return pools.map(pool => ({ ...pool, used: String(counts.get(pool.name)?.length ?? 0) }));
}

async function readIfAllowed(connection: RouterConnection, menu: string, proplist: readonly string[]): Promise<Row> {
  return (await unlessRefused(connection.print(menu, { proplist })))[0] ?? {};
}

async function unlessRefused(asked: Promise<Row[]>): Promise<Row[]>;
async function unlessRefused(asked: Promise<Row[]>, otherwise: null): Promise<Row[] | null>;
async function unlessRefused(asked: Promise<Row[]>, otherwise: null | [] = []): Promise<Row[] | null> {
  try {
    return await asked;
  } catch (error) {
    if (isRefusal(error)) return otherwise;
    throw error;
  }
}
