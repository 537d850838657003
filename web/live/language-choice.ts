import { make } from './dom.ts';
import { isLanguage, LANGUAGE_NAMES, otherLanguage, type Language } from './language.ts';

/** The language of the page: as it was chosen last, else the browser's, else Indonesian. */

const KEY = 'rukun.language';

export function pickLanguage(): Language {
  const kept = recall(KEY);
  if (isLanguage(kept)) return kept;
  const known = navigator.languages.map(tag => tag.split('-')[0]).find(tag => isLanguage(tag));
  return isLanguage(known) ? known : 'id';
}

export const rememberLanguage = (language: Language): void => remember(KEY, language);

/** The way to the other language. */
export function makeLanguageButton(language: Language, onSwitch: () => void): HTMLElement {
  const other = otherLanguage(language);
  const button = make(
    'button',
    { type: 'button', class: 'plain language', lang: other },
    make('span', { class: 'long' }, LANGUAGE_NAMES[other]),
    make('span', { class: 'short', 'aria-hidden': 'true' }, other.toUpperCase()),
  );
  button.addEventListener('click', onSwitch);
  return button;
}

/** A browser may be told to keep nothing: then nothing is kept. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // it is asked again next time
  }
}
