import { make } from './dom.ts';
import { isLanguage, LANGUAGE_NAMES, otherLanguage, type Language } from './language.ts';
import { recall, remember } from './storage.ts';

/** The language of the page: as it was chosen last, else the browser's, else Indonesian. */

const KEY = 'rukun.language';

export function pickLanguage(): Language {
  const kept = recall('browser', KEY);
  if (isLanguage(kept)) return kept;
  const known = navigator.languages.map(tag => tag.split('-')[0]).find(tag => isLanguage(tag));
  return isLanguage(known) ? known : 'id';
}

export const rememberLanguage = (language: Language): void => remember('browser', KEY, language);

/** The way to the other language. */
export function makeLanguageButton(language: Language, onSwitch: () => void): HTMLButtonElement {
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
