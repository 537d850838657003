// Words as text and back without losing a byte: what isn't UTF-8 is kept as lone surrogates (U+DC80 to U+DCFF),
// so that a comment in an old code page comes out of the simulated router exactly as it went in.
import { isUtf8 } from 'node:buffer';

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();
const LONE_BYTE = /[\udc80-\udcff]/;

export function decodeBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return utf8.decode(bytes);
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte);
  return text;
}

export function encodeText(text: string): Uint8Array {
  if (text.isWellFormed() || !LONE_BYTE.test(text)) return encoder.encode(text);
  const parts: Uint8Array[] = [];
  for (const char of text) {
    const code = char.charCodeAt(0);
    const is_byte = char.length === 1 && code >= 0xdc80 && code <= 0xdcff;
    parts.push(is_byte ? Uint8Array.of(code - 0xdc00) : encoder.encode(char));
  }
  return new Uint8Array(Buffer.concat(parts));
}

// Bytes 0x80 to 0x9F; the rest of windows-1252 is latin1. The five that it leaves out stand for themselves.
const FROM_0x80 =
  '\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f' +
  '\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178';

export function decodeWindows1252(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes)
    text += byte >= 0x80 && byte < 0xa0 ? FROM_0x80.charAt(byte - 0x80) : String.fromCharCode(byte);
  return text;
}

/** A text with a character the code page lacks goes out as UTF-8. */
export function encodeWindows1252(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const in_table = FROM_0x80.indexOf(text.charAt(at));
    if (code < 0x80 || (code >= 0xa0 && code <= 0xff)) bytes[at] = code;
    else if (in_table !== -1) bytes[at] = 0x80 + in_table;
    else if (code >= 0xdc80 && code <= 0xdcff && isLone(text, at)) bytes[at] = code - 0xdc00;
    else return encodeText(text);
  }
  return bytes;
}

function isLone(text: string, at: number): boolean {
  const before = at === 0 ? 0 : text.charCodeAt(at - 1);
  return before < 0xd800 || before > 0xdbff;
}
