/** Folding, slugs and phone numbers: pure. */

/** How search compares: NFKC, then lower case. Stored text and search term go through the same door. */
export const fold = (text: string): string => text.normalize('NFKC').toLowerCase();

/** Stands between the searched fields; input may not hold it, so a hit never spans two fields. */
export const FIELD_SEPARATOR = '\u001f';

export function joinSearchText(fields: readonly (string | null | undefined)[]): string {
  return fields.flatMap(field => (field ? [fold(field)] : [])).join(FIELD_SEPARATOR);
}

/** `Paket 10 Mbps` → `paket-10-mbps`. */
export function slugify(text: string): string {
  return (
    text
      .normalize('NFKD')
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 60) || 'plan'
  );
}

/** Calling codes of the countries whose providers we know of; another country's numbers must be typed with `+`. */
const CALLING_CODES: Record<string, string> = {
  ID: '62', MY: '60', SG: '65', PH: '63', TH: '66', VN: '84', TL: '670', BD: '880', IN: '91', PK: '92', LK: '94',
  NP: '977', KE: '254', NG: '234', GH: '233', TZ: '255', UG: '256', ZA: '27', BR: '55', AR: '54', MX: '52', CO: '57',
  PE: '51', CL: '56', GB: '44', DE: '49', PL: '48', CZ: '420', ES: '34', IT: '39', TR: '90', AU: '61',
}; // prettier-ignore

/** `0812-3456` → `+628123456` for ID. Null when it can't be told: then only what was typed is kept. */
export function toE164(typed: string, country: string): string | null {
  const compact = typed.replace(/[^\d+]/g, '');
  const international = compact.startsWith('+') ? compact.slice(1) : compact.startsWith('00') ? compact.slice(2) : null;
  const code = CALLING_CODES[country];
  const digits =
    international ??
    (code === undefined
      ? null
      : compact.startsWith('0')
        ? code + compact.slice(1)
        : compact.startsWith(code)
          ? compact
          : code + compact);
  return digits && /^[1-9]\d{6,14}$/.test(digits) ? `+${digits}` : null;
}
