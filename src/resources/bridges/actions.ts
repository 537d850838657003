import { and, eq, gt, isNull, sql, type SQL } from 'drizzle-orm';
import { seal } from '../../auth/sealing.ts';
import { formatTenantSecret, hashSecret, makeSecret, parseTenantSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, updateRow } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { invalidField, notFound, unauthorized } from '../../errors.ts';
import { diffChanges } from '../../events/event.ts';
import { toIso } from '../../lib/time.ts';
import type { EnrolAnswer, EnrolRequest } from '../../protocol/messages.ts';
import { isPoint } from '../../provisioning/bridge-client.ts';
import { retryBridge } from '../../provisioning/settle-circuit.ts';
import { routers } from '../routers/table.ts';
import { bridges, one_time_tokens, type BridgeRow } from './table.ts';

/** Columns of which nobody is told more than that they changed. */
export const SECRETS = ['signing_secret', 'next_signing_secret', 'public_key'];

const TOKEN_LIVES_MS = 60 * 60_000;

export const selectItsRouters = (ctx: Context, bridge_id: string | SQL) =>
  ctx.db.orm
    .select({ id: routers.id })
    .from(routers)
    .where(sql`${routers.bridge_id} = ${bridge_id}`);

/** A token for one enrolment, within the hour. Asking again ends the one before. */
export async function issueEnrolmentToken(ctx: Context, bridge_id: string) {
  const [[bridge]] = await read(ctx, ctx.db.orm.select().from(bridges).where(eq(bridges.id, bridge_id)));
  if (!bridge) throw notFound('bridge');
  const secret = makeSecret();
  const at = toIso(ctx.now);
  const expires_at = toIso(ctx.now + TOKEN_LIVES_MS);
  const forget = ctx.db.orm
    .delete(one_time_tokens)
    .where(and(eq(one_time_tokens.purpose, 'bridge_enrolment'), eq(one_time_tokens.subject_id, bridge_id)));
  const insert = ctx.db.orm.insert(one_time_tokens).values({
    id: ctx.newId(),
    purpose: 'bridge_enrolment',
    subject_id: bridge_id,
    token_hash: await hashSecret(secret),
    expires_at,
    created_at: at,
    updated_at: at,
  });
  await commit(ctx, [forget, insert], { type: 'bridge.enrolment_opened', action: 'update', entity_id: bridge_id });
  return { id: bridge_id, token: formatTenantSecret(ctx.tenant.id, secret), expires_at };
}

/** The bridge's own call: spends the token and gives, once, the secret that signs everything from now on. */
export async function enrolBridge(ctx: Context, body: EnrolRequest): Promise<EnrolAnswer> {
  const parsed = parseTenantSecret(body.token);
  if (!parsed) throw unauthorized().suspect('token', body.token);
  const token_hash = await hashSecret(parsed.secret);
  const open = and(
    eq(one_time_tokens.token_hash, token_hash),
    eq(one_time_tokens.purpose, 'bridge_enrolment'),
    isNull(one_time_tokens.used_at),
    gt(one_time_tokens.expires_at, toIso(ctx.now)),
  );
  const its_id = sql`(SELECT subject_id FROM ${one_time_tokens} WHERE ${open})`;
  const [[bridge], its_routers] = await read(
    ctx,
    ctx.db.orm
      .select()
      .from(bridges)
      .where(sql`${bridges.id} = ${its_id}`),
    selectItsRouters(ctx, its_id),
  );
  if (!bridge)
    throw unauthorized('The enrolment token is wrong, spent or older than an hour.').suspect('token', token_hash);
  if (!(await isPoint(body.public_key))) throw invalidField('public_key', 'is no point of the curve');
  const url = body.url ?? bridge.url;
  if (body.url) checkBridgeUrl(ctx, body.url);
  const signing_secret = makeSecret();
  const enrolled: Partial<BridgeRow> = {
    url,
    public_key: body.public_key,
    version: body.version,
    enrolled_at: toIso(ctx.now),
    signing_secret: await seal(ctx, { row_id: bridge.id, column: 'signing_secret' }, signing_secret),
    // a rotation of the keys before is over with them
    next_signing_secret: null,
    rotation_begun_at: null,
  };
  const spend = ctx.db.orm
    .update(one_time_tokens)
    .set({ used_at: toIso(ctx.now) })
    .where(open);
  await commit(
    { ...ctx, actor: { kind: 'bridge', id: bridge.id, name: bridge.name } },
    [mustChange(spend, unauthorized()), updateRow(ctx, bridges, bridge, enrolled), ...retryBridge(ctx, bridge.id)],
    {
      type: 'bridge.enrolled',
      action: 'update',
      entity_id: bridge.id,
      changes: diffChanges(bridge, enrolled, { secrets: SECRETS }),
      routers: its_routers.map(router => router.id),
    },
  );
  return { bridge_id: bridge.id, name: bridge.name, tenant_id: ctx.tenant.id, signing_secret };
}

const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])$/;

/** A bridge is reached by https through its tunnel; plain http only on loopback, in development. */
export function checkBridgeUrl(ctx: Context, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  const bare = url && !url.username && !url.password && !url.search && !url.hash && url.pathname === '/';
  if (!bare) throw invalidField('url', 'is not an address like https://bridge.example.net');
  const is_loopback = LOOPBACK.test(url.hostname);
  if (url.protocol === 'http:' && is_loopback && ctx.env.ALLOW_LOOPBACK_BRIDGE === 'yes') return;
  if (url.protocol !== 'https:') throw invalidField('url', 'must be https');
  // a tunnel has a host name of its own: no address of some network, and none of ours
  const host = url.hostname.replace(/\.$/, '');
  const is_name = /^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/.test(host) && !host.endsWith('.localhost');
  if (!is_name) throw invalidField('url', 'must name a host, as a tunnel does');
  if (host === ctx.env.BASE_DOMAIN || host.endsWith(`.${ctx.env.BASE_DOMAIN}`))
    throw invalidField('url', 'is an address of this service itself');
}
