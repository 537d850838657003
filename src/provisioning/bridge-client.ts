import { CompactEncrypt, importJWK } from 'jose';
import type { z } from 'zod';
import { eq } from 'drizzle-orm';
import { unseal } from '../auth/sealing.ts';
import type { Ambient, Context } from '../context.ts';
import { read } from '../db/session.ts';
import {
  ApplyAnswer,
  BridgeError,
  DisconnectAnswer,
  HealthAnswer,
  ProbeAnswer,
  ReadAnswer,
  RotateAnswer,
  type ApplyRequest,
  type PublicKey,
  type ReadRequest,
  type RotatePart,
  type RouterAccess,
  type SealedPart,
} from '../protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  equalSignatures,
  hashText,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  signAnswer,
  signHashedRequest,
  TIME_HEADER,
} from '../protocol/signature.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import type { RouterRow } from '../resources/routers/table.ts';

/** The Worker's end of the link to a bridge: signs, seals, and believes only signed answers. */

/**
 * `TIMED_OUT`: the bridge is there, and had no answer in time. Of the last two nobody was asked: `NOT_ENROLLED`, and
 * `NOT_ASKED` for what we can't open ourselves.
 */
export type BridgeFailure =
  z.infer<typeof BridgeError>['error']['code'] | 'BRIDGE_OFFLINE' | 'TIMED_OUT' | 'NOT_ENROLLED' | 'NOT_ASKED';

export class BridgeCallFailed extends Error {
  readonly code: BridgeFailure;
  constructor(code: BridgeFailure, message: string) {
    super(message);
    this.code = code;
  }
}

const HEALTH_PATH = '/v1/health';
const HEALTH_TIMEOUT_MS = 10_000;
/** Above what the bridge needs to give a silent router up, with one apply before it. */
const PROBE_TIMEOUT_MS = 30_000;
const APPLY_TIMEOUT_MS = 90_000;

export const accessOf = (router: RouterRow): RouterAccess => {
  const { id, host, port, use_tls, tls_fingerprint, tls_anonymous_dh, username } = router;
  return { id, host, port, use_tls, tls_fingerprint, tls_anonymous_dh, username };
};

export async function describeAccess(
  ambient: Ambient,
  router: RouterRow,
): Promise<{ access: RouterAccess; password: string }> {
  const password = await unseal(ambient.env, { row_id: router.id, column: 'password' }, router.password).catch(() => {
    const name = router.name;
    throw new BridgeCallFailed('NOT_ASKED', `The password of router "${name}" can’t be opened: set it anew.`);
  });
  return { access: accessOf(router), password };
}

/** Only the bridge whose key it is can open it. */
export async function sealForBridge(
  bridge: BridgeRow,
  part: SealedPart | RotatePart | Record<string, string>,
): Promise<string> {
  if (!bridge.public_key) throw new BridgeCallFailed('NOT_ENROLLED', `Bridge "${bridge.name}" has not enrolled yet.`);
  const key = await importJWK(bridge.public_key, 'ECDH-ES');
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(part)))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
    .encrypt(key);
}

/** Connects and signs in now. */
export async function probeRouter(
  ctx: Context,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
): Promise<z.infer<typeof ProbeAnswer>> {
  const { access, password } = await describeAccess(ctx, router);
  return callBridge(ctx, bridge, {
    path: '/v1/probe',
    message: { router: access },
    sealed: { router_password: password, item_passwords: {} },
    answers: ProbeAnswer,
    timeout_ms: PROBE_TIMEOUT_MS,
  });
}

/** Whether the bridge can be reached from here: its own reports don't tell that its tunnel works. */
export async function isReachable(ctx: Context, bridge: BridgeRow): Promise<boolean> {
  try {
    await callBridge(ctx, bridge, HEALTH);
    return true;
  } catch (error) {
    if (error instanceof BridgeCallFailed) return false;
    throw error;
  }
}

/** What the router shows now. */
export async function readRouter(
  ctx: Context,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
  question: Pick<ReadRequest, 'what' | 'name' | 'most_age_ms'>,
): Promise<ReadAnswer> {
  const { access, password } = await describeAccess(ctx, router);
  return callBridge(ctx, bridge, {
    path: '/v1/read',
    message: { router: access, ...question },
    sealed: { router_password: password, item_passwords: {} },
    answers: ReadAnswer,
    timeout_ms: PROBE_TIMEOUT_MS,
  });
}

/** Ends the live sessions of one PPP user. */
export async function disconnectUser(
  ctx: Context,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
  name: string,
): Promise<DisconnectAnswer> {
  const { access, password } = await describeAccess(ctx, router);
  return callBridge(ctx, bridge, {
    path: '/v1/disconnect',
    message: { router: access, name },
    sealed: { router_password: password, item_passwords: {} },
    answers: DisconnectAnswer,
    timeout_ms: PROBE_TIMEOUT_MS,
  });
}

/** Hands over what a router must hold; gives what is now true there. */
export async function applyToRouter(
  ctx: Context,
  bridge: BridgeRow,
  router: RouterRow,
  desired: Pick<ApplyRequest, 'entries' | 'dry_run' | 'is_whole'>,
  call: { item_passwords: Record<string, string>; someone_waits: boolean },
): Promise<z.infer<typeof ApplyAnswer>> {
  const { access, password } = await describeAccess(ctx, router);
  const message: Omit<ApplyRequest, 'sealed'> = { router: access, revision: router.revision, ...desired };
  return callBridge(ctx, bridge, {
    path: '/v1/apply',
    message,
    sealed: { router_password: password, item_passwords: call.item_passwords },
    answers: ApplyAnswer,
    timeout_ms: call.someone_waits ? PROBE_TIMEOUT_MS : APPLY_TIMEOUT_MS,
  });
}

/** Hands over the secret that is to follow; gives the key that the bridge made to go with it. */
export async function offerSecret(ctx: Context, bridge: BridgeRow, next_secret: string): Promise<PublicKey> {
  const answer = await tryCall(ctx, bridge, await openSecret(ctx, bridge), {
    path: '/v1/rotate',
    message: {},
    sealed: { signing_secret: next_secret },
    answers: RotateAnswer,
    timeout_ms: HEALTH_TIMEOUT_MS,
  }).catch((error: unknown) => {
    // it follows the next one already, and only we don't know
    if (error instanceof SecretRefused) return tryCall(ctx, bridge, next_secret, HEALTH);
    throw error;
  });
  const { public_key } = answer;
  if (public_key && (await isPoint(public_key))) return public_key;
  throw new BridgeCallFailed('INTERNAL_ERROR', `Bridge "${bridge.name}" told no key that anything can be sealed to.`);
}

export const isPoint = (public_key: PublicKey): Promise<boolean> =>
  importJWK(public_key, 'ECDH-ES').then(
    () => true,
    () => false,
  );

interface Call<T extends z.ZodType> {
  path: string;
  /** Null asks with GET. */
  message: object | null;
  /** What of it the bridge alone may read. */
  sealed?: Parameters<typeof sealForBridge>[1];
  answers: T;
  timeout_ms: number;
}

const HEALTH: Call<typeof HealthAnswer> = {
  path: HEALTH_PATH,
  message: null,
  answers: HealthAnswer,
  timeout_ms: HEALTH_TIMEOUT_MS,
};

/** What answers doesn't know this secret, or is no bridge of ours. */
class SecretRefused extends BridgeCallFailed {}

/** Keys that were renewed since the row was read are no failure: they are looked up, and the call is made once more. */
async function callBridge<T extends z.ZodType>(ctx: Context, bridge: BridgeRow, call: Call<T>): Promise<z.output<T>> {
  try {
    return await tryCall(ctx, bridge, await openSecret(ctx, bridge), call);
  } catch (error) {
    if (!(error instanceof SecretRefused)) throw error;
    const [[now]] = await read(ctx, ctx.db.orm.select().from(bridges).where(eq(bridges.id, bridge.id)));
    if (!now || now.signing_secret === bridge.signing_secret) throw error;
    return tryCall(ctx, now, await openSecret(ctx, now), call);
  }
}

async function openSecret(ambient: Ambient, bridge: BridgeRow): Promise<string> {
  if (!bridge.url || !bridge.signing_secret)
    throw new BridgeCallFailed('NOT_ENROLLED', `Bridge "${bridge.name}" has not enrolled yet.`);
  const place = { row_id: bridge.id, column: 'signing_secret' };
  return unseal(ambient.env, place, bridge.signing_secret).catch(() => {
    throw new BridgeCallFailed('NOT_ENROLLED', `The secret of bridge "${bridge.name}" can’t be opened: enrol it anew.`);
  });
}

async function tryCall<T extends z.ZodType>(
  ctx: Context,
  bridge: BridgeRow,
  secret: string,
  { path, message, sealed, answers, timeout_ms }: Call<T>,
): Promise<z.output<T>> {
  const part = sealed && { sealed: await sealForBridge(bridge, sealed) };
  const [method, body] = message === null ? ['GET', ''] : ['POST', JSON.stringify({ ...message, ...part })];
  const nonce = ctx.newId();
  const time_ms = ctx.now + ctx.elapsed_ms();
  const body_hash = await hashText(body);
  const signature = await signHashedRequest(secret, { time_ms, nonce, method, path, body_hash });
  const answer = await sendInTime(ctx, bridge, path, timeout_ms, {
    'content-type': 'application/json',
    [TIME_HEADER]: String(time_ms),
    [NONCE_HEADER]: nonce,
    [SIGNATURE_HEADER]: signature,
    [BODY_HASH_HEADER]: body_hash,
  }, body); // prettier-ignore
  const expected = await signAnswer(secret, nonce, answer.status, answer.text);
  if (equalSignatures(answer.signature, expected)) return readAnswer(answer, answers);
  const Failure = answer.status === 401 ? SecretRefused : BridgeCallFailed;
  throw new Failure('BRIDGE_OFFLINE', `What answered at ${bridge.url} did not sign as bridge "${bridge.name}".`);
}

/** An answer of another form is a bridge of another version: nothing is known of the router then. */
function readAnswer<T extends z.ZodType>({ status, text }: { status: number; text: string }, answers: T): z.output<T> {
  const content: unknown = JSON.parse(text);
  const read = answers.safeParse(content);
  if (status === 200 && read.success) return read.data;
  const refused = BridgeError.safeParse(content);
  if (refused.success) throw new BridgeCallFailed(refused.data.error.code, refused.data.error.message);
  throw new BridgeCallFailed('INTERNAL_ERROR', 'The bridge’s answer was not understood: is it of the same version?');
}

/** All secrets of a router with 20,000 of them. */
const MOST_ANSWER_BYTES = 16 * 1024 * 1024;

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MOST_ANSWER_BYTES) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return new Blob(chunks).text();
}

/** Who has no answer in time may only be slow: that alone doesn't say that the bridge is away. */
async function sendInTime(ctx: Context, ...call: Parameters<typeof send>) {
  const [bridge, path, timeout_ms] = call;
  try {
    return await send(...call);
  } catch (error) {
    if (error instanceof BridgeCallFailed) throw error;
    const is_here = path !== HEALTH_PATH && (await isReachable(ctx, bridge));
    if (!is_here) throw noAnswer(bridge);
    const seconds = Math.round(timeout_ms / 1000);
    throw new BridgeCallFailed(
      'TIMED_OUT',
      `Bridge "${bridge.name}" had no answer within ${seconds} s: the router is slow.`,
    );
  }
}

const noAnswer = (bridge: BridgeRow): BridgeCallFailed =>
  new BridgeCallFailed('BRIDGE_OFFLINE', `Bridge "${bridge.name}" did not answer at ${bridge.url}.`);

/** Running out of time is thrown as it is. */
async function send(
  bridge: BridgeRow,
  path: string,
  timeout_ms: number,
  headers: Record<string, string>,
  body: string,
) {
  try {
    const signal = AbortSignal.timeout(timeout_ms);
    const response = await fetch(new URL(path, bridge.url!), {
      method: body === '' ? 'GET' : 'POST',
      headers,
      body: body === '' ? undefined : body,
      signal,
      redirect: 'manual',
    });
    const signature = response.headers.get(SIGNATURE_HEADER) ?? '';
    return { status: response.status, signature, text: await readText(response) };
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') throw error;
    throw noAnswer(bridge);
  }
}
