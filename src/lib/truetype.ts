/** TrueType files: which glyph a character has, how wide it is, and a smaller file of only some glyphs. Pure. */

export interface TrueType {
  bytes: Uint8Array;
  tables: ReadonlyMap<string, Uint8Array>;
  units_per_em: number;
  ascent: number;
  descent: number;
  /** xMin, yMin, xMax, yMax over all glyphs. */
  box: readonly [number, number, number, number];
  /** Character (code point) → glyph. */
  glyphs: ReadonlyMap<number, number>;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function parseTrueType(bytes: Uint8Array): TrueType {
  const view = viewOf(bytes);
  const tables = new Map<string, Uint8Array>();
  for (let i = 0; i < view.getUint16(4); i++) {
    const entry = 12 + 16 * i;
    const start = view.getUint32(entry + 8);
    tables.set(tag(bytes, entry), bytes.subarray(start, start + view.getUint32(entry + 12)));
  }
  const [head, hhea] = [viewOf(tableOf(tables, 'head')), viewOf(tableOf(tables, 'hhea'))];
  return {
    bytes,
    tables,
    units_per_em: head.getUint16(18),
    ascent: hhea.getInt16(4),
    descent: hhea.getInt16(6),
    box: [head.getInt16(36), head.getInt16(38), head.getInt16(40), head.getInt16(42)],
    glyphs: readCharacters(tableOf(tables, 'cmap')),
  };
}

const tag = (bytes: Uint8Array, at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));

function tableOf(tables: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const table = tables.get(name);
  if (!table) throw new Error(`the font has no table ${name}`);
  return table;
}

/** From the subtable for all of Unicode, which is a list of ranges. */
function readCharacters(cmap: Uint8Array): Map<number, number> {
  const view = viewOf(cmap);
  const starts = Array.from({ length: view.getUint16(2) }, (_, i) => view.getUint32(8 + 8 * i));
  const start = starts.find(at => view.getUint16(at) === 12);
  if (start === undefined) throw new Error('the font has no character map of format 12');
  const glyphs = new Map<number, number>();
  for (let i = 0; i < view.getUint32(start + 12); i++) {
    const range = start + 16 + 12 * i;
    const [first, last, glyph] = [view.getUint32(range), view.getUint32(range + 4), view.getUint32(range + 8)];
    for (let character = first; character <= last; character++) glyphs.set(character, glyph + character - first);
  }
  return glyphs;
}

/** In the font's units. The last glyphs may share one width. */
export function advanceWidth(font: TrueType, glyph: number): number {
  const widths = viewOf(tableOf(font.tables, 'hmtx'));
  return widths.getUint16(4 * Math.min(glyph, widthCount(font) - 1));
}

const widthCount = (font: TrueType) => viewOf(tableOf(font.tables, 'hhea')).getUint16(34);

function leftBearing(font: TrueType, glyph: number): number {
  const [widths, count] = [viewOf(tableOf(font.tables, 'hmtx')), widthCount(font)];
  return widths.getInt16(glyph < count ? 4 * glyph + 2 : 4 * count + 2 * (glyph - count));
}

function outlineOf(font: TrueType, glyph: number): Uint8Array {
  const loca = viewOf(tableOf(font.tables, 'loca'));
  const is_long = viewOf(tableOf(font.tables, 'head')).getInt16(50) === 1;
  const offset = (n: number) => (is_long ? loca.getUint32(4 * n) : 2 * loca.getUint16(2 * n));
  return tableOf(font.tables, 'glyf').slice(offset(glyph), offset(glyph + 1));
}

const [WORDS, SCALE, MORE, TWO_SCALES, MATRIX] = [0x01, 0x08, 0x20, 0x40, 0x80];

/** Where a composite outline names its parts: the offsets of their glyph numbers. */
function partsOf(outline: Uint8Array): number[] {
  const view = viewOf(outline);
  if (outline.length === 0 || view.getInt16(0) >= 0) return [];
  const parts: number[] = [];
  for (let at = 10, flags: number = MORE; flags & MORE;) {
    flags = view.getUint16(at);
    parts.push(at + 2);
    at += 4 + (flags & WORDS ? 4 : 2) + (flags & MATRIX ? 8 : flags & TWO_SCALES ? 4 : flags & SCALE ? 2 : 0);
  }
  return parts;
}

/**
 * A font file of just these glyphs, numbered as they are listed (the first must be 0, what stands for a missing one);
 * the parts of composite ones come after them. Without a character map: who uses it names glyphs by number.
 */
export function subsetTrueType(font: TrueType, wanted: readonly number[]): Uint8Array {
  const glyphs = [...wanted];
  const numbers = new Map(wanted.map((glyph, number) => [glyph, number]));
  const outlines: Uint8Array[] = [];
  for (let i = 0; i < glyphs.length; i++) {
    const outline = outlineOf(font, glyphs[i]!);
    const view = viewOf(outline);
    for (const at of partsOf(outline)) {
      const part = view.getUint16(at);
      if (!numbers.has(part)) numbers.set(part, glyphs.push(part) - 1);
      view.setUint16(at, numbers.get(part)!);
    }
    outlines.push(outline);
  }
  return writeFile(new Map([...keptTables(font), ...glyphTables(font, glyphs, outlines)]));
}

/** The instructions that outlines refer to. */
function keptTables(font: TrueType): [string, Uint8Array][] {
  return ['cvt ', 'fpgm', 'prep'].flatMap(name => {
    const table = font.tables.get(name);
    return table ? [[name, table] as [string, Uint8Array]] : [];
  });
}

function glyphTables(font: TrueType, glyphs: readonly number[], outlines: Uint8Array[]): [string, Uint8Array][] {
  const copy = (name: string) => tableOf(font.tables, name).slice();
  const [head, hhea, maxp] = [copy('head'), copy('hhea'), copy('maxp')];
  viewOf(head).setInt16(50, 1); // loca in its long form
  viewOf(hhea).setUint16(34, glyphs.length);
  viewOf(maxp).setUint16(4, glyphs.length);
  const hmtx = new Uint8Array(4 * glyphs.length);
  const loca = new Uint8Array(4 * (glyphs.length + 1));
  let end = 0;
  for (const [i, glyph] of glyphs.entries()) {
    viewOf(hmtx).setUint16(4 * i, advanceWidth(font, glyph));
    viewOf(hmtx).setInt16(4 * i + 2, leftBearing(font, glyph));
    end += padded(outlines[i]!.length);
    viewOf(loca).setUint32(4 * (i + 1), end);
  }
  const glyf = new Uint8Array(end);
  for (const [i, outline] of outlines.entries()) glyf.set(outline, viewOf(loca).getUint32(4 * i));
  return Object.entries({ glyf, head, hhea, hmtx, loca, maxp });
}

const padded = (length: number) => (length + 3) & ~3;

/** Checksums stay zero: nothing that reads a font inside a document looks at them. */
function writeFile(tables: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const sorted = [...tables].sort(([a], [b]) => (a < b ? -1 : 1));
  const directory_length = 12 + 16 * sorted.length;
  const length = sorted.reduce((sum, [, table]) => sum + padded(table.length), directory_length);
  const file = new Uint8Array(length);
  const view = viewOf(file);
  const power = Math.floor(Math.log2(sorted.length));
  view.setUint32(0, 0x00010000);
  [sorted.length, 16 * 2 ** power, power, 16 * (sorted.length - 2 ** power)].forEach((n, i) => {
    view.setUint16(4 + 2 * i, n);
  });
  let at = directory_length;
  for (const [i, [name, table]] of sorted.entries()) {
    const entry = 12 + 16 * i;
    file.set(new TextEncoder().encode(name), entry);
    view.setUint32(entry + 8, at);
    view.setUint32(entry + 12, table.length);
    file.set(table, at);
    at += padded(table.length);
  }
  return file;
}
