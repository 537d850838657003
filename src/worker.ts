import { app } from './app.ts';
import { makeAmbient, type Ambient } from './context.ts';
import type { Env } from './env.ts';
import { Fault } from './errors.ts';
import { sweep } from './jobs/sweep.ts';
import { type About, logEnd, logFailure } from './log.ts';
import { count, countDatabase, handOn, observe } from './metrics/isolate.ts';
import { buryJob, buryProvisioning } from './queues/dead-letters.ts';
import { handleJob, type JobMessage } from './queues/jobs.ts';
import { handleProvisioning } from './queues/provisioning.ts';
import type { ProvisioningMessage } from './queues/wake.ts';

export { Metrics } from '../durable-objects/metrics/index.ts';
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
  const { body, attempts } = same[0]!;
  const about = { request_id: ambient.request_id, queue, ...describeBody(body), attempts };
  const fail = (error: unknown) => logFailure({ ...about, tenant: ambient.trace.tenant }, error);
  let outcome: Outcome = 'done';
  try {
    const work = HANDLERS[queue]!(ambient, body as never);
    if (queue !== 'rukun-provisioning') await work;
    else if (!(await waitFor(work, Number(ambient.env.QUEUE_PATIENCE_MS)))) {
      outcome = 'goes_on';
      ambient.defer(work.catch(fail));
    }
    for (const message of same) message.ack();
  } catch (error) {
    outcome = 'failed';
    fail(error);
    for (const message of same) message.retry({ delaySeconds: Math.min(300, 5 * 2 ** message.attempts) });
  }
  tellHandled(ambient, about, outcome, same.length);
}

/** `goes_on`: it takes longer than its batch waits. `failed`: it is tried again, or goes to the dead letters. */
type Outcome = 'done' | 'goes_on' | 'failed';

/** Ids alone: whatever else a message may hold one day stays out of the log. */
function describeBody(body: Body) {
  const kind = 'kind' in body ? body.kind : 'router';
  const router = 'router_id' in body && { router_id: body.router_id };
  return { kind, tenant_id: body.tenant_id, ...router, ...('job_id' in body && { job_id: body.job_id }) };
}

/** The line of a message, and its counts. */
function tellHandled(ambient: Ambient, about: About & { queue: string }, outcome: Outcome, messages: number): void {
  const { tenant, stats } = ambient.trace;
  const [duration_ms, queue] = [ambient.elapsed_ms(), about.queue];
  logEnd(ambient.env, { ...about, tenant, outcome, messages, duration_ms, ...stats });
  count('rukun_queue_messages_total', { queue, outcome }, messages);
  observe('rukun_queue_seconds', { queue }, duration_ms / 1000);
  countDatabase({ route: queue }, stats);
  handOn(ambient);
}

/** What went wrong is said here: the platform would write the error as it is. */
async function runSweep(ambient: Ambient): Promise<void> {
  let outcome: Outcome = 'done';
  await sweep(ambient).catch((error: unknown) => {
    outcome = 'failed';
    logFailure({ request_id: ambient.request_id, job: 'sweep' }, error);
  });
  logEnd(ambient.env, { request_id: ambient.request_id, job: 'sweep', outcome, duration_ms: ambient.elapsed_ms() });
  count('rukun_sweeps_total', { outcome });
  handOn(ambient);
  if (outcome !== 'done') throw new Fault('the sweep failed');
}

export default {
  fetch: (request, env, execution) => app.fetch(request, env, execution),

  async queue({ queue, messages }, env, execution) {
    await Promise.all(groupSame(messages).map(same => handleSame(queue, same, makeAmbient(env, execution))));
  },

  async scheduled(_event, env, execution) {
    await runSweep(makeAmbient(env, execution));
  },
} satisfies ExportedHandler<Env, Body>;
