/** The languages that the page speaks. */

export const LANGUAGES = ['id', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];

/** As its speakers call it. */
export const LANGUAGE_NAMES: Record<Language, string> = { id: 'Bahasa Indonesia', en: 'English' };

export const isLanguage = (text: string | null | undefined): text is Language =>
  LANGUAGES.some(known => known === text);

export const otherLanguage = (language: Language): Language => (language === 'id' ? 'en' : 'id');
