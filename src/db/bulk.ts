import { getTableColumns, sql, type SQL } from 'drizzle-orm';
import { getTableConfig, type SQLiteColumn, type SQLiteTable } from 'drizzle-orm/sqlite-core';
import type { Database, Statement } from './session.ts';

/** D1 takes values up to 2 MB. */
const MOST_JSON_BYTES = 1_000_000;

const encoder = new TextEncoder();

interface BulkOptions {
  on_conflict?: SQL;
  /** Which of the rows are inserted, by what they hold: `only: of => sql`EXISTS (… id = ${of('invoice_id')})``. */
  only?: (of: (key: string) => SQL) => SQL;
}

/**
 * Inserts any number of rows in few statements: D1 binds at most 100 parameters a statement, so rows travel as one
 * JSON parameter. All rows have the keys of the first one; columns that the database makes are left out.
 */
export function insertMany<T extends SQLiteTable>(
  db: Database,
  table: T,
  rows: readonly T['$inferInsert'][],
  { on_conflict = sql``, only = () => sql`true` }: BulkOptions = {},
): Statement[] {
  if (rows.length === 0) return [];
  const columns = getTableColumns(table) as Record<string, SQLiteColumn>;
  const keys = Object.keys(rows[0]!).filter(key => !columns[key]!.generated);
  const names = sql.join(
    keys.map(key => sql.identifier(columns[key]!.name)),
    sql`, `,
  );
  const values = sql.join(
    keys.map((_, index) => sql.raw(`value ->> ${index}`)),
    sql`, `,
  );
  const encoded = rows.map(row =>
    JSON.stringify(
      keys.map(key => {
        const value = (row as Record<string, unknown>)[key];
        return value === null || value === undefined ? null : columns[key]!.mapToDriverValue(value);
      }),
    ),
  );
  const into = sql.identifier(getTableConfig(table).name);
  return chunkJson(encoded).map(chunk =>
    db.orm.run(sql`INSERT INTO ${into} (${names}) SELECT ${values} FROM json_each(${chunk})
      WHERE ${only(key => sql.raw(`value ->> ${keys.indexOf(key)}`))} ${on_conflict}`),
  );
}

/** Joins encoded JSON values to as few JSON lists as fit into one parameter each. */
export function chunkJson(encoded: readonly string[]): string[] {
  const chunks: string[][] = [];
  let size = Infinity;
  for (const value of encoded) {
    const { byteLength } = encoder.encode(value);
    if (size + byteLength > MOST_JSON_BYTES) {
      chunks.push([]);
      size = 0;
    }
    chunks.at(-1)!.push(value);
    size += byteLength + 1;
  }
  return chunks.map(chunk => `[${chunk.join(',')}]`);
}
