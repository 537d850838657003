import type { Issuer } from './paper.ts';
import { COLORS, drawRule, innerWidth, setLines, stackText, writeLine, type Sheet } from './sheet.ts';

/** How a paper begins. */

/** Left who sends it, right what it is. */
export function drawIssuer(sheet: Sheet, issuer: Issuer, title: string, number: string): void {
  const width = innerWidth(sheet);
  const right = { x: sheet.margin + width, within: width * 0.38, align: 'right' as const };
  writeLine(sheet, title, { ...right, y: sheet.y - 2, size: 22, bold: true, color: COLORS.accent });
  writeLine(sheet, number, { ...right, y: sheet.y + 28, size: 10, bold: true });
  const small = { size: 8.5, color: COLORS.muted };
  const column = { x: sheet.margin, y: sheet.y, width: width * 0.58 };
  const contacts = [issuer.phone, issuer.email].filter(contact => contact !== null);
  const in_one = contacts.join(' · ');
  const fits = setLines(sheet, in_one, { ...small, width: column.width }).length === 1;
  const end = stackText(sheet, column, [
    { text: issuer.business_name, size: 15, bold: true, most: 4, gap: 3 },
    { text: issuer.address, ...small, most: 8 },
    { text: fits ? in_one : contacts.join('\n'), ...small, most: 4 },
  ]);
  sheet.y = Math.max(end, sheet.y + 44) + 12;
  drawRule(sheet, sheet.y, { color: COLORS.accent, thickness: 1.6 });
  sheet.y += 20;
}

/** What a further page belongs to. */
export function drawRunningHead(sheet: Sheet, text: string): void {
  const place = { x: sheet.margin, y: sheet.y, size: 8.5, within: innerWidth(sheet), color: COLORS.muted };
  writeLine(sheet, text, place);
  sheet.y += 24;
}
