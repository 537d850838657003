/** From two readings of a router's PPP sessions to what was moved between them. Pure. */
import type { LineMeasurement } from '../../src/protocol/messages.ts';

/** The counters of the interface that a session runs over. */
export interface Traffic {
  interface: string;
  /** From the customer. */
  rx_bytes: number;
  tx_bytes: number;
}

/** One live session as the router shows it. */
export interface SessionReading {
  name: string;
  session_id: string;
  address: string | null;
  uptime_seconds: number | null;
  /** Null where it can't be told for sure which interface is this session's. */
  traffic: Traffic | null;
}

/** How far a session was counted. */
export interface Counter {
  uptime_seconds: number;
  /** Null: seen, but its bytes until then are not ours to count. */
  traffic: Traffic | null;
  /** Good readings in a row in which the session wasn't there. */
  missed: number;
}

/** Of one router, by session. */
export type Counters = ReadonlyMap<string, Counter>;

/** A router may leave a row out while others come and go; what comes back must not be counted from its start. */
const MOST_MISSED = 2;

/**
 * What each session moved since the counters before. Null for those means that nothing is known of what was counted
 * until now: then all starts from here, since counting too little is mended by time and counting twice is not.
 */
export function countLines(before: Counters | null, readings: readonly SessionReading[]) {
  const counters = new Map<string, Counter>();
  const lines: LineMeasurement[] = [];
  for (const reading of readings) {
    const key = makeKey(reading);
    if (counters.has(key)) continue;
    const known = before?.get(key);
    const moved = countMoved(before === null, known, reading);
    const uptime_seconds = reading.uptime_seconds ?? known?.uptime_seconds ?? 0;
    if (reading.traffic) counters.set(key, { uptime_seconds, traffic: reading.traffic, missed: 0 });
    else if (known) counters.set(key, { ...known, missed: 0 });
    // any other new session is left out: its next reading then counts from its start
    else if (before === null) counters.set(key, { uptime_seconds, traffic: null, missed: 0 });
    const { name, session_id, address } = reading;
    lines.push({ name, session_id, address, uptime_seconds, ...moved });
  }
  for (const [key, counter] of before ?? []) {
    if (counters.has(key) || counter.missed >= MOST_MISSED) continue;
    counters.set(key, { ...counter, missed: counter.missed + 1 });
  }
  return { lines, counters: counters as Counters };
}

const NOTHING = { interval_seconds: 0, upload_bytes: 0, download_bytes: 0 };

function countMoved(is_first: boolean, known: Counter | undefined, { uptime_seconds, traffic }: SessionReading) {
  if (traffic === null || (is_first && !known)) return NOTHING;
  const whole = { upload_bytes: traffic.rx_bytes, download_bytes: traffic.tx_bytes };
  if (!known) return { interval_seconds: uptime_seconds ?? 0, ...whole };
  const last = known.traffic;
  if (!last || last.interface !== traffic.interface) return NOTHING;
  const is_new_session = uptime_seconds !== null && uptime_seconds < known.uptime_seconds;
  if (is_new_session) return { interval_seconds: uptime_seconds, ...whole };
  const interval_seconds = uptime_seconds === null ? 0 : uptime_seconds - known.uptime_seconds;
  return {
    interval_seconds,
    upload_bytes: countUp(last.rx_bytes, traffic.rx_bytes),
    download_bytes: countUp(last.tx_bytes, traffic.tx_bytes),
  };
}

/** One that went back was set back or wrapped, which the other direction need not have. */
const countUp = (before: number, after: number) => (after < before ? after : after - before);

/** Ids begin anew when a router does; with the name, another user's session is not taken for the one before. */
function makeKey({ session_id, name }: { session_id: string; name: string }): string {
  return `${session_id} ${name}`;
}

type Stored =
  | [key: string, uptime_seconds: number, missed: number]
  | [key: string, uptime_seconds: number, missed: number, name: string, rx_bytes: number, tx_bytes: number];

export function writeCounters(counters: Counters): string {
  const stored = Array.from(counters, ([key, { uptime_seconds, missed, traffic }]): Stored => {
    if (!traffic) return [key, uptime_seconds, missed];
    return [key, uptime_seconds, missed, traffic.interface, traffic.rx_bytes, traffic.tx_bytes];
  });
  return JSON.stringify(stored);
}

/** Of a text that writeCounters made. */
export function readCounters(text: string): Counters {
  const counters = (JSON.parse(text) as Stored[]).map(stored => {
    const [key, uptime_seconds, missed, name, rx_bytes = 0, tx_bytes = 0] = stored;
    const traffic = name === undefined ? null : { interface: name, rx_bytes, tx_bytes };
    return [key, { uptime_seconds, missed, traffic }] as const;
  });
  return new Map(counters);
}
