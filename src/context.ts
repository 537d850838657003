import type { Database } from './db/session.ts';
import { makeUuidV7 } from './db/ids.ts';
import { makeStats, type DatabaseStats } from './db/stats.ts';
import type { Env } from './env.ts';
import type { ErrorCode } from './errors.ts';
import type { Role } from './auth/permissions.ts';
import type { Admission } from './door/admission.ts';

/** What the directory says of an ISP; `shard` is the binding of its database. */
export interface Tenant {
  id: string;
  slug: string;
  name: string;
  epoch: number;
  allowed_origins: string[];
  status: 'provisioning' | 'active' | 'suspended' | 'pending_deletion' | 'deleted';
  shard: string | null;
  schema_version: number;
  timezone: string;
  currency: string;
  locale: string;
}

/**
 * Who acts. A user's rights were checked against the token; that the user may still act is checked in the database.
 * `lacks_second_factor`: the role asks for one, and until it is set up nothing else may be done.
 */
export type Actor =
  | { kind: 'user'; id: string; role: Role; token_issued_at: number; session_id: string; lacks_second_factor: boolean }
  | { kind: 'anonymous' }
  /** `signed_at_ms`: the time in its signature, where it is the caller. */
  | { kind: 'bridge'; id: string; name: string; signed_at_ms?: number }
  | { kind: 'job'; name: string };

/** What a request or message has come to so far: for its line in the log. It outlives a retry. */
export interface Trace {
  /** Slug of the tenant, once it is known whose database is used. */
  tenant: string | null;
  code: ErrorCode | null;
  /** Of the tenant's database. */
  stats: DatabaseStats;
}

/** Where chance, the clock and work after the answer come from: the only place, so that tests can hold them still. */
export interface Ambient {
  env: Env;
  /** Epoch milliseconds at which the request or message came in. */
  now: number;
  newId(): string;
  /** In [0, 1). */
  random(): number;
  /** Work that the answer doesn't wait for; what must not be lost is in the database before. */
  defer(work: Promise<unknown>): void;
  /** How long it has been at work; the clock stands still between two waits. */
  elapsed_ms(): number;
  request_id: string;
  ip: string | null;
  trace: Trace;
}

/** What a request that may be sent twice is known by. */
export interface Idempotency {
  key: string;
  route: string;
  body_hash: string;
  /** The database was asked whether it is known. */
  is_checked: boolean;
  /** What the request makes: said before it is committed. */
  subject_id: string | null;
}

/** What a request before any tenant carries. */
export interface PlatformContext extends Ambient {
  admission: Admission;
}

/** What a request, message or job of one tenant carries. */
export interface Context extends Ambient {
  tenant: Tenant;
  actor: Actor;
  db: Database;
  /** Awaited before anything is read out or written. */
  admission: Admission;
  /** `updated_at` that the caller's If-Match names: the row must still have it. */
  if_match: string | null;
  idempotency: Idempotency | null;
}

/** For what nothing is decided by: the time of a line in the log. */
export const readClock = (): number => Date.now();

export function makeAmbient(
  env: Env,
  source: { waitUntil(work: Promise<unknown>): void },
  options: { request_id?: string; ip?: string | null } = {},
): Ambient {
  const now = Date.now();
  const newId = () => makeUuidV7(now, crypto.getRandomValues(new Uint8Array(10)));
  return {
    env,
    now,
    newId,
    random: () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32,
    defer: work => source.waitUntil(work),
    elapsed_ms: () => Date.now() - now,
    request_id: options.request_id ?? newId(),
    ip: options.ip ?? null,
    trace: { tenant: null, code: null, stats: makeStats() },
  };
}
