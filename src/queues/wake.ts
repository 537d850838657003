import type { Context } from '../context.ts';

/** "Look at this router": no more. What is to be done is read when the message is handled. */
export interface ProvisioningMessage {
  tenant_id: string;
  router_id: string;
}

/** A batch of the queue holds a hundred messages. */
const MOST_AT_ONCE = 100;

export async function wakeProvisioning(ctx: Context, router_ids: readonly string[], delay_seconds = 0): Promise<void> {
  const messages = router_ids.map(router_id => ({
    body: { tenant_id: ctx.tenant.id, router_id },
    delaySeconds: delay_seconds,
  }));
  for (let at = 0; at < messages.length; at += MOST_AT_ONCE)
    await ctx.env.PROVISIONING_QUEUE.sendBatch(messages.slice(at, at + MOST_AT_ONCE));
}
