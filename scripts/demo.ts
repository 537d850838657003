import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { unwrap, type RukunClient } from '../client/index.ts';
import { enterDemo, type Entry } from './demo-entry.ts';
import {
  forgetMade,
  noteMade,
  readBridgeId,
  readDemoFile,
  readMade,
  writeDemoFile,
  type DemoFile,
} from './demo-files.ts';
import { DEMO_PLANS, DEMO_TENANT, listNewCustomers } from './demo-isp.ts';
import { fillMoney } from './demo-money.ts';
import { ensureBridge, ensureRouter, testRouter } from './demo-network.ts';

/**
 * Makes the demo ISP through the public API, within its limits; each step looks first whether it was done. Whatever its
 * users did since, a later start comes to its end.
 */

export const ROUTER_USER = 'rukun';
const NEW_CUSTOMERS = 12;

export const makePassword = () => randomBytes(12).toString('base64url');

export interface DemoPlaces {
  state_dir: string;
  url: string;
  router_port: number;
  router_password: string;
  bridge_port: number;
  router_export: string;
  say: (line: string) => void;
}

export interface PreparedDemo extends Entry {
  demo: DemoFile;
  /** Null: no bridge is enrolled on this machine. */
  bridge_id: string | null;
}

/** Before the bridge runs: the ISP, its sign-in, and an enrolled bridge. */
export async function prepareDemo(places: DemoPlaces): Promise<PreparedDemo> {
  const { state_dir, url, say } = places;
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
  const entry = await enterDemo(demo, () => {
    forgetMade(state_dir);
    // written first: a sign-up whose password nobody knows would be lost
    writeDemoFile(state_dir, demo);
  });
  if (known) writeDemoFile(state_dir, demo);
  if (entry.client) return { ...entry, demo, bridge_id: await ensureBridge(entry.client, places) };
  const refusal = known ? entry.refusal : `there is no demo.json that says the password of ${demo.email}`;
  say(`${refusal}: looking after the demo ISP is passed by`);
  const bridge_id = readBridgeId(state_dir);
  if (!bridge_id) say('the demo’s bridge isn’t enrolled: no bridge is started');
  return { ...entry, refusal, demo, bridge_id };
}

/** Once the bridge runs: the router, its subscribers adopted from its export, and some new ones. */
export async function fillDemo({ demo, client, bridge_id, is_new }: PreparedDemo, places: DemoPlaces): Promise<void> {
  if (!client) return;
  const { state_dir, say } = places;
  const router_id = await ensureRouter(client, demo, { ...places, bridge_id });
  if (!router_id) return;
  await testRouter(client, router_id, { is_new, say });
  if (readMade(state_dir).is_filled) return;
  const customers = unwrap(await client.GET('/api/v1/customers/stats')).total;
  if (customers === 0) await adoptRouter(client, router_id, places.router_export);
  await pricePlans(client);
  if (customers < NEW_CUSTOMERS) await addNewCustomers(client, router_id);
  await fillMoney(client);
  noteMade(state_dir, { is_filled: true });
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
