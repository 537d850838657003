import {
  COLORS,
  drawRule,
  ensureSpace,
  fillBand,
  innerWidth,
  LINE_HEIGHT,
  OVERHANG,
  setLines,
  writeLine,
} from './sheet.ts';
import type { Sheet, Style } from './sheet.ts';

/** Rows of columns that flow over pages: text wraps, figures stand to the right in one line. */

export interface Column {
  title: string;
  align: 'left' | 'right';
  width: number;
  look?: Partial<Style>;
}

/** `padding` is above and below. */
type RowStyle = Style & { padding: number };

/** Above and below the text of a row; between columns. */
const [PADDING, GAP] = [6, 14];
const BODY = { size: 9, padding: PADDING };
const TITLE = { size: 7.5, bold: true, color: COLORS.muted };

const lineHeight = (style: Style) => style.size * LINE_HEIGHT;

/** How wide a column of figures must be: as its widest one (in bold, as a sum is), but within bounds. */
function fitColumn(sheet: Sheet, title: string, figures: readonly string[], most: number): number {
  const { bold } = sheet.faces;
  const widths = figures.map(figure => bold.width(bold.clean(figure), BODY.size));
  return Math.min(most, Math.max(bold.width(title, TITLE.size), ...widths) + GAP);
}

/** The first column takes what the columns of figures leave. */
export function layColumns(
  sheet: Sheet,
  first_title: string,
  figures: { title: string; cells: readonly string[]; most: number }[],
): Column[] {
  const others = figures.map(({ title, cells, most }): Column => {
    return { title, align: 'right', width: fitColumn(sheet, title, cells, most) };
  });
  const width = innerWidth(sheet) - others.reduce((sum, column) => sum + column.width, 0);
  return [{ title: first_title, align: 'left', width }, ...others];
}

export function drawTable(sheet: Sheet, columns: readonly Column[], rows: readonly string[][]): void {
  const begin = sheet.beginPage;
  ensureSpace(sheet, 60);
  drawTitles(sheet, columns);
  sheet.beginPage = () => {
    begin();
    drawTitles(sheet, columns);
  };
  for (const row of rows) {
    drawRow(sheet, columns, row, BODY);
    drawRule(sheet, sheet.y);
  }
  sheet.beginPage = begin;
}

function drawTitles(sheet: Sheet, columns: readonly Column[]): void {
  const height = lineHeight(TITLE) + 2 * PADDING;
  const width = innerWidth(sheet) + 2 * OVERHANG;
  fillBand(sheet, { x: sheet.margin - OVERHANG, y: sheet.y, width, height, color: COLORS.tint });
  const titles = columns.map(column => [column.title]);
  drawCells(sheet, columns, titles, sheet.y + PADDING + 0.5, TITLE);
  sheet.y += height;
}

/** Kept together where a page can hold it. */
export function drawRow(sheet: Sheet, columns: readonly Column[], cells: readonly string[], style: RowStyle): void {
  const lines = cells.map((cell, i) => {
    const { align, width, look } = columns[i]!;
    return align === 'right' ? [cell] : setLines(sheet, cell, { ...style, ...look, width });
  });
  const count = Math.max(...lines.map(cell => cell.length));
  ensureSpace(sheet, count * lineHeight(style) + 2 * style.padding);
  sheet.y += style.padding;
  for (let n = 0; n < count; n++) {
    ensureSpace(sheet, lineHeight(style) + style.padding);
    const nth = lines.map(cell => cell.slice(n, n + 1));
    drawCells(sheet, columns, nth, sheet.y, style);
    sheet.y += lineHeight(style);
  }
  sheet.y += style.padding;
}

/** At most one line in each. */
function drawCells(sheet: Sheet, columns: readonly Column[], cells: string[][], y: number, style: Style): void {
  let left = sheet.margin;
  for (const [i, { align, width, look }] of columns.entries()) {
    const place = align === 'right' ? { x: left + width, within: width - GAP } : { x: left, within: width };
    for (const text of cells[i] ?? []) writeLine(sheet, text, { ...style, ...look, ...place, y, align });
    left += width;
  }
}
