import type { Ambient } from '../context.ts';
import type { DatabaseStats } from '../db/stats.ts';
import type { Env } from '../env.ts';
import { logFailure } from '../log.ts';
import { HISTOGRAMS, writeSeries, type CounterName, type HistogramName, type Labels } from './catalogue.ts';
import { Tally } from './tally.ts';

/**
 * Isolates share no memory: each counts for itself, and hands its counts on to the one object that adds them up. What it
 * hasn't handed on when it ends is lost.
 */

const tally = new Tally();

export function count<N extends CounterName>(name: N, labels: Labels<N>, by = 1): void {
  tally.count(writeSeries(name, labels), by);
}

export function observe<N extends HistogramName>(name: N, labels: Labels<N>, seconds: number): void {
  tally.observe(writeSeries(name, labels), HISTOGRAMS[name].bounds, seconds);
}

/** What was asked of a tenant's database: by a request's route, or by the name of a queue. */
export function countDatabase(
  labels: { route: string },
  { round_trips, rows_read, rows_written }: DatabaseStats,
): void {
  if (round_trips === 0) return;
  count('rukun_database_round_trips_total', labels, round_trips);
  count('rukun_database_rows_read_total', labels, rows_read);
  count('rukun_database_rows_written_total', labels, rows_written);
}

/** What an isolate hands on costs a request, and a row where few do. */
export const HAND_ON_EVERY_MS = 30_000;
let handed_on_at = 0;

/** After the answer; on a quiet isolate with the next one. Without a token nobody could read them. */
export function handOn({ env, now, defer }: Ambient): void {
  // a clock that was set back doesn't silence it
  if (!env.METRICS_TOKEN || tally.is_empty || Math.abs(now - handed_on_at) < HAND_ON_EVERY_MS) return;
  handed_on_at = now;
  defer(sendCounts(env));
}

export const metricsOf = ({ METRICS }: Env) => METRICS.get(METRICS.idFromName('all'));

/** What couldn't be handed on waits for the next time. (Where only the answer was lost it counts twice.) */
export async function sendCounts(env: Env): Promise<void> {
  if (tally.is_empty) return;
  const counts = tally.take();
  try {
    await metricsOf(env).add(counts);
  } catch (error) {
    tally.add(counts);
    logFailure({ object: 'metrics' }, error);
  }
}

/** For tests, which empty all storage between each other. */
export function forgetCounts(): void {
  tally.take();
  handed_on_at = 0;
}
