import { decodePDFRawStream, PDFArray, PDFDict, PDFDocument, PDFName, PDFNumber, PDFRawStream } from 'pdf-lib';
import type { PDFObject, PDFPage } from 'pdf-lib';

/** Reads a PDF back the way a viewer does: what stands where, by the fonts' own maps and widths. */

export interface Run {
  /** From 0. */
  page: number;
  text: string;
  font: string;
  size: number;
  /** Where its baseline begins; y counts from the bottom of the page. */
  x: number;
  y: number;
  /** The area it takes. */
  box: { left: number; right: number; bottom: number; top: number };
  /** Written across, as a stamp is. */
  is_turned: boolean;
}

export interface PdfText {
  doc: PDFDocument;
  sizes: { width: number; height: number }[];
  runs: Run[];
}

export async function readPdf(bytes: Uint8Array): Promise<PdfText> {
  const doc = await PDFDocument.load(bytes, { updateMetadata: false });
  const pages = doc.getPages();
  return { doc, sizes: pages.map(page => page.getSize()), runs: pages.flatMap(readPage) };
}

const decode = (stream: PDFRawStream) => new TextDecoder('latin1').decode(decodePDFRawStream(stream).decode());

interface FontMap {
  name: string;
  characters: Map<number, string>;
  widths: Map<number, number>;
}

const STEPS = /\/(\S+) (\S+) Tf|(\S+) (\S+) (\S+) (\S+) (\S+) (\S+) Tm|<([0-9A-Fa-f]*)> Tj/g;

function readPage(page: PDFPage, number: number): Run[] {
  const runs: Run[] = [];
  let font: FontMap | undefined;
  let [size, matrix] = [0, [1, 0, 0, 1, 0, 0]];
  for (const [, key, points, a, b, c, d, e, f, hex] of contentOf(page).matchAll(STEPS)) {
    if (key !== undefined) [font, size] = [readFont(page, key), Number(points)];
    else if (a !== undefined) matrix = [a, b, c, d, e, f].map(Number);
    else if (font) runs.push(placeRun({ page: number, font, size, matrix, hex: hex! }));
  }
  return runs;
}

function contentOf(page: PDFPage): string {
  const contents = page.node.Contents();
  const streams = contents instanceof PDFArray ? contents.asArray() : contents ? [contents] : [];
  return streams.map(stream => decode(page.doc.context.lookup(stream as PDFObject) as PDFRawStream)).join('\n');
}

const fonts = new WeakMap<PDFDict, FontMap>();

function readFont(page: PDFPage, key: string): FontMap {
  const font = page.node.Resources()!.lookup(PDFName.of('Font'), PDFDict).lookup(PDFName.of(key), PDFDict);
  const known = fonts.get(font);
  if (known) return known;
  const cmap = decode(font.lookup(PDFName.of('ToUnicode')) as PDFRawStream);
  const characters = new Map<number, string>();
  for (const [, code, units] of cmap.matchAll(/^<([0-9a-f]{4})> <([0-9a-f]+)>$/gim)) {
    const text = units!.match(/.{4}/g)!.map(unit => String.fromCharCode(Number.parseInt(unit, 16)));
    characters.set(Number.parseInt(code!, 16), text.join(''));
  }
  const descendant = font.lookup(PDFName.of('DescendantFonts'), PDFArray).lookup(0, PDFDict);
  const widths = readWidths(descendant.lookup(PDFName.of('W'), PDFArray));
  const read = { name: String(font.get(PDFName.of('BaseFont'))).slice(1), characters, widths };
  fonts.set(font, read);
  return read;
}

/** `first [width, width, …] …` */
function readWidths(list: PDFArray): Map<number, number> {
  const widths = new Map<number, number>();
  for (let i = 0; i + 1 < list.size(); i += 2) {
    const first = list.lookup(i, PDFNumber).asNumber();
    const some = list.lookup(i + 1, PDFArray);
    for (let n = 0; n < some.size(); n++) widths.set(first + n, some.lookup(n, PDFNumber).asNumber());
  }
  return widths;
}

function placeRun(at: { page: number; font: FontMap; size: number; matrix: number[]; hex: string }): Run {
  const { page, font, size, hex } = at;
  const [a, b, c, d, x, y] = at.matrix as [number, number, number, number, number, number];
  const codes = (hex.match(/.{4}/g) ?? []).map(code => Number.parseInt(code, 16));
  const text = codes.map(code => font.characters.get(code) ?? '<?>').join('');
  const width = codes.reduce((sum, code) => sum + (font.widths.get(code) ?? Number.NaN), 0) * (size / 1000);
  const corners = [0, width].flatMap(dx =>
    [-0.2 * size, 0.75 * size].map(dy => ({ x: x + a * dx + c * dy, y: y + b * dx + d * dy })),
  );
  const [xs, ys] = [corners.map(corner => corner.x), corners.map(corner => corner.y)];
  const box = { left: Math.min(...xs), right: Math.max(...xs), bottom: Math.min(...ys), top: Math.max(...ys) };
  return { page, text, font: font.name, size, x, y, box, is_turned: b !== 0 };
}

/** Pairs that cover each other, and what reaches over the margins, a few of each: a paper of ours has none. */
export function findMisplaced({ runs, sizes }: PdfText, margin: number): string[] {
  const outside = runs.filter(({ page, box }) => {
    const { width, height } = sizes[page]!;
    const inside = box.left >= margin - 0.1 && box.right <= width - margin + 0.1;
    return !(inside && box.bottom >= margin - 5 && box.top <= height - margin + 5);
  });
  const covered = sizes.flatMap((_, page) => {
    const here = runs.filter(run => run.page === page);
    return here.flatMap((run, i) => here.slice(i + 1).flatMap(other => (overlap(run, other) ? [[run, other]] : [])));
  });
  return [
    ...outside.slice(0, 3).map(run => `outside: ${JSON.stringify(run)}`),
    ...covered.slice(0, 3).map(pair => `covered: ${JSON.stringify(pair)}`),
  ];
}

const overlap = ({ box: a }: Run, { box: b }: Run) =>
  a.left < b.right - 0.1 && b.left < a.right - 0.1 && a.bottom < b.top - 0.1 && b.bottom < a.top - 0.1;
