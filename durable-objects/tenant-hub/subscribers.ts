import type { Standing } from '../../src/auth/standing.ts';
import type { Context } from '../../src/context.ts';
import type { Subscriber } from '../../src/events/dispatcher.ts';
import type { LoggedEvent } from '../../src/events/log.ts';
import { nameOf, toMessage } from '../../src/events/realtime/translate.ts';
import { wakeProvisioning } from '../../src/queues/wake.ts';
import type { Audience, Socket } from './audience.ts';

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
  wants: event => changesUser(event) || nameOf(event) !== null,
  deliver(events) {
    for (const event of events.filter(changesUser))
      audience.holdTo(event.entity_id, event.facts as Standing | null, now());
    audience.tell(
      events.flatMap(event => toMessage(event) ?? []),
      now(),
    );
  },
});

const routersOf = ({ data }: LoggedEvent): string[] => (data.router_ids as string[] | undefined) ?? [];

/** The queue that brings routers to what they must hold: "look at router R". What is to be done stands in rows. */
export const provisioning = (open: () => Promise<Context>): LogSubscriber => ({
  name: 'provisioning',
  kind: 'until_done',
  wants: event => routersOf(event).length > 0,
  async deliver(events) {
    await wakeProvisioning(await open(), [...new Set(events.flatMap(routersOf))]);
  },
});
