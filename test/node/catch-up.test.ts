import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CatchUp, type Page } from '../../durable-objects/tenant-hub/catch-up.ts';

/** Those who come back to a hub, as plain objects: a log that grows, and a cursor up to which it was told to who is there. */

interface Client {
  position: number;
  is_live: boolean;
  is_gone: boolean;
  may_listen: boolean;
  got: number[];
  turns: number;
}

class Hub {
  readonly log: number[] = [];
  cursor = 0;
  wakes = 0;
  reads = 0;
  trips = 0;
  readonly clients: Client[] = [];
  readonly page_size: number;
  readonly order: Client[] = [];
  fails_at = -1;
  onJoin: (() => void) | undefined;

  constructor(page_size: number) {
    this.page_size = page_size;
  }

  commit(count: number): void {
    for (let at = 0; at < count; at++) this.log.push(this.log.length + 1);
  }

  /** As the dispatcher does. */
  drain(): void {
    this.wakes += 1;
    for (const client of this.clients.filter(each => each.is_live && !each.is_gone))
      client.got.push(...this.log.filter(seq => seq > Math.max(this.cursor, client.position)));
    this.cursor = this.log.length;
  }

  readonly catch_up = new CatchUp<Client, number>({
    positionOf: client => (client.is_gone || client.is_live ? null : client.position),
    read: async (position, known, clients) => {
      this.trips += 1;
      const snapshot = this.log.filter(seq => seq > position).slice(0, this.page_size);
      const { wakes } = this;
      if (!known) this.reads += 1;
      await Promise.resolve();
      if (this.reads === this.fails_at) throw new Error('the database is away');
      const page: Page<number> = known ?? {
        messages: snapshot,
        last_seq: snapshot.at(-1) ?? position,
        is_last: snapshot.length < this.page_size,
        wakes,
      };
      return { page, may_listen: new Set(clients.filter(({ may_listen }) => may_listen)) };
    },
    join: (client, { messages, last_seq, is_last }) => {
      client.turns += 1;
      if (client.turns > 10_000) throw new Error('it never ends');
      this.order.push(client);
      client.got.push(...messages);
      client.position = last_seq;
      client.is_live = is_last && last_seq >= this.cursor;
      if (client.is_live) this.onJoin?.();
      return client.is_live;
    },
    expire: client => void (client.is_gone = true),
    fail: client => void (client.is_gone = true),
    pause: () => Promise.resolve(),
  });

  come(position: number, may_listen = true): { client: Client; done: Promise<void> } {
    const client: Client = { position, is_live: false, is_gone: false, may_listen, got: [], turns: 0 };
    this.clients.push(client);
    return { client, done: this.catch_up.add(client) };
  }
}

test('whoever comes back gets all that came after, once and in order, whatever happens meanwhile', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('come' as const), behind: fc.nat({ max: 12 }) }),
    fc.record({ kind: fc.constantFrom('commit', 'drain', 'pause'), behind: fc.nat({ max: 4 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 40 }), async (page_size, steps) => {
      const hub = new Hub(page_size);
      hub.commit(8);
      hub.drain();
      const under_way: { from: number; client: Client; done: Promise<void> }[] = [];
      for (const { kind, behind } of steps) {
        if (kind === 'come') {
          const from = Math.max(0, hub.log.length - behind);
          under_way.push({ from, ...hub.come(from) });
        }
        if (kind === 'commit') hub.commit(behind);
        if (kind === 'drain') hub.drain();
        if (kind === 'pause') for (let turn = 0; turn < behind; turn++) await Promise.resolve();
      }
      await Promise.all(under_way.map(({ done }) => done));
      for (let turn = 0; turn < 2000 && under_way.some(({ client }) => !client.is_live); turn++)
        await Promise.resolve();
      hub.drain();
      for (const { from, client } of under_way) expect(client.got).toEqual(hub.log.filter(seq => seq > from));
    }),
    { numRuns: 1000 },
  );
});

test('that there was nothing more for one is not what the next one is told', async () => {
  const hub = new Hub(2);
  hub.commit(4);
  hub.drain();
  hub.onJoin = () => {
    hub.onJoin = undefined;
    hub.commit(1);
    hub.drain();
  };
  const all = [hub.come(2), hub.come(2), hub.come(2)];
  await all[0]!.done;
  for (const { client } of all) expect(client).toMatchObject({ is_live: true, got: [3, 4, 5] });
});

test('those who missed the same share what is read, and who missed a year waits for its turns', async () => {
  const hub = new Hub(6);
  hub.commit(1000);
  hub.drain();
  const year = hub.come(0);
  const crowd = Array.from({ length: 100 }, () => hub.come(990));
  await year.done;
  expect(hub.reads).toBeLessThanOrEqual(Math.ceil(1000 / 6) + 4);
  for (const { client } of crowd) expect(client.got).toHaveLength(10);
  // some of them at a time
  expect(hub.trips).toBeLessThan(Math.ceil(1000 / 6) + 10);
  // the crowd was done long before it
  expect(hub.order.lastIndexOf(crowd.at(-1)!.client)).toBeLessThan(350);
  expect(year.client.got).toHaveLength(1000);
});

test('in a crowd that misses the same, who may not listen or is gone is left out', async () => {
  const hub = new Hub(20);
  hub.commit(10);
  hub.drain();
  const [first, refused, gone, last] = [hub.come(3), hub.come(3, false), hub.come(3), hub.come(3)];
  gone.client.is_gone = true;
  await first.done;
  expect([refused.client.got, gone.client.got]).toEqual([[], []]);
  for (const { client } of [first, last]) expect(client).toMatchObject({ got: [4, 5, 6, 7, 8, 9, 10], is_live: true });
});

test('one who may not listen any more, is gone or can’t be read for doesn’t keep the others', async () => {
  const hub = new Hub(3);
  hub.commit(10);
  hub.drain();
  hub.fails_at = 2;
  const [first, refused, gone, failed, last] = [hub.come(0), hub.come(1, false), hub.come(2), hub.come(3), hub.come(4)];
  gone.client.is_gone = true;
  await first.done;
  expect(refused.client).toMatchObject({ is_gone: true, got: [] });
  expect(gone.client.got).toEqual([]);
  expect([first, refused, failed, last].filter(({ client }) => client.is_gone)).toHaveLength(1);
  expect(last.client.got).toEqual([5, 6, 7, 8, 9, 10]);
});
