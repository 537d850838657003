import { readClock } from './context.ts';
import type { DatabaseStats } from './db/stats.ts';
import type { Env } from './env.ts';
import { describeError } from './lib/describe-error.ts';
import { toIso } from './lib/time.ts';

/** What a line says of whom and what it is about: names and ids of ours, never a value of anybody's. */
export interface About {
  request_id?: string;
  /** Slug. */
  tenant?: string | null;
  tenant_id?: string | undefined;
  method?: string;
  /** The pattern, `/api/v1/customers/:id`; null where there is none. */
  route?: string | null;
  queue?: string;
  /** What a message asks for. */
  kind?: string;
  attempts?: number;
  /** A Durable Object. */
  object?: string;
  subscriber?: string;
  job?: string;
  step?: string;
  job_id?: string;
  router_id?: string;
  customer_id?: string;
  change_id?: string;
}

/** How a request, a message or a round of the sweep ended. */
export interface Ended extends About, Partial<DatabaseStats> {
  status?: number;
  /** Of an error. */
  code?: string | null;
  outcome?: string;
  /** Messages that said the same, and were handled as one. */
  messages?: number;
  duration_ms: number;
}

/** One JSON line each; never a secret, a body, a header, or a path as it came. */
export function logEnd(env: Pick<Env, 'LOG_REQUESTS'>, ended: Ended): void {
  if (env.LOG_REQUESTS !== 'yes') return;
  const { status = 200, outcome } = ended;
  console.log(writeLine(status >= 500 || outcome === 'failed' ? 'error' : 'info', ended));
}

/** What nobody expected: for the operator's eyes alone. The answer to the caller says nothing of it. */
export function logFailure(about: About, error: unknown): void {
  console.error(writeLine('error', { ...about, ...describeError(error) }));
}

const writeLine = (level: 'info' | 'error', fields: object): string =>
  JSON.stringify({ time: toIso(readClock()), level, ...fields });
