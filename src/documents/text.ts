/** Text of other people made fit to be set in lines: pure. */

/** How wide a piece of text is in points. */
export type Measure = (text: string) => number;

const BOX = '□';

/** What can't be set glyph beside glyph from left to right: rather a box than something that reads wrongly. */
const NEEDS_SHAPING = /[\p{M}\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Nko}]/u;
/** Marks that say how to show what stands beside them, and show nothing themselves. */
const INVISIBLE = /[\p{Cf}\p{Variation_Selector}]/gu;
/** All that parts words, but for spaces that hold together (within an amount). */
const GAP = /(?:[^\P{Z}\u00a0\u202f]|\p{Cc})+/gu;

/** One line that the font can set: a box for each character that it lacks. */
export function cleanLine(text: string, has: (character: number) => boolean): string {
  const plain = text.toWellFormed().normalize('NFC').replace(INVISIBLE, '').replace(GAP, ' ').trim();
  const shown = (character: string) => has(character.codePointAt(0)!) && !NEEDS_SHAPING.test(character);
  return Array.from(plain, character => (shown(character) ? character : BOX)).join('');
}

/** The lines as they were typed, without empty ones. */
export const splitLines = (text: string): string[] =>
  text.split(/\r\n|[\n\v\f\r\u0085\u2028\u2029]/).filter(line => line.trim() !== '');

/** Breaks a clean line at its spaces, and a word that is too wide for a line of its own wherever it must. */
export function wrapLine(text: string, width: number, measure: Measure): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (measure(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = breakWord(word, width, measure);
    line = pieces.pop()!;
    lines.push(...pieces);
  }
  return [...lines, line];
}

function breakWord(word: string, width: number, measure: Measure): string[] {
  const pieces = [''];
  for (const character of word) {
    const longer = pieces.at(-1)! + character;
    if (measure(longer) <= width || longer === character) pieces[pieces.length - 1] = longer;
    else pieces.push(character);
  }
  return pieces;
}

/** At most so many lines; dots end the last one where something is left out. */
export function clipLines(lines: readonly string[], most: number, width: number, measure: Measure): string[] {
  if (lines.length <= most) return [...lines];
  const last = Array.from(lines[most - 1]!);
  while (last.length > 0 && measure(`${last.join('').trimEnd()}…`) > width) last.pop();
  return [...lines.slice(0, most - 1), `${last.join('').trimEnd()}…`];
}
