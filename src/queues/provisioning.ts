import type { Ambient } from '../context.ts';
import { applyDesired } from '../provisioning/apply.ts';
import { makeContext } from '../tenancy/enter.ts';
import { findTenant } from '../tenancy/directory.ts';
import { wakeProvisioning, type ProvisioningMessage } from './wake.ts';

/** Brings one router to its desired state; when it can't be reached, looks again later. */
export async function handleProvisioning(
  ambient: Ambient,
  { tenant_id, router_id }: ProvisioningMessage,
): Promise<void> {
  const tenant = await findTenant(ambient.env, tenant_id, ambient.now);
  // a tenant that is suspended or gone has no say over its routers; its rows wait
  if (tenant?.status !== 'active') return;
  const ctx = await makeContext(ambient, tenant, { kind: 'job', name: 'provisioning' });
  const { next_attempt_ms } = await applyDesired(ctx, router_id);
  if (next_attempt_ms === null) return;
  const wait_ms = Math.max(0, next_attempt_ms - ambient.now - ambient.elapsed_ms());
  await wakeProvisioning(ctx, [router_id], Math.ceil(wait_ms / 1000));
}
