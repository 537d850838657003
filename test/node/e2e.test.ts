import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRukunClient, signIn, unwrap, type RukunClient } from '../../client/index.ts';
import { fillDemo, prepareDemo } from '../../scripts/demo.ts';

/** What `npm start` runs, from outside: the API by HTTP, the router by a client that shares nothing with the bridge. */

const ROOT = path.resolve(import.meta.dirname, '../..');

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

let state_dir: string;
let ports: { PORT: number; BRIDGE_PORT: number; ROUTER_PORT: number };
let child: ChildProcess;
let output = '';

function start(settings: Record<string, string> = {}): ChildProcess {
  output = '';
  const env = Object.entries({ ...ports, RUKUN_STATE: state_dir, ...settings }).map(([name, value]) => [
    name,
    String(value),
  ]);
  const started = spawn(process.execPath, ['scripts/start.ts'], {
    cwd: ROOT,
    env: { ...process.env, ...Object.fromEntries(env) },
  });
  for (const stream of [started.stdout, started.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return started;
}

async function waitUntil<T>(look: () => Promise<T | null> | T | null, what: string, within_ms = 280_000): Promise<T> {
  const end = Date.now() + within_ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not happen within ${within_ms} ms\n${output}`);
    await sleep(100);
  }
}

const waitUntilReady = () =>
  waitUntil(() => {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}\n${output}`);
    return output.includes(`ready http://127.0.0.1:${ports.PORT}\n`);
  }, 'ready');

const end = (signal: NodeJS.Signals) =>
  new Promise<number | null>(resolve => {
    child.once('exit', resolve);
    child.kill(signal);
  });

const readDemo = async () =>
  JSON.parse(await readFile(path.join(state_dir, 'demo.json'), 'utf8')) as Record<string, string>;

async function signInToDemo(): Promise<RukunClient> {
  const { url, tenant, email, password } = await readDemo();
  return (await signIn({ url: url!, tenant, patience_ms: 120_000 }, { email: email!, password: password! })).client;
}

/** A RouterOS client of a page's length: one command at a time, words of up to 16 kB, rows as records. */
class PlainRouterClient {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', chunk => (this.#buffer = Buffer.concat([this.#buffer, chunk])));
  }

  close(): void {
    this.#socket.destroy();
  }

  async talk(...words: string[]): Promise<Record<string, string>[]> {
    for (const word of [...words, '']) {
      const bytes = Buffer.from(word);
      const length =
        bytes.length < 0x80
          ? Buffer.from([bytes.length])
          : Buffer.from([0x80 | (bytes.length >> 8), bytes.length & 255]);
      this.#socket.write(Buffer.concat([length, bytes]));
    }
    const rows: Record<string, string>[] = [];
    for (;;) {
      const [type, ...attributes] = await this.#readSentence();
      const row = Object.fromEntries(
        attributes.map(word => /^=([^=]*)=(.*)$/s.exec(word)!.slice(1)) as [string, string][],
      );
      if (type === '!re') rows.push(row);
      if (type === '!trap') throw new Error(row.message);
      if (type === '!done') return rows;
    }
  }

  async #readSentence(): Promise<string[]> {
    const words: string[] = [];
    for (;;) {
      const word = await this.#readWord();
      if (word === '') return words;
      words.push(word);
    }
  }

  async #readWord(): Promise<string> {
    const [first] = await this.#take(1);
    const length = first! < 0x80 ? first! : ((first! & 0x3f) << 8) | (await this.#take(1))[0]!;
    return (await this.#take(length)).toString();
  }

  async #take(count: number): Promise<Buffer> {
    while (this.#buffer.length < count) await sleep(2);
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }
}

async function readSecret(name: string): Promise<Record<string, string> | undefined> {
  const demo = await readDemo();
  const router = new PlainRouterClient(Number(demo.router_port));
  try {
    await router.talk('/login', `=name=${demo.router_user}`, `=password=${demo.router_password}`);
    return (await router.talk('/ppp/secret/print', `?name=${name}`))[0];
  } finally {
    router.close();
  }
}

beforeAll(async () => {
  state_dir = await mkdtemp(path.join(tmpdir(), 'rukun-e2e-'));
  ports = { PORT: await findFreePort(), BRIDGE_PORT: await findFreePort(), ROUTER_PORT: await findFreePort() };
  child = start();
  await waitUntilReady();
});

afterAll(async () => {
  if (child.exitCode === null) await end('SIGTERM');
  await rm(state_dir, { recursive: true, force: true });
});

it('takes a customer from sign-up to a suspended secret on the router', async () => {
  const client = await signInToDemo();
  const plan_input = {
    name: 'Kantor 30',
    profile_name: 'kantor-30',
    download_kbps: 30_000,
    upload_kbps: 10_000,
    price: 275_000,
  };
  const plan = unwrap(await client.POST('/api/v1/service-plans', { body: plan_input }));
  const customer = unwrap(
    await client.POST('/api/v1/customers', {
      body: {
        full_name: 'Siti Aminah',
        phone: '0813 9999 0001',
        address: 'Jl. Anggrek 1',
        service_plan_id: plan.id,
        pppoe_username: 'siti@melati',
        pppoe_password: 'rahasia-siti',
      },
    }),
  );
  const path_id = { params: { path: { id: customer.id } } };
  expect(await readSecret('siti@melati')).toBeUndefined();
  unwrap(await client.POST('/api/v1/customers/{id}/activate', path_id));
  const confirmed = async () => {
    const state = unwrap(await client.GET('/api/v1/customers/{id}/provisioning', path_id));
    return state.status === 'in_sync' ? state : null;
  };
  const state = await waitUntil(confirmed, 'the confirmation');
  expect(state.items).toMatchObject([{ key: 'siti@melati', status: 'in_sync', desired: { disabled: false } }]);
  expect(await readSecret('siti@melati')).toMatchObject({
    profile: 'kantor-30',
    password: 'rahasia-siti',
    disabled: 'false',
    comment: `rukun:${customer.customer_code}`,
  });
  unwrap(await client.POST('/api/v1/customers/{id}/suspend', path_id));
  await waitUntil(confirmed, 'the confirmation of the suspension');
  expect(await readSecret('siti@melati')).toMatchObject({ disabled: 'true', profile: 'kantor-30' });
});

it('shows who is online on the router, and what flows through one line', async () => {
  const client = await signInToDemo();
  const [router] = unwrap(await client.GET('/api/v1/routers', {}));
  const path_id = { path: { id: router!.id } };
  const { data, response } = await client.GET('/api/v1/routers/{id}/sessions', { params: path_id });
  expect(response.status).toBe(200);
  expect(data!.meta.total).toBeGreaterThan(100);
  expect(data!.meta.age_seconds).toBeLessThan(10);
  const [session] = data!.data;
  const [customer] = unwrap(await client.GET('/api/v1/customers', { params: { query: { search: session!.name } } }));
  const traffic = unwrap(
    await client.GET('/api/v1/customers/{id}/traffic', { params: { path: { id: customer!.id } } }),
  );
  expect(traffic).toMatchObject({ is_online: true, sessions: [{ session_id: session!.session_id }] });
  expect(traffic.download_bps).toBeGreaterThan(100_000);
  expect(JSON.stringify(unwrap(await client.GET('/api/v1/monitoring/alerts', {})))).toBe('[]');
});

it('lets the bridge report by itself, and hands it what to watch', async () => {
  const file = path.join(state_dir, 'bridge', 'watched.json');
  // at its first report there was no router yet; that it is asked about one is news
  const holdsRouter = async () => {
    const text = await readFile(file, 'utf8').catch(() => '{}');
    return ((JSON.parse(text) as { routers?: unknown[] }).routers?.length ?? 0) > 0 ? text : null;
  };
  const watched = await waitUntil(holdsRouter, 'the watched routers');
  const { router_password, router_port } = await readDemo();
  expect(JSON.parse(watched)).toMatchObject({ routers: [{ port: Number(router_port) }] });
  expect(watched).not.toContain(router_password);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

it('leaves demo.json to its owner alone, and no secret in its logs', async () => {
  expect((await stat(path.join(state_dir, 'demo.json'))).mode & 0o777).toBe(0o600);
  const { password, router_password } = await readDemo();
  for (const name of ['worker.log', 'bridge.log', 'router.log']) {
    const log = await readFile(path.join(state_dir, name), 'utf8');
    for (const secret of [password!, router_password!, 'rahasia-siti']) expect(log).not.toContain(secret);
  }
});

it('shows the reference from its own origin', async () => {
  const { url } = await readDemo();
  const page = await (await fetch(`${url}/docs`)).text();
  const places = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(match => match[1]!);
  expect(places.length).toBeGreaterThan(3);
  for (const place of places) {
    expect(place).toMatch(/^\//);
    expect((await fetch(url + place)).status, place).toBe(200);
  }
});

/** What comes after the first start signs in more often than a person does. */
const MANY_SIGN_INS = { LIMIT_SIGNIN_PER_MINUTE: '1000', PASSWORD_COST: '4' };

async function listNetwork(client: RukunClient) {
  const routers = unwrap(await client.GET('/api/v1/routers'));
  const bridges = unwrap(await client.GET('/api/v1/bridges'));
  return { routers, bridges };
}

/** Somebody adds a router and a bridge that come before the demo’s own in every list, and gives those other names. */
async function changeNetwork(client: RukunClient): Promise<void> {
  const { routers, bridges } = await listNetwork(client);
  const of = (row?: { id: string }) => ({ params: { path: { id: row!.id } } });
  unwrap(await client.PUT('/api/v1/routers/{id}', { ...of(routers[0]), body: { name: 'Pintu' } }));
  unwrap(await client.PUT('/api/v1/bridges/{id}', { ...of(bridges[0]), body: { name: 'Loket' } }));
  const access = { host: '127.0.0.1', port: await findFreePort(), username: 'rukun', password: 'milik-sendiri' };
  unwrap(await client.POST('/api/v1/routers', { body: { name: 'Atap', ...access } }));
  unwrap(await client.POST('/api/v1/bridges', { body: { name: 'Atap', url: 'https://atap.melati.example' } }));
}

it('ends everything on Ctrl-C, and a second start keeps the data', async () => {
  const before = await readDemo();
  const client = await signInToDemo();
  const customers = unwrap(await client.GET('/api/v1/customers/stats')).total;
  await changeNetwork(client);
  const network = await listNetwork(client);
  expect(await end('SIGINT')).toBe(0);
  for (const port of Object.values(ports)) await expect(isOpen(port)).resolves.toBe(false);
  child = start(MANY_SIGN_INS);
  await waitUntilReady();
  expect(await readDemo()).toEqual(before);
  const again = await signInToDemo();
  expect(unwrap(await again.GET('/api/v1/customers/stats')).total).toBe(customers);
  expect(await readSecret('siti@melati')).toMatchObject({ disabled: 'true' });
  const { routers, bridges } = await listNetwork(again);
  const places = network.routers.map(({ id, name, host, port, bridge_id }) => ({ id, name, host, port, bridge_id }));
  expect(routers).toMatchObject(places);
  expect(bridges).toMatchObject(network.bridges.map(({ id, name, url }) => ({ id, name, url })));
  expect(bridges.map(({ name, enrolled_at }) => [name, enrolled_at !== null])).toEqual([
    ['Atap', false],
    ['Loket', true],
  ]);
  const path_id = { params: { path: { id: routers.find(({ name }) => name === 'Pintu')!.id } } };
  expect(unwrap(await again.POST('/api/v1/routers/{id}/test', path_id)).identity).toBe('Gerbang');
});

/** What a start does to the demo ISP, on the system that runs; gives what it says. */
async function lookAfterDemo(url?: string): Promise<string> {
  const demo = await readDemo();
  const lines: string[] = [];
  const places = {
    state_dir,
    url: url ?? demo.url!,
    router_port: ports.ROUTER_PORT,
    router_password: demo.router_password!,
    bridge_port: ports.BRIDGE_PORT,
    router_export: '',
    say: (line: string) => void lines.push(line),
  };
  await fillDemo(await prepareDemo(places), places);
  expect(await readDemo()).toEqual(demo);
  return lines.join('\n');
}

it('has nothing to say of a demo ISP that is as it was, also where it remembers nothing', async () => {
  expect(await lookAfterDemo()).toBe('');
  const client = await signInToDemo();
  const network = await listNetwork(client);
  await rm(path.join(state_dir, 'demo-made.json'));
  expect(await lookAfterDemo()).toBe('');
  const places = network.routers.map(({ id, name, host, port }) => ({ id, name, host, port }));
  expect((await listNetwork(client)).routers).toMatchObject(places);
});

it('passes the demo ISP by when its admin’s password is another one, or not enough', async () => {
  const { password, email, url, tenant } = await readDemo();
  const client = await signInToDemo();
  const { id } = unwrap(await client.GET('/api/v1/auth/me'));

  unwrap(await client.PUT('/api/v1/settings', { body: { second_factor_roles: ['admin'] } }));
  expect(await lookAfterDemo()).toMatch(/must set up a second factor.*passed by/);
  unwrap(await client.PUT('/api/v1/settings', { body: { second_factor_roles: [] } }));

  const { secret } = unwrap(await client.POST('/api/v1/auth/totp', { body: { current_password: password! } }));
  const code = new TOTP({ secret: Secret.fromBase32(secret) }).generate();
  const on = unwrap(await client.POST('/api/v1/auth/totp/confirm', { body: { code } }));
  expect(await lookAfterDemo()).toMatch(/a code of the second factor.*passed by/);
  const proven = createRukunClient({ url: url!, access_token: on.access_token });
  const proof = { current_password: password!, code: on.recovery_codes[0]! };
  unwrap(await proven.POST('/api/v1/auth/totp/disable', { body: proof }));

  const second = { email: 'budi@melati.example', password: 'sandi-budi-9317', name: 'Budi', role: 'admin' as const };
  unwrap(await proven.POST('/api/v1/users', { body: second }));
  const budi = (await signIn({ url: url!, tenant }, { email: second.email, password: second.password })).client;
  const change = async (body: { is_active?: boolean; role?: 'admin' | 'operator' }) =>
    unwrap(await budi.PUT('/api/v1/users/{id}', { params: { path: { id } }, body }));
  await change({ is_active: false });
  expect(await lookAfterDemo()).toMatch(/password in demo\.json is no longer right for ayu.*passed by/);
  await change({ is_active: true, role: 'operator' });
  expect(await lookAfterDemo()).toMatch(/ayu.* is no admin any more.*passed by/);
  await change({ role: 'admin' });
  expect((await signIn({ url: url!, tenant }, { email: email!, password: password! })).session.user.role).toBe('admin');
});

it('says clearly that the API does not answer', async () => {
  const url = `http://127.0.0.1:${await findFreePort()}`;
  await expect(lookAfterDemo(url)).rejects.toThrow(`${url} does not answer`);
});

it('warns of a router that is out of reach, and makes nothing again that was deleted', async () => {
  const client = await signInToDemo();
  const { routers, bridges } = await listNetwork(client);
  const change = async (id: string, body: { host?: string; password?: string; bridge_id?: null }) =>
    unwrap(await client.PUT('/api/v1/routers/{id}', { params: { path: { id } }, body }));
  const own = routers.find(({ name }) => name === 'Pintu')!;
  await change(own.id, { password: 'sandi-lain' });
  expect(await lookAfterDemo()).toMatch(/^the demo’s router Pintu can’t be reached: /);

  for (const { id } of routers) await change(id, { bridge_id: null, host: '10.9.9.9' });
  const its_bridge = { params: { path: { id: bridges.find(({ name }) => name === 'Loket')!.id } } };
  unwrap(await client.DELETE('/api/v1/bridges/{id}', its_bridge));
  expect(await lookAfterDemo()).toMatch(/^the demo’s bridge was deleted.*\nthe demo’s router Pintu .*has no bridge/);

  // a router can be deleted once no customer is on it; to the demo one of another id is the same
  const made = path.join(state_dir, 'demo-made.json');
  await writeFile(made, JSON.stringify({ router_id: its_bridge.params.path.id, is_filled: true }));
  expect(await lookAfterDemo()).toMatch(/\nthe demo’s router was deleted/);
  const after = await listNetwork(client);
  expect(after.bridges.map(({ name }) => name)).toEqual(['Atap']);
  expect(after.routers).toMatchObject(routers.map(({ id, port }) => ({ id, port, host: '10.9.9.9', bridge_id: null })));
});

it('starts although the admin has another password and the bridge is gone', async () => {
  const before = await readDemo();
  const client = await signInToDemo();
  const passwords = { current_password: before.password!, new_password: 'sandi-baru-4471' };
  unwrap(await client.PUT('/api/v1/auth/password', { body: passwords }));
  expect(await end('SIGTERM')).toBe(0);
  child = start(MANY_SIGN_INS);
  await waitUntilReady();
  expect(output).toMatch(/password in demo\.json is no longer right for ayu.*passed by/);
  expect(output).not.toContain(before.password);
  expect(await readDemo()).toEqual(before);
  await signIn({ url: before.url!, tenant: before.tenant }, { email: before.email!, password: passwords.new_password });
});

it('says clearly that a port is in use', async () => {
  const second = spawn(process.execPath, ['scripts/start.ts'], {
    cwd: ROOT,
    env: {
      ...process.env,
      PORT: String(ports.PORT),
      BRIDGE_PORT: '0',
      ROUTER_PORT: '0',
      RUKUN_STATE: `${state_dir}-second`,
    },
  });
  let said = '';
  second.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  expect(await new Promise(resolve => second.once('exit', resolve))).toBe(1);
  expect(said).toContain(`Port ${ports.PORT} is in use`);
});

const isOpen = (port: number) =>
  new Promise<boolean>(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve((socket.destroy(), true)));
    socket.once('error', () => resolve(false));
  });
