/**
 * Where the shown events begin, kept with the tab: after the page is loaded anew they are told again from there. Not what
 * they say; and not for long, since nobody waits for a day's events to go by.
 */

const KEY = 'rukun.place';
const KEPT_MS = 60 * 60_000;

interface Place {
  user_id: string;
  since: number;
  at: number;
}

export function rememberPlace(user_id: string, since: number): void {
  sessionStorage.setItem(KEY, JSON.stringify({ user_id, since, at: Date.now() } satisfies Place));
}

export function recallPlace(user_id: string): number | undefined {
  const kept = sessionStorage.getItem(KEY);
  if (kept === null) return undefined;
  const place = JSON.parse(kept) as Place;
  return place.user_id === user_id && Date.now() - place.at < KEPT_MS ? place.since : undefined;
}

export const forgetPlace = (): void => sessionStorage.removeItem(KEY);
