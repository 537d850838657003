/** Amounts of money as people read them: pure. Everywhere else an amount is an integer in the smallest unit in use. */

/** Whose smallest unit in use isn't what ISO 4217 says. */
const DIGITS_IN_PRACTICE: Readonly<Record<string, number>> = { IDR: 0 };

const formatters = new Map<string, Intl.NumberFormat>();

function formatterOf(currency: string, locale: string): Intl.NumberFormat {
  const key = `${locale} ${currency}`;
  let formatter = formatters.get(key);
  if (!formatter) {
    const digits = DIGITS_IN_PRACTICE[currency];
    const options = digits === undefined ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formatter = new Intl.NumberFormat(locale, { style: 'currency', currency, ...options });
    formatters.set(key, formatter);
  }
  return formatter;
}

/** `150000` IDR → `Rp 150.000` in `id`; 1999 USD → `$19.99` in `en`. */
export function formatMoney(amount: number, currency: string, locale: string): string {
  const formatter = formatterOf(currency, locale);
  const digits = formatter.resolvedOptions().maximumFractionDigits ?? 0;
  // a line break between sign and figure would help nobody
  return formatter.format(amount / 10 ** digits);
}
