import fc from 'fast-check';

/** What a schema of the OpenAPI document allows, at its edges: the least, the most, the longest, the oddest. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  format?: string;
  pattern?: string;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  minLength?: number;
  maxLength?: number;
  maxItems?: number;
}

/** What the document can't tell of a field by its name. */
export interface Knowledge {
  schemas: Record<string, Schema>;
  /** Null: nothing is known of a field of this name. */
  know(name: string): fc.Arbitrary<unknown> | null;
  /** Id of a row that a field of this name may point to. */
  pick(name: string, which: number): string;
  /** A row of each resource, by the first part of its path. */
  ids(): Record<string, string>;
}

/** Of text that is taken, what is hard to keep, to search, to print and to hand to a router. */
const ODD_TEXTS = [
  'a',
  'Ñandú ñ',
  '\u{1f9d1}\u200d\u{1f680} \u{1f1ee}\u{1f1e9}',
  '\u202eitnaS',
  `Z${'\u0301'.repeat(40)}`,
  'ﷺ',
  'İSTANBUL ıſ',
  '漢字仮名交じり文',
  'שָׁלוֹם',
  "Budi'; DROP TABLE customers; --",
  '"quoted" \\ back',
  '<b>&amp;</b>',
  '=HYPERLINK("x")',
  '{number} {year} ${x} %s %',
  '[find] $x ; # {',
  '__proto__',
  'constructor',
  'null',
  '\ufdd0\u{10ffff}',
  '\u00ad\u200b.',
  'rukun:CUST00001',
];

const MULTILINE = ['satu\ndua\r\ntiga\tempat', '\n.\n'];

/** As long as it may be, in letters, in signs of two units, and in marks that pile up. */
const fillers = fc.constantFrom('a', 'W', '漢', '\u{1f4a9}', 'e\u0301', ' x');

const clamp = (text: string, most: number): string =>
  text
    .slice(0, most)
    .toWellFormed()
    .replace(/\ufffd$/, 'x');

function texts({ minLength: least = 0, maxLength: most = 2_000, pattern }: Schema): fc.Arbitrary<string> {
  // all that a printable name may hold, as http/fields.ts has it, or one of its own
  const is_own = pattern !== undefined && !pattern.startsWith('^[^');
  if (is_own && !pattern.startsWith('^[\\x20'))
    return fc.stringMatching(new RegExp(pattern)).map(text => text.slice(0, most));
  const lengths = fc.constantFrom(least, least + 1, most - 1, most, Math.min(most, 50));
  const filled = fc
    .tuple(is_own ? fc.constantFrom('a', 'Z', '-', '"') : fillers, lengths)
    .map(([unit, length]) => clamp(unit.repeat(length), length));
  if (is_own) return filled;
  const odd = pattern?.includes('\\u0008\\u000b') ? [...ODD_TEXTS, ...MULTILINE] : ODD_TEXTS;
  return fc.oneof(
    fc.constantFrom(...odd).map(text => clamp(text, most)),
    filled,
  );
}

const DATES = ['0001-01-01', '1970-01-01', '1999-12-31', '2000-01-01', '2000-02-29', '2024-02-29', '2026-11-01', '2026-11-29', '2026-11-30', '2099-12-31', '9999-12-31']; // prettier-ignore
const INSTANTS = ['0000-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2026-11-29T00:00:00.000Z', '2026-11-29T23:59:59.999999999Z', '2026-11-29T00:00Z', '9999-12-31T23:59:59.999Z']; // prettier-ignore
const IPV4 = ['0.0.0.0', '10.0.0.1', '127.0.0.1', '224.0.0.1', '255.255.255.255', '169.254.1.1'];
const IPV6 = ['::', '::1', '2001:db8::1', '::ffff:10.0.0.1', 'FE80::ABCD', '1:2:3:4:5:6:7:8'];

const FORMATS: Readonly<Record<string, readonly string[]>> = {
  date: DATES,
  'date-time': INSTANTS,
  ipv4: IPV4,
  ipv6: IPV6,
  ip: [...IPV4, ...IPV6],
};

function integers({ minimum, exclusiveMinimum, maximum = Number.MAX_SAFE_INTEGER }: Schema): fc.Arbitrary<number> {
  const least = minimum ?? (exclusiveMinimum === undefined ? Number.MIN_SAFE_INTEGER : exclusiveMinimum + 1);
  const edges = [least, least + 1, maximum - 1, maximum, 0, 1, 1_000, 150_000].filter(
    each => each >= least && each <= maximum,
  );
  return fc.oneof(
    fc.constantFrom(...edges),
    fc
      .maxSafeInteger()
      .map(n => least + (Math.abs(n) % (Math.min(maximum, 10 ** 15) - least + 1)))
      .filter(n => n >= least && n <= maximum),
  );
}

const numbers = ({ minimum = -1e308, maximum = 1e308 }: Schema): fc.Arbitrary<number> =>
  fc.oneof(
    fc.constantFrom(minimum, maximum, 0, -0, 5e-324, 0.1),
    fc.double({ min: minimum, max: maximum, noNaN: true }),
  );

const resolve = (schema: Schema, { schemas }: Knowledge): Schema =>
  schema.$ref ? resolve(schemas[schema.$ref.split('/').at(-1)!]!, { schemas } as Knowledge) : schema;

function ofType(type: string, schema: Schema, name: string, knowledge: Knowledge): fc.Arbitrary<unknown> {
  if (type === 'null') return fc.constant(null);
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer') return integers(schema);
  if (type === 'number') return numbers(schema);
  if (type === 'array')
    return fc.array(fitting(schema.items ?? {}, name, knowledge), { maxLength: Math.min(schema.maxItems ?? 5, 5) });
  if (type === 'object') return objects(schema, knowledge);
  if (schema.format === 'uuid') return fc.nat(7).map(which => knowledge.pick(name, which));
  const known_format = FORMATS[schema.format ?? ''];
  return known_format ? fc.constantFrom(...known_format) : texts(schema);
}

const FREE_KEYS = ['a', 'tinggi_tiang', 'x'.repeat(40), 'constructor', 'tostring'];

function objects(schema: Schema, knowledge: Knowledge): fc.Arbitrary<Record<string, unknown>> {
  const { properties = {}, required = [], additionalProperties: free } = schema;
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, field]) => [name, fitting(field, name, knowledge)]),
  );
  const named = fc.record(fields, { requiredKeys: required });
  // few of the optional ones at once, often: each that is there can hide what another would show
  const sparse = fc.tuple(named, fc.nat(1_000_000)).map(([body, chance]) => {
    const keep = (name: string, at: number) => required.includes(name) || (chance >> (at % 19)) % 4 === 0;
    return Object.fromEntries(Object.entries(body).filter(([name], at) => keep(name, at)));
  });
  if (Object.keys(properties).length > 0) return fc.oneof(named, sparse, sparse);
  const value = typeof free === 'object' ? fitting(free, '', knowledge) : fc.constantFrom<unknown>('x', 1, true);
  return fc.dictionary(fc.constantFrom(...FREE_KEYS), value, { maxKeys: 4 });
}

/** A value that the schema takes, at an edge of what it takes. */
export function fitting(given: Schema, name: string, knowledge: Knowledge): fc.Arbitrary<unknown> {
  const schema = resolve(given, knowledge);
  const known = knowledge.know(name);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum, ...([schema.type].flat().includes('null') ? [null] : []));
  const free = schema.anyOf
    ? fc.oneof(...schema.anyOf.map(each => fitting(each, name, knowledge)))
    : fc.oneof(...[schema.type ?? 'string'].flat().map(type => ofType(type, schema, name, knowledge)));
  return known ? fc.oneof({ weight: 4, arbitrary: known }, { weight: 1, arbitrary: free }) : free;
}

/** As the document tells of a route. */
export interface Operation {
  operationId: string;
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
}

export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}
