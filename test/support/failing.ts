import { env } from 'cloudflare:test';
import { vi } from 'vitest';
import { tenantBindings, tenantDatabase } from '../../src/env.ts';

/** Parts of the platform that fail, and say everything that they were told. `vi.restoreAllMocks` mends them. */

let times_failed = 0;

/** How often any of them was asked and failed. */
export const countFailures = (): number => times_failed;

const tell = (what: string, ...told: unknown[]): Error => {
  times_failed++;
  const words = told.map(each => (typeof each === 'string' ? each : JSON.stringify(each))).join(' ');
  return new Error(`${what}: ${words}`, { cause: new TypeError(`${words}\n    at ${words} (index.js:1:1)`) });
};

/** Each tenant's database at the `nth` round trip from now on, and at all after it. */
export function failDatabases(nth: number): void {
  let round_trips = 0;
  for (const d1 of tenantBindings(env).map(binding => tenantDatabase(env, binding))) {
    const open = d1.withSession.bind(d1);
    vi.spyOn(d1, 'withSession').mockImplementation(start => {
      const session = open(start as string);
      const told: unknown[] = [];
      const prepare = (query: string) => ({
        bind: (...values: unknown[]) => {
          told.push(query, values);
          return session.prepare(query).bind(...values);
        },
      });
      const batch = async (statements: D1PreparedStatement[]) => {
        if (++round_trips >= nth) throw tell('D1_ERROR', told);
        return session.batch(statements);
      };
      return { prepare, batch, getBookmark: () => session.getBookmark() } as unknown as D1DatabaseSession;
    });
  }
}

export function failLimiter(): void {
  const fail = async (...told: unknown[]) => Promise.reject(tell('the limiter', told));
  vi.spyOn(env.RATE_LIMITER, 'get').mockReturnValue({ ask: fail, giveBack: fail } as never);
}

export function failHub(): void {
  const fail = async (...told: unknown[]) => Promise.reject(tell('the hub', told));
  vi.spyOn(env.TENANT_HUB, 'get').mockReturnValue({ wake: fail, publish: fail, fetch: fail } as never);
}

export function failQueues(): void {
  const fail = async (told: unknown) => Promise.reject(tell('the queue', told));
  for (const queue of [env.PROVISIONING_QUEUE, env.JOBS_QUEUE]) {
    vi.spyOn(queue, 'send').mockImplementation(fail);
    vi.spyOn(queue, 'sendBatch').mockImplementation(fail as never);
  }
}

export function failFiles(): void {
  const fail = async (key: unknown, value: unknown) => {
    const bytes = value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? new TextDecoder().decode(value) : value;
    throw tell('R2', key, bytes);
  };
  vi.spyOn(env.FILES, 'put').mockImplementation(fail);
  vi.spyOn(env.FILES, 'get').mockImplementation(fail as never);
}

/** Bridges that can't be reached, or answer with what they were told, unsigned. */
export function failBridges(how: 'away' | 'echo' | 'refuses'): void {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const told = [String(input as URL), init?.body as string, init?.headers];
    const error = tell('fetch failed', ...told);
    if (how === 'away') throw error;
    return new Response(JSON.stringify(told), { status: how === 'echo' ? 200 : 502 });
  });
}
