import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Caller, Count } from '../../durable-objects/rate-limiter/door.ts';
import { admit, type Limit } from '../../durable-objects/rate-limiter/sliding-log.ts';
import { TOLERATED } from '../../durable-objects/rate-limiter/suspicion.ts';
import type { RateLimiter } from '../../durable-objects/rate-limiter/index.ts';

const limiterOf = (name: string) => env.RATE_LIMITER.get(env.RATE_LIMITER.idFromName(name));
const storedOf = (stub: DurableObjectStub<RateLimiter>) =>
  runInDurableObject(stub, (_, state) => Object.fromEntries(state.storage.kv.list<unknown>()));
const alarmOf = (stub: DurableObjectStub<RateLimiter>) =>
  runInDurableObject(stub, (_, state) => state.storage.getAlarm());

/** The rule as it is said: what was admitted within the last window is counted. No log is kept short. */
function admitNaively(admitted: number[], now: number, { most, window_ms }: Limit): boolean {
  const within = admitted.filter(at => at > now - window_ms);
  if (within.length >= most) return false;
  admitted.push(now);
  return true;
}

const limits = fc.record({ most: fc.integer({ min: 1, max: 6 }), window_ms: fc.integer({ min: 1, max: 60 }) });
const steps = fc.array(fc.nat({ max: 40 }), { maxLength: 60 });

describe('the sliding log', () => {
  test('P50 it admits exactly what a count over the last window admits', () => {
    fc.assert(
      fc.property(limits, steps, (limit, waits) => {
        const [log, naive]: [number[], number[]] = [[], []];
        let now = 1_000_000;
        for (const wait of waits) {
          now += wait;
          const verdict = admit(log, now, limit);
          expect(verdict.admitted).toBe(admitNaively(naive, now, limit));
          const within = naive.filter(at => at > now - limit.window_ms).length;
          expect(verdict.remaining).toBe(limit.most - within);
          expect(log.length).toBeLessThanOrEqual(limit.most);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('P50 no window of any start holds one too many, also when callers’ clocks differ', () => {
    const skewed = fc.array(fc.tuple(fc.nat({ max: 40 }), fc.integer({ min: -30, max: 30 })), { maxLength: 60 });
    fc.assert(
      fc.property(limits, skewed, (limit, waits) => {
        const log: number[] = [];
        // when each was admitted: a clock that is behind doesn't turn time back
        const admitted: number[] = [];
        let true_time = 1_000_000;
        let latest = 0;
        for (const [wait, skew] of waits) {
          true_time += wait;
          latest = Math.max(latest, true_time + skew);
          if (admit(log, true_time + skew, limit).admitted) admitted.push(latest);
        }
        for (const start of admitted) {
          const within = admitted.filter(at => at >= start && at < start + limit.window_ms);
          expect(within.length).toBeLessThanOrEqual(limit.most);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('P50 what is refused is admitted when it waits as told, and not a millisecond before', () => {
    fc.assert(
      fc.property(limits, steps, (limit, waits) => {
        const log: number[] = [];
        let now = 1_000_000;
        for (const wait of waits) {
          now += wait;
          const { admitted, retry_after_ms, remaining } = admit(log, now, limit);
          if (admitted) {
            expect(retry_after_ms).toBe(0);
            continue;
          }
          expect(remaining).toBe(0);
          expect(retry_after_ms).toBeGreaterThan(0);
          expect(retry_after_ms).toBeLessThanOrEqual(limit.window_ms);
          expect(admit([...log], now + retry_after_ms - 1, limit).admitted).toBe(false);
          expect(admit([...log], now + retry_after_ms, limit).admitted).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a refusal is not remembered: whoever keeps on asking gets in as soon as one who waited', () => {
    const limit = { most: 2, window_ms: 1000 };
    const log: number[] = [];
    expect([0, 1, 2, 500, 999].map(at => admit(log, 10_000 + at, limit).admitted)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(log).toEqual([10_000, 10_001]);
    expect(admit(log, 11_000, limit).admitted).toBe(true);
    expect(admit(log, 11_000, limit).admitted).toBe(false);
  });
});

/** A question of an address, or of a user there, about counts by their policy. */
const question = (now: number, counts: Count[], caller: Partial<Caller> = {}) => ({
  caller: { address: '10.9.0.1', user_id: null, session_id: null, ...caller },
  counts,
  now,
});
const count = (policy: string, most: number, more: Partial<Count> = {}): Count => ({
  policy,
  subject: 'x',
  limit: { most, window_ms: 60_000 },
  ...more,
});
const kept = (policy: string, most: number) => count(policy, most, { is_kept: true });

describe('the Durable Object', () => {
  const hour = { most: 5, window_ms: 3_600_000 };
  const sign_up = kept('sign-up', 5);
  sign_up.limit = hour;

  test('P50 of many at once it admits exactly as many as it may', async () => {
    const now = Date.now();
    for (const each of [count('user', 5), kept('sign-in', 5)]) {
      const limiter = limiterOf(`many ${each.policy}`);
      const verdicts = await Promise.all(
        Array.from({ length: 50 }, (_, i) => limiter.ask(question(now + (i % 3), [each]))),
      );
      expect(verdicts.filter(verdict => verdict.admitted)).toHaveLength(5);
    }
  });

  test('P50 several counts at once: all of them, or none', async () => {
    const limiter = limiterOf('several');
    const now = Date.now();
    const ask = (user: string) =>
      limiter.ask(question(now, [count('user', 2, { subject: user }), count('address', 3)]));
    expect((await ask('a')).admitted).toBe(true);
    expect((await ask('a')).admitted).toBe(true);
    const refused = await ask('a');
    expect(refused).toMatchObject({ admitted: false, refused_by: 'user', retry_after_ms: 60_000 });
    // what the user may no longer was not counted for the address
    expect(refused.policies).toEqual([
      { policy: 'user', most: 2, window_ms: 60_000, remaining: 0, reset_ms: 60_000 },
      { policy: 'address', most: 3, window_ms: 60_000, remaining: 1, reset_ms: 60_000 },
    ]);
    expect((await ask('b')).admitted).toBe(true);
    expect(await ask('b')).toMatchObject({ admitted: false, refused_by: 'address' });
  });

  test('what was given back is free again', async () => {
    const limiter = limiterOf('given back');
    const now = Date.now();
    const [first, second] = [kept('isolir', 1), count('isolir', 2, { subject: 'y' })];
    const { counted_at } = await limiter.ask(question(now, [first, second]));
    expect((await limiter.ask(question(now, [first]))).admitted).toBe(false);
    await limiter.giveBack([first], counted_at);
    expect((await limiter.ask(question(now, [first, second]))).policies.map(each => each.remaining)).toEqual([0, 0]);
  });

  test('what is kept survives any end, and the rest one that comes after a few seconds', async () => {
    const limiter = limiterOf('evicted');
    const now = Date.now();
    for (let i = 0; i < 3; i++) await limiter.ask(question(now + i, [sign_up, count('user', 10)]));
    await evictDurableObject(limiter);
    const states = async (at: number) =>
      (await limiter.ask(question(at, [sign_up, count('user', 10)]))).policies.map(each => each.remaining);
    // crashed within the few seconds: only what is kept is known
    expect(await states(now + 3)).toEqual([1, 9]);
    expect(await runDurableObjectAlarm(limiter)).toBe(true);
    await evictDurableObject(limiter);
    expect(await states(now + 4)).toEqual([0, 8]);
  });

  test('P51 what was suspicious is known after any end, up to the block; then nothing more is remembered', async () => {
    const limiter = limiterOf('strikes');
    const caller = { address: '10.9.0.9', user_id: null, session_id: null };
    const now = Date.now();
    const { most } = TOLERATED.tenant;
    for (let i = 1; i < most; i++) {
      expect(await limiter.strike('tenant', caller, `slug-${i}`, now + i)).toBeNull();
      if (i % 6 === 0) await evictDurableObject(limiter);
    }
    await evictDurableObject(limiter);
    expect(await limiter.strike('tenant', caller, 'slug-1', now + most)).toBeNull();
    expect(await limiter.strike('tenant', caller, 'the last', now + most)).toMatchObject({ reason: 'tenant' });
    for (let i = 0; i < 50; i++) await limiter.strike('tenant', caller, `more-${i}`, now + most + i);
    expect(Object.keys(await storedOf(limiter))).toEqual(['block tenant 10.9.0.9 ']);
  });

  test('a refused one writes nothing and moves no alarm; plain ones are stored by the alarm alone', async () => {
    const limiter = limiterOf('quiet');
    const now = Date.now();
    const once = count('user', 1);
    await limiter.ask(question(now, [once]));
    expect(await storedOf(limiter)).toEqual({});
    const alarm = await alarmOf(limiter);
    expect(alarm).toBe(now + 5000);
    for (let i = 1; i < 20; i++) expect((await limiter.ask(question(now + i, [once]))).admitted).toBe(false);
    expect([await storedOf(limiter), await alarmOf(limiter)]).toEqual([{}, alarm]);
    await runDurableObjectAlarm(limiter);
    expect(await storedOf(limiter)).toEqual({ 'counted 0': [['user x', [now]]] });
    // one row, however many were counted
    for (let i = 0; i < 30; i++) await limiter.ask(question(now, [count('user', 9, { subject: `u${i}` })]));
    await runDurableObjectAlarm(limiter);
    expect(Object.keys(await storedOf(limiter))).toEqual(['counted 0']);
  });

  test('an hour after the last one nothing is kept', async () => {
    const limiter = limiterOf('over');
    const now = Date.now();
    await limiter.ask(question(now, [sign_up, count('user', 10)]));
    await limiter.end('somebody', now, now);
    expect(Object.keys(await storedOf(limiter)).sort()).toEqual(['kept sign-up x', 'over somebody']);
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(now + 3_599_000);
    await runDurableObjectAlarm(limiter);
    expect(Object.keys(await storedOf(limiter))).toEqual(['kept sign-up x']);
    vi.setSystemTime(now + 3_600_000);
    await runDurableObjectAlarm(limiter);
    vi.useRealTimers();
    expect(await storedOf(limiter)).toEqual({});
    expect(await alarmOf(limiter)).toBeNull();
  });

  test('whose tokens are over is known for as long as one may live, also after a crash', async () => {
    const limiter = limiterOf('ended');
    const now = Date.now();
    const validFrom = async (caller: Partial<Caller>, at = now) =>
      (await limiter.ask(question(at, [], caller))).tokens_valid_from;
    await limiter.end('user-1', now - 10, now);
    await limiter.end('session-2', now - 5, now);
    await evictDurableObject(limiter);
    expect(await validFrom({ user_id: 'user-1', session_id: 'session-1' })).toBe(now - 10);
    expect(await validFrom({ user_id: 'user-1', session_id: 'session-2' })).toBe(now - 5);
    expect(await validFrom({ user_id: 'user-2', session_id: 'session-2' })).toBe(now - 5);
    expect(await validFrom({ user_id: 'user-2', session_id: 'session-1' })).toBe(0);
    // told late, or twice: the later one holds
    await limiter.end('user-1', now - 20, now);
    expect(await validFrom({ user_id: 'user-1' })).toBe(now - 10);
  });

  test('P50 asked through the runtime, with evictions in between, it decides as the naive count', async () => {
    const acts = fc.array(fc.tuple(fc.nat({ max: 1500 }), fc.constantFrom('ask', 'ask', 'ask', 'evict')), {
      minLength: 1,
      maxLength: 15,
    });
    let subject = 0;
    const start = Date.now() + 1_000_000;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.boolean(), acts, async (most, is_kept, list) => {
        const limiter = limiterOf(`address:property-${++subject}`);
        const limit = { most, window_ms: 3000 };
        const naive: number[] = [];
        let now = start;
        for (const [wait, act] of list) {
          now += wait;
          const verdict = await limiter.ask(question(now, [count(act, most, { limit, is_kept })]));
          if (act === 'ask') expect(verdict.admitted).toBe(admitNaively(naive, now, limit));
          else {
            // what isn't kept at once is stored before an object is put away
            if (!is_kept) await runDurableObjectAlarm(limiter);
            await evictDurableObject(limiter);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
