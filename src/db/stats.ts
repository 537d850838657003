/** What was asked of a database; D1's own figures. */
export interface DatabaseStats {
  round_trips: number;
  statements: number;
  rows_read: number;
  rows_written: number;
}

export const makeStats = (): DatabaseStats => ({ round_trips: 0, statements: 0, rows_read: 0, rows_written: 0 });
