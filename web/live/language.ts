import { make } from './dom.ts';

/** The language of the page: as it was chosen last, else the browser's, else Indonesian. */

export const LANGUAGES = ['id', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

const NAMES: Record<Language, string> = { id: 'Bahasa Indonesia', en: 'English' };

const KEY = 'rukun.language';

const isLanguage = (text: string | null | undefined): text is Language => LANGUAGES.some(language => language === text);

export function pickLanguage(): Language {
  const kept = recall(KEY);
  if (isLanguage(kept)) return kept;
  const known = navigator.languages.map(tag => tag.split('-')[0]).find(tag => isLanguage(tag));
  return isLanguage(known) ? known : 'id';
}

export const rememberLanguage = (language: Language): void => remember(KEY, language);

export const otherLanguage = (language: Language): Language => (language === 'id' ? 'en' : 'id');

/** The way to the other language, as its speakers call it. */
export function makeLanguageButton(language: Language, onSwitch: () => void): HTMLElement {
  const other = otherLanguage(language);
  const button = make(
    'button',
    { type: 'button', class: 'plain language', lang: other },
    make('span', { class: 'long' }, NAMES[other]),
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
