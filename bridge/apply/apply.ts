import type { RouterJournal } from '../config.ts';
import type { ApplyAnswer, ApplyRequest, SealedPart } from '../../src/protocol/messages.ts';
import { BridgeFailure, explainRouterError } from './failure.ts';
import { RouterHold } from './hold-router.ts';
import { reconcile, type Result, type Work } from './reconcile.ts';
import type { RouterPool } from './router-pool.ts';
import type { RouterQueue } from './router-queue.ts';
import type { OpenSealed } from './sealed.ts';
import { SessionsToEnd } from './sessions.ts';
import { listProfileProperties, makeProfileWork, makeSecretWork, SECRET_PROPERTIES, tellItem } from './works.ts';

/** What an apply and a probe work with. */
export interface BridgeTools {
  journal: RouterJournal;
  pool: RouterPool;
  queue: RouterQueue;
  openSealed: OpenSealed;
}

/** Makes one router hold what it must. Looks at it anew each time, and never goes back behind a revision once seen. */
export async function applyDesired(tools: BridgeTools, request: ApplyRequest): Promise<ApplyAnswer> {
  const { journal, queue } = tools;
  const { id } = request.router;
  refuseStale(journal, request);
  const sealed = await tools.openSealed(request.sealed);
  journal.noteRevision(id, request.revision);
  return await queue.run(id, async () => {
    // a newer one may have come while this one waited its turn
    refuseStale(journal, request);
    await journal.save();
    return await changeRouter(tools, request, sealed);
  });
}

function refuseStale(journal: RouterJournal, { router, revision }: ApplyRequest): void {
  const seen = journal.getRevision(router.id);
  if (revision >= seen) return;
  throw new BridgeFailure('STALE_REVISION', `revision ${revision} is older than ${seen}, which was seen already`);
}

async function changeRouter(tools: BridgeTools, request: ApplyRequest, sealed: SealedPart): Promise<ApplyAnswer> {
  const { profiles, items, router } = request;
  const hold = new RouterHold(tools.pool, router, sealed.router_password);
  const sessions = new SessionsToEnd(tools.journal, router.id);
  const profile_works = profiles.map(makeProfileWork);
  const secret_works = items.map(item => makeSecretWork(item, sealed));
  const properties = listProfileProperties(profiles);
  try {
    await hold.run(link => reconcile(link, profile_works, { menu: '/ppp/profile', properties, sessions: null }));
    const secrets = { menu: '/ppp/secret', properties: SECRET_PROPERTIES, sessions } as const;
    await hold.run(link => reconcile(link, secret_works, secrets));
  } catch (error) {
    throw explainRouterError(error, router);
  } finally {
    hold.release();
    await tools.journal.save();
  }
  const profile_results = new Map(profiles.map(({ name }, at) => [name, takeResult(profile_works[at])]));
  return {
    revision: request.revision,
    profiles: profiles.map(({ name }, at) => ({ name, ...takeResult(profile_works[at]) })),
    items: items.map((item, at) => tellItem(item, takeResult(secret_works[at]), profile_results)),
    sessions_ended: sessions.ended,
    commands_sent: hold.commands_sent,
  };
}

function takeResult(work: Work | undefined): Result {
  if (!work?.result) throw new Error('a work was left unfinished');
  return work.result;
}
