// One API connection: login, then commands. Sentences in, sentences out; the socket is somebody else's.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { parseCommand } from './call.ts';
import type { Call, Command } from './call.ts';
import { MENUS } from './menus.ts';
import type { Verb } from './menus.ts';
import { monitorTraffic } from './monitor.ts';
import { exportText, find, get, listen, print } from './reads.ts';
import type { SimulatedRouter } from './router.ts';
import { Trap, trapInterrupted, trapMissing, trapNoPermission, trapNoSuchCommand, trapNoSuchPrefix } from './trap.ts';
import { WRITES, change } from './writes.ts';

export interface SessionOptions {
  router: SimulatedRouter;
  username: string;
  password: string;
  old_login: boolean;
  peer: string;
  service: 'api' | 'api-ssl';
  /** Asked before each command, since all of it can be switched while a session lasts. */
  isReadOnly(): boolean;
  isSensitive(): boolean;
  getDelayMs(): number;
  send(words: readonly string[]): void;
  close(): void;
  /** Told after each change, when its answer waits to be written. */
  onWrite(): void;
  onReboot(): void;
  /** A command failed in a way that no router's command does. */
  onFailure(error: unknown): void;
}

interface Job {
  command: Command;
  stop: () => void;
  /** Whether it sent a row yet; null for one that hasn't begun. */
  has_rows: boolean | null;
}

export class Session {
  readonly #options: SessionOptions;
  /** Commands under way: listening, monitoring, or held back by the delay. */
  readonly #jobs = new Set<Job>();
  /** Events of the command being carried out, for listeners of this same connection. */
  #news: (() => void)[] = [];
  #is_answering = false;
  #challenge: Buffer | null = null;
  #is_logged_in = false;
  #is_over = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get is_logged_in(): boolean {
    return this.#is_logged_in;
  }

  /** Takes one sentence; its answers may come later. */
  handle(words: readonly string[]): void {
    if (this.#is_over) return;
    const command = parseCommand(words);
    const delay_ms = isCancel(command) ? 0 : this.#options.getDelayMs();
    if (delay_ms <= 0) return this.#carryOut(command);
    const timer = setTimeout(() => {
      this.#jobs.delete(job);
      this.#carryOut(command);
    }, delay_ms);
    const job: Job = { command, stop: () => clearTimeout(timer), has_rows: null };
    this.#jobs.add(job);
  }

  /** The connection is gone: whatever still runs ends, unanswered. */
  end(): void {
    this.#is_over = true;
    for (const job of this.#jobs) job.stop();
    this.#jobs.clear();
  }

  #carryOut(command: Command): void {
    const name = `${command.path}/${command.verb}`;
    this.#is_answering = true;
    try {
      if (name === '/quit') this.#sayGoodbye('session terminated on request');
      else if (name === '/login') this.#login(command);
      else if (!this.#is_logged_in) this.#sayGoodbye('not logged in');
      else if (isCancel(command)) this.#cancel(command);
      else this.#run(command);
    } catch (error) {
      if (error instanceof Trap) this.#fail(command, error);
      else this.#options.onFailure(error);
    }
    this.#is_answering = false;
    for (const send of this.#news.splice(0)) send();
  }

  #reply(command: Command, reply: string, attributes: Iterable<readonly [string, string]> = []): void {
    if (this.#is_over) return;
    const words = [reply];
    if (command.tag !== null) words.push(`.tag=${command.tag}`);
    for (const [key, value] of attributes) words.push(`=${key}=${value}`);
    this.#options.send(words);
  }

  #sendTrap(command: Command, trap: Trap): void {
    const category: [string, string][] = trap.category === null ? [] : [['category', String(trap.category)]];
    this.#reply(command, '!trap', [...category, ['message', trap.message]]);
  }

  #fail(command: Command, trap: Trap): void {
    this.#sendTrap(command, trap);
    this.#reply(command, '!done');
  }

  #sayGoodbye(reason: string): void {
    this.#options.send(['!fatal', reason]);
    this.#close();
  }

  #close(): void {
    this.end();
    this.#options.close();
  }

  #makeCall(command: Command): Call {
    let job: Job | null = null;
    let has_rows = false;
    const reply = (kind: string, attributes?: Iterable<readonly [string, string]>) => {
      if (kind === '!re') has_rows = true;
      if (job !== null) job.has_rows = has_rows;
      this.#reply(command, kind, attributes);
    };
    return {
      command,
      router: this.#options.router,
      isSensitive: () => this.#options.isSensitive(),
      reply,
      tell: (kind, attributes) => {
        if (this.#is_answering) this.#news.push(() => reply(kind, attributes));
        else reply(kind, attributes);
      },
      keepRunning: stop => {
        const kept: Job = { command, stop, has_rows };
        job = kept;
        this.#jobs.add(kept);
        return trap => {
          if (!this.#jobs.delete(kept)) return;
          stop();
          if (trap === undefined) this.#reply(command, '!done');
          else this.#fail(command, trap);
        };
      },
    };
  }

  // Without a tag: whatever this connection has under way. The order of the replies is that of a router.
  #cancel(command: Command): void {
    const tag = command.attributes.get('tag');
    const cancelled = [...this.#jobs].filter(job => tag === undefined || job.command.tag === tag);
    for (const job of cancelled) {
      this.#jobs.delete(job);
      job.stop();
      this.#sendTrap(job.command, trapInterrupted());
    }
    this.#reply(command, '!done');
    for (const job of cancelled) {
      if (job.has_rows === false && this.#options.router.isVersion(7, 18)) this.#reply(job.command, '!empty');
      this.#reply(job.command, '!done');
    }
  }

  #login(command: Command): void {
    const { attributes } = command;
    const { old_login, router, username, password, peer, service } = this.#options;
    const name = attributes.get('name');
    const response = attributes.get('response');
    // Before 6.43 a password sent openly was not even looked at; a bare /login is answered with a challenge to this day.
    if (response === undefined && (old_login || (name === undefined && !attributes.has('password')))) {
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
      router.addLog('system,error,critical', `login failure for user ${name} from ${peer} via ${service}`);
      this.#fail(command, new Trap(router.isVersion(7, 0) ? 'invalid user name or password (6)' : 'cannot log in'));
      this.#close();
      return;
    }
    this.#is_logged_in = true;
    router.addLog('system,info,account', `user ${name} logged in from ${peer} via ${service}`);
    this.#reply(command, '!done');
  }

  #run(command: Command): void {
    const call = this.#makeCall(command);
    const { path, verb } = command;
    if (path === '' && verb === 'export') return exportText(call, undefined);
    if (path === '/system' && verb === 'reboot') return this.#reboot(command);
    const menu = MENUS.get(path);
    if (menu === undefined) throw isPrefix(path) ? trapNoSuchCommand() : trapNoSuchPrefix();
    if (!menu.verbs.includes(verb as Verb)) throw trapNoSuchCommand();
    if (verb === 'print' || verb === 'getall') return print(call, menu);
    if (verb === 'listen') return listen(call, menu);
    if (verb === 'find') return find(call, menu);
    if (verb === 'get') return get(call, menu);
    if (verb === 'export') return exportText(call, menu);
    if (verb === 'monitor-traffic') return monitorTraffic(call);
    if (!WRITES.includes(verb)) throw trapNoSuchCommand();
    if (this.#options.isReadOnly()) throw trapNoPermission();
    const ret = change(this.#options.router, menu, command);
    this.#reply(command, '!done', ret === null ? [] : [['ret', ret]]);
    this.#options.onWrite();
  }

  #reboot(command: Command): void {
    if (this.#options.isReadOnly()) throw trapNoPermission();
    this.#reply(command, '!done');
    this.#close();
    this.#options.onReboot();
  }
}

const isCancel = ({ path, verb }: Command) => path === '' && verb === 'cancel';

const isPrefix = (path: string) => path !== '' && [...MENUS.keys()].some(known => known.startsWith(`${path}/`));

function answerChallenge(password: string, challenge: Buffer): string {
  const digest = createHash('md5').update(Buffer.of(0)).update(password, 'utf8').update(challenge).digest('hex');
  return `00${digest}`;
}

function isSame(left: string, right: string): boolean {
  const [a, b] = [left, right].map(text => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}
