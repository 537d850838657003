import { makeLog } from '../../bridge/log.ts';
import { startBridge, type RunningBridge } from '../../bridge/run.ts';

/** A bridge in a process of its own, so that it can be killed. It waits, with everything loaded, to be told to start. */

export type ToBridge = { start: { state_dir: string; port: number } } | 'stop';
export type FromBridge = { port: number } | { error: string };

/** A router that says nothing is given up soon: the tests wait for it. */
const POOL = { connect_timeout_ms: 250, command_timeout_ms: 2_000 };

let bridge: RunningBridge | null = null;

async function obey(message: ToBridge): Promise<void> {
  if (message === 'stop') {
    await bridge?.stop();
    process.exit(0);
  }
  const log = makeLog(() => {});
  bridge = await startBridge({ ...message.start, log, pool: POOL, measure: false, report: false });
  process.send!({ port: bridge.port } satisfies FromBridge);
}

process.on('message', (message: ToBridge) => {
  obey(message).catch((error: unknown) => process.send!({ error: String(error) } satisfies FromBridge));
});
process.on('disconnect', () => process.exit(0));
