import { createExecutionContext, createMessageBatch, env, getQueueResult } from 'cloudflare:test';
import { expect } from 'vitest';
import type { JobMessage } from '../../src/queues/jobs.ts';
import type { ProvisioningMessage } from '../../src/queues/wake.ts';
import worker from '../../src/worker.ts';
import { SILENT_HUB, silenceHub } from './hub.ts';
import { type NetworkTenant, recordQueue } from './network-world.ts';

/** Queues and their consumers, as tests see them. */

/** What the consumer says of each message: it is done with it, or wants it again. */
export async function consume<T>(queue: string, bodies: T[]): Promise<string[]> {
  const messages = bodies.map((body, at) => ({ id: `m${at}`, timestamp: new Date(), attempts: 1, body }));
  const batch = createMessageBatch<T>(queue, messages);
  const execution = createExecutionContext();
  await worker.queue!(batch as never, env, execution);
  const result = await getQueueResult(batch, execution);
  expect([result.outcome, result.retryBatch.retry, result.ackAll]).toEqual(['ok', false, false]);
  return messages.map(({ id }) => {
    if (result.retryMessages.some(message => message.msgId === id)) return 'retry';
    return result.explicitAcks.includes(id) ? 'ack' : 'nothing';
  });
}

/** Both queues only note what they are told. */
export function recordQueues() {
  const provisioning = recordQueue<ProvisioningMessage>();
  const jobs = recordQueue<JobMessage>();
  silenceHub();
  const quiet = { ...env, PROVISIONING_QUEUE: provisioning.queue, JOBS_QUEUE: jobs.queue, TENANT_HUB: SILENT_HUB };
  return { provisioning: provisioning.sent, jobs: jobs.sent, env: quiet };
}

/** A line that waits for its router, without a message that would wake anybody. */
export async function addWaitingLine(world: NetworkTenant) {
  const { id, pppoe_username } = await world.addLine((await world.addPlan()).id);
  await world.query(
    `UPDATE provisioning SET desired = json_set(desired, '$.disabled', json('true')), generation = generation + 1,
       status = 'pending', next_attempt_at = 1 WHERE customer_id = ?1`,
    id,
  );
  return { id: id as string, name: pppoe_username as string };
}
