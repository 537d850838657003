/** What one socket got, small enough to keep for thousands of them: two are equal if they got the same in the same order. */
export class Tally {
  count = 0;
  last = -1;
  hash = 0;
  /** How often a seq didn't rise. */
  disorder = 0;

  add(seq: number): void {
    this.count++;
    if (seq <= this.last) this.disorder++;
    this.last = seq;
    this.hash = (Math.imul(this.hash, 16_777_619) ^ seq) >>> 0;
  }

  static of(seqs: readonly number[]): Tally {
    const tally = new Tally();
    for (const seq of seqs) tally.add(seq);
    return tally;
  }
}

export interface Told {
  count: number;
  hash: number;
  disorder: number;
}

/** Null, or what is wrong with what a socket got. */
export function findFault(got: Told, wanted: Told): string | null {
  if (got.count !== wanted.count) return `${got.count} events instead of ${wanted.count}`;
  if (got.disorder > 0) return `${got.disorder} out of order`;
  if (got.hash !== wanted.hash) return 'other events than were committed';
  return null;
}

/** A check that can't fail is none: what is lost, doubled, swapped or strange must be seen. */
export function proveCheck(): void {
  const wanted = Tally.of([3, 4, 7, 9]);
  const broken = { lost: [3, 4, 9], doubled: [3, 4, 4, 7, 9], swapped: [3, 7, 4, 9], strange: [3, 4, 8, 9], replaced: [3, 4, 4, 9] }; // prettier-ignore
  for (const [what, seqs] of Object.entries(broken))
    if (!findFault(Tally.of(seqs), wanted)) throw new Error(`the check of what sockets got misses what is ${what}`);
  if (findFault(Tally.of([3, 4, 7, 9]), wanted))
    throw new Error('the check of what sockets got finds fault with nothing');
}

const SEQ_AT = Buffer.from('{"seq":');

/** The seq of a frame, read without parsing the rest: the receiver must not be what is slow. Null: it has none. */
export function readSeq(frame: Buffer): number | null {
  if (SEQ_AT.compare(frame, 0, SEQ_AT.length) !== 0) return readSeqSlowly(frame);
  let seq = 0;
  for (let at = SEQ_AT.length; frame[at]! >= 0x30 && frame[at]! <= 0x39; at++) seq = seq * 10 + frame[at]! - 0x30;
  return seq;
}

function readSeqSlowly(frame: Buffer): number | null {
  const text = frame.toString();
  return text === 'pong' ? null : ((JSON.parse(text) as { seq?: number }).seq ?? null);
}
