import { connect } from 'node:net';

/** Tried where nobody said which port a device answers on: web, SSH, telnet, WinBox. */
const USUAL_PORTS = [80, 443, 22, 23, 8291];
/** Said by the device itself, so it is there; anything else is said by a router on the way or by nobody. */
const REFUSED = 'ECONNREFUSED';

export interface Reached {
  status: 'online' | 'offline';
  latency_ms: number | null;
}

/** Whether anything at all answers at that address. A refused connection is an answer. */
export async function reachDevice(
  host: string,
  port: number | null,
  limit_ms: number,
  signal: AbortSignal,
): Promise<Reached> {
  const given_up = new AbortController();
  const either = AbortSignal.any([signal, given_up.signal]);
  const ports = port === null ? USUAL_PORTS : [port];
  try {
    // the first answer counts; a firewall may let one port through and drop the others
    const latency_ms = await Promise.any(ports.map(each => connectOnce(host, each, limit_ms, either)));
    return { status: 'online', latency_ms };
  } catch {
    return { status: 'offline', latency_ms: null };
  } finally {
    given_up.abort();
  }
}

function connectOnce(host: string, port: number, limit_ms: number, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const started_ms = performance.now();
    const socket = connect({ host, port });
    const finish = (error: Error | null) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      if (error) reject(error);
      else resolve(Math.round(performance.now() - started_ms));
    };
    const onAbort = () => finish(new Error('given up'));
    const timer = setTimeout(() => finish(new Error('no answer')), limit_ms);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => finish(null));
    // stays for good: an 'error' without a listener would end the process
    socket.on('error', error => finish('code' in error && error.code === REFUSED ? null : error));
    if (signal.aborted) onAbort();
  });
}
