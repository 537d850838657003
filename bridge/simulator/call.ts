// One command as it came in, and what carries it out may do with its connection.
import type { SimulatedRouter } from './router.ts';
import type { Trap } from './trap.ts';
import { trapUnknownParameter } from './trap.ts';

export interface Command {
  path: string;
  verb: string;
  attributes: Map<string, string>;
  queries: string[];
  tag: string | null;
}

export interface Call {
  readonly command: Command;
  readonly router: SimulatedRouter;
  isSensitive(): boolean;
  /** The command's tag goes along. */
  reply(kind: string, attributes?: Iterable<readonly [string, string]>): void;
  /** The same for what came up meanwhile: after the answer of the command that brought it about. */
  tell(kind: string, attributes: Iterable<readonly [string, string]>): void;
  /**
   * The command goes on: `stop` is called once, when it is cancelled or its connection closes, or when it ends by
   * itself, which is what the function given back is for.
   */
  keepRunning(stop: () => void): (trap?: Trap) => void;
}

export function parseCommand(words: readonly string[]): Command {
  const parts = (words[0] ?? '').split('/');
  const verb = parts.pop() ?? '';
  const command: Command = { path: parts.join('/'), verb, attributes: new Map(), queries: [], tag: null };
  for (const word of words.slice(1)) {
    if (word.startsWith('?')) command.queries.push(word);
    else if (word.startsWith('.tag=')) command.tag = word.slice(5);
    else if (word.startsWith('=')) {
      // A flag may come as `=once=`, `=once=yes` or `=once`; a word with no sign before it is no attribute.
      const at = word.indexOf('=', 1);
      command.attributes.set(word.slice(1, at === -1 ? undefined : at), at === -1 ? '' : word.slice(at + 1));
    }
  }
  return command;
}

/** A switch such as count-only may come with an empty value. */
export const isOn = (value: string | undefined) => value !== undefined && value !== 'no' && value !== 'false';

export function refuseUnknown(command: Command, known: ReadonlySet<string>): void {
  for (const name of command.attributes.keys()) if (!known.has(name)) throw trapUnknownParameter(name);
}

/** The properties asked for; null for all. */
export function readPropertyList(command: Command): string[] | null {
  return command.attributes.get('.proplist')?.split(',').filter(Boolean) ?? null;
}
