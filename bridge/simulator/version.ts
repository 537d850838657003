/** `7.18`, `7.18.2`, `7.18beta4`, `6.48 (long-term)`: major and minor; null where it doesn't begin like that. */
export function parseVersion(version: string): [major: number, minor: number] | null {
  const match = /^(\d+)\.(\d+)/.exec(version);
  return match ? [Number(match[1]), Number(match[2])] : null;
}

export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [has_major, has_minor] = parseVersion(version) ?? [7, 18];
  return has_major > major || (has_major === major && has_minor >= minor);
}

/** Dates as the version writes them: `sep/26/2026 20:00:00` in old ones, ISO-like from 7.10 on. */
export function formatDate(time_ms: number, version: string, zone = 'UTC'): string {
  const iso = getFormat(zone).format(time_ms);
  if (isAtLeast(version, 7, 10)) return iso;
  const [year, month, rest] = [iso.slice(0, 4), Number(iso.slice(5, 7)), iso.slice(8)];
  return `${MONTHS[month - 1]}/${rest.slice(0, 2)}/${year} ${rest.slice(3)}`;
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const formats = new Map<string, Intl.DateTimeFormat>();

// Swedish writes dates the ISO way: 2026-09-26 20:00:00.
function getFormat(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
    if (formats.size < 50) formats.set(zone, format);
  }
  return format;
}
