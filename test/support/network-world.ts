import { createExecutionContext, env } from 'cloudflare:test';
import { expect } from 'vitest';
import { seal } from '../../src/auth/sealing.ts';
import { makeAmbient, type Ambient, type Context } from '../../src/context.ts';
import type { ApplyAnswer, ApplyRequest } from '../../src/protocol/messages.ts';
import { handleProvisioning } from '../../src/queues/provisioning.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { makeContext } from '../../src/tenancy/enter.ts';
import { TestTenant } from './world.ts';

/** A tenant whose router is the simulated one, behind the real bridge; and what tests do to the two. */

export type RouterRow = Record<string, string>;
export type Menu =
  | '/ppp/secret'
  | '/ppp/profile'
  | '/ppp/active'
  | '/ip/pool'
  | '/queue/simple'
  | '/ip/firewall/address-list'
  | '/ip/firewall/filter'
  | '/ip/firewall/nat'
  | '/log';

/** Nobody listens there. */
export const DEAD_PORT = 1;

/** Only a failing test waits so long. */
const PATIENCE_MS = 60_000;

let next_name = 0;

/** The router lives as long as the test run: names that no other test has. */
export const uniqueName = (what = 'line'): string => `${what}-${Date.now().toString(36)}-${++next_name}`;

async function control(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(`${env.TEST_NETWORK.router.control_url}${path}`, {
    method,
    body: body === undefined ? undefined : text,
  });
}

async function mustControl(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Response> {
  const response = await control(method, path, body);
  if (!response.ok) expect.fail(`${method} ${path}: ${await response.text()}`);
  return response;
}

export async function readMenu(menu: Menu): Promise<RouterRow[]> {
  return (await mustControl('GET', `/rows?menu=${encodeURIComponent(menu)}`)).json();
}

export const findRow = async (menu: Menu, name: string): Promise<RouterRow | undefined> =>
  (await readMenu(menu)).find(row => row.name === name);

export const findSecret = (name: string) => findRow('/ppp/secret', name);
export const findProfile = (name: string) => findRow('/ppp/profile', name);
export const isOnline = async (name: string) => (await findRow('/ppp/active', name)) !== undefined;

/** Runs an export on the router, as somebody at its console would. */
export async function loadOnRouter(rsc: string): Promise<void> {
  const { problems } = (await (await mustControl('POST', '/load', rsc)).json()) as { problems: unknown[] };
  expect(problems).toEqual([]);
}

const isOfBridge = (input: RequestInfo | URL) =>
  new URL(input instanceof Request ? input.url : input).pathname.startsWith('/v1/');

let calls_under_way = 0;

/** Counts what the Worker asks of bridges, for whoever must wait until nobody does. */
function countBridgeCalls(real: typeof fetch): typeof fetch {
  return async (input, init) => {
    if (!isOfBridge(input)) return real(input, init);
    calls_under_way += 1;
    try {
      return await real(input, init);
    } finally {
      calls_under_way -= 1;
    }
  };
}
globalThis.fetch = countBridgeCalls(globalThis.fetch);

const QUIET_MS = 60;

/** Until nobody has spoken to a bridge for a moment: what an earlier test began may still be on its way to the router. */
async function bridgesAreQuiet(): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  for (let quiet_since = Date.now(); Date.now() - quiet_since < QUIET_MS && Date.now() < until;) {
    await new Promise(resolve => setTimeout(resolve, 10));
    if (calls_under_way > 0) quiet_since = Date.now();
  }
}

/** Takes away what earlier tests left: what leans on others before what it leans on. */
export async function emptyRouter(): Promise<void> {
  await bridgesAreQuiet();
  for (const { name } of await readMenu('/ppp/active')) await mustControl('POST', '/hang-up', { name });
  const firewall = ['/ip/firewall/nat', '/ip/firewall/filter', '/ip/firewall/address-list'] as const;
  for (const menu of [...firewall, '/queue/simple', '/ppp/secret', '/ppp/profile', '/ip/pool'] as const) {
    const rows = (await readMenu(menu)).filter(row => row.dynamic !== 'true' && !row.name?.startsWith('default'));
    const removals = rows.map(row => `remove ${row['.id']}\n`);
    await loadOnRouter(`/${menu.slice(1).replaceAll('/', ' ')}\n${removals.join('')}`);
  }
  await loadOnRouter(
    '/ppp profile\nset *0 comment=""\nset *FFFFFFFE comment=""\n/system identity\nset name=MikroTik\n',
  );
}

/** The subscriber uses the line: a steady rate from now on, or bytes at once. */
export const useTraffic = (traffic: { name: string } & Record<string, string | number>) =>
  mustControl('POST', '/traffic', traffic);

export const exportRouter = async (): Promise<string> => (await mustControl('GET', '/export?show_sensitive=1')).text();

/** The subscriber's modem dials in; false when the router doesn't let it. */
export const dialIn = async (name: string): Promise<boolean> => (await control('POST', '/dial', { name })).ok;

export const dropConnections = () => mustControl('POST', '/drop-connections');

export interface Faults {
  refuse?: boolean;
  silent_after_accept?: boolean;
  delay_ms?: number;
  chunk_bytes?: number;
  close_after_write?: number;
  max_sessions?: number;
  read_only_user?: boolean;
  no_sensitive?: boolean;
}

export const NO_FAULTS: Required<Faults> = {
  refuse: false,
  silent_after_accept: false,
  delay_ms: 0,
  chunk_bytes: 0,
  close_after_write: 0,
  max_sessions: 20,
  read_only_user: false,
  no_sensitive: false,
};

/** They stay until `clearFaults`, which every file that makes some calls after each test. */
export const makeFaults = (faults: Faults) => mustControl('POST', '/faults', faults);
export const clearFaults = () => makeFaults(NO_FAULTS);

/** The router is away: who is connected loses the line, nobody gets a new one. */
export async function takeRouterAway(how: Faults = { refuse: true }): Promise<void> {
  await makeFaults(how);
  await dropConnections();
}

export interface ProvisioningState {
  status: string;
  items: {
    id: string;
    router_id: string;
    key: string;
    kind: string;
    desired: Record<string, unknown> | null;
    status: string;
    attempts: number;
    next_attempt_at: string | null;
    last_error: string | null;
    last_applied_at: string | null;
  }[];
}

export async function waitUntil<T>(look: () => Promise<T>, is_it: (seen: T) => boolean, what: string): Promise<T> {
  const until = Date.now() + PATIENCE_MS;
  for (let pause_ms = 5; ; pause_ms = Math.min(100, pause_ms * 1.5)) {
    const seen = await look();
    if (is_it(seen)) return seen;
    if (Date.now() > until) expect.fail(`${what}; it is ${JSON.stringify(seen)}`);
    await new Promise(resolve => setTimeout(resolve, pause_ms));
  }
}

/** Everything of one bridge call, as the Worker saw it. */
export interface BridgeCall {
  path: string;
  request: ApplyRequest;
  status: number;
  answer: ApplyAnswer;
}

export interface Interception {
  /** Which calls `before` is about; all unless told. */
  paths?: RegExp;
  /** Before the request leaves; may wait, or throw as a network would. */
  before?: (request: ApplyRequest) => Promise<void> | void;
  /** After the bridge answered, before the Worker knows; may give another answer. */
  after?: (response: Response) => Promise<Response | void> | Response | void;
}

/** Watches (and disturbs) what the Worker says to bridges while `run` runs. */
export async function withBridgeCalls(
  run: (calls: BridgeCall[]) => Promise<void>,
  interception: Interception = {},
): Promise<void> {
  const real = globalThis.fetch;
  const calls: BridgeCall[] = [];
  const watch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    if (!isOfBridge(input)) return real(input, init);
    const path = new URL(input instanceof Request ? input.url : input).pathname;
    const request = JSON.parse(String(init?.body ?? 'null')) as ApplyRequest;
    if (!interception.paths || interception.paths.test(path)) await interception.before?.(request);
    const response = await real(input, init);
    const answer = (await response.clone().json()) as ApplyAnswer;
    calls.push({ path, request, status: response.status, answer });
    return (await interception.after?.(response)) ?? response;
  };
  globalThis.fetch = watch;
  try {
    await run(calls);
  } finally {
    globalThis.fetch = real;
  }
}

/** What a queue message is handled in; `parts` replaces what a test wants to hold still. */
export const makeTestAmbient = (parts: Partial<Ambient> = {}): Ambient => ({
  ...makeAmbient(env, createExecutionContext()),
  ...parts,
});

/** A queue that only notes what it is told: nothing is woken behind a test's back. */
export function recordQueue<T>() {
  const sent: { body: T; delaySeconds: number }[] = [];
  const note = (body: T, options?: { delaySeconds?: number }) =>
    sent.push({ body, delaySeconds: options?.delaySeconds ?? 0 });
  const queue = {
    send: (body: T, options?: { delaySeconds?: number }) => Promise.resolve(void note(body, options)),
    sendBatch: (messages: Iterable<{ body: T; delaySeconds?: number }>) => {
      for (const message of messages) note(message.body, message);
      return Promise.resolve();
    },
  };
  return { sent, queue: queue as unknown as Queue<T> };
}

export async function makeTestContext(tenant: TestTenant, parts: Partial<Ambient> = {}): Promise<Context> {
  const ambient = makeTestAmbient(parts);
  const row = await findTenant(ambient.env, tenant.id, ambient.now);
  return makeContext(ambient, row!, { kind: 'job', name: 'test' });
}

/** A tenant with a bridge and a router. */
export class NetworkTenant {
  readonly tenant: TestTenant;
  readonly bridge_id: string;
  readonly router_id: string;

  constructor(tenant: TestTenant, bridge_id: string, router_id: string) {
    this.tenant = tenant;
    this.bridge_id = bridge_id;
    this.router_id = router_id;
  }

  static async make(options: { bridge_url?: string; router?: Record<string, unknown> } = {}): Promise<NetworkTenant> {
    // RouterOS takes 20 connections; those of earlier tests' routers still idle in the bridge
    await dropConnections();
    const tenant = await TestTenant.signUp();
    const bridge_id = await enrolBridge(tenant, options.bridge_url);
    return new NetworkTenant(tenant, bridge_id, await addRouter(tenant, options.router));
  }

  addRouter(fields: Record<string, unknown> = {}): Promise<string> {
    return addRouter(this.tenant, fields);
  }

  /** A plan whose profile no other test has. */
  addPlan(fields: Record<string, unknown> = {}) {
    return this.tenant.addPlan({ profile_name: uniqueName('plan'), ...fields });
  }

  /** An active customer whose line the router has confirmed. */
  async addLine(plan_id: string, fields: Record<string, unknown> = {}) {
    const pppoe_username = uniqueName();
    const customer = await this.tenant.addCustomer(plan_id, {
      pppoe_username,
      pppoe_password: 'rahasia-123',
      ...fields,
    });
    await this.tenant.post(`/customers/${customer.id}/activate`, {});
    await this.waitFor(customer.id);
    return customer;
  }

  read(customer_id: string): Promise<ProvisioningState> {
    return this.tenant.get(`/customers/${customer_id}/provisioning`);
  }

  /** Until the customer's lines are all in this status. */
  waitFor(customer_id: string, status = 'in_sync'): Promise<ProvisioningState> {
    const is_it = (state: ProvisioningState) => state.status === status;
    return waitUntil(() => this.read(customer_id), is_it, `customer ${customer_id} doesn't become ${status}`);
  }

  /** Until a try has failed: `attempts` is above what it was. */
  waitForTry(customer_id: string, attempts = 0): Promise<ProvisioningState> {
    const is_it = (state: ProvisioningState) => state.items.some(item => item.attempts > attempts);
    return waitUntil(() => this.read(customer_id), is_it, `nothing was tried for ${customer_id}`);
  }

  /** A message "look at this router", handled here and now. */
  async look(parts: Partial<Ambient> = {}, router_id = this.router_id): Promise<void> {
    await handleProvisioning(makeTestAmbient(parts), { tenant_id: this.tenant.id, router_id });
  }

  /** As if the time of the next try had come, and of asking the router again where it is left alone. */
  async makeDue(router_id = this.router_id): Promise<void> {
    const database = await this.tenant.database();
    const past = Date.now() - 1;
    const due = 'UPDATE provisioning SET next_attempt_at = ?1 WHERE router_id = ?2 AND next_attempt_at IS NOT NULL';
    const open = `UPDATE routers SET circuit = json_set(circuit, '$.open_until', ?1)
      WHERE id = ?2 AND circuit ->> 'open_until' IS NOT NULL`;
    await database.batch([
      database.prepare(due).bind(past, router_id),
      database.prepare(open).bind(new Date(past).toISOString(), router_id),
    ]);
  }

  async query<T = Record<string, unknown>>(sql: string, ...values: unknown[]): Promise<T[]> {
    const database = await this.tenant.database();
    return (
      await database
        .prepare(sql)
        .bind(...values)
        .all<T>()
    ).results;
  }
}

/** Until all that any router must hold is confirmed. */
export async function settle(world: NetworkTenant): Promise<void> {
  const open = () => world.query("SELECT key, status, last_error FROM provisioning WHERE status <> 'in_sync'");
  await waitUntil(open, rows => rows.length === 0, 'all of it is applied');
}

export async function enrolBridge(
  tenant: TestTenant,
  url = env.TEST_NETWORK.bridge.url,
  { signing_secret, public_key } = env.TEST_NETWORK.bridge,
): Promise<string> {
  const { id } = await tenant.post('/bridges', { name: 'Kantor', url });
  const sealed = await seal({ env, now: Date.now() }, { row_id: id, column: 'signing_secret' }, signing_secret);
  const database = await tenant.database();
  await database
    .prepare('UPDATE bridges SET signing_secret = ?1, public_key = ?2, enrolled_at = ?3 WHERE id = ?4')
    .bind(sealed, JSON.stringify(public_key), Date.now(), id)
    .run();
  return id;
}

async function addRouter(tenant: TestTenant, fields: Record<string, unknown> = {}): Promise<string> {
  const { host, port, username, password } = env.TEST_NETWORK.router;
  const body = { name: uniqueName('router'), host, port, username, password, ...fields };
  return (await tenant.post('/routers', body)).id;
}
