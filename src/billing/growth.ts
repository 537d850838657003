/** How much more than last time, in percent with two decimals; null where there was nothing: pure. */
export const growthPercent = (now: number, last: number): number | null =>
  last === 0 ? null : Math.round(((now - last) / last) * 10_000) / 100;
