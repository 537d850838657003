/** The text of RouterOS export files: escapes, quoting and broken lines, both ways. */

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  n: '\n',
  r: '\r',
  t: '\t',
  $: '$',
  '?': '?',
  _: ' ',
  a: '\x07',
  b: '\b',
  f: '\f',
  v: '\v',
};

/** Windows-1252 for the bytes 0x80 to 0x9F; by hand, as TextDecoder takes them for Latin-1 in some runtimes. */
const WINDOWS_1252 =
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeBytes(bytes: readonly number[]): string {
  try {
    return UTF8.decode(Uint8Array.from(bytes));
  } catch {
    let text = '';
    for (const byte of bytes) text += WINDOWS_1252[byte - 0x80] ?? String.fromCharCode(byte);
    return text;
  }
}

/** A value while it is read: escaped bytes are kept apart until a plain character ends their run. */
export class ValueText {
  #text = '';
  #bytes: number[] = [];

  addText(text: string): void {
    this.#flush();
    this.#text += text;
  }

  /** Takes the escape whose backslash stands at `at`; says how many characters it had. */
  addEscape(source: string, at: number): number {
    const hex = source.slice(at + 1, at + 3);
    if (/^[0-9A-Fa-f]{2}$/.test(hex)) {
      this.#bytes.push(parseInt(hex, 16));
      return 3;
    }
    const letter = source[at + 1];
    const plain = letter === undefined ? undefined : ESCAPES[letter];
    this.addText(plain ?? '\\');
    return plain === undefined ? 1 : 2;
  }

  read(): string {
    this.#flush();
    return this.#text;
  }

  #flush(): void {
    if (this.#bytes.length === 0) return;
    this.#text += decodeBytes(this.#bytes);
    this.#bytes = [];
  }
}

const ENCODER = new TextEncoder();
const WRITTEN_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  $: '\\$',
  '?': '\\?',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** The units of an escaped value, none of which may be broken over two lines. */
function escapeUnits(value: string): string[] {
  return Array.from(ENCODER.encode(value), byte => {
    const character = String.fromCharCode(byte);
    if (byte < 0x20 || byte > 0x7e) {
      return WRITTEN_ESCAPES[character] ?? `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    }
    return WRITTEN_ESCAPES[character] ?? character;
  });
}

/** A value as it may stand after `name=`: bare where that is safe, else quoted and escaped. */
export function quoteValue(value: string): string {
  if (/^[A-Za-z0-9.:,/@*_!-][A-Za-z0-9.:,/@*_!+-]*$/.test(value)) return value;
  return `"${escapeUnits(value).join('')}"`;
}

export interface WritableItem {
  menu: string;
  verb: string;
  target?: string | null;
  props: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/** Room is left for ` \` at the end of a line. */
const LINE_COLUMNS = 78;
const INDENT = '    ';

/** Writes one command, broken into lines of about 80 columns. */
class CommandText {
  #text: string;
  #column: number;

  constructor(verb: string) {
    this.#text = verb;
    this.#column = verb.length;
  }

  /** A word that is not broken. */
  addWord(word: string): void {
    if (this.#column + 1 + word.length > LINE_COLUMNS) this.#breakLine(' ');
    else this.#put(' ');
    this.#put(word);
  }

  addValue(prefix: string, value: string): void {
    const word = prefix + quoteValue(value);
    if (INDENT.length + word.length <= LINE_COLUMNS) return this.addWord(word);
    this.addWord(`${prefix}"`);
    for (const unit of escapeUnits(value)) {
      const is_broken = this.#column + unit.length >= LINE_COLUMNS;
      if (is_broken) this.#breakLine('');
      // Blanks at the start of a line are no part of the value, so one that is must be escaped.
      this.#put(is_broken && unit === ' ' ? '\\_' : unit);
    }
    this.#put('"');
  }

  read(): string {
    return `${this.#text}\n`;
  }

  #put(text: string): void {
    this.#text += text;
    this.#column += text.length;
  }

  #breakLine(before: string): void {
    this.#text += `${before}\\\n${INDENT}`;
    this.#column = INDENT.length;
  }
}

function checkName(text: string, pattern: RegExp, what: string): string {
  if (!pattern.test(text)) throw new RangeError(`no ${what} for an export file: ${JSON.stringify(text.slice(0, 80))}`);
  return text;
}

function formatItem(item: WritableItem): string {
  const command = new CommandText(checkName(item.verb, /^[a-z][a-z-]*$/, 'verb'));
  if (item.target !== undefined && item.target !== null) {
    const is_find = /^\[[^[\];{}\r\n]*\]$/.test(item.target);
    if (is_find) command.addWord(item.target);
    else command.addValue('', item.target);
  }
  const props = item.props instanceof Map ? item.props : Object.entries(item.props);
  for (const [name, value] of props as Iterable<[string, string]>) {
    checkName(name, /^!?[A-Za-z0-9.][A-Za-z0-9._/-]*$/, 'property');
    if (name.startsWith('!')) command.addWord(name);
    else command.addValue(`${name}=`, value);
  }
  return command.read();
}

/** Writes an export file that `parseExport` and a router read back to the same items. */
export function formatExport(items: readonly WritableItem[], options: { version: string; now_text?: string }): string {
  const version = checkName(options.version, /^\d+\.\d[\w.]*$/, 'version');
  const now_text = checkName(options.now_text ?? '1970-01-01 00:00:00', /^[^\r\n]*$/, 'time');
  const parts = [`# ${now_text} by RouterOS ${version}\n# software id = \n#\n`];
  let menu = '';
  for (const item of items) {
    checkName(item.menu, /^(?:\/[A-Za-z0-9][A-Za-z0-9-]*)+$/, 'menu');
    if (item.menu !== menu) parts.push(`/${item.menu.slice(1).replaceAll('/', ' ')}\n`);
    menu = item.menu;
    parts.push(formatItem(item));
  }
  return parts.join('');
}
