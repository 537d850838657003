import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { reseal } from '../../src/jobs/reseal.ts';
import { envWith, HOUR_MS, makeSealingKey, ownKey } from '../support/keys.ts';
import { clearFaults, findSecret, makeFaults, makeTestContext, NetworkTenant, withBridgeCalls } from '../support/network-world.ts'; // prettier-ignore
import { recordQueues } from '../support/queues.ts';

/** Routers notice nothing of it when a sealing key has gone. */

beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));

afterEach(async () => {
  vi.restoreAllMocks();
  await clearFaults();
});

test('P29a after a re-seal and without the older key a router is reached, and no password is written anew', async () => {
  const world = await NetworkTenant.make();
  // what it can't show it can only be told
  await makeFaults({ no_sensitive: true });
  const plan = await world.addPlan();
  const lines = [await world.addLine(plan.id), await world.addLine(plan.id, { pppoe_password: 'lain-456' })];
  const changed = await world.addLine(plan.id);
  const newer = makeSealingKey(Date.now() - HOUR_MS);
  const quiet = recordQueues().env;
  const within = (...keys: Record<string, string>[]) => {
    const { PROVISIONING_QUEUE, JOBS_QUEUE, TENANT_HUB } = quiet;
    return { ...envWith('sealing', ...keys), PROVISIONING_QUEUE, JOBS_QUEUE, TENANT_HUB };
  };
  const applyAll = async () => {
    await world.query("UPDATE provisioning SET status = 'pending', generation = generation + 1, next_attempt_at = 1 WHERE kind = 'ppp_secret'"); // prettier-ignore
    const outcomes: Record<string, string> = {};
    await withBridgeCalls(async calls => {
      await world.look({ env: within(newer) });
      const applied = calls.filter(({ path }) => path === '/v1/apply');
      expect(applied).toHaveLength(1);
      const { request, answer } = applied[0]!;
      for (const { ref, outcome } of answer.entries) {
        const entry = request.entries.find(each => each.ref === ref)!;
        if (entry.kind === 'ppp_secret') outcomes[entry.key] = outcome;
      }
    });
    return outcomes;
  };
  const names = [...lines, changed].map(({ pppoe_username }) => pppoe_username as string);
  await reseal(await makeTestContext(world.tenant, { env: within(ownKey('sealing'), newer) }));
  expect(await applyAll()).toEqual(Object.fromEntries(names.map(name => [name, 'unchanged'])));
  expect((await world.query("SELECT key FROM provisioning WHERE status <> 'in_sync'")).length).toBe(0);
  // and it does tell a password that was never written
  await world.query('UPDATE provisioning SET secret_hash = NULL WHERE customer_id = ?', changed.id);
  expect(await applyAll()).toEqual({ ...Object.fromEntries(names.map(name => [name, 'unchanged'])), [names[2]!]: 'changed' }); // prettier-ignore
  expect((await findSecret(names[2]!))?.password).toBe('rahasia-123');
});
