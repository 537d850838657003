import { sql, type SQL } from 'drizzle-orm';

/**
 * Where an ISP's database keeps what is sealed, and keyed hashes of it. A new sealed column is a line here, or it would be
 * lost with the key that sealed it; a test reads the schema for columns that have none.
 */

export interface KeptPlace {
  table: string;
  /** Unique in it; it is gone through in this order. */
  key: string;
  column: string;
  /** Where in the column, if that is JSON. */
  path?: string;
  /** The row that it was sealed for, and the column. */
  row_id: string;
  sealed_as: string;
}

export interface HashPlace extends KeptPlace {
  /** The sealed secret that the hash is of, in SQL. */
  secret: SQL;
}

const column = (table: string, name: string): KeptPlace => ({
  table,
  key: 'id',
  column: name,
  row_id: 'id',
  sealed_as: name,
});

/** What waits in an import is sealed for the customer that will be made of it. */
const waiting = { table: 'import_items', key: 'customer_id', column: 'data', row_id: 'customer_id' };

export const SEALED_PLACES: readonly KeptPlace[] = [
  column('routers', 'password'),
  column('bridges', 'signing_secret'),
  column('bridges', 'next_signing_secret'),
  column('users', 'totp_secret'),
  column('devices', 'password'),
  { ...waiting, path: '$.sealed_password', sealed_as: 'pppoe_password' },
  column('customers', 'pppoe_password'),
];

export const HASH_PLACES: readonly HashPlace[] = [
  {
    ...waiting,
    path: '$.secret_hash',
    sealed_as: 'pppoe_password',
    secret: sql`data ->> '$.sealed_password'`,
  },
  {
    table: 'provisioning',
    key: 'id',
    column: 'secret_hash',
    row_id: 'customer_id',
    sealed_as: 'pppoe_password',
    secret: sql`(SELECT pppoe_password FROM customers WHERE customers.id = provisioning.customer_id)`,
  },
];

export const valueOf = ({ column: name, path }: KeptPlace): SQL =>
  path ? sql`${sql.identifier(name)} ->> ${path}` : sql`${sql.identifier(name)}`;

/** What the column becomes when the value does. */
export const columnWith = ({ column: name, path }: KeptPlace, value: SQL): SQL =>
  path ? sql`json_set(${sql.identifier(name)}, ${path}, ${value})` : value;

/** Named by a key that is none of `kids`: its id stands in front of the first dot. */
export const isOfOtherKey = (place: KeptPlace, kids: readonly string[]): SQL => {
  const value = valueOf(place);
  return sql`${value} IS NOT NULL AND substr(${value}, 1, max(0, instr(${value}, '.') - 1)) NOT IN (
    SELECT value FROM json_each(${JSON.stringify(kids)}))`;
};
