import type { Env } from './env.ts';

/** One JSON line each; never a secret, a body or a header. */
export function logLine(env: Pick<Env, 'LOG_REQUESTS'>, entry: Record<string, unknown>): void {
  if (env.LOG_REQUESTS === 'yes') console.log(JSON.stringify(entry));
}

/** What nobody expected: for the operator's eyes alone. The answer to the caller says nothing of it. */
export function logFailure(where: Record<string, unknown>, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  console.error(JSON.stringify({ level: 'error', ...where, error: text.slice(0, 4000) }));
}
