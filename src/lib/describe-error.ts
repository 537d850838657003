import { AppError, Fault } from '../errors.ts';

/**
 * An error for the log: its kind, where it came up, and words that are known to hold no value. What a database, a parser,
 * a router or another server said may quote a password or somebody's name: words that aren't known are left out.
 */
export interface DescribedError {
  error: string;
  /** The innermost first. */
  at: string[];
}

const MOST_CAUSES = 4;
const MOST_FRAMES = 12;

export function describeError(error: unknown): DescribedError {
  const kinds: string[] = [];
  let at: unknown = error;
  for (; at instanceof Error && kinds.length < MOST_CAUSES; at = at.cause) kinds.push(nameError(at));
  if (kinds.length === 0) kinds.push(`a thrown ${error === null ? 'null' : typeof error}`);
  // D1 says everything twice: itself, and as the cause
  const different = kinds.filter((kind, index) => kind !== kinds[index - 1]);
  return { error: different.join(' < '), at: error instanceof Error ? listFrames(error) : [] };
}

function nameError(error: Error): string {
  const { name } = error.name === 'Error' ? error.constructor : error;
  const kind = /^[A-Za-z]\w{0,40}$/.test(name) ? name : 'Error';
  if (error instanceof AppError) return `${kind} ${error.code}`;
  const words = error instanceof Fault ? error.message.slice(0, 300) : knownWords(error.message);
  return words === null ? kind : `${kind}: ${words}`;
}

const NAME = '[a-z_][a-z0-9_]{0,60}';
const COLUMN = `${NAME}\\.${NAME}`;

/** Whole messages of the platform that hold names of our schema at most. */
const KNOWN = [
  `(?:UNIQUE|NOT NULL) constraint failed: ${COLUMN}(?:, ${COLUMN})*`,
  'FOREIGN KEY constraint failed',
  `cannot store [A-Z]+ value in [A-Z]+ column ${COLUMN}`,
  'guard:\\d+',
  `no such (?:table|column|function): (?:${COLUMN}|${NAME})`,
  `table ${NAME} has no column named ${NAME}`,
  'too many SQL variables',
  'too many terms in compound SELECT',
  'string or blob too big',
  'malformed JSON',
  'datatype mismatch',
  'database is locked',
  'database or disk is full',
  'Exceeded maximum DB size\\.?',
  'D1 DB is overloaded\\. [A-Z][a-z ]+\\.',
  'D1 DB [a-z ]+ timeout which caused object to be reset\\.',
  'Internal error in D1 DB storage caused object to be reset\\.',
  'Cannot resolve D1 DB due to transient issue on remote node\\.',
  '(?:D1 DB|Durable Object) reset because its code was updated\\.',
  'Durable Object is overloaded\\. [A-Z][a-z ]+\\.',
  "Durable Object's isolate exceeded its memory limit and was reset\\.",
  'Network connection lost\\.',
  'Too many subrequests\\.',
  'The operation was aborted(?: due to timeout)?',
];
/** What is checked may be a whole expression; its first name is enough. */
const CHECK = `CHECK constraint failed: ${NAME}`;
const ENDING = '(?: at offset \\d+)?(?:: SQLITE_[\\w: ()]+)?';
const KNOWN_WORDS = new RegExp(`^(?:D1_\\w+: )?(?:(${CHECK})\\b.*|(${KNOWN.join('|')})${ENDING})$`);

function knownWords(message: string): string | null {
  const found = KNOWN_WORDS.exec(message);
  return found ? (found[1] ?? found[2]!) : null;
}

const FRAME = /^\s+at (?:async )?(?:(?:new )?[\w$.#<>]+ (?:\[as [\w$]+\] )?)?\(?[\w@:/.-]+:\d+:\d+\)?$/;

/** The frames stand behind the message, which may have lines that look like them. */
function listFrames({ stack = '', message }: Error): string[] {
  const said_at = stack.indexOf(message);
  const lines = stack.slice(Math.max(0, said_at) + message.length).split('\n');
  // a message that was changed since stands there as it was before: only what is behind all words is sure then
  const first = said_at < 0 ? lines.findLastIndex(line => !FRAME.test(line)) + 1 : 0;
  const frames = lines.slice(first).filter(line => FRAME.test(line));
  return frames.slice(0, MOST_FRAMES).map(line => line.trim().replace(/^at /, ''));
}
