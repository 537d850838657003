import { parseDuration, parseBoolean } from '../lib/routeros/values.ts';
import type { ReadAnswer } from '../protocol/messages.ts';

/** One row of a router's answer, asked by RouterOS property names. Pure. */
export interface LiveRow {
  text(property: string): string | null;
  /** Whole numbers only; anything else is not known. */
  count(property: string): number | null;
  flag(property: string): boolean;
  /** `1w2d03:04:05` → seconds. */
  seconds(property: string): number | null;
  /** Both numbers of `upload/download`. */
  pair(property: string): [upload: number, download: number] | null;
}

export function listLiveRows({ properties, rows }: ReadAnswer): LiveRow[] {
  const places = new Map(properties.map((property, at) => [property, at]));
  return rows.map(row => makeRow(property => row[places.get(property) ?? -1] ?? null));
}

const toCount = (text: string | null): number | null =>
  text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;

function makeRow(text: (property: string) => string | null): LiveRow {
  return {
    text,
    count: property => toCount(text(property)),
    flag: property => parseBoolean(text(property) ?? '') ?? false,
    seconds: property => {
      const seconds = parseDuration(text(property) ?? '');
      return seconds === null ? null : Math.floor(seconds);
    },
    pair: property => {
      const [upload, download] = (text(property) ?? '').split('/').map(toCount);
      return upload != null && download != null ? [upload, download] : null;
    },
  };
}
