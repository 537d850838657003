import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENTRY_KINDS, KINDS, splitListKey, type EntryKind, type EntryMenu } from '../../src/protocol/kinds.ts';
import type { DesiredEntry } from '../../src/protocol/messages.ts';
import {
  describeObserved,
  findingKey,
  findingKeyOf,
  planEntry,
  readMarker,
  rowAfter,
  withMarker,
  withoutMarker,
  type ObservedRow,
  type Step,
} from '../../src/provisioning/diff.ts';

const RUNS = { numRuns: 300 };

/** Spellings of one and the same, by meaning: written here by hand, so that no mistake of the normalisers is shared. */
type Meanings = readonly (readonly string[])[];

const FLAG: Meanings = [
  ['no', 'false'],
  ['yes', 'true'],
];
const RATES: Meanings = [
  ['0/0', '0', ''],
  ['5M/20M', '5000k/20000k', '5000000/20000000', '5m/20M'],
  ['5M/5M', '5M', '5000000'],
];
const LIMITS: Meanings = [
  ['', '0/0'],
  ['5M/20M', '5000k/20000k', '5000000/20000000', '5M/20M 0/0 0/0 0/0 8'],
  ['1M/1M 2M/2M 1M/1M 8/8 8', '1M 2M 1M 8', '1000000/1000000 2000k/2000k 1M/1M 8s/00:00:08 8 0/0'],
];
const ADDRESS: Meanings = [[''], ['10.0.0.1', '10.0.0.1/32'], ['10.0.0.2']];
const OR_DEFAULT: Meanings = [
  ['default', ''],
  ['yes', 'true'],
];
const TIME: Meanings = [
  ['', '0s', 'none'],
  ['1d', '24h', '86400', '1d00:00:00'],
  ['30m', '00:30:00', '1800s'],
];
const DNS: Meanings = [[''], ['1.1.1.1,8.8.8.8', '8.8.8.8,1.1.1.1', '8.8.8.8/32, 1.1.1.1']];
const RULE: Record<string, Meanings> = {
  chain: [['forward'], ['input']],
  action: [['accept'], ['drop']],
  protocol: [[''], ['tcp'], ['udp']],
  'src-address-list': [[''], ['isolir']],
  'dst-address-list': [[''], ['isolir-allow']],
  'dst-port': [[''], ['53'], ['80']],
  disabled: [['no', 'false', ''], FLAG[1]!],
};

/** Of each kind what is managed; of each property the spelling that comes first is one that a router takes. */
const MEANINGS: Record<EntryKind, Record<string, Meanings>> = {
  ip_pool: {
    ranges: [
      ['10.1.0.1-10.1.0.9'],
      ['10.0.0.0-10.0.0.255', '10.0.0.0/24'],
      ['10.1.0.1-10.1.0.9,10.2.0.1-10.2.0.9', '10.2.0.1-10.2.0.9,10.1.0.1-10.1.0.9'],
    ],
    'next-pool': [['none', ''], ['lain']],
  },
  ppp_profile: {
    'local-address': ADDRESS,
    'rate-limit': LIMITS,
    'address-list': [[''], ['isolir'], ['a,b', 'b,a', 'b, a']],
    'only-one': OR_DEFAULT,
    'use-compression': OR_DEFAULT,
    'dns-server': DNS,
    'session-timeout': TIME,
    'queue-type': [[''], ['pcq']],
  },
  ppp_secret: { profile: [['p10'], ['p20'], ['isolir']], disabled: FLAG, 'remote-address': ADDRESS },
  simple_queue: {
    target: [['10.0.0.5/32', '10.0.0.5'], ['10.0.0.5/32,10.0.0.6/32', '10.0.0.6,10.0.0.5'], ['10.0.0.0/24']],
    'max-limit': RATES,
    'limit-at': RATES,
    'burst-limit': RATES,
    'burst-time': [
      ['0s/0s', '', '0/0'],
      ['8s/8s', '8/8', '8', '00:00:08/8s'],
    ],
    priority: [
      ['8/8', '', '8'],
      ['1/1', '1'],
    ],
    parent: [['none', ''], ['induk']],
    queue: [
      ['default-small/default-small', '', 'default-small'],
      ['pcq/pcq', 'pcq'],
    ],
    disabled: [['no', 'false', ''], FLAG[1]!],
  },
  address_list: { disabled: [['no', 'false', ''], FLAG[1]!] },
  filter_rule: RULE,
  nat_rule: { ...RULE, 'to-addresses': [[''], ['10.9.0.1']], 'to-ports': [[''], ['8080']] },
};

/** What we never manage: the router's own, and what people set by hand. */
const FOREIGN: Record<EntryKind, ObservedRow> = {
  ip_pool: { 'x-used': '7' },
  ppp_profile: { 'on-up': 'x', bridge: 'b1' },
  ppp_secret: { 'last-logged-out': '2026-09-26 20:00:00', 'caller-id': 'AA:BB:CC:DD:EE:FF', service: 'any' },
  simple_queue: { bytes: '1/2', rate: '0bps/0bps', 'total-queue': 'default-small' },
  address_list: { 'creation-time': '2026-09-26 20:00:00' },
  filter_rule: { log: 'false', bytes: '9' },
  nat_rule: { log: 'false', bytes: '9' },
};

const KEYS: Record<EntryKind, readonly string[]> = {
  ip_pool: ['kolam', 'pool-isolir'],
  ppp_profile: ['p10', 'p20', 'isolir'],
  ppp_secret: ['budi', 'siti', 'agus dua'],
  simple_queue: ['CUST00001', 'Budi/rumah'],
  address_list: ['isolir 10.0.0.5', 'isolir 10.0.0.5/32', 'isolir 10.0.0.6', 'lain 10.0.0.5', 'isolir 10.0.0.0/24'],
  filter_rule: ['isolir:drop', 'isolir:page'],
  nat_rule: ['isolir:redirect'],
};

const isRule = (kind: EntryKind) => KINDS[kind].found_by === 'marker';
const meaningOf = (kind: EntryKind, property: string, value: string | undefined): number =>
  MEANINGS[kind][property]!.findIndex(spellings => spellings.includes(value ?? ''));

/** A router as the plans see it: rows by menu, ids of its own, keys once, and no secret on a profile that isn't there. */
class ModelRouter {
  readonly rows = Object.fromEntries(ENTRY_KINDS.map(kind => [KINDS[kind].menu, []])) as unknown as Record<
    EntryMenu,
    ObservedRow[]
  >;
  #next_id = 1;

  seed(kind: EntryKind, row: ObservedRow): void {
    const id = `*${(this.#next_id++).toString(16).toUpperCase()}`;
    const unset: ObservedRow = kind === 'ppp_secret' ? { password: '' } : {};
    this.rows[KINDS[kind].menu].push({ '.id': id, ...unset, ...read(row) });
  }

  find = (entry: DesiredEntry): ObservedRow | undefined =>
    this.rows[KINDS[entry.kind].menu].find(row => findingKeyOf(entry.kind, row) === findingKey(entry));

  apply({ change }: Step): void {
    if (!change) return;
    const { menu, verb, id, props } = change;
    const kind = ENTRY_KINDS.find(kind => KINDS[kind].menu === menu)!;
    const table = this.rows[menu];
    if (menu === '/ppp/secret' && props.profile !== undefined && !this.#hasProfile(props.profile))
      throw new Error('input does not match any value of profile');
    if (verb === 'add') {
      const key = findingKeyOf(kind, props);
      if (!isRule(kind) && table.some(row => findingKeyOf(kind, row) === key)) throw new Error('already have such');
      return this.seed(kind, props);
    }
    const at = table.findIndex(row => row['.id'] === id);
    if (at < 0) throw new Error('no such item');
    if (verb === 'remove') table.splice(at, 1);
    else table[at] = read({ ...table[at], ...props });
  }

  #hasProfile = (name: string) => this.rows['/ppp/profile'].some(row => row.name === name);
}

/** As it is written, and as it then reads back: booleans as words of the API, what is unset not at all. */
function read(props: ObservedRow): ObservedRow {
  const words: Record<string, string> = { yes: 'true', no: 'false' };
  const entries = Object.entries(props).filter(([key, value]) => value !== '' || key === 'password');
  return Object.fromEntries(entries.map(([key, value]) => [key, key === 'disabled' ? (words[value] ?? value) : value]));
}

const text = fc.constantFrom('', 'antena di atap', 'rukun', 'x rukun: y', 'blok C/7  dua spasi');
const marker = fc.constantFrom('rukun:CUST00001', 'rukun:CUST00002', 'rukun:plan:0193a2b4', 'rukun:isolir:drop');
const comment = fc
  .tuple(text, fc.option(marker, { nil: '' }))
  .map(([words, mark]) => [words, mark].filter(Boolean).join(' '));

/** Some of the properties of a kind, in any spelling. */
const someFields = (kind: EntryKind, needed: readonly string[] = []): fc.Arbitrary<ObservedRow> => {
  const spelled = Object.entries(MEANINGS[kind]).map(([property, meanings]) => [
    property,
    fc.constantFrom(...meanings.flat()),
  ]);
  return fc.record(Object.fromEntries(spelled), { requiredKeys: [...needed] }) as fc.Arbitrary<ObservedRow>;
};

/** Desired ones are as we write them: first spellings. */
const wantedFields = (kind: EntryKind): fc.Arbitrary<ObservedRow> =>
  kind === 'ppp_secret'
    ? someFields(kind, ['profile', 'disabled']).map(firstSpellings(kind))
    : someFields(kind).map(firstSpellings(kind));
const firstSpellings = (kind: EntryKind) => (fields: ObservedRow) =>
  Object.fromEntries(
    Object.entries(fields).map(([property, value]) => [
      property,
      MEANINGS[kind][property]![meaningOf(kind, property, value)]![0]!,
    ]),
  );

const namesOf = (kind: EntryKind, key: string): ObservedRow => {
  if (KINDS[kind].found_by === 'name') return { name: key };
  return isRule(kind) ? {} : splitListKey(key);
};

/** A row of that kind as a router may hold it; its name or list and address come from the key. */
const rowOf = (kind: EntryKind, key: string): fc.Arbitrary<ObservedRow> =>
  fc
    .record({
      own: fc.constant(namesOf(kind, key)),
      fields: someFields(kind, kind === 'ppp_secret' ? ['profile', 'disabled'] : []),
      comment,
      foreign: fc.subarray(Object.entries(FOREIGN[kind])),
      password:
        kind === 'ppp_secret' ? fc.option(fc.constantFrom('a', 'b'), { nil: undefined }) : fc.constant(undefined),
    })
    .map(({ own, fields, comment, foreign, password }) => ({
      ...own,
      ...fields,
      ...Object.fromEntries(foreign),
      ...(password !== undefined && { password }),
      comment,
    }));

const entryOf = (kind: EntryKind, key: string): fc.Arbitrary<DesiredEntry> =>
  fc
    .record({
      ref: fc.uuid(),
      generation: fc.nat(),
      was_ours: fc.boolean(),
      marker: isRule(kind)
        ? fc.constant(`rukun:${key}`)
        : fc.constantFrom('rukun:CUST00001', 'rukun:CUST00002', 'rukun:plan:0193a2b4'),
      adopt: fc.boolean(),
      fields: fc.option(wantedFields(kind), { nil: null, freq: 4 }),
      password_written: fc.boolean(),
    })
    .map(({ password_written, ...entry }) => ({
      ...entry,
      kind,
      key,
      release: false,
      leans_on: null,
      line: kind === 'ppp_secret' ? { password_written, end_session: false, same_service: [] } : null,
    }));

interface Case {
  wanted: DesiredEntry;
  /** What the router holds under that key; of a rule it is found only when it has the marker. */
  row: ObservedRow | undefined;
  others: ObservedRow[];
}

const caseOf = (kind: EntryKind): fc.Arbitrary<Case> =>
  fc.constantFrom(...KEYS[kind]).chain(key =>
    fc.record({
      wanted: entryOf(kind, key),
      row: fc.option(rowOf(kind, key), { nil: undefined }),
      // somebody else's, marked for somebody else or not at all
      others: fc
        .uniqueArray(fc.constantFrom('lain-1 10.7.0.1', 'lain-2 10.7.0.2'), { maxLength: 2 })
        .chain(names =>
          fc.tuple(...names.map(name => rowOf(kind, name).map(row => ({ ...row, comment: `${name} rukun:LAIN` })))),
        ),
    }),
  );

const anyKind = fc.constantFrom(...ENTRY_KINDS);
const password = fc.option(fc.constantFrom('a', 'b'), { nil: null });
/** Of anything but a secret none is ever known. */
const passwordOf = (kind: EntryKind) => (kind === 'ppp_secret' ? password : fc.constant(null));
const hides = fc.boolean();

/** What the plan is given: without passwords where the router hides them. */
function show(row: ObservedRow | undefined, is_hidden: boolean): ObservedRow | undefined {
  if (!row || !is_hidden) return row;
  const { password: _password, ...rest } = row;
  return rest;
}

function makeRouter({ wanted, row, others }: Case): ModelRouter {
  const router = new ModelRouter();
  if (wanted.kind !== 'ppp_profile') for (const name of KEYS.ppp_profile) router.seed('ppp_profile', { name });
  for (const other of others) router.seed(wanted.kind, other);
  if (row) router.seed(wanted.kind, row);
  return router;
}

describe.each(ENTRY_KINDS)('planEntry of a %s', kind => {
  it('P29a gives the desired state, and nothing more the second time; what is not managed stays', () => {
    fc.assert(
      fc.property(caseOf(kind), passwordOf(kind), hides, (given, pass, is_hidden) => {
        const { wanted } = given;
        const router = makeRouter(given);
        const before = router.find(wanted);
        const all_before = structuredClone(router.rows);
        const step = planEntry(wanted, show(before, is_hidden), pass);
        router.apply(step);
        const after = router.find(wanted);
        // nothing but this one row was touched
        for (const [menu, rows] of Object.entries(all_before)) {
          const untouched = rows.filter(row => row['.id'] !== before?.['.id']);
          const now = router.rows[menu as EntryMenu].filter(row => row['.id'] !== after?.['.id']);
          expect(now).toEqual(untouched);
        }
        if (step.outcome === 'conflict' || step.outcome === 'failed') {
          expect(after).toEqual(before);
          return;
        }
        if (!wanted.fields) {
          if (before && (wanted.adopt || readMarker(before.comment))) expect(after).toBeUndefined();
          else expect(after).toEqual(before);
          return;
        }
        expect(readMarker(after!.comment)).toBe(wanted.marker);
        for (const [property, value] of Object.entries(wanted.fields))
          expect([property, meaningOf(kind, property, after![property])]).toEqual([
            property,
            meaningOf(kind, property, value),
          ]);
        const managed = new Set([...Object.keys(wanted.fields), 'comment', 'password', '.id']);
        const names = Object.keys({ ...before, ...after }).filter(property => before && !managed.has(property));
        for (const property of names) expect([property, after![property]]).toEqual([property, before![property]]);
        if (kind === 'ppp_secret') {
          const is_known = !is_hidden || !wanted.line!.password_written;
          if (pass !== null && is_known) expect(after!.password).toBe(pass);
          if (pass === null) expect(after!.password).toBe(before?.password);
        } else expect(after).not.toHaveProperty('password');
        const line = wanted.line && { ...wanted.line, password_written: true };
        const again = planEntry({ ...wanted, line }, show(after, is_hidden), pass);
        expect(again).toMatchObject({ outcome: 'unchanged', change: null, differences: [], end_session: null });
      }),
      RUNS,
    );
  });

  it('writes what differs and nothing else, whatever the spelling, and tells just that', () => {
    fc.assert(
      fc.property(caseOf(kind), hides, (given, is_hidden) => {
        const wanted = { ...given.wanted, adopt: true };
        const found = makeRouter(given).find(wanted);
        if (!wanted.fields || !found) return;
        const step = planEntry(wanted, show(found, is_hidden), null);
        const differing = Object.keys(wanted.fields).filter(
          property =>
            meaningOf(kind, property, found[property]) !== meaningOf(kind, property, wanted.fields![property]),
        );
        const is_marked = readMarker(found.comment) === wanted.marker;
        const { comment: written, ...props } = step.change?.props ?? {};
        expect(new Set(Object.keys(props))).toEqual(new Set(differing));
        for (const property of differing) expect(props[property]).toBe(wanted.fields[property]);
        if (is_marked) expect(written).toBeUndefined();
        else expect(written).toBe(withMarker(found.comment, wanted.marker));
        expect(step.outcome).toBe(differing.length === 0 && is_marked ? 'unchanged' : 'changed');
        expect(step.differences).toEqual(
          differing.map(property => ({
            property,
            desired: wanted.fields![property] || null,
            observed: found[property] || null,
          })),
        );
        if (step.change) expect(step.change).toMatchObject({ verb: 'set', id: found['.id'], menu: KINDS[kind].menu });
      }),
      RUNS,
    );
  });

  it('P29a never touches what is not marked, unless it was given to us', () => {
    fc.assert(
      fc.property(caseOf(kind), passwordOf(kind), text, (given, pass, words) => {
        if (!given.row) return;
        const unmarked = { ...given.row, comment: words };
        const wanted = { ...given.wanted, adopt: false };
        const router = makeRouter({ ...given, row: unmarked });
        const before = structuredClone(router.rows[KINDS[kind].menu]);
        const step = planEntry(wanted, router.find(wanted), pass);
        router.apply(step);
        const now = router.rows[KINDS[kind].menu];
        if (isRule(kind)) {
          // nobody's rule is taken for ours: one of ours is made beside it
          expect(now.slice(0, before.length)).toEqual(before);
          expect(step.outcome).toBe(wanted.fields ? 'added' : 'absent');
          return;
        }
        expect(step).toMatchObject({ change: null, end_session: null });
        expect(now).toEqual(before);
        // what must go and was ours may have lost its mark: nobody may be told that it is gone
        const is_told = wanted.fields !== null || wanted.was_ours;
        expect(step.outcome).toBe(is_told ? 'conflict' : 'absent');
        if (is_told) expect(step.error).toContain(wanted.key);
      }),
      RUNS,
    );
  });

  // a rule of ours is found by its marker: there is none to adopt
  if (!isRule(kind))
    it('P29a changes only the marker of an adopted row that is right already', () => {
      fc.assert(
        fc.property(caseOf(kind), passwordOf(kind), hides, text, (given, pass, is_hidden, words) => {
          if (!given.row) return;
          const fields = Object.fromEntries(
            Object.keys(MEANINGS[kind]).flatMap(property => {
              const value = given.row![property];
              return value === undefined ? [] : [[property, firstSpellings(kind)({ [property]: value })[property]!]];
            }),
          );
          const wanted: DesiredEntry = {
            ...given.wanted,
            adopt: true,
            fields,
            line: given.wanted.line && { ...given.wanted.line, password_written: true },
          };
          const observed: ObservedRow = { '.id': '*9', ...read({ ...given.row, comment: words }) };
          if (kind === 'ppp_secret') observed.password = pass ?? 'unknown';
          const step = planEntry(wanted, show(observed, is_hidden), pass);
          const props = { comment: withMarker(words, wanted.marker) };
          expect(step.change).toEqual({ menu: KINDS[kind].menu, verb: 'set', id: '*9', props });
          // our mark is no difference to anybody, and nobody is thrown off the line for it
          expect(step).toMatchObject({ outcome: 'changed', differences: [], end_session: null });
        }),
        RUNS,
      );
    });

  it('giving back takes our own mark away and nothing else: adopted and given back, a row is as it was', () => {
    fc.assert(
      fc.property(caseOf(kind), given => {
        if (!given.row) return;
        const released = { ...given.wanted, fields: null, release: true };
        const before: ObservedRow = { '.id': '*9', ...read(given.row) };
        const step = planEntry(released, before, null);
        const is_ours = readMarker(before.comment) === released.marker;
        expect(step).toMatchObject({ outcome: is_ours ? 'changed' : 'absent', end_session: null, differences: [] });
        const after = rowAfter(before, step.change)!;
        expect({ ...after, comment: '' }).toEqual({ ...before, comment: '' });
        expect(readMarker(after.comment)).toBe(is_ours ? null : readMarker(before.comment));
        expect(planEntry(released, after, null).change).toBeNull();
        expect(planEntry(released, undefined, null)).toMatchObject({ change: null, outcome: 'absent' });
        if (readMarker(before.comment) !== null) return;
        const marked = { ...before, comment: withMarker(before.comment, released.marker) };
        const back = planEntry(released, marked, null).change!;
        expect(back.props).toEqual({ comment: (before.comment ?? '').trim() });
      }),
      RUNS,
    );
  });

  it('a new one has its key, its marker and what is wanted of it, and no empty value', () => {
    fc.assert(
      fc.property(caseOf(kind), ({ wanted }) => {
        const { change, ...rest } = planEntry(wanted, undefined, 'a');
        if (!wanted.fields) return void expect([change, rest.outcome]).toEqual([null, 'absent']);
        expect(rest).toEqual({ outcome: 'added', error: null, differences: [], end_session: null });
        expect(change).toMatchObject({ menu: KINDS[kind].menu, verb: 'add', id: null });
        const said = Object.fromEntries(Object.entries(wanted.fields).filter(([, value]) => value !== ''));
        const secret = kind === 'ppp_secret' ? { service: 'pppoe', password: 'a' } : {};
        expect(change!.props).toEqual({ ...namesOf(kind, wanted.key), ...said, ...secret, comment: wanted.marker });
      }),
      RUNS,
    );
  });

  if (kind !== 'ppp_secret')
    it('ends a session for nothing that is not a line', () => {
      fc.assert(
        fc.property(caseOf(kind), ({ wanted, row }) => {
          const observed = row && { '.id': '*9', ...row };
          expect(planEntry(wanted, observed, null).end_session).toBeNull();
          expect(planEntry({ ...wanted, fields: null, adopt: true }, observed, null).end_session).toBeNull();
        }),
        RUNS,
      );
    });
});

const secretCase = caseOf('ppp_secret').map(({ wanted, row }) => ({
  wanted: { ...wanted, adopt: true },
  row: row && ({ '.id': '*9', ...read(row) } as ObservedRow),
}));

const LINE = { password_written: false, end_session: false, same_service: [] };
const makeSecret = (changes: Partial<DesiredEntry> = {}): DesiredEntry => ({
  ref: 'r',
  generation: 1,
  was_ours: false,
  kind: 'ppp_secret',
  key: 'budi',
  marker: 'rukun:CUST00001',
  adopt: false,
  fields: { profile: 'p10', disabled: 'no' },
  release: false,
  leans_on: null,
  line: LINE,
  ...changes,
});
const SECRET_ROW = { '.id': '*9', name: 'budi', profile: 'p10', disabled: 'false', comment: 'rukun:CUST00001' };

describe('the secret of a line', () => {
  it('writes a password only where it is another one, or never was written', () => {
    fc.assert(
      fc.property(secretCase, fc.constantFrom('a', 'b'), hides, ({ wanted, row }, pass, is_hidden) => {
        if (!wanted.fields || !row) return;
        const observed = { password: 'a', ...row };
        const step = planEntry(wanted, show(observed, is_hidden), pass);
        const is_written = step.change?.props.password !== undefined;
        expect(is_written).toBe(is_hidden ? !wanted.line!.password_written : observed.password !== pass);
        if (!is_written) return;
        expect(step.end_session).toBe(wanted.key);
        expect(step.differences).toContainEqual({ property: 'password', desired: null, observed: null });
      }),
      RUNS,
    );
  });

  it('P27 ends the session with every change that reaches the subscriber, and with no other', () => {
    fc.assert(
      fc.property(secretCase, password, ({ wanted, row }, pass) => {
        const step = planEntry(wanted, row, pass);
        const props = Object.keys(step.change?.props ?? {}).filter(key => key !== 'comment');
        // where the secret is gone already, who removed it may have left its session up
        const is_gone = !row && !wanted.fields && !wanted.release;
        const reaches = is_gone || (row && (step.change?.verb === 'remove' || props.length > 0));
        expect(step.end_session).toBe(reaches ? wanted.key : null);
      }),
      RUNS,
    );
  });

  it('P26 keeps the session between profiles that serve the same, and only where nothing else changes', () => {
    fc.assert(
      fc.property(
        secretCase,
        password,
        fc.uniqueArray(fc.constantFrom<string>('p10', 'p20', 'isolir')),
        ({ wanted, row }, pass, same_service) => {
          if (!wanted.fields || !row) return;
          const step = planEntry({ ...wanted, line: { ...wanted.line!, same_service } }, row, pass);
          const reached = Object.keys(step.change?.props ?? {}).filter(
            key => key !== 'comment' && !(key === 'profile' && same_service.includes(row.profile!)),
          );
          expect(step.end_session).toBe(reached.length > 0 ? wanted.key : null);
        },
      ),
      RUNS,
    );
    const line = { ...LINE, same_service: ['p20'] };
    const on = (profile: string) => ({ ...SECRET_ROW, profile });
    expect(planEntry(makeSecret({ line }), on('p20'), null)).toMatchObject({ outcome: 'changed', end_session: null });
    expect(planEntry(makeSecret({ line }), on('isolir'), null).end_session).toBe('budi');
    const suspended = makeSecret({ line, fields: { profile: 'p10', disabled: 'yes' } });
    expect(planEntry(suspended, on('p20'), null).end_session).toBe('budi');
  });

  it('P27 ends a session that was not confirmed gone, also when all is as it must be', () => {
    const wanted = makeSecret({ line: { ...LINE, end_session: true } });
    expect(planEntry(wanted, SECRET_ROW, null)).toMatchObject({ change: null, end_session: 'budi' });
    const unmarked = { ...SECRET_ROW, comment: 'milik orang lain' };
    expect(planEntry(wanted, unmarked, null)).toMatchObject({ outcome: 'conflict', end_session: null });
  });

  it('is not made when nobody knows its password', () => {
    fc.assert(
      fc.property(secretCase, ({ wanted }) => {
        const step = planEntry(wanted, undefined, null);
        expect(step.change).toBeNull();
        expect(step.outcome).toBe(wanted.fields ? 'failed' : 'absent');
      }),
      RUNS,
    );
  });

  it('leans on its profile, which comes first', () => {
    const router = new ModelRouter();
    const profile = makeSecret({
      kind: 'ppp_profile',
      key: 'p99',
      marker: 'rukun:plan:0193a2b4',
      fields: {},
      line: null,
    });
    const wanted = makeSecret({ fields: { profile: 'p99', disabled: 'no' } });
    expect(() => router.apply(planEntry(wanted, undefined, 'a'))).toThrow('does not match');
    router.apply(planEntry(profile, undefined, null));
    router.apply(planEntry(wanted, undefined, 'a'));
    expect(router.find(wanted)).toMatchObject({ profile: 'p99', service: 'pppoe' });
    const order = (kind: EntryKind) => ENTRY_KINDS.indexOf(kind);
    expect(order('ip_pool')).toBeLessThan(order('ppp_profile'));
    expect(order('ppp_profile')).toBeLessThan(order('ppp_secret'));
  });

  it('shows a password to nobody', () => {
    fc.assert(
      fc.property(secretCase, fc.constantFrom('sandi-rahasia'), ({ wanted, row }, pass) => {
        const step = planEntry(wanted, row, pass);
        const shown = describeObserved(wanted, rowAfter(row, step.change));
        expect(JSON.stringify([step.differences, step.error, shown])).not.toContain(pass);
        expect(shown ?? {}).not.toHaveProperty('password');
      }),
      RUNS,
    );
  });
});

describe('what an entry is found by', () => {
  const entry = (kind: EntryKind, key: string, mark = 'rukun:X') => ({ kind, key, marker: mark });

  it('an entry of an address list, however its address is spelled', () => {
    const row = (list: string, address: string) => findingKeyOf('address_list', { list, address, comment: 'rukun:X' });
    for (const ours of ['10.0.0.5', '10.0.0.5/32'])
      for (const theirs of ['10.0.0.5', '10.0.0.5/32'])
        expect(row('isolir', theirs)).toBe(findingKey(entry('address_list', `isolir ${ours}`)));
    const key = findingKey(entry('address_list', 'isolir 10.0.0.5'));
    for (const [list, address] of [
      ['isolir2', '10.0.0.5'],
      ['isolir', '10.0.0.50'],
      ['isolir', '10.0.0.0/24'],
      ['isolir-allow', '10.0.0.5'],
    ] as const)
      expect(row(list, address)).not.toBe(key);
  });

  it('a rule by its marker alone, whatever it says and whatever stands before the marker', () => {
    for (const kind of ['filter_rule', 'nat_rule'] as const) {
      const key = findingKey(entry(kind, 'isolir:drop', 'rukun:isolir:drop'));
      expect(findingKeyOf(kind, { comment: 'jangan dihapus rukun:isolir:drop', chain: 'input' })).toBe(key);
      expect(findingKeyOf(kind, { comment: 'isolir:drop', name: 'isolir:drop' })).toBeNull();
      expect(findingKeyOf(kind, { chain: 'forward', action: 'drop' })).toBeNull();
      expect(findingKeyOf(kind, { comment: 'rukun:isolir:drop lama' })).toBeNull();
    }
  });

  it('anything else by its name, whoever has marked it', () => {
    fc.assert(
      fc.property(
        anyKind.filter(kind => KINDS[kind].found_by === 'name'),
        fc.string(),
        comment,
        (kind, name, words) => {
          expect(findingKeyOf(kind, { name, comment: words })).toBe(findingKey(entry(kind, name)));
        },
      ),
      RUNS,
    );
  });
});

describe('markers', () => {
  it('end the comment, and keep what stands before them', () => {
    fc.assert(
      fc.property(comment, marker, (before, mark) => {
        const after = withMarker(before, mark);
        expect(readMarker(after)).toBe(mark);
        const old = readMarker(before);
        const by_hand = (old ? before.slice(0, -old.length) : before).trim();
        expect(after).toBe(by_hand === '' ? mark : `${by_hand} ${mark}`);
        expect(withMarker(after, mark)).toBe(after);
        expect(withoutMarker(after, mark)).toBe(by_hand);
        expect(withoutMarker(after, `${mark}x`)).toBeNull();
      }),
      RUNS,
    );
  });

  it.each([undefined, '', 'rukun', 'rukun:', 'my-rukun:X', 'rukun:X and more', 'xrukun:Y'])('are not in %j', text => {
    expect(readMarker(text)).toBeNull();
  });
});
