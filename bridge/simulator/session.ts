// One API connection: login, then commands. Sentences in, sentences out; the socket is somebody else's.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { MENUS } from './menus.ts';
import type { Menu, Verb } from './menus.ts';
import { parseQuery } from './queries.ts';
import type { SimulatedRouter } from './router.ts';
import { decodeBytes } from './text.ts';
import {
  Trap,
  trapMissing,
  trapNoPermission,
  trapNoSuchCommand,
  trapNoSuchPrefix,
  trapUnknownParameter,
} from './trap.ts';

export interface SessionOptions {
  router: SimulatedRouter;
  username: string;
  password: string;
  old_login: boolean;
  peer: string;
  /** Asked before each command, since both can be switched while a session lasts. */
  isReadOnly(): boolean;
  isSensitive(): boolean;
  send(words: readonly string[]): void;
  close(): void;
}

export interface Command {
  path: string;
  verb: string;
  attributes: Map<string, string>;
  queries: string[];
  tag: string | null;
}

const WRITES: readonly string[] = ['add', 'set', 'unset', 'remove', 'enable', 'disable', 'move'];
const PRINT_WORDS = new Set([
  '.proplist',
  'count-only',
  'detail',
  'stats',
  'brief',
  'terse',
  'without-paging',
  'value-list',
]);
const EXPORT_WORDS = new Set(['show-sensitive', 'hide-sensitive', 'compact', 'verbose', 'terse', 'file']);

export class Session {
  readonly #options: SessionOptions;
  #challenge: Buffer | null = null;
  #is_logged_in = false;
  #is_over = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Nothing more is answered: what was said last is being written, then the connection ends. */
  get is_over(): boolean {
    return this.#is_over;
  }

  get is_logged_in(): boolean {
    return this.#is_logged_in;
  }

  /** Carries out one sentence; says whether it changed the router. */
  handle(words: readonly Uint8Array[]): boolean {
    const command = parseCommand(words.map(decodeBytes));
    const name = `${command.path}/${command.verb}`;
    try {
      if (name === '/quit') this.#end('session terminated on request');
      else if (name === '/login') this.#login(command);
      else if (!this.#is_logged_in) this.#end('not logged in');
      else return this.#run(command);
    } catch (error) {
      if (!(error instanceof Trap)) throw error;
      this.#sendTrap(command, error);
      this.#reply(command, '!done');
    }
    return false;
  }

  #reply(command: Command, reply: string, attributes: Iterable<readonly [string, string]> = []): void {
    const words = [reply];
    for (const [key, value] of attributes) words.push(`=${key}=${value}`);
    if (command.tag !== null) words.push(`.tag=${command.tag}`);
    this.#options.send(words);
  }

  #sendTrap(command: Command, trap: Trap): void {
    const category: [string, string][] = trap.category === null ? [] : [['category', String(trap.category)]];
    this.#reply(command, '!trap', [...category, ['message', trap.message]]);
  }

  #end(reason: string): void {
    this.#options.send(['!fatal', reason]);
    this.#close();
  }

  #close(): void {
    this.#is_over = true;
    this.#options.close();
  }

  #login(command: Command): void {
    const { attributes } = command;
    const { old_login, router, username, password } = this.#options;
    const name = attributes.get('name');
    const response = attributes.get('response');
    if (old_login && response === undefined) {
      // Before 6.43 a password sent openly was not even looked at.
      this.#challenge = randomBytes(16);
      this.#reply(command, '!done', [['ret', this.#challenge.toString('hex')]]);
      return;
    }
    if (name === undefined) throw trapMissing('name');
    const is_right = old_login
      ? this.#challenge !== null && isSame(response ?? '', answerChallenge(password, this.#challenge))
      : isSame(attributes.get('password') ?? '', password);
    this.#challenge = null;
    if (!isSame(name, username) || !is_right) {
      router.addLog('system,error,critical', `login failure for user ${name} from ${this.#options.peer} via api`);
      const message = router.isVersion(7, 0) ? 'invalid user name or password (6)' : 'cannot log in';
      this.#sendTrap(command, new Trap(message));
      this.#reply(command, '!done');
      this.#close();
      return;
    }
    this.#is_logged_in = true;
    router.addLog('system,info,account', `user ${name} logged in from ${this.#options.peer} via api`);
    this.#reply(command, '!done');
  }

  #run(command: Command): boolean {
    if (command.path === '' && command.verb === 'export') return this.#export(command, undefined);
    const menu = MENUS.get(command.path);
    if (menu === undefined) throw isPrefix(command.path) ? trapNoSuchCommand() : trapNoSuchPrefix();
    if (!menu.verbs.includes(command.verb as Verb)) throw trapNoSuchCommand();
    if (command.verb === 'print' || command.verb === 'getall') return this.#print(command, menu);
    if (command.verb === 'export') return this.#export(command, menu);
    if (!WRITES.includes(command.verb)) throw trapNoSuchCommand();
    if (this.#options.isReadOnly()) throw trapNoPermission();
    const ret = change(this.#options.router, menu, command);
    this.#reply(command, '!done', ret === null ? [] : [['ret', ret]]);
    return true;
  }

  #print(command: Command, menu: Menu): boolean {
    const { router } = this.#options;
    for (const name of command.attributes.keys()) if (!PRINT_WORDS.has(name)) throw trapUnknownParameter(name);
    const sensitive = this.#options.isSensitive();
    const rows = [...router.select(menu, parseQuery(command.queries), sensitive)];
    if (isOn(command.attributes.get('count-only'))) {
      this.#reply(command, '!done', [['ret', String(rows.length)]]);
      return false;
    }
    const wanted = command.attributes.get('.proplist')?.split(',').filter(Boolean);
    for (const row of rows) {
      this.#reply(
        command,
        '!re',
        wanted === undefined
          ? router.renderRow(menu, row, sensitive)
          : wanted
              .map(name => [name, router.readProperty(menu, row, name, sensitive)] as const)
              .filter((pair): pair is readonly [string, string] => pair[1] !== undefined),
      );
    }
    if (rows.length === 0 && router.isVersion(7, 18)) this.#reply(command, '!empty');
    this.#reply(command, '!done');
    return false;
  }

  // The text comes back as `ret`; with `file` it would land on the router's disk, which isn't simulated.
  #export(command: Command, menu: Menu | undefined): boolean {
    const { attributes } = command;
    for (const name of attributes.keys()) if (!EXPORT_WORDS.has(name)) throw trapUnknownParameter(name);
    const is_open = this.#options.router.isVersion(7, 0)
      ? isOn(attributes.get('show-sensitive'))
      : !isOn(attributes.get('hide-sensitive'));
    const show_sensitive = is_open && this.#options.isSensitive();
    const text = this.#options.router.export({ show_sensitive, menu: menu?.path });
    this.#reply(command, '!done', attributes.has('file') ? [] : [['ret', text]]);
    return false;
  }
}

function parseCommand(words: readonly string[]): Command {
  const parts = (words[0] ?? '').split('/');
  const verb = parts.pop() ?? '';
  const command: Command = { path: parts.join('/'), verb, attributes: new Map(), queries: [], tag: null };
  for (const word of words.slice(1)) {
    if (word.startsWith('?')) command.queries.push(word);
    else if (word.startsWith('.tag=')) command.tag = word.slice(5);
    else if (word.startsWith('=')) {
      const at = word.indexOf('=', 1);
      command.attributes.set(word.slice(1, at === -1 ? undefined : at), at === -1 ? '' : word.slice(at + 1));
    }
  }
  return command;
}

// A switch such as count-only may come with an empty value.
const isOn = (value: string | undefined) => value !== undefined && value !== 'no' && value !== 'false';

const isPrefix = (path: string) => path !== '' && [...MENUS.keys()].some(known => known.startsWith(`${path}/`));

function change(router: SimulatedRouter, menu: Menu, command: Command): string | null {
  const attributes = new Map(command.attributes);
  if (command.verb === 'add') return router.add(menu, attributes);
  if (menu.single) {
    router.setSingle(menu.path, attributes);
    return null;
  }
  const ids = attributes.get('.id') ?? attributes.get('numbers');
  if (ids === undefined) throw trapMissing('.id');
  attributes.delete('.id');
  attributes.delete('numbers');
  const allow = (...names: string[]) => {
    for (const name of attributes.keys()) if (!names.includes(name)) throw trapUnknownParameter(name);
  };
  if (command.verb === 'set') router.set(menu, ids, attributes);
  else if (command.verb === 'unset') {
    allow('value-name');
    const fields = attributes.get('value-name');
    if (fields === undefined) throw trapMissing('value-name');
    router.unset(menu, ids, fields);
  } else if (command.verb === 'move') {
    allow('destination');
    router.move(menu, ids, attributes.get('destination'));
  } else {
    allow();
    if (command.verb === 'remove') router.remove(menu, ids);
    else router.set(menu, ids, new Map([['disabled', command.verb === 'disable' ? 'yes' : 'no']]));
  }
  return null;
}

function answerChallenge(password: string, challenge: Buffer): string {
  const digest = createHash('md5').update(Buffer.of(0)).update(password, 'utf8').update(challenge).digest('hex');
  return `00${digest}`;
}

function isSame(left: string, right: string): boolean {
  const [a, b] = [left, right].map(text => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}
