import { Door } from '../../durable-objects/rate-limiter/door.ts';
import type { Env } from '../../src/env.ts';

/**
 * The limiters' own rules in the tests' isolate, without an object around each: each request of tests that are not about them is
 * spared a call. What is about limits has the real ones (setup.ts).
 */
export function makeLocalLimiters(): Env['RATE_LIMITER'] {
  const doors = new Map<string, ReturnType<typeof serve>>();
  const serve = () => {
    const door = new Door(
      () => {},
      () => crypto.randomUUID(),
    );
    return {
      ask: async (...parts: Parameters<Door['ask']>) => door.ask(...parts),
      giveBack: async (...parts: Parameters<Door['giveBack']>) => door.giveBack(...parts),
      strike: async (...parts: Parameters<Door['strike']>) => door.strike(...parts),
      blocks: async (...parts: Parameters<Door['blocks']>) => door.blocks(...parts),
      markReported: async (...parts: Parameters<Door['markReported']>) => door.markReported(...parts),
      lift: async (...parts: Parameters<Door['lift']>) => door.lift(...parts),
      end: async (...parts: Parameters<Door['end']>) => door.end(...parts),
    };
  };
  const get = (name: string) => {
    const known = doors.get(name) ?? serve();
    doors.set(name, known);
    return known;
  };
  return { idFromName: (name: string) => name, get } as unknown as Env['RATE_LIMITER'];
}
