// The binary API's framing: bytes in, sentences out, and back. No sockets, no clock, no state but the half-read word.
import { isUtf8 } from 'node:buffer';

export interface DecoderOptions {
  max_word_bytes?: number;
  max_sentence_bytes?: number;
  max_sentence_words?: number;
}

const DEFAULT_MAX_WORD_BYTES = 16 * 1024 * 1024;
const DEFAULT_MAX_SENTENCE_BYTES = 32 * 1024 * 1024;
/** A word of one byte takes a hundred in memory; a row has dozens. */
const DEFAULT_MAX_SENTENCE_WORDS = 65_536;
const FIRST_ALLOCATION_BYTES = 4096;
const EQUALS = 0x3d;

/** The peer does not speak the protocol: drop the connection. `sentences` holds what was complete before the fault. */
export class ProtocolError extends Error {
  readonly sentences: Uint8Array[][];

  constructor(message: string, sentences: Uint8Array[][] = []) {
    super(message);
    this.name = 'ProtocolError';
    this.sentences = sentences;
  }
}

/** Turns a stream of bytes, cut anywhere, into sentences. After a ProtocolError it stays broken. */
export class SentenceDecoder {
  readonly #max_word_bytes: number;
  readonly #max_sentence_bytes: number;
  readonly #max_sentence_words: number;
  #words: Uint8Array[] = [];
  #sentence_bytes = 0;
  #length = 0;
  #length_bytes_missing = 0;
  #in_word = false;
  #partial: Uint8Array = new Uint8Array(0);
  #partial_bytes = 0;
  #broken: string | null = null;

  constructor(options: DecoderOptions = {}) {
    this.#max_word_bytes = options.max_word_bytes ?? DEFAULT_MAX_WORD_BYTES;
    this.#max_sentence_bytes = options.max_sentence_bytes ?? DEFAULT_MAX_SENTENCE_BYTES;
    this.#max_sentence_words = options.max_sentence_words ?? DEFAULT_MAX_SENTENCE_WORDS;
  }

  push(chunk: Uint8Array): Uint8Array[][] {
    const sentences: Uint8Array[][] = [];
    if (this.#broken !== null) throw new ProtocolError(this.#broken);
    try {
      let at = 0;
      while (at < chunk.length) {
        if (this.#in_word) at = this.#takeWordBytes(chunk, at);
        else this.#takeLengthByte(chunk[at++] as number, sentences);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#broken = error.message;
      this.#words = [];
      this.#partial = new Uint8Array(0);
      throw new ProtocolError(error.message, sentences);
    }
    return sentences;
  }

  #takeLengthByte(byte: number, sentences: Uint8Array[][]): void {
    if (this.#length_bytes_missing > 0) {
      // Multiplied, not shifted: a 32-bit shift would make a length of 2 GB negative.
      this.#length = this.#length * 256 + byte;
      this.#length_bytes_missing--;
    } else {
      [this.#length, this.#length_bytes_missing] = readFirstLengthByte(byte);
    }
    if (this.#length_bytes_missing === 0) this.#beginWord(sentences);
  }

  #beginWord(sentences: Uint8Array[][]): void {
    if (this.#length === 0) {
      if (this.#words.length > 0) sentences.push(this.#words);
      this.#words = [];
      this.#sentence_bytes = 0;
      return;
    }
    if (this.#length > this.#max_word_bytes) throw new ProtocolError(`a word of ${this.#length} bytes is too long`);
    this.#sentence_bytes += this.#length;
    if (this.#sentence_bytes > this.#max_sentence_bytes) throw new ProtocolError('the sentence is too long');
    if (this.#words.length >= this.#max_sentence_words) throw new ProtocolError('the sentence has too many words');
    this.#in_word = true;
    this.#partial_bytes = 0;
  }

  #takeWordBytes(chunk: Uint8Array, at: number): number {
    const missing = this.#length - this.#partial_bytes;
    const end = Math.min(chunk.length, at + missing);
    if (this.#partial_bytes === 0 && end - at === missing) {
      // Copied this way because the slice() of a Buffer, which sockets hand out, is only a view.
      this.#endWord(new Uint8Array(chunk.subarray(at, end)));
      return end;
    }
    this.#reservePartial(this.#partial_bytes + end - at);
    this.#partial.set(chunk.subarray(at, end), this.#partial_bytes);
    this.#partial_bytes += end - at;
    if (this.#partial_bytes === this.#length) this.#endWord(this.#partial.slice(0, this.#length));
    return end;
  }

  // Grows by doubling as bytes come, so that an announced length alone costs no memory and any chunking is linear.
  #reservePartial(needed: number): void {
    if (needed <= this.#partial.length) return;
    const grown = new Uint8Array(
      Math.max(needed, Math.min(this.#length, this.#partial.length * 2), FIRST_ALLOCATION_BYTES),
    );
    grown.set(this.#partial.subarray(0, this.#partial_bytes));
    this.#partial = grown;
  }

  #endWord(word: Uint8Array): void {
    this.#words.push(word);
    this.#in_word = false;
    this.#partial_bytes = 0;
    if (this.#partial.length > 65_536) this.#partial = new Uint8Array(0);
  }
}

// The value bits of a length's first byte, and how many bytes follow it.
function readFirstLengthByte(byte: number): [value: number, bytes_missing: number] {
  if (byte < 0x80) return [byte, 0];
  if (byte < 0xc0) return [byte & 0x3f, 1];
  if (byte < 0xe0) return [byte & 0x1f, 2];
  if (byte < 0xf0) return [byte & 0x0f, 3];
  if (byte < 0xf8) return [0, 4];
  throw new ProtocolError(`reserved length byte 0x${byte.toString(16).toUpperCase()}`);
}

export function encodeLength(length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 0 || length > 0xffffffff)
    throw new ProtocolError(`no such length: ${length}`);
  if (length < 0x80) return Uint8Array.of(length);
  if (length < 0x4000) return Uint8Array.of(0x80 | (length >>> 8), length & 0xff);
  if (length < 0x200000) return Uint8Array.of(0xc0 | (length >>> 16), (length >>> 8) & 0xff, length & 0xff);
  const low = [(length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff];
  if (length < 0x10000000) return Uint8Array.of(0xe0 | (length >>> 24), ...low);
  return Uint8Array.of(0xf0, length >>> 24, ...low);
}

const encoder = new TextEncoder();

export function encodeSentence(words: readonly (string | Uint8Array)[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const word of words) {
    const bytes = typeof word === 'string' ? encoder.encode(word) : word;
    if (bytes.length === 0) throw new ProtocolError('an empty word would end the sentence');
    parts.push(encodeLength(bytes.length), bytes);
  }
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 1));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Several Node releases decode windows-1252 as latin1, so 0x80 to 0x9F are looked up here.
const WINDOWS_1252_FROM_0x80 =
  '\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f' +
  '\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178';

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
type Decoder = InstanceType<typeof TextDecoder>;
const decoders = new Map<string, Decoder | null>();

/** UTF-8 where the bytes are UTF-8, else the code page; a code page nobody knows counts as windows-1252. */
export function decodeText(bytes: Uint8Array, code_page = 'windows-1252'): string {
  if (isUtf8(bytes)) return utf8.decode(bytes);
  const decoder = findDecoder(code_page);
  return decoder === null ? decodeWindows1252(bytes) : decoder.decode(bytes);
}

function findDecoder(code_page: string): Decoder | null {
  const known = decoders.get(code_page);
  if (known !== undefined) return known;
  let decoder: Decoder | null = null;
  try {
    decoder = new TextDecoder(code_page);
    if (decoder.encoding === 'windows-1252') decoder = null;
  } catch {
    decoder = null;
  }
  if (decoders.size < 64) decoders.set(code_page, decoder);
  return decoder;
}

function decodeWindows1252(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[\x80-\x9f]/g, char => WINDOWS_1252_FROM_0x80.charAt(char.charCodeAt(0) - 0x80));
}

/** The `=key=value` words of a sentence; other words are left out, and of a key given twice the last counts. */
export function readAttributes(words: readonly Uint8Array[], code_page?: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const word of words) {
    if (word[0] !== EQUALS) continue;
    const second = word.indexOf(EQUALS, 1);
    const key_end = second === -1 ? word.length : second;
    const value = second === -1 ? '' : decodeText(word.subarray(second + 1), code_page);
    attributes.set(decodeText(word.subarray(1, key_end), code_page), value);
  }
  return attributes;
}
