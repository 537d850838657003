import { z } from 'zod';
import { ENTRY_KINDS } from './kinds.ts';

/** What Worker and bridge say to each other, over HTTP, each message signed (signature.ts). Both sides validate. */

/** How to reach one router; its password travels in the sealed part. */
export const RouterAccess = z.strictObject({
  id: z.uuid(),
  host: z.string(),
  port: z.int().min(1).max(65535),
  use_tls: z.boolean(),
  tls_fingerprint: z.string().nullable(),
  /** TLS without any certificate (ADH), which keeps nobody in the middle out: only where an admin asked for it. */
  tls_anonymous_dh: z.boolean(),
  username: z.string(),
});
export type RouterAccess = z.infer<typeof RouterAccess>;

/** Of a bridge: what it alone may read is sealed to it. */
export const PublicKey = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string().regex(/^[\w-]{43}$/),
  y: z.string().regex(/^[\w-]{43}$/),
});
export type PublicKey = z.infer<typeof PublicKey>;

/** Opened by the bridge alone: a compact JWE (ECDH-ES, A256GCM) to the key that it showed at enrolment. */
export const SealedPart = z.strictObject({
  router_password: z.string(),
  /** Entry's ref → PPPoE password. A secret that isn't here has a password that we never knew: it is left alone. */
  item_passwords: z.record(z.string(), z.string()),
});
export type SealedPart = z.infer<typeof SealedPart>;

/** Of a PPP secret only: what its live session and its password ask for. */
export const DesiredLine = z.strictObject({
  /** The last password that was written is still the wanted one: for routers that don't show passwords. */
  password_written: z.boolean(),
  /** Not confirmed since it was suspended: a live session must go, also when the secret is as it must be already. */
  end_session: z.boolean(),
  /** Profiles that give a live session the same as the wanted one: coming from one of these it may stay up. */
  same_service: z.array(z.string()),
});

/** One entry of a router's menus, and how it must be. */
export const DesiredEntry = z.strictObject({
  /** The Worker's name for it; comes back in the result. */
  ref: z.string(),
  generation: z.int(),
  kind: z.enum(ENTRY_KINDS),
  /** Its name on the router; of an address list's entry `<list> <address>`; of a rule nothing but ours. */
  key: z.string(),
  /** `rukun:CUST00001`: stands at the end of the comment and says that it is ours. */
  marker: z.string(),
  /** An admin said that the unmarked one of this name is to become ours. */
  adopt: z.boolean(),
  /** RouterOS property → value. An empty value means unset; what isn't named is not managed. Null: must not be there. */
  fields: z.record(z.string(), z.string()).nullable(),
  /** It was there as ours when it was last confirmed: what stands in its place without our mark is a conflict, not nothing. */
  was_ours: z.boolean(),
  /** With no fields: it isn't removed but given back, without our marker. */
  release: z.boolean(),
  /** `ref` of the entry without which this one can't be right. */
  leans_on: z.string().nullable(),
  line: DesiredLine.nullable(),
});
export type DesiredEntry = z.infer<typeof DesiredEntry>;

export const ApplyRequest = z.strictObject({
  router: RouterAccess,
  /** The router's revision when this was read; the bridge refuses one below the highest it saw. */
  revision: z.int().min(0),
  entries: z.array(DesiredEntry),
  /** Only look: nothing is written, and the outcomes say what would be. */
  dry_run: z.boolean(),
  /** The entries are all that this router must hold for us: what else is marked as ours is a stray. */
  is_whole: z.boolean(),
  sealed: z.string(),
});
export type ApplyRequest = z.infer<typeof ApplyRequest>;

/** `conflict`: an unmarked thing of that name is there; `failed`: the router refused, in its own words. */
export const Outcome = z.enum(['unchanged', 'added', 'changed', 'removed', 'absent', 'conflict', 'failed']);
export type Outcome = z.infer<typeof Outcome>;

/** A property that isn't as it must be. Of a password only that it differs: both are null. */
export const Difference = z.object({
  property: z.string(),
  desired: z.string().nullable(),
  observed: z.string().nullable(),
});
export type Difference = z.infer<typeof Difference>;

export const EntryResult = z.object({
  ref: z.string(),
  generation: z.int(),
  outcome: Outcome,
  error: z.string().nullable(),
  /** As they were found, before anything was changed. */
  differences: z.array(Difference),
  /** What we manage of it, as the router has it now (after a look: had it); null: nothing is there. Never a password. */
  observed: z.record(z.string(), z.string()).nullable(),
  /** The secret holds the password that was sent, whatever else is the matter. */
  password_in_place: z.boolean(),
});
export type EntryResult = z.infer<typeof EntryResult>;

export const RouterFacts = z.object({
  identity: z.string().nullable(),
  board_name: z.string().nullable(),
  version: z.string().nullable(),
  uptime_seconds: z.int().nullable(),
});
export type RouterFacts = z.infer<typeof RouterFacts>;

export const ApplyAnswer = z.object({
  revision: z.int(),
  entries: z.array(EntryResult),
  /** Marked as ours, and nothing that we know of. Only looked for where the request `is_whole`. */
  strays: z.array(z.object({ menu: z.string(), name: z.string(), marker: z.string() })),
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

/** What can be read of a router. `traffic`: the rates of one PPP user now, a row for each live session. */
export const READ_KINDS = ['resource', 'secrets', 'profiles', 'pools', 'queues', 'active', 'traffic'] as const;
export type ReadKind = (typeof READ_KINDS)[number];

export const ReadRequest = z.strictObject({
  router: RouterAccess,
  sealed: z.string(),
  what: z.enum(READ_KINDS),
  /** Only what has this name; needed for `traffic`, null for all. */
  name: z.string().nullable(),
  /** What was read no longer ago than this may be given again, so that ten dashboards cost one read; 0: read now. */
  most_age_ms: z.int().min(0).max(60_000),
});
export type ReadRequest = z.infer<typeof ReadRequest>;

/** Rows as the router gave them, without ids and never with a password. */
export const ReadAnswer = z.object({
  /** How long ago it was read. */
  age_ms: z.int().min(0),
  /** RouterOS names of the columns. */
  properties: z.array(z.string()),
  /** Null where the router gave no such value. */
  rows: z.array(z.array(z.string().nullable())),
});
export type ReadAnswer = z.infer<typeof ReadAnswer>;

export const DisconnectRequest = z.strictObject({ router: RouterAccess, sealed: z.string(), name: z.string() });
export const DisconnectAnswer = z.object({ sessions_ended: z.int().min(0) });
export type DisconnectRequest = z.infer<typeof DisconnectRequest>;
export type DisconnectAnswer = z.infer<typeof DisconnectAnswer>;

/** Keys are renewed: the bridge makes a key to go with this secret, and takes both beside what it has. */
export const RotateRequest = z.strictObject({ sealed: z.string() });
export const RotatePart = z.strictObject({ signing_secret: z.string().min(32).max(128) });
/** The key that goes with that secret: the same one, however often it is asked. */
export const RotateAnswer = z.object({ public_key: PublicKey });
export type RotateRequest = z.infer<typeof RotateRequest>;
export type RotatePart = z.infer<typeof RotatePart>;
export type RotateAnswer = z.infer<typeof RotateAnswer>;

/** `off`: no TUNNEL_TOKEN; `waiting`: cloudflared ended or hung, and is started again after a while. */
export const TUNNEL_STATES = ['off', 'starting', 'up', 'waiting'] as const;
/** `idle`: not connected, and nothing known against it; `waiting`: it couldn't be reached, and is tried again later. */
export const ROUTER_STATES = ['idle', 'connecting', 'connected', 'working', 'waiting', 'refused'] as const;

export const HealthAnswer = z.object({
  version: z.string(),
  bridge_id: z.string(),
  uptime_seconds: z.int(),
  tunnel: z.enum(TUNNEL_STATES),
  /** Batches of measurements that the cloud hasn't taken yet. */
  batches_waiting: z.int(),
  /** That goes with the secret that the question was signed with. */
  public_key: PublicKey.optional(),
  routers: z.array(z.object({ id: z.string(), state: z.enum(ROUTER_STATES), revision: z.int() })),
});
export type HealthAnswer = z.infer<typeof HealthAnswer>;

/** Text from a router: what is longer than it may be is cut, and costs no batch. */
const clipped = (most: number) => z.string().transform(text => text.slice(0, most));

/**
 * What one PPP session moved since the measurement before. A counter that went back, another session id or a shorter
 * uptime starts a new count, so that nothing is counted twice.
 */
export const LineMeasurement = z.object({
  /** PPPoE name. */
  name: clipped(255),
  session_id: clipped(50),
  address: clipped(100).nullable(),
  uptime_seconds: z.int().min(0),
  /** How long the bytes took: since the last measurement, or since the session began. */
  interval_seconds: z.int().min(0),
  /** From the customer to the router (its `rx`). */
  upload_bytes: z.int().min(0),
  download_bytes: z.int().min(0),
});
export type LineMeasurement = z.infer<typeof LineMeasurement>;

export const RouterMeasurement = z.object({
  router_id: z.uuid(),
  /** Where it was looked for. */
  host: clipped(300).optional(),
  port: z.int().optional(),
  /** Of the certificate that it showed: the first one is trusted from then on. */
  tls_fingerprint: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable()
    .default(null),
  status: z.enum(['online', 'offline']),
  /** Why it is offline, or why its lines couldn't be read. */
  error: clipped(500).nullable(),
  latency_ms: z.int().min(0).nullable(),
  identity: clipped(100).nullable(),
  board_name: clipped(100).nullable(),
  version: clipped(100).nullable(),
  uptime_seconds: z.int().min(0).nullable(),
  /** Addresses of its pools that are given out; null: not known. */
  pools: z
    .array(z.object({ name: clipped(100), used: z.int().min(0) }))
    .max(1000)
    .nullable(),
  /** Null: not known. Empty: nobody is online. */
  lines: z.array(LineMeasurement).max(20_000).nullable(),
});
export type RouterMeasurement = z.infer<typeof RouterMeasurement>;

export const DeviceMeasurement = z.object({
  device_id: z.uuid(),
  /** Where it was looked for; null: at the usual ports. */
  host: clipped(300).optional(),
  port: z.int().nullable().optional(),
  status: z.enum(['online', 'offline']),
  latency_ms: z.int().min(0).nullable(),
});
export type DeviceMeasurement = z.infer<typeof DeviceMeasurement>;

/** One round of measuring. On the bridge's disk before it is sent, and until the cloud has it. */
export const MeasurementBatch = z.object({
  /** Made with the spool: a bridge that lost its disk counts from 1 again under another one. */
  spool_id: z.uuid(),
  /** From 1, without gaps. */
  number: z.int().min(1),
  /** No later than a date can be. */
  measured_at_ms: z.int().min(0).max(8.64e15),
  routers: z.array(RouterMeasurement).max(500),
  devices: z.array(DeviceMeasurement).max(10_000),
});
export type MeasurementBatch = z.infer<typeof MeasurementBatch>;

/** Tenant and bridge are named by these headers; the request is signed as the Worker's are. */
export const REPORT_PATH = '/api/v1/bridges/report';
export const TENANT_HEADER = 'x-tenant-id';
export const BRIDGE_HEADER = 'x-rukun-bridge';

/** Bridge → POST /api/v1/bridges/report: it lives, this is what it measured, and these are the routers that it knows. */
export const ReportRequest = z.strictObject({
  version: z.string().max(50),
  /** Of the watched set that it holds; null: none yet. */
  watched_tag: z.string().max(100).nullable(),
  /** Somebody looks whether it works (`doctor`): it is answered, and nothing is kept of it. */
  is_check: z.boolean().optional(),
  /** The oldest batch that the cloud hasn't taken; null: none waits. */
  batch: MeasurementBatch.nullable(),
  /** How many more wait. */
  batches_waiting: z.int().min(0),
});
export type ReportRequest = z.infer<typeof ReportRequest>;

/** All that a bridge watches over by itself, so that it can start while the cloud is away. */
export const Watched = z.object({
  tag: z.string(),
  routers: z.array(z.object(RouterAccess.shape)),
  devices: z.array(z.object({ id: z.uuid(), host: z.string(), port: z.int().min(1).max(65535).nullable() })),
  /** A JWE to the bridge's key: JSON, router's id → its password. Kept as it came. */
  sealed_passwords: z.string(),
});
export type Watched = z.infer<typeof Watched>;

export const ReportAnswer = z.object({
  /** The batch of this request is stored, now or before: it may be forgotten. */
  batch_taken: z.boolean(),
  /** Null: what the bridge holds is still right. */
  watched: Watched.nullable(),
});
export type ReportAnswer = z.infer<typeof ReportAnswer>;

/** 400 INVALID_MESSAGE · 401 BAD_SIGNATURE · 409 STALE_REVISION · 502 ROUTER_UNREACHABLE, ROUTER_REFUSED · 503 ROUTER_BUSY. */
export const BridgeError = z.object({
  error: z.object({
    code: z.enum([
      'INVALID_MESSAGE',
      'BAD_SIGNATURE',
      'NOT_FOUND',
      'STALE_REVISION',
      'ROUTER_UNREACHABLE',
      'ROUTER_REFUSED',
      'ROUTER_BUSY',
      'INTERNAL_ERROR',
    ]),
    message: z.string(),
  }),
});
export type BridgeError = z.infer<typeof BridgeError>;

/** Bridge → POST /api/v1/bridges/enroll: the one-time token, and the key to which secrets are sealed from now on. */
export const EnrolRequest = z.strictObject({
  token: z.string().min(1).max(300),
  public_key: PublicKey,
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
