import { expect } from 'vitest';
import type { Role } from '../../src/auth/permissions.ts';
import { API_BASE, type Route } from '../../src/http/resource.ts';
import { dayFromNow, thisMonth } from './calendar.ts';
import { addEntry, type TestTenant, type TestUser } from './world.ts';

/** Rows of a provider to which paths and bodies of any route lead. */

/** One of each role. */
export async function addUsers(tenant: TestTenant): Promise<TestUser[]> {
  const others = await Promise.all((['operator', 'technician', 'viewer'] as Role[]).map(role => tenant.addUser(role)));
  return [tenant.admin, ...others];
}

/** One row of every resource, by the first part of its path, so that paths lead somewhere. */
export async function addRows(tenant: TestTenant): Promise<Record<string, string>> {
  const mark = crypto.randomUUID().slice(0, 8);
  const bridge = await tenant.post('/bridges', { name: `Kantor ${mark}` });
  // without a bridge nobody reaches it
  const router = await tenant.post('/routers', {
    name: `Pusat ${mark}`,
    host: '10.0.0.1',
    username: 'api',
    password: 'rahasia-router',
    bridge_id: null,
  });
  // one that nobody is on yet
  const [plan, other_plan] = [await tenant.addPlan(), await tenant.addPlan()];
  const zone = await tenant.post('/zones', { name: `Utara ${mark}` });
  const customer = await tenant.addCustomer(plan.id, { zone_id: zone.id });
  const { id: user_id } = await tenant.addUser('viewer');
  const pool = await tenant.post('/ip-pools', { router_id: router.id, name: 'rumah', ranges: '10.9.0.0/24' });
  const device = await tenant.post('/devices', {
    device_name: `OLT ${mark}`,
    device_type: 'olt',
    customer_id: customer.id,
  });
  const entry_id = await addEntry(tenant, router.id, 'entri');
  const imported = await tenant.call('POST', '/imports/file', {
    query: { dry_run: true },
    headers: { 'content-type': 'text/plain' },
    body: `/ppp secret\nadd name=budi-${mark} password=rahasia profile=default service=pppoe\n`,
  });
  return {
    bridges: bridge.id,
    routers: router.id,
    'service-plans': other_plan.id,
    zones: zone.id,
    customers: customer.id,
    users: user_id,
    jobs: imported.data.id,
    imports: imported.data.import_id,
    'ip-pools': pool.id,
    devices: device.id,
    monitoring: await addAlert(tenant, device.id),
    provisioning: entry_id,
    isolir: tenant.id,
    ...(await addMoney(tenant, customer.id)),
  };
}

/** Nobody makes one by asking. */
async function addAlert(tenant: TestTenant, device_id: string): Promise<string> {
  const id = crypto.randomUUID();
  const database = await tenant.database();
  await database
    .prepare(
      `INSERT INTO alerts (id, type, severity, entity_type, entity_id, message, status, opened_at, created_at, updated_at)
      VALUES (?1, 'low_stock', 'info', 'device', ?2, 'x', 'open', ?3, ?3, ?3)`,
    )
    .bind(id, device_id, Date.now())
    .run();
  return id;
}

/** The line is on; with a due, an invoice, and money that came in. */
async function addMoney(tenant: TestTenant, customer_id: string): Promise<Record<string, string>> {
  // served last month already: a new one may begin while the test runs
  await tenant.post(`/customers/${customer_id}/activate`, { date: dayFromNow(-40) });
  const period = thisMonth();
  const invoice = await tenant.post('/invoices', { customer_id, period });
  const receipt = await tenant.call('POST', `/customers/${customer_id}/payments`, {
    headers: { 'idempotency-key': crypto.randomUUID() },
    body: { amount: 10_000, payment_method: 'cash' },
  });
  expect(receipt.status, receipt.text).toBe(201);
  const payment = await tenant.post('/payments', { customer_id, amount: 25_000 });
  return { invoices: invoice.id, receipts: receipt.data.id, payments: payment.id };
}

/** The first part of a route's path. */
export const resourceOf = (route: Route): string => route.path.slice(API_BASE.length).split('/')[1]!;

/** The row that the `:id` of a route's path is the id of. */
export const idFor = (route: Route, ids: Record<string, string>) => ids[resourceOf(route)];
