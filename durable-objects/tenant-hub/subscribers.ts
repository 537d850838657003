import type { Standing } from '../../src/auth/standing.ts';
import type { Context } from '../../src/context.ts';
import type { Subscriber } from '../../src/events/dispatcher.ts';
import { actOn, endedSessionOf, hasConsequences } from '../../src/events/consequences.ts';
import type { LoggedEvent } from '../../src/events/log.ts';
import { nameOf, toMessage } from '../../src/events/realtime/translate.ts';
import { inTime } from '../../src/lib/in-time.ts';
import { wakeProvisioning } from '../../src/queues/wake.ts';
import { CLOSE, type Audience, type Socket } from './audience.ts';

/** Who acts on events, each with a cursor of its own. */

export type LogSubscriber = Subscriber<LoggedEvent>;

const SIGNS_IN_OR_OUT = ['user.logged_in', 'user.logged_out'];
const changesUser = (event: LoggedEvent): boolean =>
  event.entity_type === 'user' && !SIGNS_IN_OR_OUT.includes(event.type);

export const REALTIME = 'realtime';

/**
 * Those who listen. A user who may no longer listen is sent away before anything that came after is told, and of a user's
 * row it is the present one that counts.
 */
export const realtime = <S extends Socket>(audience: Audience<S>, now: () => number): LogSubscriber => ({
  name: REALTIME,
  kind: 'once',
  wants: event => changesUser(event) || endedSessionOf(event) !== null || nameOf(event) !== null,
  deliver(events) {
    try {
      for (const event of events.filter(changesUser))
        audience.holdTo(event.entity_id, event.facts as Standing | null, now());
      for (const session_id of events.flatMap(event => endedSessionOf(event) ?? []))
        audience.endSession(session_id, now());
      audience.tell(
        events.flatMap(event => toMessage(event) ?? []),
        now(),
      );
    } catch (error) {
      // nobody goes on without what could not be told: they come back and ask for it
      audience.endAll(CLOSE.failed);
      throw error;
    }
  },
});

const PATIENCE_MS = 20_000;

const routersOf = ({ data }: LoggedEvent): string[] => (data.router_ids as string[] | undefined) ?? [];

/** The queue that brings routers to what they must hold: "look at router R". What is to be done stands in rows. */
export const provisioning = (open: () => Promise<Context>): LogSubscriber => ({
  name: 'provisioning',
  kind: 'until_done',
  wants: event => routersOf(event).length > 0,
  async deliver(events) {
    const work = wakeProvisioning(await open(), [...new Set(events.flatMap(routersOf))]);
    await inTime(work, PATIENCE_MS, 'the queue doesn’t answer');
  },
});

/**
 * What an event is followed by outside of the database: done by whoever committed it, and here if that failed. In order
 * for each thing that it happened to; one that can't be done holds up no other thing's.
 */
export const consequences = (open: () => Promise<Context>): LogSubscriber => ({
  name: 'consequences',
  kind: 'until_done',
  wants: hasConsequences,
  async deliver(events) {
    const context = await open();
    const of_each = [...Map.groupBy(events, event => event.entity_id).values()];
    const ends = await Promise.allSettled(
      of_each.map(async own => {
        for (const event of own) await inTime(actOn(context, event), PATIENCE_MS, `${event.type} isn’t followed`);
      }),
    );
    const failed = ends.find(end => end.status === 'rejected');
    if (failed) throw failed.reason;
  },
});
