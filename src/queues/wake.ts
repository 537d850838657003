import type { Context } from '../context.ts';

/** "Look at this router": no more. What is to be done is read when the message is handled. */
export interface ProvisioningMessage {
  tenant_id: string;
  router_id: string;
}

export async function wakeProvisioning(ctx: Context, router_ids: readonly string[], delay_seconds = 0): Promise<void> {
  if (router_ids.length === 0) return;
  const messages = router_ids.map(router_id => ({
    body: { tenant_id: ctx.tenant.id, router_id },
    delaySeconds: delay_seconds,
  }));
  await ctx.env.PROVISIONING_QUEUE.sendBatch(messages);
}
