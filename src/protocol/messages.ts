import { z } from 'zod';

/** What Worker and bridge say to each other, over HTTP, each message signed (signature.ts). Both sides validate. */

/** How to reach one router; its password travels in the sealed part. */
export const RouterAccess = z.strictObject({
  id: z.uuid(),
  host: z.string(),
  port: z.int().min(1).max(65535),
  use_tls: z.boolean(),
  tls_fingerprint: z.string().nullable(),
  username: z.string(),
});
export type RouterAccess = z.infer<typeof RouterAccess>;

/** Opened by the bridge alone: a compact JWE (ECDH-ES, A256GCM) to the key that it showed at enrolment. */
export const SealedPart = z.strictObject({
  router_password: z.string(),
  /** Item's ref → PPPoE password. An item that isn't here has a password that we never knew: it is left alone. */
  item_passwords: z.record(z.string(), z.string()),
});
export type SealedPart = z.infer<typeof SealedPart>;

/** A PPP profile that the items lean on: made or corrected before them. */
export const DesiredProfile = z.strictObject({
  name: z.string(),
  /** `rukun:plan:0193a2b4`: stands at the end of the comment and says that it is ours. */
  marker: z.string(),
  /** An admin said that the unmarked one of this name is to become ours. */
  adopt: z.boolean(),
  /** RouterOS property → value. An empty value means unset; what isn't named is not managed. */
  fields: z.record(z.string(), z.string()),
});
export type DesiredProfile = z.infer<typeof DesiredProfile>;

export const SecretState = z.strictObject({
  profile: z.string(),
  disabled: z.boolean(),
  /** Null: not managed. Empty: to be unset. */
  remote_address: z.string().nullable(),
});
export type SecretState = z.infer<typeof SecretState>;

/** One thing that a router must hold (or, when `desired` is null, must not hold) for a customer. */
export const DesiredItem = z.strictObject({
  /** The Worker's name for it; comes back in the result. */
  ref: z.string(),
  generation: z.int(),
  kind: z.literal('ppp_secret'),
  /** Its name on the router. */
  key: z.string(),
  marker: z.string(),
  adopt: z.boolean(),
  desired: SecretState.nullable(),
  /** The last password that was written is still the wanted one: for routers that don't show passwords. */
  password_written: z.boolean(),
  /** Not confirmed since it was suspended: a live session must go, also when the secret is as it must be already. */
  end_session: z.boolean(),
});
export type DesiredItem = z.infer<typeof DesiredItem>;

export const ApplyRequest = z.strictObject({
  router: RouterAccess,
  /** The router's revision when this was read; the bridge refuses one below the highest it saw. */
  revision: z.int().min(0),
  profiles: z.array(DesiredProfile),
  items: z.array(DesiredItem),
  sealed: z.string(),
});
export type ApplyRequest = z.infer<typeof ApplyRequest>;

/** `conflict`: an unmarked thing of that name is there; `failed`: the router refused, in its own words. */
export const Outcome = z.enum(['unchanged', 'added', 'changed', 'removed', 'absent', 'conflict', 'failed']);
export type Outcome = z.infer<typeof Outcome>;

export const ProfileResult = z.object({ name: z.string(), outcome: Outcome, error: z.string().nullable() });
export const ItemResult = z.object({
  ref: z.string(),
  generation: z.int(),
  outcome: Outcome,
  error: z.string().nullable(),
  /** The secret holds the password that was sent, whatever else is the matter. */
  password_in_place: z.boolean(),
});
export type ProfileResult = z.infer<typeof ProfileResult>;
export type ItemResult = z.infer<typeof ItemResult>;

export const RouterFacts = z.object({
  identity: z.string().nullable(),
  board_name: z.string().nullable(),
  version: z.string().nullable(),
  uptime_seconds: z.int().nullable(),
});
export type RouterFacts = z.infer<typeof RouterFacts>;

export const ApplyAnswer = z.object({
  revision: z.int(),
  profiles: z.array(ProfileResult),
  items: z.array(ItemResult),
  sessions_ended: z.int(),
  commands_sent: z.int(),
});
export type ApplyAnswer = z.infer<typeof ApplyAnswer>;

export const ProbeRequest = z.strictObject({ router: RouterAccess, sealed: z.string() });
export const ProbeAnswer = RouterFacts.extend({
  /** From the connection's start to the answer of the sign-in. */
  latency_ms: z.int(),
  tls_fingerprint: z.string().nullable(),
});
export type ProbeRequest = z.infer<typeof ProbeRequest>;
export type ProbeAnswer = z.infer<typeof ProbeAnswer>;

export const HealthAnswer = z.object({
  version: z.string(),
  bridge_id: z.string(),
  uptime_seconds: z.int(),
  routers: z.array(z.object({ id: z.string(), state: z.string(), revision: z.int() })),
});

/** 400 INVALID_MESSAGE · 401 BAD_SIGNATURE · 409 STALE_REVISION · 502 ROUTER_UNREACHABLE, ROUTER_REFUSED. */
export const BridgeError = z.object({
  error: z.object({
    code: z.enum([
      'INVALID_MESSAGE',
      'BAD_SIGNATURE',
      'NOT_FOUND',
      'STALE_REVISION',
      'ROUTER_UNREACHABLE',
      'ROUTER_REFUSED',
      'INTERNAL_ERROR',
    ]),
    message: z.string(),
  }),
});
export type BridgeError = z.infer<typeof BridgeError>;

/** Bridge → POST /api/v1/bridges/enroll: the one-time token, and the key to which secrets are sealed from now on. */
export const EnrolRequest = z.strictObject({
  token: z.string().min(1).max(300),
  public_key: z.strictObject({
    kty: z.literal('EC'),
    crv: z.literal('P-256'),
    x: z.string().regex(/^[\w-]{43}$/),
    y: z.string().regex(/^[\w-]{43}$/),
  }),
  version: z.string().min(1).max(50),
  /** Where the Worker reaches the bridge, when it wasn't told before. */
  url: z.string().max(300).optional(),
});
export type EnrolRequest = z.infer<typeof EnrolRequest>;

export const EnrolAnswer = z.object({
  bridge_id: z.uuid(),
  name: z.string(),
  tenant_id: z.uuid(),
  /** 32 bytes, base64url: signs every message both ways. Given once. */
  signing_secret: z.string(),
});
export type EnrolAnswer = z.infer<typeof EnrolAnswer>;
