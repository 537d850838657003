/** The commands of one connection: their shapes and the words they are made of. */

import type { RouterError } from './errors.ts';
import type { Attributes } from './login.ts';

export type Row = Record<string, string>;

export interface PrintOptions {
  proplist?: readonly string[];
  /** `?name=x`, `?#|`; several are AND-ed. */
  query?: readonly string[];
  /** Answers one row, `{ ret: 'N' }`. */
  count_only?: boolean;
  detail?: boolean;
}

export interface ListenOptions {
  proplist?: readonly string[];
  query?: readonly string[];
  /** Called once when no more rows will come: null after cancel(), else the reason. */
  on_end?: (error: RouterError | null) => void;
}

export interface Listener {
  cancel(): Promise<void>;
}

export interface Answer {
  rows: Row[];
  done: Attributes;
}

/** A command that waits for its turn or its answer. */
export interface Command {
  readonly words: readonly string[];
  readonly bytes: Uint8Array;
  readonly tag: string;
  readonly is_write: boolean;
  readonly rows: Row[];
  /** About the memory that the rows take. */
  held_bytes: number;
  readonly onRow: ((row: Row) => void) | null;
  timer: NodeJS.Timeout | null;
  settle(result: Answer | RouterError): void;
}

const READS = new Set([
  'print',
  'getall',
  'get',
  'find',
  'listen',
  'monitor',
  'monitor-traffic',
  'cancel',
  'ping',
  'export',
]);
const SECRET_PROPERTY = /password|secret|^passphrase$|-key$|^response$/;

export function isWrite(path: string): boolean {
  return !READS.has(path.slice(path.lastIndexOf('/') + 1));
}

export function writeProps(props: Row): string[] {
  return Object.entries(props).map(([name, value]) => `=${name}=${value}`);
}

/** The values in these words that must not be shown. */
export function findSecrets(words: readonly string[]): string[] {
  return words.flatMap(word => {
    const match = /^=([^=]+)=([^]*)$/.exec(word);
    return match && SECRET_PROPERTY.test(match[1] ?? '') ? [match[2] ?? ''] : [];
  });
}

/** A promise whose failure, should nobody look at it, does not end the process. */
export function guard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** The words that print and listen share. */
export function writeReadWords(command: string, options: PrintOptions): string[] {
  const words = [command];
  if (options.proplist) words.push(`=.proplist=${options.proplist.join(',')}`);
  if (options.count_only) words.push('=count-only=');
  if (options.detail) words.push('=detail=');
  return [...words, ...(options.query ?? [])];
}

export function ignore(): void {}

/** Runs a callback of the caller's; says whether it went well. */
export function callSafely(callback: () => void): boolean {
  try {
    callback();
    return true;
  } catch {
    return false;
  }
}
