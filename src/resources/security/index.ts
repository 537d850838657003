import { z } from 'zod';
import { SUSPICIONS, type Block } from '../../../durable-objects/rate-limiter/suspicion.ts';
import type { Context } from '../../context.ts';
import { commit } from '../../db/commit.ts';
import { read } from '../../db/session.ts';
import { limiterOf } from '../../door/admission.ts';
import { notFound } from '../../errors.ts';
import { deletedChanges } from '../../events/event.ts';
import { endpoint } from '../../http/endpoint.ts';
import { Id, Instant } from '../../http/fields.ts';
import { pageOf, Paging } from '../../http/paging.ts';
import type { Resource } from '../../http/resource.ts';
import { networkOf } from '../../lib/network.ts';
import { toIso } from '../../lib/time.ts';

/** Addresses that are blocked for now. The limiter holds them, since they act at once; the log tells of each. */

const AddressBlock = z
  .object({
    id: Id,
    address: z.string().describe('The address, or the /64 network of an IPv6 address.'),
    reason: z
      .enum(SUSPICIONS)
      .describe(
        '`sign_in`: sign-ins that failed · `token`: tokens that are none of ours · `tenant`: names of other providers · `id`: ids that there aren’t.',
      ),
    user_id: Id.nullable().describe(
      'With `id`: the user who asked for them, and who is blocked there. Else whoever isn’t signed in.',
    ),
    blocked_at: Instant,
    ends_at: Instant,
  })
  .meta({ id: 'AddressBlock' });

const Lifted = z.object({ address: z.string(), lifted: z.int() }).meta({ id: 'LiftedBlocks' });

const toWire = (block: Block): z.input<typeof AddressBlock> => ({
  ...block,
  blocked_at: toIso(block.blocked_at),
  ends_at: toIso(block.ends_at),
});

const findBlocks = async (ctx: Context): Promise<Block[]> =>
  (await limiterOf(ctx, `tenant:${ctx.tenant.id}`).blocks(ctx.now)) as Block[];

/** Whether the user may still see them is asked of the database beside it. */
async function listBlocks(ctx: Context): Promise<Block[]> {
  const [blocks] = await Promise.all([findBlocks(ctx), read(ctx)]);
  return blocks;
}

/** The log first: what it tells is done at once, and again by the hub if that fails (events/consequences). */
async function liftBlocks(ctx: Context, typed: string) {
  const address = networkOf(typed.trim().toLowerCase());
  const blocks = (await findBlocks(ctx)).filter(block => block.address === address);
  if (blocks.length === 0) throw notFound('blocked address');
  const events = blocks.map(block => ({
    type: 'block.deleted' as const,
    action: 'delete' as const,
    entity_id: block.id,
    changes: deletedChanges(toWire(block)),
  }));
  await commit(ctx, [], ...events);
  return { address, lifted: blocks.length };
}

export const securityResource: Resource = {
  path: '/security',
  routes: {
    'GET /blocks': endpoint({
      id: 'security.list_blocks',
      summary: 'Addresses that are blocked for now, the newest first',
      description:
        'A block ends after an hour. It closes the ways in: signing in, and tries with tokens that are none. Who is signed in ' +
        'goes on, and who has signed in from that address before may sign in again; pages for subscribers have limits of their own.',
      needs: 'security:write',
      query: Paging,
      returns: { list: AddressBlock },
      run: async (ctx, { query }) => pageOf((await listBlocks(ctx)).map(toWire), query),
    }),
    'DELETE /blocks/:address': endpoint({
      id: 'security.lift_blocks',
      summary: 'Lift the blocks of an address',
      needs: 'security:write',
      params: z.strictObject({ address: z.string().min(2).max(60) }),
      returns: { one: Lifted },
      run: (ctx, { params }) => liftBlocks(ctx, params.address),
    }),
  },
};
