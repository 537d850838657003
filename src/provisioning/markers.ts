/** The markers that say on the router whose an entry is. */
export const customerMarker = (customer_code: string): string => `rukun:${customer_code}`;
export const planMarker = (plan_id: string): string => `rukun:plan:${plan_id.slice(0, 8)}`;
/** A marker is one word, whatever the pool is called. */
export const poolMarker = (name: string): string => `rukun:pool:${name.replaceAll(/\s/g, '_')}`;
export { ISOLIR_MARKER } from './diff.ts';
/** Of a rule: its key names set-up and part (`isolir:drop`). */
export const ruleMarker = (key: string): string => `rukun:${key}`;
/** Of an address that a set-up lets through. */
export const allowMarker = (setup: string): string => `rukun:${setup}:allow`;
