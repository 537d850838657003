/** Numbers of invoices and receipts, from the tenant's pattern: pure. */

/** `INV/{year}/{month}/{number}`; `{number:6}` for six digits. */
const PLACEHOLDER = /\{(year|month|number)(?::([1-9]))?\}/g;

export function isNumberPattern(text: string): boolean {
  const found = [...text.matchAll(PLACEHOLDER)];
  const numbers = found.filter(([, name]) => name === 'number');
  const rest = text.replace(PLACEHOLDER, '');
  return (
    numbers.length === 1 &&
    // beside other digits, numbers of two patterns could be the same
    !/[\d}]\{number|\{number(:\d)?\}[\d{]/.test(text) &&
    found.every(([, name, digits]) => digits === undefined || name === 'number') &&
    /^[\p{L}\d ./_#-]*$/u.test(rest)
  );
}

/** What stands around the running number on that date, and the sequence that it is taken from. */
export interface NumberSeries {
  sequence: string;
  before: string;
  after: string;
  digits: number;
}

/** Each year or month that the pattern names has a sequence of its own. */
export function seriesOf(kind: 'invoice' | 'receipt', pattern: string, date: string): NumberSeries {
  const dated = pattern.replaceAll('{year}', date.slice(0, 4)).replaceAll('{month}', date.slice(5, 7));
  const [, before = '', digits = '4', after = ''] = /^(.*)\{number(?::(\d))?\}(.*)$/.exec(dated)!;
  return { sequence: `${kind}:${before}{number}${after}`, before, after, digits: Number(digits) };
}
