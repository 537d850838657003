import { app } from './app.ts';
import { makeAmbient } from './context.ts';
import type { Env } from './env.ts';
import { sweep } from './jobs/sweep.ts';
import { logFailure } from './log.ts';
import { handleJob, type JobMessage } from './queues/jobs.ts';
import { handleProvisioning } from './queues/provisioning.ts';
import type { ProvisioningMessage } from './queues/wake.ts';

export { RateLimiter } from '../durable-objects/rate-limiter/index.ts';

type Message = ProvisioningMessage | JobMessage;

/** Each message by itself: one that fails is tried again without the others of its batch. */
async function handle(env: Env, queue: string, message: Message, execution: ExecutionContext): Promise<void> {
  const ambient = makeAmbient(env, execution);
  if (queue.startsWith('rukun-provisioning')) await handleProvisioning(ambient, message as ProvisioningMessage);
  else await handleJob(ambient, message as JobMessage);
}

export default {
  fetch: (request, env, execution) => app.fetch(request, env, execution),

  async queue(batch, env, execution) {
    await Promise.all(
      batch.messages.map(async message => {
        try {
          await handle(env, batch.queue, message.body, execution);
          message.ack();
        } catch (error) {
          logFailure({ queue: batch.queue, attempt: message.attempts }, error);
          message.retry({ delaySeconds: Math.min(300, 5 * 2 ** message.attempts) });
        }
      }),
    );
  },

  async scheduled(_event, env, execution) {
    await sweep(makeAmbient(env, execution));
  },
} satisfies ExportedHandler<Env, Message>;
