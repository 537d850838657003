import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { admit, type Limit } from '../../durable-objects/rate-limiter/sliding-log.ts';
import type { RateLimiter } from '../../durable-objects/rate-limiter/index.ts';

const limiterOf = (name: string) => env.RATE_LIMITER.get(env.RATE_LIMITER.idFromName(name));
const storedOf = (stub: DurableObjectStub<RateLimiter>) =>
  runInDurableObject(stub, async (_, state) => Object.fromEntries(await state.storage.list<number[]>()));
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

describe('the Durable Object', () => {
  const hour = { most: 5, window_ms: 3_600_000 };

  test('P50 of many at once it admits exactly as many as it may', async () => {
    const limiter = limiterOf('address:10.9.0.1');
    const now = Date.now();
    const verdicts = await Promise.all(
      Array.from({ length: 50 }, (_, i) => limiter.ask('signup', now + (i % 3), hour)),
    );
    expect(verdicts.filter(verdict => verdict.admitted)).toHaveLength(5);
    expect(await storedOf(limiter)).toEqual({ signup: expect.any(Array) });
    expect((await storedOf(limiter)).signup).toHaveLength(5);
  });

  test('subjects and kinds are counted apart', async () => {
    const now = Date.now();
    const [one, other] = [limiterOf('address:10.9.0.2'), limiterOf('address:10.9.0.3')];
    for (let i = 0; i < 5; i++) expect((await one.ask('signup', now, hour)).admitted).toBe(true);
    expect((await one.ask('signup', now, hour)).admitted).toBe(false);
    expect((await other.ask('signup', now, hour)).remaining).toBe(4);
    expect((await one.ask('signin', now, hour)).remaining).toBe(4);
  });

  test('what it counted survives its eviction', async () => {
    const limiter = limiterOf('address:10.9.0.4');
    const now = Date.now();
    for (let i = 0; i < 3; i++) await limiter.ask('signup', now + i, hour);
    await evictDurableObject(limiter);
    expect((await limiter.ask('signup', now + 3, hour)).remaining).toBe(1);
    await evictDurableObject(limiter);
    expect((await limiter.ask('signup', now + 4, hour)).admitted).toBe(true);
    await evictDurableObject(limiter);
    expect(await limiter.ask('signup', now + 5, hour)).toEqual({
      admitted: false,
      remaining: 0,
      retry_after_ms: hour.window_ms - 5,
    });
  });

  test('its alarm comes when the last window has passed, and then nothing is kept', async () => {
    const limiter = limiterOf('address:10.9.0.5');
    const now = Date.now();
    await limiter.ask('signup', now, hour);
    await limiter.ask('signup', now + 1000, hour);
    expect(await alarmOf(limiter)).toBe(now + 1000 + hour.window_ms);
    expect(await runDurableObjectAlarm(limiter)).toBe(true);
    expect(await storedOf(limiter)).toEqual({});
    expect(await alarmOf(limiter)).toBeNull();
    expect((await limiter.ask('signup', now + 2000, hour)).remaining).toBe(4);
  });

  test('a kind of a short window doesn’t bring the alarm before that of a long one', async () => {
    const limiter = limiterOf('address:10.9.0.6');
    const now = Date.now();
    await limiter.ask('signup', now, hour);
    await limiter.ask('signin', now + 1, { most: 5, window_ms: 60_000 });
    expect(await alarmOf(limiter)).toBe(now + hour.window_ms);
  });

  test('a refused one writes nothing and moves no alarm', async () => {
    const limiter = limiterOf('address:10.9.0.7');
    const now = Date.now();
    const once = { most: 1, window_ms: 60_000 };
    await limiter.ask('signin', now, once);
    const [stored, alarm] = [await storedOf(limiter), await alarmOf(limiter)];
    for (let i = 1; i < 20; i++) expect((await limiter.ask('signin', now + i, once)).admitted).toBe(false);
    expect([await storedOf(limiter), await alarmOf(limiter)]).toEqual([stored, alarm]);
  });

  test('P50 asked through the runtime, with evictions in between, it decides as the naive count', async () => {
    const acts = fc.array(fc.tuple(fc.nat({ max: 1500 }), fc.constantFrom('ask', 'ask', 'ask', 'evict')), {
      minLength: 1,
      maxLength: 15,
    });
    let subject = 0;
    const start = Date.now() + 1_000_000;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), acts, async (most, list) => {
        const limiter = limiterOf(`address:property-${++subject}`);
        const limit = { most, window_ms: 3000 };
        const naive: number[] = [];
        let now = start;
        for (const [wait, act] of list) {
          now += wait;
          if (act === 'ask')
            expect((await limiter.ask('k', now, limit)).admitted).toBe(admitNaively(naive, now, limit));
          else {
            await limiter.ask('other', now, limit);
            await evictDurableObject(limiter);
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
