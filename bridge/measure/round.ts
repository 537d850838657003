/** Rounds of measuring: every router's lines, every device, onto the disk in batches. */
import type { RouterAccess, Watched } from '../../src/protocol/messages.ts';
import { collectGarbage } from '../collect-garbage.ts';
import type { Spool } from '../spool.ts';
import { countLines, readCounters, writeCounters } from './counters.ts';
import { Lanes } from './lanes.ts';
import type { Look } from './measure-router.ts';
import { type BatchTools, OpenBatch } from './open-batch.ts';
import { reachDevice } from './reach-device.ts';

/** Each at one that doesn't say its port takes five connections. */
const DEVICES_AT_ONCE = 100;
const MANY_SESSIONS = 200;
/** One that is slow doesn't hold back what the others said for longer than this. */
const ROUTERS_WAIT_MS = 3_000;
const DEVICES_WAIT_MS = 10_000;

export interface RoundOptions extends BatchTools {
  routers: readonly RouterAccess[];
  /** Many wait for an answer side by side. */
  greetings: Lanes;
  /** Whose lines are read, which takes memory. */
  readings: Lanes;
  greet: (router: RouterAccess) => Promise<Look | null>;
  read: (router: RouterAccess, greeted: Look, onSilent: () => void) => Promise<Look>;
}

export async function measureRouters(options: RoundOptions): Promise<void> {
  const { spool, routers, greetings, readings, greet, read } = options;
  const batch = new OpenBatch(options, ROUTERS_WAIT_MS);
  const measured = routers.map(async router => {
    const greeted = await greetings.run(() => greet(router));
    if (!greeted) return;
    const is_silent = greeted.facts.status === 'offline' || greeted.facts.error !== null;
    if (is_silent) return await batch.addRouter({ ...greeted.facts, lines: null }, null);
    await readings.run(async leave => {
      const look = await read(router, greeted, leave);
      const is_large = (look.sessions?.length ?? 0) >= MANY_SESSIONS;
      const { lines, counters } = await countSessions(spool, look);
      // what it was counted from is of no more use while it is written down
      look.sessions = null;
      if (is_large) collectGarbage();
      await batch.addRouter({ ...look.facts, lines }, counters);
      if (is_large) collectGarbage();
    });
  });
  const results = await Promise.allSettled(measured);
  await batch.finish();
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function countSessions(spool: Spool, { facts, sessions }: Look) {
  if (sessions === null) return { lines: null, counters: null };
  const stored = await spool.readCounters(facts.router_id);
  const { lines, counters } = countLines(stored === null ? null : readCounters(stored), sessions);
  return { lines, counters: writeCounters(counters) };
}

export interface DeviceRoundOptions extends BatchTools {
  devices: Watched['devices'];
  device_limit_ms: number;
  signal: AbortSignal;
  /** The network. */
  reach?: typeof reachDevice;
}

export async function measureDevices(options: DeviceRoundOptions): Promise<void> {
  const { devices, device_limit_ms, signal, reach = reachDevice } = options;
  const batch = new OpenBatch(options, DEVICES_WAIT_MS);
  const lanes = new Lanes(DEVICES_AT_ONCE);
  const tryEach = async (tried: Watched['devices'], is_last: boolean) => {
    const silent: Watched['devices'] = [];
    const tries = tried.map(device =>
      lanes.run(async () => {
        const { id, host, port } = device;
        const reached = await reach(host, port, device_limit_ms, signal);
        // those that were cut short are not known
        if (signal.aborted) return;
        if (reached.status === 'offline' && !is_last) silent.push(device);
        else await batch.addDevice({ device_id: id, host, port, ...reached });
      }),
    );
    await Promise.all(tries);
    return silent;
  };
  // one lost packet is no outage
  await tryEach(await tryEach(devices, false), true);
  await batch.finish();
}
