import { degrees, PDFDocument, rgb, type Color, type PDFPage } from 'pdf-lib';
import { embedFaces, type Faces } from './faces.ts';
import type { Fonts } from './fonts.ts';
import { labelsOf, startOf, type Language } from './labels.ts';
import { clipLines, splitLines, wrapLine } from './text.ts';

/** Paper that fills from the top down; lengths are points, `y` counts from the top of the page. */

export interface Sheet {
  doc: PDFDocument;
  faces: Faces;
  page: PDFPage;
  size: readonly [width: number, height: number];
  margin: number;
  /** How far down this page is filled. */
  y: number;
  /** Drawn at the top of each further page. */
  beginPage: () => void;
}

export const [A4, A5] = [[595.28, 841.89] as const, [419.53, 595.28] as const];

export const COLORS = {
  ink: rgb(0.11, 0.15, 0.19),
  muted: rgb(0.39, 0.44, 0.49),
  hairline: rgb(0.84, 0.87, 0.89),
  tint: rgb(0.94, 0.96, 0.97),
  accent: rgb(0.05, 0.3, 0.38),
  white: rgb(1, 1, 1),
  good: rgb(0.07, 0.47, 0.25),
  bad: rgb(0.72, 0.13, 0.11),
};

/** Kept free for the foot of each page, and what stands at the head of a further one at most. */
const [FOOT, HEAD] = [30, 50];

export const LINE_HEIGHT = 1.4;

/** How far bands and the rules of tables reach over the margins, so that the text within stays flush with them. */
export const OVERHANG = 8;

export interface SheetOptions {
  size: readonly [number, number];
  margin: number;
  /** The number of the paper. */
  title: string;
  language: Language;
  /** YYYY-MM-DD: the same paper is the same file, whenever it is drawn. */
  date: string;
}

export async function startSheet(fonts: Fonts, { size, margin, title, language, date }: SheetOptions): Promise<Sheet> {
  const doc = await PDFDocument.create({ updateMetadata: false });
  const faces = await embedFaces(doc, fonts);
  doc.setTitle(faces.regular.clean(title), { showInWindowTitleBar: true });
  doc.setLanguage(language);
  doc.setProducer('Rukun');
  doc.setCreator('Rukun');
  doc.setCreationDate(startOf(date));
  doc.setModificationDate(startOf(date));
  return { doc, faces, page: doc.addPage([...size]), size, margin, y: margin, beginPage: () => {} };
}

/** Between the margins. */
export const innerWidth = ({ size, margin }: Sheet): number => size[0] - 2 * margin;

const endOfPage = ({ size, margin }: Sheet): number => size[1] - margin - FOOT;

/** Turns to a new page unless so much fits on this one. What fits on no page begins at the top of one. */
export function ensureSpace(sheet: Sheet, height: number): void {
  const room = endOfPage(sheet) - sheet.margin - HEAD;
  if (sheet.y + Math.min(height, room) <= endOfPage(sheet)) return;
  sheet.page = sheet.doc.addPage([...sheet.size]);
  sheet.y = sheet.margin;
  sheet.beginPage();
}

export interface Style {
  size: number;
  bold?: boolean;
  color?: Color;
}

export interface Placement extends Style {
  /** The left edge, or the right one of what is aligned there. */
  x: number;
  y: number;
  /** Set smaller where it would be wider. */
  within: number;
  align?: 'left' | 'right';
}

const faceOf = (sheet: Sheet, style: Style) => (style.bold ? sheet.faces.bold : sheet.faces.regular);

/** One line whose top is at `y`. */
export function writeLine(sheet: Sheet, text: string, place: Placement): void {
  const face = faceOf(sheet, place);
  const clean = face.clean(text);
  if (clean === '') return;
  const width = face.width(clean, place.size);
  const shrink = Math.min(1, place.within / width);
  const x = place.align === 'right' ? place.x - width * shrink : place.x;
  // the baseline of text of the full size, so that a smaller figure stands in line with its neighbours
  const y = sheet.size[1] - place.y - place.size;
  const color = place.color ?? COLORS.ink;
  sheet.page.drawText(clean, { x, y, size: place.size * shrink, font: face.font, color });
}

/** The text in lines of that width; line breaks are kept with `typed_lines`, and what is over `most` is cut. */
export function setLines(
  sheet: Sheet,
  text: string,
  { width, most, typed_lines, ...style }: Style & { width: number; most?: number; typed_lines?: boolean },
): string[] {
  const face = faceOf(sheet, style);
  const measure = (line: string) => face.width(line, style.size);
  const typed = typed_lines ? splitLines(text) : [text];
  const lines = typed.flatMap(line => wrapLine(face.clean(line), width, measure));
  return most === undefined ? lines : clipLines(lines, most, width, measure);
}

export interface Piece extends Style {
  text: string | null;
  most: number;
  /** Space after it. */
  gap?: number;
}

/** Pieces of text below each other within a column; returns where they end. What is null takes no space. */
export function stackText(sheet: Sheet, at: { x: number; y: number; width: number }, pieces: Piece[]): number {
  let y = at.y;
  for (const { text, most, gap = 0, ...style } of pieces) {
    const lines = text === null ? [] : setLines(sheet, text, { ...style, width: at.width, most, typed_lines: true });
    for (const line of lines) {
      writeLine(sheet, line, { ...style, x: at.x, y, within: at.width });
      y += style.size * LINE_HEIGHT;
    }
    if (lines.length > 0) y += gap;
  }
  return y;
}

/** A filled band from `y` down. */
export function fillBand(
  sheet: Sheet,
  band: { x: number; y: number; width: number; height: number; color: Color },
): void {
  const { x, width, height, color } = band;
  sheet.page.drawRectangle({ x, y: sheet.size[1] - band.y - height, width, height, color });
}

export function drawRule(sheet: Sheet, y: number, look: { color?: Color; thickness?: number } = {}): void {
  const { color = COLORS.hairline, thickness = 0.6 } = look;
  const at = sheet.size[1] - y;
  const [left, right] = [sheet.margin - OVERHANG, sheet.size[0] - sheet.margin + OVERHANG];
  sheet.page.drawLine({ start: { x: left, y: at }, end: { x: right, y: at }, color, thickness });
}

/** A framed word across, as from a rubber stamp, around a centre. */
export function drawStamp(sheet: Sheet, word: string, at: { x: number; y: number; color: Color }): void {
  const [size, turn] = [20, 8];
  const face = sheet.faces.bold;
  const text = face.clean(word.toUpperCase());
  const [width, height] = [face.width(text, size) + 32, size * 2];
  const [sin, cos] = [Math.sin((turn * Math.PI) / 180), Math.cos((turn * Math.PI) / 180)];
  /** Where a point lies that is so far from the centre before the turn. */
  const turned = (dx: number, dy: number) => ({
    x: at.x + dx * cos - dy * sin,
    y: sheet.size[1] - at.y + dx * sin + dy * cos,
  });
  const look = { rotate: degrees(turn), opacity: 0.9, borderOpacity: 0.9 };
  for (const [inset, borderWidth] of [
    [0, 2.2],
    [4, 0.7],
  ] as const)
    sheet.page.drawRectangle({
      ...turned(inset - width / 2, inset - height / 2),
      width: width - 2 * inset,
      height: height - 2 * inset,
      borderColor: at.color,
      borderWidth,
      ...look,
    });
  const start = turned(16 - width / 2, -0.36 * size);
  sheet.page.drawText(text, { ...start, size, font: face.font, color: at.color, ...look });
}

/** Once all pages are there: who sent it, and which page of how many. */
export function drawFeet(sheet: Sheet, name: string, language: Language): void {
  const pages = sheet.doc.getPages();
  const style = { size: 7.5, color: COLORS.muted };
  const y = sheet.size[1] - sheet.margin - 10;
  const width = innerWidth(sheet);
  const [short] = setLines(sheet, name, { ...style, width: width * 0.6, most: 1 });
  for (const [index, page] of pages.entries()) {
    sheet.page = page;
    const count = labelsOf(language)
      .page.replace('{page}', String(index + 1))
      .replace('{pages}', String(pages.length));
    drawRule(sheet, y - 8);
    writeLine(sheet, short!, { ...style, x: sheet.margin, y, within: width * 0.6 });
    writeLine(sheet, count, { ...style, x: sheet.margin + width, y, within: width * 0.35, align: 'right' });
  }
}

/** No pauses while it is written: that is for pages that must stay responsive. */
export const finishSheet = ({ doc }: Sheet): Promise<Uint8Array> => doc.save({ objectsPerTick: Infinity });
