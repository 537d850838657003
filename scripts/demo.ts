import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createRukunClient, signIn, unwrap, type RukunClient } from '../client/index.ts';
import { fillMoney } from './demo-money.ts';
import { DEMO_PLANS, DEMO_TENANT, listNewCustomers } from './demo-isp.ts';

/** Makes the demo ISP through the public API, within its limits; each step looks first whether it was done. */

export interface DemoFile {
  url: string;
  tenant: string;
  email: string;
  password: string;
  router_host: string;
  router_port: number;
  router_user: string;
  router_password: string;
}

export const ROUTER_USER = 'rukun';
const NEW_CUSTOMERS = 12;

const demoPath = (state_dir: string) => path.join(state_dir, 'demo.json');

export function readDemoFile(state_dir: string): DemoFile | null {
  const file = demoPath(state_dir);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as DemoFile) : null;
}

/** Readable by its owner alone: it holds passwords. */
export function writePrivate(file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  chmodSync(file, 0o600);
}

export const makePassword = () => randomBytes(12).toString('base64url');

export interface DemoPlaces {
  state_dir: string;
  url: string;
  router_port: number;
  router_password: string;
  bridge_port: number;
  router_export: string;
}

/** Before the bridge runs: the ISP, its sign-in, and an enrolled bridge. */
export async function prepareDemo(places: DemoPlaces): Promise<{ demo: DemoFile; client: RukunClient }> {
  const { state_dir, url } = places;
  const known = readDemoFile(state_dir);
  const demo: DemoFile = {
    url,
    tenant: DEMO_TENANT.slug,
    email: DEMO_TENANT.admin_email,
    password: known?.password ?? makePassword(),
    router_host: '127.0.0.1',
    router_port: places.router_port,
    router_user: ROUTER_USER,
    router_password: places.router_password,
  };
  // written first: a sign-up whose password nobody knows would be lost
  writePrivate(demoPath(state_dir), `${JSON.stringify(demo, null, 2)}\n`);
  const client = await enter(demo, known !== null);
  await enrolBridge(client, places);
  return { demo, client };
}

/** The demo keeps within the limits that hold for everybody: what comes too early waits. */
const PATIENCE_MS = 180_000;

async function enter({ url, tenant, email, password }: DemoFile, may_be_known: boolean): Promise<RukunClient> {
  const options = { url, tenant, patience_ms: PATIENCE_MS };
  const session = may_be_known && (await signIn(options, { email, password }).catch(() => null));
  if (session) return session.client;
  const sign_up = { ...DEMO_TENANT, admin_password: password };
  unwrap(await createRukunClient({ url }).POST('/api/v1/tenants', { body: sign_up }));
  return (await signIn(options, { email, password })).client;
}

async function enrolBridge(client: RukunClient, places: DemoPlaces): Promise<void> {
  const bridge_url = `http://127.0.0.1:${places.bridge_port}`;
  const [known] = unwrap(await client.GET('/api/v1/bridges'));
  const bridge = known ?? unwrap(await client.POST('/api/v1/bridges', { body: { name: 'Kantor', url: bridge_url } }));
  const path_id = { params: { path: { id: bridge.id } } };
  if (bridge.url !== bridge_url)
    unwrap(await client.PUT('/api/v1/bridges/{id}', { ...path_id, body: { url: bridge_url } }));
  if (bridge.enrolled_at && existsSync(path.join(places.state_dir, 'bridge/bridge.json'))) return;
  const { token } = unwrap(await client.POST('/api/v1/bridges/{id}/enroll', path_id));
  const args = [
    'bridge/main.ts',
    'enroll',
    '--again',
    '--url',
    places.url,
    '--state',
    path.join(places.state_dir, 'bridge'),
  ];
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, RUKUN_ENROLMENT_TOKEN: token } });
}

/** Once the bridge runs: the router, its subscribers adopted from its export, and some new ones. */
export async function fillDemo(demo: DemoFile, client: RukunClient, places: DemoPlaces): Promise<void> {
  const router_id = await ensureRouter(client, demo);
  unwrap(await client.POST('/api/v1/routers/{id}/test', { params: { path: { id: router_id } } }));
  const customers = unwrap(await client.GET('/api/v1/customers/stats')).total;
  if (customers === 0) await adoptRouter(client, router_id, places.router_export);
  await pricePlans(client);
  if (customers < NEW_CUSTOMERS) await addNewCustomers(client, router_id);
  await fillMoney(client);
}

async function ensureRouter(client: RukunClient, demo: DemoFile): Promise<string> {
  const access = {
    host: demo.router_host,
    port: demo.router_port,
    username: demo.router_user,
    password: demo.router_password,
  };
  const [known] = unwrap(await client.GET('/api/v1/routers'));
  if (!known)
    return unwrap(
      await client.POST('/api/v1/routers', { body: { name: 'Gerbang', location: 'Kantor RW 02', ...access } }),
    ).id;
  if (known.port !== access.port)
    unwrap(
      await client.PUT('/api/v1/routers/{id}', { params: { path: { id: known.id } }, body: { port: access.port } }),
    );
  return known.id;
}

async function adoptRouter(client: RukunClient, router_id: string, router_export: string): Promise<void> {
  const started = unwrap(
    await client.POST('/api/v1/imports/file', {
      params: { query: { router_id } },
      body: router_export,
      bodySerializer: text => text,
      headers: { 'Content-Type': 'text/plain' },
    }),
  );
  for (let tries = 0; tries < 100; tries++) {
    const job = unwrap(await client.GET('/api/v1/jobs/{id}', { params: { path: { id: started.id } } }));
    if (job.finished_at) return;
    await sleep(500);
  }
  throw new Error('the import of the demo’s customers did not finish');
}

/** An imported plan has no price and isn't offered until somebody says so. */
async function pricePlans(client: RukunClient): Promise<void> {
  const plans = unwrap(
    await client.GET('/api/v1/service-plans', { params: { query: { is_active: 'all', per_page: 100 } } }),
  );
  for (const plan of plans.filter(unpriced => unpriced.price === null)) {
    const known = DEMO_PLANS.find(each => each.profile_name === plan.profile_name);
    if (!known) continue;
    const { name, price, sort_order } = known;
    const body = { name, price, sort_order, is_active: true };
    unwrap(await client.PUT('/api/v1/service-plans/{id}', { params: { path: { id: plan.id } }, body }));
  }
}

async function addNewCustomers(client: RukunClient, router_id: string): Promise<void> {
  const plans = unwrap(await client.GET('/api/v1/service-plans', { params: { query: { per_page: 100 } } }));
  for (const [index, fields] of listNewCustomers(NEW_CUSTOMERS).entries()) {
    const service_plan_id = plans[index % plans.length]!.id;
    const customer = unwrap(
      await client.POST('/api/v1/customers', { body: { ...fields, router_id, service_plan_id } }),
    );
    const path_id = { params: { path: { id: customer.id } } };
    if (index % 3 === 2) continue;
    unwrap(await client.POST('/api/v1/customers/{id}/activate', path_id));
    if (index % 6 === 1)
      unwrap(await client.POST('/api/v1/customers/{id}/suspend', { ...path_id, body: { reason: 'manual' } }));
  }
}
