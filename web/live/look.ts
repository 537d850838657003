import { makeFormat, type Format } from './format.ts';
import type { Language } from './language.ts';
import type { Tenant } from './session.ts';
import { WORDS, type Words } from './words.ts';

/** How the page speaks at the moment: what every card needs to write anything. */

export interface Look {
  language: Language;
  words: Words;
  format: Format;
}

export const makeLook = (language: Language, tenant: Tenant): Look => ({
  language,
  words: WORDS[language],
  format: makeFormat(language, tenant),
});

/** A part of the page that shows one thing. It is made anew for another language, and shown the same again. */
export interface Card<T> {
  node: HTMLElement;
  show(value: T): void;
}
