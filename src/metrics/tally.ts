/** Counts that only grow, by the name of their series. Plain, so that they pass between isolates and into storage. */
export interface Counts {
  counters: Record<string, number>;
  /** For each bucket what fell into it, then what was above all of them, then the sum. */
  histograms: Record<string, number[]>;
}

/** Labels have few values; should one have many after all, what is new is not counted. */
const MOST_SERIES = 10_000;

/** Adds up counts, of this isolate or of many. */
export class Tally {
  #counters = new Map<string, number>();
  #histograms = new Map<string, number[]>();

  get is_empty(): boolean {
    return this.#counters.size === 0 && this.#histograms.size === 0;
  }

  count(series: string, by: number): void {
    const before = this.#counters.get(series);
    if (before !== undefined || this.#hasRoom()) this.#counters.set(series, (before ?? 0) + by);
  }

  observe(series: string, bounds: readonly number[], value: number): void {
    const at = bounds.findIndex(bound => value <= bound);
    const one = new Array<number>(bounds.length + 2).fill(0);
    one[at < 0 ? bounds.length : at] = 1;
    one[bounds.length + 1] = value;
    this.#addHistogram(series, one);
  }

  add({ counters, histograms }: Counts): void {
    for (const [series, value] of Object.entries(counters)) this.count(series, value);
    for (const [series, values] of Object.entries(histograms)) this.#addHistogram(series, values);
  }

  read(): Counts {
    return { counters: Object.fromEntries(this.#counters), histograms: Object.fromEntries(this.#histograms) };
  }

  /** Gives them away: from now on it counts from zero. */
  take(): Counts {
    const counts = this.read();
    this.#counters = new Map();
    this.#histograms = new Map();
    return counts;
  }

  #addHistogram(series: string, values: readonly number[]): void {
    const before = this.#histograms.get(series);
    if (!before && !this.#hasRoom()) return;
    // with other buckets, of an older or newer code, they can't be added: the histogram begins anew
    const is_same = before?.length === values.length;
    this.#histograms.set(series, is_same ? before!.map((value, at) => value + values[at]!) : [...values]);
  }

  #hasRoom(): boolean {
    return this.#counters.size + this.#histograms.size < MOST_SERIES;
  }
}
