import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { eq } from 'drizzle-orm';
import { unseal } from '../auth/sealing.ts';
import type { Context } from '../context.ts';
import { read } from '../db/session.ts';
import { unauthorized } from '../errors.ts';
import { BRIDGE_HEADER } from '../protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  equalSignatures,
  hashBytes,
  MOST_SKEW_MS,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signHashedRequest,
  TIME_HEADER,
} from '../protocol/signature.ts';
import { bridges, type BridgeRow } from '../resources/bridges/table.ts';
import { enterTenant } from '../tenancy/enter.ts';
import type { AnyDefinition, App, HonoCtx } from './definition.ts';
import { askOnce } from './ask-once.ts';
import { MOST_BODY_BYTES, readLimited, replaceBody } from './request.ts';

/** A caller that is a bridge: its request is signed with the secret that it got when it enrolled (or since), and so is our answer. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NONCE = /^[\x21-\x7e]{8,128}$/;

export function admitBridge({ most_bytes = MOST_BODY_BYTES }: AnyDefinition): MiddlewareHandler<App> {
  return createMiddleware<App>(async (c, next) => {
    const signed = readHeaders(c);
    const enter = () => enterTenant(c.var.ambient, c.req.raw, { is_public: true, named: null }, askOnce(c));
    const ctx = await enter();
    const [[bridge]] = await read(ctx, ctx.db.orm.select().from(bridges).where(eq(bridges.id, signed.bridge_id)));
    if (!bridge) throw unauthorized(NOT_KNOWN).suspect('token', signed.bridge_id);
    const secrets = await openSecrets(ctx, bridge);
    const { method, path } = c.req;
    let secret = '';
    const prove = async (body_hash: string) => {
      const expected = await Promise.all(
        secrets.map(each => signHashedRequest(each, { ...signed, method, path, body_hash })),
      );
      const at = expected.findIndex(each => equalSignatures(each, signed.signature));
      if (at < 0) throw unauthorized(NOT_KNOWN).suspect('token', signed.bridge_id);
      secret = secrets[at]!;
    };
    const sign = (status: number, body: string) => signAnswer(secret, signed.nonce, status, body);
    // with the hash in a header a stranger can't make us read a long body; ours is told when it is too long
    if (signed.body_hash !== null) {
      await prove(signed.body_hash);
      c.set('signAnswer', sign);
    }
    const bytes = await readLimited(c, signed.body_hash === null ? MOST_UNPROVEN_BYTES : most_bytes);
    c.set('signAnswer', undefined);
    const body_hash = await hashBytes(bytes);
    if (signed.body_hash === null) await prove(body_hash);
    else if (signed.body_hash !== body_hash) throw unauthorized(NOT_KNOWN);
    c.set('signAnswer', sign);
    replaceBody(c, bytes);
    c.set('ctx', withBridge(ctx, bridge, signed.time_ms));
    c.set('enter', async () => withBridge(await enter(), bridge, signed.time_ms));
    await next();
  });
}

/** Of a body whose hash stands in no header. */
const MOST_UNPROVEN_BYTES = 64 * 1024;

const NOT_KNOWN = 'This is not signed by a bridge of this provider: enrol it again.';

const withBridge = (ctx: Context, { id, name }: BridgeRow, signed_at_ms: number): Context => ({
  ...ctx,
  actor: { kind: 'bridge', id, name, signed_at_ms },
});

function readHeaders(c: HonoCtx) {
  const header = (name: string) => c.req.header(name) ?? '';
  const [bridge_id, time, nonce, signature] = [BRIDGE_HEADER, TIME_HEADER, NONCE_HEADER, SIGNATURE_HEADER].map(header);
  const is_whole = UUID.test(bridge_id!) && /^\d{1,15}$/.test(time!) && NONCE.test(nonce!) && signature!.length === 64;
  if (!is_whole) throw unauthorized('This is not signed by a bridge.');
  const time_ms = Number(time);
  const skew_ms = c.var.ambient.now - time_ms;
  if (Math.abs(skew_ms) > MOST_SKEW_MS)
    throw unauthorized(
      `The bridge’s clock is ${Math.round(Math.abs(skew_ms) / 1000)} s ${skew_ms > 0 ? 'slow' : 'fast'}.`,
    );
  return {
    bridge_id: bridge_id!,
    time_ms,
    nonce: nonce!,
    signature: signature!,
    body_hash: c.req.header(BODY_HASH_HEADER) ?? null,
  };
}

/** The present one; and while they are renewed also the next one, which the bridge may use before we know that it has it. */
async function openSecrets(ctx: Context, bridge: BridgeRow): Promise<string[]> {
  const columns = ['signing_secret', 'next_signing_secret'] as const;
  const opened = columns.map(async column => {
    const sealed = bridge[column];
    return sealed && (await unseal(ctx.env, { row_id: bridge.id, column }, sealed).catch(() => null));
  });
  return (await Promise.all(opened)).filter(secret => secret !== null);
}
