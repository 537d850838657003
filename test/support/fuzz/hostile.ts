import fc from 'fast-check';

/** What no honest client sends: texts, JSON, queries, headers and bodies that have broken programs before. */

const PROTOTYPE_NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', 'toJSON'];

const TEXTS = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\u0008\u001b[31m',
  '\u200e\u202egnp.exe',
  '\u2028\u2029',
  '\ufeff',
  '\ufffe\uffff',
  '\ud800',
  'a\udc00b',
  '\u{1f9d1}\u200d\u{1f680}\u{10ffff}',
  `Z${'\u0351\u0489\u0336'.repeat(300)}`,
  'ﷺ'.repeat(200),
  'İıſKÅ',
  "' OR 1=1; DROP TABLE users; --",
  '"; SELECT * FROM sqlite_master; --',
  "%' ESCAPE '%",
  '{{7*7}}${7*7}#{7*7}<%= 7*7 %>',
  '<script>alert(1)</script><!--',
  '=1+1|cmd',
  '../../../etc/passwd',
  '%00',
  '%ff',
  '%',
  '%n%s%x',
  '\\',
  '"',
  '[]',
  'null',
  'undefined',
  'NaN',
  '-0',
  '1e400',
  '9007199254740993',
  '0x10',
  '٣',
  '0000-00-00',
  '0000-01-01',
  '275760-09-13',
  '+275760-09-13T00:00:00.001Z',
  '-271821-04-20',
  '9999-12-31T23:59:59.999Z',
  '2026-02-30',
  '2026-11-29T24:00:00Z',
  '2026-11-29T23:59:60Z',
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '0.0.0.0/0',
  '::ffff:10.0.0.1',
  'xn--a',
  'javascript:alert(1)',
  ...PROTOTYPE_NAMES,
];

const utf16 = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
  .map(units => String.fromCharCode(...units));

const lengths = fc.constantFrom(31, 101, 255, 256, 1_000, 10_000, 100_000);

export const hostileTexts: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
  { weight: 1, arbitrary: utf16 },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('a', '\u0301', '\u{1f4a9}', '<', "'", ' '), lengths)
      .map(([unit, length]) => unit.repeat(length)),
  },
);

const nest = (open: string, inner: string, close: string, levels: number) =>
  `${open.repeat(levels)}${inner}${close.repeat(levels)}`;

const depths = fc.constantFrom(50, 1_000, 5_000, 50_000);

const deepJson: fc.Arbitrary<string> = fc.oneof(
  depths.map(levels => nest('[', '', ']', levels)),
  depths.map(levels => nest('{"a":', 'null', '}', levels)),
  depths.map(levels => nest('[{"a":', '1', '}]', levels)),
);

const NUMBERS = `0 -0 1 -1 0.1 1e400 -1e400 1e308 5e-324 1e-400 1E+2 9007199254740991 9007199254740993 -9007199254740993
  9223372036854775807 9223372036854775808 18446744073709551616 123456789012345678901234567890 2147483648 1e21 0.30000000000000004
  8640000000000001 1e15 1000000000001`.split(/\s+/);

const STRUCTURES = [
  'null',
  'true',
  'false',
  '[]',
  '{}',
  '[null]',
  '[[],{}]',
  '{"":""}',
  '{"a":1,"a":{"a":2}}',
  '{"__proto__":{"is_admin":true},"constructor":{"prototype":{"x":1}}}',
  '{"toString":null,"length":-1,"then":1,"toJSON":null}',
  '{"$gt":""}',
  '{"0":1,"length":1e9}',
  `[${'0,'.repeat(20_000)}0]`,
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
];

/** One value, as text: much of it is what JSON.stringify would never write. */
export const hostileJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NUMBERS) },
  { weight: 3, arbitrary: fc.constantFrom(...STRUCTURES) },
  { weight: 4, arbitrary: hostileTexts.map(text => JSON.stringify(text)) },
  { weight: 1, arbitrary: deepJson },
  { weight: 1, arbitrary: fc.jsonValue({ stringUnit: 'binary' }).map(value => JSON.stringify(value)) },
  {
    weight: 1,
    arbitrary: fc
      .dictionary(fc.constantFrom('a', ...PROTOTYPE_NAMES), hostileTexts)
      .map(value => JSON.stringify(value)),
  },
);

/** Members that a body has no place for, and names that every object answers to. */
export const hostileKeys: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('', 'no_such', 'id', 'tenant_id', 'password_hash', 'updated_at', ...PROTOTYPE_NAMES),
  hostileTexts,
);

const NO_JSON = ['', ' ', '{', '{"a":1', '{"a":1}}', "{'a':1}", '{"a":01}', '{"a":"\n"}', '{a:1}', '[1,]', 'undefined', 'NaN', '\u0000', '\ufeff{}', '/*x*/{}', '{}{}', '"', '-', '1e', '"\\u12"', '"\\x"']; // prettier-ignore

const bytes = (...list: number[]) => new Uint8Array(list);
const NO_TEXT = [bytes(0xff, 0xfe, 0x7b, 0, 0x7d, 0), bytes(0xef, 0xbb, 0xbf, 0x7b, 0x7d), bytes(0x7b, 0xff, 0x7d), bytes(0x22, 0xed, 0xa0, 0x80, 0x22), bytes(0xc0, 0x80), bytes(0x1f, 0x8b, 8, 0)]; // prettier-ignore

/** A whole body that is no JSON, or JSON of nothing that fits. */
export const hostileBodies: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom<string | Uint8Array>(...NO_JSON, ...NO_TEXT) },
  { weight: 2, arbitrary: hostileJson },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
);

const BROKEN_ESCAPES = ['%', '%0', '%zz', '%00', '%ff', '%C0%AF', '%E0%A4%A', '%ED%A0%80', '%2F', '%2e%2e%2f', '%252e', '%u0041', '%0d%0aX:1', '%F4%90%80%80']; // prettier-ignore

const encode = (text: string) => encodeURIComponent(text.toWellFormed());

/** Part of a path: never one that names another path, as `..` does. */
export const hostileSegments: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...BROKEN_ESCAPES),
  fc.constantFrom('1', '-1', '0'.repeat(36), ';', ':', '@', '*', '~', 'x'.repeat(5_000), ...PROTOTYPE_NAMES),
  hostileTexts.map(text => encode(text.slice(0, 3_000))).filter(text => !/^(\.|%2e){0,2}$/i.test(text)),
);

export const hostileQueryValues: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...BROKEN_ESCAPES, '', '+', '-', '1e9', '-1', '0', '1.5', '+1', ' 1', '1%00', '0x10', '9'.repeat(400), 'a,b', ',', ',,', '-id', 'id;', 'true,false', 'TRUE', '[]', '{}'), // prettier-ignore
  hostileTexts.map(text => encode(text.slice(0, 3_000))),
);

export const hostileQueryKeys: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('no_such', 'page[]', 'page[$gt]', 'custom_fields.', 'custom_fields.a"b', 'custom_fields.__proto__', 'custom_fields.a', 'PAGE', '', ...BROKEN_ESCAPES, ...PROTOTYPE_NAMES), // prettier-ignore
  hostileTexts.map(text => encode(text.slice(0, 300))),
);

/** What a header carries without the runtime’s complaint: ASCII without line breaks. */
const toHeader = (text: string) =>
  text
    .slice(0, 3_000)
    .replace(/[^\t\x20-\x7e]/g, '')
    .trim();

const HEADERS: Readonly<Record<string, readonly string[]>> = {
  'if-match': ['*', '"', '"0.0000000000000000"', '"zzzzzzzzzz.0000000000000000"', 'W/"x"', '"a", "b"', '""'],
  'if-none-match': ['*', '"', ',,,', 'W/', '"a", "b"', `${'"x",'.repeat(500)}`],
  'idempotency-key': ['', 'a b', 'x'.repeat(200), 'x'.repeat(201), '__proto__', "' --"],
  'x-d1-bookmark': ['first-primary', 'first-unconstrained', '0-0-0-0', 'x'.repeat(200), 'ffffffff-ffffffff-ffffffff-ffffffff', '__proto__', '-'], // prettier-ignore
  'x-request-id': ['short', 'x'.repeat(64), 'x'.repeat(65), '<script>', '../../..', '__proto__'],
  'x-tenant-id': ['', 'no-such-provider', '00000000-0000-0000-0000-000000000000', '__proto__', 'www', 'a,b', '*'],
  'cf-connecting-ip': ['', '::', '::1', '::ffff:10.0.0.1', '10.0.0.1, 10.0.0.2', '1:2:3:4:5:6:7:8:9', ':::::', 'zz::zz', '%'], // prettier-ignore
  accept: ['*/*', 'application/pdf', 'application/json', 'text/html;q=x', ',', '/'],
  'accept-language': ['*', 'id-ID,en;q=0.1', 'zz-', ';;'],
  'content-length': ['0', '-1', 'abc', '1e9', '99999999999999999999', '16777217'],
  'content-encoding': ['gzip', 'br', 'identity', 'x'],
  'transfer-encoding': ['chunked', 'gzip', 'x'],
  range: ['bytes=0-', 'bytes=5-1', 'bytes=-1', 'bytes=0-0,1-1', 'x'],
  host: ['', 'rukun.test.', 'a.b.rukun.test', '..'],
  origin: ['null', 'https://x.example', '*'],
  cookie: ['a=b; a=c', ';;=', '__proto__=1'],
  upgrade: ['h2c', ''],
  'sec-websocket-protocol': ['rukun.v1', 'bearer.', 'rukun.v1, bearer.a.b.c', ',,,', ' '],
  'x-forwarded-for': ['127.0.0.1', ',', '__proto__'],
  'x-http-method-override': ['DELETE', 'x'],
};

export type Headers = Record<string, string>;

const headerNames = fc.constantFrom(...Object.keys(HEADERS));

/** One or two headers that are odd. */
export const hostileHeaders: fc.Arbitrary<Headers> = fc
  .array(
    headerNames.chain(name =>
      fc.tuple(fc.constant(name), fc.oneof(fc.constantFrom(...HEADERS[name]!), hostileTexts.map(toHeader))),
    ),
    { minLength: 1, maxLength: 2 },
  )
  .map(entries => Object.fromEntries(entries));

const BAD_TOKENS = ['Bearer', 'Bearer ', 'Bearer a.b.c', 'bearer x', 'Basic YTpi', 'Bearer eyJhbGciOiJub25lIn0.e30.', `Bearer ${'x'.repeat(5_000)}`, 'Bearer __proto__', 'Bearer ..', 'Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6Il9fcHJvdG9fXyJ9.e30.AA', 'Bearer bnVsbA.bnVsbA.bnVsbA', 'Bearer W10.W10.AA']; // prettier-ignore

export const hostileAuthorizations: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...BAD_TOKENS),
  hostileTexts.map(text => toHeader(`Bearer ${text}`)),
);

export const hostileTypes: fc.Arbitrary<string | null> = fc.oneof(
  fc.constantFrom(null, '', 'application/json; charset=utf-16', 'application/json;charset=', 'application/json; charset="', 'APPLICATION/JSON', 'application/json;;;', 'application/jsonx', 'application/json, text/plain', 'text/plain; charset=no-such', 'text/html', 'multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary="', 'application/x-www-form-urlencoded; charset=utf-16', '/', ';'), // prettier-ignore
  hostileTexts.map(toHeader),
);

const RSC = ['/ppp secret', '/ppp profile', '/ip pool', '/queue simple', 'add', 'add name=budi password=rahasia profile=default service=pppoe', 'set [ find default=yes ] name=x', 'add name="', 'add name=a\\', '\\', '"', '$x', '[', ']', '{', '};', '# comment', ':global x [/system reboot]', 'add name=\\00\\FF\\zz', 'add ranges=10.0.0.1-10.0.0.0 name=p', 'add ranges=0.0.0.0/0 name=p next-pool=p', 'add rate-limit=1e400M/1M name=q', 'add name=__proto__ profile=constructor', 'add =x', 'add name==', 'add comment=rukun:CUST00001 name=c', 'name,password,profile', 'a,"b,c', '\t', '/', '//', '/ppp/secret/add name=v7', 'add disabled=maybe name=d', '\u0000', '\u0085']; // prettier-ignore

/** Exports of routers that break off, or never were ones. */
export const brokenExports: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...RSC) }, { weight: 1, arbitrary: hostileTexts }), {
      maxLength: 12,
    }),
    fc.constantFrom('\n', '\r\n', '\r', ' ', '', ' \\\n'),
  )
  .map(([lines, between]) => lines.join(between));

export const brokenForms = (names: readonly string[]): fc.Arbitrary<string> =>
  fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...names), hostileQueryKeys), hostileQueryValues), { maxLength: 6 })
    .map(pairs => pairs.map(pair => pair.join('=')).join('&'));

const HEADS = [
  '\x89PNG\r\n\x1a\n\0\0\0\0',
  '\xff\xd8\xff\xe0',
  'RIFF\x04\0\0\0WEBPVP8 ',
  'GIF89a',
  '<svg onload=alert(1)>',
  '',
  '\0',
];

/** A form with files as it travels; boundaries that are missing, wrong or inside a file. Latin-1: a character is a byte. */
export const brokenMultiparts = (names: readonly string[]): fc.Arbitrary<{ type: string; body: Uint8Array }> => {
  const quoted = hostileTexts.map(text => toHeader(text).slice(0, 200));
  const part = fc.record({
    name: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: quoted }),
    filename: fc.option(fc.oneof(fc.constantFrom('a.png', '', '../x', 'a"b', 'a.php\x00.png'), quoted)),
    type: fc.constantFrom('image/png', 'image/jpeg', 'text/html', '', 'x'),
    content: fc.tuple(fc.constantFrom(...HEADS), fc.nat(2_000)).map(([head, length]) => head + 'x'.repeat(length)),
  });
  const dressed = part.map(
    ({ name, filename, type, content }) =>
      `--b\r\nContent-Disposition: form-data; name="${name}"${filename === null ? '' : `; filename="${filename}"`}\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`,
  );
  const spoil = fc.constantFrom(
    { type: 'multipart/form-data; boundary=b', end: '--b--\r\n' },
    { type: 'multipart/form-data; boundary=b', end: '--b--\r\n' },
    { type: 'multipart/form-data; boundary="b"', end: '--b--' },
    { type: 'multipart/form-data; boundary=b', end: '' },
    { type: 'multipart/form-data; boundary=c', end: '--b--\r\n' },
    { type: 'multipart/form-data; boundary=', end: '--b--\r\n' },
    { type: 'multipart/form-data; charset=x', end: '--b--\r\n' },
    { type: 'multipart/form-data; boundary=b', end: '--b\r\n\r\n--b--\r\n' },
  );
  return fc.tuple(fc.array(dressed, { maxLength: 3 }), spoil).map(([parts, { type, end }]) => ({
    type,
    body: Uint8Array.from(parts.join('') + end, char => char.charCodeAt(0) & 0xff),
  }));
};
