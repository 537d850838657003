import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { unwrap, type RukunClient } from '../client/index.ts';
import { noteMade, readBridgeId, readMade, type DemoFile } from './demo-files.ts';

/**
 * The demo's own bridge and router among those that its users add: known by their ids, as names change. What its users
 * deleted stays deleted.
 */

const BRIDGE_NAME = 'Kantor';
/** What the simulated router calls itself, too. */
export const ROUTER_NAME = 'Gerbang';

/** The demo's own came before all others. */
const OLDEST = { params: { query: { sort: 'created_at', per_page: 100 } } } as const;
const LOOPBACK_HOSTS = ['127.0.0.1', 'localhost', '::1'];

export interface NetworkPlaces {
  state_dir: string;
  url: string;
  bridge_port: number;
  say: (line: string) => void;
}

/** Its id, once it is enrolled on this machine; null where somebody deleted it. */
export async function ensureBridge(client: RukunClient, places: NetworkPlaces): Promise<string | null> {
  const { state_dir, bridge_port, say } = places;
  const url = `http://127.0.0.1:${bridge_port}`;
  const rows = unwrap(await client.GET('/api/v1/bridges', OLDEST));
  const enrolled_id = readBridgeId(state_dir);
  const known = rows.find(row =>
    // a start that ended before it was enrolled left it without an id here
    enrolled_id ? row.id === enrolled_id : row.name === BRIDGE_NAME && row.url !== null && isLoopback(row.url),
  );
  if (!known && enrolled_id) {
    say(`the demo’s bridge was deleted: none is started (without ${bridgeFolder(state_dir)} another one is made)`);
    return null;
  }
  const name = findFreeName(BRIDGE_NAME, rows);
  const bridge = known ?? unwrap(await client.POST('/api/v1/bridges', { body: { name, url } }));
  const path_id = { params: { path: { id: bridge.id } } };
  if (bridge.url !== url) unwrap(await client.PUT('/api/v1/bridges/{id}', { ...path_id, body: { url } }));
  if (!enrolled_id) {
    const { token } = unwrap(await client.POST('/api/v1/bridges/{id}/enroll', path_id));
    await enrol(places, token);
  }
  return bridge.id;
}

async function enrol({ url, state_dir }: NetworkPlaces, token: string): Promise<void> {
  const args = ['bridge/main.ts', 'enroll', '--again', '--url', url, '--state', bridgeFolder(state_dir)];
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, RUKUN_ENROLMENT_TOKEN: token } });
}

/** Its id; null where somebody deleted it. */
export async function ensureRouter(
  client: RukunClient,
  demo: DemoFile,
  { state_dir, say, bridge_id }: NetworkPlaces & { bridge_id: string | null },
): Promise<string | null> {
  const { router_host: host, router_port: port, router_user: username, router_password: password } = demo;
  const rows = unwrap(await client.GET('/api/v1/routers', OLDEST));
  const { router_id } = readMade(state_dir);
  // a folder of an older start doesn't know it
  const looksOwn = (row: (typeof rows)[number]) =>
    LOOPBACK_HOSTS.includes(row.host) && [row.name, row.identity].includes(ROUTER_NAME);
  const known = rows.find(row => (router_id ? row.id === router_id : looksOwn(row)));
  if (!known && router_id) {
    say('the demo’s router was deleted: the simulated one is there, and nobody looks after it');
    return null;
  }
  const name = findFreeName(ROUTER_NAME, rows);
  const body = { name, location: 'Kantor RW 02', host, port, username, password, ...(bridge_id && { bridge_id }) };
  const router = known ?? unwrap(await client.POST('/api/v1/routers', { body }));
  noteMade(state_dir, { router_id: router.id });
  // somebody who put it elsewhere wants it there
  if (LOOPBACK_HOSTS.includes(router.host) && !router.use_tls && router.port !== port)
    unwrap(await client.PUT('/api/v1/routers/{id}', { params: { path: { id: router.id } }, body: { port } }));
  return router.id;
}

/** On a first start it must answer. Later on, users may have changed what the demo can't know. */
export async function testRouter(
  client: RukunClient,
  router_id: string,
  { is_new, say }: { is_new: boolean; say: (line: string) => void },
): Promise<void> {
  const path_id = { params: { path: { id: router_id } } };
  const answer = await client.POST('/api/v1/routers/{id}/test', path_id);
  if (is_new || !answer.error || ![502, 503].includes(answer.response.status)) return void unwrap(answer);
  const { name } = unwrap(await client.GET('/api/v1/routers/{id}', path_id));
  say(`the demo’s router ${name} can’t be reached: ${answer.error.error.message}`);
}

const bridgeFolder = (state_dir: string) => path.join(state_dir, 'bridge');

const isLoopback = (url: string) => URL.canParse(url) && LOOPBACK_HOSTS.includes(new URL(url).hostname);

function findFreeName(wanted: string, rows: readonly { name: string }[]): string {
  const isTaken = (name: string) => rows.some(row => row.name === name);
  let name = wanted;
  for (let number = 2; isTaken(name); number++) name = `${wanted} ${number}`;
  return name;
}
