import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ExportItem, formatExport, parseExport, quoteValue } from '../../src/lib/routeros/export-file.ts';

const RUNS = { numRuns: 300 };

/** The first command of a text that must be read without a remark. */
function readOne(text: string): ExportItem {
  const file = parseExport(text);
  expect(file.unread).toEqual([]);
  expect(file.items).toHaveLength(1);
  return file.items[0]!;
}

function readProps(text: string): Record<string, string> {
  return Object.fromEntries(readOne(`/ppp secret\n${text}\n`).props);
}

const SAMPLE_V7 = String.raw`# 2026-09-26 20:00:00 by RouterOS 7.16.1
# software id = AAAA-BBBB
#
# model = RB5009
/interface ethernet
set [ find default-name=ether1 ] comment="to the \"POP\"" name=ether1-wan
/ip pool
add name=pppoe-pool ranges=10.10.0.2-10.10.3.254
/queue simple
add comment="special dummy rule to\
    \_show counters rukun:C-1" max-limit=5M/20M name=\
    q-budi target=10.10.0.7/32
/ppp profile
set *0 dns-server=8.8.8.8,1.1.1.1
set *FFFFFFFE use-compression=yes !rate-limit
/ppp secret
# Interface not active
add comment="Caf\C3\A9 \E9t\E9" name=budi password="a\$b\?c=;\\" profile=10M \
    # a comment with a "quote
    service=pppoe
#error exporting "/routing/bgp" (timeout)
add name=siti disabled password="" remote-address=10.1.1.1
/system identity
set name=R1
`;

describe('parseExport: a file of version 7', () => {
  const file = parseExport(SAMPLE_V7);
  const pick = (index: number) => file.items[index]!;

  it('reads its version and every command', () => {
    expect(file.version).toBe('7.16.1');
    expect(file.unread).toEqual([]);
    expect(file.items.map(item => [item.menu, item.verb, item.target])).toEqual([
      ['/interface/ethernet', 'set', '[ find default-name=ether1 ]'],
      ['/ip/pool', 'add', null],
      ['/queue/simple', 'add', null],
      ['/ppp/profile', 'set', '*0'],
      ['/ppp/profile', 'set', '*FFFFFFFE'],
      ['/ppp/secret', 'add', null],
      ['/ppp/secret', 'add', null],
      ['/system/identity', 'set', null],
    ]);
  });
  it('an open quote takes no later command into its text', () => {
    const { items, unread } = parseExport(
      '/ppp secret\nadd name=a password="open\nadd \\\n    name=b comment=";"\nadd name=c password="d\\\nadd name=e\n',
    );
    expect(items.map(item => [item.line, item.props.get('name')])).toEqual([
      [3, 'b'],
      [6, 'e'],
    ]);
    expect(unread.map(row => row.line)).toEqual([2, 5]);
  });

  it('reads quotes, escapes and broken lines', () => {
    expect(pick(0).props.get('comment')).toBe('to the "POP"');
    expect(pick(2).props.get('comment')).toBe('special dummy rule to show counters rukun:C-1');
    expect(pick(2).props.get('name')).toBe('q-budi');
    expect(Object.fromEntries(pick(5).props)).toEqual({
      comment: 'Café été',
      name: 'budi',
      password: 'a$b?c=;\\',
      profile: '10M',
      service: 'pppoe',
    });
  });
  it('reads unset properties, flags and empty values', () => {
    expect([...pick(4).props]).toEqual([
      ['use-compression', 'yes'],
      ['!rate-limit', ''],
    ]);
    expect(pick(6).props.get('disabled')).toBe('yes');
    expect(pick(6).props.get('password')).toBe('');
  });
  it('names the line where each command starts', () => {
    expect(file.items.map(item => item.line)).toEqual([6, 8, 10, 14, 15, 18, 22, 24]);
  });
  it('reads the same from a file with BOM and CRLF', () => {
    expect(parseExport(`\ufeff${SAMPLE_V7.replaceAll('\n', '\r\n')}`)).toEqual(file);
  });
});

describe('parseExport: menus', () => {
  it.each(['/ppp secret\nadd name=a', '/ppp/secret\nadd name=a', '/ppp secret add name=a', '/ppp/secret/add name=a'])(
    'reads %j',
    text => expect(readOne(text)).toMatchObject({ menu: '/ppp/secret', verb: 'add' }),
  );
  it('reads the header of version 6', () => {
    expect(parseExport('# sep/26/2026 20:00:00 by RouterOS 6.48.6\n').version).toBe('6.48.6');
    expect(parseExport('/ppp secret\n').version).toBeNull();
  });
  it('keeps the menu after a command that names its own', () => {
    const { items } = parseExport('/ip pool\n/ppp secret add name=a\nadd name=b');
    expect(items.map(item => item.menu)).toEqual(['/ppp/secret', '/ip/pool']);
  });
  it('reads nothing into a menu whose line it could not read', () => {
    const file = parseExport('/ip pool\nadd name=a\n/ppp ???\nadd name=b\n/ip pool\nadd name=c');
    expect(file.items.map(item => item.props.get('name'))).toEqual(['a', 'c']);
    expect(file.unread.map(entry => entry.line)).toEqual([3, 4]);
  });
  it('takes an unindented menu line for one, even after a dangling backslash', () => {
    const file = parseExport('/ip pool\nadd name=a \\\n/ppp secret\nadd name=b');
    expect(file.items.map(item => item.menu)).toEqual(['/ip/pool', '/ppp/secret']);
  });
  it('reads several commands on a line', () => {
    const file = parseExport('/ip pool\nadd name=a; add name=b;add name="c";');
    expect(file.items.map(item => item.props.get('name'))).toEqual(['a', 'b', 'c']);
  });
});

describe('parseExport: values', () => {
  it.each([
    ['add name=', { name: '' }],
    ['add name= password=x', { name: '', password: 'x' }],
    ['add name="a=b;c" list=a;b', { name: 'a=b;c', list: 'a;b' }],
    ['add comment=a=b=c', { comment: 'a=b=c' }],
    ['add name=a name=b', { name: 'b' }],
    ['add !profile profile=x', { profile: 'x' }],
    ['add profile=x !profile', { '!profile': '' }],
    ['add disabled name=a', { disabled: 'yes', name: 'a' }],
    ['add ssid=Cafe\u00a0\u3000x', { ssid: 'Cafe\u00a0\u3000x' }],
    ['add "name=a', null],
    [String.raw`add s="\"\\\n\r\t\$\?\_\a\b\f\v|"`, { s: '"\\\n\r\t$? \x07\b\f\v|' }],
    [String.raw`add s="\D0\9f\d0\BF"`, { s: 'Пп' }],
    [String.raw`add s="\80 \93x\94"`, { s: '€ “x”' }],
    ['add s="\\C3\\\n    \\A9"', { s: 'é' }],
    ['add s="one\\\n      two"', { s: 'onetwo' }],
    ['add s=\\\n    "one"  \\\n\t t=\\\n  two', { s: 'one', t: 'two' }],
    ['add s="first\r\nsecond"', { s: 'first\nsecond' }],
    ['add list=!dynamic port=*2 k="a" # trailing "comment', { list: '!dynamic', port: '*2', k: 'a' }],
  ])('reads %j', (text, props) => {
    if (props) expect(readProps(text)).toEqual(props);
    else expect(parseExport(`/ppp secret\n${text}`).unread).toHaveLength(1);
  });
  it.each([
    ['set [find name="a ] b"] x=1', '[find name="a ] b"]'],
    ['set [ find \\\n    default=yes ] x=1', '[ find default=yes ]'],
    ['set pppoe-out1 x=1', 'pppoe-out1'],
    ['set "my profile" x=1', 'my profile'],
    ['set 0,1 x=1', '0,1'],
    ['set x=1 0', '0'],
    ['set disabled x=1', 'disabled'],
    ['remove [find]', '[find]'],
  ])('reads the target of %j', (text, target) => {
    expect(readOne(`/ppp secret\n${text}`).target).toBe(target);
  });
});

describe('parseExport: what it cannot read', () => {
  it.each([
    ['hello world', 1],
    ['add hello world', 1],
    ['add name=a stray', 1],
    ['add name="a', 1],
    ['add name="a"b', 1],
    ['add name=a"b"', 1],
    ['add name=[/system identity get name]', 1],
    ['add name=$user', 1],
    ['set [ find x=1', 1],
    ['set a b', 1],
    ['print', 1],
    ['/export', 1],
    [':global x "y"', 1],
    ['{', 1],
    ['}', 1],
    ['add source={ :log info "x"\n:log info "}" }', 1],
    [':if ($x = 1) do={\n  /ppp secret add name=inner\n  # a } comment\n}', 1],
    ['do {\nadd name=inner\n} on-error={}', 1],
    [':foreach i in=[find] do={ set $i comment="}" }', 1],
    ['=x', 1],
    ['@@@', 1],
  ])('reports %j and goes on', (text, count) => {
    const is_open = text === '{';
    const file = parseExport(`/ip pool\nadd name=before\n${text}\n/ip pool\nadd name="after one"\n`);
    const names = file.items.map(item => item.props.get('name'));
    expect(names).toEqual(is_open ? ['before'] : ['before', 'after one']);
    expect(file.unread).toHaveLength(count);
    expect(file.unread[0]).toMatchObject({ line: 3, reason: expect.any(String) });
    if (!is_open) expect(file.unread[0]!.text).toBe(text);
  });

  it('never throws and never drops a line, whatever the text', () => {
    const piece = fc.constantFrom(
      ...['/ppp secret', 'add', ' name=', '"', '\\', '\n', '\n', '    ', '{', '}', '[', ']', '#', ':if', ';', 'x', '='],
      ...['/', 'set ', 'do={', '$', '!', '\r\n', '\u00e9', '(', '\\C3', 'add name=a\n', '/ip pool\n', '\v', '\u2028'],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), pieces => {
        const text = pieces.join('');
        const file = parseExport(text);
        const lines = text.replaceAll('\r\n', '\n').split('\n');
        for (const { line, text: unread } of file.unread) {
          expect(lines.slice(line - 1).join('\n')).toContain(unread);
          expect(unread).not.toBe('');
        }
        const numbers = [...file.items, ...file.unread].map(entry => entry.line);
        expect(new Set(numbers.filter(number => number < 1 || number > lines.length))).toEqual(new Set());
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps good commands whatever line stands between them', () => {
    const safe = fc.string({ unit: 'grapheme' }).filter(line => !/[{\\\n\r]|^\s*(?:[/:#;]|set\b|add\b)|;/.test(line));
    fc.assert(
      fc.property(safe, line => {
        const file = parseExport(`/ip pool\nadd name="a b"\n${line}\nadd name="c d"\n`);
        expect(file.items.map(item => item.props.get('name'))).toEqual(['a b', 'c d']);
        if (line.trim() !== '') expect(file.unread.length).toBe(1);
      }),
      RUNS,
    );
  });
});

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 120 }),
  fc.string({ unit: fc.constantFrom(...'" \\$?\n\r\t=;#{}[]Zé€漢😀\ufeff\u00a0\x00\x7f_'), maxLength: 200 }),
  fc.string({ unit: fc.constantFrom('a', ' '), maxLength: 300 }),
);
const anyItem = fc.record({
  menu: fc.constantFrom('/ppp/secret', '/ip/pool', '/ip/firewall/address-list'),
  verb: fc.constantFrom('add', 'set'),
  target: fc.oneof(fc.constant('[ find default=yes ]'), fc.constant(null), anyText),
  props: fc
    .uniqueArray(fc.tuple(fc.constantFrom('name', 'comment', '.id', 'rates-a/g', 'password', 'x.y'), anyText), {
      selector: ([name]) => name,
    })
    .map(entries => new Map(entries)),
});

describe('formatExport', () => {
  it('writes what parseExport reads back, for any text', () => {
    fc.assert(
      fc.property(fc.array(anyItem, { maxLength: 6 }), items => {
        const written = items
          .map(item => (item.verb === 'add' ? { ...item, target: null } : item))
          // Braces and the like inside a target that looks like a search would be another command.
          .filter(item => item.target === null || !item.target.startsWith('[') || item.target.startsWith('[ find'));
        const text = formatExport(written, { version: '7.16.1' });
        const file = parseExport(text);
        expect(file.unread).toEqual([]);
        expect(file.version).toBe('7.16.1');
        expect(file.items.map(({ line: _line, ...item }) => item)).toEqual(written);
        expect(parseExport(text.replaceAll('\n', '\r\n'))).toEqual(file);
        expect(Math.max(...text.split('\n').map(line => line.length))).toBeLessThanOrEqual(80);
        expect(text).toMatch(/^[\x20-\x7e\n]*$/);
      }),
      { numRuns: 500 },
    );
  });
  it('writes as a router does', () => {
    const props = { name: 'budi', comment: `${'word '.repeat(20)}rukun:C-1`, '!profile': '', password: '' };
    expect(formatExport([{ menu: '/ppp/secret', verb: 'add', props }], { version: '6.48', now_text: 'now' })).toBe(
      [
        '# now by RouterOS 6.48',
        '# software id = ',
        '#',
        '/ppp secret',
        'add name=budi comment="word word word word word word word word word word word\\',
        '    \\_word word word word word word word word word rukun:C-1" !profile \\',
        '    password=""',
        '',
      ].join('\n'),
    );
  });
  it('refuses names that would be another command', () => {
    const write = (menu: string, verb: string, name: string) => () =>
      formatExport([{ menu, verb, props: { [name]: 'x' } }], { version: '7.16' });
    expect(write('/ip/pool', 'add', 'name')).not.toThrow();
    expect(write('/ip/pool\n/user', 'add', 'name')).toThrow(RangeError);
    expect(write('/ip/pool', 'add x', 'name')).toThrow(RangeError);
    expect(write('/ip/pool', 'add', 'a=b c')).toThrow(RangeError);
    expect(() => formatExport([], { version: '7\n/user' })).toThrow(RangeError);
  });
  it('quotes where it must', () => {
    expect(quoteValue('5M/20M')).toBe('5M/20M');
    expect(quoteValue('')).toBe('""');
    expect(quoteValue('a b')).toBe('"a b"');
    expect(quoteValue('$x?é')).toBe('"\\$x\\?\\C3\\A9"');
  });
});

describe('parseExport: size', () => {
  const grow = (unit: string, bytes: number) => unit.repeat(Math.ceil(bytes / unit.length));
  it.each([
    [
      'secrets',
      '/ppp secret\n',
      'add comment="Budi \\C3\\A9 rukun:C-1" name=budi password=x profile=10M \\\n    service=pppoe\n',
    ],
    ['open quotes', '/ppp secret\n', 'add a="\n'],
    ['quotes that never meet', '/ppp secret\n', 'add a=" b="\n'],
    ['open blocks', '', '{\n'],
    ['backslashes', '/ppp secret\n', 'add x=\\\n'],
    ['lone backslashes', '/ppp secret\nadd x=', '\\'],
    ['brackets', '/ppp secret\nset ', '['],
    ['comments in commands', '/ppp secret\nadd x=1 \\\n', '# \n'],
    ['one long value', '/ppp secret\nadd x="', 'a\\"'],
  ])(
    // what looks at each byte for each byte would take many minutes
    'reads megabytes of %s in linear time',
    (name, head, unit) => {
      const start_ms = performance.now();
      const file = parseExport(head + grow(unit, name === 'secrets' ? 16_000_000 : 3_000_000));
      expect(file.items.length + file.unread.length).toBeGreaterThan(0);
      expect(performance.now() - start_ms).toBeLessThan(60_000);
    },
  );
});
