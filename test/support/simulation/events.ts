import { expect } from 'vitest';
import type { World } from './world.ts';

/** Whether the log tells the story: replayed in its order, it ends at what is. */

interface Told {
  seq: number;
  type: string;
  entity_type: string;
  entity_id: string;
  customer_id: string | null;
  changes: Record<string, [unknown, unknown]>;
  data: { router_ids?: string[]; error?: string | null };
}

async function readEvents(world: World): Promise<Told[]> {
  const rows = await world.query<Omit<Told, 'changes' | 'data'> & { changes: string; data: string }>(
    `SELECT seq, type, entity_type, entity_id, customer_id, changes, data FROM events WHERE seq > ?1 ORDER BY seq`,
    world.first_seq,
  );
  return rows.map(row => ({ ...row, changes: JSON.parse(row.changes), data: JSON.parse(row.data) }));
}

export async function checkEvents(world: World): Promise<void> {
  const events = await readEvents(world);
  checkCustomers(world, events);
  await checkProvisioning(world, events);
}

/** Each change begins where the one before it ended, and all of them end at what the office last said. */
function checkCustomers(world: World, events: readonly Told[]): void {
  for (const customer of world.office.customers) {
    const told: Record<string, unknown> = {};
    const own = events.filter(event => event.entity_type === 'customer' && event.entity_id === customer.id);
    for (const { seq, type, changes } of own)
      for (const [field, [before, after]] of Object.entries(changes)) {
        expect(before, `event ${seq} ${type} of ${customer.code}: ${field} before`).toEqual(told[field] ?? null);
        told[field] = after;
      }
    const { status, service_plan_id, router_id, pppoe_username, static_ip = null, deleted_at = null } = told;
    const is_deleted = deleted_at !== null;
    expect(
      { status, service_plan_id, router_id, pppoe_username, static_ip, is_deleted },
      `what the log tells of ${customer.code}`,
    ).toEqual({
      status: customer.status,
      service_plan_id: world.office.plans[customer.plan]!.id,
      router_id: world.router_ids[customer.router],
      pppoe_username: customer.name,
      static_ip: customer.static_ip,
      is_deleted: customer.is_deleted,
    });
  }
}

/** A change of what must be there makes a row pending without a word of its own: the change itself is told. */
async function checkProvisioning(world: World, events: readonly Told[]): Promise<void> {
  const rows = await world.query<{ id: string; router_id: string; key: string; status: string }>(
    'SELECT id, router_id, key, status FROM provisioning',
  );
  // what the router says to who does a thing twice, or before what it leans on
  for (const { seq, type, data } of events)
    expect(data.error ?? '', `event ${seq} ${type}`).not.toMatch(/already exists|no such item|does not match any/);
  for (const row of rows) {
    let status: unknown = 'pending';
    for (const { seq, type, entity_id, changes, data } of events) {
      if (data.router_ids?.includes(row.router_id)) {
        // it may have been this row's turn, or another's
        if (status !== 'pending') status = `${String(status)} or pending`;
        continue;
      }
      if (entity_id !== row.id || !changes.status) continue;
      const [before, after] = changes.status;
      expect(String(status).split(' or '), `event ${seq} ${type} of ${row.key}: status before`).toContain(before);
      status = after;
    }
    expect(String(status).split(' or '), `what the log tells of ${row.key} on ${row.router_id}`).toContain(row.status);
  }
}
