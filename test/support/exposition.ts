/** The text that Prometheus reads (version 0.0.4), read as strictly as it is defined. */

export interface Scrape {
  types: Map<string, string>;
  /** By the whole series, as it is written. */
  values: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"`;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|\\+Inf|NaN)$`);
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`);

function hold(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not as Prometheus reads it: ${what}`);
}

export function readExposition(text: string): Scrape {
  hold(text.endsWith('\n'), 'the last line has no end');
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  const helped = new Set<string>();
  let family = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = COMMENT.exec(line);
    if (comment) {
      const [, what, name, rest] = comment as unknown as [string, string, string, string];
      if (what === 'HELP') {
        hold(!helped.has(name), `${name} comes twice`);
        helped.add(name);
        continue;
      }
      hold(!types.has(name) && helped.has(name), `TYPE ${name} comes once, after its HELP`);
      hold(['counter', 'gauge', 'histogram'].includes(rest), line);
      types.set(name, rest);
      family = name;
      continue;
    }
    const sample = SAMPLE.exec(line);
    hold(sample !== null, line);
    const [, name, labels, value] = sample as unknown as [string, string, string | undefined, string];
    const own = types.get(family) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
    hold(own === family, `${line} stands in its family`);
    const series = labels === undefined ? name : `${name}{${labels}}`;
    hold(!values.has(series), `${series} comes twice`);
    values.set(series, Number(value.replace('+Inf', 'Infinity')));
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, values);
  return { types, values };
}

/** Buckets never fall, in the order in which they stand, and the last one holds all. */
function checkHistogram(name: string, values: Scrape['values']): void {
  const last = new Map<string, { bound: number; count: number }>();
  for (const [series, count] of values) {
    const bucket = new RegExp(`^${name}_bucket\\{(.*),le="([^"]+)"\\}$`).exec(series);
    if (!bucket) continue;
    const [, labels, le] = bucket as unknown as [string, string, string];
    const bound = Number(le.replace('+Inf', 'Infinity'));
    const before = last.get(labels) ?? { bound: -Infinity, count: 0 };
    hold(bound > before.bound, series);
    hold(count >= before.count, series);
    last.set(labels, { bound, count });
  }
  for (const [labels, { bound, count }] of last) {
    hold(bound === Infinity, `${name}{${labels}} has no +Inf`);
    hold(values.get(`${name}_count{${labels}}`) === count, `${name}_count{${labels}}`);
    hold(values.get(`${name}_sum{${labels}}`)! >= 0, `${name}_sum{${labels}}`);
  }
}
