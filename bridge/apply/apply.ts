import type { RouterJournal } from '../config.ts';
import type { Row } from '../routeros/connection.ts';
import type { ApplyAnswer, ApplyRequest, SealedPart } from '../../src/protocol/messages.ts';
import { readMarker } from '../../src/provisioning/diff.ts';
import { BridgeFailure, explainRouterError } from './failure.ts';
import { RouterHold } from './hold-router.ts';
import type { NamedMenu } from './read-rows.ts';
import { reconcile, report, type Result, type Target, type Work } from './reconcile.ts';
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
  if (!request.dry_run) journal.noteRevision(id, request.revision);
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
  const { profiles, items, router, is_whole } = request;
  const hold = new RouterHold(tools.pool, router, sealed.router_password);
  const sessions = new SessionsToEnd(tools.journal, router.id);
  const profile_works = profiles.map(makeProfileWork);
  const secret_works = items.map(item => makeSecretWork(item, sealed));
  const settle = request.dry_run ? report : reconcile;
  // a look that is taken again after a lost connection finds the same ones again
  const strays = new Map<string, ApplyAnswer['strays'][number]>();
  const noteStray = (menu: NamedMenu) => (row: Row) => {
    const marker = readMarker(row.comment);
    if (marker !== null) strays.set(`${menu} ${row.name}`, { menu, name: row.name ?? '', marker });
  };
  const target = (menu: NamedMenu, properties: readonly string[]): Target => {
    return { menu, properties, sessions: null, ...(is_whole && { onStray: noteStray(menu) }) };
  };
  try {
    await hold.run(link => settle(link, profile_works, target('/ppp/profile', listProfileProperties(profiles))));
    await hold.run(link => settle(link, secret_works, { ...target('/ppp/secret', SECRET_PROPERTIES), sessions }));
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
    strays: [...strays.values()],
    sessions_ended: sessions.ended,
    commands_sent: hold.commands_sent,
  };
}

function takeResult(work: Work | undefined): Result {
  if (!work?.result) throw new Error('a work was left unfinished');
  return work.result;
}
