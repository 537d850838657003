/** Every kind of entry over real sockets, from the request of the Worker to the rows of the router. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ENTRY_KINDS, KINDS, type EntryKind } from '../../src/protocol/kinds.ts';
import type { DesiredEntry } from '../../src/protocol/messages.ts';
import { type Simulator, startSimulator } from '../simulator/server.ts';
import { type Desired, makeEntry, makeItem, makeProfile, ROUTER_PASSWORD, TestBridge } from './bridge-client.ts';
import { RouterProxy } from './router-proxy.ts';

let bridge: TestBridge;
let simulator: Simulator;
let proxy: RouterProxy;

beforeEach(async () => {
  simulator = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD });
  proxy = await RouterProxy.start(simulator.port);
  bridge = await TestBridge.make();
  bridge.router_port = proxy.port;
  await bridge.start();
});

afterEach(async () => {
  await bridge.end();
  await proxy.stop();
  await simulator.stop();
});

const rowsOf = (kind: EntryKind) => simulator.router.rows(KINDS[kind].menu);
const commentsOf = (kind: EntryKind) => rowsOf(kind).map(row => row.comment ?? '');
const stripId = ({ '.id': _id, ...row }: Record<string, string>) => row;

/** What the router was told to write since the last look, ids and tags left out. */
function takeWrites(): string[] {
  const writes = proxy.asked.splice(0).filter(([command = '']) => /\/(add|set|unset|remove|move)$/.test(command));
  return writes.map(words => words.filter(word => !/^(=?\.id=|\.tag=)/.test(word)).join(' '));
}

const apply = async (items: DesiredEntry[], desired: Desired = {}) => {
  const passwords = Object.fromEntries(items.map(({ ref }) => [ref, 'sandi-1']));
  return await bridge.apply({ items, passwords, ...desired });
};
const applyOne = async (entry: DesiredEntry, desired: Desired = {}) => {
  const answer = await apply([entry], desired);
  return { ...answer, ...answer.entries[0]! };
};

interface KindCase {
  entry: DesiredEntry;
  /** One property that is wanted otherwise, and how it reads once it is so. */
  change: { property: string; value: string; reads?: string };
  /** The same by hand, without our marker, in words that a person may have chosen. */
  by_hand: string;
}

const RULE_FIELDS = { chain: 'forward', action: 'drop', 'src-address-list': 'isolir', protocol: 'tcp' };
const LINE = { password_written: false, end_session: false, same_service: [] };

const CASES: Record<EntryKind, KindCase> = {
  ip_pool: {
    entry: makeEntry('ip_pool', 'kolam', { ranges: '10.20.0.2-10.20.0.254', 'next-pool': 'none' }),
    change: { property: 'ranges', value: '10.20.0.2-10.20.0.99' },
    by_hand: 'name=kolam ranges=10.20.0.2-10.20.0.254',
  },
  ppp_profile: {
    entry: makeEntry('ppp_profile', 'paket', { 'rate-limit': '5M/10M', 'session-timeout': '1d', 'only-one': 'yes' }),
    change: { property: 'rate-limit', value: '5M/20M' },
    by_hand: 'name=paket rate-limit=5000k/10M session-timeout=24h only-one=yes on-up=":log info x"',
  },
  ppp_secret: {
    entry: makeEntry('ppp_secret', 'budi', { profile: 'default', disabled: 'no' }, { line: LINE }),
    change: { property: 'disabled', value: 'yes', reads: 'true' },
    by_hand: 'name=budi password=sandi-1 caller-id=AA:BB:CC:DD:EE:FF',
  },
  simple_queue: {
    entry: makeEntry('simple_queue', 'CUST1', {
      target: '10.0.0.5',
      'max-limit': '5000000/10000000',
      'burst-limit': '0/0',
      'burst-time': '0s/0s',
      priority: '8/8',
      parent: 'none',
      queue: 'default-small/default-small',
    }),
    change: { property: 'max-limit', value: '5000000/20000000' },
    by_hand: 'name=CUST1 target=10.0.0.5/32 max-limit=5M/10M total-max-limit=50M',
  },
  address_list: {
    entry: makeEntry('address_list', 'isolir 10.0.0.5', { disabled: 'no' }),
    change: { property: 'disabled', value: 'yes', reads: 'true' },
    by_hand: 'list=isolir address=10.0.0.5/32',
  },
  filter_rule: {
    entry: makeEntry('filter_rule', 'isolir:drop', RULE_FIELDS, { marker: 'rukun:isolir:drop' }),
    change: { property: 'action', value: 'reject' },
    by_hand: 'chain=forward action=drop src-address-list=isolir protocol=tcp',
  },
  nat_rule: {
    entry: makeEntry(
      'nat_rule',
      'isolir:redirect',
      { ...RULE_FIELDS, chain: 'dstnat', action: 'dst-nat', 'dst-port': '80', 'to-addresses': '10.9.0.1' },
      { marker: 'rukun:isolir:redirect' },
    ),
    change: { property: 'to-addresses', value: '10.9.0.2' },
    by_hand: 'chain=dstnat action=dst-nat src-address-list=isolir protocol=tcp dst-port=80 to-addresses=10.9.0.1',
  },
};

const isRule = (kind: EntryKind) => KINDS[kind].found_by === 'marker';

describe.each(ENTRY_KINDS)('a %s', kind => {
  const { entry, change, by_hand } = CASES[kind];
  const { menu } = KINDS[kind];
  const changed = { ...entry, fields: { ...entry.fields, [change.property]: change.value } };
  const gone = { ...entry, fields: null };
  const foreign = () => rowsOf(kind).filter(row => !row.comment?.includes('rukun:'));
  const ours = () => rowsOf(kind).filter(row => row.comment?.endsWith(entry.marker));
  const loadByHand = (comment: string) => simulator.router.load(`${menu}\nadd ${by_hand} comment="${comment}"\n`);

  test('is added with its marker, and left alone when it is right: reads only', async () => {
    const before = foreign();
    const { outcome, error, differences, observed } = await applyOne(entry);
    expect([outcome, error, differences]).toEqual(['added', null, []]);
    expect(observed).toMatchObject({ comment: entry.marker });
    expect(ours()).toHaveLength(1);
    expect(takeWrites()).toHaveLength(1);
    const rows = rowsOf(kind);
    const again = await applyOne(entry);
    expect(again).toMatchObject({ outcome: 'unchanged', differences: [], commands_sent: 1, sessions_ended: 0 });
    expect(takeWrites()).toEqual([]);
    expect(rowsOf(kind)).toEqual(rows);
    expect(foreign()).toEqual(before);
  });

  test('is changed in what differs and nothing else; text by hand before the marker is kept', async () => {
    loadByHand(`jangan dihapus ${entry.marker}`);
    const before = ours()[0]!;
    const right = await applyOne(entry);
    expect([right.outcome, takeWrites()]).toEqual(['unchanged', []]);
    const { property, value, reads = value } = change;
    const answer = await applyOne(changed);
    expect(answer.outcome).toBe('changed');
    expect(answer.differences).toMatchObject([{ property, desired: value }]);
    expect(takeWrites()).toEqual([`${menu}/set =${property}=${value}`]);
    expect(ours()).toEqual([{ ...before, [property]: reads }]);
    expect(answer.observed).toMatchObject({ [property]: value, comment: `jangan dihapus ${entry.marker}` });
  });

  if (isRule(kind))
    test('stands beside one by hand that says the same, which stays as it is', async () => {
      loadByHand('milik orang lain');
      const before = foreign();
      expect((await applyOne(entry)).outcome).toBe('added');
      expect((await applyOne(gone)).outcome).toBe('removed');
      expect(foreign()).toEqual(before);
      expect((await applyOne(gone)).outcome).toBe('absent');
    });
  else {
    test('P29a is a conflict when it is not marked, and is not removed', async () => {
      loadByHand('milik orang lain');
      const before = rowsOf(kind);
      const answer = await applyOne(changed);
      expect(answer).toMatchObject({ outcome: 'conflict', error: expect.stringContaining(entry.key) });
      expect((await applyOne(gone)).outcome).toBe('absent');
      expect((await applyOne({ ...gone, release: true })).outcome).toBe('absent');
      expect(takeWrites()).toEqual([]);
      expect(rowsOf(kind)).toEqual(before);
    });

    test('is adopted by its comment alone, and given back as it was', async () => {
      loadByHand('rumah pojok');
      const before = rowsOf(kind);
      expect((await applyOne({ ...entry, adopt: true })).outcome).toBe('changed');
      expect(takeWrites()).toEqual([`${menu}/set =comment=rumah pojok ${entry.marker}`]);
      expect((await applyOne(entry)).outcome).toBe('unchanged');
      expect((await applyOne({ ...gone, release: true })).outcome).toBe('changed');
      expect(rowsOf(kind)).toEqual(before);
    });
  }

  test('is removed; again it is absent', async () => {
    const before = rowsOf(kind);
    await applyOne(entry);
    takeWrites();
    expect(await applyOne(gone)).toMatchObject({ outcome: 'removed', observed: null });
    expect(takeWrites()).toEqual([`${menu}/remove`]);
    expect(rowsOf(kind)).toEqual(before);
    // of a secret its session is looked for as well
    expect(await applyOne(gone)).toMatchObject({ outcome: 'absent', commands_sent: kind === 'ppp_secret' ? 2 : 1 });
    expect(takeWrites()).toEqual([]);
  });

  test('after a lost answer there is one of it, and the outcome is right', async () => {
    const before = foreign();
    for (const [wanted, outcome] of [
      [entry, 'added'],
      [changed, 'changed'],
      [gone, 'removed'],
    ] as const) {
      simulator.setFaults({ close_after_write: 1 });
      expect((await applyOne(wanted)).outcome).toBe(outcome);
      simulator.setFaults({ close_after_write: false });
      expect(ours()).toHaveLength(wanted.fields === null ? 0 : 1);
      const after = await applyOne(wanted);
      expect(after.outcome).toBe(wanted.fields === null ? 'absent' : 'unchanged');
    }
    expect(foreign()).toEqual(before);
  });

  test('a look writes nothing, and says what an apply would do', async () => {
    const look = async (wanted: DesiredEntry) => (await applyOne(wanted, { dry_run: true })).outcome;
    expect(await look(entry)).toBe('added');
    expect(await look(gone)).toBe('absent');
    await applyOne(entry);
    takeWrites();
    const before = rowsOf(kind);
    expect([await look(entry), await look(changed), await look(gone)]).toEqual(['unchanged', 'changed', 'removed']);
    expect((await applyOne(changed, { dry_run: true })).differences).toMatchObject([{ property: change.property }]);
    expect(takeWrites()).toEqual([]);
    expect(rowsOf(kind)).toEqual(before);
  });

  test('the router’s refusal is told in its own words, and the row as it stands', async () => {
    await applyOne(entry);
    simulator.setFaults({ read_only_user: true });
    const { property, value } = change;
    for (const wanted of [changed, gone]) {
      const answer = await applyOne(wanted);
      expect(answer).toMatchObject({ outcome: 'failed', error: 'not enough permissions (9)' });
      expect(answer.observed).not.toMatchObject({ [property]: value });
    }
    expect(ours()).toHaveLength(1);
  });

  test('nothing is set that isn’t managed', async () => {
    const fields = { ...entry.fields, 'on-up': '/system reboot' };
    expect(await applyOne({ ...entry, fields })).toMatchObject({
      outcome: 'failed',
      error: expect.stringContaining('on-up'),
    });
    expect([ours(), takeWrites()]).toEqual([[], []]);
  });

  test('what is marked and nobody asked for is a stray, in a look at all of it alone', async () => {
    await applyOne(entry);
    loadByHand('milik orang lain');
    // of address lists only those are looked at that somebody asked about
    const asked = kind === 'address_list' ? [makeEntry('address_list', 'isolir 10.0.0.99', null)] : [];
    const name = isRule(kind) ? entry.marker : entry.key;
    for (const dry_run of [true, false]) {
      const whole = await apply(asked, { is_whole: true, dry_run });
      expect(whole.strays).toEqual([{ menu, name, marker: entry.marker }]);
      expect((await apply([...asked, entry], { is_whole: true, dry_run })).strays).toEqual([]);
      expect((await apply(asked, { is_whole: false, dry_run })).strays).toEqual([]);
    }
    expect(ours()).toHaveLength(1);
    expect((await apply([...asked, gone], { is_whole: true, dry_run: true })).strays).toEqual([]);
    // also where what was done already is seen again after a lost connection
    simulator.setFaults({ close_after_write: 1 });
    expect((await apply([...asked, gone], { is_whole: true })).strays).toEqual([]);
  });
});

test('all kinds at once: added, then right, then gone, and the rest of the router as it was', async () => {
  const before = ENTRY_KINDS.map(kind => rowsOf(kind));
  const all = ENTRY_KINDS.map(kind => CASES[kind].entry);
  const outcomes = async (items: DesiredEntry[]) => (await apply(items)).entries.map(({ outcome }) => outcome);
  expect(new Set(await outcomes(all))).toEqual(new Set(['added']));
  expect(new Set(await outcomes([...all].reverse()))).toEqual(new Set(['unchanged']));
  expect(new Set(await outcomes(all.map(entry => ({ ...entry, fields: null }))))).toEqual(new Set(['removed']));
  expect(ENTRY_KINDS.map(kind => rowsOf(kind))).toEqual(before);
});

describe('pools and the profiles that give out their addresses', () => {
  const pool = makeEntry('ip_pool', 'pool-isolir', { ranges: '10.66.0.2-10.66.0.254', 'next-pool': 'none' });
  const leaning = makeProfile({
    key: 'isolir',
    fields: { 'local-address': '10.66.0.1', 'remote-address': 'pool-isolir' },
  });
  const freed = { ...leaning, fields: { 'local-address': '', 'remote-address': '' } };

  test('a pool is made before the profile that names it, and goes once that let go of it: in one apply each', async () => {
    // whatever the order in which they were asked for
    const made = await apply([leaning, pool]);
    expect(made.entries.map(({ outcome }) => outcome)).toEqual(['added', 'added']);
    expect(takeWrites().map(write => write.split(' ')[0])).toEqual(['/ip/pool/add', '/ppp/profile/add']);
    const taken_back = await apply([{ ...pool, fields: null }, freed]);
    expect(taken_back.entries.map(({ ref, outcome }) => [ref, outcome])).toEqual([
      [pool.ref, 'removed'],
      [leaning.ref, 'changed'],
    ]);
    const writes = takeWrites();
    expect(writes.at(-1)).toBe('/ip/pool/remove');
    expect(new Set(writes.slice(0, -1))).toEqual(
      new Set(['/ppp/profile/unset =value-name=local-address', '/ppp/profile/unset =value-name=remote-address']),
    );
    expect(rowsOf('ppp_profile').find(row => row.name === 'isolir')).not.toHaveProperty('remote-address');
  });

  test('a pool that is called otherwise: the new one, the profile on it, the old one gone', async () => {
    await apply([leaning, pool]);
    const renamed = { ...pool, key: 'kolam-2', ref: 'baru' };
    const fields = { ...leaning.fields, 'remote-address': 'kolam-2' };
    takeWrites();
    await apply([{ ...pool, fields: null }, { ...leaning, fields }, renamed]);
    expect(takeWrites().map(write => write.split(' ')[0])).toEqual([
      '/ip/pool/add',
      '/ppp/profile/set',
      '/ip/pool/remove',
    ]);
  });

  test('pools that go on in one another are made in the order in which they come, and let go before one goes', async () => {
    const chain = Array.from({ length: 30 }, (_, at) =>
      makeEntry('ip_pool', `kolam-${at}`, {
        ranges: `10.20.${at}.2-10.20.${at}.254`,
        'next-pool': at === 0 ? 'none' : `kolam-${at - 1}`,
      }),
    );
    // a router may carry out what it is told at one time in any order: each is told once the one before is there
    const add = simulator.router.add.bind(simulator.router);
    const told: number[] = [];
    simulator.router.add = (...args) => {
      told.push(proxy.commands.filter(command => command === '/ip/pool/add').length);
      return add(...args);
    };
    const added = await apply(chain);
    expect(added.entries.filter(({ outcome }) => outcome !== 'added')).toEqual([]);
    expect(told).toEqual(chain.map((_, at) => at + 1));
    const [first, second] = chain;
    takeWrites();
    await apply([
      { ...first!, fields: null },
      { ...second!, fields: { ...second!.fields, 'next-pool': 'none' } },
    ]);
    expect(takeWrites()).toEqual(['/ip/pool/set =next-pool=none', '/ip/pool/remove']);
  });

  test('an adopted pool that is given back stays, and so does what leans on it', async () => {
    simulator.router.load('/ip pool add name=pool-isolir ranges=10.66.0.2-10.66.0.254 comment="punya kami"');
    await apply([{ ...pool, adopt: true }, leaning]);
    await apply([{ ...pool, fields: null, release: true }]);
    expect(rowsOf('ip_pool')).toMatchObject([{ name: 'pool-isolir', comment: 'punya kami' }]);
    expect(rowsOf('ppp_profile').find(row => row.name === 'isolir')).toMatchObject({ 'remote-address': 'pool-isolir' });
  });

  test('what leans on a pool that is not there fails in the words of the router, and the lines on it with it', async () => {
    const line = makeItem('budi', { desired: { profile: 'isolir' } });
    const answer = await apply([leaning, line]);
    expect(answer.entries.map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
    expect(answer.entries[0]!.error).toMatch(/remote-address/);
    expect(answer.entries[1]!.error).toBe(answer.entries[0]!.error);
  });
});

describe.each(['filter_rule', 'nat_rule'] as const)('%ss in their order', kind => {
  const PARTS = ['dns-udp', 'dns-tcp', 'page', 'drop'];
  const chain = kind === 'filter_rule' ? 'forward' : 'dstnat';
  const rule = (part: string, action: string | null = 'accept') =>
    makeEntry(kind, `isolir:${part}`, action === null ? null : { chain, action }, { marker: `rukun:isolir:${part}` });
  const RULES = PARTS.map(part => rule(part));
  const { menu } = KINDS[kind];
  const FOREIGN = ['lain-1', 'lain-2', 'lain-3'];
  const OURS = PARTS.map(part => `rukun:isolir:${part}`);
  const loadForeign = () =>
    simulator.router.load(
      `${menu}\n${FOREIGN.map(comment => `add chain=${chain} action=accept comment=${comment}`).join('\n')}\n`,
    );
  const remove = (comment: string) => {
    const row = [...simulator.router.table(menu).all()].find(row => row.values.get('comment') === comment)!;
    simulator.router.deleteRow(menu, row);
  };

  test('before what others have there, who keep theirs', async () => {
    loadForeign();
    const before = rowsOf(kind);
    await apply(RULES);
    expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN]);
    expect(rowsOf(kind).slice(OURS.length)).toEqual(before);
    takeWrites();
    expect((await apply(RULES)).commands_sent).toBe(1);
    expect(takeWrites()).toEqual([]);
  });

  test('on a router without rules', async () => {
    await apply(RULES);
    expect(commentsOf(kind)).toEqual(OURS);
  });

  test('after a rule that the router has put there itself', async () => {
    const dummy: [string, string][] = [
      ['chain', chain],
      ['comment', 'special dummy rule'],
    ];
    simulator.router.table(menu).insert({ values: dummy, dynamic: true });
    loadForeign();
    await apply(RULES);
    expect(commentsOf(kind)).toEqual(['special dummy rule', ...OURS, ...FOREIGN]);
  });

  test('whatever of them somebody has removed', async () => {
    loadForeign();
    await apply(RULES);
    await fc.assert(
      fc.asyncProperty(fc.subarray(OURS, { minLength: 1 }), async removed => {
        removed.forEach(remove);
        const { entries } = await apply(RULES);
        expect(entries.map(({ outcome }) => outcome)).toEqual(
          OURS.map(marker => (removed.includes(marker) ? 'added' : 'unchanged')),
        );
        expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN]);
      }),
      { numRuns: 15 },
    );
  });

  test('where somebody has put a rule between ours, or ours further down', async () => {
    loadForeign();
    await apply(RULES);
    // by hand: lain-1 after dns-tcp, and drop at the very end
    const [udp, tcp, page, drop, ...others] = [...simulator.router.table(menu).all()];
    simulator.router.table(menu).move([udp!, tcp!, others[0]!, page!, others[1]!, others[2]!, drop!], null);
    remove('rukun:isolir:page');
    await apply(RULES);
    // just before the next of ours that stands
    expect(commentsOf(kind)).toEqual([...OURS.slice(0, 2), ...FOREIGN, ...OURS.slice(2)]);
  });

  test('when some go and others come in the same apply, in whatever order they are asked for', async () => {
    loadForeign();
    await fc.assert(
      fc.asyncProperty(
        fc.subarray(PARTS, { minLength: 1 }),
        fc.shuffledSubarray(PARTS, { minLength: 1 }),
        async (standing, gone) => {
          await apply(PARTS.map(part => rule(part, null)));
          await apply(standing.map(part => rule(part)));
          const kept = PARTS.filter(part => !gone.includes(part));
          const answer = await apply([...gone.map(part => rule(part, null)), ...kept.map(part => rule(part))]);
          expect(answer.entries.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
          expect(commentsOf(kind)).toEqual([...kept.map(part => `rukun:isolir:${part}`), ...FOREIGN]);
        },
      ),
      { numRuns: 15 },
    );
  });

  test.each([1, 2])('after the answer to %i of the additions was lost', async count => {
    loadForeign();
    simulator.setFaults({ close_after_write: count });
    const { entries } = await apply(RULES);
    expect(entries.map(({ outcome }) => outcome)).toEqual(['added', 'added', 'added', 'added']);
    expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN]);
  });

  test('wherever the line is lost before an addition reached the router', async () => {
    loadForeign();
    const add = simulator.router.add.bind(simulator.router);
    for (let lost_at = 1; lost_at <= RULES.length; lost_at++) {
      await apply(PARTS.map(part => rule(part, null)));
      let additions = 0;
      simulator.router.add = (...args) => {
        if (++additions !== lost_at) return add(...args);
        simulator.dropConnections();
        throw new Error('lost');
      };
      const { entries } = await apply(RULES);
      expect(entries.map(({ outcome }) => outcome)).toEqual(['added', 'added', 'added', 'added']);
      expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN]);
    }
  });

  test('a changed one stays where it is', async () => {
    loadForeign();
    await apply(RULES);
    takeWrites();
    await apply([rule('dns-udp'), rule('dns-tcp'), rule('page', 'return'), rule('drop')]);
    expect(takeWrites()).toEqual([`${menu}/set =action=return`]);
    expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN]);
  });

  test('a copy that somebody made of one does not take its place', async () => {
    loadForeign();
    await apply(RULES);
    const [first = '', ...others] = OURS;
    simulator.router.load(`${menu}\nadd chain=${chain} action=accept comment="${first}"\n`);
    others.forEach(remove);
    await apply(RULES);
    expect(commentsOf(kind)).toEqual([...OURS, ...FOREIGN, first]);
  });
});

describe('address lists', () => {
  /** As a router that blocks half the world has them. */
  const loadForeign = (count: number) => {
    const lines = Array.from({ length: count }, (_, at) => `add list=negara address=172.16.${at >> 8}.${at & 255}`);
    simulator.router.load(`/ip firewall address-list\n${lines.join('\n')}\n`);
  };
  const entry = (address: string, changes: Partial<DesiredEntry> = {}) =>
    makeEntry('address_list', `isolir ${address}`, {}, changes);
  const countShown = () => {
    const select = simulator.router.select.bind(simulator.router);
    const counts: number[] = [];
    simulator.router.select = function* (...args) {
      const found = [...select(...args)];
      counts.push(found.length);
      yield* found;
    };
    return counts;
  };

  test.each([1, 40, 41])('of %i of ours the other lists of a router are never printed', async count => {
    loadForeign(20_000);
    simulator.router.load('/ip firewall address-list add list=isolir address=10.99.0.1 comment="by hand"');
    const entries = Array.from({ length: count }, (_, at) => entry(`10.1.0.${at + 1}`));
    expect((await apply(entries)).entries.every(({ outcome }) => outcome === 'added')).toBe(true);
    const counts = countShown();
    const again = await apply(entries);
    expect(again.entries.every(({ outcome }) => outcome === 'unchanged')).toBe(true);
    // by address up to forty of them, by list beyond
    expect(counts.reduce((sum, shown) => sum + shown, 0)).toBe(count > 40 ? count + 1 : count);
    const whole = await apply(entries, { dry_run: true, is_whole: true });
    expect(whole.strays).toEqual([]);
    expect(Math.max(...counts)).toBeLessThan(1000);
    expect(rowsOf('address_list')).toHaveLength(20_001 + count);
  });

  test('nobody asked about any: none is looked at, not even for strays', async () => {
    loadForeign(10);
    simulator.router.load('/ip firewall address-list add list=isolir address=10.0.0.5 comment="rukun:CUST00001"');
    for (const dry_run of [true, false]) {
      expect((await apply([], { is_whole: true, dry_run })).strays).toEqual([]);
      expect((await apply([makeProfile()], { is_whole: true, dry_run })).strays).toEqual([]);
    }
    const prints = proxy.asked.filter(([command]) => command === '/ip/firewall/address-list/print');
    expect(prints).toEqual([]);
  });

  test('an entry is found however its address is spelled', async () => {
    await apply([entry('10.0.0.5')]);
    expect((await apply([entry('10.0.0.5/32')])).entries[0]!.outcome).toBe('unchanged');
    const many = Array.from({ length: 50 }, (_, at) => entry(`10.1.0.${at + 1}/32`));
    await apply(many);
    const again = await apply([...many, entry('10.0.0.5/32')]);
    expect(again.entries.every(({ outcome }) => outcome === 'unchanged')).toBe(true);
    expect((await apply([entry('10.0.0.5/32', { fields: null })])).entries[0]!.outcome).toBe('removed');
    expect(rowsOf('address_list')).toHaveLength(50);
  });

  test('the same address on another list, and another address on this one, are others', async () => {
    simulator.router.load(`/ip firewall address-list
add list=isolir-allow address=10.0.0.5 comment="rukun:isolir:allow"
add list=isolir address=10.0.0.6 comment="by hand"
`);
    const before = rowsOf('address_list');
    expect((await apply([entry('10.0.0.5')])).entries[0]!.outcome).toBe('added');
    expect((await apply([entry('10.0.0.5', { fields: null })])).entries[0]!.outcome).toBe('removed');
    expect(rowsOf('address_list')).toEqual(before);
  });

  test('what the router keeps for a while is not ours to change: it refuses in its own words', async () => {
    simulator.router.load('/ip firewall address-list add list=isolir address=10.0.0.5 timeout=1h comment="rukun:C-1"');
    expect((await apply([entry('10.0.0.5')])).entries[0]).toMatchObject({
      outcome: 'failed',
      error: 'failure: already have such entry',
    });
    expect((await apply([entry('10.0.0.5', { fields: null })])).entries[0]!.outcome).toBe('absent');
    expect(rowsOf('address_list')).toHaveLength(1);
  });
});

describe('queues', () => {
  const QUEUE = CASES.simple_queue.entry;
  const faster = { ...QUEUE, fields: { ...QUEUE.fields, 'max-limit': '9000000/9000000' } };

  test('those that the router makes for its sessions are not touched, whatever they are called', async () => {
    const values: [string, string][] = [
      ['name', 'CUST1'],
      ['target', '<pppoe-budi>'],
      ['comment', 'rukun:C-1'],
    ];
    const names = ['CUST1', '<pppoe-budi>', ...Array.from({ length: 50 }, (_, at) => `<pppoe-${at}>`)];
    for (const name of names)
      simulator.router.table('/queue/simple').insert({ values: [['name', name], ...values.slice(1)], dynamic: true });
    const before = rowsOf('simple_queue');
    const all = names.map(name => makeEntry('simple_queue', name, null));
    expect(new Set((await apply(all)).entries.map(({ outcome }) => outcome))).toEqual(new Set(['absent']));
    expect((await apply([], { is_whole: true, dry_run: true })).strays).toEqual([]);
    expect((await applyOne(QUEUE)).error).toBe('failure: already have such name');
    expect(rowsOf('simple_queue')).toEqual(before);
  });

  test('another limit ends no session; nor does a queue that goes', async () => {
    await apply([makeItem('budi', { desired: { profile: 'default' } }), QUEUE]);
    simulator.router.dial('budi');
    const line = makeItem('budi', { desired: { profile: 'default' } });
    expect(await apply([line, faster])).toMatchObject({ sessions_ended: 0 });
    expect(await apply([line, { ...QUEUE, fields: null }])).toMatchObject({ sessions_ended: 0 });
    // a queue of the same name as a line that must go is no reason either
    const named = { ...QUEUE, key: 'budi', ref: 'q' };
    await apply([named]);
    await apply([{ ...named, fields: null }]);
    expect(simulator.router.rows('/ppp/active')).toHaveLength(1);
  });

  test('a new one stands under its parent, and a parent that is not there is told of', async () => {
    const child = { ...QUEUE, fields: { ...QUEUE.fields, parent: 'induk' } };
    expect(await applyOne(child)).toMatchObject({ outcome: 'failed', error: expect.stringContaining('parent') });
    simulator.router.load('/queue simple add name=induk target=10.0.0.0/24');
    expect((await applyOne(child)).outcome).toBe('added');
    expect((await applyOne(QUEUE)).outcome).toBe('changed');
    expect(rowsOf('simple_queue').find(row => row.name === 'CUST1')).toMatchObject({ parent: 'none' });
  });

  test('the target is a host, a prefix or several, in any order', async () => {
    const target = (value: string) => ({ ...QUEUE, fields: { ...QUEUE.fields, target: value } });
    await applyOne(target('10.0.0.5,10.0.0.6'));
    expect(rowsOf('simple_queue')[0]).toMatchObject({ target: '10.0.0.5/32,10.0.0.6/32' });
    expect((await applyOne(target('10.0.0.6/32,10.0.0.5'))).outcome).toBe('unchanged');
    expect((await applyOne(target('10.0.0.0/29'))).outcome).toBe('changed');
  });
});

describe('a line between profiles', () => {
  const profiles = ['antre-10', 'antre-20', 'paket'].map(key =>
    makeProfile({ key, fields: { 'local-address': '10.10.0.1' } }),
  );
  const on = (profile: string, same_service: string[], disabled = false) =>
    makeItem('budi', {
      desired: { profile, disabled },
      line: { password_written: true, end_session: false, same_service },
    });
  const QUEUED = ['antre-10', 'antre-20'];

  test('that give the same service: the session stays up', async () => {
    await apply([...profiles, on('antre-10', QUEUED)]);
    simulator.router.dial('budi');
    takeWrites();
    const answer = await apply([...profiles, on('antre-20', QUEUED)]);
    expect(answer).toMatchObject({ sessions_ended: 0 });
    expect(answer.entries.at(-1)!.outcome).toBe('changed');
    expect(takeWrites()).toEqual(['/ppp/secret/set =profile=antre-20']);
    expect(simulator.router.rows('/ppp/active')).toHaveLength(1);
  });

  test.each([
    ['from a profile that gives another service', 'paket', on('antre-20', QUEUED)],
    ['to one', 'antre-10', on('paket', [])],
    ['that is disabled besides', 'antre-10', on('antre-20', QUEUED, true)],
  ])('%s: the session ends', async (_what, from, wanted) => {
    await apply([...profiles, on(from, [])]);
    simulator.router.dial('budi');
    expect(await apply([...profiles, wanted])).toMatchObject({ sessions_ended: 1 });
    expect(simulator.router.rows('/ppp/active')).toEqual([]);
  });
});

test('wherever the line is cut, nothing is doubled, lost or told wrongly, and rules stand in their order', async () => {
  const rules = ['dns', 'page', 'drop'].map(part =>
    makeEntry('filter_rule', part, { chain: 'forward', action: 'accept' }, { marker: `rukun:isolir:${part}` }),
  );
  const all = [...ENTRY_KINDS.filter(kind => kind !== 'filter_rule').map(kind => CASES[kind].entry), ...rules];
  const before = ENTRY_KINDS.map(kind => rowsOf(kind));
  simulator.router.load('/ip firewall filter add chain=forward action=accept comment=lain');
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 900 }), async bytes_to_cut => {
      await apply(all.map(entry => ({ ...entry, fields: null })));
      const router = { id: randomUUID() };
      proxy.bytes_to_cut = bytes_to_cut;
      // one that was cut while signing in fails as a whole, and is sent again
      const answer = await apply(all, { router }).catch(() => apply(all, { router }));
      proxy.bytes_to_cut = null;
      expect(new Set(answer.entries.map(({ outcome }) => outcome))).toEqual(new Set(['added']));
      expect(commentsOf('filter_rule')).toEqual([...rules.map(({ marker }) => marker), 'lain']);
      for (const [at, kind] of ENTRY_KINDS.entries())
        if (kind !== 'filter_rule') expect(rowsOf(kind)).toHaveLength(before[at]!.length + 1);
      const again = await apply(all, { router });
      expect(new Set(again.entries.map(({ outcome }) => outcome))).toEqual(new Set(['unchanged']));
    }),
    { numRuns: 15 },
  );
});

test('two of one list and address, of which the first must go, go in order', async () => {
  const key = 'isolir 10.0.0.5';
  await apply([makeEntry('address_list', key, {}, { marker: 'rukun:C-1' })]);
  const answer = await apply([
    makeEntry('address_list', key, null, { ref: 'lama', marker: 'rukun:C-1' }),
    makeEntry('address_list', `${key}/32`, {}, { ref: 'baru', marker: 'rukun:C-2' }),
  ]);
  expect(answer.entries.map(({ outcome }) => outcome)).toEqual(['removed', 'added']);
  expect(rowsOf('address_list').map(stripId)).toMatchObject([{ list: 'isolir', comment: 'rukun:C-2' }]);
});

test('an old router answers the same for all kinds', async () => {
  const old = await startSimulator({ port: 0, username: 'rukun', password: ROUTER_PASSWORD, version: '6.48' });
  try {
    const router = { id: randomUUID(), port: old.port };
    const all = ENTRY_KINDS.map(kind => CASES[kind].entry);
    expect(new Set((await apply(all, { router })).entries.map(({ outcome }) => outcome))).toEqual(new Set(['added']));
    const again = await apply(all, { router });
    expect(new Set(again.entries.map(({ outcome }) => outcome))).toEqual(new Set(['unchanged']));
    expect(again.commands_sent).toBe(ENTRY_KINDS.length);
  } finally {
    await old.stop();
  }
});
