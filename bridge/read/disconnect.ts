/** `POST /v1/disconnect`: ends the live PPP sessions of one name. The customer may dial in again at once. */
import type { BridgeTools } from '../apply/apply.ts';
import { BridgeFailure, explainRouterError, isMissing, isRefusal } from '../apply/failure.ts';
import { RouterHold } from '../apply/hold-router.ts';
import type { RouterConnection } from '../routeros/connection.ts';
import type { DisconnectAnswer, DisconnectRequest } from '../../src/protocol/messages.ts';
import { takeTurn } from './turn.ts';

const WAIT_MS = 20_000;

export async function disconnectSessions(
  tools: BridgeTools,
  { router, sealed, name }: DisconnectRequest,
  wait_ms = WAIT_MS,
): Promise<DisconnectAnswer> {
  if (name === '') throw new BridgeFailure('INVALID_MESSAGE', 'name: it is empty');
  const { router_password } = await tools.openSealed(sealed);
  return await takeTurn(tools, router, { limit_ms: wait_ms, is_finished: true }, async () => {
    const hold = new RouterHold(tools.pool, router, router_password);
    const ending: Ending = { unsure: new Set(), ended: 0 };
    try {
      await hold.run(connection => endAll(connection, name, ending));
      return { sessions_ended: ending.ended };
    } catch (error) {
      throw explainRefusal(error, `the session of "${name}" could not be ended`) ?? explainRouterError(error, router);
    } finally {
      hold.release();
    }
  });
}

interface Ending {
  /** Rows whose removal was sent and not answered: when such a one is gone later on, it was us. */
  unsure: Set<string>;
  ended: number;
}

/** Each look ends only what was there then: who dials in again meanwhile stays. */
async function endAll(connection: RouterConnection, name: string, ending: Ending): Promise<void> {
  const rows = await connection.print('/ppp/active', { proplist: ['.id', 'name'], query: [`?name=${name}`] });
  const ids = rows.flatMap(row => (row.name === name ? (row['.id'] ?? []) : []));
  for (const id of ending.unsure) if (!ids.includes(id)) ending.ended++;
  ending.unsure.clear();
  for (const id of ids) {
    ending.unsure.add(id);
    try {
      await connection.remove('/ppp/active', id);
      ending.ended++;
    } catch (error) {
      // hung up in between
      if (!isRefusal(error) || !isMissing(error)) throw error;
    }
    ending.unsure.delete(id);
  }
}

function explainRefusal(error: unknown, what: string): BridgeFailure | null {
  return isRefusal(error) ? new BridgeFailure('ROUTER_REFUSED', `${what}: ${error.message}`) : null;
}
