import { forget, recallObject, remember } from './storage.ts';

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
  remember('tab', KEY, JSON.stringify({ user_id, since, at: Date.now() } satisfies Place));
}

export function recallPlace(user_id: string): number | undefined {
  const { since, at = 0, ...place } = recallObject<Place>('tab', KEY) ?? {};
  return place.user_id === user_id && Date.now() - at < KEPT_MS ? since : undefined;
}

export const forgetPlace = (): void => forget('tab', KEY);
