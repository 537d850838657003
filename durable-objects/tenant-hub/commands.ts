import { z } from 'zod';
import { AppError } from '../../src/errors.ts';
import { EVENT_NAMES } from '../../src/events/realtime/catalogue.ts';
import { validationError } from '../../src/http/request.ts';
import type { Limit } from '../rate-limiter/sliding-log.ts';

/** What a client may say on its socket: pure. */

export const MOST_BYTES = 16 * 1024;
export const COMMAND_LIMIT: Limit = { most: 20, window_ms: 10_000 };

/** The bare words of the heartbeat: answered by the runtime, without waking us. */
export const PING = 'ping';
export const PONG = 'pong';

/** No more than there are: what a socket remembers while we sleep must be short. */
export const EventNames = z.array(z.enum(EVENT_NAMES)).max(EVENT_NAMES.length);

export const Command = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('subscribe'),
        events: EventNames.nullable().optional(),
      })
      .describe('From now on only these; an empty list: nothing; without one: all that your role may see.'),
    z
      .strictObject({ type: z.literal('auth'), token: z.string().min(1).max(4000) })
      .describe('A fresh access token of the same user: the socket lives as long as it.'),
    z
      .strictObject({ type: z.literal('ping') })
      .describe('Answered with the event `pong`. The bare word `ping` is cheaper.'),
  ])
  .meta({ id: 'LiveCommand' });
export type Command = z.output<typeof Command>;

/** Throws what is wrong with it, as an endpoint would. */
export function readCommand(text: string): Command {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError('VALIDATION_ERROR', 'The message is not JSON.');
  }
  const result = Command.safeParse(value);
  if (!result.success) throw validationError(result.error.issues);
  return result.data;
}
