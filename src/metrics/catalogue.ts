/** What is measured. Each label has few values: no tenant, no id, no path as it came. Times are in seconds. */

interface Family {
  help: string;
  labels: readonly string[];
}

export const COUNTERS = {
  rukun_requests_total: { help: 'Requests answered.', labels: ['method', 'route', 'status'] },
  rukun_errors_total: { help: 'Requests refused or failed, by the code of the answer.', labels: ['code'] },
  rukun_database_round_trips_total: { help: 'Round trips to databases of providers.', labels: ['route'] },
  rukun_database_rows_read_total: { help: 'Rows read in databases of providers.', labels: ['route'] },
  rukun_database_rows_written_total: { help: 'Rows written in databases of providers.', labels: ['route'] },
  rukun_limited_total: { help: 'Requests above a limit.', labels: ['policy'] },
  rukun_blocks_total: { help: 'Addresses blocked.', labels: [] },
  rukun_limiter_failures_total: { help: 'Times that a limiter could not be asked.', labels: [] },
  rukun_queue_messages_total: { help: 'Queue messages handled.', labels: ['queue', 'outcome'] },
  rukun_sweeps_total: { help: 'Rounds of the sweep.', labels: ['outcome'] },
} as const satisfies Record<string, Family>;

export const HISTOGRAMS = {
  rukun_request_duration_seconds: {
    help: 'From a request to its answer.',
    labels: ['route'],
    bounds: [0.01, 0.05, 0.1, 0.25, 1, 5],
  },
  rukun_queue_seconds: {
    help: 'How long messages of a queue were worked at; those that say the same are one piece of work.',
    labels: ['queue'],
    bounds: [0.1, 0.5, 2, 10, 60],
  },
} as const satisfies Record<string, Family & { bounds: readonly number[] }>;

export const GAUGES = {
  rukun_directory_up: { help: 'Whether the directory answered; without it the other gauges are missing.', labels: [] },
  rukun_tenants: { help: 'Providers.', labels: ['status'] },
  rukun_tenants_behind_schema: { help: 'Active providers whose database is behind the code.', labels: [] },
  rukun_databases: { help: 'Databases of the pool.', labels: ['state'] },
} as const satisfies Record<string, Family>;

type Catalogue = typeof COUNTERS & typeof HISTOGRAMS & typeof GAUGES;
export type CounterName = keyof typeof COUNTERS;
export type HistogramName = keyof typeof HISTOGRAMS;
export type Labels<N extends keyof Catalogue> = Record<Catalogue[N]['labels'][number], string>;

const escape = (value: string) => value.replace(/[\\"\n]/g, found => (found === '\n' ? '\\n' : `\\${found}`));

/** `rukun_queue_messages_total{queue="rukun-jobs",outcome="done"}`: as Prometheus writes it. */
export function writeSeries<N extends keyof Catalogue>(name: N, labels: Labels<N>): string {
  const pairs = Object.entries<string>(labels).map(([label, value]) => `${label}="${escape(value)}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
