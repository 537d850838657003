import { env } from 'cloudflare:test';
import { vi } from 'vitest';

/** What is printed from now on, as it is; `vi.restoreAllMocks` and `LOG_REQUESTS = 'no'` end it. */
export function recordLines(): string[] {
  const lines: string[] = [];
  for (const name of ['log', 'info', 'warn', 'error', 'debug'] as const)
    vi.spyOn(console, name).mockImplementation((...parts) => void lines.push(parts.map(String).join(' ')));
  env.LOG_REQUESTS = 'yes';
  return lines;
}
