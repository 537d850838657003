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
