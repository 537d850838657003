/** Comma-separated values (RFC 4180) that a spreadsheet shows and never runs. Pure. */

/** What a spreadsheet takes for a formula, or for the end of a cell. */
const RUNS = /^[=+\-@\t\r]/;

function writeCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const shown = typeof value === 'string' && RUNS.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}

/** One line. Objects become JSON; nothing becomes an empty cell. */
export const writeCsvLine = (cells: readonly unknown[]): string => `${cells.map(writeCell).join(',')}\r\n`;
