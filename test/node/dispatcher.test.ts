import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cursor, Dispatcher, type Ports, type Subscriber } from '../../src/events/dispatcher.ts';

/**
 * The dispatcher over a log, subscribers and a process that tests end between any two of its steps. What is stored outlives
 * the process; what it only remembered doesn't.
 */

interface Event {
  seq: number;
  entity: string;
}

const ENTITIES = ['a', 'b', 'c'];
const START: Cursor = { last_seq: 0, attempts: 0, retry_at: 0 };

/** Thrown at, or never answering to, a process that has ended. */
const never = () => new Promise<never>(() => undefined);

class World {
  now = 1000;
  readonly log: Event[] = [];
  readonly stored = new Map<string, Cursor>();
  /** What each subscriber did, for good: sent on a socket, put into a queue. */
  readonly done = new Map<string, Event[]>();
  readonly failures: string[] = [];
  readonly retries: number[] = [];
  reads = 0;
  /** Steps until the process ends; each await is one. */
  steps_left = Infinity;
  /** Whose next deliveries fail. */
  readonly broken = new Map<string, number>();
  /** Those who never answer. */
  readonly hung = new Set<string>();
  #life = 0;

  commit(...entities: string[]): void {
    for (const entity of entities) this.log.push({ seq: this.log.length * 2 + 1, entity });
  }

  /** A step is taken, or the process has ended before it. */
  async #step(life: number): Promise<void> {
    await Promise.resolve();
    if (life !== this.#life) return never();
    if (this.steps_left-- > 0) return;
    this.end();
    return never();
  }

  end(): void {
    this.#life += 1;
  }

  get life(): number {
    return this.#life;
  }

  ports(page_size: number): Ports<Event> {
    const life = this.#life;
    const remembered = new Map<string, Cursor>();
    return {
      readAfter: async seq => {
        await this.#step(life);
        this.reads += 1;
        const events = this.log.filter(event => event.seq > seq).slice(0, page_size);
        await this.#step(life);
        return { events, is_last: events.length < page_size };
      },
      readCursor: name => remembered.get(name) ?? this.stored.get(name) ?? START,
      writeCursor: (name, cursor, is_durable) => {
        // who has ended does nothing more
        if (life !== this.#life) return;
        expect(cursor.last_seq).toBeGreaterThanOrEqual(
          (remembered.get(name) ?? this.stored.get(name) ?? START).last_seq,
        );
        remembered.set(name, cursor);
        if (is_durable) this.stored.set(name, cursor);
      },
      now: () => this.now,
      random: () => 0,
      reportFailure: (name, _, retry_at) => {
        this.failures.push(name);
        this.retries.push(retry_at);
      },
    };
  }

  #note(life: number, name: string, events: readonly Event[]): void {
    if (life !== this.#life) return;
    this.done.set(name, [...(this.done.get(name) ?? []), ...events]);
  }

  #failIfBroken(name: string): void {
    const left = this.broken.get(name) ?? 0;
    this.broken.set(name, left - 1);
    if (left > 0) throw new Error(`${name} is broken`);
  }

  subscribers(): Subscriber<Event>[] {
    const life = this.#life;
    const wants = ({ entity }: Event) => entity !== 'c';
    return [
      { name: 'once', kind: 'once', wants, deliver: events => this.#note(life, 'once', events) },
      ...['first', 'second'].map(name => ({
        name,
        kind: 'until_done' as const,
        wants,
        deliver: async (events: readonly Event[]) => {
          await this.#step(life);
          if (this.hung.has(name)) return never();
          this.#failIfBroken(name);
          this.#note(life, name, events);
          await this.#step(life);
        },
      })),
    ];
  }

  wanted(): Event[] {
    return this.log.filter(({ entity }) => entity !== 'c');
  }
}

/** Until it has come to its end, or the process to its own. */
async function settle(world: World, dispatcher: Dispatcher<Event>, subscribers: Subscriber<Event>[]): Promise<void> {
  const life = world.life;
  let is_over = false;
  void dispatcher.wake(subscribers).then(() => (is_over = true));
  for (let turns = 0; turns < 500 && !is_over && world.life === life; turns++) await Promise.resolve();
}

/** Starts anew as often as it takes, with time for those who wait. */
async function recover(world: World, page_size: number): Promise<void> {
  world.steps_left = Infinity;
  world.end();
  const [dispatcher, subscribers] = [new Dispatcher(world.ports(page_size)), world.subscribers()];
  for (let round = 0; round < 30; round++) {
    await settle(world, dispatcher, subscribers);
    world.now += 10 * 60_000;
  }
}

const seqs = (events: readonly Event[] = []) => events.map(({ seq }) => seq);
const entity = fc.constantFrom(...ENTITIES);
const page_size = fc.integer({ min: 1, max: 5 });

describe('the dispatcher', () => {
  test('ended at any step and started again: nothing is lost, and nobody is told twice who is told once', async () => {
    const commits = fc.array(fc.tuple(fc.array(entity, { maxLength: 4 }), fc.nat({ max: 12 })), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(commits, page_size, fc.nat({ max: 3 }), async (rounds, size, faults) => {
        const world = new World();
        world.broken.set('first', faults);
        for (const [entities, steps] of rounds) {
          world.commit(...entities);
          world.steps_left = steps;
          await settle(world, new Dispatcher(world.ports(size)), world.subscribers());
          world.end();
        }
        await recover(world, size);
        const all = seqs(world.wanted());
        expect(seqs(world.done.get('once'))).toEqual(all);
        for (const name of ['first', 'second']) {
          const told = seqs(world.done.get(name));
          // again only what was told last, when we ended before that was noted: each first time comes in order
          expect([...new Set(told)]).toEqual(all);
          for (const each of ENTITIES) {
            const own = (world.done.get(name) ?? []).filter(event => event.entity === each);
            expect([...new Set(seqs(own))]).toEqual(seqs(world.wanted().filter(event => event.entity === each)));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test('one who fails waits and is tried again; the others go on meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entity, { minLength: 1, maxLength: 20 }),
        page_size,
        fc.integer({ min: 1, max: 8 }),
        async (entities, size, faults) => {
          const world = new World();
          world.commit('a', ...entities);
          world.broken.set('first', faults);
          const [dispatcher, subscribers] = [new Dispatcher(world.ports(size)), world.subscribers()];
          let last_wait = 0;
          for (let failed = 1; failed <= faults; failed++) {
            await settle(world, dispatcher, subscribers);
            expect(world.failures).toHaveLength(failed);
            expect(seqs(world.done.get('second'))).toEqual(seqs(world.wanted()));
            expect(seqs(world.done.get('once'))).toEqual(seqs(world.wanted()));
            expect(world.done.get('first')).toBeUndefined();
            const wait = dispatcher.nextRetry(subscribers)! - world.now;
            expect(wait).toBeGreaterThanOrEqual(last_wait);
            expect(wait).toBeLessThanOrEqual(5 * 60_000);
            last_wait = wait;
            // what happens meanwhile doesn't make it come sooner
            await settle(world, dispatcher, subscribers);
            expect(world.failures).toHaveLength(failed);
            world.now += wait;
          }
          await settle(world, dispatcher, subscribers);
          expect(seqs(world.done.get('first'))).toEqual(seqs(world.wanted()));
          expect(dispatcher.nextRetry(subscribers)).toBeNull();
        },
      ),
      { numRuns: 100 },
    );
  });

  test('one who never answers doesn’t hold up the others, now or later', async () => {
    const world = new World();
    world.hung.add('first');
    const [dispatcher, subscribers] = [new Dispatcher(world.ports(2)), world.subscribers()];
    for (let round = 1; round <= 5; round++) {
      world.commit('a', 'b', 'c');
      await settle(world, dispatcher, subscribers);
      expect(seqs(world.done.get('second'))).toEqual(seqs(world.wanted()));
      expect(seqs(world.done.get('once'))).toEqual(seqs(world.wanted()));
    }
  });

  test('when one is to be tried again is said at once, whoever else is still at work', async () => {
    const world = new World();
    world.hung.add('first');
    world.broken.set('second', 1);
    const [dispatcher, subscribers] = [new Dispatcher(world.ports(2)), world.subscribers()];
    world.commit('a');
    await settle(world, dispatcher, subscribers);
    expect(world.retries).toEqual([dispatcher.nextRetry(subscribers)]);
    world.now += 1000;
    await settle(world, dispatcher, subscribers);
    expect(seqs(world.done.get('second'))).toEqual([1]);
  });

  test('what is committed while it reads is found by the wake that tells of it', async () => {
    await fc.assert(
      fc.asyncProperty(
        page_size,
        fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 10 }),
        async (size, pauses) => {
          const world = new World();
          const [dispatcher, subscribers] = [new Dispatcher(world.ports(size)), world.subscribers()];
          const wakes: Promise<void>[] = [];
          for (const pause of pauses) {
            world.commit('a');
            wakes.push(dispatcher.wake(subscribers));
            for (let turn = 0; turn < pause; turn++) await Promise.resolve();
          }
          await Promise.all(wakes);
          for (const name of ['once', 'first', 'second']) expect(seqs(world.done.get(name))).toEqual(seqs(world.log));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a wake is never lost, whichever turn it comes in', async () => {
    for (const name of ['once', 'first'])
      for (let pause = 0; pause < 60; pause++) {
        const world = new World();
        const [dispatcher, subscribers] = [
          new Dispatcher(world.ports(10)),
          world.subscribers().filter(each => each.name === name),
        ];
        world.commit('a');
        const first = dispatcher.wake(subscribers);
        for (let turn = 0; turn < pause; turn++) await Promise.resolve();
        world.commit('b');
        await Promise.all([first, dispatcher.wake(subscribers)]);
        expect(seqs(world.done.get(name)), `${name}, turn ${pause}`).toEqual([1, 3]);
      }
  });

  test('who is woken doesn’t make do with what another one began to read before', async () => {
    for (let pause = 0; pause < 8; pause++) {
      const world = new World();
      const [dispatcher, [once, first]] = [new Dispatcher(world.ports(10)), world.subscribers()];
      const earlier = dispatcher.wake([first!]);
      for (let turn = 0; turn < pause; turn++) await Promise.resolve();
      world.commit('a');
      await dispatcher.wake([once!]);
      expect(seqs(world.done.get('once'))).toEqual([1]);
      await earlier;
    }
  });

  test('those who are equally far share a read, and who has nothing to do stores nothing', async () => {
    const world = new World();
    world.commit('a', 'c', 'b');
    const [dispatcher, subscribers] = [new Dispatcher(world.ports(10)), world.subscribers()];
    await dispatcher.wake(subscribers);
    expect(world.reads).toBe(1);
    expect(world.stored.get('once')).toMatchObject({ last_seq: 5 });
    world.commit('c', 'c');
    await dispatcher.wake(subscribers);
    expect(world.reads).toBe(2);
    expect(world.stored.get('once')).toMatchObject({ last_seq: 5 });
    await dispatcher.wake(subscribers);
    expect(world.reads).toBe(3);
  });
});
