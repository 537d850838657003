import { sql } from 'drizzle-orm';
import { ACCESS_TOKEN_SECONDS } from '../auth/tokens.ts';
import type { Context } from '../context.ts';
import { runTogether } from '../db/session.ts';
import { limiterOf } from '../door/admission.ts';
import { inTime } from '../lib/in-time.ts';
import { logFailure } from '../log.ts';
import { forgetTenants, openDirectory } from '../tenancy/directory.ts';
import type { Changes } from './event.ts';

/**
 * What must follow from an event outside of the tenant's database, at once: whose tokens are over is told to the limiter, an
 * ended block too, and the directory gets the origins that CORS asks it for. Whoever committed does it before answering; if that
 * fails, the tenant's hub does it from the log until it is done. So each of these may be done twice.
 */

/** An event as it is committed, or as it is read from the log. */
interface Happened {
  type: string;
  entity_id: string;
  changes?: Changes;
  data?: Record<string, unknown>;
}

/** The session that this event ended; null when it ended none. */
export const endedSessionOf = ({ type, entity_id, data }: Happened): string | null =>
  type === 'session.ended' ? entity_id : type === 'user.logged_out' ? ((data?.session_id as string) ?? null) : null;

const isOfUser = ({ type }: Happened) => type.startsWith('user.');

/** From when on tokens of the user are good; null when the event says nothing of that. */
function validFromOf(event: Happened): 'never again' | string | null {
  if (!isOfUser(event)) return null;
  if (event.type === 'user.deleted') return 'never again';
  return (event.changes?.tokens_valid_from?.[1] as string | undefined) ?? null;
}

const endsBlock = ({ type }: Happened) => type === 'block.deleted';
const changesOrigins = ({ type, changes }: Happened) =>
  type === 'settings.updated' && changes?.allowed_origins !== undefined;

/** A new user's tokens begin with the user. */
export const hasConsequences = (event: Happened): boolean =>
  event.type !== 'user.created' &&
  (endedSessionOf(event) !== null || validFromOf(event) !== null || endsBlock(event) || changesOrigins(event));

export async function actOn(ctx: Context, event: Happened): Promise<void> {
  const limiter = limiterOf(ctx, `tenant:${ctx.tenant.id}`);
  // a renewal that was under way at that moment may have made a token a little later: none of them is good any more
  const after_all = ctx.now + ACCESS_TOKEN_SECONDS * 1000;
  const session_id = endedSessionOf(event);
  if (session_id !== null) await limiter.end(session_id, after_all, ctx.now);
  const valid_from = validFromOf(event);
  if (valid_from !== null)
    await limiter.end(event.entity_id, valid_from === 'never again' ? after_all : Date.parse(valid_from), ctx.now);
  if (endsBlock(event)) await limiter.lift([event.entity_id]);
  if (changesOrigins(event)) await publishOrigins(ctx);
}

/** As the settings stand by now. Of two that do this at once the slower one may write what is older: each looks again after it. */
async function publishOrigins(ctx: Context): Promise<void> {
  const directory = await openDirectory(ctx.env);
  for (let published: string | null = null; ;) {
    const origins = await readOrigins(ctx);
    if (origins === published) break;
    await runTogether(directory, [
      directory.orm.run(sql`UPDATE tenants SET allowed_origins = ${origins} WHERE id = ${ctx.tenant.id}`),
    ]);
    published = origins;
  }
  forgetTenants();
}

async function readOrigins(ctx: Context): Promise<string> {
  const [[row]] = await runTogether(ctx.db, [
    ctx.db.orm.all<{ allowed_origins: string }>(sql`SELECT allowed_origins FROM settings`),
  ]);
  return row!.allowed_origins;
}

const PATIENCE_MS = 2000;

/** Right after the commit. What fails here is done from the log. */
export async function followAtOnce(ctx: Context, events: readonly Happened[]): Promise<void> {
  for (const event of events.filter(hasConsequences))
    await inTime(actOn(ctx, event), PATIENCE_MS, `${event.type} isn’t followed`).catch((error: unknown) =>
      logFailure({ request_id: ctx.request_id, tenant: ctx.tenant.slug }, error),
    );
}
