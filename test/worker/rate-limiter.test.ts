import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Caller, Count } from '../../durable-objects/rate-limiter/door.ts';
import { admit, type Limit } from '../../durable-objects/rate-limiter/sliding-log.ts';
import { TOLERATED, type Block, type Suspicion } from '../../durable-objects/rate-limiter/suspicion.ts';
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

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** By the README, written out: so many different ones within so many minutes block. */
const BLOCKED_BY: Record<Suspicion, { most: number; window_ms: number }> = {
  sign_in: { most: 15, window_ms: 15 * MINUTE_MS },
  token: { most: 30, window_ms: 5 * MINUTE_MS },
  tenant: { most: 20, window_ms: 5 * MINUTE_MS },
  id: { most: 50, window_ms: 5 * MINUTE_MS },
};
const KINDS = Object.keys(BLOCKED_BY) as Suspicion[];

type Whom = Pick<Block, 'reason' | 'address' | 'user_id'>;
type Barred = Omit<Block, 'id'>;

const isSame = (a: Whom, b: Whom) => a.reason === b.reason && a.address === b.address && a.user_id === b.user_id;
const concerns = ({ reason, address, user_id }: Whom, caller: Caller) =>
  address === caller.address && (reason !== 'id' || user_id === caller.user_id);

/** The rule as it is said. Ids are held against the user who asks for them there, all else against the address. */
class NaiveBlocks {
  #counted: (Whom & { at: number; about: string | null })[] = [];
  #blocks: Barred[] = [];

  strike(reason: Suspicion, { address, user_id }: Caller, about: string | null, now: number): Barred | null {
    const whom: Whom = { reason, address, user_id: reason === 'id' ? user_id : null };
    if (this.holding(now).some(block => isSame(block, whom))) return null;
    const { most, window_ms } = BLOCKED_BY[reason];
    const recent = this.#counted.filter(each => isSame(each, whom) && each.at > now - window_ms);
    if (about !== null && recent.some(each => each.about === about)) return null;
    this.#counted.push({ ...whom, at: now, about });
    if (recent.length + 1 < most) return null;
    // what led to one block leads to no other
    this.#counted = this.#counted.filter(each => !isSame(each, whom));
    const block = { ...whom, blocked_at: now, ends_at: now + HOUR_MS };
    this.#blocks.push(block);
    return block;
  }

  holding(now: number): Barred[] {
    return this.#blocks.filter(block => now < block.ends_at);
  }

  lift(whom: Whom): void {
    this.#blocks = this.#blocks.filter(block => !isSame(block, whom));
  }
}

const CALLERS: Caller[] = [
  { address: '10.9.1.1', user_id: null, session_id: null },
  { address: '10.9.1.1', user_id: 'ayu', session_id: 'ayu-1' },
  { address: '10.9.1.1', user_id: 'budi', session_id: 'budi-1' },
  { address: '10.9.1.2', user_id: 'ayu', session_id: 'ayu-2' },
];

/** What the many are about: each something else, nothing that could be told, all the same, or a few again and again. */
const ABOUTS: Record<string, (which: number) => string | null> = {
  others: () => crypto.randomUUID(),
  nothing: () => null,
  'the same': () => 'x',
  'a few': which => `${which % 9}`,
};

/** It loses its memory, or lets go of what it holds to be over. */
const LOSSES = ['evict', 'alarm'] as const;

/**
 * A few of one kind, about as many as block, or twice that; at once, or so far apart that they just fit into the window or just
 * don’t. The last one may come when the window of the first ends, and something may be lost on the way.
 */
const strikesOf = (reason: Suspicion) => {
  const { most, window_ms } = BLOCKED_BY[reason];
  const too_far = Math.ceil(window_ms / (most - 1));
  return fc.record({
    act: fc.constant('strike' as const),
    reason: fc.constant(reason),
    caller: fc.constantFrom(...CALLERS),
    times: fc.oneof(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: most - 2, max: most + 3 }),
      fc.constantFrom(most, 2 * most),
    ),
    apart: fc.oneof(fc.constantFrom(0, 1, too_far - 1, too_far), fc.nat({ max: too_far })),
    last_at: fc.option(
      fc.integer({ min: -1, max: 1 }).map(more => window_ms + more),
      { freq: 3 },
    ),
    about: fc.oneof(fc.constant('others'), fc.constantFrom(...Object.keys(ABOUTS))),
    lost_after: fc.option(fc.integer({ min: 1, max: most })),
    loss: fc.constantFrom(...LOSSES),
  });
};
const waits = fc.record({
  act: fc.constant('wait' as const),
  wait_ms: fc.oneof(fc.nat({ max: 3 * MINUTE_MS }), fc.nat({ max: 2 * HOUR_MS })),
});
const which = fc.nat({ max: 5 });
/** Up to the end of a block, or a millisecond before it or after. */
const outwaits = fc.record({ act: fc.constant('outwait' as const), which, more_ms: fc.integer({ min: -1, max: 1 }) });
const lifts = fc.record({ act: fc.constant('lift' as const), which });
const losses = fc.record({ act: fc.constantFrom(...LOSSES) });
const actsOf = (reasons: readonly Suspicion[]) => {
  const strikes = fc.constantFrom(...reasons).chain(strikesOf);
  const act = fc.oneof(
    { weight: 6, arbitrary: strikes },
    { weight: 2, arbitrary: waits },
    outwaits,
    losses,
    lifts,
    lifts,
  );
  return fc.array(act, { minLength: 1, maxLength: 20 });
};
/** Of one or two kinds, so that much of the same comes together. */
const days = fc.shuffledSubarray(KINDS, { minLength: 1, maxLength: 2 }).chain(actsOf);

const withoutId = ({ id: _, ...block }: Block): Barred => block;
const inOrder = (blocks: readonly Barred[]) =>
  blocks.toSorted((a, b) => `${a.reason} ${a.address} ${a.user_id}`.localeCompare(`${b.reason} ${b.address} ${b.user_id}`)); // prettier-ignore

async function lose(limiter: DurableObjectStub<RateLimiter>, how: (typeof LOSSES)[number], now: number): Promise<void> {
  if (how === 'evict') return evictDurableObject(limiter);
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(now);
  await runDurableObjectAlarm(limiter).finally(() => vi.useRealTimers());
}

describe('blocks', () => {
  /** What the object says: of all blocks, and to each caller of those that concern it. From inside, which saves many calls. */
  const ask = (limiter: DurableObjectStub<RateLimiter>, now: number) =>
    runInDurableObject(limiter, async instance => {
      const verdicts = [];
      for (const caller of CALLERS) verdicts.push(await instance.ask({ caller, counts: [], now }));
      return [instance.blocks(now), ...verdicts.map(({ blocks }) => blocks)];
    });

  test('a block that is lifted when it is over already takes nothing of what came since with it', async () => {
    const limiter = limiterOf('address:late-lift');
    const [caller] = CALLERS as [Caller];
    const { most } = TOLERATED.sign_in;
    const strike = (at: number) => limiter.strike('sign_in', caller, null, at);
    const now = Date.now() + HOUR_MS;
    let block: Block | null = null;
    for (let i = 0; i < most; i++) block = await strike(now);
    for (let i = 1; i < most; i++) expect(await strike(block!.ends_at)).toBeNull();
    await limiter.lift([block!.id]);
    expect(await strike(block!.ends_at)).not.toBeNull();
  });

  test('P51 whatever comes, those are blocked of whom too much was suspicious, for an hour, and nobody else', async () => {
    const blocked = new Set<Suspicion>();
    const start = Date.now() + HOUR_MS;
    let number = 0;
    await fc.assert(
      fc.asyncProperty(days, async acts => {
        const limiter = limiterOf(`address:blocks-${++number}`);
        const naive = new NaiveBlocks();
        let now = start;
        for (const each of acts) {
          const [holding] = (await ask(limiter, now)) as [Block[]];
          const block = 'which' in each ? holding[each.which % holding.length] : null;
          if (each.act === 'wait') now += each.wait_ms;
          else if (each.act === 'outwait') now = Math.max(now, (block?.ends_at ?? now) + each.more_ms);
          else if (each.act === 'evict' || each.act === 'alarm') await lose(limiter, each.act, now);
          else if (each.act === 'lift' && block) {
            await limiter.lift([block.id]);
            naive.lift(block);
          } else if (each.act === 'strike') {
            const { reason, caller, times, apart, last_at, about, lost_after, loss } = each;
            const list = Array.from({ length: times }, (_, i) => ({ at: now + i * apart, about: ABOUTS[about]!(i) }));
            list.at(-1)!.at = Math.max(list.at(-1)!.at, now + (last_at ?? 0));
            const strike = (some: typeof list) =>
              runInDurableObject(limiter, async instance => {
                const answers = [];
                for (const { at, about } of some) answers.push(await instance.strike(reason, caller, about, at));
                return answers.map(block => block && withoutId(block));
              });
            const made = await strike(list.slice(0, lost_after ?? times));
            const rest = list.slice(lost_after ?? times);
            if (rest.length > 0) await lose(limiter, loss, rest[0]!.at);
            made.push(...(await strike(rest)));
            expect(made).toEqual(list.map(({ at, about }) => naive.strike(reason, caller, about, at)));
            if (made.some(block => block)) blocked.add(reason);
            now = list.at(-1)!.at;
          }
          const due = naive.holding(now);
          const told = await ask(limiter, now);
          expect(told.map(blocks => inOrder(blocks.map(withoutId)))).toEqual(
            [due, ...CALLERS.map(caller => due.filter(block => concerns(block, caller)))].map(inOrder),
          );
        }
        await lose(limiter, 'alarm', now + HOUR_MS);
        expect(await storedOf(limiter)).toEqual({});
      }),
      { numRuns: 100 },
    );
    expect(blocked).toEqual(new Set(KINDS));
  });
});
