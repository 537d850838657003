/** What the bridge does with each kind of request. */
import { applyDesired, type BridgeTools } from './apply/apply.ts';
import { probeRouter } from './apply/probe.ts';
import type { LinkHandlers } from './link.ts';
import { type BridgeKeys, rotateKeys } from './keys.ts';
import type { Log } from './log.ts';
import { disconnectSessions } from './read/disconnect.ts';
import { RouterReader } from './read/read.ts';
import type { HealthAnswer } from '../src/protocol/messages.ts';

export interface HandlerOptions {
  bridge_id: string;
  version: string;
  log: Log;
  keys: BridgeKeys;
  /** Seals to the newest key what lies sealed on the disk. */
  renewSealed(): Promise<void>;
  /** What health tells of the parts that run beside the link. */
  getTunnelState(): HealthAnswer['tunnel'];
  countWaitingBatches(): number;
}

export function makeHandlers(tools: BridgeTools, about: HandlerOptions): LinkHandlers {
  const started_ms = performance.now();
  const { journal, pool, queue } = tools;
  const reader = new RouterReader(tools);
  return {
    apply: async request => {
      const answer = await applyDesired(tools, request).finally(() => reader.forget(request.router.id));
      const bad = answer.entries.filter(({ error }) => error !== null).length;
      const { revision, sessions_ended, commands_sent } = answer;
      const counts = { entries: answer.entries.length, bad, sessions_ended, commands_sent };
      about.log('applied', { router_id: request.router.id, revision, ...counts });
      return answer;
    },
    probe: request => probeRouter(tools, request),
    read: request => reader.read(request),
    disconnect: async request => {
      const answer = await disconnectSessions(tools, request).finally(() => reader.forget(request.router.id));
      about.log('disconnected', { router_id: request.router.id, ...answer });
      return answer;
    },
    rotate: request => rotateKeys(about.keys, () => about.renewSealed(), request),
    health: async () => ({
      version: about.version,
      bridge_id: about.bridge_id,
      uptime_seconds: Math.floor((performance.now() - started_ms) / 1000),
      tunnel: about.getTunnelState(),
      batches_waiting: about.countWaitingBatches(),
      public_key: about.keys.public_key,
      routers: journal.router_ids.map(id => ({
        id,
        state: queue.isBusy(id) ? 'working' : pool.getState(id),
        revision: journal.getRevision(id),
      })),
    }),
  };
}
