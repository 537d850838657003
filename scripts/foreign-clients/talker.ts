// A client's use-script as a process: requests go in as JSON lines, its answers are the lines that begin with @.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Router, Row } from './router.ts';
import { USER } from './router.ts';

export interface Request {
  command: string;
  attributes?: Record<string, string>;
  queries?: Record<string, string>;
}

export interface Answer {
  ready?: true;
  refused?: string;
  rows?: Row[];
  trap?: string;
}

const ANSWER_TIMEOUT_MS = 7_000;

export class Talker {
  readonly #argv: string[];
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;
  #answers: Answer[] = [];
  #wake: () => void = () => {};
  #last_words = '';

  constructor(argv: string[], router: Router, password: string, env: Record<string, string> = {}) {
    this.#argv = argv;
    this.#env = {
      ...process.env,
      ...env,
      HOST: router.host,
      PORT: String(router.port),
      MODE: router.mode,
      LOGIN_USER: USER,
      LOGIN_PASSWORD: password,
    };
  }

  /** The first answer of a new process: whether the router let it in. */
  async start(): Promise<Answer> {
    const [program = '', ...args] = this.#argv;
    this.stop();
    this.#answers = [];
    this.#last_words = '';
    const child = spawn(program, args, { env: this.#env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    child.stdin.on('error', () => {});
    child.on('error', error => (this.#last_words = error.message));
    child.stderr.on('data', chunk => (this.#last_words = (this.#last_words + String(chunk)).slice(-2000)));
    child.on('close', () => {
      if (this.#child === child) this.#child = null;
      this.#wake();
    });
    createInterface({ input: child.stdout }).on('line', line => {
      if (!line.startsWith('@') || this.#child !== child) return;
      this.#answers.push(JSON.parse(line.slice(1)) as Answer);
      this.#wake();
    });
    return await this.#next();
  }

  /** Starts the client anew where it has died: then it is the next question's chance. */
  async ask({ command, attributes = {}, queries = {} }: Request): Promise<Answer> {
    if (this.#child === null) {
      const first = await this.start();
      if (first.refused !== undefined) throw new Error(`could not sign in again: ${first.refused}`);
    }
    this.#child?.stdin?.write(`${JSON.stringify({ command, attributes, queries })}\n`);
    return await this.#next();
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
    this.#child = null;
  }

  async #next(): Promise<Answer> {
    const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    while (this.#answers.length === 0 && this.#child !== null && !timeout.aborted) {
      const woken = new Promise<void>(resolve => (this.#wake = resolve));
      await Promise.race([woken, once(timeout, 'abort')]);
    }
    const answer = this.#answers.shift();
    if (answer !== undefined) return answer;
    const died = this.#child === null;
    this.stop();
    throw new Error(died ? `the client died: ${shorten(this.#last_words)}` : 'the client gave no answer');
  }
}

/** Of a stack trace the line that says what happened. */
function shorten(text: string): string {
  const lines = text.split('\n').filter(line => line.trim() !== '' && !/^\s+(at|File|from) /.test(line));
  const telling = lines.findLast(line => /error|exception|fatal|unknown/i.test(line)) ?? lines.at(-1) ?? 'silently';
  return telling.trim().slice(0, 160);
}
