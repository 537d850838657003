import { formatMoney } from '../lib/money.ts';
import type { Fonts } from './fonts.ts';
import { drawIssuer, drawRunningHead } from './heads.ts';
import { formatDate, labelsOf, languageOf, methodOf } from './labels.ts';
import type { ReceiptPaper } from './paper.ts';
import {
  A5,
  COLORS,
  drawFeet,
  drawStamp,
  fillBand,
  finishSheet,
  innerWidth,
  type Sheet,
  startSheet,
  writeLine,
  OVERHANG,
} from './sheet.ts';
import { drawRow, drawTable, layColumns, type Column } from './table.ts';

/** A receipt on A5, upright: that is how it reads on a phone, too. */
export async function drawReceipt(paper: ReceiptPaper, fonts: Fonts): Promise<Uint8Array> {
  const language = languageOf(paper.locale);
  const options = { size: A5, margin: 34, title: paper.number, language, date: paper.received_on };
  const sheet = await startSheet(fonts, options);
  const labels = labelsOf(language);
  const suffix = paper.voided ? ` · ${labels.void}` : '';
  sheet.beginPage = () => drawRunningHead(sheet, `${labels.receipt} ${paper.number}${suffix}`);

  drawIssuer(sheet, paper.issuer, labels.receipt, paper.number);
  drawAmount(sheet, paper);
  drawFacts(sheet, paper);
  drawSettled(sheet, paper);
  drawFeet(sheet, paper.issuer.business_name, language);
  return finishSheet(sheet);
}

/** What was received, and to its right a stamp where it doesn't count any more. */
function drawAmount(sheet: Sheet, paper: ReceiptPaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const amount = formatMoney(paper.amount, paper.currency, language);
  const width = innerWidth(sheet);
  fillBand(sheet, {
    x: sheet.margin - OVERHANG,
    y: sheet.y,
    width: width + 2 * OVERHANG,
    height: 60,
    color: COLORS.tint,
  });
  const place = { x: sheet.margin, within: paper.voided ? width - 205 : width };
  writeLine(sheet, labels.amount_received, { ...place, y: sheet.y + 11, size: 8, color: COLORS.muted });
  writeLine(sheet, amount, { ...place, y: sheet.y + 26, size: 20, bold: true, color: COLORS.accent });
  const stamp = { x: sheet.margin + width - 95, y: sheet.y + 30, color: COLORS.bad };
  if (paper.voided) drawStamp(sheet, labels.void, stamp);
  sheet.y += 70;
}

function drawFacts(sheet: Sheet, paper: ReceiptPaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const { customer, voided } = paper;
  const facts: [label: string, value: string | null | undefined][] = [
    [labels.received_from, customer.full_name],
    [labels.customer_code, customer.customer_code],
    [labels.address, customer.address],
    [labels.phone, customer.phone],
    [labels.received_on, formatDate(paper.received_on, language)],
    [labels.payment_method, methodOf(paper.payment_method, labels)],
    [labels.reference_number, paper.reference_number],
    [labels.received_by, paper.received_by],
    [labels.voided_on, voided && formatDate(voided.on, language)],
    [labels.reason, voided?.reason],
  ];
  const columns: Column[] = [
    { title: '', align: 'left', width: 118, look: { color: COLORS.muted, bold: false } },
    { title: '', align: 'left', width: innerWidth(sheet) - 118 },
  ];
  for (const [label, value] of facts) {
    const bold = label === labels.received_from;
    if (value) drawRow(sheet, columns, [label, value], { size: 8.5, padding: 2, bold });
  }
  sheet.y += 12;
}

/** What it was for; what is over is the customer's credit. */
function drawSettled(sheet: Sheet, paper: ReceiptPaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const money = (amount: number) => formatMoney(amount, paper.currency, language);
  const rows = paper.settled.map(({ description, amount }) => [description, money(amount)]);
  if (paper.credit !== 0) rows.push([labels.credit, money(paper.credit)]);
  const total = [labels.total, money(paper.amount)];
  const cells = [...rows, total].map(row => row[1]!);
  const columns = layColumns(sheet, labels.settled, [{ title: labels.amount, cells, most: 150 }]);
  drawTable(sheet, columns, rows);
  drawRow(sheet, columns, total, { size: 9, bold: true, padding: 8 });
}
