import { z } from 'zod';
import { Instant } from '../../http/fields.ts';
import { LIVE_EVENTS, TRANSIENT_EVENTS } from './catalogue.ts';

/** Everything that the socket can say, as schemas: for the document and the typed client. */

const Seq = z.int().describe('Rises; come back with the last one as `since`. Gaps are what you may not see.');

const pascal = (name: string): string => name.replace(/(?:^|:)(\w)/g, (_, letter: string) => letter.toUpperCase());

const events = Object.entries(LIVE_EVENTS).map(([name, { summary, data }]) =>
  z
    .object({ seq: Seq, event: z.literal(name), data, timestamp: Instant })
    .describe(summary)
    .meta({ id: `Live${pascal(name)}` }),
);

const transient = Object.entries(TRANSIENT_EVENTS).map(([name, { summary, data }]) =>
  z
    .object({ event: z.literal(name), data, timestamp: Instant })
    .describe(summary)
    .meta({ id: `Live${pascal(name)}` }),
);

const answer = (name: string, summary: string, data: z.ZodObject) =>
  z
    .object({ event: z.literal(name), data, timestamp: Instant })
    .describe(summary)
    .meta({ id: `Live${pascal(name)}` });

const EventName = z.string();

const answers = [
  answer(
    'session:expired',
    'The token has ended, or its user may no longer do what it says: the socket closes with 4401.',
    z.object({}),
  ),
  answer(
    'subscribed',
    'To `subscribe`. `seq`: what you have by now; use it as `since` when nothing else has come.',
    z.object({ events: z.array(EventName), seq: z.int() }),
  ),
  answer('authenticated', 'To `auth`: the socket lives until then.', z.object({ expires_at: Instant })),
  answer('pong', 'To `{"type": "ping"}`. The bare word `ping` is answered by the bare word `pong`.', z.object({})),
  answer(
    'error',
    'What you sent was not understood, or refused. The socket stays open.',
    z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.array(z.string())).optional() }),
  ),
];

const all = [...events, ...transient, ...answers] as unknown as [z.ZodObject, z.ZodObject];

export const LiveMessage = z.discriminatedUnion('event', all).meta({ id: 'LiveMessage' });
