import { admit, look, takeBack, type Limit } from './sliding-log.ts';
import { BLOCK_MS, SUSPICIONS, TOLERATED, type Block, type Suspicion } from './suspicion.ts';

/**
 * Who is let in, as plain state: what was counted, what was suspicious, who is blocked, whose tokens are over. Knows no
 * storage and no clock; what must outlive the object is handed to `keep`, or asked for by `takeCounted`.
 */

export interface Count {
  /** Stands in the headers: `user`, `address`, `sign-in`. */
  policy: string;
  /** What is counted under it. */
  subject: string;
  limit: Limit;
  /** Remembered before the answer, whatever happens: for what is rare and tempting, or counted for longer than a minute. */
  is_kept?: boolean;
}

/** Who asks: an address alone, or a user's session from there. */
export interface Caller {
  address: string;
  user_id: string | null;
  session_id: string | null;
}

export interface Question {
  caller: Caller;
  counts: readonly Count[];
  /** Epoch ms. */
  now: number;
}

export interface PolicyState {
  policy: string;
  most: number;
  window_ms: number;
  remaining: number;
  /** Until one more is free than now; 0 when all are. */
  reset_ms: number;
}

export interface Verdict {
  /** All counts had room, and all were counted; else none was. */
  admitted: boolean;
  /** The count that has none for longest, and until when. */
  refused_by: string | null;
  retry_after_ms: number;
  policies: PolicyState[];
  /** What was counted is known by this time: see `giveBack`. */
  counted_at: number;
  /** Of the address, and of the user there; what they close is the caller's to know. */
  blocks: Block[];
  /** Tokens of the user or session from before are over; 0: none that may still live. */
  tokens_valid_from: number;
  /** Blocks of the caller that nobody has written into the log yet. */
  unreported: Block[];
}

interface KnownBlock extends Block {
  is_reported: boolean;
}

interface Over {
  valid_from: number;
  told_at: number;
}

interface Strike {
  at: number;
  about: string | null;
}

/** The longest window of what isn't kept: after it there is nothing worth storing. */
const COUNTED_WINDOW_MS = 60_000;

/** The longest window there is. */
export const LONGEST_WINDOW_MS = 60 * 60_000;

/** How long a token lives, and what clocks may differ by: nobody needs a longer memory of those that are over. */
const OVER_MS = 16 * 60_000;

const keyOf = ({ policy, subject }: Count) => `${policy} ${subject}`;

export class Door {
  /** Times by policy and subject: those of the one are stored as they come, the others once in a while. */
  readonly #kept = new Map<string, number[]>();
  readonly #counted = new Map<string, number[]>();
  /** By what they are for: reason, address, user. So are the blocks that follow. */
  readonly #strikes = new Map<string, Strike[]>();
  readonly #blocks = new Map<string, KnownBlock>();
  readonly #over = new Map<string, Over>();
  readonly #keep: (key: string, value: unknown) => void;
  readonly #newId: () => string;
  #has_counted = false;
  #now = 0;

  /** `keep` stores a value under a key; null removes it. */
  constructor(keep: (key: string, value: unknown) => void, newId: () => string) {
    this.#keep = keep;
    this.#newId = newId;
  }

  /** What `keep` and `takeCounted` gave to storage before. */
  restore(key: string, value: unknown): void {
    const [, kind, name] = /^(\w+) (.*)$/s.exec(key)!;
    if (kind === 'kept') this.#kept.set(name!, value as number[]);
    else if (kind === 'strikes') this.#strikes.set(name!, value as Strike[]);
    else if (kind === 'block') this.#blocks.set(name!, value as KnownBlock);
    else if (kind === 'over') this.#over.set(name!, value as Over);
    else for (const [each, log] of value as [string, number[]][]) this.#counted.set(each, log);
  }

  /** Callers' clocks differ: time here never turns back. */
  #tick(now: number): number {
    this.#now = Math.max(this.#now, now);
    return this.#now;
  }

  ask({ caller, counts, now: asked_at }: Question): Verdict {
    const now = this.#tick(asked_at);
    const blocks = this.#blocksOf(caller, now);
    const looked = counts.map(count => ({ count, ...look(this.#logOf(count), now, count.limit) }));
    const refused = looked.filter(each => !each.admitted).sort((a, b) => b.retry_after_ms - a.retry_after_ms);
    const admitted = refused.length === 0;
    if (admitted) for (const count of counts) this.#count(count, now);
    return {
      admitted,
      refused_by: refused[0]?.count.policy ?? null,
      retry_after_ms: refused[0]?.retry_after_ms ?? 0,
      policies: counts.map(count => this.#stateOf(count, now)),
      counted_at: now,
      blocks: blocks.map(toBlock),
      tokens_valid_from: this.#validFrom(caller),
      unreported: blocks.filter(block => !block.is_reported).map(toBlock),
    };
  }

  #logOf(count: Count): number[] {
    if (!count.is_kept && count.limit.window_ms > COUNTED_WINDOW_MS)
      throw new Error(`${count.policy} is counted for long: it must be kept`);
    const logs = count.is_kept ? this.#kept : this.#counted;
    const log = logs.get(keyOf(count)) ?? [];
    logs.set(keyOf(count), log);
    return log;
  }

  #count(count: Count, now: number): void {
    const log = this.#logOf(count);
    admit(log, now, count.limit);
    this.#remember(count, log);
  }

  #remember(count: Count, log: number[]): void {
    if (count.is_kept) this.#keep(`kept ${keyOf(count)}`, log);
    else this.#has_counted = true;
  }

  #stateOf(count: Count, now: number): PolicyState {
    const { most, window_ms } = count.limit;
    const log = this.#logOf(count);
    const reset_ms = log.length === 0 ? 0 : log[0]! + window_ms - now;
    return { policy: count.policy, most, window_ms, remaining: Math.max(0, most - log.length), reset_ms };
  }

  /** What was counted at that time turned out not to be what is limited. */
  giveBack(counts: readonly Count[], counted_at: number): void {
    for (const count of counts) {
      const log = this.#logOf(count);
      if (takeBack(log, counted_at)) this.#remember(count, log);
    }
  }

  /** Something suspicious. `about`: the same again isn't counted. The block that follows, if one does. */
  strike(suspicion: Suspicion, caller: Caller, about: string | null, at: number): Block | null {
    const now = this.#tick(at);
    const { most, window_ms } = TOLERATED[suspicion];
    const what = { address: caller.address, reason: suspicion, user_id: suspicion === 'id' ? caller.user_id : null };
    const key = strikeKey(what);
    if ((this.#blocks.get(key)?.ends_at ?? 0) > now) return null;
    const strikes = (this.#strikes.get(key) ?? []).filter(strike => strike.at > now - window_ms);
    if (about !== null && strikes.some(strike => strike.about === about)) return null;
    strikes.push({ at: now, about });
    if (strikes.length < most) {
      this.#strikes.set(key, strikes);
      this.#keep(`strikes ${key}`, strikes);
      return null;
    }
    this.#drop(this.#strikes, key, 'strikes');
    const block = { ...what, id: this.#newId(), blocked_at: now, ends_at: now + BLOCK_MS };
    this.#setBlock({ ...block, is_reported: false });
    return block;
  }

  #setBlock(block: KnownBlock): void {
    this.#blocks.set(strikeKey(block), block);
    this.#keep(`block ${strikeKey(block)}`, block);
  }

  #blocksOf({ address, user_id }: Caller, now: number): KnownBlock[] {
    return SUSPICIONS.flatMap(reason => {
      const block = this.#blocks.get(strikeKey({ reason, address, user_id: reason === 'id' ? user_id : null }));
      return block && block.ends_at > now ? [block] : [];
    });
  }

  /** All that hold, the newest first. */
  blocks(at: number): Block[] {
    const now = this.#tick(at);
    return [...this.#blocks.values()]
      .filter(block => block.ends_at > now)
      .map(toBlock)
      .sort((a, b) => b.blocked_at - a.blocked_at);
  }

  /** They stand in the log. */
  markReported(ids: readonly string[]): void {
    for (const block of this.#blocks.values())
      if (ids.includes(block.id) && !block.is_reported) this.#setBlock({ ...block, is_reported: true });
  }

  /** Ends blocks, and forgets what was suspicious there; not what came since one that is over already. */
  lift(ids: readonly string[]): void {
    for (const [key, { id, ends_at }] of this.#blocks) {
      if (!ids.includes(id)) continue;
      this.#drop(this.#blocks, key, 'block');
      if (this.#now < ends_at) this.#drop(this.#strikes, key, 'strikes');
    }
  }

  /** Tokens of a user, or of a session, that were made before are over. */
  end(subject: string, valid_from: number, now: number): void {
    const known = this.#over.get(subject);
    if (known && known.valid_from >= valid_from) return;
    const over: Over = { valid_from, told_at: this.#tick(now) };
    this.#over.set(subject, over);
    this.#keep(`over ${subject}`, over);
  }

  #validFrom({ user_id, session_id }: Caller): number {
    const of = (subject: string | null) => (subject === null ? 0 : (this.#over.get(subject)?.valid_from ?? 0));
    return Math.max(of(user_id), of(session_id));
  }

  /** All that is counted but not kept one by one; null when nothing has come since the last time. */
  takeCounted(at: number): [string, number[]][] | null {
    if (!this.#has_counted) return null;
    this.#has_counted = false;
    const now = this.#tick(at);
    return [...this.#counted].filter(([, log]) => (log.at(-1) ?? 0) + COUNTED_WINDOW_MS > now);
  }

  /** Lets go of what is over. False when nothing is left. */
  forget(at: number): boolean {
    const now = this.#tick(at);
    const is_past = (log: number[], window_ms = LONGEST_WINDOW_MS) => (log.at(-1) ?? 0) + window_ms <= now;
    for (const [key, log] of this.#counted) if (is_past(log, COUNTED_WINDOW_MS)) this.#counted.delete(key);
    for (const [key, log] of this.#kept) if (is_past(log)) this.#drop(this.#kept, key, 'kept');
    for (const [key, { ends_at }] of this.#blocks) if (ends_at <= now) this.#drop(this.#blocks, key, 'block');
    for (const [subject, { told_at }] of this.#over)
      if (told_at + OVER_MS <= now) this.#drop(this.#over, subject, 'over');
    for (const [key, strikes] of this.#strikes)
      if (is_past(strikes.map(strike => strike.at))) this.#drop(this.#strikes, key, 'strikes');
    return [this.#counted, this.#kept, this.#blocks, this.#over, this.#strikes].some(({ size }) => size > 0);
  }

  #drop(map: Map<string, unknown>, key: string, kind: string): void {
    map.delete(key);
    this.#keep(`${kind} ${key}`, null);
  }
}

const strikeKey = ({ reason, address, user_id }: Pick<Block, 'reason' | 'address' | 'user_id'>) =>
  `${reason} ${address} ${user_id ?? ''}`;

const toBlock = ({ is_reported: _, ...block }: KnownBlock): Block => block;
