import { createExecutionContext, env, waitOnExecutionContext } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commit } from '../../src/db/commit.ts';
import { BridgeCallFailed, type BridgeFailure } from '../../src/provisioning/bridge-client.ts';
import { circuitState, OPENS_AT, openFor_ms } from '../../src/provisioning/circuit.ts';
import { observeFailure, observeRouters } from '../../src/provisioning/observe.ts';
import type { ProvisioningMessage } from '../../src/queues/wake.ts';
import type { BridgeRow } from '../../src/resources/bridges/index.ts';
import type { Circuit, RouterRow } from '../../src/resources/routers/table.ts';
import worker from '../../src/worker.ts';
import { callWith } from '../support/direct.ts';
import {
  type BridgeCall,
  clearFaults,
  DEAD_PORT,
  emptyRouter,
  findSecret,
  makeTestContext,
  NetworkTenant,
  recordQueue,
  takeRouterAway,
  uniqueName,
  waitUntil,
  withBridgeCalls,
} from '../support/network-world.ts';
import { makeLocalHub, SILENT_HUB, silenceHub } from '../support/hub.ts';
import { addWaitingLine, consume, recordQueues } from '../support/queues.ts';
import { PASSWORD, TestBridge } from '../support/world.ts';

/** One router that is away costs the others nothing, and is looked after again once it is back. */

beforeEach(emptyRouter);
afterEach(clearFaults);

const MINUTE = 60_000;

describe('the rule', () => {
  test('opens at the third failure in a row, for a time that doubles up to five minutes, or an hour where it refuses us', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.boolean(), (failures, random, is_refused) => {
        const open_ms = openFor_ms(failures, random, is_refused);
        if (failures < 3) {
            expect(open_ms).toBeNull();
            return;
          }
        const ceiling = Math.min(is_refused ? 60 * MINUTE : 5 * MINUTE, 15_000 * 2 ** Math.min(failures - 3, 20));
        expect(open_ms).toBeGreaterThanOrEqual(Math.round(ceiling / 2));
        expect(open_ms).toBeLessThanOrEqual(ceiling);
      }),
      { numRuns: 1000 },
    ); // prettier-ignore
  });

  test('is open until its time, then half open, and closed before the third failure', () => {
    const circuit = (failures: number, open_until: number | null): Circuit => ({
      failures,
      since: new Date(0).toISOString(),
      open_until: open_until === null ? null : new Date(open_until).toISOString(),
    });
    expect(circuitState(null, 5)).toBe('closed');
    expect(circuitState(circuit(2, null), 5)).toBe('closed');
    expect([4, 5, 6].map(now => circuitState(circuit(3, 5), now))).toEqual(['open', 'half_open', 'half_open']);
  });
});

const message = (world: NetworkTenant, router_id = world.router_id): ProvisioningMessage => ({
  tenant_id: world.tenant.id,
  router_id,
});

const readRouter = (world: NetworkTenant, id = world.router_id) => world.tenant.get(`/routers/${id}`);
const readCircuit = async (world: NetworkTenant, id = world.router_id) => (await readRouter(world, id)).circuit;

/** The row's time has come; the circuit's hasn't. */
const makeRowsDue = (world: NetworkTenant) =>
  world.query(`UPDATE provisioning SET next_attempt_at = 1 WHERE status <> 'in_sync'`);

/** Opens it: the router is asked three times, and is away. */
async function openCircuit(world: NetworkTenant, path = 'test'): Promise<void> {
  for (let at = 0; at < OPENS_AT; at++)
    expect((await world.tenant.call('POST', `/routers/${world.router_id}/${path}`)).status).toBe(502);
  expect(await readCircuit(world)).toMatchObject({ state: 'open', failures: OPENS_AT });
  // what comes next may take longer than it stays so
  await moveEnd(world, 60 * MINUTE);
}

/** When it is to be asked again, that long from now. */
const moveEnd = (world: NetworkTenant, ms: number) =>
  world.query(
    `UPDATE routers SET circuit = json_set(circuit, '$.open_until', ?1)`,
    new Date(Date.now() + ms).toISOString(),
  );

/** As if its time were over. */
const makeHalfOpen = (world: NetworkTenant) => moveEnd(world, -1);

const quiet = () => {
  silenceHub();
  const { queue, sent } = recordQueue<ProvisioningMessage>();
  return { parts: { env: { ...env, PROVISIONING_QUEUE: queue, TENANT_HUB: SILENT_HUB } }, sent };
};

describe('a router that fails again and again', () => {
  test('P29 is left alone by the queue from the third failure on: its rows wait, and no try is counted', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    await takeRouterAway();
    const { parts, sent } = quiet();
    await withBridgeCalls(async calls => {
      const now = Date.now();
      const open_until = new Date(now + openFor_ms(3, 0.5, false)!).toISOString();
      const lookAt = (now: number) => world.look({ ...parts, now, elapsed_ms: () => 0, random: () => 0.5 });
      for (let at = 1; at <= 3; at++) {
        await makeRowsDue(world);
        await lookAt(now);
        expect(calls).toHaveLength(at);
        expect(await readCircuit(world)).toMatchObject(
          at < 3 ? { failures: at, state: 'closed', open_until: null } : { failures: at, state: 'open', open_until },
        );
      }
      for (let at = 0; at < 4; at++) {
        await makeRowsDue(world);
        await lookAt(now + at * 1000);
        const waits = { status: 'pending', attempts: 3, next_attempt_at: open_until };
        expect((await world.read(line.id)).items).toMatchObject([waits]);
        expect(sent.at(-1)!.delaySeconds).toBe(Math.ceil(openFor_ms(3, 0.5, false)! / 1000 - at));
      }
      expect(calls).toHaveLength(3);
    });
  });

  test('P29 of many that come when its time is over one asks, and the rest wait for what comes of it', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    await takeRouterAway();
    await openCircuit(world);
    const { parts } = quiet();
    await makeHalfOpen(world);
    expect((await readCircuit(world)).state).toBe('half_open');
    await withBridgeCalls(async calls => {
      await makeRowsDue(world);
      await Promise.all(Array.from({ length: 6 }, () => world.look(parts)));
      expect(calls).toHaveLength(1);
    });
    expect(await readCircuit(world)).toMatchObject({ state: 'open', failures: 4 });
    const { last_error, next_attempt_at } = (await world.read(line.id)).items[0]!;
    expect(last_error).toContain("can't be reached");
    expect(Date.parse(next_attempt_at!)).toBeGreaterThan(Date.now());
    // and once it is back: one asks, it closes, and all is done
    await clearFaults();
    await makeHalfOpen(world);
    await makeRowsDue(world);
    await withBridgeCalls(async calls => {
      await Promise.all(Array.from({ length: 6 }, () => world.look(parts)));
      expect(calls).toHaveLength(1);
    });
    expect(await readCircuit(world)).toEqual({ state: 'closed', failures: 0, open_until: null });
    expect(await world.read(line.id)).toMatchObject({ status: 'in_sync' });
  });

  test('P29 a probe that never ends holds its router up for two minutes at most', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    await takeRouterAway();
    await openCircuit(world);
    await makeHalfOpen(world);
    await clearFaults();
    await makeRowsDue(world);
    const { parts } = quiet();
    const never = () => new Promise<void>(() => {});
    let begun = 0;
    await withBridgeCalls(
      async () => {
        void world.look(parts);
        await waitUntil(() => Promise.resolve(begun), Boolean, 'nobody asks');
        await world.look(parts);
      },
      { before: () => (begun++ === 0 ? never() : undefined) },
    );
    const left_ms = Date.parse((await readCircuit(world)).open_until) - Date.now();
    expect(left_ms).toBeGreaterThan(MINUTE);
    expect(left_ms).toBeLessThan(2 * MINUTE);
    expect((await world.read(line.id)).items[0]!.next_attempt_at).not.toBeNull();
    await makeHalfOpen(world);
    await makeRowsDue(world);
    await world.look(parts);
    expect(await world.read(line.id)).toMatchObject({ status: 'in_sync' });
  });

  test('P29 an hour of silence costs it a few calls, however often something is changed meanwhile', async () => {
    const world = await NetworkTenant.make();
    const lines = [await addWaitingLine(world), await addWaitingLine(world)];
    await world.query(`UPDATE provisioning SET status = 'in_sync', next_attempt_at = NULL`);
    const began = Date.now();
    const wakes: number[] = [];
    const change = (minute: number) =>
      world.query(
        `UPDATE provisioning SET generation = generation + 1, status = 'pending', attempts = 0, next_attempt_at = ?1
         WHERE customer_id = ?2`,
        began + minute * MINUTE,
        lines[minute % 2]!.id,
      );
    let calls = 0;
    const fail = () => {
      calls++;
      throw new Error('silence');
    };
    const lookAt = async (now: number) => {
      const { parts, sent } = quiet();
      await world.look({ ...parts, now, random: () => 0.5, elapsed_ms: () => 8000 });
      wakes.push(...sent.map(({ delaySeconds }) => now + 8000 + delaySeconds * 1000));
    };
    await withBridgeCalls(
      async () => {
        for (let minute = 0; minute < 60; minute++) {
          await change(minute);
          wakes.push(began + minute * MINUTE);
          for (;;) {
            const next = Math.min(...wakes);
            if (next >= began + (minute + 1) * MINUTE) break;
            wakes.splice(wakes.indexOf(next), 1);
            await lookAt(next);
          }
        }
      },
      { before: fail },
    );
    expect(calls).toBeGreaterThan(10);
    expect(calls).toBeLessThan(30);
    // and no message brings forth more than one
    expect(wakes.length).toBeLessThan(5);
  });

  test('each failure counts, also of calls that fail at once', async () => {
    const world = await NetworkTenant.make();
    await takeRouterAway();
    const test_path = `/routers/${world.router_id}/test`;
    const answers = await Promise.all(Array.from({ length: 7 }, () => world.tenant.call('POST', test_path)));
    expect(new Set(answers.map(answer => answer.status))).toEqual(new Set([502]));
    expect((await readCircuit(world)).failures).toBe(7);
  });

  test('what counts, what doesn’t, and what begins anew: any sequence of answers', async () => {
    const world = await NetworkTenant.make();
    const ctx = await makeTestContext(world.tenant);
    const rows = async () => {
      const [router] = await world.query<Record<string, unknown>>('SELECT * FROM routers');
      const [bridge] = await world.query<Record<string, unknown>>('SELECT * FROM bridges');
      return { router: router as unknown as RouterRow, bridge: bridge as unknown as BridgeRow };
    };
    const COUNTED: BridgeFailure[] = ['ROUTER_UNREACHABLE', 'ROUTER_REFUSED', 'BRIDGE_OFFLINE'];
    const OTHERS: BridgeFailure[] = ['STALE_REVISION', 'ROUTER_BUSY', 'NOT_ENROLLED', 'INVALID_MESSAGE', 'NOT_ASKED', 'INTERNAL_ERROR', 'BAD_SIGNATURE']; // prettier-ignore
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...COUNTED) },
      { weight: 1, arbitrary: fc.constantFrom(...OTHERS) },
      { weight: 1, arbitrary: fc.constantFrom('seen', 'moved', 'late' as const) },
    );
    let now = Date.now() + MINUTE;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async steps => {
        await world.query(`UPDATE routers SET circuit = NULL, status = 'unknown', status_at = NULL, host = '10.0.0.1'`);
        await world.query(`UPDATE bridges SET status = 'online'`);
        let failures = 0;
        let last: string = 'seen';
        for (const what of steps) {
          now += 1000;
          const at = { ...ctx, now, random: () => 0.5, elapsed_ms: () => 0 };
          const { router, bridge } = await rows();
          const failed = (code: BridgeFailure) => observeFailure(at, bridge, router, new BridgeCallFailed(code, 'x'));
          const online = (at_ms: number) => observeRouters(at, [{ router_id: router.id, status: 'online', error: null, at_ms }]); // prettier-ignore
          if (what === 'seen') {
            await world.query(`UPDATE bridges SET status = 'online'`);
            await commit(at, online(now));
            failures = 0;
          } else if (what === 'late') {
            // what was seen before it failed says nothing of now
            await world.query('UPDATE routers SET status_at = ?1', now);
            await commit(at, online(now - 500));
          } else if (what === 'moved') {
            const before = failed('ROUTER_UNREACHABLE');
            await world.query(`UPDATE routers SET host = host || '1'`);
            // the failure of a call to where it was
            await commit(at, before);
            await world.query(`UPDATE bridges SET status = 'online'`);
          } else {
            await commit(at, failed(what));
            if (COUNTED.includes(what)) failures++;
            last = COUNTED.includes(what) ? what : last;
          }
          const [{ circuit }] = await world.query<{ circuit: string | null }>('SELECT circuit FROM routers') as [{ circuit: string | null }]; // prettier-ignore
          const kept = JSON.parse(circuit ?? 'null') as Circuit | null;
          expect(kept?.failures ?? 0, what).toBe(failures);
          if (!COUNTED.includes(what as BridgeFailure)) continue;
          const open_ms = openFor_ms(failures, 0.5, last === 'ROUTER_REFUSED');
          expect(kept!.open_until).toBe(open_ms === null ? null : new Date(now + open_ms).toISOString());
        }
      }),
      { numRuns: 50 },
    );
  });

  test.each(['host', 'port', 'password', 'bridge_id', 'is_active'] as const)('another %s begins anew', async what => {
    const world = await NetworkTenant.make();
    await takeRouterAway();
    await openCircuit(world);
    await world.tenant.put(`/routers/${world.router_id}`, { location: 'lantai 2' });
    expect((await readCircuit(world)).state).toBe('open');
    const other = { host: 'lain.example', port: DEAD_PORT, password: 'lain', bridge_id: null, is_active: false }[what];
    const answer = await world.tenant.put(`/routers/${world.router_id}`, { [what]: other });
    expect(answer.circuit).toEqual({ state: 'closed', failures: 0, open_until: null });
  });

  test('another way to its bridge begins anew, and what waits is done', async () => {
    const world = await NetworkTenant.make();
    const line = await addWaitingLine(world);
    await world.query(`UPDATE provisioning SET status = 'in_sync', next_attempt_at = NULL`);
    await world.tenant.put(`/bridges/${world.bridge_id}`, { url: `http://127.0.0.1:${DEAD_PORT}` });
    for (let at = 0; at < 3; at++)
      expect((await world.tenant.call('POST', `/routers/${world.router_id}/test`)).status).toBe(503);
    expect((await readCircuit(world)).state).toBe('open');
    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = ?1`, Date.now() + 5 * MINUTE);
    await world.tenant.put(`/bridges/${world.bridge_id}`, { url: env.TEST_NETWORK.bridge.url });
    await world.waitFor(line.id);
    expect((await readCircuit(world)).state).toBe('closed');
  });
});

describe('who waits for an answer', () => {
  const LIVE = [
    ...['sessions', 'secrets', 'profiles', 'pools', 'queues', 'resource', 'drift'].map(what => ['GET', what] as const),
    ['POST', 'sessions/budi/disconnect'] as const,
  ];

  test('is told at once that an open one isn’t asked, since when, until when, and how to ask it', async () => {
    const world = await NetworkTenant.make();
    await takeRouterAway();
    await openCircuit(world);
    const { open_until } = await readCircuit(world);
    const [{ since }] = await world.query<{ since: string }>(`SELECT circuit ->> 'since' AS since FROM routers`) as [{ since: string }]; // prettier-ignore
    await withBridgeCalls(async calls => {
      for (const [method, what] of LIVE) {
        const answer = await world.tenant.call(method, `/routers/${world.router_id}/${what}`);
        expect([answer.status, answer.error.code], what).toEqual([502, 'ROUTER_UNREACHABLE']);
        for (const told of [since, open_until, 'POST /routers/:id/test']) expect(answer.error.message).toContain(told);
      }
      expect(calls).toEqual([]);
    });
    expect((await readCircuit(world)).failures).toBe(3);
    // once its time is over they ask
    await clearFaults();
    await makeHalfOpen(world);
    expect((await world.tenant.call('GET', `/routers/${world.router_id}/sessions`)).status).toBe(200);
    expect(await readCircuit(world)).toEqual({ state: 'closed', failures: 0, open_until: null });
  });

  test.each(['test', 'sync', 'repair'])('%s asks in any case, and closes it', async how => {
    const world = await NetworkTenant.make();
    const { id } = await world.addLine((await world.addPlan()).id);
    const ask = () =>
      how === 'sync'
        ? world.tenant.call('POST', `/customers/${id}/provisioning/sync`)
        : how === 'test'
          ? world.tenant.call('POST', `/routers/${world.router_id}/test`)
          : world.tenant.call('POST', `/routers/${world.router_id}/reconcile`, { body: { mode: 'repair' } });
    await takeRouterAway();
    await openCircuit(world);
    await withBridgeCalls(async calls => {
      expect((await ask()).status).toBe(502);
      expect(calls).toHaveLength(1);
      expect((await readCircuit(world)).failures).toBe(4);
      await clearFaults();
      expect((await ask()).status).toBe(200);
    });
    expect((await readCircuit(world)).state).toBe('closed');
  });
});

describe('a router that is back', () => {
  const bridgeOf = (world: NetworkTenant) =>
    new TestBridge(world.tenant.id, world.bridge_id, env.TEST_NETWORK.bridge.signing_secret);

  let next_number = 0;
  const reportOnline = async (world: NetworkTenant, measured_at_ms = Date.now()) => {
    const facts = { identity: 'x', board_name: 'x', version: '7.16', uptime_seconds: 1, pools: null, lines: null };
    const seen = { router_id: world.router_id, status: 'online', error: null, latency_ms: 1, ...facts };
    const batch = { spool_id: world.bridge_id, number: ++next_number, measured_at_ms, routers: [seen], devices: [] };
    const answer = await bridgeOf(world).report({ batch });
    expect(answer.status, answer.text).toBe(200);
  };

  test.each(['report', 'test', 'live read', 'sync of another line'])('P29 shown by a %s: what waits for it is done at once', async how => {
    const world = await NetworkTenant.make();
    const other = await world.addLine((await world.addPlan()).id);
    const line = await addWaitingLine(world);
    await world.query(`UPDATE provisioning SET status = 'in_sync', next_attempt_at = NULL`);
    await takeRouterAway();
    await world.tenant.call('POST', `/routers/${world.router_id}/test`);
    await world.query(`UPDATE provisioning SET status = 'pending', next_attempt_at = ?1 WHERE customer_id = ?2`, Date.now() + 5 * MINUTE, line.id); // prettier-ignore
    await clearFaults();
    expect((await findSecret(line.name))?.disabled).toBe('false');
    const path = `/routers/${world.router_id}`;
    if (how === 'report') await reportOnline(world);
    else if (how === 'test') await world.tenant.post(`${path}/test`);
    else if (how === 'live read') await world.tenant.get(`${path}/sessions`);
    else await world.tenant.post(`/customers/${other.id}/provisioning/sync`);
    await world.waitFor(line.id);
    expect((await findSecret(line.name))?.disabled).toBe('true');
  }); // prettier-ignore

  test('P29 only what waits because it was away is due at once, and only of a router that was away', async () => {
    const world = await NetworkTenant.make();
    await addWaitingLine(world);
    const now = Date.now();
    const waiting = fc.record({
      status: fc.constantFrom('pending', 'drifted', 'failed', 'conflict', 'in_sync'),
      next: fc.constantFrom(null, 1, now + 60 * MINUTE, now + 300 * MINUTE),
      router: fc.constantFrom('online', 'offline', 'unknown'),
      circuit: fc.constantFrom(null, '{"failures":1,"since":"2026-01-01T00:00:00.000Z","open_until":null}'),
      bridge: fc.constantFrom('online', 'offline'),
    });
    await fc.assert(
      fc.asyncProperty(waiting, async ({ status, next, router, circuit, bridge }) => {
        await world.query('UPDATE provisioning SET status = ?1, next_attempt_at = ?2', status, next);
        await world.query('UPDATE routers SET status = ?1, status_at = 1, circuit = ?2', router, circuit);
        // one that we can't reach isn't back because it reaches us
        const url = bridge === 'online' ? env.TEST_NETWORK.bridge.url : `http://127.0.0.1:${DEAD_PORT}`;
        await world.query('UPDATE bridges SET status = ?1, url = ?2', bridge, url);
        const { queue, sent } = recordQueue<ProvisioningMessage>();
        const facts = { identity: 'x', board_name: 'x', version: '7.16', uptime_seconds: 1, pools: null, lines: null };
        const seen = { router_id: world.router_id, status: 'online', error: null, latency_ms: 1, ...facts };
        const batch = { spool_id: world.bridge_id, number: ++next_number, measured_at_ms: Date.now(), routers: [seen], devices: [] }; // prettier-ignore
        const body = { version: '1.0.0', watched_tag: null, batch, batches_waiting: 0 };
        const headers = await bridgeOf(world).sign(JSON.stringify(body));
        const answer = await callWith(
          { PROVISIONING_QUEUE: queue, TENANT_HUB: SILENT_HUB },
          'POST',
          '/api/v1/bridges/report',
          {
            body,
            headers,
          },
        );
        expect(answer.status, answer.text).toBe(200);
        const [row] = await world.query<{ next_attempt_at: number | null }>('SELECT next_attempt_at FROM provisioning');
        const is_back = bridge === 'online' && (router !== 'online' || circuit !== null);
        const is_woken = is_back && ['pending', 'drifted'].includes(status) && next !== null && next > Date.now();
        if (is_woken) expect(row!.next_attempt_at).toBeLessThanOrEqual(Date.now());
        else expect(row!.next_attempt_at).toBe(next);
        expect(sent.map(each => each.body)).toEqual(is_woken ? [message(world)] : []);
        const [kept] = await world.query<{ circuit: string | null }>('SELECT circuit FROM routers');
        expect(kept!.circuit).toBe(bridge === 'online' ? null : circuit);
      }),
      { numRuns: 100 },
    );
  });
});

describe('ten routers of which one is silent', () => {
  /** A line on each; what must be on the routers waits, and nobody was woken. */
  async function makeTen(silent_port: number) {
    const world = await NetworkTenant.make();
    const { env: still, provisioning } = recordQueues();
    const settings = { PROVISIONING_QUEUE: still.PROVISIONING_QUEUE, TENANT_HUB: makeLocalHub(() => still) };
    const lines: { id: string; router_id: string }[] = [];
    for (let at = 0; at < 10; at++) {
      const router_id = at === 0 ? world.router_id : await world.addRouter();
      // they are all one simulated router: of two who make one profile there at once, one would be refused
      const plan = await world.addPlan();
      const { id } = await world.tenant.addCustomer(plan.id, {
        router_id,
        pppoe_username: uniqueName(),
        pppoe_password: PASSWORD,
      });
      const path = `/api/v1/customers/${id}/activate`;
      const answer = await callWith(settings, 'POST', path, { token: world.tenant.admin.token, body: {} });
      expect(answer.status, answer.text).toBe(200);
      lines.push({ id, router_id });
    }
    await world.query('UPDATE routers SET port = ?1 WHERE id = ?2', silent_port, lines[0]!.router_id);
    expect(provisioning.map(each => each.body.router_id)).toEqual(lines.map(line => line.router_id));
    return { world, silent: lines[0]!, nine: lines.slice(1) };
  }

  const confirmed = (world: NetworkTenant) => async () =>
    (await world.query<{ customer_id: string }>(`SELECT customer_id FROM provisioning WHERE status = 'in_sync'`))
      .map(row => row.customer_id)
      .sort();

  const portOf = ({ request }: BridgeCall) => request.router.port;

  /** Keeps calls about the silent router open until `letGo`: on a slow machine its own timeout may be shorter than nine others’ work. */
  function holdSilent() {
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    const before = ({ router }: BridgeCall['request']) =>
      router.port === env.TEST_NETWORK.silent_port ? promise : undefined;
    return { letGo, before };
  }

  test('P29 the nine others are confirmed while the silent one’s call is still open', async () => {
    const { world, silent, nine } = await makeTen(env.TEST_NETWORK.silent_port);
    const ids = nine.map(line => line.id).sort();
    const { letGo, before } = holdSilent();
    await withBridgeCalls(
      async calls => {
        let is_over = false;
        const batch = consume('rukun-provisioning', [silent, ...nine].map(line => message(world, line.router_id))); // prettier-ignore
        void batch.then(() => (is_over = true));
        await waitUntil(confirmed(world), seen => seen.length === 9, 'nine are confirmed');
        expect(is_over).toBe(false);
        expect(calls.map(portOf)).toEqual(nine.map(() => env.TEST_NETWORK.router.port));
        expect(await confirmed(world)()).toEqual(ids);
        letGo();
        expect(await batch).toEqual(Array(10).fill('ack'));
        expect(calls.map(portOf).at(-1)).toBe(env.TEST_NETWORK.silent_port);
      },
      { before },
    );
    expect(await readCircuit(world, silent.router_id)).toMatchObject({ failures: 1 });
  });

  test('P29 a batch doesn’t wait for a router that hangs, and what becomes of it is noted all the same', async () => {
    const { world, silent, nine } = await makeTen(env.TEST_NETWORK.silent_port);
    const acked: string[] = [];
    const messages = [silent, nine[0]!].map(({ id, router_id }) => {
      const retry = () => expect.fail('tried again');
      return {
        id,
        timestamp: new Date(),
        attempts: 1,
        body: message(world, router_id),
        ack: () => acked.push(id),
        retry,
      };
    });
    const { letGo, before } = holdSilent();
    await withBridgeCalls(
      async calls => {
        const batch = { queue: 'rukun-provisioning', messages };
        const execution = createExecutionContext();
        await worker.queue!(batch as never, { ...env, QUEUE_PATIENCE_MS: '300' }, execution);
        expect(acked.sort()).toEqual([silent.id, nine[0]!.id].sort());
        await waitUntil(() => Promise.resolve(calls.length), Boolean, 'the other one is asked');
        expect(calls.map(portOf)).toEqual([env.TEST_NETWORK.router.port]);
        letGo();
        await waitOnExecutionContext(execution);
        expect(calls.map(portOf).at(-1)).toBe(env.TEST_NETWORK.silent_port);
      },
      { before },
    );
    expect(await readCircuit(world, silent.router_id)).toMatchObject({ failures: 1 });
    expect(await world.read(silent.id)).toMatchObject({ status: 'pending', items: [{ attempts: 1 }] });
  });

  test('P29 messages that say the same in one batch are one look', async () => {
    const { world, silent, nine } = await makeTen(DEAD_PORT);
    const all = [silent, ...nine.slice(0, 3)];
    await withBridgeCalls(async calls => {
      const messages = [...all, ...all, ...all.toReversed()].map(line => message(world, line.router_id));
      expect(await consume('rukun-provisioning', messages)).toEqual(messages.map(() => 'ack'));
      expect(calls.map(portOf).sort()).toEqual(all.map(({ id }) => (id === silent.id ? DEAD_PORT : env.TEST_NETWORK.router.port)).sort()); // prettier-ignore
    });
  });

  test('P29 a sync answers for the router that the customer is on now, and doesn’t wait for the dead one it left', async () => {
    const { world, silent } = await makeTen(env.TEST_NETWORK.silent_port);
    const { env: still } = recordQueues();
    const [there] = await world.query<{ id: string }>('SELECT id FROM routers WHERE id <> ?1', silent.router_id);
    const settings = { PROVISIONING_QUEUE: still.PROVISIONING_QUEUE, TENANT_HUB: SILENT_HUB };
    const { token } = world.tenant.admin;
    const moved = await callWith(settings, 'PUT', `/api/v1/customers/${silent.id}`, { token, body: { router_id: there!.id } }); // prettier-ignore
    expect(moved.status, moved.text).toBe(200);
    const { letGo, before } = holdSilent();
    await withBridgeCalls(
      async calls => {
        const answer = await world.tenant.call('POST', `/customers/${silent.id}/provisioning/sync`);
        expect(answer.status, answer.text).toBe(200);
        const on = (router_id: string) =>
          answer.data.items.find((item: { router_id: string }) => item.router_id === router_id);
        expect(on(there!.id)).toMatchObject({ status: 'in_sync' });
        expect(on(silent.router_id)).toMatchObject({ status: 'pending', desired: null });
        expect(calls.map(portOf)).toEqual([env.TEST_NETWORK.router.port]);
        letGo();
        // the other one is asked all the same
        await waitUntil(() => Promise.resolve(calls.length), count => count === 2, 'the other one is asked'); // prettier-ignore
      },
      { before },
    );
    await waitUntil(() => readCircuit(world, silent.router_id), ({ failures }) => failures === 1, 'a failure is noted'); // prettier-ignore
    // and where it is the present one that doesn't answer, that is what is said
    await callWith(settings, 'PUT', `/api/v1/customers/${silent.id}`, { token, body: { router_id: silent.router_id } });
    await world.query('UPDATE routers SET port = ?1 WHERE id = ?2', DEAD_PORT, silent.router_id);
    const refused = await world.tenant.call('POST', `/customers/${silent.id}/provisioning/sync`);
    expect([refused.status, refused.error.code]).toEqual([502, 'ROUTER_UNREACHABLE']);
  });
});
