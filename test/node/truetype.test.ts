import fontkit, { type Font } from '@pdf-lib/fontkit';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { advanceWidth, parseTrueType, subsetTrueType } from '../../src/lib/truetype.ts';

/** Ours against fontkit, which reads all of the format. */

const FOLDER = 'node_modules/dejavu-fonts-ttf/ttf';
const files = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map(name => ({
  name,
  bytes: new Uint8Array(readFileSync(`${FOLDER}/${name}`)),
}));

/** Its outline, its width, and how far its left edge is moved from the outline's own. */
function drawingOf(font: Font, glyph: number) {
  const { getGlyph, hhea, hmtx } = font as any;
  const { path, advanceWidth } = getGlyph.call(font, glyph);
  const over = glyph - hhea.numberOfMetrics;
  const bearing = over < 0 ? hmtx.metrics.get(glyph).bearing : hmtx.bearings.get(over);
  return { path: path.toSVG() as string, width: advanceWidth as number, bearing: bearing as number };
}

describe.each(files)('$name', ({ bytes }) => {
  const ours = parseTrueType(bytes);
  const theirs = fontkit.create(bytes);

  test('each character has the glyph and the width that fontkit finds', () => {
    expect([...ours.glyphs.keys()].sort((a, b) => a - b)).toEqual([...theirs.characterSet].sort((a, b) => a - b));
    for (const [character, glyph] of ours.glyphs) {
      expect(theirs.glyphForCodePoint(character).id).toBe(glyph);
      expect(advanceWidth(ours, glyph)).toBe(theirs.glyphForCodePoint(character).advanceWidth);
    }
    expect([ours.units_per_em, ours.ascent, ours.descent]).toEqual([theirs.unitsPerEm, theirs.ascent, theirs.descent]);
  });

  test('a subset draws its glyphs as the whole font does, composite ones too', () => {
    const composite = [...'éžÅǺḜ½'].map(character => ours.glyphs.get(character.codePointAt(0)!)!);
    const glyph = fc.constantFrom(...composite, ...ours.glyphs.values(), theirs.numGlyphs - 1);
    fc.assert(
      fc.property(fc.array(glyph, { maxLength: 30 }), chosen => {
        const wanted = [0, ...chosen];
        const file = subsetTrueType(ours, wanted);
        const subset = fontkit.create(file);
        expect(file.length).toBeLessThan(60_000);
        wanted.forEach((id, number) => expect(drawingOf(subset, number)).toEqual(drawingOf(theirs, id)));
      }),
      { numRuns: 50 },
    );
  });
});
