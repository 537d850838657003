/** The markers that say on the router whose an entry is. */
export const customerMarker = (customer_code: string): string => `rukun:${customer_code}`;
export const planMarker = (plan_id: string): string => `rukun:plan:${plan_id.slice(0, 8)}`;
export const ISOLIR_MARKER = 'rukun:isolir';
