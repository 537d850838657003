import { app } from './app.ts';
import { makeAmbient, type Ambient } from './context.ts';
import type { Env } from './env.ts';
import { sweep } from './jobs/sweep.ts';
import { logFailure } from './log.ts';
import { buryJob, buryProvisioning } from './queues/dead-letters.ts';
import { handleJob, type JobMessage } from './queues/jobs.ts';
import { handleProvisioning } from './queues/provisioning.ts';
import type { ProvisioningMessage } from './queues/wake.ts';

export { RateLimiter } from '../durable-objects/rate-limiter/index.ts';
export { TenantHub } from '../durable-objects/tenant-hub/index.ts';

type Body = ProvisioningMessage | JobMessage;

const HANDLERS: Readonly<Record<string, (ambient: Ambient, body: never) => Promise<void>>> = {
  'rukun-provisioning': handleProvisioning,
  'rukun-provisioning-dead': buryProvisioning,
  'rukun-jobs': handleJob,
  'rukun-jobs-dead': buryJob,
};

/** Messages that say the same: one look after all of them were sent answers them all. */
function groupSame(messages: readonly Message<Body>[]): Message<Body>[][] {
  const groups = new Map<string, Message<Body>[]>();
  for (const message of messages) {
    const key = JSON.stringify(message.body);
    groups.set(key, [...(groups.get(key) ?? []), message]);
  }
  return [...groups.values()];
}

/**
 * True once the work is done; false when it takes longer than a batch may wait for one router. It goes on then, and its
 * rows tell what becomes of it: what is lost on the way is found by the sweep.
 */
async function waitFor(work: Promise<void>, patience_ms: number): Promise<boolean> {
  const { promise: given_up, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), patience_ms);
  try {
    return await Promise.race([work.then(() => true), given_up]);
  } finally {
    clearTimeout(timer);
  }
}

/** Each by itself: what fails is tried again without the others of its batch. */
async function handleSame(queue: string, same: readonly Message<Body>[], ambient: Ambient): Promise<void> {
  const fail = (error: unknown) => logFailure({ queue, attempt: same[0]!.attempts }, error);
  try {
    const work = HANDLERS[queue]!(ambient, same[0]!.body as never);
    if (queue !== 'rukun-provisioning') await work;
    else if (!(await waitFor(work, Number(ambient.env.QUEUE_PATIENCE_MS)))) ambient.defer(work.catch(fail));
    for (const message of same) message.ack();
  } catch (error) {
    fail(error);
    for (const message of same) message.retry({ delaySeconds: Math.min(300, 5 * 2 ** message.attempts) });
  }
}

export default {
  fetch: (request, env, execution) => app.fetch(request, env, execution),

  async queue({ queue, messages }, env, execution) {
    await Promise.all(groupSame(messages).map(same => handleSame(queue, same, makeAmbient(env, execution))));
  },

  async scheduled(_event, env, execution) {
    await sweep(makeAmbient(env, execution));
  },
} satisfies ExportedHandler<Env, Body>;
