/** Time zones and business dates: pure, `now` is handed in (epoch milliseconds). */

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(time_zone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(time_zone);
  if (!formatter) {
    formatter = new Intl.DateTimeFormat('en-CA', {
      timeZone: time_zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    formatters.set(time_zone, formatter);
  }
  return formatter;
}

export function isTimeZone(name: string): boolean {
  try {
    // not kept: anybody may ask, in any spelling
    new Intl.DateTimeFormat('en', { timeZone: name });
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

/** `2026-11-20`: the date on the wall of that zone. */
export function localDate(now: number, time_zone: string): string {
  const parts = localParts(now, time_zone);
  return `${parts.year}-${parts.month}-${parts.day}`;
}

function localParts(now: number, time_zone: string): Record<string, string> {
  return Object.fromEntries(
    formatterOf(time_zone)
      .formatToParts(now)
      .map(part => [part.type, part.value]),
  );
}

/** How far the zone's clock is ahead of UTC at that instant, in milliseconds. */
function zoneOffset_ms(now: number, time_zone: string): number {
  const p = localParts(now, time_zone);
  const wall = Date.UTC(+p.year!, +p.month! - 1, +p.day!, +p.hour!, +p.minute!, +p.second!);
  return wall - Math.floor(now / 1000) * 1000;
}

/** The instant (epoch ms) at which a business date begins in that zone. */
export function startOfDate(date: string, time_zone: string): number {
  const wall = Date.parse(`${date}T00:00:00Z`);
  // the offset may differ between the guess and the instant itself when clocks change that night
  const guess = wall - zoneOffset_ms(wall, time_zone);
  return wall - zoneOffset_ms(guess, time_zone);
}

/** The date `days` after (or before, when negative) a business date. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

export function startOfMonth(date: string): string {
  return `${date.slice(0, 7)}-01`;
}

export const toIso = (epoch_ms: number): string => new Date(epoch_ms).toISOString();

/** Today, on the tenant's calendar. */
export const businessDate = ({ now, tenant }: { now: number; tenant: { timezone: string } }): string =>
  localDate(now, tenant.timezone);
