import { env } from 'cloudflare:test';
import { vi } from 'vitest';
import { makeAmbient } from '../../src/context.ts';
import { runTogether } from '../../src/db/session.ts';
import type { Env } from '../../src/env.ts';
import { type Cursor, Dispatcher } from '../../src/events/dispatcher.ts';
import { type LoggedEvent, readLogged, selectLogged } from '../../src/events/log.ts';
import { makeContext } from '../../src/tenancy/enter.ts';
import { findTenant } from '../../src/tenancy/directory.ts';
import { provisioning } from '../../durable-objects/tenant-hub/subscribers.ts';

/** Hubs for tests whose queues only note what they are told: the real one would wake the real queue. */

type HubNamespace = Env['TENANT_HUB'];

const PAGE = 500;

const asNamespace = (hub: (tenant_id: string) => { wake(): Promise<void> }): HubNamespace =>
  ({
    idFromName: (name: string) => name,
    get: (name: string) => ({ ...hub(name), publish: () => Promise.resolve() }),
  }) as unknown as HubNamespace;

/** The real hub hears of nothing until mocks are restored; then it finds all of it in the log. */
export const silenceHub = (): void => void vi.spyOn(env.TENANT_HUB, 'get').mockImplementation(SILENT_HUB.get as never);

/** Nobody is told of anything. */
export const SILENT_HUB = asNamespace(() => ({ wake: () => Promise.resolve() }));

/** Wakes provisioning as the hub does, through the queue of this environment; from the beginning of the log. */
export function makeLocalHub(getEnv: () => Env): HubNamespace {
  const dispatchers = new Map<string, Dispatcher<LoggedEvent>>();
  const open = async (tenant_id: string) => {
    const ambient = makeAmbient(getEnv(), { waitUntil: () => undefined });
    const tenant = await findTenant(ambient.env, tenant_id, ambient.now);
    return makeContext(ambient, tenant!, { kind: 'job', name: 'hub' });
  };
  const make = (tenant_id: string) => {
    let cursor: Cursor = { last_seq: 0, attempts: 0, retry_at: 0 };
    return new Dispatcher<LoggedEvent>({
      page_size: PAGE,
      readAfter: async seq => {
        const context = await open(tenant_id);
        const [rows] = await runTogether(context.db, [selectLogged(context, seq, PAGE)] as const);
        return readLogged(rows);
      },
      readCursor: () => cursor,
      writeCursor: (_, moved) => void (cursor = moved),
      now: Date.now,
      random: () => 0,
      reportFailure: (_, error) => {
        throw error;
      },
    });
  };
  return asNamespace(tenant_id => {
    const dispatcher = dispatchers.get(tenant_id) ?? make(tenant_id);
    dispatchers.set(tenant_id, dispatcher);
    return { wake: () => dispatcher.wake([provisioning(() => open(tenant_id))]) };
  });
}
