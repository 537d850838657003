import type { PDFDocument, PDFFont } from 'pdf-lib';
import { advanceWidth, parseTrueType, subsetTrueType, type TrueType } from '../lib/truetype.ts';
import type { Fonts } from './fonts.ts';
import { cleanLine } from './text.ts';

/** The two cuts of our font within one document: only the glyphs in use are put into it. */

export interface Face {
  font: PDFFont;
  clean(text: string): string;
  /** Of clean text, in points. */
  width(text: string, size: number): number;
}

export interface Faces {
  regular: Face;
  bold: Face;
}

export async function embedFaces(doc: PDFDocument, fonts: Fonts): Promise<Faces> {
  doc.registerFontkit({ create: readFont } as unknown as Parameters<PDFDocument['registerFontkit']>[0]);
  return {
    regular: await embedFace(doc, fonts.regular, 'RUKUNR+DejaVuSans'),
    bold: await embedFace(doc, fonts.bold, 'RUKUNB+DejaVuSans-Bold'),
  };
}

/** The name begins with six letters, as that of a font must which isn't there as a whole. */
async function embedFace(doc: PDFDocument, bytes: Uint8Array, customName: string): Promise<Face> {
  const font = await doc.embedFont(bytes, { subset: true, customName });
  const known = new Set(font.getCharacterSet());
  return {
    font,
    clean: text => cleanLine(text, character => known.has(character)),
    width: (text, size) => font.widthOfTextAtSize(text, size),
  };
}

/** What pdf-lib tells apart by `id`; ours is the character, so that two which look alike are still copied as two. */
interface Glyph {
  id: number;
  codePoints: number[];
  advanceWidth: number;
}

/**
 * What pdf-lib asks of @pdf-lib/fontkit (ligatures and shaping left aside), which alone would be bigger than the rest
 * of the Worker.
 */
function readFont(bytes: Uint8Array) {
  const font = parseTrueType(bytes);
  const [minX, minY, maxX, maxY] = font.box;
  const glyphOf = (character: number): Glyph => ({
    id: character,
    codePoints: [character],
    advanceWidth: advanceWidth(font, font.glyphs.get(character) ?? 0),
  });
  return {
    unitsPerEm: font.units_per_em,
    ascent: font.ascent,
    descent: font.descent,
    bbox: { minX, minY, maxX, maxY },
    italicAngle: 0,
    head: { macStyle: { italic: false } },
    post: { isFixedPitch: false },
    cff: false,
    characterSet: [...font.glyphs.keys()],
    layout: (text: string) => ({ glyphs: Array.from(text, character => glyphOf(character.codePointAt(0)!)) }),
    createSubset: () => startSubset(font),
  };
}

function startSubset(font: TrueType) {
  const numbers = new Map<number, number>();
  return {
    cff: false,
    includeGlyph({ id }: Glyph): number {
      if (!numbers.has(id)) numbers.set(id, numbers.size + 1);
      return numbers.get(id)!;
    },
    encodeStream() {
      const glyphs = [0, ...Array.from(numbers.keys(), character => font.glyphs.get(character) ?? 0)];
      const stream = {
        on(event: string, hear: (bytes?: Uint8Array) => void) {
          if (event === 'data') hear(subsetTrueType(font, glyphs));
          if (event === 'end') hear();
          return stream;
        },
      };
      return stream;
    },
  };
}
