import type { AnyEventName } from '../../src/events/realtime/catalogue.ts';

/** From the Worker to the hub: what the query of a socket said, checked. */
export interface SocketOptions {
  since: number | null;
  events: AnyEventName[] | null;
}
export const SOCKET_HEADER = 'x-rukun-socket';
