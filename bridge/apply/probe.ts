import { RouterConnection, type Row } from '../routeros/connection.ts';
import { parseDuration } from '../../src/lib/routeros/values.ts';
import type { ProbeAnswer, ProbeRequest } from '../../src/protocol/messages.ts';
import type { BridgeTools } from './apply.ts';
import { explainRouterError, isRefusal } from './failure.ts';

/** Signs in to a router on a new connection and says what it is. */
export async function probeRouter(tools: BridgeTools, request: ProbeRequest): Promise<ProbeAnswer> {
  const { router } = request;
  const { router_password } = await tools.openSealed(request.sealed);
  return await tools.queue.run(router.id, async () => {
    try {
      const { connection, latency_ms } = await tools.pool.take(router, router_password, { is_fresh: true });
      return { ...(await readFacts(connection)), latency_ms, tls_fingerprint: connection.tls_fingerprint };
    } catch (error) {
      throw explainRouterError(error, router);
    } finally {
      tools.pool.release(router.id);
    }
  });
}

export async function readFacts(connection: RouterConnection) {
  const [identity, resource, board] = await Promise.all([
    readSingle(connection, '/system/identity', ['name']),
    readSingle(connection, '/system/resource', ['board-name', 'version', 'uptime']),
    readSingle(connection, '/system/routerboard', ['board-name', 'model']),
  ]);
  const uptime_seconds = parseDuration(resource.uptime ?? '');
  return {
    identity: identity.name ?? null,
    board_name: resource['board-name'] ?? board['board-name'] ?? board.model ?? null,
    version: resource.version ?? null,
    uptime_seconds: readWhole(uptime_seconds),
  };
}

/** Null where it is nonsense. */
export function readWhole(value: number | null): number | null {
  const whole = Math.floor(value ?? NaN);
  return Number.isSafeInteger(whole) && whole >= 0 ? whole : null;
}

/** Nothing where the router refuses: a virtual one has no /system/routerboard. */
async function readSingle(connection: RouterConnection, menu: string, proplist: readonly string[]): Promise<Row> {
  try {
    return (await connection.print(menu, { proplist }))[0] ?? {};
  } catch (error) {
    if (isRefusal(error)) return {};
    throw error;
  }
}
