import { and, eq, sql } from 'drizzle-orm';
import { seal, unseal } from '../../auth/sealing.ts';
import { makeSecret } from '../../auth/tokens.ts';
import type { Context } from '../../context.ts';
import { commit, mustChange, RaceLost, updateRow } from '../../db/commit.ts';
import { read, type Statement } from '../../db/session.ts';
import { AppError, notFound } from '../../errors.ts';
import { diffChanges } from '../../events/event.ts';
import { toIso } from '../../lib/time.ts';
import { logFailure } from '../../log.ts';
import type { PublicKey } from '../../protocol/messages.ts';
import { BridgeCallFailed, isReachable, offerSecret } from '../../provisioning/bridge-client.ts';
import { loseBridge, observeBridge } from '../../provisioning/observe.ts';
import { wakeReturned } from '../../provisioning/settle-circuit.ts';
import { SECRETS } from './actions.ts';
import { bridges, type BridgeRow } from './table.ts';

/**
 * A bridge's keys are renewed in three steps, each of which may be lost or come twice: the next secret is stored here; the
 * bridge takes it beside the present one and tells its new key, which makes the next one ours; the first use of it makes
 * the bridge refuse the one before. Until it is over the stored secret is offered again, and never another.
 */

/** Begins a rotation, or goes on with one that was begun. */
export async function rotateKeys(ctx: Context, bridge_id: string): Promise<BridgeRow> {
  const bridge = await find(ctx, bridge_id);
  if (!bridge.url || !bridge.signing_secret || !bridge.public_key)
    throw new AppError('BRIDGE_OFFLINE', `Bridge "${bridge.name}" has not enrolled yet.`);
  const begun = bridge.next_signing_secret === null ? await begin(ctx, bridge) : bridge;
  try {
    return await finish(ctx, begun);
  } catch (error) {
    if (!(error instanceof BridgeCallFailed)) throw error;
    if (error.code === 'BRIDGE_OFFLINE') await commit(byBridge(ctx, begun), loseBridge(ctx, begun, error.message));
    throw explain(begun, error);
  }
}

/** A bridge that reports is there: what was lost of a rotation is made up for. Who reports doesn't wait for it. */
export async function goOnRotating(ctx: Context, bridge: BridgeRow): Promise<void> {
  try {
    await finish(ctx, bridge);
  } catch (error) {
    // the next report tries again
    if (error instanceof BridgeCallFailed || error instanceof AppError) return;
    logFailure({ job: 'rotation', tenant: ctx.tenant.slug }, error);
  }
}

const byBridge = (ctx: Context, { id, name }: BridgeRow): Context => ({
  ...ctx,
  actor: { kind: 'bridge', id, name },
});

async function find(ctx: Context, bridge_id: string): Promise<BridgeRow> {
  const [[bridge]] = await read(ctx, ctx.db.orm.select().from(bridges).where(eq(bridges.id, bridge_id)));
  if (!bridge) throw notFound('bridge');
  return bridge;
}

async function begin(ctx: Context, bridge: BridgeRow): Promise<BridgeRow> {
  const place = { row_id: bridge.id, column: 'next_signing_secret' };
  const begun = {
    next_signing_secret: await seal(ctx, place, makeSecret()),
    rotation_begun_at: toIso(ctx.now),
  };
  const [rows] = await commit(ctx, [updateRow(ctx, bridges, bridge, begun)], {
    type: 'bridge.rotation_begun',
    action: 'update',
    entity_id: bridge.id,
  });
  return rows![0] as BridgeRow;
}

async function finish(ctx: Context, bridge: BridgeRow): Promise<BridgeRow> {
  const secret = await openNext(ctx, bridge);
  if (secret === null)
    throw new AppError('CONFLICT', `The next secret of bridge "${bridge.name}" can’t be opened: enrol it anew.`);
  const rotated = await follow(ctx, bridge, secret, await offerSecret(ctx, bridge, secret));
  // signed with the new secret: from now on the bridge refuses the one before. If this is lost, whatever comes next does it
  await isReachable(ctx, rotated);
  return rotated;
}

const openNext = async (ctx: Context, { id, next_signing_secret }: BridgeRow): Promise<string | null> =>
  next_signing_secret &&
  (await unseal(ctx.env, { row_id: id, column: 'next_signing_secret' }, next_signing_secret).catch(() => null));

const openPresent = async (ctx: Context, { id, signing_secret }: BridgeRow): Promise<string | null> =>
  signing_secret && (await unseal(ctx.env, { row_id: id, column: 'signing_secret' }, signing_secret).catch(() => null));

/** The bridge has the next secret, on its disk: it is ours from now on. */
async function follow(
  ctx: Context,
  bridge: BridgeRow,
  secret: string,
  public_key: PublicKey,
  is_second_try = false,
): Promise<BridgeRow> {
  const keys = {
    signing_secret: await seal(ctx, { row_id: bridge.id, column: 'signing_secret' }, secret),
    public_key,
    keys_rotated_at: toIso(ctx.now),
  };
  const is_still_next = and(eq(bridges.id, bridge.id), eq(bridges.next_signing_secret, bridge.next_signing_secret!));
  const update = ctx.db.orm
    .update(bridges)
    .set({
      ...keys,
      next_signing_secret: null,
      rotation_begun_at: null,
      updated_at: sql`max(${ctx.now}, ${bridges.updated_at} + 1)`,
    })
    .where(is_still_next)
    .returning() as unknown as Statement;
  try {
    const stored = await commit(
      ctx,
      [...observeBridge(byBridge(ctx, bridge), bridge), mustChange(update, new RaceLost())],
      {
        type: 'bridge.keys_rotated',
        action: 'update',
        entity_id: bridge.id,
        changes: diffChanges(bridge, keys, { secrets: SECRETS }),
      },
    );
    wakeReturned(ctx, stored);
    return stored.at(-1)![0] as BridgeRow;
  } catch (error) {
    if (!(error instanceof RaceLost)) throw error;
    // somebody else went on with the same rotation, or the bridge was enrolled anew, or the secret was only sealed anew
    const now = await find(ctx, bridge.id);
    if ((await openPresent(ctx, now)) === secret) return now;
    if (!is_second_try && (await openNext(ctx, now)) === secret) return follow(ctx, now, secret, public_key, true);
    throw new AppError('CONFLICT', `Bridge "${bridge.name}" got other keys meanwhile: those are good.`);
  }
}

/** What is said of it to who asked for the rotation. */
function explain({ name }: BridgeRow, { code, message }: BridgeCallFailed): AppError {
  if (code === 'NOT_FOUND')
    return new AppError(
      'INVALID_TRANSITION',
      `Bridge "${name}" is too old to renew its keys: update it, and ask again.`,
    );
  const why = code === 'TIMED_OUT' ? `Bridge "${name}" did not answer in time.` : message;
  return new AppError(
    'BRIDGE_OFFLINE',
    `${why} The rotation stays begun: it is finished when the bridge reports again.`,
  );
}
