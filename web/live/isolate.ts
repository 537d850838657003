/** Names in a line of text: pure. One that runs from right to left must not turn what follows it. */

const [FIRST, LAST] = ['\u2068', '\u2069'];

/** Unless it closes itself what is put around it. */
export const isolate = (name: string): string => `${FIRST}${name.replace(/[\u2066-\u2069]/g, '')}${LAST}`;

/** What is isolated is every second part, from the second on. */
export const splitIsolated = (text: string): string[] => text.split(/[\u2068\u2069]/);
