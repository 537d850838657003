import { z } from 'zod';
import { SOCKET_HEADER, type SocketOptions } from '../../../durable-objects/tenant-hub/protocol.ts';
import { Command, EventNames } from '../../../durable-objects/tenant-hub/commands.ts';
import type { Context } from '../../context.ts';
import { AppError, invalidField, type ErrorCode } from '../../errors.ts';
import { hubOf } from '../../events/announce.ts';
import { EVENT_NAMES } from '../../events/realtime/catalogue.ts';
import { LiveMessage } from '../../events/realtime/messages.ts';
import { endpoint } from '../../http/endpoint.ts';
import { queryInt } from '../../http/fields.ts';
import type { Resource } from '../../http/resource.ts';
import { bearerToken } from '../../tenancy/enter.ts';

/** The door to the tenant's hub; what is said behind it is in events/realtime/. */

const PROTOCOL = 'rukun.v1';

const SocketQuery = z.strictObject({
  since: queryInt({ min: 0 })
    .optional()
    .describe('The last `seq` that was seen: all that came after it is sent first, none of it twice.'),
  events: z
    .string()
    .transform(text => text.split(','))
    .pipe(EventNames.min(1))
    .optional()
    .describe(`Only these, with commas; default: all that your role may see. ${EVENT_NAMES.join(', ')}`),
});

async function openSocket(ctx: Context, request: Request, query: z.output<typeof SocketQuery>): Promise<Response> {
  if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
    throw invalidField('Upgrade', 'must be websocket: this route opens a socket');
  // the hub does what nothing takes back
  await ctx.admission.granted();
  const options: SocketOptions = { since: query.since ?? null, events: query.events ?? null };
  const answer = await hubOf(ctx).fetch('https://hub/', {
    headers: {
      Upgrade: 'websocket',
      Authorization: `Bearer ${bearerToken(request)!}`,
      [SOCKET_HEADER]: JSON.stringify(options),
    },
  });
  if (!answer.webSocket) throw new AppError((await answer.text()) as ErrorCode);
  const offered = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map(name => name.trim());
  const headers = offered.includes(PROTOCOL) ? { 'Sec-WebSocket-Protocol': PROTOCOL } : undefined;
  return new Response(null, { status: 101, webSocket: answer.webSocket, headers });
}

export const liveResource: Resource = {
  path: '',
  routes: {
    'GET /ws': endpoint({
      id: 'live.open',
      summary: 'What happens, as it happens: a WebSocket',
      description:
        'The access token goes into `Authorization`, or, from a browser, among the subprotocols: `rukun.v1, bearer.<token>`. ' +
        'Events, examples, replay and refresh: [/docs/live](/docs/live).',
      needs: 'signed-in',
      query: SocketQuery,
      returns: { socket: PROTOCOL, sends: LiveMessage, takes: Command },
      run: (ctx, { query, request }) => openSocket(ctx, request, query),
    }),
  },
};
