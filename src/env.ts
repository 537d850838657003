import type { Metrics } from '../durable-objects/metrics/index.ts';
import type { RateLimiter } from '../durable-objects/rate-limiter/index.ts';
import type { TenantHub } from '../durable-objects/tenant-hub/index.ts';
import { Fault } from './errors.ts';
import type { ProvisioningMessage } from './queues/wake.ts';
import type { JobMessage } from './queues/jobs.ts';

/** Bindings, variables and secrets of the Worker. Tenant databases are bound as TENANT_DB_0001, TENANT_DB_0002, … */
export interface Env {
  DIRECTORY_DB: D1Database;
  RATE_LIMITER: DurableObjectNamespace<RateLimiter>;
  /** One a tenant, named by its id. */
  TENANT_HUB: DurableObjectNamespace<TenantHub>;
  /** One for all. */
  METRICS: DurableObjectNamespace<Metrics>;
  PROVISIONING_QUEUE: Queue<ProvisioningMessage>;
  JOBS_QUEUE: Queue<JobMessage>;
  FILES: R2Bucket;
  ASSETS: Fetcher;

  /** `rukun.example`: a request to `x.rukun.example` speaks for the tenant `x`. */
  BASE_DOMAIN: string;
  /** Who may sign up a new ISP: `open` (anyone) or `closed`. */
  SIGNUP: 'open' | 'closed';
  LIMIT_SIGNUP_PER_HOUR: string;
  /** Requests of one user, requests from one address, and tries to sign in from one address or for one account. */
  LIMIT_USER_PER_MINUTE: string;
  LIMIT_ADDRESS_PER_MINUTE: string;
  LIMIT_SIGNIN_PER_MINUTE: string;
  /** bcrypt's cost, 12 in production. */
  PASSWORD_COST: string;
  TOKEN_ISSUER: string;
  TOKEN_AUDIENCE: string;
  /** `yes` lets a bridge's address be plain http on loopback: development only. */
  ALLOW_LOOPBACK_BRIDGE: 'yes' | 'no';
  /** How long the limiter may take to answer before it counts as failed. */
  LIMITER_PATIENCE_MS: string;
  /** How long a batch of the provisioning queue waits for a slow router. */
  QUEUE_PATIENCE_MS: string;
  /** `yes` writes one JSON line for each request, queue message and sweep. */
  LOG_REQUESTS: 'yes' | 'no';

  /** Secret, one a key: a private RSA key (JWK). Which of them signs is told in auth/keys.ts; all of them verify. */
  [token_key: `TOKEN_KEY_${string}`]: string;
  /** Secret, one a key: 32 bytes, base64. One of them seals; all of them open. */
  [sealing_key: `SEALING_KEY_${string}`]: string;
  /** Secret: who holds it may read /metrics. Without it nothing is handed on, and there is no such route. */
  METRICS_TOKEN?: string;
}

const TENANT_BINDING = /^TENANT_DB_\d{4}$/;

export function tenantBindings(env: Env): string[] {
  return Object.keys(env).filter(name => TENANT_BINDING.test(name));
}

export function tenantDatabase(env: Env, binding: string): D1Database {
  const database = TENANT_BINDING.test(binding) ? (env as unknown as Record<string, D1Database>)[binding] : undefined;
  if (!database) throw new Fault(`no database is bound as ${binding}`);
  return database;
}
