import { customType, integer, text } from 'drizzle-orm/sqlite-core';

/** An instant: epoch milliseconds in SQL, ISO 8601 UTC in TypeScript and JSON, so that rows are as they go out. */
export const instant = customType<{ data: string; driverData: number }>({
  dataType: () => 'integer',
  fromDriver: value => new Date(value).toISOString(),
  toDriver: value => Date.parse(value),
});

/** A business date, `YYYY-MM-DD` in the tenant's time zone. */
export const date = text;

export const bool = (name: string) => integer(name, { mode: 'boolean' });

export const json = <T>(name: string) => text(name, { mode: 'json' }).$type<T>();

export const id = () => text('id').primaryKey();

export const timestamps = {
  created_at: instant('created_at').notNull(),
  updated_at: instant('updated_at').notNull(),
};
