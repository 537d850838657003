import type { RouterJournal } from '../config.ts';
import type { Row } from '../routeros/connection.ts';
import { ENTRY_KINDS, type EntryKind, KINDS } from '../../src/protocol/kinds.ts';
import type { ApplyAnswer, ApplyRequest, DesiredEntry, SealedPart } from '../../src/protocol/messages.ts';
import { findingKey, findingKeyOf, readMarker } from '../../src/provisioning/diff.ts';
import { BridgeFailure, explainRouterError } from './failure.ts';
import { RouterHold } from './hold-router.ts';
import { reconcile, report } from './reconcile.ts';
import type { RouterPool } from './router-pool.ts';
import type { RouterQueue } from './router-queue.ts';
import type { OpenSealed } from './sealed.ts';
import { SessionsToEnd } from './sessions.ts';
import { makeWork, tellEntry } from './works.ts';

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
  const { entries, router, is_whole, revision } = request;
  const hold = new RouterHold(tools.pool, router, sealed.router_password);
  const sessions = new SessionsToEnd(tools.journal, router.id);
  const works = entries.map(entry => makeWork(entry, sealed));
  const settle = request.dry_run ? report : reconcile;
  const strays = new Strays();
  try {
    for (const { kind, is_last } of STAGES) {
      const its_works = works.filter(({ entry }) => entry.kind === kind && goesLast(entry) === is_last);
      const onStray = is_whole && !is_last ? strays.watch(kind, entries) : undefined;
      const target = { kind, sessions: kind === 'ppp_secret' ? sessions : null, ...(onStray && { onStray }) };
      if (its_works.length > 0 || onStray) await hold.run(link => settle(link, its_works, target));
    }
  } catch (error) {
    throw explainRouterError(error, router);
  } finally {
    hold.release();
    await tools.journal.save();
  }
  const results = new Map(works.flatMap(({ entry, result }) => (result ? [[entry.ref, result]] : [])));
  return {
    revision,
    entries: works.map(work => tellEntry(work, results)),
    strays: strays.list(),
    sessions_ended: sessions.ended,
    commands_sent: hold.commands_sent,
  };
}

/** A pool that others leaned on goes once they lean on it no more. */
const goesLast = ({ kind, fields, release }: DesiredEntry): boolean =>
  kind === 'ip_pool' && fields === null && !release;

const STAGES: readonly { kind: EntryKind; is_last: boolean }[] = [
  ...ENTRY_KINDS.map(kind => ({ kind, is_last: false })),
  { kind: 'ip_pool', is_last: true },
];

/** What is marked as ours and nobody asked for; a look that is taken again after a lost connection finds the same ones. */
class Strays {
  readonly #found = new Map<string, ApplyAnswer['strays'][number]>();

  watch(kind: EntryKind, entries: readonly DesiredEntry[]): (row: Row) => void {
    const { menu } = KINDS[kind];
    const asked = new Set(entries.filter(entry => entry.kind === kind).map(findingKey));
    return row => {
      const marker = readMarker(row.comment);
      const key = findingKeyOf(kind, row);
      if (marker === null || key === null || asked.has(key)) return;
      this.#found.set(`${menu} ${key}`, { menu, name: key, marker });
    };
  }

  list(): ApplyAnswer['strays'] {
    return [...this.#found.values()];
  }
}
