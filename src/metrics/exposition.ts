import { COUNTERS, GAUGES, HISTOGRAMS } from './catalogue.ts';
import type { Counts } from './tally.ts';

/** Counts and gauges as the text that Prometheus reads, version 0.0.4. What the catalogue doesn't know is left out. */

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function writeExposition({ counters, histograms }: Counts, gauges: Record<string, number>): string {
  const plain = (values: Record<string, number>) => (name: string, labels: readonly string[]) => {
    const lines = ofFamily(values, name).map(([series, value]) => `${series} ${value}`);
    // what has no label is there from the first scrape on
    return lines.length === 0 && labels.length === 0 ? [`${name} 0`] : lines;
  };
  const counted = plain(counters);
  const families = [
    ...Object.entries(COUNTERS).map(
      ([name, { help, labels }]) => [name, help, 'counter', counted(name, labels)] as const,
    ),
    ...Object.entries(HISTOGRAMS).map(
      ([name, { help, bounds }]) => [name, help, 'histogram', writeHistograms(histograms, name, bounds)] as const,
    ),
    ...Object.entries(GAUGES).map(
      ([name, { help }]) => [name, help, 'gauge', ofFamily(gauges, name).map(pair => pair.join(' '))] as const,
    ),
  ];
  return families
    .filter(([, , , lines]) => lines.length > 0)
    .map(([name, help, type, lines]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`)
    .join('');
}

const ofFamily = <T>(values: Record<string, T>, name: string): [string, T][] =>
  Object.entries(values).filter(([series]) => series === name || series.startsWith(`${name}{`));

function writeHistograms(all: Counts['histograms'], name: string, bounds: readonly number[]): string[] {
  return ofFamily(all, name).flatMap(([series, values]) => {
    if (values.length !== bounds.length + 2) return [];
    const labels = series.slice(name.length + 1, -1);
    let below = 0;
    const buckets = [...bounds, '+Inf'].map((bound, at) => {
      below += values[at]!;
      return `${name}_bucket{${labels},le="${bound}"} ${below}`;
    });
    return [...buckets, `${name}_sum{${labels}} ${values.at(-1)}`, `${name}_count{${labels}} ${below}`];
  });
}
