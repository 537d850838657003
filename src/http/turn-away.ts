import type { Context } from '../context.ts';
import { addressOf, askDoor, blocked, limitHeaders } from '../door/admission.ts';
import { reportBlocks } from '../door/report-blocks.ts';
import { AppError } from '../errors.ts';
import { logFailure } from '../log.ts';
import type { HonoCtx } from './definition.ts';

/** What becomes of a refusal on its way out: the limiter's goes before any other, and what was suspicious is noted. */

/** An id that somebody signed in asked for, and that there isn't. */
function asksForNoRow(c: HonoCtx, { code, is_harmless }: AppError): string | null {
  const { ctx } = c.var as { ctx?: Context };
  return code === 'NOT_FOUND' && !is_harmless && ctx?.actor.kind === 'user' ? (c.req.param('id') ?? null) : null;
}

function suspicionOf(c: HonoCtx, refusal: AppError): AppError['suspicion'] {
  const id = asksForNoRow(c, refusal);
  return refusal.suspicion ?? (id === null ? null : { kind: 'id', about: id });
}

export async function turnAway(c: HonoCtx, refusal: AppError): Promise<AppError> {
  const { ambient } = c.var;
  // nobody to count it before: it was of no tenant
  const admission = c.var.admission ?? askDoor(ambient, `address:${addressOf(ambient)}`);
  c.set('admission', admission);
  try {
    await admission.granted();
  } catch (earlier) {
    return earlier as AppError;
  }
  const suspicion = suspicionOf(c, refusal);
  if (!suspicion) return refusal;
  await admission.strike(suspicion.kind, suspicion.about);
  const block = admission.caller.user_id === null ? await admission.findBlock() : null;
  return block ? blocked(block, ambient.now) : refusal;
}

/** What is left, on every answer; and blocks that aren't in the log yet are put there. */
export function writeLimits(c: HonoCtx): void {
  const { ambient, admission } = c.var;
  if (!admission) return;
  const blocks = admission.unreported();
  if (blocks.length > 0)
    ambient.defer(
      reportBlocks(ambient, admission.name, blocks).catch((error: unknown) =>
        logFailure({ request_id: ambient.request_id }, error),
      ),
    );
  // a socket's answer is the runtime's
  if (c.res.status === 101) return;
  for (const [name, value] of Object.entries(limitHeaders(admission.policies()))) c.res.headers.set(name, value);
}
