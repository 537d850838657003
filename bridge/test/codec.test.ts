import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ProtocolError,
  SentenceDecoder,
  decodeText,
  encodeLength,
  encodeSentence,
  readAttributes,
} from '../routeros/codec.ts';

const BOUNDARIES: [number, number[]][] = [
  [0, [0x00]],
  [1, [0x01]],
  [0x7f, [0x7f]],
  [0x80, [0x80, 0x80]],
  [0x3fff, [0xbf, 0xff]],
  [0x4000, [0xc0, 0x40, 0x00]],
  [0x1fffff, [0xdf, 0xff, 0xff]],
  [0x200000, [0xe0, 0x20, 0x00, 0x00]],
  [0xfffffff, [0xef, 0xff, 0xff, 0xff]],
  [0x10000000, [0xf0, 0x10, 0x00, 0x00, 0x00]],
  [0xffffffff, [0xf0, 0xff, 0xff, 0xff, 0xff]],
];

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textsOf = (sentences: Uint8Array[][]) => sentences.map(words => words.map(word => decodeText(word)));

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

// Cuts the bytes at the given places, reusing one buffer for every chunk, as a socket may.
function decodeInChunks(bytes: Uint8Array, sizes: readonly number[], decoder = new SentenceDecoder()): Uint8Array[][] {
  const sentences: Uint8Array[][] = [];
  const scratch = Buffer.alloc(bytes.length);
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = Math.min(sizes[turn % sizes.length] ?? 1, bytes.length - at);
    scratch.set(bytes.subarray(at, at + size));
    sentences.push(...decoder.push(scratch.subarray(0, size)));
    scratch.fill(0xff, 0, size);
    at += size;
  }
  return sentences;
}

describe('lengths', () => {
  it.each(BOUNDARIES)('writes %i as the manual says', (length, bytes) => {
    expect([...encodeLength(length)]).toEqual(bytes);
  });

  it.each(BOUNDARIES.filter(([length]) => length > 0 && length <= 0x200000))(
    'reads a word of %i bytes back, whole and in pieces',
    length => {
      const word = new Uint8Array(length).map((_, index) => index * 31);
      const bytes = encodeSentence(['!re', word]);
      for (const sizes of [[bytes.length], [1], [7, 1448]]) {
        const sentences = decodeInChunks(bytes, sizes);
        expect(sentences.length).toBe(1);
        expect(Buffer.compare(sentences[0]?.[1] ?? new Uint8Array(0), word)).toBe(0);
      }
    },
  );

  it.each([0xfffffff, 0x10000000, 0xffffffff])('refuses a word of %i bytes without waiting for it', length => {
    expect(() => new SentenceDecoder().push(encodeLength(length))).toThrow(ProtocolError);
    expect(() =>
      new SentenceDecoder({ max_word_bytes: 2 ** 40, max_sentence_bytes: 2 ** 40 }).push(encodeLength(length)),
    ).not.toThrow();
  });

  it('draws the line at max_word_bytes and max_sentence_bytes exactly', () => {
    const decode = (words: string[]) =>
      new SentenceDecoder({ max_word_bytes: 4, max_sentence_bytes: 8 }).push(encodeSentence(words)).length;
    expect(decode(['abcd', 'abcd'])).toBe(1);
    expect(() => decode(['abcde'])).toThrow(ProtocolError);
    expect(() => decode(['abcd', 'abcd', 'a'])).toThrow(ProtocolError);
  });

  it('draws a line at the number of words too: each costs far more than its byte', () => {
    const decode = (count: number) =>
      new SentenceDecoder({ max_sentence_words: 3 }).push(encodeSentence(Array.from({ length: count }, () => 'a')));
    expect(decode(3)).toHaveLength(1);
    expect(() => decode(4)).toThrow(ProtocolError);
    expect(() => new SentenceDecoder().push(Buffer.alloc(1_000_000, '\x01a'))).toThrow(ProtocolError);
  });

  it.each([-1, 1.5, NaN, 2 ** 32])('does not encode a length of %d', length => {
    expect(() => encodeLength(length)).toThrow(ProtocolError);
  });

  it('takes every first byte from 0xF8 on as reserved', () => {
    for (let byte = 0xf8; byte <= 0xff; byte++) {
      expect(() => new SentenceDecoder().push(Uint8Array.of(byte))).toThrow(ProtocolError);
    }
  });
});

describe('sentences', () => {
  const sentences = fc.array(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 }), {
    maxLength: 8,
  });

  it('come back the same under any chunking', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sentences, sizes, (wanted, cut) => {
        const bytes = joinBytes(wanted.map(words => encodeSentence(words)));
        expect(decodeInChunks(bytes, cut)).toEqual(wanted.filter(words => words.length > 0));
      }),
    );
  });

  it('skips empty sentences', () => {
    const bytes = joinBytes([Uint8Array.of(0, 0), encodeSentence(['!done']), Uint8Array.of(0)]);
    expect(textsOf(new SentenceDecoder().push(bytes))).toEqual([['!done']]);
  });

  it('never contain an empty word', () => {
    expect(() => encodeSentence(['/login', ''])).toThrow(ProtocolError);
  });

  it('that were complete before a fault come with it, and the decoder stays broken', () => {
    const decoder = new SentenceDecoder();
    try {
      decoder.push(joinBytes([encodeSentence(['!fatal', 'bye']), Uint8Array.of(0xff)]));
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
      expect(textsOf((error as ProtocolError).sentences)).toEqual([['!fatal', 'bye']]);
    }
    expect(() => decoder.push(encodeSentence(['!done']))).toThrow(ProtocolError);
  });

  it('of random bytes never hang and never throw anything but ProtocolError', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), sizes, (bytes, cut) => {
        try {
          for (const words of decodeInChunks(bytes, cut)) readAttributes(words);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('take linear time: 5 MB one byte at a time, in words of 20 kB and one of 4 MB', () => {
    const words = Array.from({ length: 50 }, () => new Uint8Array(20_000).fill(65));
    const bytes = joinBytes([encodeSentence(words), encodeSentence([new Uint8Array(4_000_000)])]);
    // were all that waits copied at each byte, this alone would take hours
    expect(decodeInChunks(bytes, [1_000]).map(found => found.length)).toEqual([50, 1]);
    const decoder = new SentenceDecoder();
    let found = 0;
    for (let at = 0; at < bytes.length; at++) found += decoder.push(bytes.subarray(at, at + 1)).length;
    expect(found).toBe(2);
  });
});

describe('text', () => {
  it('is UTF-8 where it can be', () => {
    expect(decodeText(bytesOf('Ibu Sri 🏠 — lunas'))).toBe('Ibu Sri 🏠 — lunas');
    expect(decodeText(bytesOf('\ufeffx'))).toBe('\ufeffx');
  });

  it('is the code page where it is not UTF-8', () => {
    expect(decodeText(Uint8Array.of(0x80, 0x41, 0x92, 0xe9))).toBe('€A’é');
    expect(decodeText(Uint8Array.of(0xcf, 0xf0, 0xe8), 'windows-1251')).toBe('При');
    expect(decodeText(Uint8Array.of(0xe9), 'no such code page')).toBe('é');
  });

  it('never throws, and plain ASCII is the same in every code page', () => {
    const code_page = fc.constantFrom('windows-1252', 'windows-1251', 'shift_jis', 'latin1', '', 'nonsense');
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        code_page,
        (bytes, page) => typeof decodeText(bytes, page) === 'string',
      ),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary-ascii' }),
        code_page,
        (text, page) => decodeText(bytesOf(text), page) === text,
      ),
    );
  });
});

describe('attributes', () => {
  it('are split at the second =', () => {
    const words = ['!re', '.tag=7', '=.id=*1A', '=comment=a=b=', '=empty=', '=bare', '=note=two\nlines'].map(bytesOf);
    expect([...readAttributes(words)]).toEqual([
      ['.id', '*1A'],
      ['comment', 'a=b='],
      ['empty', ''],
      ['bare', ''],
      ['note', 'two\nlines'],
    ]);
  });

  it('hold any value under any key without =', () => {
    const key = fc.string({ minLength: 1 }).filter(text => !text.includes('='));
    fc.assert(
      fc.property(key, fc.string({ unit: 'grapheme' }), (name, value) => {
        expect(readAttributes([bytesOf(`=${name}=${value}`)]).get(name)).toBe(value);
      }),
    );
  });

  it('are read in the code page given', () => {
    const word = joinBytes([bytesOf('=comment='), Uint8Array.of(0xcf)]);
    expect(readAttributes([word], 'windows-1251').get('comment')).toBe('П');
  });
});
