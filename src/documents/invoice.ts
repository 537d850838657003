import { formatMoney } from '../lib/money.ts';
import type { Fonts } from './fonts.ts';
import { drawIssuer, drawRunningHead } from './heads.ts';
import { formatDate, formatPeriod, formatQuantity, formatShare, labelsOf, languageOf } from './labels.ts';
import type { InvoicePaper } from './paper.ts';
import {
  A4,
  COLORS,
  drawFeet,
  drawStamp,
  ensureSpace,
  fillBand,
  finishSheet,
  innerWidth,
  OVERHANG,
  setLines,
  type Sheet,
  stackText,
  startSheet,
  writeLine,
} from './sheet.ts';
import { drawTable, layColumns } from './table.ts';

/** An invoice on A4: who to whom, what for, what is due, and how to pay it. */
export async function drawInvoice(paper: InvoicePaper, fonts: Fonts): Promise<Uint8Array> {
  const language = languageOf(paper.locale);
  const options = { size: A4, margin: 48, title: paper.number, language, date: paper.issue_date };
  const sheet = await startSheet(fonts, options);
  const labels = labelsOf(language);
  const suffix = paper.status === 'void' ? ` · ${labels.void}` : '';
  sheet.beginPage = () => drawRunningHead(sheet, `${labels.invoice} ${paper.number}${suffix}`);

  drawIssuer(sheet, paper.issuer, labels.invoice, paper.number);
  drawParties(sheet, paper);
  drawLines(sheet, paper);
  drawTotals(sheet, paper);
  if (amountDue(paper) > 0) drawInstructions(sheet, paper);
  drawFeet(sheet, paper.issuer.business_name, language);
  return finishSheet(sheet);
}

/** How wide the sums are, and the facts above them. */
const SUMS = 220;

/** Nothing is due on what is void. */
const amountDue = ({ status, total, paid }: InvoicePaper) => (status === 'void' ? 0 : Math.max(0, total - paid));

const STATUS_COLORS = { pending: COLORS.ink, paid: COLORS.good, overdue: COLORS.bad, void: COLORS.bad };

/** Left to whom, right when and for what. */
function drawParties(sheet: Sheet, paper: InvoicePaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const { customer } = paper;
  const right = sheet.margin + innerWidth(sheet);
  const facts = [
    { label: labels.issue_date, value: formatDate(paper.issue_date, language) },
    { label: labels.due_date, value: formatDate(paper.due_date, language), bold: true },
    { label: labels.period, value: formatPeriod(paper.period_month, paper.period_year, language) },
    { label: labels.status, value: labels[paper.status], bold: true, color: STATUS_COLORS[paper.status] },
  ];
  let facts_end = sheet.y;
  for (const { label, value, ...look } of facts) {
    const place = { size: 9, y: facts_end, within: 105 };
    writeLine(sheet, label, { ...place, x: right - SUMS, color: COLORS.muted });
    writeLine(sheet, value, { ...place, ...look, x: right, align: 'right' });
    facts_end += 16;
  }
  const column = { x: sheet.margin, y: sheet.y, width: innerWidth(sheet) - SUMS - 30 };
  const small = { size: 9, color: COLORS.muted };
  const to_end = stackText(sheet, column, [
    { text: labels.bill_to, size: 8, color: COLORS.muted, most: 1, gap: 2 },
    { text: customer.full_name, size: 11.5, bold: true, most: 6, gap: 2 },
    { text: customer.customer_code, ...small, most: 2 },
    { text: customer.address, ...small, most: 8 },
    { text: customer.phone, ...small, most: 1 },
  ]);
  sheet.y = Math.max(facts_end, to_end) + 20;
}

function drawLines(sheet: Sheet, paper: InvoicePaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const money = (amount: number) => formatMoney(amount, paper.currency, language);
  const rows = paper.lines.map(line => [
    line.description,
    formatQuantity(line.quantity, language),
    money(line.unit_price),
    money(line.amount),
  ]);
  const cells = (column: number) => rows.map(row => row[column]!);
  const columns = layColumns(sheet, labels.description, [
    { title: labels.quantity, cells: cells(1), most: 70 },
    { title: labels.unit_price, cells: cells(2), most: 130 },
    { title: labels.amount, cells: cells(3), most: 130 },
  ]);
  drawTable(sheet, columns, rows);
}

/** The sums to the right, kept together; to their left there is room for a stamp. */
function drawTotals(sheet: Sheet, paper: InvoicePaper): void {
  const language = languageOf(paper.locale);
  const labels = labelsOf(language);
  const money = (amount: number) => formatMoney(amount, paper.currency, language);
  const taxed = paper.tax !== 0 || paper.tax_rate_bp !== 0;
  const tax_label = `${labels.tax} ${formatShare(paper.tax_rate_bp, language)}`;
  const sums = [
    { label: labels.subtotal, amount: paper.subtotal, bold: false },
    ...(taxed ? [{ label: tax_label, amount: paper.tax, bold: false }] : []),
    { label: labels.total, amount: paper.total, bold: true },
    ...(paper.paid === 0 ? [] : [{ label: labels.paid_so_far, amount: paper.paid, bold: false }]),
  ];
  ensureSpace(sheet, 120);
  sheet.y += 12;
  const right = sheet.margin + innerWidth(sheet);
  const top = sheet.y;
  for (const { label, amount, bold } of sums) {
    const place = { size: 9.5, y: sheet.y, bold };
    const color = bold ? COLORS.ink : COLORS.muted;
    writeLine(sheet, label, { ...place, x: right - SUMS, within: 90, color });
    writeLine(sheet, money(amount), { ...place, x: right, within: 125, align: 'right' });
    sheet.y += 17;
  }
  if (paper.status !== 'void') drawAmountDue(sheet, labels.amount_due, money(amountDue(paper)), paper.status);
  sheet.y = Math.max(sheet.y, top + 76);
  const stamp = { x: sheet.margin + 115, y: top + 38, color: STATUS_COLORS[paper.status] };
  if (paper.status === 'paid' || paper.status === 'void') drawStamp(sheet, labels[paper.status], stamp);
}

function drawAmountDue(sheet: Sheet, label: string, amount: string, status: InvoicePaper['status']): void {
  const right = sheet.margin + innerWidth(sheet);
  const color = status === 'paid' ? COLORS.good : COLORS.accent;
  const width = SUMS + 2 * OVERHANG;
  fillBand(sheet, { x: right - SUMS - OVERHANG, y: sheet.y + 2, width, height: 28, color });
  const look = { bold: true, color: COLORS.white };
  writeLine(sheet, label, { ...look, x: right - SUMS, y: sheet.y + 11, size: 9.5, within: 90 });
  const place = { x: right, y: sheet.y + 9, size: 12, within: 125, align: 'right' as const };
  writeLine(sheet, amount, { ...look, ...place });
  sheet.y += 30;
}

function drawInstructions(sheet: Sheet, paper: InvoicePaper): void {
  if (!paper.payment_instructions) return;
  const labels = labelsOf(languageOf(paper.locale));
  const [style, width] = [{ size: 9 }, innerWidth(sheet)];
  const lines = setLines(sheet, paper.payment_instructions, { ...style, width, typed_lines: true });
  ensureSpace(sheet, 60);
  sheet.y += 24;
  const title = { x: sheet.margin, y: sheet.y, size: 9.5, bold: true, within: width };
  writeLine(sheet, labels.payment_instructions, title);
  sheet.y += 17;
  for (const line of lines) {
    ensureSpace(sheet, 14);
    writeLine(sheet, line, { ...style, x: sheet.margin, y: sheet.y, within: width });
    sheet.y += 14;
  }
}
