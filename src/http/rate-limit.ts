import type { Limit } from '../../durable-objects/rate-limiter/sliding-log.ts';
import type { Ambient } from '../context.ts';
import { AppError } from '../errors.ts';

/** Who holds one IPv6 address holds its whole /64. */
function networkOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const [head = '', tail] = ip.split('::');
  const groups = head.split(':').filter(Boolean);
  const missing = tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter(Boolean).length;
  return [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...(tail ?? '').split(':').filter(Boolean)]
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** Refuses with 429 what is above the limit of an address. An address that can't be told shares one log. */
export const limitByAddress = (ambient: Ambient, kind: string, limit: Limit): Promise<void> =>
  limitSubject(ambient, `address:${ambient.ip ? networkOf(ambient.ip) : 'unknown'}`, kind, limit);

const limiterOf = ({ env }: Ambient, subject: string) => env.RATE_LIMITER.get(env.RATE_LIMITER.idFromName(subject));

/** Refuses with 429 what is above the limit of whatever a name stands for; what is of a tenant starts with its id. */
export async function limitSubject(ambient: Ambient, subject: string, kind: string, limit: Limit): Promise<void> {
  const verdict = await limiterOf(ambient, subject).ask(kind, ambient.now, limit);
  if (verdict.admitted) return;
  const window_s = limit.window_ms / 1000;
  const wait_s = Math.ceil(verdict.retry_after_ms / 1000);
  throw new AppError('RATE_LIMIT', undefined, undefined, {
    'Retry-After': String(wait_s),
    RateLimit: `"${kind}";r=0;t=${wait_s}`,
    'RateLimit-Policy': `"${kind}";q=${limit.most};w=${window_s}`,
  });
}

/** What was counted at the start of this request turned out not to be what is limited. */
export const giveBack = (ambient: Ambient, subject: string, kind: string): Promise<void> =>
  limiterOf(ambient, subject).giveBack(kind, ambient.now);
