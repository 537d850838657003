import { retryDelay_ms, type Backoff } from '../lib/retry.ts';
import type { Circuit } from '../resources/routers/table.ts';

/** When a router that fails is left alone for a while, so that it costs the others nothing. Pure. */

export const CIRCUIT_STATES = ['closed', 'open', 'half_open'] as const;
export type CircuitState = (typeof CIRCUIT_STATES)[number];

/** The failure in a row that opens it. */
export const OPENS_AT = 3;

const AWAY: Backoff = { first_ms: 15_000, most_ms: 5 * 60_000 };
/** A wrong password: firewalls ban those who try it again and again. */
const REFUSED: Backoff = { first_ms: 15_000, most_ms: 60 * 60_000 };

/** Failures in a row beyond which it stays open no longer. */
export const LONGEST_AT = OPENS_AT + 8;

/** How long it stays open after so many failures in a row; null: it doesn't open yet. */
export function openFor_ms(failures: number, random: number, is_refused: boolean): number | null {
  if (failures < OPENS_AT) return null;
  return retryDelay_ms(failures - OPENS_AT + 1, random, is_refused ? REFUSED : AWAY);
}

/** `half_open`: its time is over, and nobody has asked the router since. */
export function circuitState(circuit: Circuit | null, now_ms: number): CircuitState {
  if (circuit === null || circuit.failures < OPENS_AT || circuit.open_until === null) return 'closed';
  return Date.parse(circuit.open_until) > now_ms ? 'open' : 'half_open';
}
