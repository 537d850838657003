import { CompactEncrypt, importJWK } from 'jose';
import type { z } from 'zod';
import { unseal } from '../auth/sealing.ts';
import type { Ambient } from '../context.ts';
import {
  ApplyAnswer,
  BridgeError,
  DisconnectAnswer,
  HealthAnswer,
  ProbeAnswer,
  ReadAnswer,
  type ApplyRequest,
  type ReadRequest,
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
import type { BridgeRow } from '../resources/bridges/table.ts';
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

/** Only the bridge that enrolled with this key can open it. */
export async function sealForBridge(bridge: BridgeRow, part: SealedPart | Record<string, string>): Promise<string> {
  if (!bridge.public_key) throw new BridgeCallFailed('NOT_ENROLLED', `Bridge "${bridge.name}" has not enrolled yet.`);
  const key = await importJWK(bridge.public_key, 'ECDH-ES');
  return new CompactEncrypt(new TextEncoder().encode(JSON.stringify(part)))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
    .encrypt(key);
}

/** Connects and signs in now. */
export async function probeRouter(
  ambient: Ambient,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
): Promise<z.infer<typeof ProbeAnswer>> {
  const { access, password } = await describeAccess(ambient, router);
  const sealed = await sealForBridge(bridge, { router_password: password, item_passwords: {} });
  return callBridge(ambient, bridge, '/v1/probe', { router: access, sealed }, ProbeAnswer, PROBE_TIMEOUT_MS);
}

/** Whether the bridge can be reached from here: its own reports don't tell that its tunnel works. */
export async function isReachable(ambient: Ambient, bridge: BridgeRow): Promise<boolean> {
  try {
    await callBridge(ambient, bridge, HEALTH_PATH, null, HealthAnswer, HEALTH_TIMEOUT_MS);
    return true;
  } catch (error) {
    if (error instanceof BridgeCallFailed) return false;
    throw error;
  }
}

/** What the router shows now. */
export async function readRouter(
  ambient: Ambient,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
  question: Pick<ReadRequest, 'what' | 'name' | 'most_age_ms'>,
): Promise<ReadAnswer> {
  const { access, password } = await describeAccess(ambient, router);
  const sealed = await sealForBridge(bridge, { router_password: password, item_passwords: {} });
  return callBridge(ambient, bridge, '/v1/read', { router: access, sealed, ...question }, ReadAnswer, PROBE_TIMEOUT_MS);
}

/** Ends the live sessions of one PPP user. */
export async function disconnectUser(
  ambient: Ambient,
  { bridge, router }: { bridge: BridgeRow; router: RouterRow },
  name: string,
): Promise<DisconnectAnswer> {
  const { access, password } = await describeAccess(ambient, router);
  const sealed = await sealForBridge(bridge, { router_password: password, item_passwords: {} });
  const request = { router: access, sealed, name };
  return callBridge(ambient, bridge, '/v1/disconnect', request, DisconnectAnswer, PROBE_TIMEOUT_MS);
}

/** Hands over what a router must hold; gives what is now true there. */
export async function applyToRouter(
  ambient: Ambient,
  bridge: BridgeRow,
  router: RouterRow,
  desired: Pick<ApplyRequest, 'entries' | 'dry_run' | 'is_whole'>,
  call: { item_passwords: Record<string, string>; someone_waits: boolean },
): Promise<z.infer<typeof ApplyAnswer>> {
  const { access, password } = await describeAccess(ambient, router);
  const sealed = await sealForBridge(bridge, { router_password: password, item_passwords: call.item_passwords });
  const request: ApplyRequest = { router: access, revision: router.revision, ...desired, sealed };
  return callBridge(
    ambient,
    bridge,
    '/v1/apply',
    request,
    ApplyAnswer,
    call.someone_waits ? PROBE_TIMEOUT_MS : APPLY_TIMEOUT_MS,
  );
}

/** `message`: null asks with GET. */
async function callBridge<T extends z.ZodType>(
  ambient: Ambient,
  bridge: BridgeRow,
  path: string,
  message: object | null,
  answers: T,
  timeout_ms: number,
): Promise<z.output<T>> {
  if (!bridge.url || !bridge.signing_secret)
    throw new BridgeCallFailed('NOT_ENROLLED', `Bridge "${bridge.name}" has not enrolled yet.`);
  const place = { row_id: bridge.id, column: 'signing_secret' };
  const secret = await unseal(ambient.env, place, bridge.signing_secret).catch(() => {
    throw new BridgeCallFailed('NOT_ENROLLED', `The secret of bridge "${bridge.name}" can’t be opened: enrol it anew.`);
  });
  const [method, body] = message === null ? ['GET', ''] : ['POST', JSON.stringify(message)];
  const nonce = ambient.newId();
  const time_ms = ambient.now + ambient.elapsed_ms();
  const body_hash = await hashText(body);
  const signature = await signHashedRequest(secret, { time_ms, nonce, method, path, body_hash });
  const answer = await sendInTime(ambient, bridge, path, timeout_ms, {
    'content-type': 'application/json',
    [TIME_HEADER]: String(time_ms),
    [NONCE_HEADER]: nonce,
    [SIGNATURE_HEADER]: signature,
    [BODY_HASH_HEADER]: body_hash,
  }, body); // prettier-ignore
  const expected = await signAnswer(secret, nonce, answer.status, answer.text);
  if (!equalSignatures(answer.signature, expected))
    throw new BridgeCallFailed(
      'BRIDGE_OFFLINE',
      `What answered at ${bridge.url} did not sign as bridge "${bridge.name}".`,
    );
  return readAnswer(answer, answers);
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
async function sendInTime(ambient: Ambient, ...call: Parameters<typeof send>) {
  const [bridge, path, timeout_ms] = call;
  try {
    return await send(...call);
  } catch (error) {
    if (error instanceof BridgeCallFailed) throw error;
    const is_here = path !== HEALTH_PATH && (await isReachable(ambient, bridge));
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
