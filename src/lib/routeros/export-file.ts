/** RouterOS export files (`.rsc`), versions 6 and 7, read without ever failing. */

import { ValueText } from './export-text.ts';

export { formatExport, quoteValue, type WritableItem } from './export-text.ts';

export interface ExportItem {
  /** The line, from 1, where the command starts. */
  line: number;
  /** Always joined by slashes: `/ppp/secret`. */
  menu: string;
  verb: string;
  /** What stands before the properties: `pppoe-out1`, `[ find default=yes ]`, `0`, `*0`. */
  target: string | null;
  /** Unescaped values in their order; an unset one (`!name`) has the key `!name` and no text. */
  props: Map<string, string>;
}

export interface UnreadLine {
  line: number;
  /** The whole command as it stands in the file, over several lines if it is a block. */
  text: string;
  reason: string;
}

export interface ExportFile {
  version: string | null;
  items: ExportItem[];
  unread: UnreadLine[];
}

const VERBS = new Set(['add', 'set', 'unset', 'remove', 'enable', 'disable', 'move', 'reset']);
const OTHER_COMMANDS = new Set(['print', 'export', 'import', 'find', 'get', 'edit', 'monitor', 'comment', 'run']);
const SCRIPT_WORDS = new Set(['do', 'if', 'else', 'foreach', 'for', 'while', 'global', 'local', 'delay', 'log', 'put']);
/** Properties that may stand alone, without a value, and then mean yes. */
const FLAGS = new Set(['disabled', 'enabled', 'default', 'dynamic', 'log', 'passthrough', 'inactive', 'invalid']);
const BARE_RUN = /[^ \t\r\n"\\;]+/y;
const PROPERTY = /(!?)([A-Za-z0-9.][A-Za-z0-9._/-]*)(=?)/y;
const MENU_WORD = /[A-Za-z0-9][A-Za-z0-9-]*/y;
const WORD_END = /[ \t\r\n;]|$/y;

interface Scan {
  readonly text: string;
  at: number;
  /** Why the command can't be read; the first reason stands. */
  problem: string | null;
  /** Line ends inside quotes are believed only from here on: what was tried once isn't tried again. */
  raw_lines_from: number;
  spans_raw_lines: boolean;
}

function failScan(scan: Scan, reason: string): string {
  scan.problem ??= reason;
  return '';
}

const isBlank = (character: string | undefined) => character === ' ' || character === '\t' || character === '\r';

function skipBlanks(scan: Scan): void {
  while (isBlank(scan.text[scan.at])) scan.at++;
}

/** Where the line after a `\` at the end of a line begins; -1 where `at` has no such backslash. */
function findContinuation(text: string, at: number): number {
  if (text[at] !== '\\') return -1;
  let next = at + 1;
  while (isBlank(text[next])) next++;
  return text[next] === '\n' ? next + 1 : -1;
}

/** A continued line is indented; one that isn't, and reads as a command of its own, is taken for one. */
function startsCommand(text: string, at: number): boolean {
  return /^(?:[/:][a-z]|(?:add|set|remove)\s)/.test(text.slice(at, at + 8));
}

function findLineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

/** Skips blanks, continued lines and the comments between them, up to the next word of the command. */
function skipToWord(scan: Scan): void {
  skipBlanks(scan);
  for (;;) {
    const next_line = findContinuation(scan.text, scan.at);
    if (next_line < 0) return;
    scan.at = next_line;
    if (startsCommand(scan.text, next_line)) {
      scan.at = next_line - 1;
      return;
    }
    skipBlanks(scan);
    if (scan.text[scan.at] === '#') skipInnerComments(scan);
  }
}

/** Comments inside a continued command. A line after them that starts a command of its own ends ours. */
function skipInnerComments(scan: Scan): void {
  while (scan.text[scan.at] === '#') {
    const line_end = findLineEnd(scan.text, scan.at);
    scan.at = line_end + 1;
    skipBlanks(scan);
    if (startsCommand(scan.text, line_end + 1)) scan.at = line_end;
  }
}

function isCommandEnd(scan: Scan): boolean {
  const character = scan.text[scan.at];
  return character === undefined || character === '\n' || character === ';';
}

function readQuoted(scan: Scan): string {
  const { text } = scan;
  const value = new ValueText();
  const run = /[^"\\\n]+/y;
  scan.at++;
  for (;;) {
    run.lastIndex = scan.at;
    const plain = run.exec(text)?.[0] ?? '';
    if (plain !== '') value.addText(plain);
    scan.at += plain.length;
    const character = text[scan.at];
    if (character === undefined) return failScan(scan, 'a quote is not closed');
    if (character === '"') break;
    const line_end = character === '\n' ? scan.at : scan.at + 1;
    if (text[line_end] === '\n' && startsCommand(text, line_end + 1))
      return failScan(scan, 'a quote is not closed before the next command');
    if (character === '\n') {
      if (scan.at < scan.raw_lines_from) return failScan(scan, 'a quote is not closed on its line');
      scan.spans_raw_lines = true;
      value.addText('\n');
      scan.at++;
    } else if (text[scan.at + 1] === '\n') {
      scan.at += 2;
      skipBlanks(scan);
    } else scan.at += value.addEscape(text, scan.at);
  }
  scan.at++;
  WORD_END.lastIndex = scan.at;
  if (!WORD_END.test(text) && findContinuation(text, scan.at) < 0)
    return failScan(scan, 'text follows a closing quote');
  return value.read();
}

/** A `;` ends the command unless it clearly stands inside a value (`a;b`). */
function isSeparator(text: string, at: number): boolean {
  return /^;(?:\s|[/:;]|(?:add|set|remove|enable|disable)\s|$)/.test(text.slice(at, at + 9));
}

/** A value or word without quotes. */
function readBare(scan: Scan): string {
  const { text } = scan;
  const value = new ValueText();
  for (;;) {
    BARE_RUN.lastIndex = scan.at;
    const plain = BARE_RUN.exec(text)?.[0] ?? '';
    if (plain !== '') value.addText(plain);
    scan.at += plain.length;
    const character = text[scan.at];
    if (character === '"') return failScan(scan, 'a quote stands inside a word');
    if (character === ';' && !isSeparator(text, scan.at)) {
      value.addText(';');
      scan.at++;
    } else if (character === '\\') {
      const next_line = findContinuation(text, scan.at);
      if (next_line < 0) scan.at += value.addEscape(text, scan.at);
      else skipToWord(scan);
    } else return value.read();
  }
}

function readValue(scan: Scan): string {
  if (findContinuation(scan.text, scan.at) >= 0) skipToWord(scan);
  const character = scan.text[scan.at];
  if (character === '"') return readQuoted(scan);
  if (character === '{') return failScan(scan, 'a script block');
  if (character === '[' || character === '(' || character === '$') return failScan(scan, 'a value the router computes');
  return readBare(scan);
}

/** `[ find name=x ]` as it stands, with continued lines joined. */
function readBrackets(scan: Scan): string {
  const { text } = scan;
  let raw = '';
  let depth = 0;
  let is_quoted = false;
  for (;;) {
    const character = text[scan.at];
    if (character === undefined || character === '\n') return failScan(scan, 'a bracket is not closed');
    if (character === '\\') {
      const next_line = findContinuation(text, scan.at);
      if (next_line < 0) raw += text.slice(scan.at, scan.at + 2);
      scan.at = next_line < 0 ? scan.at + 2 : next_line;
      if (next_line >= 0) skipBlanks(scan);
      continue;
    }
    raw += character;
    scan.at++;
    if (character === '"') is_quoted = !is_quoted;
    else if (!is_quoted && character === '[') depth++;
    else if (!is_quoted && character === ']' && --depth === 0) return raw;
  }
}

function setProperty(props: Map<string, string>, name: string, value: string): void {
  props.delete(name.startsWith('!') ? name.slice(1) : `!${name}`);
  props.set(name, value);
}

/** Reads the words after the verb into `item`. */
function readWords(scan: Scan, item: ExportItem): void {
  const takes_target = item.verb !== 'add';
  const setTarget = (text: string) => {
    if (takes_target && item.target === null) item.target = text;
    else failScan(scan, `"${text.slice(0, 40)}" is not a property`);
  };
  for (skipToWord(scan); !isCommandEnd(scan) && scan.problem === null; skipToWord(scan)) {
    const character = scan.text[scan.at];
    PROPERTY.lastIndex = scan.at;
    const match = PROPERTY.exec(scan.text);
    if (character === '#') {
      scan.at = findLineEnd(scan.text, scan.at);
    } else if (character === '[') {
      setTarget(readBrackets(scan));
    } else if (match && match[3] === '=' && match[1] === '') {
      scan.at += match[0].length;
      setProperty(item.props, match[2] ?? '', readValue(scan));
    } else if (character === '"') {
      setTarget(readQuoted(scan));
    } else {
      const word = readValue(scan);
      if (word.includes('=')) failScan(scan, `"${word.slice(0, 40)}" is not a property`);
      else if (/^![a-z0-9][a-z0-9.-]*$/.test(word)) setProperty(item.props, word, '');
      else if (FLAGS.has(word) && (!takes_target || item.target !== null)) setProperty(item.props, word, 'yes');
      else setTarget(word);
    }
  }
}

interface Reader {
  readonly scan: Scan;
  readonly file: ExportFile;
  /** null where a menu line couldn't be read: what follows must not land in the menu before it. */
  menu: string | null;
  line: number;
  line_at: number;
}

/** The line of a place in the text; places only ever grow. */
function countLines(reader: Reader, at: number): number {
  const { text } = reader.scan;
  for (;;) {
    const end = text.indexOf('\n', reader.line_at);
    if (end < 0 || end >= at) return reader.line;
    reader.line++;
    reader.line_at = end + 1;
  }
}

/** Where the lines of a command end that can't be read word by word. */
function findCommandEnd(text: string, start: number): number {
  for (let at = start; ; at++) {
    at = findLineEnd(text, at);
    if (at >= text.length) return text.length;
    let backslashes = 0;
    while (at - 1 - backslashes >= start && text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0 || startsCommand(text, at + 1)) return at;
  }
}

/** Where a script statement ends: past its last bracket, be it many lines away. */
function findScriptEnd(text: string, start: number): number {
  const mark = /["{}()[\]\n\\#]/g;
  let depth = 0;
  let is_quoted = false;
  let word_start = start;
  mark.lastIndex = start;
  for (let match = mark.exec(text); match; match = mark.exec(text)) {
    const character = match[0];
    if (character === '\\') mark.lastIndex++;
    else if (character === '\n') {
      if (depth <= 0) return match.index;
      word_start = match.index + 1;
    } else if (character === '"') is_quoted = !is_quoted;
    else if (is_quoted) continue;
    else if (character === '#') {
      if (text.slice(word_start, match.index).trim() === '') mark.lastIndex = findLineEnd(text, match.index);
    } else depth += '{(['.includes(character) ? 1 : -1;
  }
  return text.length;
}

function reportUnread(reader: Reader, start: number, end: number, reason: string): void {
  const { scan, file } = reader;
  file.unread.push({
    line: countLines(reader, start),
    text: scan.text.slice(start, end).replace(/[ \t\r]+$/, ''),
    reason,
  });
  scan.at = end;
}

function reportScript(reader: Reader, start: number): void {
  reportUnread(reader, start, findScriptEnd(reader.scan.text, start), 'a script, which only a router can run');
}

/** The words of a menu after `/`; the verb, where one follows, is left unread. */
function readMenu(scan: Scan): string {
  let menu = '';
  for (;;) {
    while (isBlank(scan.text[scan.at]) || scan.text[scan.at] === '/') scan.at++;
    MENU_WORD.lastIndex = scan.at;
    const word = MENU_WORD.exec(scan.text)?.[0];
    if (word === undefined || VERBS.has(word) || OTHER_COMMANDS.has(word)) return menu;
    menu += `/${word}`;
    scan.at += word.length;
  }
}

function readVerb(scan: Scan): string {
  const match = /^[^\s;\\]+/.exec(scan.text.slice(scan.at, scan.at + 40));
  return match?.[0] ?? '';
}

/** One command that is no comment and no script: a menu line, a command, or both in one. */
function readCommand(reader: Reader): void {
  const { scan, file } = reader;
  const start = scan.at;
  let menu = reader.menu;
  const is_path = scan.text[scan.at] === '/';
  if (is_path) {
    menu = readMenu(scan);
    if ((isCommandEnd(scan) || scan.text[scan.at] === '#') && menu !== '') {
      if (!isCommandEnd(scan)) scan.at = findLineEnd(scan.text, scan.at);
      reader.menu = menu;
      return;
    }
  }
  const verb = readVerb(scan);
  if (!VERBS.has(verb)) {
    const end = findCommandEnd(scan.text, start);
    const is_block = scan.text.slice(start, end).trimEnd().endsWith('{');
    if (is_path && !OTHER_COMMANDS.has(verb)) reader.menu = null;
    if (is_block || SCRIPT_WORDS.has(verb)) reportScript(reader, start);
    else
      reportUnread(reader, start, end, OTHER_COMMANDS.has(verb) ? 'a command that sets nothing' : 'no known command');
    return;
  }
  if (!menu) return reportUnread(reader, start, findCommandEnd(scan.text, start), 'no menu is known for this command');
  scan.at += verb.length;
  scan.problem = null;
  scan.spans_raw_lines = false;
  const item: ExportItem = { line: countLines(reader, start), menu, verb, target: null, props: new Map() };
  readWords(scan, item);
  if (scan.problem === null) file.items.push(item);
  else if (scan.problem === 'a script block') reportScript(reader, start);
  else {
    if (scan.spans_raw_lines) scan.raw_lines_from = scan.at;
    reportUnread(reader, start, findCommandEnd(scan.text, start), scan.problem);
  }
}

/** Reads an export file; what can't be read is in `unread`, with its line and the reason. */
export function parseExport(source: string): ExportFile {
  const text = source.replace(/^\ufeff/, '').replaceAll('\r\n', '\n');
  const file: ExportFile = { version: null, items: [], unread: [] };
  const scan: Scan = { text, at: 0, problem: null, raw_lines_from: 0, spans_raw_lines: false };
  const reader: Reader = { scan, file, menu: null, line: 1, line_at: 0 };
  const separators = /[ \t\r\n;]*/y;
  for (;;) {
    separators.lastIndex = scan.at;
    scan.at += separators.exec(text)?.[0].length ?? 0;
    const character = text[scan.at];
    if (character === undefined) return file;
    if (character === '#') {
      const end = findLineEnd(text, scan.at);
      file.version ??=
        /\bby RouterOS (\d+\.\d\S*)/.exec(text.slice(scan.at, Math.min(end, scan.at + 200)))?.[1] ?? null;
      scan.at = end;
    } else if (character === ':' || character === '{') reportScript(reader, scan.at);
    else readCommand(reader);
  }
}
