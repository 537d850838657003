/** What the browser keeps for us: for the tab, or for all of them. Told to keep nothing, it keeps nothing. */

type Keeper = 'tab' | 'browser';

// asking for it is what throws where it is denied
const open = (keeper: Keeper): Storage => (keeper === 'tab' ? sessionStorage : localStorage);

export function recall(keeper: Keeper, key: string): string | null {
  try {
    return open(keeper).getItem(key);
  } catch {
    return null;
  }
}

export function remember(keeper: Keeper, key: string, value: string): void {
  try {
    open(keeper).setItem(key, value);
  } catch {
    // it is asked again next time
  }
}

export function forget(keeper: Keeper, key: string): void {
  try {
    open(keeper).removeItem(key);
  } catch {
    // there is nothing to forget
  }
}

/** Null where there is nothing, or nothing that we wrote. */
export function recallObject<T extends object>(keeper: Keeper, key: string): Partial<T> | null {
  try {
    const kept: unknown = JSON.parse(recall(keeper, key) ?? 'null');
    return typeof kept === 'object' ? kept : null;
  } catch {
    return null;
  }
}
