/** Tells the cloud that this bridge lives, hands it what was measured, and learns what is to be watched. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import {
  BRIDGE_HEADER,
  REPORT_PATH,
  ReportAnswer,
  type ReportRequest,
  TENANT_HEADER,
} from '../src/protocol/messages.ts';
import {
  BODY_HASH_HEADER,
  equalSignatures,
  hashText,
  MOST_SKEW_MS,
  NONCE_HEADER,
  signAnswer,
  SIGNATURE_HEADER,
  signHashedRequest,
  TIME_HEADER,
} from '../src/protocol/signature.ts';
import { Backoff, pause } from './backoff.ts';
import type { BridgeConfig } from './config.ts';
import { parseJson } from './files.ts';
import type { BridgeKeys } from './keys.ts';
import { type Log, nameError } from './log.ts';
import type { Posted, PostText } from './post-text.ts';
import type { Spool } from './spool.ts';
import type { WatchedStore } from './watched.ts';

export interface ReporterOptions {
  /** A heartbeat at least this often. */
  interval_ms?: number;
  first_wait_ms?: number;
  most_wait_ms?: number;
  /** When a batch that was put off is tried again: first, and at most. */
  first_retry_ms?: number;
  most_retry_ms?: number;
  /** So often the cloud may refuse a batch for good before it is set aside. */
  most_refusals?: number;
}

export interface ReporterTools {
  config: BridgeConfig;
  keys: Pick<BridgeKeys, 'secrets' | 'noteUse'>;
  version: string;
  spool: Spool;
  watched: WatchedStore;
  post: PostText;
  log: Log;
  /** The wall clock. */
  now: () => number;
  random: () => number;
}

const DEFAULTS: Required<ReporterOptions> = {
  interval_ms: 5 * 60_000,
  first_wait_ms: 2_000,
  most_wait_ms: 5 * 60_000,
  first_retry_ms: 5 * 60_000,
  most_retry_ms: 6 * 3_600_000,
  most_refusals: 8,
};
/** The cloud says no for good: trying often is no use. */
const REFUSED_STATUSES = new Set([401, 403, 404]);
/** It was read, and something in it isn't as the cloud wants it. */
const BAD_BATCH_STATUSES = new Set([400, 413, 422]);
/** So often a batch may fail before a report without it shows whose fault it is. */
const MOST_FAILURES = 3;
/**
 * A batch that is put off gets another number, and would count twice if the cloud had it, and only its answer had been
 * lost. But what the cloud has it doesn't read again: that wouldn't fail once more beside a report that works.
 */
const MOST_SUSPICIONS = 2;

const Envelope = z.object({ success: z.literal(true), data: ReportAnswer });

/** Why the cloud didn't take a report. The words go into the log and, once, to a person. */
export class ReportFailure extends Error {
  readonly status: number | null;
  /** The answer was the cloud's own, beyond doubt. */
  readonly is_signed: boolean;

  constructor(message: string, status: number | null = null, is_signed = false) {
    super(message);
    this.status = status;
    this.is_signed = is_signed;
  }

  get is_refusal(): boolean {
    return this.status !== null && REFUSED_STATUSES.has(this.status);
  }
}

export interface ReportStep {
  config: BridgeConfig;
  keys: Pick<BridgeKeys, 'secrets'>;
  post: PostText;
  time_ms: number;
  now: () => number;
  body: string;
  signal: AbortSignal;
}

export interface Reported {
  answer: ReportAnswer;
  /** What it was signed with, and so the answer. */
  secret: string;
}

/**
 * The checked answer to a report; anything else throws a ReportFailure. A secret that the cloud refuses may be one that it
 * has renewed: then another one that there is by now is tried.
 */
export async function sendReport(step: ReportStep): Promise<Reported> {
  const secret = step.keys.secrets[0]!;
  try {
    return { answer: await sendSigned(step, secret), secret };
  } catch (error) {
    const other = step.keys.secrets.find(each => each !== secret);
    if (other === undefined || !(error instanceof ReportFailure) || error.status !== 401) throw error;
    return { answer: await sendSigned(step, other), secret: other };
  }
}

async function sendSigned(
  { config, post, time_ms, now, body, signal }: ReportStep,
  signing_secret: string,
): Promise<ReportAnswer> {
  const { cloud_url } = config;
  const nonce = randomUUID();
  const url = new URL(`${cloud_url}${REPORT_PATH}`);
  // what the Worker sees, also where a proxy before it takes a prefix away
  const body_hash = await hashText(body);
  const signed = { time_ms, nonce, method: 'POST', path: REPORT_PATH, body_hash };
  const headers = {
    'content-type': 'application/json',
    [TENANT_HEADER]: config.tenant_id,
    [BRIDGE_HEADER]: config.bridge_id,
    [TIME_HEADER]: String(time_ms),
    [NONCE_HEADER]: nonce,
    [SIGNATURE_HEADER]: await signHashedRequest(signing_secret, signed),
    [BODY_HASH_HEADER]: body_hash,
  };
  const posted = await post(url, headers, body, signal).catch((error: unknown) => {
    throw new ReportFailure(`the cloud can't be reached (${nameError(error)})`);
  });
  const expected = await signAnswer(signing_secret, nonce, posted.status, posted.text);
  const is_signed = equalSignatures(expected, posted.headers[SIGNATURE_HEADER] ?? '');
  if (posted.status !== 200) throw new ReportFailure(describeStatus(posted, now()), posted.status, is_signed);
  if (!is_signed) throw new ReportFailure("something answered that isn't Rukun: its signature is not right", 200);
  const answer = Envelope.safeParse(parseJson(posted.text));
  if (!answer.success)
    throw new ReportFailure("the cloud's answer can't be understood: is this bridge too old?", 200, true);
  return answer.data.data;
}

function describeStatus({ status, headers }: Posted, now_ms: number): string {
  if (!REFUSED_STATUSES.has(status)) return `the cloud answered with status ${status}`;
  const skew_ms = now_ms - Date.parse(headers.date ?? '');
  // the Date header counts whole seconds
  if (status === 401 && Math.abs(skew_ms) > MOST_SKEW_MS - 2_000) {
    const words = `${Math.round(Math.abs(skew_ms) / 1000)} s ${skew_ms > 0 ? 'ahead of' : 'behind'} the cloud's`;
    return `refused (401): this machine's clock is ${words}; set it by NTP`;
  }
  const why =
    status === 401
      ? 'it was removed in Rukun, enrolled again elsewhere, or its clock was set back'
      : 'it was removed in Rukun';
  return `not enrolled any more (${status}): ${why}; if it isn't the clock, enrol again with --again`;
}

/** Time, for a signature, that never stands still: the cloud refuses a report that isn't newer than the last. */
export class ReportClock {
  readonly #now: () => number;
  #last_ms = 0;
  #accepted_ms = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  take(): number {
    this.#last_ms = Math.max(this.#now(), this.#last_ms + 1);
    return this.#last_ms;
  }

  noteAccepted(): void {
    this.#accepted_ms = this.#last_ms;
  }

  /** The clock may have been wrong, and put right since. */
  noteRefused(): void {
    this.#last_ms = this.#accepted_ms;
  }
}

/** A batch that failed. */
interface Trouble {
  failures: number;
  /** How often the cloud took a report right after, without it. */
  suspicions: number;
  set_backs: number;
  refusals: number;
  /** By performance.now. */
  next_try_ms: number;
}

/**
 * States: sending (one batch after another, oldest first, while any waits) → resting (until a batch comes or the
 * heartbeat is due) → sending; sending → waiting (no good answer: longer and longer, whatever comes) → sending. A batch
 * that fails where a report without one doesn't is put off behind the others.
 */
export class Reporter {
  readonly #tools: ReporterTools;
  readonly #options: Required<ReporterOptions>;
  readonly #clock: ReportClock;
  /** By the batch's number. */
  readonly #troubles = new Map<number, Trouble>();
  #failure: string | null = null;
  #has_spool = true;
  #wake: (() => void) | null = null;
  #has_news = false;

  constructor(tools: ReporterTools, options: ReporterOptions = {}) {
    this.#tools = tools;
    this.#options = { ...DEFAULTS, ...options };
    this.#clock = new ReportClock(tools.now);
  }

  /** A batch is there. Does not cut short the wait after a failure. */
  poke(): void {
    this.#has_news = true;
    this.#wake?.();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { random } = this.#tools;
    const { interval_ms, first_wait_ms, most_wait_ms } = this.#options;
    const backoff = new Backoff({ first_ms: first_wait_ms, most_ms: most_wait_ms, random });
    while (!signal.aborted) {
      try {
        await this.#sendAll(signal);
        this.#noteGood();
        backoff.reset();
        await this.#rest(interval_ms * (0.8 + 0.2 * random()), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#noteFailure(error);
        const is_refusal = error instanceof ReportFailure && error.is_refusal;
        // half of the longest wait at least: nothing here will put it right
        await pause(is_refusal ? (most_wait_ms * (1 + random())) / 2 : backoff.next() + 1, signal);
      }
    }
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    let is_more = true;
    while (is_more && !signal.aborted) {
      this.#has_news = false;
      is_more = await this.#send(signal);
    }
  }

  /** Answers whether there is more to be sent. */
  async #send(signal: AbortSignal): Promise<boolean> {
    const batch = await this.#readDue();
    try {
      await this.#post(batch, signal);
    } catch (error) {
      if (batch === null || !(error instanceof ReportFailure) || !this.#isSuspect(batch.number, error)) throw error;
      // where this fails too, it isn't the batch
      await this.#post(null, signal);
      if (!(await this.#setBack(batch.number, error))) throw error;
    }
    return batch !== null && this.#findDue() !== undefined;
  }

  async #post(batch: { number: number; text: string } | null, signal: AbortSignal): Promise<void> {
    const { config, keys, post, spool, watched, now } = this.#tools;
    const body = this.#write(batch?.text ?? null);
    const time_ms = this.#clock.take();
    const { answer, secret } = await sendReport({ config, keys, post, time_ms, now, body, signal }).catch(
      (error: unknown) => {
        if (error instanceof ReportFailure && error.status === 401) this.#clock.noteRefused();
        throw error;
      },
    );
    this.#clock.noteAccepted();
    await keys.noteUse(secret);
    try {
      if (batch && answer.batch_taken) {
        this.#troubles.delete(batch.number);
        await spool.forget(batch.number);
      }
    } finally {
      if (answer.watched) await watched.store(answer.watched);
    }
    if (batch && !answer.batch_taken) throw new ReportFailure('the cloud did not take the batch', 200, true);
  }

  /** The first batch whose time it is; the others are put behind it, since the cloud takes no number after a higher one. */
  async #readDue(): Promise<{ number: number; text: string } | null> {
    const { spool, log } = this.#tools;
    try {
      await spool.load();
      const due = this.#findDue();
      const later = due === undefined ? [] : spool.numbers.slice(0, spool.numbers.indexOf(due));
      for (const number of later) await this.#putOff(number);
      const batch = due === undefined ? null : await spool.readOldest();
      this.#has_spool = true;
      return batch;
    } catch (error) {
      if (this.#has_spool) log('spool_failed', { error: nameError(error) });
      this.#has_spool = false;
      return null;
    }
  }

  #findDue(): number | undefined {
    const now_ms = performance.now();
    return this.#tools.spool.numbers.find(number => (this.#troubles.get(number)?.next_try_ms ?? 0) <= now_ms);
  }

  /** Whether it may be the batch's own fault that the report failed. */
  #isSuspect(number: number, { is_refusal, is_signed, status }: ReportFailure): boolean {
    if (is_refusal) return false;
    const trouble = this.#troubles.get(number) ?? {
      failures: 0,
      suspicions: 0,
      set_backs: 0,
      refusals: 0,
      next_try_ms: 0,
    };
    this.#troubles.set(number, trouble);
    trouble.failures++;
    return trouble.failures >= MOST_FAILURES || (is_signed && BAD_BATCH_STATUSES.has(status ?? 0));
  }

  /**
   * The cloud takes reports, but not with this batch. That may be the cloud's mistake: it is tried again, rarely. False
   * where that isn't sure yet.
   */
  async #setBack(number: number, { message, is_signed, status }: ReportFailure): Promise<boolean> {
    const { spool, log } = this.#tools;
    const { first_retry_ms, most_retry_ms, most_refusals } = this.#options;
    const trouble = this.#troubles.get(number);
    if (!trouble || ++trouble.suspicions < MOST_SUSPICIONS) return false;
    if (is_signed && BAD_BATCH_STATUSES.has(status ?? 0)) trouble.refusals++;
    if (trouble.refusals >= most_refusals) {
      this.#troubles.delete(number);
      await spool.setRefusedAside(number);
      return true;
    }
    const wait_ms = Math.min(most_retry_ms, first_retry_ms * 2 ** Math.min(trouble.set_backs++, 30));
    trouble.failures = MOST_FAILURES;
    trouble.next_try_ms = performance.now() + wait_ms;
    log('batch_put_off', { number, reason: message, again_in_ms: wait_ms });
    await this.#putOff(number);
    return true;
  }

  async #putOff(number: number): Promise<void> {
    const trouble = this.#troubles.get(number);
    const put = await this.#tools.spool.putOff(number);
    this.#troubles.delete(number);
    if (trouble) this.#troubles.set(put, trouble);
  }

  /** The batch's own text goes in as it lies on the disk: parsing it again would cost memory and tell nothing. */
  #write(batch: string | null): string {
    const { version, spool, watched } = this.#tools;
    const batches_waiting = Math.max(0, spool.waiting - (batch === null ? 0 : 1));
    const watched_tag = watched.current?.tag ?? null;
    const rest: Omit<ReportRequest, 'batch'> = { version, watched_tag, batches_waiting };
    return `${JSON.stringify(rest).slice(0, -1)},"batch":${batch ?? 'null'}}`;
  }

  #rest(time_ms: number, signal: AbortSignal): Promise<void> {
    if (this.#has_news) return Promise.resolve();
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    return pause(time_ms, signal, woken.signal).finally(() => (this.#wake = null));
  }

  #noteGood(): void {
    if (this.#failure !== null) this.#tools.log('report_works_again');
    this.#failure = null;
  }

  /** Said once, not at each try. */
  #noteFailure(error: unknown): void {
    const reason = error instanceof ReportFailure ? error.message : `the report failed here (${nameError(error)})`;
    const kind = reason.replace(/\d+ s /, '');
    if (kind === this.#failure) return;
    this.#failure = kind;
    this.#tools.log('report_failed', { reason, batches_waiting: this.#tools.spool.waiting });
  }
}
